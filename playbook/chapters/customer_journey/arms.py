"""Who was in which arm of a test: the sums per arm that a reading needs."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _

from playbook.store import expression, one_if

__all__ = ["arm_sums"]

MONEY = "decimal(38, 6)"  # wide enough for squares
MOMENTS = ("mean_x", "var_x", "mean_y", "var_y", "cov_xy")
COUNTS = ["n_assigned", "n", "converted", "n_x", "n_y", "n_in_two_arms"]


def arm_sums(experiments: Table, *, as_of: dt.date) -> pd.DataFrame:
    """One row per test and arm, the sums a reading needs, in one query.

    A visitor counts once: repeated rows of one arm are one visitor (converted if any
    row says so, the largest amount), and a visitor seen in two arms of a test is left
    out of both and counted in `n_in_two_arms`. An amount missing where the visitor did
    not convert is 0; where conversion itself is missing the visitor is assigned but not
    observed. Assignments after `as_of` are not there.

    Columns: test_id, arm, planned_share (missing where none is stated, or several),
    n_assigned, n (observed), converted, first_on, last_on, n_x, n_in_two_arms (of the
    test), and of amount (x) and amount_before (y): mean_x, var_x, mean_y, var_y, cov_xy
    (n - 1 below). The y columns are missing where any visitor with an amount lacks its
    y. Sums are exact decimals, so the order of rows changes nothing. Sorted by test,
    arm.
    """
    dealt = expression(experiments).filter(_.assigned_at.date() <= as_of)
    if "amount_before" not in dealt.columns:
        dealt = dealt.mutate(amount_before=ibis.null("float64"))
    dealt = dealt.filter(_.test_id.notnull() & _.visitor_id.notnull() & _.arm.notnull())
    visitors = _visitors(dealt)
    planned = dealt.group_by("test_id", "arm").aggregate(
        low=_.planned_share.min(), high=_.planned_share.max()
    )
    twice = visitors.group_by("test_id").aggregate(n_in_two_arms=(_.n_arms > 1).sum())
    arms = planned.left_join(_sums(visitors.filter(_.n_arms == 1)), ["test_id", "arm"])
    arms = arms.drop("test_id_right", "arm_right").inner_join(twice, "test_id")
    table = arms.order_by("test_id", "arm").to_pandas()
    table[COUNTS] = table[COUNTS].fillna(0).astype("int64")
    low, high = table.pop("low").astype(float), table.pop("high").astype(float)
    table.insert(2, "planned_share", low.where(np.isclose(low, high)))
    moments = [_moments(row) for row in table.to_dict("records")]
    return table.drop(columns=["n_y", "x", "xx", "y", "yy", "xy"]).join(
        pd.DataFrame(moments, columns=MOMENTS, index=table.index)
    )


def _visitors(dealt: Table) -> Table:
    """One row per test and visitor."""
    visitors = dealt.group_by("test_id", "visitor_id").aggregate(
        n_arms=_.arm.nunique(),
        arm=_.arm.min(),
        assigned_at=_.assigned_at.min(),
        converted=one_if(dealt.is_converted).max(),
        amount=_.amount.cast(MONEY).max(),
        y=_.amount_before.cast(MONEY).max(),
    )
    known = visitors.amount.fill_null(ibis.literal(0).cast(MONEY))
    return visitors.mutate(x=(visitors.converted == 0).ifelse(known, visitors.amount))


def _sums(visitors: Table) -> Table:
    """Exact sums per test and arm of visitors in one arm only."""
    has_amount = visitors.x.notnull()
    return visitors.group_by("test_id", "arm").aggregate(
        n_assigned=_.count(),
        n=_.converted.count(),
        converted=_.converted.sum(),
        first_on=_.assigned_at.min().date(),
        last_on=_.assigned_at.max().date(),
        n_x=has_amount.sum(),
        n_y=(has_amount & visitors.y.notnull()).sum(),
        x=_.x.sum(),
        xx=(_.x * _.x).sum(),
        y=visitors.y.sum(where=has_amount),
        yy=(visitors.y * visitors.y).sum(where=has_amount),
        xy=(_.x * _.y).sum(),
    )


def _moments(row: dict[str, Any]) -> list[float]:
    """Means, variances and covariance from one arm's exact sums."""
    n = row["n_x"]
    if n < 2:
        return [np.nan] * len(MOMENTS)
    x, xx = Fraction(row["x"]), Fraction(row["xx"])
    moments = [x / n, (xx - x * x / n) / (n - 1)]
    if row["n_y"] < n:
        return [*map(float, moments), np.nan, np.nan, np.nan]
    y, yy, xy = (Fraction(row[name]) for name in ("y", "yy", "xy"))
    moments += [y / n, (yy - y * y / n) / (n - 1), (xy - x * y / n) / (n - 1)]
    return list(map(float, moments))
