"""The one forecaster: revenue, orders or units by day, week, month or quarter.

A forecast here is a race run on the shop's own past. At every earlier origin each
candidate forecasts with the rows before that origin and nothing else; the champion of
the errors *realised by then* is the one used, and the interval is the spread of the
errors which that very rule (choice included) has made so far. So the model, the width
of the interval and the chance that a goal is met are all out-of-sample figures.

Candidates, all on the scale of the money itself (no logarithm is taken of a day without
sales):

- naive: the last period again
- seasonal_naive: the same period of the season before (week for days, year for weeks,
  months and quarters)
- level: season and calendar divided out, the level of the last quarter of a year
- trend: the same with a damped slope
- growth: the same period a year before, times the growth of the latest periods over
  theirs a year before
- mix: the mean of growth and trend (of trend and level while growth needs more
  history): the default
- ets: statsmodels' damped exponential smoothing, only when asked for (`models=`)

`mix` is used until another candidate has been better by more than one standard error of
the difference: picking the best of many on few errors follows noise (on the US Census
series it costs half a point of error a year ahead). Errors are log ratios of actual to
forecast, or shares of the usual level where a total was not positive.

Sources: methods/season.py for the candidates; methods/backtest.py for origins, champion
and intervals; Bates & Granger (1969) for the mean of two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.methods.backtest import MIN_ORIGINS, Race, amount_at, link_errors, run_race
from playbook.methods.season import clean_series, model_paths

__all__ = [
    "BASELINES",
    "FREQUENCIES",
    "MODELS",
    "Forecast",
    "Frequency",
    "chances",
    "covered_share",
    "forecast_series",
    "reach",
]


@dataclass(frozen=True)
class Frequency:
    """pandas' code of a period, periods in the short season and in a year (364 days
    keep the weekday), periods between origins.
    """

    name: str
    code: str
    week: int
    year: int
    step: int


FREQUENCIES = {
    "day": Frequency("day", "D", 7, 364, 7),
    "week": Frequency("week", "W-SUN", 52, 52, 1),
    "month": Frequency("month", "M", 12, 12, 1),
    "quarter": Frequency("quarter", "Q", 4, 4, 1),
}
BASELINES = ("naive", "seasonal_naive")
MODELS = (*BASELINES, "level", "trend", "growth", "mix")


@dataclass(frozen=True)
class Forecast:
    """What comes next, and how the same rule has done before.

    - `periods`: one row per period ahead: period_on, low, mid, high, naive,
      seasonal_naive, status
    - `total`: one row, the sum over the horizon: low, mid, high, naive, seasonal_naive,
      year_before, model, scale, n_errors, status, from_on, to_on, n_periods
    - `backtest`: one row per model, `chosen` being the rule in use: model, n_origins,
      mae, mape, bias_share, mae_ratio (to the seasonal naive on the same origins),
      covered_share, is_chosen
    - `origins`: one row per past origin: origin_on (its last known period), low, point,
      high, naive, seasonal_naive, year_before, model, scale, n_errors, status, actual,
      error (link scale), is_covered
    - `effects`: one row per calendar column: effect_name, effect (share of the level a
      full period of it adds), n_periods
    - `notes`: what a reader has to know, one sentence each

    Status is `complete`, or `not calibrated` (low and high missing) while fewer than
    eight errors were realised.
    """

    periods: DataFrame
    total: DataFrame
    backtest: DataFrame
    origins: DataFrame
    effects: DataFrame
    model: str
    level: float
    frequency: str
    step: int
    is_log: bool
    notes: tuple[str, ...]


def forecast_series(
    history: DataFrame,
    *,
    frequency: str,
    horizon: int,
    level: float = 0.8,
    calendar: DataFrame | None = None,
    models: tuple[str, ...] = MODELS,
) -> Forecast:
    """Forecast the next `horizon` periods of one series, raced and calibrated on its
    own past.

    `history`: one row per complete period, `period_on` (any day in it) and `amount`; a
    period without a row, or with a missing amount, is not observed (a closed day is a
    row with 0). `calendar`: `period_on` and one column per holiday or promotion with
    the share of the period it fills, for the history and the horizon; at an origin the
    calendar of the periods ahead is taken as known, so give plans, not what turned out.
    Intervals cover `level`; how often they did is in `backtest`. Raises PlaybookError
    for an unknown frequency, a repeated period, a horizon below 1 and fewer than three
    observed periods.
    """
    every = _known_frequency(frequency)
    dates, amounts = _regular(history, every)
    if horizon < 1 or not 0 < level < 1:
        raise PlaybookError("forecasting.bad_horizon")
    ahead = pd.period_range(dates[-1] + 1, periods=horizon, freq=dates.freq)
    names, shares = _calendar(calendar, dates.append(ahead), every)
    starts = _starts(len(amounts), horizon, every)
    # counts and sales that were never negative stay so
    floor = 0.0 if np.nanmin(amounts) >= 0 else -np.inf

    def predict(n: int) -> ndarray:
        known = amounts[:n], shares[: n + horizon]
        return np.maximum(model_paths(*known, every.week, every.year, models), floor)

    race = run_race(
        amounts, starts, predict, models=models, year=every.year, step=every.step, level=level
    )
    if race.chosen[-1] is None:
        raise PlaybookError("forecasting.no_model")
    totals, periods = _totals(race, amounts, every.year), _periods(race, ahead)
    for frame in (totals, periods):
        frame["low"] = frame["low"].clip(lower=floor)
    origins, backtest = _origins(race, totals, dates[starts - 1]), _backtest(race)
    days = {"from_on": ahead[0].start_time, "to_on": ahead[-1].end_time.normalize()}
    total = totals.tail(1).reset_index(drop=True).assign(**days, n_periods=horizon)
    effects = _effects(names, amounts, shares, every)
    notes = tuple(_notes(amounts, every, race, effects, backtest))
    frames = (periods, total, backtest, origins, effects)
    return Forecast(*frames, race.chosen[-1], level, frequency, every.step, race.is_log, notes)


def reach(forecast: Forecast, targets: list[float] | ndarray, *, already: float = 0.0) -> DataFrame:
    """Chance that the horizon's total, plus what is `already` in, is at least each
    target.

    One row per target: target, p_reach, n_errors, status. The forecast distribution is
    the kernel-smoothed spread of the realised errors, mirrored: with few origins past
    errors come in runs of one sign (a slump, then its echo) that say little about the
    next. Missing while the forecast is not calibrated.
    """
    row = forecast.total.iloc[0]
    errors = forecast.origins["error"]
    targets = np.asarray(targets, dtype=float)
    shares = np.full(len(targets), np.nan)
    if row["status"] == "complete":
        bars = link_errors(
            targets - already,
            row["mid"],
            row["scale"],
            forecast.is_log,
        )
        shares = chances(errors, bars)
    return DataFrame(
        {
            "target": targets,
            "p_reach": shares,
            "n_errors": errors.count(),
            "status": row["status"],
        }
    )


def chances(errors: pd.Series, bars: ndarray) -> ndarray:
    """Share of the mirrored past errors at or above each bar, smoothed by a normal
    kernel of Silverman's width (1986, eq. 3.28).
    """
    from scipy.special import ndtr

    past = np.sort(errors.dropna().to_numpy(float))
    both = np.sort(np.concatenate([past, -past]))
    bars = np.asarray(bars, float)
    # where the past never missed: nothing that a difference could overflow by
    furthest = np.abs(bars[np.isfinite(bars)]).max(initial=1.0)
    least = np.finfo(float).eps * furthest
    width = max(1.06 * np.sqrt((past**2).mean()) * len(past) ** -0.2, least)
    return ndtr((both - bars[:, None]) / width).mean(axis=1)


def covered_share(
    forecast: Forecast, *, since: object = None, n_resamples: int = 2000, seed: int = 0
) -> DataFrame:
    """How often the interval held, with its own interval: level, n, covered_share, low,
    high, mape, verdict (one row).

    The interval is a moving-block bootstrap (Kuensch 1989; 95 %), blocks of one
    horizon, because neighbouring origins share most of what they forecast. `verdict`:
    `too narrow` or `too wide` where the stated level lies outside it, else `as stated`.
    Missing while no origin is calibrated; `since` leaves out earlier origins.
    """
    past = forecast.origins[forecast.origins["is_covered"].notna()]
    if since is not None:
        past = past[past["origin_on"] >= pd.Timestamp(since)]
    hit, n, low, high = past["is_covered"].to_numpy(float), len(past), np.nan, np.nan
    if n:
        block = int(np.clip(round(len(forecast.periods) / forecast.step), 1, n))
        shape = (n_resamples, -(-n // block))
        starts = np.random.default_rng(seed).integers(0, n - block + 1, shape)
        drawn = hit[(starts[:, :, None] + np.arange(block)).reshape(n_resamples, -1)[:, :n]]
        low, high = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
    miss = (past["point"] / past["actual"] - 1).abs().to_numpy()
    outside = [high < forecast.level, low > forecast.level, n > 0]
    row = {
        "level": forecast.level,
        "n": n,
        "covered_share": _mean(hit),
        "low": low,
        "high": high,
        "mape": _mean(miss) if (past["actual"] > 0).all() else np.nan,
        "verdict": str(np.select(outside, ["too narrow", "too wide", "as stated"], "")),
    }
    return DataFrame([row])


def _known_frequency(name: str) -> Frequency:
    if name not in FREQUENCIES:
        known = ", ".join(FREQUENCIES)
        raise PlaybookError(
            "forecasting.unknown_frequency",
            frequency=name,
            known=known,
        )
    return FREQUENCIES[name]


def _regular(history: DataFrame, every: Frequency) -> tuple[pd.PeriodIndex, ndarray]:
    """One amount per period without holes, NaN where nothing was observed, ends
    trimmed.
    """
    missing = {"period_on", "amount"} - set(history.columns)
    if missing:
        raise PlaybookError("forecasting.history_columns", column=", ".join(sorted(missing)))
    periods = pd.PeriodIndex(pd.to_datetime(history["period_on"]), freq=every.code)
    if periods.has_duplicates:
        raise PlaybookError(
            "forecasting.repeated_period",
            column="period_on",
            rows=int(periods.duplicated().sum()),
            frequency=every.name,
        )
    series = pd.Series(pd.to_numeric(history["amount"]).to_numpy(float), index=periods)
    series = series[np.isfinite(series)]
    if len(series) < 3:
        raise PlaybookError("forecasting.too_few_periods", rows=len(series))
    whole = pd.period_range(
        series.index.min(),
        series.index.max(),
        freq=every.code,
    )
    return whole, series.reindex(whole).to_numpy()


def _calendar(
    calendar: DataFrame | None, periods: pd.PeriodIndex, every: Frequency
) -> tuple[list[str], ndarray]:
    """Effect columns on the periods of history and horizon; a period the calendar does
    not list has none of them.
    """
    if calendar is None or len(calendar) == 0:
        return [], np.zeros((len(periods), 0))
    days = pd.to_datetime(calendar["period_on"])
    frame = calendar.set_index(pd.PeriodIndex(days, freq=periods.freq))
    if frame.index.has_duplicates:
        raise PlaybookError(
            "forecasting.repeated_calendar", column="period_on", frequency=every.name
        )
    frame = frame.drop(columns="period_on").sort_index(axis=1)
    return list(frame.columns), frame.reindex(periods).fillna(0.0).to_numpy(float)


def _starts(n: int, horizon: int, every: Frequency) -> ndarray:
    """Periods known at each origin, the newest whose horizon is over last. The first is
    two years in where that leaves two dozen origins, else five quarters, else what a
    short history allows.

    Enough origins must have eight errors behind them, and an error takes a horizon to
    be realised.
    """
    year, step = every.year, every.step
    first = year + max(year // 4, 1)
    if n - 2 * year - horizon >= 24 * step:
        first = 2 * year
    elif n - first - 2 * horizon < 12 * step:
        first = max(3, min(8 * every.week, n // 3))
    starts = np.arange((n - horizon) % step, n - horizon + 1, step)
    return starts[starts >= first]


def _effects(names: list[str], amounts: ndarray, shares: ndarray, every: Frequency) -> DataFrame:
    """What each calendar column adds to the level; missing where it never came."""
    past, ahead = np.split(shares, [len(amounts)])
    n_periods = past.sum(axis=0)
    effect = clean_series(
        amounts,
        past,
        ahead,
        week=every.week,
        year=every.year,
    ).effects
    effect = np.where(n_periods > 0, effect, np.nan)
    return DataFrame({"effect_name": names, "effect": effect, "n_periods": n_periods})


def _interval(point: ndarray, half: ndarray, scale: ndarray, is_log: bool) -> dict[str, ndarray]:
    low, high = (amount_at(point, error, scale, is_log) for error in (-half, half))
    return {"low": low, "mid": point, "high": high}


def _baselines(race: Race, points: ndarray) -> dict[str, ndarray]:
    """The naive forecasts among those of all models (in columns)."""
    return {name: points[:, race.models.index(name)] for name in BASELINES if name in race.models}


def _totals(race: Race, amounts: ndarray, year: int) -> DataFrame:
    """One row per origin and a last one for now: the total ahead, its interval, what it
    rests on.
    """
    horizon = race.paths.shape[2]
    return DataFrame(
        {
            **_interval(
                race.point,
                race.half,
                race.scale,
                race.is_log,
            ),
            **_baselines(race, race.points),
            "year_before": [_year_before(amounts, n, year, horizon) for n in race.ends],
            "model": race.chosen,
            "scale": race.scale,
            "n_errors": race.n_known,
            "status": _status(race.half),
        }
    )


def _status(half: ndarray) -> ndarray:
    return np.where(np.isfinite(half), "complete", "not calibrated")


def _year_before(amounts: ndarray, n: int, year: int, horizon: int) -> float:
    """The same stretch a year before what follows `n` periods (repeated for a horizon
    beyond a year); missing if not there.
    """
    return amounts[n - year + np.arange(horizon) % year].sum() if n >= year else np.nan


def _origins(race: Race, totals: DataFrame, known: pd.PeriodIndex) -> DataFrame:
    """What was forecast at each past origin, and what came."""
    frame = totals.iloc[:-1].rename(columns={"mid": "point"})
    frame.insert(0, "origin_on", known.start_time)
    frame["actual"], frame["error"] = race.actual, race.error
    is_covered = frame["actual"].between(frame["low"], frame["high"]).astype("boolean")
    return frame.assign(is_covered=is_covered.where(frame[["low", "actual"]].notna().all(axis=1)))


def _periods(race: Race, ahead: pd.PeriodIndex) -> DataFrame:
    """Each period ahead, with the spread of the errors made at that distance."""
    paths = race.paths[-1].T
    path = paths[:, race.models.index(race.chosen[-1])]
    usual = race.scale[-1] / len(path)
    return DataFrame(
        {
            "period_on": ahead.start_time,
            **_interval(
                path,
                race.path_half,
                usual,
                race.path_is_log,
            ),
            **_baselines(race, paths),
            "status": _status(race.path_half),
        }
    )


def _backtest(race: Race) -> DataFrame:
    """Errors of every model and of the rule in use, on the origins whose choice had
    errors to go by.
    """
    is_used = race.n_known[:-1] >= MIN_ORIGINS
    points = dict(zip(race.models, race.points[:-1].T, strict=True)) | {"chosen": race.point[:-1]}
    naive = points.get("seasonal_naive", np.full(len(is_used), np.nan))
    naive_miss = np.abs(naive - race.actual)
    rows = []
    for name, point in points.items():
        is_judged = is_used & np.isfinite(point) & np.isfinite(race.actual)
        miss, actual = (point - race.actual)[is_judged], race.actual[is_judged]
        is_paired = np.isfinite(naive_miss[is_judged])
        mean_naive_miss = _mean(naive_miss[is_judged][is_paired]) or np.nan
        rows.append(
            {
                "model": name,
                "n_origins": len(miss),
                "mae": _mean(np.abs(miss)),
                "mape": _mean(np.abs(miss / actual)) if (actual > 0).all() else np.nan,
                "bias_share": miss.sum() / (actual.sum() or np.nan),
                "mae_ratio": _mean(np.abs(miss)[is_paired]) / mean_naive_miss,
            }
        )
    frame = DataFrame(rows)
    half = race.half[:-1]
    is_scored = np.isfinite(half) & np.isfinite(race.error)
    held = _mean(np.abs(race.error[is_scored]) <= half[is_scored])
    frame["covered_share"] = np.where(frame["model"] == "chosen", held, np.nan)
    return frame.assign(is_chosen=frame["model"] == race.chosen[-1])


def _mean(numbers: ndarray) -> float:
    return float(numbers.mean()) if len(numbers) else np.nan


def _notes(
    amounts: ndarray,
    every: Frequency,
    race: Race,
    effects: DataFrame,
    backtest: DataFrame,
) -> list[str]:
    """What limits this forecast, in plain words."""
    n, gaps, n_known = len(amounts), int(np.isnan(amounts).sum()), race.n_known[-1]
    limits = {
        "forecasting.under_one_season": n < every.year,
        "forecasting.under_two_seasons": every.year <= n < 2 * every.year,
        "forecasting.not_calibrated": n_known < MIN_ORIGINS,
        "forecasting.gaps": gaps > 0,
        "forecasting.not_positive": not race.is_log,
    }
    values = {
        "n": n,
        "year": every.year,
        "frequency": every.name,
        "gaps": gaps,
    }
    values |= {"n_known": n_known, "needed": MIN_ORIGINS}
    notes = [say(limit, **values) for limit, holds in limits.items() if holds]
    rare = effects.loc[effects["n_periods"].between(0, 2, inclusive="neither"), "effect_name"]
    notes += [say("forecasting.rare_effect", name=name, frequency=every.name) for name in rare]
    is_no_better = backtest["mae_ratio"].iloc[-1] >= 1
    return notes + [say("forecasting.no_better")] * bool(is_no_better)
