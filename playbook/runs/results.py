"""What a notebook leaves behind: tables, figures, headline series, predictions and the
decisions it ends in.

`Results(notebook, out)` with an empty `out` writes nothing; with a folder, everything
goes to `<out>/<notebook>/`. The notebook never decides where.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from playbook.chapters.registry import chapter
from playbook.decisions import Decision
from playbook.errors import PlaybookError
from playbook.messages import say

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = [
    "DECISION_COLUMNS",
    "HEADLINE_COLUMNS",
    "PREDICTION_COLUMNS",
    "Results",
    "escaped",
    "month_folder",
    "read_results",
    "result_table",
]

HEADLINE_COLUMNS = ["metric", "month", "amount", "low", "high", "n", "status"]
PREDICTION_COLUMNS = [
    "metric",
    "subject",
    "horizon",
    "due_on",
    "point",
    "low",
    "high",
    "level",
    "naive",
    "model",
]


DECISION_COLUMNS = [
    "month",
    "store",
    "notebook",
    "decision_id",
    *(f.name for f in fields(Decision)),
    "status",
    "done_on",
    "note",
]


class Results:
    """Collects what a notebook found. Every method returns what it was given, so a cell
    may both keep and show it.

    Raises PlaybookError when a name is used twice, a frame misses its columns, or a
    path would leave the folder.
    """

    def __init__(
        self,
        notebook: str,
        out: str = "",
        *,
        shop: Store | None = None,
        month: str = "",
        store: str = "",
    ) -> None:
        if Path(notebook).name != notebook or notebook.startswith("."):
            raise PlaybookError(
                f"{notebook!r} cannot name a folder",
                do="use the notebook's file name without .ipynb",
            )
        self.notebook, self.shop = notebook, shop
        self.month = month or (shop.month if shop is not None else "")
        self.store = store or (shop.name if shop is not None else "")
        self.folder = Path(out) / notebook if out else None
        self._decisions: list[dict[str, Any]] = []
        self._rows: dict[str, int] = {}
        self._blocked: list[dict[str, str]] = []
        if self.folder is not None:
            for part in ("tables", "figures"):
                (self.folder / part).mkdir(parents=True, exist_ok=True)

    def table(self, name: str, frame: pd.DataFrame) -> pd.DataFrame:
        """Keep a result table under its name (parquet and CSV) and give it back."""
        self._claim(name)
        if self.folder is not None:
            _save(frame, self.folder / "tables" / f"{name}.parquet")
            escaped(frame).to_csv(
                self.folder / "tables" / f"{name}.csv", index=False, encoding="utf-8-sig"
            )
        self._rows[name] = len(frame)
        self._note()
        return frame

    def figure(self, name: str, axes: Any) -> None:
        """Keep the figure an axes belongs to, as SVG with text as text and as PNG;
        returns nothing on purpose.
        """
        self._claim(f"figure {name}")
        if self.folder is None:
            return
        import matplotlib as mpl

        drawn = axes.figure if hasattr(axes, "figure") else axes
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"{self.notebook}/{name}"}):
            drawn.savefig(
                self.folder / "figures" / f"{name}.svg", metadata={"Date": None, "Creator": None}
            )
            drawn.savefig(
                self.folder / "figures" / f"{name}.png", dpi=144, metadata={"Software": None}
            )

    def needs(self, *names: str, section: str, owner_role: str = "data owner") -> bool:
        """True when every table or column named is there; otherwise one `blocked`
        decision per missing thing.
        """
        gone = [n for n in names if self.shop is None or not self.shop.has(n)]
        title = self._section_title(section)
        for name in gone:
            column = "." in name
            why = say("runs.needs_column" if column else "runs.needs_table", name=name)
            self._blocked.append({"section": title, "needs": name})
            self.decide(Decision("data", title, "blocked", reason=why, owner_role=owner_role))
        self._note()
        return not gone

    def headline(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Keep the chapter's monthly series for the scorecard: one row per metric and
        month.
        """
        frame = _checked(frame, HEADLINE_COLUMNS, "headline")
        if frame.duplicated(["metric", "month"]).any():
            raise PlaybookError("A headline metric has two values in one month", table="headline")
        if self.folder is not None:
            _save(frame, self.folder / "headline.parquet")
        return frame

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Keep predictions that later months will score: metric, subject, due day,
        point, interval, naive, model.
        """
        frame = _checked(frame, PREDICTION_COLUMNS, "predictions")
        if self.folder is not None:
            kept = frame.assign(
                month=self.month,
                store=self.store,
                notebook=self.notebook,
                as_of=str(self.shop.as_of) if self.shop is not None else "",
            )
            kept["due_on"] = kept["due_on"].astype(str)
            _save(kept, self.folder / "predictions.parquet")
        return frame

    def decide(self, *decisions: Decision | pd.DataFrame) -> None:
        """Add rows to the decision table: Decisions, or frames in their fields (missing
        cells are not known). The same subject and action twice is a mistake and
        refused.
        """
        for d in _each(decisions):
            row = asdict(d) | {
                "month": self.month,
                "store": self.store,
                "notebook": self.notebook,
                "status": "blocked" if d.action == "blocked" else "proposed",
                "done_on": "",
                "note": "",
            }
            for day in ("due_on", "revisit_on"):
                row[day] = "" if row[day] is None else str(row[day])[:10]
            why = d.reason if d.action == "blocked" else ""
            told = "|".join(
                (self.store, self.month, self.notebook, d.subject_type, d.subject, d.action, why)
            )
            row["decision_id"] = (
                f"{self.month}-{self.notebook[:2]}-{hashlib.sha256(told.encode()).hexdigest()[:6]}"
            )
            if row["decision_id"] in {r["decision_id"] for r in self._decisions}:
                if d.action == "blocked":
                    continue
                raise PlaybookError(
                    f"Two decisions both say {d.action} {d.subject}", table="decisions"
                )
            self._decisions.append(row)
        self._write_decisions()

    def _section_title(self, section: str) -> str:
        """The title of a section of this chapter; a shop's own notebook writes it itself."""
        facts = chapter(self.notebook)
        return say(f"{facts.room}.section_{section}") if facts and section.islower() else section

    def decisions(self) -> pd.DataFrame:
        """The notebook's decision rows, in the columns of the decisions schema."""
        self._write_decisions()
        return pd.DataFrame(self._decisions, columns=DECISION_COLUMNS)

    def _claim(self, name: str) -> None:
        plain = name.removeprefix("figure ")
        if not plain.replace("_", "").isalnum():
            raise PlaybookError(
                f"{plain!r} cannot name a result", do="use letters, digits and underscores"
            )
        if name in self._rows:
            raise PlaybookError(f"The result {plain} is written twice", table=plain)
        self._rows.setdefault(name, 0)

    def _write_decisions(self) -> None:
        if self.folder is not None:
            numbers = {f.name for f in fields(Decision) if "float" in str(f.type)}
            frame = pd.DataFrame(self._decisions, columns=DECISION_COLUMNS)
            kinds = {c: "float64" if c in numbers else "object" for c in DECISION_COLUMNS}
            _save(frame.astype(kinds), self.folder / "decisions.parquet")

    def _note(self) -> None:
        if self.folder is not None:
            rows = {name: n for name, n in self._rows.items() if not name.startswith("figure ")}
            text = json.dumps(
                {"rows": rows, "blocked": self._blocked},
                indent=1,
                sort_keys=True,
                ensure_ascii=False,
            )
            (self.folder / "notes.json").write_text(text, encoding="utf-8")


def _each(decisions: tuple[Decision | pd.DataFrame, ...]) -> list[Decision]:
    found: list[Decision] = []
    for given in decisions:
        if isinstance(given, pd.DataFrame):
            rows = given.astype(object).where(given.notna(), None).to_dict("records")
            found += [Decision(**{k: v for k, v in row.items() if v is not None}) for row in rows]
        else:
            found.append(given)
    return found


def _checked(frame: pd.DataFrame, columns: list[str], name: str) -> pd.DataFrame:
    gone = [c for c in columns if c not in frame]
    if gone:
        raise PlaybookError(
            f"The {name} frame misses {', '.join(gone)}",
            table=name,
            do=f"give {', '.join(columns)}",
        )
    return frame[columns].reset_index(drop=True)


def _save(frame: pd.DataFrame, path: Path) -> None:
    """Parquet with text as text whatever pandas calls it, so that equal frames give
    equal bytes.
    """
    kept = frame.copy()
    for column in kept.columns:
        if kept[column].dtype == object or isinstance(kept[column].dtype, pd.CategoricalDtype):
            filled = kept[column]
            kept[column] = (
                filled.where(filled.isna(), filled.astype(str)) if _mixed(filled) else filled
            )
    kept.to_parquet(path, index=False)


def _mixed(values: pd.Series) -> bool:
    return values.dropna().map(type).nunique() > 1 or isinstance(values.dtype, pd.CategoricalDtype)


def escaped(frame: pd.DataFrame) -> pd.DataFrame:
    """Text that a spreadsheet would run as a formula gets a leading apostrophe."""
    kept = frame.copy()
    for column in kept.select_dtypes(include=["object", "string", "category"]):
        text = kept[column].astype("object")
        danger = text.map(lambda v: isinstance(v, str) and v[:1] in "=+-@\t\r" and len(v) > 0)
        kept[column] = text.where(~danger, "'" + text.astype(str))
    return kept


def month_folder(given: str, *, store: str, month: str) -> Path:
    """The month folder to review: the one given, or `runs/<store>/<month>` of this
    project.
    """
    return (
        Path(given)
        if given
        else Path(__file__).resolve().parents[2] / "runs" / Path(store).name / month
    )


def read_results(folder: str | Path) -> dict[str, pd.DataFrame]:
    """What the chapters of a month left: headline, decisions, predictions, notes
    (notebook, section, needs; one row per blocked section, or one with `needs` missing
    for a chapter without any). All empty where no chapter left anything.
    """
    folder = Path(folder)
    chapters = sorted(p.parent for p in folder.glob("*/notes.json")) if folder.is_dir() else []
    columns = {
        "headline": [*HEADLINE_COLUMNS, "notebook"],
        "decisions": DECISION_COLUMNS,
        "predictions": [*PREDICTION_COLUMNS, "notebook"],
        "notes": ["notebook", "section", "needs"],
    }
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in columns}
    for chapter in chapters:
        blocked = json.loads((chapter / "notes.json").read_text(encoding="utf-8"))["blocked"]
        told = [{"notebook": chapter.name, **b} for b in blocked]
        found["notes"].append(
            pd.DataFrame(told or [{"notebook": chapter.name, "section": None, "needs": None}])
        )
        for name in ("headline", "decisions", "predictions"):
            if (chapter / f"{name}.parquet").exists():
                frame = pd.read_parquet(chapter / f"{name}.parquet").assign(notebook=chapter.name)
                found[name] += [frame] if len(frame) else []
    return {
        name: pd.concat(frames, ignore_index=True)
        if frames
        else pd.DataFrame(columns=columns[name])
        for name, frames in found.items()
    }


def result_table(
    folder: str | Path, chapter: str, name: str, *, columns: tuple[str, ...] = ()
) -> pd.DataFrame:
    """A result table of a chapter in a month folder; an empty frame with `columns` when
    the chapter left none.
    """
    path = Path(folder) / chapter / "tables" / f"{name}.parquet"
    return pd.read_parquet(path) if path.exists() else pd.DataFrame(columns=list(columns))
