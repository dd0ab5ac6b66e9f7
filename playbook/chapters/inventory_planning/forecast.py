"""What customers will want: the weeks of a sku behind and ahead, the forecast held
against simpler ones on the shop's own past, and what later months will score.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.given import dated
from playbook.measures.demand_panel import DemandPanel, demand_law
from playbook.messages import say
from playbook.methods.demand import DemandLaw, tsb_level
from playbook.methods.uncensored import level_around
from playbook.outlook.forecast import Outlook
from playbook.tables import empty, frame_of, returns

__all__ = [
    "against_naive",
    "demand_backtest",
    "demand_total",
    "sku_weeks",
    "tempting_levels",
    "predictions",
]

HORIZON_WEEKS = 4  # of every forecast that is judged
LEVEL = 0.8  # of the intervals
NAIVE_BONUS = 0.9  # a model replaces naive when it erred a tenth less: less may be luck
AVERAGE_WEEKS = 13  # of the moving average
PAST_WEEKS, AHEAD_WEEKS = 52, 8  # shown of one sku
MOST_PREDICTED = 20  # class A skus whose demand is predicted
RECENT_MONTHS, DAYS_OF_MONTH = 3, 365.25 / 12  # behind today's units per order
MOST_APART = 0.2  # how far goods and shop may lie apart, share: beyond it one of them is off
SEED = 7


def demand_backtest(
    panel: DemandPanel,
    *,
    classes: DataFrame,
    n_origins: int = 6,
) -> DataFrame:
    """How far each model was off, by class and over all classes (`all`).

    Each origin sees its past only; a sku's future counts by the weeks it could be sold,
    for forecast and actual alike. Models: playbook (mean of its futures, what orders
    need), playbook median (what WAPE rewards), naive (last weeks again), seasonal naive
    (the same weeks a year ago), moving average of 13 weeks, tsb; and champion: at each
    origin the one of them that erred least in the class at the origins before (naive at
    the first, and where none did a tenth better). Coverage is that of the playbook's
    interval, `nominal` what the law itself gives those whole units: more than the level
    asked for where a sku sells in ones. Other models have none (missing).
    """
    total, h = panel.units.shape[1], HORIZON_WEEKS
    names = classes.set_index("sku").loc[panel.sku]
    kind = (names.abc + names.xyz).to_numpy()
    origins = range(total - h, max(total - h * n_origins - 1, 26), -h)
    logs = [_forecasts_at(panel, origin, kind) for origin in origins]
    if not logs:
        return empty("inventory_planning.backtest")
    log = pd.concat(logs, ignore_index=True)
    if log.empty:
        return empty("inventory_planning.backtest")
    log = _with_champion(log)
    return _scores(pd.concat([log, log.assign(**{"class": "all"})]))


def sku_weeks(
    panel: DemandPanel,
    law: DemandLaw,
    sku: str,
) -> DataFrame:
    """One sku's weeks behind and ahead: starts_on, units, exposure, level (demand
    around that week), mid, low, high (80 % of simulated demand ahead, whole units). Weeks
    before it could first be sold are left out; what is not there is missing.
    """
    i = int(np.flatnonzero(panel.sku == sku)[0])
    units, exposure = panel.units[i], panel.exposure[i]
    level = level_around(units[None], exposure[None], half_width=4)[0]
    back = DataFrame(
        {
            "starts_on": panel.starts,
            "units": units,
            "exposure": exposure,
            "level": level,
        }
    )[np.cumsum(exposure > 0) > 0].tail(PAST_WEEKS)
    draws = law.of(np.array([i])).draw(AHEAD_WEEKS, n_draws=500, seed=SEED)[0]
    low, high = _interval(draws, axis=0)
    mid = np.median(draws, axis=0)
    starts = panel.starts[-1] + pd.to_timedelta(7 * np.arange(1, AHEAD_WEEKS + 1), unit="D")
    front = DataFrame(
        {
            "starts_on": starts,
            "mid": mid,
            "low": low,
            "high": high,
        }
    )
    return pd.concat([back, front], ignore_index=True)


def tempting_levels(weeks: DataFrame) -> DataFrame:
    """Units a week and units of safety stock that are often used and go wrong, of one
    sku's weeks.
    """
    units, on_sale = weeks.units.dropna(), max(weeks.exposure.sum(), 0.1)
    levels = {
        say("inventory_planning.mean_of_all_weeks"): units.mean(),
        say("inventory_planning.mean_of_weeks_on_sale"): units.sum() / on_sale,
        say("inventory_planning.max_less_mean"): units.max() * 4 - units.mean() * 2,
    }
    return pd.Series(levels, name=say("inventory_planning.tempting_units")).to_frame()


@dated
def predictions(
    panel: DemandPanel,
    law: DemandLaw,
    classes: DataFrame,
    *,
    as_of: dt.date,
) -> DataFrame:
    """Units of class A skus over the next four weeks, for later months to score."""
    top = np.isin(panel.sku, classes.sku[classes.abc == "A"].head(MOST_PREDICTED))
    part = law.of(np.flatnonzero(top))
    draws = part.draw(HORIZON_WEEKS, n_draws=500, seed=SEED).sum(axis=2)
    low, high = _interval(draws, axis=1)
    return DataFrame(
        {
            "metric": "units",
            "subject": panel.sku[top],
            "horizon": f"{7 * HORIZON_WEEKS} days",
            "due_on": pd.Timestamp(as_of) + pd.Timedelta(days=7 * HORIZON_WEEKS),
            "point": part.mean(HORIZON_WEEKS).sum(axis=1),
            "low": low,
            "high": high,
            "level": LEVEL,
            "naive": panel.units[top, -HORIZON_WEEKS:].sum(axis=1),
            "model": "demand law",
        }
    )


@returns("inventory_planning.demand_total")
def demand_total(panel: DemandPanel, law: DemandLaw, outlook: Outlook) -> DataFrame:
    """What all goods together are expected to sell in the next four weeks, beside what the
    shop's one forecast of orders says, at today's units per order.

    Goods are forecast at what they would sell with a full shelf and the promotions that are
    planned; the shop's forecast holds the season of the past with its promotions. Verdict:
    `agree` within a fifth, else `goods above` or `goods below`.
    """
    days = 7 * HORIZON_WEEKS
    goods = float(law.mean(HORIZON_WEEKS).sum())
    month = outlook.shop("month")
    orders, first = float(month["mid"].get("orders", np.nan)), str(month["month"].iloc[0])
    before = outlook.origins.query("metric == 'orders' and level == 'shop' and horizon == 'month'")
    known = before[before["step"] == 1].tail(RECENT_MONTHS)["actual"].mean()
    units = float(np.nansum(panel.units[:, -AVERAGE_WEEKS:])) / (7 * AVERAGE_WEEKS)
    per_order = units * DAYS_OF_MONTH / known if known > 0 else np.nan
    shop = orders / pd.Period(first, "M").days_in_month * days * per_order
    ratio = goods / shop if shop > 0 else np.nan
    verdict = "agree" if abs(ratio - 1) <= MOST_APART else "goods above"
    verdict = "goods below" if ratio < 1 - MOST_APART else verdict
    row = {"days": days, "goods": goods, "orders": orders, "units_per_order": per_order}
    row |= {"shop": shop, "ratio": ratio, "verdict": verdict if np.isfinite(ratio) else ""}
    return frame_of("inventory_planning.demand_total", [row])


def _interval(draws: np.ndarray, *, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval of simulated units: the one rule for what is shown, what later
    months score, and what the backtest's coverage is of. Units are whole, so the ends are.
    """
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=axis)
    return np.floor(low), np.ceil(high)


def _forecasts_at(
    panel: DemandPanel,
    origin: int,
    kind: np.ndarray,
) -> DataFrame:
    """One row per sku and model: what was said at an origin, and what came."""
    h, past = HORIZON_WEEKS, panel.until(origin)
    ahead, promo, units = (
        part[:, origin : origin + h] for part in (panel.exposure, panel.pull, panel.units)
    )
    law, weeks, actual = demand_law(past), ahead.sum(axis=1), units.sum(axis=1)
    draws = (
        law.draw(
            h,
            n_draws=200,
            seed=SEED,
            promo=promo,
        )
        * ahead[:, None, :]
    )
    draws = draws.sum(axis=2)
    low, high = _interval(draws, axis=1)
    mid = np.median(draws, axis=1)
    points = {
        "playbook": (law.mean(h, promo) * ahead).sum(axis=1),
        "playbook median": mid,
        "naive": _recent(past, h) * weeks,
        "moving average": _recent(past, AVERAGE_WEEKS) * weeks,
        "tsb": tsb_level(past.units, past.exposure) * weeks,
    }
    if origin >= 52:
        points["seasonal naive"] = panel.units[:, origin - 52 : origin - 52 + h].sum(axis=1)
    log = DataFrame(points).assign(
        origin=origin,
        actual=actual,
        inside=((low <= actual) & (actual <= high)).astype(float),
        nominal=((low[:, None] <= draws) & (draws <= high[:, None])).mean(axis=1),
        **{"class": kind},
    )[weeks > 0.5 * h]
    same = ["class", "origin", "actual", "inside", "nominal"]
    log = log.melt(same, var_name="model", value_name="point")
    log.loc[log.model != "playbook", ["inside", "nominal"]] = np.nan
    return log


def against_naive(backtest: DataFrame) -> str:
    """A sentence: did the forecast that orders are made from err less over all classes
    than last weeks again (naive)? Empty where either is not there.
    """
    scores = backtest[backtest["class"] == "all"].set_index("model").wape
    if not {"naive", "playbook"} <= set(scores.dropna().index):
        return ""
    known = {"naive": scores.naive, "own": scores.playbook}
    won = "naive_wins" if scores.naive < scores.playbook else "naive_beaten"
    return say(f"inventory_planning.{won}", **known)


def _recent(past: DemandPanel, weeks: int) -> np.ndarray:
    """Units per week on sale over the last weeks."""
    exposure = np.maximum(past.exposure[:, -weeks:].sum(axis=1), 1e-9)
    return past.units[:, -weeks:].sum(axis=1) / exposure


def _with_champion(log: DataFrame) -> DataFrame:
    """The log of forecasts and, at each origin and in each class, once more those of
    the model that erred least before; a model that is not there at every origin is not
    in the race.
    """
    errors = log.assign(error=(log.point - log.actual).abs())
    errors = errors.groupby(["class", "origin", "model"]).error.sum().unstack()
    before = errors.dropna(axis=1).groupby("class").cumsum().groupby("class").shift()
    before["naive"] = (before.naive * NAIVE_BONUS).fillna(-1.0)
    best = before.idxmin(axis=1).rename("best").reset_index()
    chosen = log.merge(best, on=["class", "origin"]).query("model == best").drop(columns="best")
    chosen = chosen.assign(model="champion", inside=np.nan, nominal=np.nan)
    return pd.concat([log, chosen], ignore_index=True)


@returns("inventory_planning.backtest")
def _scores(log: DataFrame) -> DataFrame:
    """Errors of the forecasts by class and model."""
    gap = log.point - log.actual
    scores = log.assign(error=gap.abs(), gap=gap).groupby(["class", "model"], sort=True)
    scores = scores.agg(
        n=("error", "size"),
        error=("error", "sum"),
        gap=("gap", "sum"),
        actual=("actual", "sum"),
        coverage=("inside", "mean"),
        nominal=("nominal", "mean"),
    ).reset_index()
    sold = scores.actual.where(scores.actual > 0)
    scores.insert(3, "wape", scores.error / sold)
    scores.insert(4, "bias", scores.gap / sold)
    naive = scores[scores.model == "naive"].set_index("class").wape
    scores["naive_wape"] = scores["class"].map(naive)
    return scores.drop(columns=["error", "gap", "actual"])
