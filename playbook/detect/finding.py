"""What every detector says of what it found, and which of it is worth a line.

Money decides: a stretch may be far outside chance and still cost nothing. Both bars
together keep the false alarms of all detectors under one in a quiet month
(`tests/proof/proof_awake.py` prints them by detector).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray

from playbook.detect.panels import Panels
from playbook.methods.shifts import shifts

__all__ = ["LEAST_SHARE", "LEAST_Z", "OVER_DAYS", "REACH", "found", "furthest", "ratio_findings"]

#: standard errors a stretch must lie from what was usual
LEAST_Z = 5.0
#: share of a usual month's money a finding must move
LEAST_SHARE = 0.01
#: days without it after which an incident is over; of the newest nobody can say yet who will pay
OVER_DAYS = 3
#: standard errors of a four-in-five interval
REACH = 1.28


def found(
    panels: Panels,
    kind: str,
    subject: str,
    days: tuple[pd.Timestamp, pd.Timestamp],
    **facts: Any,
) -> dict[str, Any]:
    """One finding as a row of `detect.incidents`, as far as a detector knows it.

    `facts`: amount (money, positive), sd (of the amount; missing where it is counted,
    not estimated), n, usual, now, z.
    """
    starts, ends = (pd.Timestamp(day) for day in days)
    amount, sd = float(facts.get("amount", np.nan)), float(facts.get("sd", np.nan))
    usual = float(panels.month_money.get(starts, np.nan))
    return {
        "kind": kind,
        "starts_on": starts.date(),
        "ends_on": ends.date(),
        "n_days": (ends - starts).days + 1,
        "subject": subject,
        "category": str(panels.category.get(subject, "")),
        "amount": amount,
        "amount_low": amount - REACH * sd,
        "amount_high": amount + REACH * sd,
        "share_of_month": amount / usual if usual > 0 else np.nan,
        "n": float(facts.get("n", np.nan)),
        "usual": float(facts.get("usual", np.nan)),
        "now": float(facts.get("now", np.nan)),
        "z": float(facts.get("z", np.nan)),
        "is_over": (panels.days[-1] - ends).days > OVER_DAYS,
    }


def ratio_findings(
    panels: Panels,
    kind: str,
    subject: str,
    top: ndarray,
    base: ndarray,
    *,
    side: int,
    worth: ndarray | float,
    **knobs: Any,
) -> list[dict[str, Any]]:
    """The stretches on which top / base rose or fell, each unit of `top` more or less
    than usual being `worth` so much money (by day, or always).

    `knobs`: of `shifts`, and `least_share`, the least share of a usual month's money.
    """
    least_share = knobs.pop("least_share", LEAST_SHARE)
    knobs.setdefault("least_z", LEAST_Z)
    rows = []
    each = np.broadcast_to(np.asarray(worth, float), len(panels.days))
    for one in shifts(
        top,
        base,
        side=side,
        **knobs,
    ).itertuples():
        if panels.days[one.end] < panels.first:
            continue
        inside = each[one.start : one.end + 1]
        unit = float(inside[np.isfinite(inside)].mean()) if np.isfinite(inside).any() else np.nan
        facts = {"amount": abs(one.excess) * unit, "sd": one.sd * unit, "n": abs(one.excess)}
        facts |= {"usual": one.usual, "now": one.now, "z": one.z}
        row = found(
            panels,
            kind,
            subject,
            (panels.days[one.start], panels.days[one.end]),
            **facts,
        )
        if not row["share_of_month"] < least_share:
            rows.append(row)
    return rows


def furthest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of findings that share a day the one furthest out, else the dearer one, else the
    one told first: one fault seen in several cuts of the same table is told once, by the
    cut that holds most of it.
    """
    order = sorted(rows, key=_how_far, reverse=True)
    kept: list[dict[str, Any]] = []
    for row in order:
        is_apart = all(
            row["starts_on"] > one["ends_on"] or row["ends_on"] < one["starts_on"] for one in kept
        )
        if is_apart:
            kept.append(row)
    return kept


def _how_far(row: dict[str, Any]) -> tuple[float, float]:
    """Standard errors and money of a finding; thousands of either are no difference."""
    return round(abs(row["z"]), 3), round(row["amount"], 2)
