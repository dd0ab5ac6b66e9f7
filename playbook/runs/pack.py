"""A month's results as read from its folder, and the pack people open: one page first,
then every chapter without code, a workbook, the decisions as CSV.

Nothing here computes a figure: it shows what the chapters wrote. Whatever came from
outside (titles, names, reasons, errors) is escaped; the page needs no network, and no
script to be read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from pandas import DataFrame

from playbook.chapters.monthly_review.ranking import (
    in_order,
    left_out_line,
    margin_is_told,
    worths,
)
from playbook.chapters.registry import chapter, place_of
from playbook.decisions import effect_label
from playbook.measures.metrics import months_back
from playbook.runs.chapter_page import as_address, drawn, for_a_phone, lesson_figures
from playbook.runs.folders import digest_text, published_months
from playbook.runs.titles import told_titles

__all__ = [
    "Pack",
    "latest_figures",
    "listed",
    "open_decisions",
    "pack_version",
    "ranked",
    "title_of",
]


def title_of(notebook: str) -> str:
    """A chapter's number and title; of a shop's own notebook, its name in words."""
    facts = chapter(notebook)
    if facts is not None:
        return facts.titled()
    return f"{notebook[:2]} {notebook[3:].replace('_', ' ').capitalize()}"


class Pack:
    """A month's results: tables and figures by chapter, decisions, headline series."""

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self.folder, self.record = folder, record
        self.chapters = list(record["notebooks"])
        self.done = [n for n in self.chapters if record["notebooks"][n]["status"] == "done"]
        self.review = next((n for n in self.done if place_of(n) == "review"), "")
        self.lessons = {n: lesson_figures(folder / n / "notebook.ipynb") for n in self.done}

    def tables(self, notebook: str) -> list[str]:
        """Names of a chapter's result tables."""
        return sorted(p.stem for p in (self.folder / notebook / "tables").glob("*.parquet"))

    def table(self, notebook: str, name: str) -> DataFrame | None:
        """A result table, or None when the chapter wrote none of that name."""
        path = self.folder / notebook / "tables" / f"{name}.parquet"
        return pd.read_parquet(path) if notebook and path.exists() else None

    def reviewed(self, name: str) -> DataFrame | None:
        """A table of the review, or None where it wrote none or one without rows."""
        frame = self.table(self.review, name)
        return None if frame is None or frame.empty else frame

    def gathered(self, name: str) -> DataFrame:
        """One file of every chapter (decisions, predictions, headline), stacked, with
        its notebook.
        """
        paths = [(n, self.folder / n / f"{name}.parquet") for n in self.done]
        frames = [pd.read_parquet(path).assign(notebook=n) for n, path in paths if path.exists()]
        frames = [frame for frame in frames if len(frame)]
        return pd.concat(frames, ignore_index=True) if frames else DataFrame()

    def figure(self, notebook: str, name: str = "") -> dict[str, str] | None:
        """A chapter's figure as a data address with its alternative text; the first one
        when no name is given.
        """
        folder = self.folder / notebook / "figures"
        paths = [folder / f"{name}.svg"] if name else sorted(folder.glob("*.svg"))
        for path in paths:
            if path.exists() and path.stem not in self.lessons.get(notebook, set()):
                drawing, title = drawn(path)
                title = title or path.stem.replace("_", " ")
                return {
                    "src": as_address(drawing),
                    "narrow": for_a_phone(path),
                    "alt": f"{title_of(notebook)}: {title}",
                    "caption": title,
                }
        return None

    def decisions(self) -> DataFrame:
        """All decisions of the month, best first, as `ranking.in_order` has it. `titles`
        are those of the skus in a subject.
        """
        decisions = self.gathered("decisions")
        if decisions.empty:
            return decisions
        own = self.reviewed("own_results")
        rows = worths(decisions, has_costs=margin_is_told(decisions), own=own)
        order = in_order(rows).drop(columns=["worth", "worth_low", "worth_high"])
        order = order.reset_index(drop=True)
        titles = told_titles(order["subject"], self.record.get("titles", {}))
        return order.assign(titles=titles.to_numpy())


def listed(pack: Pack, decisions: DataFrame) -> tuple[DataFrame, list[str]]:
    """The open decisions worth a reader's time, and one line that counts the others; all
    of them, and no line, where the review left none out.
    """
    proposals, left = open_decisions(decisions), pack.reviewed("left_out")
    if left is None or "decision_id" not in left:
        return proposals, []
    floor = pack.reviewed("list_floor")
    least = 0.0 if floor is None else float(floor["floor"].iloc[0])
    line = left_out_line(
        left,
        floor=least,
        currency=pack.record["currency"],
    )
    return proposals[~proposals["decision_id"].isin(left["decision_id"])], [line]


def open_decisions(decisions: DataFrame) -> DataFrame:
    """The decisions that were not blocked by something missing."""
    return decisions[decisions["action"] != "blocked"] if len(decisions) else decisions


def ranked(pack: Pack, decisions: DataFrame) -> DataFrame:
    """The review's ranked list, with what each row wins in the next quarter after discount
    as its effect; where it wrote none, every open decision in the pack's own order.
    """
    best = pack.table(pack.review, "ranked")
    if best is None or "decision_id" not in best:
        return open_decisions(decisions)
    ends = {
        "worth": "expected_effect",
        "worth_low": "effect_low",
        "worth_high": "effect_high",
    }
    if not set(ends) <= set(best):
        return best[["decision_id"]].merge(decisions, on="decision_id")
    rows = best[["decision_id", *ends]].merge(decisions, on="decision_id")
    is_known = rows["worth"].notna()
    for won, effect in ends.items():
        rows[effect] = rows[won].where(is_known, rows[effect])
    currency = pack.record["currency"]
    kinds = rows["effect_kind"].astype(object).fillna("")
    told = [effect_label(kind, "quarter", currency) for kind in kinds]
    rows["effect_unit"] = pd.Series(told, rows.index).where(is_known, rows["effect_unit"])
    return rows.drop(columns=list(ends))


def latest_figures(pack: Pack) -> DataFrame:
    """One row per headline metric of the month: metric, actual, last_month, last_year
    (missing where not known), status.
    """
    series = pack.gathered("headline")
    if series.empty:
        return series
    month = pack.record["month"]
    unique = series.drop_duplicates(["metric", "month"])
    wide = unique.pivot(index="metric", columns="month", values="amount")
    status = unique[unique["month"] == month].set_index("metric")["status"]
    when = {
        "actual": month,
        "last_month": months_back(month, 2)[0],
        "last_year": months_back(month, 13)[0],
    }
    none = pd.Series(float("nan"), index=wide.index)
    figures = DataFrame({name: wide.get(m, none) for name, m in when.items()}, index=wide.index)
    return figures.assign(status=status).dropna(subset=["actual"]).reset_index()


def pack_version(final: Path) -> str:
    """Changes when the pack would look otherwise although no figure changed: its code,
    its words, or the months it links to.
    """
    room = Path(__file__).parent
    files = [*room.glob("*.py"), *room.rglob("templates/**/*.*"), *room.parent.rglob("*.yaml")]
    earlier = [p.name for p in published_months(final.parent) if p.name[:7] < final.name]
    texts = [p.read_text(encoding="utf-8") for p in sorted(files) if p.is_file()]
    return digest_text(texts, earlier)[:16]
