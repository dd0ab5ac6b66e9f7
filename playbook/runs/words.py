"""Words and numbers as the pack shows them: translations, metric names, cells formatted
by column and unit.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["Cell", "Words", "cell_of", "plain_number", "table_of"]

TEMPLATES = Path(__file__).with_name("templates")
ABOUT_ONE_PERSON = {"customer_id", "visitor_id", "respondent_id", "journey_id"}
ROWS_SHOWN = 60


@dataclass(frozen=True)
class Cell:
    """One cell of a table in the pack: what is read, what sorts, and how it is marked."""

    text: str
    sort: str | None = None
    mark: str = ""


class Words:
    """The pack's language. A word that has no translation stays as it is, so nothing is
    ever lost.
    """

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self.known: dict[str, Any] = _dictionary().get(lang, {})

    def __call__(self, word: str, group: str = "") -> str:
        """`word` in the pack's language; `group` names a list of its own, such as
        `actions`.
        """
        found = self.known.get(group, {}) if group else self.known
        shown = found.get(word) if isinstance(found, dict) else None
        if isinstance(shown, str):
            return shown
        return word if group or self.lang != "en" else word[:1].upper() + word[1:]

    def say(self, message: str, **values: Any) -> str:
        """A sentence of the pack, or a part of one, with its figures filled in."""
        return self.known["say"][message].format(**values)

    def told(self, text: str) -> str:
        """A reason or a title made by a chapter, with the figures it holds; what no
        message knows stays as it is.
        """
        for pattern, other in _messages(self.lang):
            if found := pattern.fullmatch(text):
                return other.format(
                    **{name: self.told(part) for name, part in found.groupdict().items()}
                )
        if isinstance(shown := self.known.get(text), str):
            return shown
        for mark in ("; ", ", "):
            parts = text.split(mark)
            if len(parts) > 1 and (told := [self.told(part) for part in parts]) != parts:
                return ("；" if mark == "; " else "，").join(told)
        return text

    def metric(self, name: str) -> str:
        """A metric's name from its id."""
        from playbook.measures.metrics import METRICS

        found = METRICS.get(name)
        if found is None:
            return self.column(name)
        return found.chinese if self.lang == "zh" and found.chinese else found.name

    def column(self, name: str) -> str:
        """A column's heading."""
        shown = self.known.get(name)
        return shown if isinstance(shown, str) else name.replace("_", " ")

    def unit(self, text: str) -> str:
        """The unit of a size or an effect; what is not known of it stays as it is."""
        for english, other in self.known.get("units", {}).items():
            text = text.replace(english, other)
        return text

    def chapter(self, name: str) -> dict[str, str]:
        """Title, objective (Chinese only) and the name of the headline table of a
        chapter, by its number.
        """
        found = _dictionary()["chapters"].get(name[:2], {})
        title = found.get("title") or name[3:].replace("_", " ").capitalize()
        if self.lang == "zh":
            title = found.get("zh", title)
        return {
            "title": f"{name[:2]} {title}",
            "objective": found.get("objective_zh", "") if self.lang == "zh" else "",
            "table": found.get("table", ""),
        }

    def decision(self, row: dict[str, Any]) -> dict[str, str]:
        """who, what, how much, by when, expected (low to high), why: a decision as
        people read it.
        """
        size = plain_number(row.get("size"))
        low, middle, high = (
            plain_number(row.get(k)) for k in ("effect_low", "expected_effect", "effect_high")
        )
        effect = f"{middle} ({low} – {high})" if middle and low and high else middle
        subject = str(row.get("subject") or "")
        unit, effect_unit = (self.unit(str(row.get(k) or "")) for k in ("unit", "effect_unit"))
        if self.lang == "zh":
            kind = self(str(row["subject_type"]), "subjects")
            what = f"{self(str(row['action']), 'actions')}{kind}：{subject}"
            metric, value = (
                str(row.get("evidence_metric") or ""),
                plain_number(row.get("evidence_value")),
            )
            limit = plain_number(row.get("threshold"))
            told = (
                f"{self.metric(metric)} {value}" + (f"（阈值 {limit}）" if limit else "")
                if metric and value
                else ""
            )
            why = "；".join(filter(None, (told, self.told(str(row.get("reason") or "")))))
        else:
            what, why = f"{row['action']} {subject}", str(row.get("reason") or "")
        return {
            "who": self(str(row.get("owner_role") or ""), "roles"),
            "what": what,
            "how much": " ".join(filter(None, (size, unit))) if size else "",
            "by when": str(row.get("due_on") or ""),
            "why": why,
            "expected": " ".join(filter(None, (effect, effect_unit))) if effect else "",
        }


@functools.cache
def _dictionary() -> dict[str, Any]:
    import yaml

    return yaml.safe_load((TEMPLATES / "words.yaml").read_text(encoding="utf-8"))


@functools.cache
def _messages(lang: str) -> list[tuple[re.Pattern, str]]:
    """The messages of a language as patterns, the longest first: `{n} lines below`
    knows all such reasons.
    """
    from playbook.measures.metrics import METRICS

    known = _dictionary().get(lang, {}).get("messages", {})
    known = {m.name: m.chinese for m in METRICS.values()} | known if known else known
    return [
        (
            re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^;]+?)", re.escape(english)), re.I),
            known[english],
        )
        for english in sorted(known, key=len, reverse=True)
    ]


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
    return (
        f"{number:,.{max(digits - 1 - math.floor(math.log10(abs(number))), 0)}f}" if number else "0"
    )


def cell_of(value: Any, column: str, words: Words, unit: str = "") -> Cell:
    """A value as a cell; `unit` (share, money, count ...) wins over what the column's
    name says.
    """
    if value is None or (not isinstance(value, (list, tuple, dict)) and pd.isna(value)):
        return Cell("–", "")
    if isinstance(value, bool):
        return Cell(words.column("yes" if value else "no"), str(int(value)))
    if isinstance(value, pd.Timestamp):
        return Cell(str(value)[: 10 if value == value.normalize() else 16], str(value))
    if hasattr(value, "isoformat"):
        return Cell(value.isoformat(), value.isoformat())
    if isinstance(value, (int, float)) or hasattr(value, "as_tuple") or hasattr(value, "dtype"):
        number = float(value)
        if column.endswith("_change"):
            return Cell(f"{number * 100:+.1f} %", repr(number))
        if unit == "share" or (not unit and (column.endswith("_share") or column == "share")):
            return Cell(f"{number * 100:.1f} %", repr(number))
        if hasattr(value, "as_tuple") or unit == "money":
            return Cell(
                f"{number:,.2f}" if abs(number) < 10_000 else f"{number:,.0f}", repr(number)
            )
        return Cell(plain_number(number, 4), repr(number))
    text = str(value)
    if len(text) == 10 and text[4:5] == text[7:8] == "-":
        return Cell(text, text, "day")
    if column in ("metric", "driver"):
        return Cell(words.metric(text), text)
    if column in ("mitigation", "risk", "text", "kind", "trend", "subject"):
        return Cell(words.told(text), text)
    group = {
        "owner_role": "roles",
        "role": "roles",
        "subject_type": "subjects",
        "action": "actions",
        "confidence": "confidence",
    }
    if column in ("status", "flag", "verdict", "dimension", *group):
        mark = text if column == "flag" and text in ("better", "worse") else ""
        shown = (
            words(text, group.get(column, "")) if column in group or words.lang != "en" else text
        )
        return Cell(shown, text, mark)
    return Cell(text)


def _is_number(values: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(values):
        return False
    return pd.api.types.is_numeric_dtype(values) or bool(
        values.map(lambda v: hasattr(v, "as_tuple")).any()
    )


def table_of(
    frame: pd.DataFrame,
    words: Words,
    *,
    label: str,
    title: str = "",
    units: dict[int, str] | None = None,
    rows_shown: int = ROWS_SHOWN,
    is_cards: bool = False,
    total: dict[str, Any] | None = None,
) -> dict:
    """A frame as the templates take it. `units` gives a row's unit by its place;
    columns about one person go.
    """
    kept = frame[[c for c in frame.columns if c not in ABOUT_ONE_PERSON]]
    numbers = {c: _is_number(kept[c]) for c in kept}
    rows = [
        {
            "cells": [
                cell_of(v, c, words, (units or {}).get(place, "") if numbers[c] else "")
                for c, v in zip(kept.columns, values, strict=True)
            ],
            "is_total": False,
        }
        for place, values in enumerate(kept.head(rows_shown).itertuples(index=False, name=None))
    ]
    if total:
        sums = [cell_of(total[c], c, words) if c in total else Cell("") for c in kept]
        rows.append({"cells": sums, "is_total": True})
    left = len(kept) - rows_shown
    return {
        "label": title or label,
        "title": title,
        "caption": "",
        "cards": is_cards,
        "rows": rows,
        "columns": [{"label": words.column(c), "is_number": bool(numbers[c])} for c in kept],
        "left_out": f"+ {left:,}" if left > 0 else "",
    }
