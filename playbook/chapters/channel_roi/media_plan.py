"""From a fitted response to a budget.

The plan is searched on the posterior's mean curves (`budget`), within bounds and within
the spend seen, and judged on every draw, channel by channel: a step whose own gain is
not sure enough is held and tested, the others are taken. A step is small and can be
taken back, so it is held to the sureness of a price move, not to that of a proof: four
draws in five. The intervals of gains are those of this rule, so that one that straddles
zero always means "hold and test".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame, Series

from playbook.chapters.channel_roi.budget import allocate
from playbook.chapters.channel_roi.media_model import LEVEL, MediaModel
from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.methods.proportions import Z90
from playbook.methods.response import ResponseFit, adstock
from playbook.tables import returns, schema

__all__ = [
    "NOT_SPENT",
    "BudgetPlan",
    "budget_bounds",
    "plan_budget",
    "response_curves",
    "response_table",
]

WEEKS_A_MONTH = 365.25 / 12 / 7
ROUNDING = 1e-9
# share of the draws in which a step has to gain
SURE = 0.8
# a smaller change of a channel's spend is none
LEAST_MOVE = 0.01
NOT_SPENT = "(not spent)"
# R-hat up to which the draws agree: the mean of all is then known to a ninth of their spread
CONVERGED = 1.05
# what makes a curve
CURVE = ("size", "half", "slope")


@returns("channel_roi.response")
def response_table(model: MediaModel) -> DataFrame:
    """What each channel's spend returned and what a little more would.

    Not identifiable: missing. A channel fitted together with others carries their joint
    figures under verdict `not identifiable`; so does one whose draws do not agree.
    """
    table = model.verdicts.assign(spend_now=model.verdicts.channel.map(model.weeks.today()))
    names = schema("channel_roi.response").names
    figures = DataFrame(columns=names[names.index("seen_low") : names.index("verdict")])
    if model.fit is not None:
        fit = model.fit
        now, (least, most) = _now(model), _seen(fit)
        marginal = np.where(
            (least <= now) & (now <= most),
            fit.marginal(now),
            np.nan,
        )
        rows = [
            least,
            most,
            *_middle_and_ends(fit.roi),
            *_middle_and_ends(marginal),
        ]
        rows += [fit.carry.mean(0), fit.mixing]
        figures = DataFrame(np.column_stack(rows), fit.channels, figures.columns)
    table[figures.columns] = figures.reindex(table.fitted_as).to_numpy(float)
    is_apart = (table.verdict == "identified") & (table.r_hat > CONVERGED)
    table.loc[is_apart, "verdict"] = "not identifiable"
    table.loc[is_apart, "note"] = say("channel_roi.note_not_converged")
    is_silent = (table.verdict == "identified") & table.marginal_return.isna()
    table.loc[is_silent, "note"] = say("channel_roi.note_outside_seen")
    table.loc[is_silent & table.spend_now.isna(), "note"] = say("channel_roi.note_spend_unknown")
    return table[names].sort_values("channel", ignore_index=True)


def response_curves(model: MediaModel, *, points: int = 40) -> DataFrame:
    """Weekly response against a steady weekly spend, for drawing: channel, spend,
    response, low, high, is_seen (inside the range of carried-over spend), now (today's
    weekly spend). The model has a fit.
    """
    fit, now, (least, most) = model.fit, _now(model), _seen(model.fit)
    grid = np.linspace(0, 1.25, points)[:, None] * np.fmax(most, now)
    some = {name: getattr(fit, name)[::10] for name in CURVE}
    drawn = _middle_and_ends(replace(fit, **some).steady(grid))
    response, low, high = (levels.T.ravel() for levels in drawn)
    return DataFrame(
        {
            "channel": np.repeat(fit.channels, points),
            "spend": grid.T.ravel(),
            "response": response,
            "low": low,
            "high": high,
            "is_seen": ((least <= grid) & (grid <= most)).T.ravel(),
            "now": np.repeat(now, points),
        }
    )


@dataclass(frozen=True)
class BudgetPlan:
    """`table`: the schema `channel_roi.budget`. `gain` a month of the whole plan over
    today's split, with `low`, `high`, and `p_gain`, the share of draws in which it pays.
    `verdict`: `move` (some steps are sure enough; the table holds these), `hold and
    test` (none is, its interval straddles zero; the table shows what would be tried),
    `hold` (nothing to gain) or `must move` (not sure, but the bounds forbid today's
    split).
    """

    table: DataFrame
    gain: float
    low: float
    high: float
    p_gain: float
    verdict: str


def budget_bounds(text: str) -> dict[str, float]:
    """Amounts by channel from a parameter's text, `search: 500, social: 120`;
    PlaybookError where it cannot be read.
    """
    pairs = [part.rpartition(":") for part in text.split(",") if part.strip()]
    amounts = {name.strip(): pd.to_numeric(amount, "coerce") for name, _colon, amount in pairs}
    if "" in amounts or not all(0 <= amount < np.inf for amount in amounts.values()):
        raise PlaybookError("channel_roi.unreadable_bounds", text=text)
    return amounts


def plan_budget(
    model: MediaModel,
    *,
    total: float | None = None,
    floors: Mapping[str, float] | None = None,
    caps: Mapping[str, float] | None = None,
    largest_step: float = 0.2,
    largest_cut: float | None = None,
    spend_all: bool = False,
    combined: DataFrame | None = None,
) -> BudgetPlan:
    """Next month's budget: the split with the most expected margin less spend, each
    channel within its bounds.

    A channel's step is taken where it gains in four of five draws, whatever the others
    do, and held where its interval (the middle 60 %) straddles zero, which is the same.
    Where steps depend on one another (`spend_all`, or bounds that force them), the plan
    is judged as a whole.

    A channel's curve takes its shape from the response and its height from all methods
    together, where `combined` (`combined.combined`) judges it.

    `total` (a month; default: what is spent now) is a ceiling, or an exact sum with
    `spend_all`. A channel rises by at most `largest_step` of today's spend and falls by
    at most `largest_cut` (the same where none is said), never out of its floor and cap
    nor of the range of spend seen; one that is not identifiable stays. PlaybookError
    where floors and caps cannot be met.
    """
    response = response_table(model).set_index("channel")
    steps = largest_step if largest_cut is None else largest_cut, largest_step
    bounds = _bounds(response, steps, floors or {}, caps or {})
    total = float(bounds.now.sum()) if total is None else total
    try:
        plan, draws = _search(_at_height(model.fit, combined), bounds, total, spend_all)
    except ValueError as error:
        raise PlaybookError("channel_roi.bounds_cannot_be_met", error=str(error)) from None
    is_moved = _is_moved(plan, bounds.now)
    is_held = is_moved & (draws.quantile(1 - SURE) <= 0)
    alone = plan.where(~is_held, bounds.now)
    if spend_all or not _is_allowed(alone, bounds, total):
        is_held[:] = False
    elif (is_moved & ~is_held).any():
        plan, draws = alone, draws.mul(~is_held, axis=1)
    whole = draws.sum(axis=1)
    low, high = np.quantile(whole, [1 - SURE, SURE])
    is_kept = _is_allowed(bounds.now, bounds, total)
    must_spend = spend_all and bounds.now.sum() < total * (1 - ROUNDING)
    if not is_moved.any():
        verdict = "hold"
    elif low > 0 and (is_moved & ~is_held).any():
        verdict = "move"
    else:
        verdict = "hold and test" if is_kept and not must_spend else "must move"
    is_tried = is_moved & (is_held | (verdict == "hold and test"))
    table = _plan_table(response, bounds, plan, draws, is_tried)
    rest, rest_now = total - plan.sum(), total - bounds.now.sum()
    table.loc[NOT_SPENT] = [rest_now, rest, rest - rest_now, *[np.nan] * 6, ""]
    table = table.rename_axis("channel").reset_index()
    gain, p_gain = float(whole.mean()), float((whole > 0).mean())
    return BudgetPlan(table, gain, float(low), float(high), p_gain, verdict)


def _bounds(
    response: DataFrame,
    steps: tuple[float, float],
    floors: Mapping[str, float],
    caps: Mapping[str, float],
) -> DataFrame:
    """By channel, a month: now, floor, cap and is_free (may move). `steps` are the
    largest cut and the largest rise, shares of today's spend. A channel whose spend
    is not known has no advice: it stays out of the sums.
    """
    unknown = {*floors, *caps} - set(response.index)
    if unknown:
        raise PlaybookError(
            "channel_roi.no_spend_for",
            channels=", ".join(sorted(unknown)),
        )
    now = (response.spend_now * WEEKS_A_MONTH).fillna(0.0)
    is_free = (response.verdict == "identified") & response.marginal_return.notna()
    least = response.seen_low * WEEKS_A_MONTH
    most = response.seen_high * WEEKS_A_MONTH
    low = np.maximum(now * (1 - steps[0]), np.minimum(least, now)).where(is_free, now)
    high = np.minimum(now * (1 + steps[1]), np.maximum(most, now)).where(is_free, now)
    low = np.fmax(low, low.index.map(floors).astype(float))
    high = np.fmin(high, low.index.map(caps).astype(float))
    # a cap below today's range lowers the floor with it, but never a floor that was asked for
    low = low.where(low.index.isin(list(floors)), np.minimum(low, high))
    return DataFrame(
        {
            "now": now,
            "floor": low,
            "cap": high,
            "is_free": is_free,
        }
    )


def _at_height(fit: ResponseFit | None, combined: DataFrame | None) -> ResponseFit | None:
    """The fit whose draws of each judged channel's average return have the mean and the spread
    of `combined`; a curve is as many times higher. What is fitted together stays. A response
    that took demand for its effect moves no money against accounts known to the cent.
    """
    if fit is None or combined is None:
        return fit
    known = combined.set_index("channel").reindex(fit.channels)
    middle, low, high = (known[name].to_numpy(float) for name in ("combined", "low", "high"))
    spread = (high - low) / (2 * Z90)
    own = fit.roi.mean(0), np.maximum(fit.roi.std(0), ROUNDING)
    wanted = np.maximum(middle + (fit.roi - own[0]) * spread / own[1], 0.0)
    times = wanted / np.maximum(fit.roi, ROUNDING)
    return replace(fit, size=fit.size * np.where(np.isfinite(middle), times, 1.0))


def _search(
    fit: ResponseFit | None, bounds: DataFrame, total: float, spend_all: bool
) -> tuple[Series, DataFrame]:
    """The plan, and per draw what each channel's step gains net of spend (0 where it
    stays). ValueError where the bounds cannot be met.
    """
    plan = bounds.now.clip(bounds.floor, bounds.cap)
    free = bounds[bounds.is_free]
    chosen = list(free.index)
    if not chosen:
        if plan.sum() > total * (1 + ROUNDING):
            raise ValueError(say("channel_roi.held_exceed_total"))
        return plan, DataFrame(0.0, index=[0], columns=bounds.index)
    at = [fit.channels.index(c) for c in chosen]
    draws = {name: getattr(fit, name)[:, at] for name in CURVE}
    every = slice(None, None, max(len(fit.roi) // 300, 1))
    thin = {name: values[every] for name, values in draws.items()}
    curves, some = replace(fit, **draws), replace(fit, **thin)
    plan[chosen] = allocate(
        lambda levels: _monthly(some, levels).mean(0),
        free.floor.to_numpy(),
        free.cap.to_numpy(),
        total - plan[~bounds.is_free].sum(),
        spend_all=spend_all,
    )
    then, now = plan[chosen].to_numpy(), free.now.to_numpy()
    gains = _monthly(curves, then) - _monthly(curves, now) - (then - now)
    gains = DataFrame(gains, columns=chosen)
    return plan, gains.reindex(columns=bounds.index, fill_value=0.0)


def _monthly(fit: ResponseFit, spend: ndarray) -> ndarray:
    """What a steady monthly spend returns in a month: draws x ... x channels."""
    return fit.steady(spend / WEEKS_A_MONTH) * WEEKS_A_MONTH


def _plan_table(
    response: DataFrame,
    bounds: DataFrame,
    plan: Series,
    draws: DataFrame,
    is_tried: Series,
) -> DataFrame:
    """The plan's rows, by channel."""
    now = bounds.now
    is_moved = _is_moved(plan, now)
    table = DataFrame(
        {
            "now": now,
            "plan": plan,
            "change": plan - now,
            "floor": bounds.floor,
            "cap": bounds.cap,
            "marginal_return": response.marginal_return,
            "gain": draws.mean(),
            "gain_low": draws.quantile(1 - SURE),
            "gain_high": draws.quantile(SURE),
            "action": np.select(
                [~bounds.is_free, is_tried, ~is_moved, plan > now],
                ["hold: no advice", "hold and test", "hold", "raise"],
                "lower",
            ),
        }
    )
    unknown = response.spend_now.isna()
    table.loc[unknown, ["now", "plan", "change", "floor", "cap"]] = np.nan
    return table


def _is_moved(plan: Series, now: Series) -> Series:
    return np.abs(plan - now) > LEAST_MOVE * now.clip(lower=ROUNDING)


def _is_allowed(split: Series, bounds: DataFrame, total: float) -> bool:
    """Does a split keep every bound and the total?"""
    inside = (split >= bounds.floor - ROUNDING) & (split <= bounds.cap + ROUNDING)
    return bool(inside.all()) and split.sum() <= total * (1 + ROUNDING)


def _middle_and_ends(draws: ndarray) -> list[ndarray]:
    """Mean, lower and upper end of 90 %."""
    return [
        draws.mean(0),
        *np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0),
    ]


def _seen(fit: ResponseFit) -> tuple[ndarray, ndarray]:
    """The range of carried-over weekly spend the fit has seen, by channel."""
    stock = adstock(fit.spend, fit.carry.mean(0))
    return stock.min(0), stock.max(0)


def _now(model: MediaModel) -> ndarray:
    """Today's weekly spend of each fitted channel or group; missing where that of a
    member is.
    """
    now = model.verdicts.channel.map(model.weeks.today())
    by_group = now.groupby(model.verdicts.fitted_as).agg(lambda s: s.sum(skipna=False))
    return by_group.reindex(model.fit.channels).to_numpy(float)
