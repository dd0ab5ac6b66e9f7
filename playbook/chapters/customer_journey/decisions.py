"""The decision rows in which chapter 08 ends: their kinds stand in `chapter.yaml`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.customer_journey.aftersales import above_the_others
from playbook.chapters.customer_journey.attempts import ALL, ALPHA
from playbook.chapters.customer_journey.visits import SPLITS
from playbook.decisions import decision_rows, propose
from playbook.detect.incidents import lasting
from playbook.detect.proposals import lasting_rows
from playbook.given import dated
from playbook.messages import say

__all__ = [
    "aftersales_decisions",
    "attempt_decisions",
    "journey_decisions",
    "open_questions",
    "page_decisions",
    "service_decisions",
    "with_most",
]

MOST_LEAKS = 3  # leaks that become decisions, the dearest first
STILL_ON_DAYS = 2  # a fault seen within so many days of the last one still goes on
CLOSED_DAYS = 14  # a fault that has been over for so many days is closed
STEADY_DAYS = 14  # a test dealt over fewer days reached those of one sending
DAYS_A_MONTH = 365.25 / 12


@dated
def journey_decisions(
    leaks: DataFrame,
    tests: DataFrame,
    *,
    plan: DataFrame | None = None,
    margin_per_order: float | None = None,
    currency: str = "",
    due_on: str | None = None,
    revisit_on: str | None = None,
    as_of: dt.date | None = None,
) -> DataFrame:
    """The chapter's decision rows, in the fields of `Decision`.

    The dearest leaks become `mend` and `test a fix` (gaps). A fault that still goes on
    at the end of the month costs what it cost in the month again; one that is over costs
    nothing more, and one that was over for a fortnight is closed. What a gap costs is a
    bound, not what a fix would bring. Every test gets its verdict unless it is asked
    about, and the next one is revisited when it has run. A test that ships is worth what
    it adds among those who would get it: orders per visitor more than the control, times
    the visitors dealt (a month's where it was dealt over two weeks or more, else those of
    one sending), times `margin_per_order` where that is known; never more than `most` of
    the table (`with_most`). One that read fewer visitors than the lift worth finding asks
    for is of medium confidence: what such a test finds is mostly more than the truth.
    """
    common = {
        "due_on": due_on,
        "revisit_on": revisit_on,
        "currency": currency,
    }
    rows = [_leak(leak, as_of, common) for leak in leaks.head(MOST_LEAKS).itertuples()]
    margin = np.nan if margin_per_order is None else float(margin_per_order)
    read = tests[tests.verdict != "ask"] if len(tests) else tests
    rows += [_test(test, margin, common) for test in read.itertuples()]
    if plan is not None and len(plan) and len(leaks):
        rows.append(_next_test(leaks["step"].iloc[0], plan.iloc[0], common))
    return decision_rows(rows)


@dated
def with_most(tests: DataFrame, happened: DataFrame, *, as_of: dt.date) -> DataFrame:
    """The tests with `most`, money a month: what the newest month went without since a test
    that won had ended, as the table of incidents (`happened`) tells it; missing for others.
    Shipping its arm mends no more than that.
    """
    ended = happened[(happened.kind == "test_ended") & (happened.month == f"{as_of:%Y-%m}")]
    most = (ended.amount / ended.n_days * DAYS_A_MONTH).set_axis(ended.subject)
    return tests.assign(most=tests.test_id.map(most).astype(float)) if len(tests) else tests


@dated
def aftersales_decisions(
    happened: DataFrame, back: DataFrame | None, *, as_of: dt.date, **common: Any
) -> DataFrame:
    """A way to pay that fails, a carrier that is late and a reason of refunds that rises,
    as the table of incidents (`happened`) tells them where they last until as-of, each a
    month at its cost so far; and carriers whose parcels come back more than the others'
    (`back`: the returns). `common`: due_on, revisit_on, currency.
    """
    kinds = ("payment_down", "carrier_late", "reason_rises")
    rows = lasting_rows("customer_journey", happened, kinds, as_of=as_of, **common)
    for row in above_the_others(back).itertuples() if back is not None else ():
        if row.key not in {one["subject"] for one in rows}:
            known = {"size": float(row.n_returned), "effect": (row.above,)} | common
            known |= {"evidence_value": row.share, "threshold": row.others_share}
            rows.append(propose("customer_journey.carrier_returns", row.key, **known))
    return decision_rows(rows)


@dated
def attempt_decisions(
    messages: DataFrame | None, happened: DataFrame, *, as_of: dt.date, **common: Any
) -> DataFrame:
    """Messages of failed payments that surely lose more than usual, the dearest first, each way
    and message once. `messages`: payment_messages, None where there is none. One that rose on all
    devices is left to the row of a way to pay that is down, where the incidents (`happened`) tell
    of one. `common`: due_on, revisit_on, currency.
    """
    if messages is None or messages.empty:
        return decision_rows([])
    sure = messages[(messages.p_adjusted <= ALPHA) & (messages.lost_orders > 0)]
    if len(lasting(happened, ("payment_down",), as_of=as_of)):
        sure = sure[sure.device != ALL]
    rows = []
    dearest = sure.drop_duplicates(["method", "message"]).head(MOST_LEAKS)
    for row in dearest.itertuples():
        is_priced = pd.notna(row.lost)
        effect = {"effect": (row.lost, row.lost_low, row.lost_high)} if is_priced else {}
        rows.append(
            propose(
                "customer_journey.payment_message",
                f"{row.method}, {row.device}: {row.message}",
                size=row.lost_orders,
                evidence_value=row.share,
                threshold=row.usual_share,
                n=int(row.n_failed),
                won=row.won_share,
                share=row.share,
                usual=row.usual_share,
                against=say(f"customer_journey.against_{row.against.replace(' ', '_')}"),
                **effect,
                **common,
            )
        )
    return decision_rows(rows)


def page_decisions(losses: DataFrame | None, **common: Any) -> DataFrame:
    """Pages that surely lose orders where they changed or fail, the dearest first, and a test of
    a faster page where slow loads surely go with fewer orders. `losses`: page_losses, None where
    there is none; a page that changed is not named for its errors too. `common`: due_on,
    revisit_on, currency.
    """
    if losses is None or losses.empty:
        return decision_rows([])
    sure = losses[(losses.p_adjusted <= ALPHA) & (losses.lost_orders > 0)]
    mended = sure[sure.kind != "slow"].drop_duplicates(["page", "device"]).head(MOST_LEAKS)
    slow = sure[sure.kind == "slow"].head(1)
    return decision_rows([_page(row, common) for row in pd.concat([mended, slow]).itertuples()])


def _page(row: NamedTuple, common: dict[str, Any]) -> dict[str, Any]:
    """What to do about a page: mend what it costs, or test what that is at most."""
    is_priced = pd.notna(row.lost) and row.kind != "slow"
    effect = {"effect": (row.lost, row.lost_low, row.lost_high)} if is_priced else {}
    return propose(
        f"customer_journey.page_{row.kind}",
        say(f"customer_journey.page_{row.kind}_subject", page=row.page, device=row.device),
        size=row.lost_orders,
        evidence_value=row.with_share,
        threshold=row.without_share,
        n=int(row.n_with),
        share=row.with_share,
        usual=row.without_share,
        most=row.lost_high,
        **effect,
        **common,
    )


def service_decisions(
    ways: DataFrame | None,
    policy: DataFrame | None,
    *,
    named: Collection[str] = (),
    currency: str,
    due_on: str,
    revisit_on: str,
) -> DataFrame:
    """Ways to pay that surely lose orders to the others, the dearest first; and a test of the
    policy on returns that could be worth most. `ways`: payment_methods; `policy`:
    return_policy; None where there is none. A way and device that is `named` in a row already,
    by the message with which it fails, is left to that row.
    """
    common = {"due_on": due_on, "revisit_on": revisit_on, "currency": currency}
    rows = []
    if ways is not None:
        is_told = [f"{way.method}, {way.device}" in named for way in ways.itertuples()]
        ways = ways[~np.array(is_told, dtype=bool)]
        for way in ways[ways.lost_low > 0].head(MOST_LEAKS).itertuples():
            effect = (way.lost, way.lost_low, way.lost_high)
            known = {"share": way.share, "others": way.others_share, "effect": effect} | common
            known |= {"size": way.lost_orders, "evidence_value": way.share}
            known["threshold"] = way.others_share
            subject = f"{way.method}, {way.device}"
            rows.append(propose("customer_journey.payment_fails", subject, **known))
    if policy is not None and policy.most.max() > 0:
        best = policy.loc[policy.most.idxmax()]
        known = {"most": best.most, "size": best.n_returns, "evidence_value": best.most}
        name = say(f"customer_journey.policy_{best.policy}")
        rows.append(propose("customer_journey.policy_test", name, **known, **common))
    return decision_rows(rows)


def open_questions(tests: DataFrame) -> DataFrame:
    """One row per test that is asked about instead of read: test_id, needs (the column that
    would say), reason.
    """
    columns = ["test_id", "needs", "reason"]
    if tests.empty:
        return DataFrame(columns=columns)
    asked = tests[tests.verdict == "ask"].drop_duplicates("test_id")
    lacks_control = asked.control == ""
    needs = np.where(
        lacks_control,
        "experiments.is_control",
        "experiments.planned_share",
    )
    reason = asked.test_id + ": " + asked.reason
    return asked.assign(needs=needs, reason=reason)[columns].reset_index(drop=True)


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
    """A test's verdict, priced where it ships and the margin of an order is known."""
    if test.verdict == "ship" and not np.isnan(margin):
        is_steady = test.n_dealt_days >= STEADY_DAYS
        reached = test.n_dealt * (DAYS_A_MONTH / test.n_dealt_days if is_steady else 1)
        worth = test.control_share * reached * margin
        most = getattr(test, "most", np.nan) if is_steady else np.nan
        if test.lift * worth > most:
            worth = most / test.lift
        common = common | {
            "effect": [lift * worth for lift in (test.lift, test.low, test.high)],
            "effect_kind": "margin",
            "effect_period": "month" if is_steady else "once",
        }
    if test.verdict == "ship":
        is_large = min(test.n_control, test.n_arm) >= getattr(test, "n_needed", np.nan)
        common = common | {"confidence": "high" if is_large else "medium"}
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
