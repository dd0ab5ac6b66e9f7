"""From a shop's days to a fitted response: whole weeks, what cannot be told apart, and
how well held-out weeks are met.

The mathematics is in `response` (fit), `baseline` (what sells without spend) and
`confounding` (does spend follow demand). Here is the judgement around it: which
channels a fit may speak about at all, and the words for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from playbook.methods.baseline import baseline_design
from playbook.methods.confounding import DemandChase, follows_demand
from playbook.methods.response import GeoResult, ResponseFit, fit_response, forecast_weeks

__all__ = ["MediaModel", "MediaWeeks", "fit_media", "held_out_weeks", "media_weeks"]

MIN_WEEKS = 40  # under three quarters of a year season, trend and spend cannot be told apart
MIN_ACTIVE = 8  # weeks with spend
MIN_SPREAD = 0.05  # sd over mean of weekly spend: below this it is a constant
TOGETHER = 0.97  # correlation of weekly spend from which two channels are one


@dataclass(frozen=True)
class MediaWeeks:
    """Whole weeks ending on as-of. `frame`: week_on (first day), response (missing: not
    scored), reason (why not), one column per control. `spend`: weeks x channels in
    money, holes filled with the channel's usual day; `is_known`: where nothing was
    filled (None: nowhere).
    """

    frame: pd.DataFrame
    spend: pd.DataFrame
    controls: tuple[str, ...]
    is_known: pd.DataFrame | None = None

    def today(self) -> pd.Series:
        """Weekly spend by channel: the mean of what is known of the last four weeks;
        missing where nothing is.
        """
        recent = self.spend.tail(4)
        return (
            recent.mean() if self.is_known is None else recent.where(self.is_known.tail(4)).mean()
        )

    def design(self) -> np.ndarray:
        """Baseline columns of these weeks."""
        first = int(self.frame.week_on.iloc[0].day_of_year) if len(self.frame) else 1
        return baseline_design(
            len(self.frame),
            first_day_of_year=first,
            controls=self.frame[list(self.controls)].to_numpy(float),
        )


@dataclass(frozen=True)
class MediaModel:
    """A fit and what it may be used for. `verdicts`: one row per channel: channel,
    fitted_as (missing: not in the fit), verdict (`identified`, `not identifiable`),
    note. `chase` is None where nothing was fitted.
    """

    fit: ResponseFit | None
    chase: DemandChase | None
    verdicts: pd.DataFrame
    weeks: MediaWeeks


def media_weeks(
    sales: pd.DataFrame,
    spend: pd.DataFrame,
    *,
    as_of: pd.Timestamp,
    channels: Sequence[str],
    controls: pd.DataFrame,
) -> MediaWeeks:
    """Weeks counted back from `as_of`. `sales`: day_on, response, one row per trading
    day; `spend`: `SpendLog.daily`; `controls`: day_on and one numeric column each,
    summed by week. Weeks before both logs began are left out.
    """
    as_of = pd.Timestamp(as_of)
    daily = spend[spend.channel.isin(channels)].pivot(
        index="day_on", columns="channel", values="spend"
    )
    began = max(sales.day_on.min(), daily.index.min()) if len(daily) and len(sales) else as_of
    n = ((as_of - began).days + 1) // 7
    every = pd.date_range(as_of - pd.Timedelta(days=7 * n - 1), as_of)
    daily = daily.reindex(index=every, columns=sorted(channels))
    before_first = daily.apply(lambda s: s.index < (s.first_valid_index() or as_of))
    daily = daily.mask(before_first & daily.isna(), 0.0)
    unknown = daily.isna()
    usual = daily.rolling(57, center=True, min_periods=1).median().ffill().bfill()
    filled = daily.fillna(usual).fillna(0.0)
    week = np.repeat(np.arange(n), 7)
    money = filled.groupby(week).sum()
    money.columns.name = None
    total = sales.set_index("day_on").response.reindex(every).fillna(0.0).groupby(week).sum()
    frame = pd.DataFrame({"week_on": every[::7], "response": total.astype(float)})
    reason = pd.Series("", index=frame.index)
    known = ~unknown.groupby(week).any()
    reason[~known.all(axis=1).to_numpy()] = "spend not known"
    reason[(money < 0).any(axis=1)] = "negative spend"
    names = [c for c in controls.columns if c != "day_on"]
    by_day = controls.set_index("day_on")[names].reindex(every).astype(float)
    for name in names:
        reason[by_day[name].isna().groupby(week).any().to_numpy() & (reason == "")] = (
            f"{name} not known"
        )
        frame[name] = (
            by_day[name]
            .fillna(by_day[name].mean() if by_day[name].notna().any() else 0)
            .groupby(week)
            .sum()
        )
    frame["reason"] = reason
    frame["response"] = frame.response.mask(reason != "")
    return MediaWeeks(frame, money.clip(lower=0), tuple(names), known)


def fit_media(
    weeks: MediaWeeks, *, tests: Sequence[GeoResult] = (), steps: int = 1000, seed: int = 0
) -> MediaModel:
    """Fit what can be told apart, and say of the rest why it cannot.

    Channels that always move together are fitted as one (`a + b`). Where next week's
    spend betrays that budgets run after demand, half the draws credit nothing that
    merely moves in step with spend: wide, until a test settles it.
    """
    spend, y = weeks.spend, weeks.frame.response.to_numpy(float)
    seen = np.isfinite(y)
    notes = {
        c: _refusal(spend[c].to_numpy(float)[seen], int(seen.sum()), y[seen]) for c in spend.columns
    }
    fitted = _merge(spend.loc[seen, [c for c in spend.columns if not notes[c]]])
    groups = [" + ".join(g) for g in fitted]
    as_name = {c: name for g, name in zip(fitted, groups, strict=True) for c in g}
    for group in fitted:
        for c in group if len(group) > 1 else []:
            others = ", ".join(o for o in group if o != c)
            notes[c] = f"always moves together with {others}: only their sum can be judged"
    verdicts = pd.DataFrame(
        {
            "channel": list(spend.columns),
            "fitted_as": [as_name.get(c) for c in spend.columns],
            "verdict": ["not identifiable" if notes[c] else "identified" for c in spend.columns],
            "note": [notes[c] for c in spend.columns],
        }
    )
    if not groups:
        return MediaModel(None, None, verdicts, weeks)
    money = np.column_stack([spend[g].sum(axis=1) for g in fitted])
    known = [t for t in tests if t.channel in groups]
    design = weeks.design()
    fit = fit_response(
        y, money, channels=groups, design=design, tests=known, steps=steps, seed=seed
    )
    chase = follows_demand(y, fit, design=design)
    if chase.is_running_after:
        # credit all that moves in step with spend, or none of it: the truth lies between, and so do the draws
        none = fit_response(
            y,
            money,
            channels=groups,
            design=design,
            tests=known,
            chased=groups,
            steps=steps,
            seed=seed,
        )
        both = {
            n: np.concatenate([getattr(fit, n), getattr(none, n)])
            for n in ("roi", "carry", "half", "slope", "size", "noise")
        }
        fit = replace(fit, **both, mixing=np.maximum(fit.mixing, none.mixing))
    return MediaModel(fit, chase, verdicts, weeks)


def held_out_weeks(
    weeks: MediaWeeks, *, n_weeks: int = 8, level: float = 0.9, seed: int = 0
) -> pd.DataFrame:
    """The last `n_weeks` that can be scored, foretold from the weeks before and their
    own spend, beside naive answers.

    One row per week: week_on, actual, predicted, low, high, same_return (response per
    unit of spend of the four weeks before the hold-out, times spend), last_month (mean
    of those four weeks). Empty where too few weeks are left to fit.
    """
    y = weeks.frame.response.to_numpy(float)
    first = ([0] * n_weeks + np.flatnonzero(np.isfinite(y)).tolist())[-n_weeks]
    held = np.arange(len(y)) >= first
    columns = ["week_on", "actual", "predicted", "low", "high", "same_return", "last_month"]
    hidden = MediaWeeks(
        weeks.frame.assign(response=np.where(held, np.nan, y)), weeks.spend, weeks.controls
    )
    model = fit_media(hidden, steps=400, seed=seed)
    if model.fit is None:
        return pd.DataFrame(columns=columns)
    drawn = forecast_weeks(
        hidden.frame.response.to_numpy(float), model.fit, design=weeks.design(), seed=seed
    )
    new = np.flatnonzero(~np.isfinite(hidden.frame.response.to_numpy(float)))
    drawn, when = drawn[:, np.isin(new, np.flatnonzero(held))], np.flatnonzero(held)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    before = slice(max(first - 4, 0), first)
    total = weeks.spend.sum(axis=1).to_numpy()
    paid = total[before][np.isfinite(y[before])].sum()
    ratio = np.nansum(y[before]) / paid if paid > 0 else np.nan
    return (
        pd.DataFrame(
            {
                "week_on": weeks.frame.week_on.to_numpy()[when],
                "actual": y[when],
                "predicted": np.median(drawn, 0),
                "low": low,
                "high": high,
                "same_return": ratio * total[when],
                "last_month": pd.Series(y[before]).mean(),
            },
            columns=columns,
        )
        .dropna(subset=["actual"])
        .reset_index(drop=True)
    )


def _refusal(spend: np.ndarray, n_weeks: int, y: np.ndarray) -> str:
    """Why a channel's response cannot be told from these weeks; empty where it can."""
    if n_weeks < MIN_WEEKS:
        return f"{n_weeks} weeks can be scored, {MIN_WEEKS} are needed"
    if not np.abs(y).sum() > 0:
        return "nothing was sold in these weeks"
    if y.std() < 1e-9 * np.abs(y).mean():
        return "sales are the same every week"
    active = int((spend > 0).sum())
    if active < MIN_ACTIVE:
        return f"spent in {active} weeks only, {MIN_ACTIVE} are needed"
    if spend.std() < MIN_SPREAD * spend.mean():
        return "spend hardly moves: a constant cannot be told from the baseline"
    return ""


def _merge(spend: pd.DataFrame) -> list[list[str]]:
    """Channels in groups that always move together, in the order of their names."""
    names = list(spend.columns)
    if not names:
        return []
    close = (
        np.abs(np.nan_to_num(np.corrcoef(spend.to_numpy(float).T).reshape(len(names), -1)))
        >= TOGETHER
    )
    groups: list[list[str]] = []
    for i, name in enumerate(names):
        home = next((g for g in groups if any(close[i, names.index(o)] for o in g)), None)
        if home is None:
            groups.append([name])
        else:
            home.append(name)
    return groups
