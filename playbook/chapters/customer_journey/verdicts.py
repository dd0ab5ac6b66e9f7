"""What to do about a test: the fixed order in which it is read, and the only four
words that may come of it.

First which arm changes nothing, as stated and never guessed; then whether the arms are what
was planned (sample ratio: Fabijan et al. 2019, KDD), whether it has run as long and as large
as planned and its outcomes are in (a fixed horizon: no peeking), and only then, once, what it
changed. Of several arms one ships.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import ibis
import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.customer_journey.arms import arm_sums
from playbook.chapters.customer_journey.controls import control_arm
from playbook.chapters.customer_journey.visits import SPLITS
from playbook.given import dated
from playbook.messages import say
from playbook.methods.always_valid import always_valid_lift
from playbook.methods.experiment import (
    compare_means,
    compare_ratios,
    sample_ratio_p,
    sample_size,
    smallest_lift,
)
from playbook.methods.several_arms import adjusted_p, single_alpha
from playbook.tables import frame_of, returns

__all__ = [
    "read_arms",
    "read_tests",
    "test_sizes",
]

SAMPLE_RATIO_LIMIT = 0.001  # a split less likely than this was not dealt as planned
LEAST_PLANNED = 0.99  # planned shares of all arms seen must add up to this
STILL_DEALING_DAYS = 1  # an assignment within this many days: the test is not over
ALPHA = 0.05  # chance of a false winner in a test, shared by its treated arms


@dataclass(frozen=True)
class _Plan:
    """What a test was planned to find, how long it runs, its chance of a false winner, and
    that of one of its comparisons.
    """

    worth_lift: float = 0.05
    min_days: int = 14
    alpha: float = ALPHA
    single: float = ALPHA
    n_arms: int = 1


@returns("customer_journey.tests")
def read_tests(
    experiments: ibis.Table,
    *,
    as_of: dt.date,
    worth_lift: float = 0.05,
    min_days: int = 14,
    outcome_days: int = 14,
    cap_quantile: float = 1.0,
    control: Mapping[str, Any] | str | None = None,
) -> DataFrame:
    """One row per test and treated arm: was it dealt as planned, what did it change,
    and what to do. A test whose control nobody states has one row per arm, `control`
    empty, and the verdict `ask`.

    The order of reading is fixed. (1) Without a control or a planned share: `ask`. An arm
    that is empty or a sample ratio p below .001: `stop`. Either way `is_valid` is false and
    lift, low, high and p are missing. (2) While outcomes are still coming in (within
    `outcome_days` of the last assignment): `keep running` before `min_days` or before the
    n per arm that finds `worth_lift` four times in five, whatever the p. (3) Then once: a
    candidate is an arm whose interval of the lift lies above 0 and that of the amount per
    visitor not below it; the one with the highest lift may `ship`, every other arm does
    `stop`. Treated arms are held against the control together (Dunnett). Beside it stands
    the interval that holds on every day at once. Sorted by test, arm.

    Raises:
        PlaybookError: `control` (an arm, or test -> arm) names an arm the test has not.
    """
    sums = arm_sums(
        experiments,
        as_of=as_of,
        outcome_days=outcome_days,
        cap_quantile=cap_quantile,
    )
    plan = _Plan(
        worth_lift,
        min_days,
        ALPHA,
    )
    tests = sums.groupby("test_id", sort=True)
    rows = [
        read_arms(
            arms,
            as_of=as_of,
            plan=plan,
            control=control,
        )
        for _test, arms in tests
    ]
    return frame_of("customer_journey.tests", [row for part in rows for row in part])


@dated
def read_arms(
    arms: DataFrame,
    *,
    as_of: dt.date,
    plan: _Plan | None = None,
    control: Mapping[str, Any] | str | None = None,
) -> list[dict[str, Any]]:
    """One test read from the sums of its arms (`arm_sums`): its rows of the table of tests."""
    named = control_arm(arms, stated=control)
    if not named:
        return _asked(arms, as_of)
    return _read_test(
        arms,
        named,
        as_of,
        plan or _Plan(),
    )


def _asked(arms: DataFrame, as_of: dt.date) -> list[dict[str, Any]]:
    """The arms of a test whose control nobody states: nothing is decided."""
    reason = say("customer_journey.which_control", arms=", ".join(arms.arm.astype(str)))
    asks = {
        "control": "",
        "is_valid": False,
        "is_adjusted": False,
        "verdict": "ask",
        "reason": reason,
    }
    return [
        _dealt(
            arm,
            arm,
            arms,
            as_of,
        )
        | asks
        for arm in arms.to_dict("records")
    ]


def _read_test(arms: DataFrame, named: str, as_of: dt.date, plan: _Plan) -> list[dict[str, Any]]:
    """The treated arms of one test, read against its control, one of them to ship at most."""
    is_control = arms.arm.astype(str) == named
    control = arms[is_control].iloc[0].to_dict()
    treated = arms[~is_control].to_dict("records")
    srm_p = sample_ratio_p(arms.n_assigned, arms.planned_share)
    verdict, flaw = _flaw(
        arms,
        len(treated),
        srm_p,
    )
    single = _single_alpha(
        control,
        treated,
        plan.alpha,
    )
    plan = replace(
        plan,
        single=single,
        n_arms=max(len(treated), 1),
    )
    rows = []
    for arm in treated or [control]:
        row = {"is_adjusted": False} | _dealt(
            arm,
            control,
            arms,
            as_of,
        )
        row |= {"srm_p": srm_p, "is_valid": not flaw}
        if flaw:
            row |= {"verdict": verdict, "reason": say(flaw)}
        else:
            row |= _read(
                row,
                arm,
                control,
                plan,
            )
        rows.append(row)
    if not flaw:
        rows = _adjusted(
            rows,
            control,
            treated,
        )
        _ship_one(
            rows,
            {arm["arm"]: arm for arm in treated},
            plan,
        )
    return rows


def _single_alpha(control: dict[str, Any], treated: list[dict[str, Any]], alpha: float) -> float:
    """The alpha of one comparison, so that all of the test hold `alpha` together."""
    if len(treated) < 2:
        return alpha
    return single_alpha(
        _error(control),
        [_error(arm) for arm in treated],
        alpha=alpha,
    )


def _error(arm: dict[str, Any]) -> float:
    """Variance of an arm's share of buyers; before any outcome by its size alone."""
    bought = _conversion(arm)
    known = bought["n"] >= 2 and bought["var"] > 0
    return bought["var"] / bought["n"] if known else 1 / max(int(arm["n_assigned"]), 1)


def _adjusted(
    rows: list[dict[str, Any]], control: dict[str, Any], treated: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows with the p that allows for having looked at all arms."""
    errors = [_error(arm) for arm in treated]
    adjusted = adjusted_p(
        [row["p"] for row in rows],
        _error(control),
        errors,
    )
    return [
        row | {"p_adjusted": float(p)}
        for row, p in zip(
            rows,
            adjusted,
            strict=True,
        )
    ]


def _ship_one(rows: list[dict[str, Any]], arms: dict[str, dict[str, Any]], plan: _Plan) -> None:
    """Of several arms that may ship, keep the one with the highest lift, and hold it
    against the runner-up.
    """
    winners = sorted(
        (row for row in rows if row["verdict"] == "ship"),
        key=lambda row: (-row["lift"], str(row["arm"])),
    )
    if len(winners) < 2:
        return
    best, second = winners[:2]
    level = 1 - plan.alpha
    rival = compare_means(
        _conversion(arms[second["arm"]]),
        _conversion(arms[best["arm"]]),
        level=level,
    )
    best |= {"rival": second["arm"]}
    best |= {f"rival_{name}": rival[name] for name in ("lift", "low", "high")}
    is_clear = rival["low"] > 0
    about = "beats_runner_up" if is_clear else "not_told_from_runner_up"
    best["reason"] = say(f"customer_journey.{about}", rival=second["arm"])
    for row in winners[1:]:
        row |= {"verdict": "stop", "reason": say("customer_journey.another_won", arm=best["arm"])}


@dated
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


def _flaw(arms: DataFrame, n_treated: int, srm_p: float) -> tuple[str, str]:
    """What to do about a test that cannot be read and the message why; empty where it can."""
    planned = arms.planned_share
    if not n_treated or (arms.n_assigned == 0).any():
        return "stop", "customer_journey.empty_arm"
    if planned.isna().all():
        return "ask", "customer_journey.no_planned_share"
    if planned.isna().any():
        return "ask", "customer_journey.split_not_checked"
    if planned.sum() < LEAST_PLANNED:
        return "stop", "customer_journey.empty_arm"
    is_uneven = srm_p < SAMPLE_RATIO_LIMIT
    return ("stop", "customer_journey.uneven_split") if is_uneven else ("", "")


def _dealt(
    arm: dict[str, Any], control: dict[str, Any], arms: DataFrame, as_of: dt.date
) -> dict[str, Any]:
    """Who was dealt to the two arms, over which days, and when their outcomes are in."""
    first, last = arms.first_on.min(), arms.last_on.max()
    is_known = pd.notna(first) and pd.notna(last)
    window = pd.Timedelta(days=float(arm["outcome_days"]))
    ends_on = pd.Timestamp(last) + max(window, pd.Timedelta(days=STILL_DEALING_DAYS + 1))
    until = min(pd.Timestamp(as_of), pd.Timestamp(last) + window) if is_known else pd.NaT
    return {
        "test_id": str(arm["test_id"]),
        "arm": str(arm["arm"]),
        "control": str(control["arm"]),
        "n_control": int(control["n_assigned"]),
        "n_arm": int(arm["n_assigned"]),
        "n_in_two_arms": int(arm["n_in_two_arms"]),
        "n_dealt": int(arms.n_assigned.sum()),
        "n_dealt_days": (last - first).days + 1 if is_known else 0,
        "n_days": (until - pd.Timestamp(first)).days + 1 if is_known else 0,
        "outcome_days": float(arm["outcome_days"]),
        "ends_on": ends_on,
        "is_over": bool(is_known and pd.Timestamp(as_of) >= ends_on),
        "amount_cap": arm["amount_cap"],
        "n_capped": int(arms.n_capped.sum()),
    }


def _read(
    dealt: dict[str, Any], arm: dict[str, Any], control: dict[str, Any], plan: _Plan
) -> dict[str, Any]:
    """What the change did to buying and to money, and what follows."""
    share = control["converted"] / control["n"] if control["n"] else np.nan
    n = min(control["n"], arm["n"])
    level = 1 - plan.single
    sides = _conversion(control), _conversion(arm)
    bought = compare_means(*sides, level=level)
    money = compare_means(
        _amount(control),
        _amount(arm),
        level=level,
    )
    basket = compare_ratios(
        _amount(control),
        _amount(arm),
        level=level,
    )
    always = always_valid_lift(*sides, alpha=plan.alpha / plan.n_arms)
    facts = {
        "control_share": bought["control"],
        "arm_share": bought["treatment"],
        **{name: bought[name] for name in ("lift", "low", "high", "p")},
        "always_low": always[0],
        "always_high": always[1],
        **{f"amount_{name}": money[name] for name in ("lift", "low", "high", "p")},
        **{f"basket_{name}": basket[name] for name in ("lift", "low", "high")},
        "is_adjusted": money["is_adjusted"],
        "n_needed": _needed(share, plan),
        "smallest_lift": smallest_lift(
            share,
            n,
            alpha=plan.single,
        ),
    }
    verdict, reason = _verdict(
        dealt | facts,
        n,
        plan,
    )
    return facts | {"verdict": verdict, "reason": reason}


def _conversion(arm: dict[str, Any]) -> dict[str, float]:
    """Count, mean and variance of visitors that bought or not."""
    n, bought = int(arm["n"]), arm["converted"]
    if n < 2:
        return {
            "n": n,
            "mean": np.nan,
            "var": 0.0,
        }
    return {
        "n": n,
        "mean": bought / n,
        "var": bought * (n - bought) / (n * (n - 1)),
    }


def _amount(arm: dict[str, Any]) -> dict[str, float]:
    """Count and moments of the amount per visitor, of what was bought before, and of buying."""
    bought = _conversion(arm)
    return arm | {
        "n": int(arm["n_x"]),
        "mean": arm["mean_x"],
        "var": arm["var_x"],
        "mean_d": bought["mean"],
        "var_d": bought["var"],
        "cov": arm["cov_xc"],
    }


def _needed(share: float, plan: _Plan) -> float:
    """Visitors per arm that find the lift worth finding; missing where none could."""
    if not 0 < share < 1 / (1 + plan.worth_lift):
        return np.nan
    return float(
        sample_size(
            share,
            plan.worth_lift,
            alpha=plan.single,
        )["n_per_arm"].iloc[0]
    )


def _verdict(read: dict[str, Any], n: int, plan: _Plan) -> tuple[str, str]:
    """One of three words, and why: first time, then size, then what was changed."""
    days, needed, is_over = read["n_days"], read["n_needed"], read["is_over"]
    is_large = n >= needed
    if n == 0 and not is_over:
        return "keep running", say("customer_journey.window_open", ends_on=read["ends_on"])
    if not is_over and days < plan.min_days:
        return "keep running", say(
            "customer_journey.too_early",
            days=days,
            needed=plan.min_days,
        )
    if np.isnan(read["low"]):
        return "keep running", say("customer_journey.too_few_conversions")
    if not is_over and not is_large:
        return "keep running", say(
            "customer_journey.too_few_visitors",
            n=n,
            needed=needed,
        )
    if read["low"] > 0 and not read["amount_high"] < 0:
        return "ship", say(f"customer_journey.more_buy{'' if is_large else '_few'}")
    if read["low"] > 0:
        return "stop", say("customer_journey.more_buy_for_less")
    if read["high"] < 0:
        return "stop", say("customer_journey.fewer_buy")
    if is_large:
        return "stop", say("customer_journey.no_difference")
    return "stop", say("customer_journey.too_small")
