"""Decisions: who does what, how much, by when, with what effect, and what would change
our mind.

A chapter states its kinds of decision under `decisions` in its `chapter.yaml`: what a
row of that kind says whatever the month (action, owner, unit, kind and period of its
effect, reason, stop rule). `propose` fills in what the month found. Ranking, money
asked and conflicts read fields; labels are made from them.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from playbook.chapters.registry import room_facts
from playbook.errors import PlaybookError
from playbook.messages import PACKAGE, language, read_yaml

__all__ = [
    "SUBJECT_TYPES",
    "Decision",
    "decision_rows",
    "effect_label",
    "effects",
    "is_settled",
    "propose",
    "quarters_of",
]

SUBJECT_TYPES = (
    "channel",
    "segment",
    "sku",
    "category",
    "stage",
    "kpi",
    "supplier",
    "tier",
    "test",
    "data",
    "risk",
)
#: what a decision does to its subject, for finding two that stand in each other's way
VERBS = (
    "",
    "raise",
    "lower",
    "pause",
    "order",
    "clear",
    "delist",
    "hold",
    "launch",
    "repeat",
    "stop",
    "bundle",
)


#: what a kind states in its `chapter.yaml` beside the fields of its rows: the side on which its
#: stop rule holds (`is_settled`), and over how many months behind its effect is a mean (a lasting
#: effect that moves with the shop's orders; `ranking.claims` brings it to the quarter ahead)
NO_FIELDS = ("stops", "months_behind")


@dataclass(frozen=True)
class Decision:
    """One row of a decision table. Numbers that are not known stay None.

    `effect_kind` and `effect_period` say what the effect is and over which time (the
    names in `decisions.yaml`); `effect_unit` is made from them. `verb` is what is done
    to the subject, one of `VERBS`. `spends` says that `size` is money of the shop's
    currency which the decision pays out. `is_idle` marks a row that changes nothing.
    `kind` is the room and name it is stated under, as `propose` was asked for it.
    Raises PlaybookError for a kind of subject, effect, period or verb nobody knows.
    """

    subject_type: str
    subject: str
    action: str
    size: float | None = None
    unit: str = ""
    expected_effect: float | None = None
    effect_low: float | None = None
    effect_high: float | None = None
    effect_unit: str = ""
    confidence: str = ""
    evidence_metric: str = ""
    evidence_value: float | None = None
    threshold: float | None = None
    reason: str = ""
    owner_role: str = ""
    due_on: str | dt.date | None = None
    revisit_on: str | dt.date | None = None
    stop_rule: str = ""
    effect_kind: str = ""
    effect_period: str = ""
    verb: str = ""
    spends: bool = False
    is_idle: bool = False
    kind: str = ""

    def __post_init__(self) -> None:
        known = {
            "subject_type": SUBJECT_TYPES,
            "effect_kind": ("", *effects()["effects"]),
            "effect_period": ("", *effects()["periods"]),
            "verb": VERBS,
        }
        for name, allowed in known.items():
            if getattr(self, name) not in allowed:
                raise PlaybookError(
                    "playbook.unknown_decision_kind",
                    name=name,
                    given=getattr(self, name),
                    known=", ".join(filter(None, allowed)),
                )


@functools.cache
def effects() -> dict[str, dict[str, dict[str, Any]]]:
    """The kinds of effect and the periods, as `decisions.yaml` states them."""
    return read_yaml(PACKAGE / "decisions.yaml")


def effect_label(kind: str, period: str, currency: str = "") -> str:
    """How an effect's unit reads: what it is, and over which period."""
    known = effects()
    what = known["effects"][kind][language()].format(currency=currency) if kind else ""
    when = known["periods"][period][language()] if period else ""
    return " ".join(filter(None, (what.strip(), when)))


def quarters_of(period: str) -> float:
    """What turns an amount of this period into a quarter's; 1 for what comes once."""
    return float(effects()["periods"][period]["a_quarter"]) if period else 1.0


def propose(kind: str, subject: object, **found: Any) -> dict[str, Any]:
    """A decision of the kind `room.name` about a subject, as a row in `Decision`'s fields.

    `found` holds the fields the month decides (size, confidence, due_on ...), `effect`
    as (expected, low, high), and the values named in the kind's sentences. A field
    given wins over the kind's own; what a kind states beside fields stands in `NO_FIELDS`.
    KeyError for a kind the room does not state.
    """
    room, _, name = kind.partition(".")
    stated: Mapping[str, Any] = room_facts(room)["decisions"][name]
    stated = {key: value for key, value in stated.items() if key not in NO_FIELDS}
    names = {f.name for f in fields(Decision)}
    ends = ("expected_effect", "effect_low", "effect_high")
    # an effect without an interval is (expected,)
    effect = dict(zip(ends, found.get("effect", ()), strict=False))
    row: dict[str, Any] = {"kind": kind}
    for key, value in stated.items():
        said = value[language()] if isinstance(value, dict) else value
        row[key] = said.format(**found) if isinstance(said, str) else said
    row |= effect | {key: value for key, value in found.items() if key in names}
    row.setdefault("effect_kind", "")
    row["effect_unit"] = effect_label(
        row["effect_kind"], row.get("effect_period", ""), str(found.get("currency", ""))
    )
    shown = row.pop("subject", None) or str(subject)  # a kind may word its subject
    return {"subject_type": row.pop("subject_type"), "subject": shown} | row


def stated_of(kind: object, fact: str, default: Any = "") -> Any:
    """What a kind of decision states beside the fields of its rows (`NO_FIELDS`)."""
    room, _, name = str(kind or "").partition(".")
    return room_facts(room)["decisions"][name].get(fact, default) if name else default


def is_settled(decisions: pd.DataFrame) -> pd.Series:
    """Rows whose stop rule holds before they begin: their evidence lies `under` or `over`
    their threshold, whichever side the kind `stops` on in its `chapter.yaml`. A kind that
    names no side, and evidence that is missing, say nothing.
    """
    sides = decisions["kind"].map(functools.partial(stated_of, fact="stops"))
    numbers = decisions[["evidence_value", "threshold"]].apply(pd.to_numeric, errors="coerce")
    above = numbers.evidence_value - numbers.threshold
    return (sides.eq("under") & (above < 0)) | (sides.eq("over") & (above > 0))


def decision_rows(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Proposals as a frame in `Decision`'s fields, in its order; missing is not known."""
    names = [f.name for f in fields(Decision)]
    return pd.DataFrame(rows, columns=names)
