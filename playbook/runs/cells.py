"""Numbers, words and tables as the pack shows them, each by its column and unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from playbook.chapters.registry import room_facts
from playbook.measures.metrics import METRICS, metric_called
from playbook.messages import PACKAGE, label, language, say
from playbook.runs.columns import heading

__all__ = [
    "ABOUT_ONE_PERSON",
    "TEMPLATES",
    "Cell",
    "Shown",
    "cell_of",
    "by_words",
    "decision_text",
    "drill_table",
    "incident_table",
    "metric_name",
    "part_words",
    "plain_number",
    "table_of",
    "word",
]

TEMPLATES = PACKAGE / "runs" / "templates"
ABOUT_ONE_PERSON = {"customer_id", "visitor_id", "respondent_id", "journey_id"}
ROWS_SHOWN = 60
MOST_PLACES = 6  # digits after the point: what is smaller is nothing to a reader
CENTS_BELOW = 10_000  # money from here on is shown without cents
# column -> the group of labels its codes are in
CODES = {
    "owner_role": "roles",
    "role": "roles",
    "subject_type": "subjects",
    "action": "actions",
    "confidence": "confidence",
    "gate": "gates",
    # of two decisions that clash
    "first": "actions",
    "second": "actions",
}
# names the shop gave: a category called "new" stays so; "(no category)" is ours
FROM_SHOP = {"sku", "title", "category", "channel", "brand", "region", "tier", "supplier_id"}
# a metric's name as the card tells it -> its id
IDS = {metric.name: name for name, metric in METRICS.items()}
STATES = ("status", "verdict", "dimension", "kind", "trend")


@dataclass(frozen=True)
class Cell:
    """One cell of a table in the pack: what is read, what sorts, and how it is marked."""

    text: str
    sort: str | None = None
    mark: str = ""


@dataclass(frozen=True)
class Shown:
    """How a table is shown: `units` gives the unit of a row's numbers by its place,
    `total` a last row by column; as cards on a narrow screen where `is_cards`.
    """

    label: str
    title: str = ""
    units: Mapping[int, str] | None = None
    rows: int = ROWS_SHOWN
    is_cards: bool = False
    total: Mapping[str, Any] | None = None


def word(code: str) -> str:
    """A heading or a state as people read it, with a capital in English."""
    known = label("words", code)
    return code[:1].upper() + code[1:] if known == code and language() == "en" else known


def metric_name(name: str) -> str:
    """A metric's name from its id; a column's heading where it is no metric."""
    known = metric_called(name)
    return heading(name) if known == name else known


def decision_text(row: Mapping[str, Any]) -> dict[str, str]:
    """who, what, how much, by when, expected (low to high), why: a decision as people
    read it.
    """
    size, low, middle, high = (
        plain_number(row.get(name))
        for name in ("size", "effect_low", "expected_effect", "effect_high")
    )
    metric = METRICS.get(str(row.get("unit") or ""))
    if metric is not None and metric.unit == "share":
        size = _percent(row.get("size"))
        if row.get("effect_kind") == "forecast":
            ends = ("effect_low", "expected_effect", "effect_high")
            low, middle, high = (_percent(row.get(name)) for name in ends)
    unit = str(row.get("unit") or "") if metric is None else metric_name(str(row["unit"]))
    effect = f"{middle} ({low} – {high})" if middle and low and high else middle
    action = label("actions", str(row["action"]))
    if language() == "zh":  # a Chinese action names what it is done to
        action += label("subjects", str(row["subject_type"]))
    subject = " · ".join(filter(None, (_subject(row), row.get("titles"))))
    return {
        "who": label("roles", str(row.get("owner_role") or "")),
        "what": say("runs.decision", action=action, subject=subject),
        "how much": " ".join(filter(None, (size, unit))) if size else "",
        "by when": str(row.get("due_on") or ""),
        "why": _why(row),
        "expected": f"{effect} {row.get('effect_unit') or ''}".strip() if effect else "",
    }


def _subject(row: Mapping[str, Any]) -> str:
    """What a decision is about; a value segment by its name in the language in use."""
    subject = str(row.get("subject") or "")
    if row.get("subject_type") != "segment" or language() == "en":
        return subject
    names = {one["segment"]: one["segment_cn"] for one in room_facts("segmentation")["segments"]}
    return names.get(subject, subject)


def _why(row: Mapping[str, Any]) -> str:
    """The reason; in Chinese the evidence is put before it."""
    reason = str(row.get("reason") or "")
    metric, value = str(row.get("evidence_metric") or ""), plain_number(row.get("evidence_value"))
    if language() == "en" or not (metric and value):
        return reason
    limit = plain_number(row.get("threshold"))
    told = f"{metric_name(metric)} {value}"
    told += say("runs.threshold", limit=limit) if limit else ""
    return say("runs.evidence_and_reason", evidence=told, reason=reason) if reason else told


def _percent(value: Any) -> str:
    """A share as a percentage; empty when missing."""
    return "" if value is None or pd.isna(value) else f"{float(value) * 100:.1f} %"


def plain_number(value: Any, digits: int = 3) -> str:
    """A number for a sentence: thousands apart, about three digits that matter; empty
    when missing.
    """
    if value is None or isinstance(value, str) or pd.isna(value):
        return value if isinstance(value, str) else ""
    number = float(value)
    if not math.isfinite(number):
        return "–"
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}"
    if abs(number) >= 1000:
        return f"{number:,.0f}"
    places = max(digits - 1 - math.floor(math.log10(abs(number))), 0)
    if places > MOST_PLACES:
        return f"{number:.{MOST_PLACES}f}" if abs(number) >= 10**-MOST_PLACES else "0"
    return f"{number:,.{places}f}"


def cell_of(value: Any, column: str, unit: str = "") -> Cell:
    """A value as a cell; `unit` (share, money, count ...) wins over what the column's
    name says.
    """
    if value is None or (not isinstance(value, (list, tuple, dict)) and pd.isna(value)):
        return Cell("–", "")
    if isinstance(value, bool):
        return Cell(heading("yes" if value else "no"), str(int(value)))
    if isinstance(value, pd.Timestamp):
        return Cell(str(value)[: 10 if value == value.normalize() else 16], str(value))
    if hasattr(value, "isoformat"):
        return Cell(value.isoformat(), value.isoformat())
    if isinstance(value, (int, float)) or hasattr(value, "as_tuple") or hasattr(value, "dtype"):
        return Cell(_number(value, column, unit), repr(float(value)))
    return _text_cell(str(value), column)


def _number(value: Any, column: str, unit: str) -> str:
    number = float(value)
    if column.endswith("_change"):
        return f"{number * 100:+.1f} %"
    if unit == "share" or (not unit and (column.endswith("_share") or column == "share")):
        return f"{number * 100:.1f} %"
    if hasattr(value, "as_tuple") or unit == "money":
        return f"{number:,.2f}" if abs(number) < CENTS_BELOW else f"{number:,.0f}"
    return plain_number(number, 4)


def _text_cell(text: str, column: str) -> Cell:
    if len(text) == 10 and text[4:5] == text[7:8] == "-":
        return Cell(text, text, "day")
    if column == "name" and text in IDS:
        return Cell(metric_called(IDS[text]), text)
    if column in ("metric", "driver", "kpi", "unit"):
        known = metric_name(text)
        return Cell(label("words", text) if known == text else known, text)
    if column in CODES:
        known = label(CODES[column], text)
        return Cell(label("levels", text) if known == text else known, text)
    if column == "flag":
        return Cell(label("flags", text), text, text if text in ("better", "worse") else "")
    if column in STATES:
        return Cell(text if language() == "en" else _state(text), text)
    is_given = column in FROM_SHOP and not text.startswith("(")
    return Cell(text if is_given else label("levels", text), text)


def _state(text: str) -> str:
    known = label("words", text)
    return label("levels", text) if known == text else known


def _is_number(values: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(values):
        return False
    is_numeric = pd.api.types.is_numeric_dtype(values)
    return is_numeric or bool(values.map(lambda value: hasattr(value, "as_tuple")).any())


def table_of(frame: pd.DataFrame, shown: Shown) -> dict[str, Any]:
    """A frame as the templates take it; columns about one person go."""
    kept = frame[[c for c in frame.columns if c not in ABOUT_ONE_PERSON]]
    is_number = {column: _is_number(kept[column]) for column in kept}
    units = shown.units or {}
    rows = []
    for place, row in enumerate(kept.head(shown.rows).to_dict("records")):
        unit = units.get(place, "")
        cells = [cell_of(row[c], c, unit if is_number[c] else "") for c in kept]
        rows.append({"cells": cells, "is_total": False})
    if shown.total:
        sums = [cell_of(shown.total[c], c) if c in shown.total else Cell("") for c in kept]
        rows.append({"cells": sums, "is_total": True})
    left = len(kept) - shown.rows
    return {
        "label": shown.title or shown.label,
        "title": shown.title,
        "caption": "",
        "cards": shown.is_cards,
        "rows": rows,
        "columns": [{"label": heading(c), "is_number": is_number[c]} for c in kept],
        "left_out": f"+ {left:,}" if left > 0 else "",
    }


INCIDENT = ["starts_on", "ends_on", "what_happened", "amount", "money_is", "to_check"]
DRILLED = ["by", "part", "before", "after", "volume", "mix", "rate", "contribution"]


def incident_table(incidents: pd.DataFrame) -> dict[str, Any]:
    """Incidents (detect.incidents): when, what, what it cost, what to check."""
    shown = incidents.assign(
        money_is=[label("money_is", kind) for kind in incidents["money_is"]],
        what_happened=incidents["what"],
        to_check=incidents["check"],
    )
    title = word("incidents")
    return table_of(shown[INCIDENT], Shown(title, is_cards=True))


def drill_table(drilled: pd.DataFrame) -> dict[str, Any]:
    """One figure by two dimensions, or by several pairs of them (measures.drill): its parts,
    and what each changed.
    """
    metric = drilled["metric"].iloc[0]
    by = " | ".join(by_words(pair) for pair in drilled["by"].unique())
    unit = METRICS[metric].unit
    units = dict.fromkeys(range(len(drilled)), unit)
    drilled = drilled.assign(by=drilled["by"].map(by_words), part=drilled["part"].map(part_words))
    known = [c for c in DRILLED if drilled[c].notna().any()]
    name = f"{metric_name(metric)}: {by}"
    about = Shown(name, name, units, rows=len(drilled), is_cards=True)
    return table_of(drilled[known[1:] if drilled["by"].nunique() == 1 else known], about)


def by_words(by: str) -> str:
    """A pair of dimensions as people call them."""
    return " × ".join(heading(name) for name in by.split(" × "))


def part_words(part: str) -> str:
    """The values of a part of two dimensions as people call them."""
    return " · ".join(label("parts", value) for value in part.split(" · "))
