"""What to do about a test: the fixed order in which it is read, and the only three
words that may come of it.

First whether the arms are what was planned (sample ratio: Fabijan et al. 2019, KDD),
then whether it has run as long and as large as planned (a fixed horizon: no peeking),
and only then, once, what it changed.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.customer_journey.arms import arm_sums
from playbook.chapters.customer_journey.visits import SPLITS
from playbook.messages import say
from playbook.methods.experiment import (
    compare_means,
    sample_ratio_p,
    sample_size,
    smallest_lift,
)
from playbook.tables import frame_of, returns

__all__ = ["read_tests", "test_sizes"]

#: names of the arm that changes nothing, the most telling one first
CONTROLS = ("control", "a", "baseline", "original", "off", "holdout")
SAMPLE_RATIO_LIMIT = 0.001  # a split less likely than this was not dealt as planned
LEAST_PLANNED = 0.99  # planned shares of all arms seen must add up to this
STILL_DEALING_DAYS = 1  # an assignment within this many days: the test is not over
ALPHA = 0.05  # chance of a false winner in a test, shared by its treated arms


@dataclass(frozen=True)
class _Plan:
    """What a test was planned to find, how long it runs, and its share of alpha."""

    worth_lift: float
    min_days: int
    alpha: float


@returns("customer_journey.tests")
def read_tests(
    experiments: ibis.Table, *, as_of: dt.date, worth_lift: float = 0.05, min_days: int = 14
) -> DataFrame:
    """One row per test and treated arm: was it dealt as planned, what did it change,
    and what to do.

    The order of reading is fixed. (1) An arm that is empty, a planned share not stated,
    or a sample ratio p below .001 ends the reading: `is_valid` false, verdict `stop`,
    lift, low, high and p missing. (2) Before `min_days` or, while still dealing
    (assignments in the last two days), before the n per arm that finds `worth_lift`
    four times in five: verdict `keep running`, whatever the p. (3) Then once: `ship`
    when the interval of the lift lies above 0 and that of the amount per visitor not
    below it, else `stop`. Several treated arms share alpha. Sorted by test, arm.
    """
    rows = []
    for _test, arms in arm_sums(experiments, as_of=as_of).groupby("test_id", sort=True):
        control = _control(arms)
        treated = arms[arms.arm != control["arm"]]
        srm_p = sample_ratio_p(arms.n_assigned, arms.planned_share)
        flaw = _flaw(arms, len(treated), srm_p)
        plan = _Plan(worth_lift, min_days, ALPHA / max(len(treated), 1))
        for arm in (treated if len(treated) else arms).to_dict("records"):
            row = _dealt(arm, control, as_of) | {"srm_p": srm_p, "is_valid": not flaw}
            row |= (
                {"verdict": "stop", "reason": say(flaw)} if flaw else _read(row, arm, control, plan)
            )
            rows.append({"is_adjusted": False} | row)
    return frame_of("customer_journey.tests", rows)


def test_sizes(
    funnel: DataFrame, *, as_of: dt.date, worth_lift: float = 0.05, min_days: int = 14
) -> DataFrame | None:
    """How large the next test must be to find the lift worth finding, twice and four
    times that: `sample_size` at the month's sessions and share that buys. None where
    nobody buys.
    """
    whole = funnel[(funnel[list(SPLITS)] == "all").all(axis=1)]
    for row in whole[(whole.step == "purchase") & (whole.reached > 0)].head(1).itertuples():
        lifts = [worth_lift * times for times in (1, 2, 4)]
        per_day = row.n_sessions / as_of.day
        return sample_size(
            row.share,
            lifts,
            visitors_per_day=per_day,
            min_days=min_days,
        )
    return None


def _control(arms: DataFrame) -> dict[str, Any]:
    """The arm that changes nothing, by its name; the first one where no name tells."""
    by_name = arms.arm.str.lower()
    named = [arms[by_name == name] for name in CONTROLS if (by_name == name).any()]
    return (named[0] if named else arms).iloc[0].to_dict()


def _flaw(arms: DataFrame, n_treated: int, srm_p: float) -> str:
    """The message that says why a test cannot be read; empty where it can."""
    planned = arms.planned_share
    is_short = planned.sum() < LEAST_PLANNED
    if not n_treated or (arms.n_assigned == 0).any() or is_short:
        is_stated = planned.notna().all()
        return "customer_journey.empty_arm" if is_stated else "customer_journey.no_planned_share"
    if planned.isna().any():
        return "customer_journey.split_not_checked"
    return "customer_journey.uneven_split" if srm_p < SAMPLE_RATIO_LIMIT else ""


def _dealt(arm: dict[str, Any], control: dict[str, Any], as_of: dt.date) -> dict[str, Any]:
    """Who was dealt to the two arms, and over which days."""
    first = min(arm["first_on"], control["first_on"])
    last = max(arm["last_on"], control["last_on"])
    is_known = pd.notna(first) and pd.notna(last)
    over_before = as_of - dt.timedelta(days=STILL_DEALING_DAYS)
    return {
        "test_id": str(arm["test_id"]),
        "arm": arm["arm"],
        "control": control["arm"],
        "n_control": int(control["n_assigned"]),
        "n_arm": int(arm["n_assigned"]),
        "n_in_two_arms": int(arm["n_in_two_arms"]),
        "n_days": (last - first).days + 1 if is_known else 0,
        "is_over": bool(pd.notna(last) and last.date() < over_before),
    }


def _read(
    dealt: dict[str, Any], arm: dict[str, Any], control: dict[str, Any], plan: _Plan
) -> dict[str, Any]:
    """What the change did to buying and to money, and what follows."""
    share = control["converted"] / control["n"] if control["n"] else np.nan
    n = min(control["n"], arm["n"])
    level = 1 - plan.alpha
    bought = compare_means(_conversion(control), _conversion(arm), level=level)
    money = compare_means(_amount(control), _amount(arm), level=level)
    facts = {
        "control_share": bought["control"],
        "arm_share": bought["treatment"],
        **{name: bought[name] for name in ("lift", "low", "high", "p")},
        **{f"amount_{name}": money[name] for name in ("lift", "low", "high", "p")},
        "is_adjusted": money["is_adjusted"],
        "n_needed": _needed(share, plan),
        "smallest_lift": smallest_lift(share, n, alpha=plan.alpha),
    }
    verdict, reason = _verdict(dealt | facts, n, plan)
    return facts | {"verdict": verdict, "reason": reason}


def _conversion(arm: dict[str, Any]) -> dict[str, float]:
    """Count, mean and variance of visitors that bought or not."""
    n, bought = int(arm["n"]), arm["converted"]
    if n < 2:
        return {"n": n, "mean": np.nan, "var": 0.0}
    return {"n": n, "mean": bought / n, "var": bought * (n - bought) / (n * (n - 1))}


def _amount(arm: dict[str, Any]) -> dict[str, float]:
    """Count and moments of the amount per visitor, and of what was bought before."""
    return arm | {"n": int(arm["n_x"]), "mean": arm["mean_x"], "var": arm["var_x"]}


def _needed(share: float, plan: _Plan) -> float:
    """Visitors per arm that find the lift worth finding; missing where none could."""
    if not 0 < share < 1 / (1 + plan.worth_lift):
        return np.nan
    return float(sample_size(share, plan.worth_lift, alpha=plan.alpha)["n_per_arm"].iloc[0])


def _verdict(read: dict[str, Any], n: int, plan: _Plan) -> tuple[str, str]:
    """One of three words, and why: first time, then size, then what was changed."""
    days, needed = read["n_days"], read["n_needed"]
    is_large = n >= needed
    if days < plan.min_days:
        return "keep running", say("customer_journey.too_early", days=days, needed=plan.min_days)
    if np.isnan(read["low"]):
        return "keep running", say("customer_journey.too_few_conversions")
    if not read["is_over"] and not is_large:
        return "keep running", say("customer_journey.too_few_visitors", n=n, needed=needed)
    if read["low"] > 0 and not read["amount_high"] < 0:
        return "ship", say("customer_journey.more_buy")
    if read["low"] > 0:
        return "stop", say("customer_journey.more_buy_for_less")
    if read["high"] < 0:
        return "stop", say("customer_journey.fewer_buy")
    if is_large:
        return "stop", say("customer_journey.no_difference")
    return "stop", say("customer_journey.too_small")
