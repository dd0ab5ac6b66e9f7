"""One estimate a channel: what the accounts, the response and the geo tests say of the
margin a unit of spend brings, put together by how far each can be believed.

Weights are inverse variances (Hedges & Olkin 1985, ch. 6). A method's variance is its own
sampling error plus a floor for what it cannot see however many orders it counts: the last
touch credits orders that would have come anyway, the response takes demand that moved
spend for its effect, a geo test leaks across regions. A test that entered the response as
evidence is not counted a second time.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from playbook.measures.acquisition import LEAST_NEW
from playbook.methods.proportions import Z90
from playbook.tables import frame_of, returns

__all__ = ["FLOORS", "bends", "combined"]

#: systematic error of each method, share of the mean of the readings
FLOORS = {"account": 0.5, "response": 0.2, "geo": 0.1}


@returns("channel_roi.combined")
def combined(pnl: DataFrame, response: DataFrame, tests: DataFrame | None = None) -> DataFrame:
    """The combined return on spend of every channel of the response, in margin.

    Verdict: `earns` where the 90 % interval lies above 1, `loses` where it lies below,
    `undecided` where it straddles 1, `not judged` where no method can speak. Beside it what
    a new customer costs, and the next one: the mean cost times average over marginal return,
    for the curve bends.
    """
    accounts, bend = pnl.set_index("channel"), bends(response)
    rows = []
    for answer in response.itertuples():
        account = accounts.loc[answer.channel] if answer.channel in accounts.index else None
        readings = {
            "account": _account(account),
            "response": _response(answer),
            "geo": (np.nan, np.nan),
        }
        if np.isnan(readings["response"][0]):
            readings["geo"] = _geo(tests, answer.channel)
        costs = _costs(account, bend[answer.channel])
        rows.append({"channel": answer.channel, **_together(readings), **costs})
    return frame_of("channel_roi.combined", rows)


def bends(response: DataFrame) -> Series:
    """By channel: what the next new customer costs over what the mean one does, average
    over marginal return, for the curve bends; missing where the response cannot tell.
    """
    known = response.set_index("channel")
    is_told = (known.verdict == "identified") & (known.marginal_return > 0)
    return (known.average_return / known.marginal_return).where(is_told).astype(float)


def _account(account: Series | None) -> tuple[float, float]:
    """POAS times the share of it that the channel caused, and its standard error; missing
    with too few new customers to judge.
    """
    if account is None or account.new_customers < LEAST_NEW or pd.isna(account.poas):
        return np.nan, np.nan
    share = float(account.get("caused_over_recorded", 1.0))
    error = float(account.poas_high - account.poas_low) / (2 * Z90)
    return share * float(account.poas), share * error


def _costs(account: Series | None, bend: float) -> dict[str, float]:
    """What a new customer costs, the next one, and when the mean one has paid back; missing
    with too few new customers, the next one also where the response cannot tell.
    """
    if account is None or account.new_customers < LEAST_NEW:
        return {}
    cost = float(account.get("ncac", np.nan))
    paid_back = float(account.get("payback_months", np.nan))
    return {"ncac": cost, "next_ncac": cost * bend, "payback_months": paid_back}


def _response(answer: tuple) -> tuple[float, float]:
    if answer.verdict != "identified":
        return np.nan, np.nan
    spread = float(answer.average_high - answer.average_low) / (2 * Z90)
    return float(answer.average_return), spread


def _geo(tests: DataFrame | None, channel: str) -> tuple[float, float]:
    """The inverse-variance mean of a channel's finished tests."""
    if tests is None:
        return np.nan, np.nan
    mine = tests[(tests.channel == channel) & tests.roi.notna() & (tests.roi_se > 0)]
    if mine.empty:
        return np.nan, np.nan
    trust = 1 / mine.roi_se.astype(float) ** 2
    return float((mine.roi * trust).sum() / trust.sum()), float(trust.sum() ** -0.5)


def _together(readings: dict[str, tuple[float, float]]) -> dict[str, object]:
    """The weighted mean of the known readings, and each one's weight."""
    row: dict[str, object] = {}
    trust = {}
    # one scale for all floors, or the smaller reading would always weigh more
    sizes = [abs(value) for value, _spread in readings.values() if np.isfinite(value)]
    scale = float(np.mean(sizes)) if sizes else np.nan
    for name, (value, spread) in readings.items():
        variance = spread**2 + (FLOORS[name] * scale) ** 2
        trust[name] = 1 / variance if np.isfinite(value) and variance > 0 else 0.0
        row |= {name: value, f"{name}_se": spread}
    whole = sum(trust.values())
    row |= {f"{name}_weight": t / whole if whole else np.nan for name, t in trust.items()}
    if not whole:
        return row | {"verdict": "not judged"}
    mid = sum(t * readings[name][0] for name, t in trust.items() if t) / whole
    half = Z90 * whole**-0.5
    is_sure = "earns" if mid - half > 1 else "loses" if mid + half < 1 else "undecided"
    return row | {
        "combined": mid,
        "low": mid - half,
        "high": mid + half,
        "verdict": is_sure,
    }
