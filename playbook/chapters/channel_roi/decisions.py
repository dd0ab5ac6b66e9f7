"""From the plan, the accounts and the response to what is done with each channel."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from playbook.chapters.channel_roi.media_plan import BudgetPlan
from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.messages import say

__all__ = ["Findings", "channel_decisions"]

# complete months in a row below break-even after which a channel is weak
WEAK_MONTHS = 2
DUE_DAYS, REVISIT_DAYS = 7, 35
# a test by time: the share of spend that is off every other week, for so many days
STEP_SHARE, STEP_DAYS, DAYS_A_MONTH = 0.5, 56, 365.25 / 12


@dataclass(frozen=True)
class Findings:
    """What the chapter found: the plan (`plan_budget`), the accounts (`channel_pnl`) and
    their months (`channel_months`; none where channels may not be compared), the
    response (`response_table`), where and how long to test (`geo_plan`), whether
    spend follows demand, and the one estimate a channel (`combined`).
    """

    plan: BudgetPlan
    pnl: DataFrame
    months: DataFrame
    response: DataFrame
    tests: DataFrame | None = None
    is_flagged: bool = False
    combined: DataFrame | None = None

    def verdict(self, channel: str) -> str:
        """What all methods together say of a channel; empty where nothing was combined."""
        if self.combined is None:
            return ""
        rows = self.combined.set_index("channel")["verdict"]
        return str(rows.get(channel, ""))

    def together(self, channel: str) -> str:
        """What all methods together say a unit of a channel's spend brings on average, and
        what its next new customer costs; nothing of what was not combined.
        """
        if self.combined is None or channel not in set(self.combined.channel):
            return ""
        row = self.combined.set_index("channel").loc[channel]
        told = say("channel_roi.together", **row[["combined", "low", "high"]])
        cost = row.get("next_ncac", np.nan)
        bid = say("channel_roi.next_customer", cost=cost) if pd.notna(cost) else ""
        return ("" if pd.isna(row["combined"]) else told) + bid


@dated
def channel_decisions(
    findings: Findings,
    *,
    as_of: dt.date,
    currency: str,
    payback_cap: float = 12.0,
    strategic: Collection[str] = (),
) -> DataFrame:
    """The decision rows of the budget, in the fields of `Decision`: one per channel of
    the response.

    raise or lower as the plan says where its gain is sure enough; hold where it is not,
    and test the channel whose return is least known for the money it takes; pause where
    ROAS lay below break-even in the last two complete months and the response does not
    contradict (lower or test where it does: tracking may miss what a channel causes),
    but never a `strategic` channel; hold instead of raise where payback takes more than
    `payback_cap` months. A test says where and how long, or that no test could tell.
    Beside each reason stands what all methods together say, which is of the mean unit.
    The evidence is marginal ROAS (marginal margin per unit of spend times break-even
    ROAS) against break-even ROAS.
    """
    response = findings.response.set_index("channel")
    accounts = findings.pnl.set_index("channel").reindex(response.index)
    width = ((response.high - response.low) * response.spend_now).where(
        response.verdict == "identified"
    )
    least_known = width.idxmax() if width.notna().any() else None
    steps = findings.plan.table.set_index("channel")
    dates = {
        "due_on": str(as_of + dt.timedelta(days=DUE_DAYS)),
        "revisit_on": str(as_of + dt.timedelta(days=REVISIT_DAYS)),
    }
    rows = []
    for channel, answer in response.iterrows():
        step, account = steps.loc[channel], accounts.loc[channel]
        is_weak, is_slow = _is_weak(findings.months, channel), account.payback_months > payback_cap
        kind = _kind(findings.plan, step, answer, is_weak=is_weak, is_slow=is_slow)
        kind = _signed(kind, findings.verdict(channel), answer.verdict == "identified")
        if kind == "test_unsure" and channel != least_known:
            kind = "hold_unsure"
        if kind.startswith("pause") and channel in strategic:
            kind = f"strategic_{kind}"
        values = {
            "confidence": _confidence(findings, answer),
            "evidence_value": answer.marginal_return * account.be_roas,
            "threshold": account.be_roas,
            "note": answer.note,
            "how": _how_to_test(findings.tests, channel),
            "currency": currency,
        }
        values |= dates | _sizes(kind, step)
        if kind.startswith("test"):
            values |= _test_sizes(findings.tests, channel, float(step.now), as_of)
        row = propose(f"channel_roi.budget_{kind}", channel, **values)
        rows.append(row | {"reason": row["reason"] + findings.together(channel)})
    return decision_rows(rows)


def _sizes(kind: str, step: Series) -> dict:
    """How much, and with what effect: of a move as planned, of a pause all of today's."""
    if kind in ("raise", "lower"):
        effect = tuple(step[["gain", "gain_low", "gain_high"]].astype(float))
        return {"size": float(step.change), "effect": effect}
    return {"size": -float(step.now)} if kind.startswith("pause") else {}


def _test_sizes(
    tests: DataFrame | None, channel: str, now: float, as_of: dt.date
) -> dict[str, object]:
    """What a test moves, in money, and when it is read: as the geo plan says; where no
    test by region can tell, half of the channel's spend every other week. Nothing where
    the spend is not known.
    """
    mine = tests[(tests.channel == channel) & tests.is_worthwhile] if tests is not None else None
    starts = as_of + dt.timedelta(days=DUE_DAYS)
    if mine is not None and len(mine):
        test = mine.iloc[0]
        size, days = float(test.spend_moved), int(test.days)
    else:
        size, days = now * STEP_SHARE / 2 * STEP_DAYS / DAYS_A_MONTH, STEP_DAYS
    read_on = str(starts + dt.timedelta(days=days))
    return {"size": round(size, 2) if np.isfinite(size) else None, "revisit_on": read_on}


def _is_weak(months: DataFrame, channel: str) -> bool:
    """Did the channel's margin not pay its spend in the last two complete months?"""
    ripe = months[(months.channel == channel) & (months.status == "complete")]
    last = ripe[ripe.spend > 0].tail(WEAK_MONTHS)
    return len(last) == WEAK_MONTHS and bool((last.margin < last.spend).all())


def _kind(
    plan: BudgetPlan,
    step: Series,
    answer: Series,
    *,
    is_weak: bool,
    is_slow: bool,
) -> str:
    """The kind of decision the evidence asks for, before what only one channel may be."""
    moves = (plan.verdict, step.action)
    if answer.verdict != "identified":
        return "pause_unidentified" if is_weak else "hold_unidentified"
    if is_weak and answer.average_return < 1:
        return "pause_weak"
    if is_weak and moves != ("move", "lower"):
        return "test_weak"
    if np.isnan(answer.marginal_return):
        return "hold_no_advice"
    if "hold and test" in moves:
        return "test_unsure"
    if step.action == "raise":
        return "hold_slow" if is_slow else "raise"
    return "lower" if step.action == "lower" else "hold_right"


def _signed(kind: str, verdict: str, is_identified: bool) -> str:
    """The kind of decision that the combined verdict lets stand."""
    if verdict in ("", "loses"):
        return "hold_unsure" if verdict and kind == "raise" else kind
    if kind.startswith("pause"):
        if verdict == "not judged":
            return "hold_unidentified" if not is_identified else "hold_unsure"
        return "test_weak" if is_identified else "test_unidentified"
    return "hold_unsure" if kind == "raise" and verdict == "not judged" else kind


def _how_to_test(tests: DataFrame | None, channel: str) -> str:
    """Where and how long to test; nothing where no test was planned."""
    mine = tests[tests.channel == channel] if tests is not None else DataFrame()
    if mine.empty:
        return ""
    worthwhile = mine[mine.is_worthwhile]
    if worthwhile.empty:
        return say("channel_roi.no_test_tells", days=mine.days.max())
    test = worthwhile.iloc[0]
    return say(
        "channel_roi.how_to_test",
        days=test.days,
        regions=test.regions,
        least=test.smallest_return,
    )


def _confidence(findings: Findings, answer: Series) -> str:
    is_unsure = findings.plan.verdict in ("hold and test", "must move")
    is_rough = answer.verdict != "identified"
    if is_unsure or is_rough or findings.is_flagged:
        return "low"
    return "high" if answer.low > 1 or answer.high < 1 else "medium"
