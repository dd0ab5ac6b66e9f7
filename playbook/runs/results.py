"""What a notebook leaves behind: tables, figures, headline series, predictions and the
decisions it ends in.

`Results(notebook, out)` with an empty `out` writes nothing; with a folder, everything
goes to `<out>/<notebook>/`. The notebook never decides where.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.registry import chapter
from playbook.decisions import Decision
from playbook.errors import Blocked, EngineFailed, PlaybookError
from playbook.messages import say
from playbook.places import project_folder
from playbook.runs.folders import shop_folder
from playbook.tables import schema
from playbook.written import clean_text

if TYPE_CHECKING:
    from playbook.store import Store

Made = TypeVar("Made")

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

HEADLINE_COLUMNS = schema("runs.headline").names
PREDICTION_COLUMNS = schema("runs.predictions").names
FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "＝",
    "＋",
    "－",
    "＠",
)  # what a spreadsheet takes for the start of one
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
            raise PlaybookError("runs.odd_notebook", name=notebook)
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

    def table(self, name: str, frame: DataFrame) -> DataFrame:
        """Keep a result table under its name (parquet and CSV) and give it back."""
        self._claim(name)
        frame = _finite(frame)
        if self.folder is not None:
            _save(frame, self.folder / "tables" / f"{name}.parquet")
            path = self.folder / "tables" / f"{name}.csv"
            escaped(frame).to_csv(path, index=False, encoding="utf-8-sig")
        self._rows[name] = len(frame)
        self._note()
        return frame

    def figure(self, name: str, axes: Any) -> None:
        """Keep the figure an axes belongs to, as SVG with text as text and as PNG, and
        once more drawn for a phone; returns nothing on purpose.
        """
        self._claim(f"figure {name}")
        from playbook.runs.in_sight import placed, titles_in_sight
        from playbook.ticks import plain_numbers

        drawing = getattr(axes, "figure", axes)
        plain_numbers(drawing)
        if self.folder is None:
            return
        import matplotlib as mpl

        path = self.folder / "figures" / name
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"{self.notebook}/{name}"}):
            whole = {"metadata": {"Date": None, "Creator": None}}
            drawing.savefig(f"{path}.svg", **whole)
            with titles_in_sight(drawing) as is_moved, placed(drawing):
                if is_moved:
                    drawing.savefig(f"{path}.svg", **whole)
                drawing.savefig(
                    f"{path}.png",
                    dpi=144,
                    metadata={"Software": None},
                )
            self._for_a_phone(drawing, name)

    def _for_a_phone(self, drawing: Any, name: str) -> None:
        from playbook.runs.narrow import narrow

        narrower = narrow(drawing)
        if narrower is not None:
            path = self.folder / "figures" / "narrow"
            path.mkdir(exist_ok=True)
            about = {"metadata": {"Date": None, "Creator": None}, "bbox_inches": "tight"}
            narrower.savefig(path / f"{name}.svg", pad_inches=0.05, **about)

    def needs(self, *names: str, section: str, owner_role: str = "data owner") -> bool:
        """True when every table or column named is there; otherwise one `blocked`
        decision per missing thing.
        """
        missing = [n for n in names if self.shop is None or not self._is_there(n)]
        for name in missing:
            is_there = self.shop is not None and self.shop.has(name)
            asked = "runs.needs_column" if "." in name else "runs.needs_table"
            why = say("runs.needs_sales" if is_there else asked, name=name)
            self.block(
                section,
                needs=name,
                reason=why,
                owner_role=owner_role,
            )
        self._note()
        return not missing

    def _is_there(self, name: str) -> bool:
        """Is there such a table or column, and where sales are asked for, a sale in it: an
        order that counts, a product sold.
        """
        sales = {"orders": "sales_orders", "order_lines.sku": "sku_days"}
        return self.shop.has(name) and (name not in sales or self.shop.has(sales[name]))

    def require(self, *names: str, section: str, owner_role: str = "data owner") -> None:
        """End the notebook here, blocked and not failed, at the first table or column that
        is not there.
        """
        for name in names:
            if not self.needs(name, section=section, owner_role=owner_role):
                raise Blocked(
                    "runs.blocked_here",
                    section=self._section_title(section),
                    name=name,
                )

    def block(
        self, section: str, *, needs: str, reason: str, owner_role: str = "data owner"
    ) -> None:
        """Say that a section cannot speak: what it lacks, as a `blocked` decision."""
        title = self._section_title(section)
        self._blocked.append({"section": title, "needs": needs})
        self.decide(
            Decision(
                "data",
                title,
                "blocked",
                reason=reason,
                owner_role=owner_role,
            )
        )
        self._note()

    def attempt(
        self,
        section: str,
        make: Callable[..., Made],
        *given: Any,
        owner_role: str = "data owner",
        **knobs: Any,
    ) -> Made | None:
        """What `make` makes; None where it refuses, and then its refusal blocks the
        section by name and the chapter goes on.
        """
        try:
            return make(*given, **knobs)
        except EngineFailed:
            raise
        except PlaybookError as refused:
            why = refused.message
            self.block(
                section,
                needs=why,
                reason=str(refused),
                owner_role=owner_role,
            )
            print(refused)
        return None

    def headline(self, frame: DataFrame) -> DataFrame:
        """Keep the chapter's monthly series for the scorecard: one row per metric and
        month.
        """
        frame = _checked(frame, HEADLINE_COLUMNS, "headline")
        if frame.duplicated(["metric", "month"]).any():
            raise PlaybookError("runs.two_headlines", table="headline")
        if self.folder is not None:
            _save(frame, self.folder / "headline.parquet")
        return frame

    def predict(self, frame: DataFrame) -> DataFrame:
        """Keep predictions that later months will score: metric, subject, due day,
        point, interval, naive, model.
        """
        frame = _checked(frame, PREDICTION_COLUMNS, "predictions")
        if self.folder is not None:
            about = {
                "month": self.month,
                "store": self.store,
                "notebook": self.notebook,
            }
            about["as_of"] = "" if self.shop is None else str(self.shop.as_of)
            marked = frame.assign(**about, due_on=frame["due_on"].astype(str))
            _save(marked, self.folder / "predictions.parquet")
        return frame

    def decide(self, *decisions: Decision | DataFrame) -> None:
        """Add rows to the decision table: Decisions, or frames in their fields (missing
        cells are not known). The same subject and action twice is a mistake and
        refused.
        """
        known = {row["decision_id"] for row in self._decisions}
        for decision in _each(decisions):
            row = self._row(decision)
            if row["decision_id"] not in known:
                known.add(row["decision_id"])
                self._decisions.append(row)
            elif decision.action != "blocked":
                about = {"action": decision.action, "subject": decision.subject}
                raise PlaybookError("runs.decided_twice", table="decisions", **about)
        self._write_decisions()

    def _row(self, decision: Decision) -> dict[str, Any]:
        """A decision as a row, with an id made of what it is about."""
        is_blocked = decision.action == "blocked"
        row = asdict(decision)
        row |= {
            "month": self.month,
            "store": self.store,
            "notebook": self.notebook,
        }
        row |= {
            "status": "blocked" if is_blocked else "proposed",
            "done_on": "",
            "note": "",
        }
        for day in ("due_on", "revisit_on"):
            row[day] = "" if row[day] is None else str(row[day])[:10]
        about = [self.store, self.month, self.notebook, decision.subject_type, decision.subject]
        about += [decision.action, decision.reason if is_blocked else ""]
        digest = hashlib.sha256("|".join(about).encode()).hexdigest()[:6]
        return row | {"decision_id": f"{self.month}-{self.notebook[:2]}-{digest}"}

    def _section_title(self, section: str) -> str:
        """The title of a section of this chapter; a shop's own notebook writes it itself."""
        facts = chapter(self.notebook)
        return say(f"{facts.room}.section_{section}") if facts and section.islower() else section

    def decisions(self) -> DataFrame:
        """The notebook's decision rows, in the columns of the decisions schema."""
        self._write_decisions()
        return DataFrame(self._decisions, columns=DECISION_COLUMNS)

    def _claim(self, name: str) -> None:
        plain = name.removeprefix("figure ")
        if not plain.replace("_", "").isalnum():
            raise PlaybookError("runs.odd_result", name=plain)
        if name in self._rows:
            raise PlaybookError("runs.written_twice", name=plain, table=plain)
        self._rows.setdefault(name, 0)

    def _write_decisions(self) -> None:
        if self.folder is not None:
            numbers = {f.name for f in fields(Decision) if "float" in str(f.type)}
            frame = DataFrame(self._decisions, columns=DECISION_COLUMNS)
            kinds = {c: "float64" if c in numbers else "object" for c in DECISION_COLUMNS}
            _save(frame.astype(kinds), self.folder / "decisions.parquet")

    def _note(self) -> None:
        if self.folder is not None:
            rows = {name: n for name, n in self._rows.items() if not name.startswith("figure ")}
            content = "" if self.shop is None else self.shop.content
            notes = {"rows": rows, "blocked": self._blocked, "content": content}
            text = json.dumps(
                notes,
                indent=1,
                sort_keys=True,
                ensure_ascii=False,
            )
            (self.folder / "notes.json").write_text(text, encoding="utf-8")


def _each(given: tuple[Decision | DataFrame, ...]) -> Iterator[Decision]:
    for decisions in given:
        if isinstance(decisions, Decision):
            yield decisions
            continue
        rows = decisions.astype(object).where(decisions.notna(), None).to_dict("records")
        for row in rows:
            yield Decision(**{name: value for name, value in row.items() if value is not None})


def _checked(frame: DataFrame, columns: list[str], name: str) -> DataFrame:
    missing = [column for column in columns if column not in frame]
    if missing:
        about = {"missing": ", ".join(missing), "known": ", ".join(columns)}
        raise PlaybookError("runs.frame_misses", table=name, **about)
    return _finite(frame[columns].reset_index(drop=True))


def _finite(frame: DataFrame) -> DataFrame:
    """The frame with what was divided by nothing missing: no infinite number is a
    result, in a table, a prediction or a series.
    """
    numbers = frame.select_dtypes("floating")
    is_endless = numbers.isin([np.inf, -np.inf])
    if not is_endless.to_numpy().any():
        return frame
    return frame.assign(**numbers.mask(is_endless))


def _save(frame: DataFrame, path: Path) -> None:
    """Parquet with text as text whatever pandas calls it, so that equal frames give
    equal bytes.
    """
    plain = frame.copy()
    for column in plain.columns:
        values = plain[column]
        is_category = isinstance(values.dtype, pd.CategoricalDtype)
        is_mixed = values.dtype == object and values.dropna().map(type).nunique() > 1
        if is_category or is_mixed:
            plain[column] = values.where(values.isna(), values.astype(str))
    plain.to_parquet(path, index=False)


def escaped(frame: DataFrame) -> DataFrame:
    """A frame as every CSV of ours is written: texts without what no reader sees, and one
    that a spreadsheet would run as a formula with a leading apostrophe; names of columns too.
    """
    safe = frame.copy()
    for column in safe.select_dtypes(include=["object", "string", "category"]):
        values = safe[column].astype("object")
        # each text once: a column of a million rows may hold a hundred
        texts = {value for value in values if isinstance(value, str)}
        safe_texts = {text: _safe_text(text) for text in texts}
        is_text = values.map(lambda value: isinstance(value, str)).astype(bool)
        safe[column] = values.where(~is_text, values[is_text].map(safe_texts))
    return safe.rename(columns=_safe_text)


def _safe_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = clean_text(value)
    return f"'{text}" if text.lstrip("\n").startswith(FORMULA) else text


def month_folder(given: str, *, store: str, month: str) -> Path:
    """The month folder to review: the one given, or `runs/<store>/<month>` of this
    project, `store` being the shop's name.
    """
    return Path(given) if given else shop_folder(project_folder() / "runs", store) / month


def read_results(folder: str | Path) -> dict[str, DataFrame]:
    """What the chapters of a month left: headline, decisions, predictions, notes
    (notebook, section, needs; one row per blocked section, or one with `needs` missing
    for a chapter without any). All empty where no chapter left anything.
    """
    folder = Path(folder)
    places = sorted(p.parent for p in folder.glob("*/notes.json")) if folder.is_dir() else []
    columns = {
        "headline": [*HEADLINE_COLUMNS, "notebook"],
        "decisions": DECISION_COLUMNS,
        "predictions": [*PREDICTION_COLUMNS, "notebook"],
    }
    results = {name: _stacked(places, name, columns[name]) for name in columns}
    notes = [note for place in places for note in _blocked_in(place)]
    return results | {"notes": DataFrame(notes, columns=["notebook", "section", "needs"])}


def _stacked(places: list[Path], name: str, columns: list[str]) -> DataFrame:
    paths = [p for place in places if (p := place / f"{name}.parquet").exists()]
    frames = [pd.read_parquet(path).assign(notebook=path.parent.name) for path in paths]
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else DataFrame(columns=columns)


def _blocked_in(place: Path) -> list[dict[str, Any]]:
    blocked = json.loads((place / "notes.json").read_text(encoding="utf-8"))["blocked"]
    none = {"section": None, "needs": None}
    return [{"notebook": place.name, **section} for section in blocked or [none]]


def result_table(
    folder: str | Path, notebook: str, name: str, *, columns: tuple[str, ...] = ()
) -> DataFrame:
    """A result table of a chapter in a month folder; an empty frame with `columns` when
    the chapter left none.
    """
    path = Path(folder) / notebook / "tables" / f"{name}.parquet"
    return pd.read_parquet(path) if path.exists() else DataFrame(columns=list(columns))
