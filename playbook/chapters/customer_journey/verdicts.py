"""What to do about a test: the fixed order in which it is read, and the only three
words that may come of it.

First whether the arms are what was planned (sample ratio: Fabijan et al. 2019, KDD),
then whether it has run as long and as large as planned (a fixed horizon: no peeking),
and only then, once, what it changed.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.methods.experiment import (
    arm_sums,
    compare_means,
    sample_ratio_p,
    sample_size,
    smallest_lift,
)
from playbook.store import expression

__all__ = ["read_tests"]

CONTROLS = ("control", "a", "baseline", "original", "off", "holdout")
READING = [
    "test_id",
    "arm",
    "control",
    "n_control",
    "n_arm",
    "n_in_two_arms",
    "n_days",
    "is_over",
    "srm_p",
    "control_share",
    "arm_share",
    "lift",
    "low",
    "high",
    "p",
    "amount_lift",
    "amount_low",
    "amount_high",
    "amount_p",
    "is_adjusted",
    "n_needed",
    "smallest_lift",
    "is_valid",
    "verdict",
    "reason",
]


def read_tests(
    experiments: Any,
    *,
    as_of: Any,
    worth_lift: float = 0.05,
    min_days: int = 14,
    alpha: float = 0.05,
    power: float = 0.8,
    srm_limit: float = 0.001,
    controls: tuple[str, ...] = CONTROLS,
) -> pd.DataFrame:
    """One row per test and treated arm: was it dealt as planned, what did it change,
    and what to do.

    The order of reading is fixed. (1) An arm that is empty, a planned share not stated,
    or a sample ratio p below `srm_limit` ends the reading: `is_valid` false, verdict
    `stop`, lift, low, high and p missing. (2) Before `min_days` or, while still dealing
    (assignments in the last two days), before the n per arm that finds `worth_lift`
    with the stated power: verdict `keep running`, whatever the p. (3) Then once: `ship`
    when the interval of the lift lies above 0 and that of the amount per visitor not
    below it, else `stop`. Several treated arms share alpha.

    Columns: test_id, arm, control, n_control, n_arm, n_in_two_arms, n_days, is_over,
    srm_p, control_share, arm_share, lift (relative, of conversion), low, high, p,
    amount_lift, amount_low, amount_high, amount_p, is_adjusted (CUPED on
    amount_before), n_needed, smallest_lift (found with this n), is_valid, verdict,
    reason. Sorted by test, arm.
    """
    sums = arm_sums(
        expression(experiments).filter(
            _.assigned_at.date() <= ibis.literal(pd.Timestamp(as_of).date())
        )
    )
    rows = []
    for test, arms in sums.groupby("test_id", sort=True):
        by_name = arms["arm"].str.lower()
        known = [c for c in controls if (by_name == c).any()]
        control = arms[by_name == known[0]].iloc[0] if known else arms.iloc[0]
        treated = arms[arms["arm"] != control["arm"]]
        planned, srm_p = (
            arms["planned_share"],
            sample_ratio_p(arms["n_assigned"], arms["planned_share"]),
        )
        why = ""
        if not len(treated) or (arms["n_assigned"] == 0).any() or planned.sum() < 0.99:
            why = "an arm is empty" if planned.notna().all() else "planned share not stated"
        elif planned.isna().any():
            why = "planned share not stated, so the split cannot be checked"
        elif srm_p < srm_limit:
            why = "sample ratio: the split is not the planned one, so the arms cannot be compared"
        for arm in (treated if len(treated) else arms).to_dict("records"):
            rows.append(
                _reading(
                    str(test),
                    arm,
                    control,
                    why,
                    srm_p,
                    pd.Timestamp(as_of).date(),
                    worth_lift,
                    min_days,
                    alpha / max(len(treated), 1),
                    power,
                )
            )
    return pd.DataFrame(rows, columns=READING)


def _reading(
    test: str,
    arm: dict[str, Any],
    control: pd.Series,
    why: str,
    srm_p: float,
    today: dt.date,
    worth_lift: float,
    min_days: int,
    alpha: float,
    power: float,
) -> dict[str, Any]:
    """One arm beside the control, read in the fixed order."""
    first, last = min(arm["first_on"], control["first_on"]), max(arm["last_on"], control["last_on"])
    n_days = (last - first).days + 1 if pd.notna(last) and pd.notna(first) else 0
    is_over = pd.notna(last) and last.date() < today - dt.timedelta(days=1)
    share = control["converted"] / control["n"] if control["n"] else np.nan
    row = dict.fromkeys(READING, np.nan) | {
        "test_id": test,
        "arm": arm["arm"],
        "control": control["arm"],
        "n_control": int(control["n_assigned"]),
        "n_arm": int(arm["n_assigned"]),
        "n_in_two_arms": int(arm["n_in_two_arms"]),
        "n_days": n_days,
        "is_over": bool(is_over),
        "srm_p": srm_p,
        "is_adjusted": False,
        "is_valid": not why,
        "verdict": "stop",
        "reason": why,
    }
    if why:
        return row
    needed = (
        float(sample_size(share, worth_lift, alpha=alpha, power=power)["n_per_arm"].iloc[0])
        if (0 < share < 1 / (1 + worth_lift))
        else np.nan
    )
    n = min(control["n"], arm["n"])
    sides = [
        {
            "n": int(a["n"]),
            "mean": a["converted"] / a["n"],
            "var": a["converted"] * (a["n"] - a["converted"]) / (a["n"] * (a["n"] - 1)),
        }
        if a["n"] > 1
        else {"n": int(a["n"]), "mean": np.nan, "var": 0.0}
        for a in (control, arm)
    ]
    found = compare_means(*sides, level=1 - alpha)
    spent = [
        {
            "n": int(a["n_x"]),
            "mean": a["mean_x"],
            "var": a["var_x"],
            "mean_y": a["mean_y"],
            "var_y": a["var_y"],
            "cov_xy": a["cov_xy"],
        }
        for a in (control, arm)
    ]
    money = compare_means(*spent, level=1 - alpha)
    row |= {
        "control_share": found["control"],
        "arm_share": found["treatment"],
        "p": found["p"],
        "n_needed": needed,
        **{k: found[k] for k in ("lift", "low", "high")},
        "amount_p": money["p"],
        "is_adjusted": money["is_adjusted"],
        **{f"amount_{k}": money[k] for k in ("lift", "low", "high")},
        "smallest_lift": smallest_lift(share, n, alpha=alpha, power=power),
    }
    if n_days < min_days:
        verdict, reason = "keep running", f"{n_days} of {min_days} days"
    elif np.isnan(found["low"]):
        verdict, reason = "keep running", "too few conversions to compare"
    elif not is_over and not n >= needed:
        verdict, reason = "keep running", f"{n:,} of {needed:,.0f} visitors per arm"
    elif found["low"] > 0 and not money["high"] < 0:
        verdict, reason = "ship", "more visitors buy"
    elif found["low"] > 0:
        verdict, reason = "stop", "more visitors buy, but each brings less money"
    elif found["high"] < 0:
        verdict, reason = "stop", "fewer visitors buy"
    else:
        verdict, reason = (
            "stop",
            "no difference shown" + ("" if n >= needed else "; the test was too small"),
        )
    return row | {"verdict": verdict, "reason": reason}
