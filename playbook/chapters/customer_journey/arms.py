"""Who was in which arm of a test: the sums per arm that a reading needs.

An outcome has a window after the assignment (`outcome_days`): a visitor is observed when
it is over, so that a mailing of one day is read when all its outcomes are in.
"""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _

from playbook.given import dated
from playbook.store import expression, one_if

__all__ = ["arm_sums"]

SECONDS_A_DAY = 86_400
MONEY = "decimal(38, 6)"  # wide enough for squares
MOMENTS = ("mean_x", "var_x", "mean_y", "var_y", "cov_xy")
COUNTS = [
    "n_assigned",
    "n",
    "converted",
    "n_x",
    "n_y",
    "n_in_two_arms",
    "n_capped",
]
#: columns of the contract a table may lack, and their types
OPTIONAL = {
    "amount_before": "float64",
    "is_control": "boolean",
    "outcome_days": "float64",
    "amount": "float64",
    "planned_share": "float64",
    "is_converted": "boolean",
}


@dated
def arm_sums(
    experiments: Table, *, as_of: dt.date, outcome_days: int = 0, cap_quantile: float = 1.0
) -> pd.DataFrame:
    """One row per test and arm, the sums a reading needs, in one query.

    A visitor counts once: repeated rows of one arm are one visitor (converted if any
    row says so, the largest amount), and a visitor seen in two arms of a test is left
    out of both and counted in `n_in_two_arms`. An amount missing where the visitor did
    not convert is 0; where conversion itself is missing the visitor is assigned but not
    observed, and so is one whose window is not over: that of the test (`outcome_days`,
    the longest stated), else the one given. Assignments after `as_of` are not there.
    Amounts above the `cap_quantile` of the test's buyers, all arms together, are cut to
    it (winsorised); 1 cuts nothing.

    Columns: test_id, arm, planned_share (missing where none is stated, or several),
    is_control (missing where no row says), is_contradicted, outcome_days, n_assigned, n
    (observed), converted, first_on, last_on, n_x, n_in_two_arms (of the test),
    amount_cap (missing where nothing is cut), n_capped, and of amount (x), amount_before
    (y) and conversion (c): mean_x, var_x, mean_y, var_y, cov_xy, cov_xc (n - 1 below). The
    y columns are missing where any visitor with an amount lacks its y. Sums are exact
    decimals, so the order of rows changes nothing. Sorted by test, arm.
    """
    dealt = expression(experiments).filter(_.assigned_at.date() <= as_of)
    absent = {name: kind for name, kind in OPTIONAL.items() if name not in dealt.columns}
    dealt = dealt.mutate(**{name: ibis.null(kind) for name, kind in absent.items()})
    dealt = dealt.filter(_.test_id.notnull() & _.visitor_id.notnull() & _.arm.notnull())
    tests = dealt.group_by("test_id").aggregate(
        outcome_days=_.outcome_days.max().fill_null(float(outcome_days))
    )
    visitors = _capped(_visitors(dealt, tests, as_of), cap_quantile)
    twice = visitors.group_by("test_id").aggregate(n_in_two_arms=(_.n_arms > 1).sum())
    arms = _stated(dealt).left_join(_sums(visitors.filter(_.n_arms == 1)), ["test_id", "arm"])
    arms = arms.drop("test_id_right", "arm_right").inner_join(twice, "test_id")
    arms = arms.inner_join(tests, "test_id")
    table = arms.order_by("test_id", "arm").to_pandas()
    table[COUNTS] = table[COUNTS].fillna(0).astype("int64")
    table["amount_cap"] = table["amount_cap"].astype(float)
    low, high = table.pop("low").astype(float), table.pop("high").astype(float)
    table.insert(2, "planned_share", low.where(np.isclose(low, high)))
    marked, said = table.pop("marked").fillna(0), table.pop("said").fillna(0)
    table.insert(3, "is_control", (marked > 0).astype("boolean").where(said > 0))
    table.insert(4, "is_contradicted", (marked > 0) & (marked < said))
    moments = [_moments(row) for row in table.to_dict("records")]
    return table.drop(
        columns=[
            "n_y",
            "x",
            "xx",
            "y",
            "yy",
            "xy",
            "xc",
        ]
    ).join(pd.DataFrame(moments, columns=[*MOMENTS, "cov_xc"], index=table.index))


def _stated(dealt: Table) -> Table:
    """One row per test and arm: what its rows say of it."""
    return dealt.group_by("test_id", "arm").aggregate(
        low=_.planned_share.min(),
        high=_.planned_share.max(),
        marked=one_if(dealt.is_control).sum(),
        said=_.is_control.count(),
    )


def _visitors(dealt: Table, tests: Table, as_of: dt.date) -> Table:
    """One row per test and visitor, its outcome missing until the window is over."""
    visitors = dealt.group_by("test_id", "visitor_id").aggregate(
        n_arms=_.arm.nunique(),
        arm=_.arm.min(),
        assigned_at=_.assigned_at.min(),
        converted=one_if(dealt.is_converted).max(),
        amount=_.amount.cast(MONEY).max(),
        y=_.amount_before.cast(MONEY).max(),
    )
    visitors = visitors.join(tests, "test_id")
    end = (pd.Timestamp(as_of) + pd.Timedelta(days=1)).timestamp()
    over_at = visitors.assigned_at.epoch_seconds() + visitors.outcome_days * SECONDS_A_DAY
    is_over = over_at < end
    visitors = visitors.mutate(converted=is_over.ifelse(visitors.converted, ibis.null("int64")))
    known = visitors.amount.fill_null(ibis.literal(0).cast(MONEY))
    x = (visitors.converted == 0).ifelse(known, visitors.amount)
    return visitors.mutate(x=is_over.ifelse(x, ibis.null(MONEY)))


def _capped(visitors: Table, quantile: float) -> Table:
    """The visitors with amounts cut at a quantile of the test's buyers."""
    if quantile >= 1:
        return visitors.mutate(amount_cap=ibis.null(MONEY), is_capped=ibis.literal(0))
    bought = visitors.filter((_.x > 0) & (_.n_arms == 1))
    caps = bought.group_by("test_id").aggregate(
        amount_cap=_.x.cast("float64").quantile(quantile).round(6).cast(MONEY)
    )
    joined = visitors.left_join(caps, "test_id").drop("test_id_right")
    is_capped = (joined.x > joined.amount_cap).fill_null(False)
    return joined.mutate(
        is_capped=one_if(is_capped), x=is_capped.ifelse(joined.amount_cap, joined.x)
    )


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
        xc=_.x.sum(where=_.converted == 1),
        n_capped=_.is_capped.sum(),
        amount_cap=_.amount_cap.max(),
    )


def _moments(row: dict[str, Any]) -> list[float]:
    """Means, variances and covariance from one arm's exact sums."""
    n = row["n_x"]
    if n < 2:
        return [np.nan] * (len(MOMENTS) + 1)
    x, xx = Fraction(row["x"]), Fraction(row["xx"])
    moments = [x / n, (xx - x * x / n) / (n - 1)]
    xc, bought = row["xc"], row["converted"]
    is_whole = n == row["n"] and not pd.isna(xc)
    with_bought = (Fraction(xc) - x * bought / n) / (n - 1) if is_whole else np.nan
    if row["n_y"] < n:
        return [
            *map(float, moments),
            np.nan,
            np.nan,
            np.nan,
            float(with_bought),
        ]
    y, yy, xy = (Fraction(row[name]) for name in ("y", "yy", "xy"))
    moments += [y / n, (yy - y * y / n) / (n - 1), (xy - x * y / n) / (n - 1)]
    return [*map(float, moments), float(with_bought)]
