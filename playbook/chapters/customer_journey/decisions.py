"""The decision rows in which chapter 08 ends: their kinds stand in `chapter.yaml`."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.customer_journey.visits import SPLITS
from playbook.decisions import decision_rows, propose
from playbook.messages import say

__all__ = ["journey_decisions"]

MOST_LEAKS = 3  # leaks that become decisions, the dearest first
STILL_ON_DAYS = 2  # a fault seen within so many days of the last one still goes on
CLOSED_DAYS = 14  # a fault that has been over for so many days is closed


def journey_decisions(
    leaks: DataFrame,
    tests: DataFrame,
    *,
    plan: DataFrame | None = None,
    coming_margin: float | None = None,
    currency: str = "",
    due_on: str | None = None,
    revisit_on: str | None = None,
    as_of: dt.date | None = None,
) -> DataFrame:
    """The chapter's decision rows, in the fields of `Decision`.

    The dearest leaks become `mend` and `test a fix` (gaps). A fault that still goes on
    at the end of the month costs what it cost in the month again; one that is over costs
    nothing more, and one that was over for a fortnight is closed. What a gap costs is a
    bound, not what a fix would bring. Every test gets its verdict, and the next one is
    revisited when it has run. A test that ships is worth its lift times `coming_margin`,
    the margin the next quarter is to bring, where both are known, as is its range.
    """
    common = {"due_on": due_on, "revisit_on": revisit_on, "currency": currency}
    rows = [_leak(leak, as_of, common) for leak in leaks.head(MOST_LEAKS).itertuples()]
    margin = np.nan if coming_margin is None else float(coming_margin)
    rows += [_test(test, margin, common) for test in tests.itertuples()]
    if plan is not None and len(plan) and len(leaks):
        rows.append(_next_test(leaks["step"].iloc[0], plan.iloc[0], common))
    return decision_rows(rows)


def _leak(leak: NamedTuple, as_of: dt.date | None, common: dict[str, Any]) -> dict[str, Any]:
    """A fault to mend or a gap to test a fix for, priced where orders have a margin."""
    days_over = 0 if as_of is None else (pd.Timestamp(as_of) - pd.Timestamp(leak.last_on)).days
    is_over = leak.kind == "fault" and days_over > STILL_ON_DAYS
    at_stake = "margin" if leak.kind == "fault" and not is_over else "margin_at_stake"
    segment = " ".join(x for x in (getattr(leak, name) for name in SPLITS) if x != "all")
    where = segment or say("customer_journey.whole_shop")
    is_priced = pd.notna(leak.lost_margin)
    in_orders = (leak.lost_orders, leak.orders_low, leak.orders_high)
    return propose(
        "customer_journey.fault_over" if is_over else f"customer_journey.{leak.kind}",
        f"{leak.step}, {where}",
        size=leak.lost_orders,
        effect=(leak.lost_margin, leak.low, leak.high) if is_priced else in_orders,
        effect_kind=at_stake if is_priced else "orders",
        is_idle=is_over and days_over >= CLOSED_DAYS,
        evidence_value=leak.step_share,
        threshold=leak.reference_share,
        first_on=leak.first_on,
        last_on=leak.last_on,
        **common,
    )


def _test(test: NamedTuple, margin: float, common: dict[str, Any]) -> dict[str, Any]:
    """A test's verdict, its lift priced where it ships and the coming margin is known."""
    is_priced = test.verdict == "ship" and not np.isnan(margin)
    if is_priced:
        lifts = (test.lift, test.low, test.high)
        common = common | {
            "effect": [lift * margin for lift in lifts],
            "effect_kind": "margin",
            "effect_period": "quarter",
        }
    return propose(
        f"customer_journey.{test.verdict}",
        f"{test.test_id}: {test.arm}",
        size=test.n_control + test.n_arm,
        evidence_value=test.lift,
        reason=test.reason,
        **common,
    )


def _next_test(step: str, plan: pd.Series, common: dict[str, Any]) -> dict[str, Any]:
    """The test to plan, revisited when it has run (missing where nobody knows when)."""
    ends_on = pd.Timestamp(common["due_on"]) + pd.to_timedelta(plan.days, unit="D")
    if pd.notna(ends_on):
        later = max(str(common["revisit_on"]), f"{ends_on:%Y-%m-%d}")
        common = common | {"revisit_on": later}
    return propose(
        "customer_journey.next_test",
        step,
        step=step,
        days=plan.days,
        size=float(plan.n_total),
        evidence_value=float(plan.n_per_arm),
        threshold=plan.lift,
        **common,
    )
