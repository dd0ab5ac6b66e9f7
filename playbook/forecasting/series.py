"""The one forecaster: revenue, orders or units by day, week, month or quarter.

A forecast here is a race run on the shop's own past. At every earlier origin each
candidate forecasts with the rows before that origin and nothing else; the candidate
with the smallest error *realised by then* is the one used, and the interval is the
spread of the errors which that very rule (choice included) has made so far. So the
model, the width of the interval and the chance that a goal is met are all out-of-sample
figures.

Candidates, all on the scale of the money itself (no logarithm is taken of a day without
sales):

naive            the last period again seasonal_naive   the same period of the season
before (week for days, year for weeks, months and quarters) level            season and
calendar divided out, the level of the last quarter of a year, no slope trend
the same with a slope, damped growth           the same period a year before times the
growth of the latest periods over theirs a year before mix              the mean of
growth and trend (of trend and level while growth needs more history): the default ets
statsmodels' damped exponential smoothing, only when asked for (`models=`), loaded when
used

`mix` is used until another candidate has been better by more than one standard error of
the difference: picking the best of many on few errors follows noise (on the US Census
series it costs half a point of error a year ahead). Errors are log ratios of actual to
forecast, or shares of the usual level where a total was not positive.

Sources: methods/season.py for the candidates; Bates & Granger (1969) for the mean of
two; Breiman et al. (1984) for the one-standard-error rule; Vovk et al. (2005), Lei et
al. (2018) for split conformal intervals. Their exchangeability holds only roughly in
time, so sums that overlap are not counted as independent, and the coverage is always
printed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from playbook.errors import PlaybookError
from playbook.methods.race import MIN_ORIGINS, Race, amount_at, link_errors, run_race
from playbook.methods.season import clean_series, model_paths

__all__ = [
    "BASELINES",
    "FREQUENCIES",
    "MODELS",
    "Forecast",
    "forecast_series",
    "reach",
    "covered_share",
]

#: pandas period code, periods in the short season and in a year (364 days keep the weekday), periods between origins
FREQUENCIES = {
    "day": ("D", 7, 364, 7),
    "week": ("W-SUN", 52, 52, 1),
    "month": ("M", 12, 12, 1),
    "quarter": ("Q", 4, 4, 1),
}
BASELINES = ("naive", "seasonal_naive")
MODELS = ("naive", "seasonal_naive", "level", "trend", "growth", "mix")


@dataclass(frozen=True)
class Forecast:
    """What comes next, and how the same rule has done before.

    `periods`   one row per period ahead: period_on, low, mid, high, naive, seasonal_naive, status
    `total`     one row, the sum over the horizon: from_on, to_on, n_periods, low, mid, high, naive, seasonal_naive,
                year_before, n_errors, model, status
    `backtest`  one row per model, `chosen` being the rule in use: n_origins, mae, mape, bias_share, mae_ratio (to the
                seasonal naive on the same origins), covered_share, is_chosen
    `origins`   one row per past origin: origin_on (its last known period), model, point, actual, low, high,
                is_covered, error (link scale), scale, year_before, naive, seasonal_naive
    `effects`   one row per calendar column: effect (share of the level a full period of it adds), n_periods
    `notes`     what a reader has to know, one sentence each
    Status is `complete`, or `not calibrated` (low and high missing) while fewer than eight errors were realised.
    """

    periods: pd.DataFrame
    total: pd.DataFrame
    backtest: pd.DataFrame
    origins: pd.DataFrame
    effects: pd.DataFrame
    model: str
    level: float
    frequency: str
    step: int
    is_log: bool
    notes: tuple[str, ...]


def forecast_series(
    history: pd.DataFrame,
    *,
    frequency: str,
    horizon: int,
    level: float = 0.8,
    calendar: pd.DataFrame | None = None,
    models: tuple[str, ...] = MODELS,
    step: int | None = None,
) -> Forecast:
    """Forecast the next `horizon` periods of one series, raced and calibrated on its
    own past.

    `history`: one row per complete period, `period_on` (any day in it) and `amount`; a
    period without a row, or with a missing amount, is not observed (a closed day is a
    row with 0). `calendar`: `period_on` and one column per holiday or promotion with
    the share of the period it fills, for the history and the horizon; at an origin the
    calendar of the periods ahead is taken as known, so give plans, not what turned out.
    `step`: periods between origins. Intervals cover `level`; how often they did is in
    `backtest`. Raises PlaybookError for an unknown frequency, a repeated period, a
    horizon below 1 and fewer than three observed periods.
    """
    dates, amounts = _regular(history, frequency)
    _, week, year, default_step = _known_frequency(frequency)
    if horizon < 1 or not 0 < level < 1:
        raise PlaybookError(
            "A forecast needs a horizon of at least 1 and a level between 0 and 1", rule="horizon"
        )
    step = step or default_step
    ahead = pd.period_range(dates[-1] + 1, periods=horizon, freq=dates.freq)
    names, effects = _calendar(calendar, dates.append(ahead), frequency)
    n = len(amounts)
    starts = np.arange((n - horizon) % step, n - horizon + 1, step)
    starts = starts[starts >= _first_origin(n, week, year, horizon, step)]
    paths = np.stack(
        [model_paths(amounts[:t], effects[: t + horizon], week, year, models) for t in [*starts, n]]
    )
    floor = (
        0.0 if np.nanmin(amounts) >= 0 else -np.inf
    )  # counts and sales that were never negative stay so
    race = run_race(
        amounts, starts, np.maximum(paths, floor), models=models, year=year, step=step, level=level
    )
    if race.chosen[-1] is None:
        raise PlaybookError(
            "No model can forecast this history",
            rule="models",
            do="give more periods, or more models",
        )
    before = np.array([_year_before(amounts, t, year, horizon) for t in race.ends])
    total, periods = pd.DataFrame([_row(race, len(starts), before[-1])]), _periods(race)
    origins, backtest = _origins(race, before[:-1]), _backtest(race)
    periods.insert(0, "period_on", ahead.start_time)
    ends = {
        "from_on": ahead[0].start_time,
        "to_on": ahead[-1].end_time.normalize(),
        "n_periods": horizon,
    }
    total = pd.concat([pd.DataFrame([ends]), total], axis=1)
    origins.insert(0, "origin_on", dates[starts - 1].start_time)
    cleaned = clean_series(amounts, effects[:n], effects[n:], week=week, year=year)
    seen = effects[:n].sum(axis=0)
    effect = np.where(seen > 0, cleaned.effects, np.nan)
    for frame in (total, periods, origins):
        frame["low"] = frame["low"].clip(lower=floor)
    found = pd.DataFrame({"effect_name": names, "effect": effect, "n_periods": seen})
    notes = tuple(_notes(amounts, frequency, year, race, found, backtest))
    return Forecast(
        periods,
        total,
        backtest,
        origins,
        found,
        race.chosen[-1],
        level,
        frequency,
        step,
        race.is_log,
        notes,
    )


def reach(
    forecast: Forecast, targets: list[float] | np.ndarray, *, already: float = 0.0
) -> pd.DataFrame:
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
        shares = _chances(
            errors, link_errors(targets - already, row["mid"], row["scale"], forecast.is_log)
        )
    return pd.DataFrame(
        {"target": targets, "p_reach": shares, "n_errors": errors.count(), "status": row["status"]}
    )


def covered_share(
    forecast: Forecast, *, since: object = None, n_resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
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
    hit, n = past["is_covered"].to_numpy(float), len(past)
    row = {
        "level": forecast.level,
        "n": n,
        "covered_share": _mean(hit),
        "low": np.nan,
        "high": np.nan,
        "mape": _mean((past["point"] / past["actual"] - 1).abs().to_numpy()),
    }
    if n:
        block = int(np.clip(round(len(forecast.periods) / forecast.step), 1, n))
        starts = np.random.default_rng(seed).integers(
            0, n - block + 1, (n_resamples, -(-n // block))
        )
        drawn = hit[(starts[:, :, None] + np.arange(block)).reshape(n_resamples, -1)[:, :n]]
        row["low"], row["high"] = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
    row["verdict"] = (
        ""
        if not n
        else "too narrow"
        if row["high"] < forecast.level
        else "too wide"
        if row["low"] > forecast.level
        else "as stated"
    )
    return pd.DataFrame([row])


def _known_frequency(frequency: str) -> tuple[str, int, int, int]:
    if frequency not in FREQUENCIES:
        raise PlaybookError(
            f"{frequency!r} is no frequency", do=f"give one of {', '.join(FREQUENCIES)}"
        )
    return FREQUENCIES[frequency]


def _regular(history: pd.DataFrame, frequency: str) -> tuple[pd.PeriodIndex, np.ndarray]:
    """One amount per period without holes, NaN where nothing was observed, ends
    trimmed.
    """
    code = _known_frequency(frequency)[0]
    missing = {"period_on", "amount"} - set(history.columns)
    if missing:
        raise PlaybookError(
            "A history needs period_on and amount", column=", ".join(sorted(missing))
        )
    periods = pd.PeriodIndex(pd.to_datetime(history["period_on"]), freq=code)
    if periods.has_duplicates:
        raise PlaybookError(
            f"More than one row for a {frequency}",
            column="period_on",
            rows=int(periods.duplicated().sum()),
            do=f"sum the rows by {frequency} first",
        )
    amounts = pd.to_numeric(history["amount"]).to_numpy(float)
    series = pd.Series(amounts, index=periods)[np.isfinite(amounts)]
    if len(series) < 3:
        raise PlaybookError(
            f"{len(series)} observed periods are too few for any forecast",
            rule="at least 3 periods",
            rows=len(series),
            do="wait, or forecast a finer period",
        )
    series = series.reindex(pd.period_range(series.index.min(), series.index.max(), freq=code))
    return series.index, series.to_numpy()


def _calendar(
    calendar: pd.DataFrame | None, periods: pd.PeriodIndex, frequency: str
) -> tuple[list[str], np.ndarray]:
    """Effect columns on the periods of history and horizon; a period the calendar does
    not list has none of them.
    """
    if calendar is None or len(calendar) == 0 or calendar.shape[1] < 2:
        return [], np.zeros((len(periods), 0))
    frame = calendar.set_index(
        pd.PeriodIndex(pd.to_datetime(calendar["period_on"]), freq=periods.freq)
    )
    if frame.index.has_duplicates:
        raise PlaybookError(
            f"The calendar has more than one row for a {frequency}", column="period_on"
        )
    frame = frame.drop(columns="period_on").sort_index(axis=1)
    return list(frame.columns), frame.reindex(periods).fillna(0.0).to_numpy(float)


def _first_origin(n: int, week: int, year: int, horizon: int, step: int) -> int:
    """Two years in where that leaves two dozen origins, else five quarters, else what a
    short history allows.

    Enough origins must have eight errors behind them, and an error takes a horizon to
    be realised.
    """
    if n - 2 * year - horizon >= 24 * step:
        return 2 * year
    first = year + max(year // 4, 1)
    return first if n - first - 2 * horizon >= 12 * step else max(3, min(8 * week, n // 3))


def _chances(errors: pd.Series, bars: np.ndarray) -> np.ndarray:
    """Share of the mirrored past errors at or above each bar, smoothed by a normal
    kernel of Silverman's width.
    """
    from scipy.special import ndtr

    seen = np.sort(errors.dropna().to_numpy(float))
    both = np.sort(np.concatenate([seen, -seen]))
    width = max(1.06 * np.sqrt((seen**2).mean()) * len(seen) ** -0.2, np.finfo(float).tiny)
    return ndtr((both - np.asarray(bars)[:, None]) / width).mean(axis=1)


def _row(race: Race, i: int, year_before: float) -> dict[str, object]:
    low, high = (
        amount_at(race.point[i], sign * race.half[i], race.scale[i], race.is_log)
        for sign in (-1, 1)
    )
    names = {
        name: race.points[i, race.models.index(name)] for name in BASELINES if name in race.models
    }
    return {
        "low": low,
        "mid": race.point[i],
        "high": high,
        **names,
        "year_before": year_before,
        "model": race.chosen[i],
        "scale": race.scale[i],
        "n_errors": int(race.n_known[i]),
        "status": _status(race.half[i]),
    }


def _status(half: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(half), "complete", "not calibrated")[()]


def _year_before(amounts: np.ndarray, t: int, year: int, horizon: int) -> float:
    """The same stretch a year before what follows `t` (repeated for a horizon beyond a
    year); missing if not there.
    """
    return amounts[t - year + np.arange(horizon) % year].sum() if t >= year else np.nan


def _origins(race: Race, before: np.ndarray) -> pd.DataFrame:
    """What was forecast at each past origin, and what came."""
    frame = pd.DataFrame(
        [_row(race, i, before[i]) for i in range(len(before))], columns=list(_row(race, -1, np.nan))
    )
    frame = frame.rename(columns={"mid": "point"})
    frame["actual"], frame["error"] = race.actual, race.error
    seen = frame["low"].notna() & frame["actual"].notna()
    frame["is_covered"] = (
        frame["actual"].between(frame["low"], frame["high"]).astype("boolean").where(seen)
    )
    return frame


def _periods(race: Race) -> pd.DataFrame:
    """Each period ahead, with the spread of the errors made at that distance."""
    path = race.paths[-1, race.models.index(race.chosen[-1])]
    usual = race.scale[-1] / len(path)
    low, high = (
        amount_at(path, sign * race.path_half, usual, race.path_is_log) for sign in (-1, 1)
    )
    base = {
        name: race.paths[-1, race.models.index(name)] for name in BASELINES if name in race.models
    }
    return pd.DataFrame(
        {"low": low, "mid": path, "high": high, **base, "status": _status(race.path_half)}
    )


def _backtest(race: Race) -> pd.DataFrame:
    """Errors of every model and of the rule in use, on the origins whose choice had
    errors to go by.
    """
    use = race.n_known[:-1] >= MIN_ORIGINS
    points = {name: race.points[:-1, k] for k, name in enumerate(race.models)} | {
        "chosen": race.point[:-1]
    }
    season = np.abs(points.get("seasonal_naive", np.full(len(use), np.nan)) - race.actual)
    rows = []
    for name, point in points.items():
        seen = use & np.isfinite(point) & np.isfinite(race.actual)
        miss, actual = (point - race.actual)[seen], race.actual[seen]
        paired = seen & np.isfinite(season)
        rows.append(
            {
                "model": name,
                "n_origins": int(seen.sum()),
                "mae": _mean(np.abs(miss)),
                "mape": _mean(np.abs(miss / actual)) if (actual > 0).all() else np.nan,
                "bias_share": miss.sum() / (actual.sum() or np.nan) if len(miss) else np.nan,
                "mae_ratio": _mean(np.abs(point - race.actual)[paired])
                / (_mean(season[paired]) or np.nan),
            }
        )
    frame = pd.DataFrame(rows)
    covered = np.abs(race.error) <= race.half[:-1]
    judged = np.isfinite(race.half[:-1]) & np.isfinite(race.error)
    frame["covered_share"] = np.where(frame["model"] == "chosen", _mean(covered[judged]), np.nan)
    frame["is_chosen"] = frame["model"] == race.chosen[-1]
    return frame


def _mean(numbers: np.ndarray) -> float:
    return float(numbers.mean()) if len(numbers) else np.nan


def _notes(
    amounts: np.ndarray,
    frequency: str,
    year: int,
    race: Race,
    effects: pd.DataFrame,
    backtest: pd.DataFrame,
) -> list[str]:
    """What limits this forecast, in plain words."""
    n, gaps, notes = len(amounts), int(np.isnan(amounts).sum()), []
    if n < year:
        notes.append(
            f"Less than one season of history ({n} of {year} {frequency}s): the yearly season is not known."
        )
    elif n < 2 * year:
        notes.append(
            f"Less than two years of history ({n} {frequency}s): season and trend cannot be told apart."
        )
    if race.n_known[-1] < MIN_ORIGINS:
        notes.append(
            f"Not calibrated: {race.n_known[-1]} realised errors, {MIN_ORIGINS} are needed for an interval."
        )
    if gaps:
        notes.append(f"{gaps} of {n} {frequency}s were not observed and are not counted as zero.")
    if not race.is_log:
        notes.append(
            "Some totals were not positive: errors are shares of the usual level, not ratios."
        )
    rare = effects.loc[(effects["n_periods"] > 0) & (effects["n_periods"] < 2), "effect_name"]
    notes.extend(f"The effect of {name} rests on less than two full {frequency}s." for name in rare)
    if (backtest.set_index("model").at["chosen", "mae_ratio"]) >= 1:
        notes.append(
            "Over the past origins this forecast was no better than the seasonal naive one."
        )
    return notes
