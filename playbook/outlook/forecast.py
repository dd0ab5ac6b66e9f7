"""One forecast of the shop: every figure of the next months, quarter and year, made to
agree, with the record of its own past.

*Coherent*: categories and channels add up to the shop, new and returning customers to
buyers, drivers multiply to revenue, months add up to quarter and year; in every month
ahead, by construction (methods/coherence.py). The interval of a figure is as wide as the
coherent forecasts of the same figure and horizon have missed (adaptive conformal,
methods/backtest.py), a miss from a shorter log counting less, by the root of the months
known; with fewer than eight such misses there is none, and the row says so. The season is
the shop's own past season with its usual promotions and peaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.forecasting.series import Forecast
from playbook.methods.backtest import half_widths
from playbook.outlook.history import KEY, RATIOS, WHOLE, identities
from playbook.outlook.paths import AHEAD, MIN_MONTHS, Paths, first_origin, paths_of
from playbook.tables import frame_of, schema

__all__ = ["HORIZONS", "Outlook", "outlook_of"]

#: what the model is called in tables
MODEL = "outlook"
#: horizon -> its months
HORIZONS = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True)
class Outlook:
    """`rows`: what is coming, the table `outlook.outlook`. `origins`: what the same rule
    forecast before and what came, the table `outlook.origins`. `level`: of the intervals.
    """

    rows: DataFrame
    origins: DataFrame
    level: float

    def mid(self, metric: str, horizon: str, *, step: int = 1, column: str = "mid") -> float:
        """A figure of the whole shop; missing where it is not forecast."""
        rows = self.shop(horizon, step=step)
        return float(rows[column].get(metric, np.nan))

    def shop(self, horizon: str, *, step: int = 1) -> DataFrame:
        """The whole shop's rows of one span, by metric."""
        rows = self.rows
        is_it = (rows["level"] == WHOLE) & (rows["horizon"] == horizon) & (rows["step"] == step)
        return rows[is_it].set_index("metric")

    def parts(self, metric: str, level: str, horizon: str, *, step: int = 1) -> DataFrame:
        """The rows of all members of a level, by member; none where there are none."""
        rows = self.rows
        is_it = (rows["level"] == level) & (rows["metric"] == metric)
        is_it &= (rows["horizon"] == horizon) & (rows["step"] == step)
        return rows[is_it].set_index("member")

    def forecast(self, metric: str, horizon: str) -> Forecast:
        """One figure of the whole shop as the forecaster of series gives it.

        Of a ratio all amounts are times the number of months, as sums of months are.
        Raises KeyError for a metric that is not forecast.
        """
        n = HORIZONS[horizon]
        scale = n if metric in RATIOS else 1
        mine = (self.rows["metric"] == metric) & (self.rows["level"] == WHOLE)
        rows = self.rows[mine].set_index(["horizon", "step"])
        total = _in_total(rows.loc[[(horizon, 1)]], scale, n)
        months = rows.loc["month"].loc[1:n]
        periods = _named(months.assign(period_on=pd.to_datetime(months["month"])))
        past = self.origins[
            (self.origins["metric"] == metric)
            & (self.origins["level"] == WHOLE)
            & (self.origins["horizon"] == horizon)
            & (self.origins["step"] == 1)
        ]
        origin_on = pd.PeriodIndex(past["known_to"], freq="M").start_time
        past = past.assign(origin_on=origin_on).reset_index(drop=True)
        backtest = rows.loc[[(horizon, 1)], ["n_errors", "mape", "mae_ratio", "covered_share"]]
        frames = (periods.reset_index(drop=True), total, backtest, past, DataFrame())
        return Forecast(
            *frames,
            MODEL,
            self.level,
            "month",
            1,
            True,
            (),
        )


def outlook_of(history: DataFrame, *, level: float = 0.8) -> Outlook:
    """The outlook after `history` (outlook.history.monthly_history). The same months a year
    before are told as they were (`was`, where it is there).

    Raises PlaybookError with fewer than three whole months with sales.
    """
    wide = history.pivot(index="month", columns=KEY, values="amount").sort_index()
    # a margin that was negative has no logarithm; a month without sales is a hole
    is_lost = (wide < 0).any() & wide.columns.get_level_values("metric").isin(["cm", "cm_share"])
    wide = wide.loc[:, ~is_lost]
    wide = wide.where(wide > 0)
    n_known = int(wide.notna().any(axis=1).sum())
    if n_known < MIN_MONTHS:
        raise PlaybookError("outlook.too_few_months", rows=n_known)
    whole = pd.period_range(wide.index.min(), wide.index.max(), freq="M").astype(str)
    amounts = wide.reindex(whole)
    was = amounts
    if "was" in history:
        was = history.pivot(index="month", columns=KEY, values="was")
        was = was.where(was > 0).reindex(whole)[wide.columns]
    ratios = np.flatnonzero(amounts.columns.get_level_values("metric").isin(list(RATIOS)))
    paths = paths_of(amounts.to_numpy(float), identities(amounts.columns), ratios)
    spans = [("month", step, 1) for step in range(1, AHEAD + 1)]
    spans += [(name, 1, n) for name, n in HORIZONS.items() if n > 1]
    parts = [
        _span(
            paths,
            (amounts, was),
            span,
            level,
        )
        for span in spans
    ]
    origins = pd.concat([part[0] for part in parts], ignore_index=True)
    rows = pd.concat([part[1] for part in parts], ignore_index=True)
    order = ["horizon", "step", *KEY]
    return Outlook(
        rows.sort_values(order, ignore_index=True),
        origins.sort_values(["known_to", *order], ignore_index=True),
        level,
    )


def _named(rows: DataFrame) -> DataFrame:
    """The rows with the naive forecast under the names the forecaster of series uses."""
    return rows.assign(seasonal_naive=rows["year_before"])


def _in_total(row: DataFrame, scale: float, n: int) -> DataFrame:
    """One row of a span as a total over its months."""
    amounts = ["low", "mid", "high", "naive", "year_before"]
    row = row.assign(**{name: row[name] * scale for name in amounts})
    first = pd.Period(row["month"].iloc[0], "M")
    row = row.assign(
        model=MODEL,
        scale=1.0,
        from_on=first.start_time,
        to_on=row["due_on"],
        n_periods=n,
    )
    return _named(row).reset_index(drop=True)


def _span(
    paths: Paths,
    months: tuple[DataFrame, DataFrame],
    span: tuple[str, int, int],
    level: float,
) -> tuple[DataFrame, DataFrame]:
    """The record and the newest forecast of all series over one span: horizon, step (its
    first month ahead) and number of months. `months`: what they teach, and as they were.
    """
    (amounts, was), (name, step, n) = months, span
    due = step - 1 + n
    ahead = slice(step - 1, due)
    keys = amounts.columns
    point, naive, actual = (
        _total(part[:, :, ahead], keys) for part in (paths.point, paths.naive, paths.actual)
    )
    is_judged = (paths.ends >= first_origin(len(amounts), due)) | (paths.ends == paths.ends[-1])
    ends = paths.ends[is_judged]
    point, naive, actual = point[is_judged], naive[is_judged], actual[is_judged]
    # a forecast from half the log errs by about root two more
    youth = np.sqrt(ends / ends[-1])[:, None]
    with np.errstate(invalid="ignore"):
        error = np.log(actual / point) * youth
    n_known = (ends[:, None] + due <= ends).sum(axis=0)
    half = np.column_stack(
        [
            half_widths(
                one,
                n_known,
                level=level,
                overlap=1.0,
            )
            for one in error.T
        ]
    )
    half /= youth
    record = _record(amounts, ends, (point, half, naive, actual, error))
    record = record.assign(horizon=name, step=step)
    before = _year_before(was, step, n)
    return _past(record), _newest(record, n, before)


def _year_before(amounts: DataFrame, step: int, n: int) -> pd.Series:
    """Every series over the same months a year before; missing where they lie before
    the log.
    """
    first = len(amounts) + step - 1 - 12
    months = amounts.to_numpy(float)[max(first, 0) : first + n]
    if first < 0:
        return pd.Series(np.nan, amounts.columns)
    total = _total(months.T[None, :, :], amounts.columns)[0]
    return pd.Series(total, amounts.columns)


def _total(months: ndarray, keys: pd.MultiIndex) -> ndarray:
    """Totals over the months (last axis) of all series; of ratios the ratio of totals."""
    sums = months.sum(axis=2)
    place = {key: k for k, key in enumerate(keys)}
    for ratio, (top, bottom) in RATIOS.items():
        at = [place.get((name, WHOLE, WHOLE)) for name in (ratio, top, bottom)]
        if None not in at:
            sums[:, at[0]] = sums[:, at[1]] / sums[:, at[2]]
    return sums


def _record(amounts: DataFrame, ends: ndarray, parts: tuple[ndarray, ...]) -> DataFrame:
    """One row per origin and series, the newest origin last."""
    point, half, naive, actual, error = parts
    known_to = pd.Index(amounts.index)[ends - 1]
    index = pd.MultiIndex.from_product([known_to, range(len(amounts.columns))])
    frame = amounts.columns.to_frame(index=False).iloc[index.get_level_values(1)]
    columns = {
        "low": point * np.exp(-half),
        "point": point,
        "high": point * np.exp(half),
    }
    columns |= {"naive": naive, "actual": actual, "error": error}
    frame = frame.assign(known_to=index.get_level_values(0))
    return frame.assign(**{name: part.ravel() for name, part in columns.items()})


def _past(record: DataFrame) -> DataFrame:
    """The origins before now, with whether the interval held."""
    past = record[record["known_to"] != record["known_to"].iloc[-1]]
    is_inside = past["actual"].between(past["low"], past["high"]).astype("boolean")
    is_judged = past["low"].notna() & past["actual"].notna()
    past = past.assign(is_covered=is_inside.where(is_judged))
    return past[past["point"].notna()][schema("outlook.origins").names]


def _newest(record: DataFrame, n: int, before: pd.Series) -> DataFrame:
    """What is coming, and how the same rule did: one row per series that has a forecast."""
    now = record[record["known_to"] == record["known_to"].iloc[-1]].set_index(KEY)
    past = record[record["error"].notna()]
    off = past.assign(
        off=(past["point"] - past["actual"]).abs(),
        share=(past["point"] / past["actual"] - 1).abs(),
        # the same windows for both
        naive_off=(past["naive"] - past["actual"]).abs(),
        is_inside=past["actual"].between(past["low"], past["high"]).where(past["low"].notna()),
    ).astype({"is_inside": float})
    groups = off.groupby(KEY)
    first = pd.Period(record["known_to"].iloc[-1], "M") + int(record["step"].iloc[0])
    is_both = off["naive_off"].notna()
    both = off[is_both].groupby(KEY)[["off", "naive_off"]].sum()
    rows = now.rename(columns={"point": "mid"}).assign(
        month=str(first),
        due_on=(first + n - 1).end_time.normalize(),
        year_before=before,
        n_errors=groups.size(),
        mape=groups["share"].mean(),
        mae_ratio=both["off"] / both["naive_off"].where(both["naive_off"] > 0),
        covered_share=groups["is_inside"].mean(),
    )
    rows["n_errors"] = rows["n_errors"].fillna(0).astype(int)
    rows["status"] = np.where(rows["low"].notna(), "complete", "not calibrated")
    return frame_of("outlook.outlook", rows[rows["mid"].notna()].reset_index())
