"""From a shop's days to a fitted response: whole weeks, what cannot be told apart, and
how well held-out weeks are met.

The mathematics is in `methods`: `response` (the fit), `baseline` (what sells without
spend) and `confounding` (does spend follow demand). Here is the judgement around it:
which channels a fit may speak about at all, and the words for the others.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame

from playbook.given import dated
from playbook.messages import say
from playbook.methods.baseline import baseline_design
from playbook.methods.confounding import DemandChase, follows_demand
from playbook.methods.regional import RegionFit, can_compare, fit_regions
from playbook.methods.response import (
    GeoResult,
    ResponseFit,
    fit_response,
    forecast_weeks,
)
from playbook.tables import empty, returns, schema

__all__ = [
    "MediaModel",
    "MediaWeeks",
    "RegionWeeks",
    "demand_chase",
    "fit_media",
    "held_out_weeks",
    "media_weeks",
    "scored_weeks",
]

# under three quarters of a year season, trend and spend cannot be told apart
MIN_WEEKS = 40
# weeks with spend
MIN_ACTIVE = 8
# standard deviation over mean of weekly spend: below this it is a constant
MIN_SPREAD = 0.05
# correlation of weekly spend from which two channels are one
TOGETHER = 0.97
# what is spent today is the mean of so many weeks
RECENT_WEEKS = 4
# a day without known spend is filled with the median of the days around it
USUAL_DAYS = 57
LEVEL = 0.9
# steps of a fit over regions, which has so many more weeks to learn from
REGION_STEPS = 400


@dataclass(frozen=True)
class RegionWeeks:
    """The same weeks by region: `response` weeks x regions (missing: not scored), `spend`
    weeks x regions x channels in the order of `MediaWeeks.spend`.
    """

    names: tuple[str, ...]
    response: ndarray
    spend: ndarray


@dataclass(frozen=True)
class MediaWeeks:
    """Whole weeks. `frame`: week_on (first day), response (missing: not scored), reason
    (why not), one column per control. `spend`: weeks x channels in money, holes filled
    with the channel's usual day; `is_known`: where nothing was filled (None: nowhere);
    `regions`: the weeks by region where they are known there.
    """

    frame: DataFrame
    spend: DataFrame
    controls: tuple[str, ...]
    is_known: DataFrame | None = None
    regions: RegionWeeks | None = None

    def today(self) -> pd.Series:
        """Weekly spend by channel: the mean of what is known of the last four weeks;
        missing where nothing is.
        """
        recent = self.spend.tail(RECENT_WEEKS)
        return recent.mean() if self.is_known is None else recent.where(self.is_known).mean()

    def design(self) -> ndarray:
        """Baseline columns of these weeks."""
        days_of_year = self.frame.week_on.dt.day_of_year.tolist() or [1]
        return baseline_design(
            len(self.frame),
            first_day_of_year=days_of_year[0],
            controls=self.frame[list(self.controls)].to_numpy(float),
        )


@dataclass(frozen=True)
class MediaModel:
    """A fit and what it may be used for. `verdicts`: one row per channel: channel,
    fitted_as (missing: not in the fit), verdict (`identified`, `not identifiable`),
    note. `fit` and `chase` are None where nothing was fitted.
    """

    fit: ResponseFit | None
    chase: DemandChase | None
    verdicts: DataFrame
    weeks: MediaWeeks

    def basis_said(self) -> str:
        """Whether regions or the whole shop were fitted, and why."""
        if isinstance(self.fit, RegionFit):
            return say("channel_roi.fitted_by_region", n=len(self.fit.heads))
        if self.weeks.regions is None:
            return say("channel_roi.fitted_whole_unknown")
        return say("channel_roi.fitted_whole_alike")


@dated
def media_weeks(
    sales: DataFrame,
    spend: DataFrame,
    *,
    as_of: dt.date,
    channels: Sequence[str],
    controls: DataFrame,
) -> MediaWeeks:
    """Weeks counted back from `as_of`. `sales`: day_on, response, one row per trading
    day; `spend`: `SpendLog.daily`; `controls`: day_on and one numeric column each,
    summed by week. Weeks before both logs began are left out.
    """
    last = pd.Timestamp(as_of)
    daily = spend[spend.channel.isin(channels)].pivot(
        index="day_on", columns="channel", values="spend"
    )
    began = max(sales.day_on.min(), daily.index.min()) if len(daily) and len(sales) else last
    n_weeks = ((last - began).days + 1) // 7
    days = pd.date_range(last - pd.Timedelta(days=7 * n_weeks - 1), last)
    week = np.repeat(np.arange(n_weeks), 7)
    daily = daily.reindex(index=days, columns=pd.Index(sorted(channels)))
    is_before_first = daily.apply(lambda s: s.index < (s.first_valid_index() or last))
    daily = daily.mask(is_before_first & daily.isna(), 0.0)
    usual = daily.rolling(USUAL_DAYS, center=True, min_periods=1).median().ffill().bfill()
    by_day = controls.set_index("day_on").reindex(days).astype(float)
    response = sales.set_index("day_on").response.reindex(days).fillna(0.0).groupby(week).sum()
    return scored_weeks(
        DataFrame({"week_on": days[::7], "response": response.astype(float)}),
        daily.fillna(usual).fillna(0.0).groupby(week).sum(),
        daily.notna().groupby(week).all(),
        by_day.groupby(week).sum(min_count=7),
        by_day.fillna(by_day.mean()).fillna(0.0).groupby(week).sum(),
    )


def scored_weeks(
    frame: DataFrame,
    spend: DataFrame,
    is_known: DataFrame,
    controls: DataFrame,
    filled: DataFrame,
) -> MediaWeeks:
    """Weeks (week_on, response) with the response taken out, and the reason said, where
    spend is not known or negative, or where one of the `controls` is missing; `filled`
    are the controls without holes.
    """
    reasons = {
        say("channel_roi.week_spend_unknown"): ~is_known.all(axis=1),
        say("channel_roi.week_negative_spend"): (spend < 0).any(axis=1),
    }
    for name in controls:
        reasons[say("channel_roi.week_control_unknown", name=name)] = controls[name].isna()
    unscored = DataFrame(reasons).to_numpy(bool)
    frame = frame.assign(**filled)
    frame["reason"] = np.select(list(unscored.T), list(reasons), "")
    frame["response"] = frame.response.mask(unscored.any(axis=1))
    return MediaWeeks(
        frame,
        spend.clip(lower=0),
        tuple(controls),
        is_known,
    )


def fit_media(
    weeks: MediaWeeks,
    *,
    tests: Sequence[GeoResult] = (),
    steps: int = 1000,
    seed: int = 0,
) -> MediaModel:
    """Fit what can be told apart, and say of the rest why it cannot: over regions where
    these can be held against each other, else over the whole shop.

    Channels that always move together are fitted as one (`a + b`). Where next week's
    spend betrays that budgets run after demand, half the draws credit nothing that
    merely moves in step with spend: wide, until a test settles it.
    """
    y = weeks.frame.response.to_numpy(float)
    groups, verdicts = _told_apart(weeks.spend, y)
    if not groups:
        return MediaModel(None, None, verdicts, weeks)
    design = weeks.design()
    asked = {
        "channels": list(groups),
        "design": design,
        "tests": [test for test in tests if test.channel in groups],
        "steps": steps,
        "seed": seed,
    }
    money = np.column_stack([weeks.spend[members].sum(axis=1) for members in groups.values()])
    apart = _regions_apart(weeks, list(groups.values()))
    if apart is not None:
        fit = fit_regions(*apart, **asked | {"steps": min(steps, REGION_STEPS)})
    else:
        fit = fit_response(y, money, **asked)
    chase = follows_demand(y, fit, design=design)
    # a demand that regions share is in no contrast between them
    if chase.is_running_after and apart is None:
        # credit all that moves in step with spend, or none of it: the truth lies
        # between, and so do the draws
        fit = _pooled(
            fit,
            fit_response(
                y,
                money,
                chased=list(groups),
                **asked,
            ),
        )
    return MediaModel(fit, chase, verdicts, weeks)


@returns("channel_roi.demand_chase")
def demand_chase(model: MediaModel) -> DataFrame:
    """Does spend follow demand? Two looks at one fit."""
    chase = model.chase or DemandChase(np.nan, np.nan)
    return DataFrame(
        {
            "look": [
                say("channel_roi.look_unexplained"),
                say("channel_roi.look_predictable"),
            ],
            "p_value": [chase.p_unexplained, chase.p_predictable],
            "is_flagged": [
                chase.is_running_after,
                chase.is_following_season,
            ],
            "meaning": [
                say("channel_roi.meaning_unexplained"),
                say("channel_roi.meaning_predictable"),
            ],
        }
    )


@returns("channel_roi.held_out")
def held_out_weeks(weeks: MediaWeeks, *, n_weeks: int = 8, seed: int = 0) -> DataFrame:
    """The last `n_weeks` that can be scored, foretold from the weeks before and their
    own spend, beside naive answers. No rows where too few weeks are left to fit.
    """
    y = weeks.frame.response.to_numpy(float)
    scored = np.flatnonzero(np.isfinite(y))
    first = scored[-n_weeks] if len(scored) >= n_weeks else 0
    hidden = np.where(np.arange(len(y)) >= first, np.nan, y)
    earlier = replace(weeks, frame=weeks.frame.assign(response=hidden))
    model = fit_media(earlier, steps=400, seed=seed)
    if model.fit is None:
        return empty("channel_roi.held_out")
    drawn = forecast_weeks(
        hidden,
        model.fit,
        design=weeks.design(),
        seed=seed,
    )
    drawn = drawn[:, np.flatnonzero(np.isnan(hidden)) >= first]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    table = weeks.frame.assign(actual=y, spend=weeks.spend.sum(axis=1).to_numpy())
    recent = table[max(first - 4, 0) : first].dropna(subset="actual")
    paid = recent.spend.sum()
    same_return = recent.actual.sum() / paid if paid > 0 else np.nan
    held = table[first:].assign(
        predicted=np.median(drawn, 0),
        low=low,
        high=high,
        same_return=same_return * table.spend[first:],
        last_month=recent.actual.mean(),
    )
    columns = schema("channel_roi.held_out").names
    return held.dropna(subset="actual")[columns].reset_index(drop=True)


def _regions_apart(weeks: MediaWeeks, groups: list[list[str]]) -> tuple[ndarray, ndarray] | None:
    """Response and spend by region, channels grouped as they are fitted; None where regions
    are not known or cannot be held against each other.
    """
    if weeks.regions is None:
        return None
    at = [[weeks.spend.columns.get_loc(name) for name in members] for members in groups]
    spend = np.stack([weeks.regions.spend[:, :, part].sum(axis=2) for part in at], axis=2)
    y = weeks.regions.response.copy()
    y[weeks.frame.response.isna()] = np.nan
    sells = np.nansum(y, axis=0) > 0
    y, spend = y[:, sells], spend[:, sells]
    return (y, spend) if can_compare(y, spend) else None


def _told_apart(spend: DataFrame, y: ndarray) -> tuple[dict[str, list[str]], DataFrame]:
    """What can be fitted, as name -> channels, and the verdict on every channel."""
    scored = np.isfinite(y)
    notes = {c: _refusal(spend[c].to_numpy(float)[scored], y[scored]) for c in spend.columns}
    fit_for = spend.loc[scored, [c for c, note in notes.items() if note is None]]
    groups = {" + ".join(members): members for members in _moving_together(fit_for)}
    fitted_as = {c: name for name, members in groups.items() for c in members}
    for c, name in fitted_as.items():
        if others := ", ".join(o for o in groups[name] if o != c):
            notes[c] = say("channel_roi.note_together", others=others)
    verdicts = DataFrame(
        {
            "channel": list(notes),
            "fitted_as": [fitted_as.get(c) for c in notes],
            "verdict": [
                "identified" if note is None else "not identifiable" for note in notes.values()
            ],
            "note": [note or "" for note in notes.values()],
        }
    )
    return groups, verdicts


def _refusal(spend: ndarray, y: ndarray) -> str | None:
    """Why a channel's response cannot be told from these weeks; None where it can."""
    active = int((spend > 0).sum())
    if len(y) < MIN_WEEKS:
        return say("channel_roi.note_few_weeks", n=len(y), needed=MIN_WEEKS)
    if not np.abs(y).sum() > 0:
        return say("channel_roi.note_nothing_sold")
    if not y.sum() > 0:
        return say("channel_roi.note_nothing_earned")
    if y.std() < 1e-9 * np.abs(y).mean():
        return say("channel_roi.note_constant_sales")
    if active < MIN_ACTIVE:
        return say("channel_roi.note_few_active", n=active, needed=MIN_ACTIVE)
    if spend.std() < MIN_SPREAD * spend.mean():
        return say("channel_roi.note_constant_spend")
    return None


def _moving_together(spend: DataFrame) -> list[list[str]]:
    """Channels in groups that always move together, in the order of their names."""
    is_close = spend.corr().abs() >= TOGETHER
    groups: list[list[str]] = []
    for name in spend.columns:
        home = next((g for g in groups if is_close.loc[name, g].any()), None)
        if home is None:
            groups.append([name])
        else:
            home.append(name)
    return groups


def _pooled(fit: ResponseFit, other: ResponseFit) -> ResponseFit:
    """The draws of both fits."""
    draws = ("roi", "carry", "half", "slope", "size", "noise")
    both = {name: np.concatenate([getattr(fit, name), getattr(other, name)]) for name in draws}
    return replace(fit, **both, mixing=np.maximum(fit.mixing, other.mixing))
