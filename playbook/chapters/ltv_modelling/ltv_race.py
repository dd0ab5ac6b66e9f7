"""The monthly competition of the customer-value models: what each would have said, who
wins, and what the winner says today.

Every fortnight of the shop's past is an origin; every model sees only the rows up to
it. The winner, the table that chose it and the coverage of its intervals are results of
their own, printed by notebook 05.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame, Series, Timestamp

from playbook.errors import PlaybookError
from playbook.forecasting import intervals as evidence
from playbook.given import dated
from playbook.measures import customer_windows as shop_past
from playbook.measures.customer_windows import Table
from playbook.messages import say
from playbook.methods import backtest as rolling
from playbook.methods.btyd import CountFit, expected_purchases, fit_counts, p_alive
from playbook.methods.btyd_models import MODELS
from playbook.methods.customer_models import NAIVE, Candidates
from playbook.methods.hashing import hash_places
from playbook.methods.shop_clock import CALENDAR, Clock
from playbook.methods.spend import SpendFit, expected_spend, fit_spend
from playbook.tables import empty, returns, schema

__all__ = [
    "LtvBacktest",
    "backtest_ltv",
    "played_windows",
    "model_table",
    "interval_coverage",
    "calibration",
    "CustomerForecast",
    "customer_forecast",
    "remaining_value",
    "longest_intervals",
]

#: days ahead that are forecast, logged and scored each month
SOON = (28, 56, 91)
#: further horizons, and the days of log from which they are backtested
LATER = {182: 364, 364: 900}
EVERY_DAYS = 14
MAX_ORIGINS = 36
WEEKS_BEFORE = 8
#: days by which a backtested horizon may differ from the one forecast
NEAR_DAYS = 7
#: customers the models are judged on, those that tell the channels' errors, and those
#: today's forecast learns from: more would tell no better
JUDGED_CUSTOMERS, CHANNEL_CUSTOMERS, LEARNT_CUSTOMERS = 8_000, 18_000, 50_000
WINDOW_KEY = ["origin_on", "horizon_days", "model"]


@dataclass(frozen=True)
class LtvBacktest:
    """What every model would have said from every earlier origin.

    `windows`: one row per origin, horizon, model, measure (purchases, money), kind
    (total, decile, channel, cohort) and subject: point, actual, unit, n_customers.
    `losses`: one row per origin, horizon and model: deviance (mean Poisson), mae,
    top_share (share of purchases by the tenth forecast to buy most), loss (deviance per
    purchase). `bands`: counts of customers by forecast size and purchases made.
    `verdict`: methods.backtest.champion_table; `model` its winner. `share`: customers judged, of
    all. `caveat`: why nothing can be checked yet; else empty.
    """

    windows: DataFrame
    losses: DataFrame
    bands: DataFrame
    verdict: DataFrame
    model: str
    as_of: dt.date
    basis: str
    horizons_days: tuple[int, ...]
    share: float
    caveat: str


@dated
def backtest_ltv(
    customer_days: Table,
    *,
    as_of: dt.date,
    basis: str = "revenue",
    traits: Table | None = None,
    horizons_days: tuple[int, ...] | None = None,
) -> LtvBacktest:
    """Ask every candidate (methods/customer_models) from origins a fortnight apart, and
    choose the champion.

    Default horizons: 28, 56 and 91 days, 182 once the log spans a year, 364 from two
    and a half years. Larger shops are judged on a sample fixed by the hash of the
    customer id; a channel's own errors come from all its customers up to an equal part
    of `CHANNEL_CUSTOMERS`, so that a small one is not told from a handful. `traits`:
    first_orders(...). Where no window has ended, or nobody has bought again, NBD stands
    in and `caveat` says so. Raises PlaybookError when there is no customer.
    """
    everybody = shop_past.purchase_history(customer_days, as_of=as_of, basis=basis, traits=traits)
    if len(everybody) == 0:
        raise PlaybookError("ltv_modelling.no_customer", table="customer_days")
    customers, is_judged = _chosen(everybody)
    ids = customers.customer_id
    log = shop_past.purchase_log(customer_days, ids, as_of=as_of, basis=basis)
    first, last = log.loc[is_judged[log.customer_id], "day_on"].min(), Timestamp(as_of)
    span = (last - first).days
    later = tuple(horizon for horizon, least in LATER.items() if span >= least)
    horizons = tuple(horizons_days or SOON + later)
    race = _Competition(customers, is_judged, horizons)
    start = first + pd.Timedelta(weeks=WEEKS_BEFORE)
    origins = rolling.origin_days(start, last, every_days=EVERY_DAYS)[-MAX_ORIGINS:]
    windows = rolling.rolling_origin(
        log, race.predict, race.compare, origins=origins, horizons_days=horizons, as_of=last
    )
    losses = DataFrame(
        race.losses, columns=[*WINDOW_KEY, "deviance", "mae", "n_customers", "top_share", "loss"]
    )
    verdict = rolling.champion_table(losses, naive=NAIVE)
    model, caveat, bands = "nbd", "", [DataFrame(columns=[*WINDOW_KEY, "band", "bought", "n"])]
    if len(verdict):
        model, bands = verdict.model.iloc[0], race.bands
    else:
        n = int((log.orders > 0).sum())
        caveat = say("ltv_modelling.nothing_checked", days=span, n=n)
    return LtvBacktest(
        windows,
        losses,
        pd.concat(bands, ignore_index=True),
        verdict,
        model,
        as_of,
        basis,
        horizons,
        is_judged.sum() / len(everybody),
        caveat,
    )


def _chosen(everybody: DataFrame) -> tuple[DataFrame, ndarray]:
    """The customers whose forecasts are compared, and which of them are judged: the
    others only tell their channel's errors.
    """
    places = Series(hash_places(everybody.customer_id)).rank(method="first")
    is_judged = is_chosen = places <= JUDGED_CUSTOMERS
    channel = _channels(everybody)
    if channel is not None:
        groups = places.groupby(channel)
        is_chosen = is_judged | (groups.rank() <= CHANNEL_CUSTOMERS // groups.ngroups)
    return everybody[is_chosen].reset_index(drop=True), is_judged[is_chosen].to_numpy()


def _channels(customers: DataFrame) -> Series | None:
    """The channel that won each customer; None where no channel is known."""
    if "channel" in customers and customers.channel.notna().any():
        return customers.channel.fillna("unknown")
    return None


class _Competition:
    """All models' forecasts of `customers`, known by their place, and what became of
    them: the two steps that a rolling origin asks for.
    """

    def __init__(
        self, customers: DataFrame, is_judged: ndarray, horizons_days: tuple[int, ...]
    ) -> None:
        self.customers, self.is_judged, self.horizons = customers, is_judged, horizons_days
        self.models = Candidates(shop_past.history_of, shop_past.known_traits(customers))
        channel = _channels(customers)
        is_known = channel is not None
        self.channels = np.unique(channel.to_numpy(str), return_inverse=True) if is_known else None
        self.losses: list[dict] = []
        self.bands: list[DataFrame] = []

    def predict(self, past: DataFrame, origin: Timestamp) -> tuple:
        """The origin, histories as of then with expected money per purchase (`each`),
        and expected purchases by horizon and model.
        """
        table = shop_past.history_of(past, origin)
        learnt = past[self.is_judged[past.customer_id.to_numpy()]]
        table, purchases, _ = self.models.predict(
            learnt,
            origin,
            self.horizons,
            table,
        )
        spend = fit_spend(shop_past.spend_rows(self.models.at(learnt, origin)), engine="own")
        each = expected_spend(spend, shop_past.spend_rows(table))
        return origin, table.assign(each=each), purchases, self._groups(table)

    def compare(self, forecast: tuple, future: DataFrame, horizon: int) -> DataFrame:
        """One row per model, measure, kind and subject: what was forecast, what came."""
        origin, table, purchases, groups = forecast
        ids, n = table.customer_id.to_numpy(), len(self.customers)
        who, is_order = future.customer_id.to_numpy(), future.orders.to_numpy() > 0
        actual = np.bincount(who[is_order], minlength=n)[ids].astype(float)
        money = np.bincount(who, future.money.fillna(0).to_numpy(), minlength=n)[ids]
        came = {"each": table.each.to_numpy(float), "actual": actual, "money": money}
        judged = self.is_judged[ids]
        expected = {m: said.to_numpy(float) for m, said in purchases[horizon].items()}
        for model, said in expected.items():
            if np.isfinite(said).all():
                key = {"origin_on": origin, "horizon_days": horizon, "model": model}
                both = actual[judged], said[judged]
                self.losses.append(key | shop_past.window_losses(*both))
                self.bands.append(shop_past.count_by_band(*both, **key))
        return shop_past.window_sums(expected, came, judged, groups)

    def _groups(self, table: DataFrame) -> dict[str, tuple[ndarray, ndarray]]:
        """Kind -> names, and each customer's place in them: judged customers by month
        of first order, all by channel.
        """
        ids = table.customer_id.to_numpy()
        months, code = shop_past.month_codes(table.first_on)
        groups = {"cohort": (months, np.where(self.is_judged[ids], code, -1))}
        if self.channels is not None:
            names, places = self.channels
            groups["channel"] = names, places[ids]
        return groups


def played_windows(backtest: LtvBacktest, *, max_horizon_days: int = 91) -> DataFrame:
    """The windows of the model that would have been champion at each origin, chosen on
    losses realised by then, with the intervals it would have carried: level, low, high,
    status, is_covered. NBD before any loss is known.
    """
    losses, windows = backtest.losses, backtest.windows
    if len(losses) == 0:
        return evidence.score_intervals(windows)
    due_on = losses.origin_on + pd.to_timedelta(losses.horizon_days, "D")
    chosen = {}
    for origin in sorted(windows.origin_on.unique()):
        verdict = rolling.champion_table(losses[due_on <= origin], naive=NAIVE)
        chosen[origin] = verdict.model.iloc[0] if len(verdict) else "nbd"
    is_near = windows.horizon_days <= max_horizon_days
    is_played = windows.model.isin(set(chosen.values())) & (windows.kind != "cohort")
    return evidence.score_intervals(windows[is_played & is_near], only=chosen)


@returns("ltv_modelling.backtest")
def model_table(backtest: LtvBacktest) -> DataFrame:
    """The table that decided. The zero forecast is a row of its own: it shows why mae
    does not decide.
    """
    verdict, losses = backtest.verdict, backtest.losses
    if backtest.caveat:
        return verdict.assign(bias_share=np.nan, mae=np.nan, top_share=np.nan)
    purchases = backtest.windows[backtest.windows.measure == "purchases"]
    bias = evidence.accuracy(purchases, by=["model"]).set_index("model")["bias_share"]
    means = losses.groupby("model")[["mae", "top_share"]].mean()
    out = verdict.join(bias, on="model").join(means, on="model")
    truth = purchases[(purchases.kind == "total") & (purchases.model == "nbd")]
    nothing = {
        "model": "zero",
        "n_windows": len(truth),
        "is_naive": True,
        "status": "shown, never chosen",
        "bias_share": -1.0,
        "mae": float((truth.actual / truth.n_customers).mean()),
        "is_champion": False,
    }
    return pd.concat([out, DataFrame([nothing])], ignore_index=True)


@returns("ltv_modelling.coverage")
def interval_coverage(backtest: LtvBacktest, *, max_horizon_days: int = 91) -> DataFrame:
    """Coverage the champion's intervals had at past origins. Kind `pooled` is totals and
    deciles; kind `customer` counts single customers.
    """
    scored = played_windows(backtest, max_horizon_days=max_horizon_days)
    if len(scored) == 0 or backtest.caveat:
        return empty("ltv_modelling.coverage")
    pooled = scored[scored.kind.isin(["total", "decile"])].assign(kind="pooled")
    table = evidence.coverage(pd.concat([pooled, scored]), by=["measure", "kind", "level"])
    bands = backtest.bands[backtest.bands.model == backtest.model]
    single = shop_past.band_coverage(bands[bands.horizon_days <= max_horizon_days])
    single = single.assign(measure="purchases", kind="customer")
    return pd.concat([table, single], ignore_index=True)


@returns("ltv_modelling.calibration")
def calibration(backtest: LtvBacktest, *, level: float = 0.8) -> DataFrame:
    """The champion's last window that has ended, of up to 91 days, by tenth of forecast
    worth.
    """
    windows = backtest.windows[backtest.windows.model == backtest.model]
    horizon = max(h for h in backtest.horizons_days if h <= SOON[-1])
    rows = windows[(windows.kind == "decile") & (windows.measure == "money")]
    rows = rows[(rows.horizon_days == horizon) & rows.point.notna()]
    if len(rows) == 0:
        return empty("ltv_modelling.calibration")
    origin = rows.origin_on.max()
    last = rows[rows.origin_on == origin]
    out = evidence.predictive_intervals(
        last,
        windows,
        as_of=origin,
        levels=(level,),
    )
    each = out[["point", "low", "high", "actual"]].div(out.n_customers, axis=0)
    out = out.assign(**each).rename(columns={"subject": "decile", "point": "predicted"})
    return out[schema("ltv_modelling.calibration").names]


@dataclass(frozen=True)
class CustomerForecast:
    """`customers`: one row per customer: customer_id, first_on, channel, x, t_x, T,
    amount, p_alive (missing where no drop-out is identified), purchases, each (money
    per purchase) and worth (money) in the next `days`, purchases_low and purchases_high
    (missing where no backtested horizon is within a week of `days`). `soon`: what all
    are worth in the next 28, 56 and 91 days. `curve`: the count model that tells shares
    of a horizon, in the time of `clock` (the calendar's unless the champion knows
    seasons); `spend`: the money model; `caveat`: what to read with it, empty when all
    is well; `most`: horizon -> what the shop is expected to bring and its upper limit.
    """

    customers: DataFrame
    backtest: LtvBacktest
    days: int
    level: float
    soon: dict[int, float]
    clock: Clock
    curve: CountFit
    spend: SpendFit
    caveat: str
    most: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def unit(self) -> float:
        """Mean money per purchase, the scale of errors in money."""
        return max(float(self.customers.each.mean()), 1e-9)


def customer_forecast(
    customer_days: Table,
    backtest: LtvBacktest,
    *,
    days: int = 365,
    traits: Table | None = None,
    level: float = 0.8,
) -> CustomerForecast:
    """What the champion expects of every customer in the next `days`; sorted by
    customer_id. It learns from all of them or, in a large shop, from a sample fixed by
    the hash of the id.
    """
    model, asked = backtest.model, {"as_of": backtest.as_of, "basis": backtest.basis}
    table = shop_past.purchase_history(customer_days, **asked, traits=traits)
    names, now = table.customer_id, Timestamp(backtest.as_of)
    learnt = shop_past.fixed_sample(names, LEARNT_CUSTOMERS)
    log = shop_past.purchase_log(customer_days, names.iloc[learnt], **asked)
    log["customer_id"] = learnt[log.customer_id]
    table = table.assign(customer_id=np.arange(len(table)))
    engine = Candidates(shop_past.history_of, shop_past.known_traits(table), (model,))
    horizons = (days, *SOON)
    table, purchases, why = engine.predict(log, now, horizons, table)
    curve, clock = _curve(engine, log, now, model)
    caveats = [backtest.caveat]
    if curve.model == "nbd":
        plain = engine.fit(log, now, "bg_nbd")
        caveats.append(say("ltv_modelling.no_drop_out", reason=plain.reason))
    said = {h: purchases[h][model].to_numpy(float) for h in horizons}
    if not all(np.isfinite(expected).all() for expected in said.values()):
        caveats.append(say("ltv_modelling.stand_in", model=model, why=why[model], used=curve.model))
        unknown = np.full(len(table), np.nan)
        said = {
            h: expected_purchases(curve, table, days=h) if curve.params else unknown
            for h in horizons
        }
    spend = fit_spend(shop_past.spend_rows(engine.at(log, now)))
    each, expected = expected_spend(spend, shop_past.spend_rows(table)), said[days]
    low, high = _count_limits(backtest, expected, days, level)
    is_mortal = curve.is_identified and curve.model != "nbd"
    customers = table.assign(
        customer_id=names,
        channel=table.channel.fillna("unknown") if "channel" in table else "all",
        p_alive=p_alive(curve, clock.history(table)) if is_mortal else np.nan,
        purchases=expected,
        purchases_low=low,
        purchases_high=high,
        each=each,
        worth=expected * each,
    ).drop(columns=["first_amount", "mean", "category"], errors="ignore")
    soon = {h: float(said[h] @ each) for h in SOON}
    caveat = "; ".join(filter(None, caveats))
    return CustomerForecast(customers, backtest, days, level, soon, clock, curve, spend, caveat)


def _curve(
    engine: Candidates, log: DataFrame, now: Timestamp, model: str
) -> tuple[CountFit, Clock]:
    """The count model that tells shares of a horizon: the champion or the nearest that
    is identified, and its clock.
    """
    if model == "seasonal":
        (curve, *_), clock = engine.in_shop_time(log, now)
        return curve, clock
    for name in (model, "bg_nbd", "pareto_nbd", "nbd"):
        if name in MODELS:
            curve = fit_counts(engine.at(log, now), model=name, engine="own")
            if curve.is_identified:
                break
    return curve, CALENDAR


def _count_limits(
    backtest: LtvBacktest, expected: ndarray, days: int, level: float
) -> tuple[ndarray, ndarray]:
    """Low and high count of each customer, from the backtested horizon next to `days`;
    missing where it is not within a week of them.
    """
    horizon = min(backtest.horizons_days, key=lambda h: abs(h - days))
    bands = backtest.bands
    bands = bands[(bands.model == backtest.model) & (bands.horizon_days == horizon)]
    if abs(horizon - days) >= NEAR_DAYS:
        bands = bands[:0]
    band = shop_past.band_of(expected)
    return shop_past.count_bands(
        bands,
        band,
        as_of=backtest.as_of,
        level=level,
    )


@returns("ltv_modelling.remaining")
def remaining_value(forecast: CustomerForecast) -> DataFrame:
    """What today's customers will still bring in the next `forecast.days`, by channel,
    and a last row `all`. The interval comes from the champion's errors at that
    horizon, and is missing until there are eight.
    """
    customers = forecast.customers
    kinds = {"channel": customers.channel, "total": Series("all", customers.index)}
    # without channels there is only the total
    if (kinds["channel"] == "all").all():
        del kinds["channel"]
    parts = []
    for kind, names in kinds.items():
        sums = customers.groupby(names)["worth"].agg(["size", "sum"]).rename_axis("subject")
        rows = sums.reset_index().rename(columns={"size": "n_customers", "sum": "point"})
        parts.append(
            longest_intervals(
                rows.assign(kind=kind),
                forecast,
                forecast.days,
            )
        )
    out = pd.concat(parts, ignore_index=True)
    best = out.mid.fillna(out.point)
    out = out.assign(remaining=best, remaining_per_customer=best / out.n_customers)
    out = out.rename(
        columns={
            "subject": "channel",
            "point": "model_remaining",
            "horizon_days": "error_horizon_days",
        }
    )
    return out[schema("ltv_modelling.remaining").names]


def longest_intervals(rows: DataFrame, forecast: CustomerForecast, days: int) -> DataFrame:
    """Intervals of money (`rows`: kind, subject, point) from the longest horizon up to
    `days` that has enough errors, where that is within a week of `days`. Errors of
    another horizon say nothing of this one: the limits are missing then, and not
    calibrated.
    """
    backtest, levels = forecast.backtest, (forecast.level,)
    rows = rows.assign(model=backtest.model, measure="money")
    if "unit" not in rows:
        rows["unit"] = forecast.unit
    known = sorted((h for h in backtest.horizons_days if h <= days), reverse=True)
    for horizon in known or [min(backtest.horizons_days)]:
        asked = rows.assign(horizon_days=horizon)
        out = evidence.predictive_intervals(
            asked, backtest.windows, as_of=backtest.as_of, levels=levels
        )
        if (out.status == "complete").all():
            break
    if abs(horizon - days) >= NEAR_DAYS:
        out = out.assign(
            low=np.nan,
            mid=np.nan,
            high=np.nan,
            status=evidence.NOT_YET,
        )
    return _at_most(out, *forecast.most.get(days, ()))


def _at_most(rows: DataFrame, expected: float = np.inf, high: float = np.inf) -> DataFrame:
    """Rows of which the total is no more than the shop's, nor its upper limit than its."""
    is_total = rows["kind"] == "total"
    high = max(expected, np.nan_to_num(high, nan=np.inf))
    ends = {"low": expected, "mid": expected, "high": high}
    return rows.assign(
        **{
            name: rows[name].mask(is_total & (rows[name] > most), most)
            for name, most in ends.items()
        }
    )
