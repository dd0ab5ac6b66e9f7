"""The monthly competition of the customer-value models: what each would have said, who
wins, how wide to draw.

Every fortnight of the shop's past is an origin; every model sees only the rows up to
it. The winner, the table that chose it and the coverage of its intervals are results of
their own, printed by notebook 05.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from playbook.errors import PlaybookError
from playbook.forecasting import intervals as evidence
from playbook.measures import customer_windows as shop_past
from playbook.methods.btyd import MODELS, CountFit, expected_purchases, fit_counts, p_alive
from playbook.methods.customer_models import NAIVE, Candidates
from playbook.methods.hashing import hash_places
from playbook.methods.shop_clock import CALENDAR, Clock
from playbook.methods.spend import SpendFit, expected_spend, fit_spend

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

SOON = (28, 56, 91)  # days ahead that are forecast, logged and scored each month
LOSSES = ["deviance", "mae", "n_customers", "top_share", "loss"]


@dataclass(frozen=True)
class LtvBacktest:
    """What every model would have said from every earlier origin.

    `windows`: one row per origin, horizon, model, measure (purchases, money), kind
    (total, decile, channel, cohort) and subject: point, actual, unit, n_customers.
    `losses`: one row per origin, horizon and model: deviance (mean Poisson), mae,
    top_share (share of purchases by the tenth forecast to buy most), loss (deviance per
    purchase). `bands`: counts of customers by forecast size and purchases made.
    `reasons`: origin_on, model, reason where a model could not forecast. `verdict`:
    evidence.champion; `model` its winner. `basis`, `horizons_days`, `n_customers` (of
    these sampled: `share`).
    """

    windows: pd.DataFrame
    losses: pd.DataFrame
    bands: pd.DataFrame
    reasons: pd.DataFrame
    verdict: pd.DataFrame
    model: str
    basis: str
    horizons_days: tuple[int, ...]
    n_customers: int
    share: float
    caveat: str = ""


def backtest_ltv(
    customer_days: Any,
    *,
    as_of: Any,
    basis: str = "revenue",
    traits: Any = None,
    every_days: int = 14,
    horizons_days: tuple[int, ...] | None = None,
    max_origins: int = 36,
    max_customers: int = 8_000,
    max_in_channels: int = 18_000,
) -> LtvBacktest:
    """Ask every candidate (methods/customer_models) from origins `every_days` apart,
    and choose the champion.

    Default horizons: 28, 56 and 91 days, 182 once the log spans a year, 364 from two
    and a half years. Shops with more than `max_customers` are judged on a sample fixed
    by the hash of the customer id; a channel's own errors come from all its customers
    up to an equal part of `max_in_channels`, so that a small one is not told from a
    handful. `traits`: first_orders(...). Where no window has ended, or nobody has
    bought again, NBD stands in and `caveat` says so. Raises PlaybookError when there is
    no customer.
    """
    everybody = shop_past.purchase_history(customer_days, as_of=as_of, basis=basis, traits=traits)
    if len(everybody) == 0:
        raise PlaybookError(
            "no known customer has bought anything yet",
            table="customer_days",
            do="check customer ids",
        )
    has_channel = "channel" in everybody and everybody["channel"].notna().any()
    places = pd.Series(hash_places(everybody["customer_id"])).rank(method="first")
    judged = (places <= max_customers).to_numpy()
    groups = places.groupby(everybody["channel"].fillna("unknown")) if has_channel else None
    own = has_channel and groups.rank() <= max_in_channels // groups.ngroups
    kept = np.flatnonzero(judged | own)
    some = everybody.iloc[kept].reset_index(drop=True)
    names, known = some["customer_id"], some[[c for c in shop_past.TRAITS if c in some]]
    channel = some["channel"].fillna("unknown").to_numpy(str) if has_channel else None
    n_all, is_judged = len(everybody), judged[kept]
    log = shop_past.purchase_log(customer_days, names, as_of=as_of, basis=basis)
    first, last = log["day_on"][is_judged[log["customer_id"]]].min(), pd.Timestamp(as_of)
    span = (last - first).days
    horizons = tuple(horizons_days or SOON + (182,) * (span >= 364) + (364,) * (span >= 900))
    models = Candidates(shop_past.history_of, known)
    losses, bands, reasons = [], [], []

    def predict(past: pd.DataFrame, origin: pd.Timestamp) -> tuple:
        table = shop_past.history_of(past, origin)
        learnt = past[is_judged[past["customer_id"].to_numpy()]]
        table, purchases, why = models.predict(learnt, origin, horizons, table)
        reasons.extend(
            {"origin_on": origin, "model": model, "reason": text}
            for model, text in why.items()
            if text
        )
        spend = fit_spend(shop_past.spend_rows(models.at(learnt, origin)), engine="own")
        return origin, table, purchases, expected_spend(spend, shop_past.spend_rows(table))

    def compare(forecast: tuple, future: pd.DataFrame, horizon: int) -> pd.DataFrame:
        origin, table, purchases, each = forecast
        ids, rows = table["customer_id"].to_numpy(), []
        who, is_order = future["customer_id"].to_numpy(), future["orders"].to_numpy() > 0
        actual = np.bincount(who[is_order], minlength=len(kept))[ids].astype(float)
        money = np.bincount(who, future["money"].fillna(0).to_numpy(), minlength=len(kept))[ids]
        counted = is_judged[ids]
        months, code = np.unique(
            table["first_on"].to_numpy("datetime64[M]").astype(str), return_inverse=True
        )
        groups = {"cohort": (months, np.where(counted, code, -1))}
        if channel is not None:
            groups["channel"] = np.unique(channel[ids], return_inverse=True)
        for model, column in purchases[horizon].items():
            expected = column.to_numpy(float)
            rows += shop_past.window_sums(model, expected, each, actual, money, groups, counted)
            if np.isfinite(expected).all():
                where = {"origin_on": origin, "horizon_days": horizon, "model": model}
                losses.append(where | shop_past.window_losses(actual[counted], expected[counted]))
                bands.append(
                    shop_past.count_by_band(actual[counted], expected[counted]).assign(**where)
                )
        return pd.DataFrame(rows)

    origins = evidence.origin_days(first + pd.Timedelta(weeks=8), last, every_days=every_days)[
        -max_origins:
    ]
    windows = evidence.rolling_origin(
        log, predict, compare, origins=origins, horizons_days=horizons, as_of=last
    )
    table = pd.DataFrame(losses, columns=["origin_on", "horizon_days", "model", *LOSSES])
    why = pd.DataFrame(reasons, columns=["origin_on", "model", "reason"])
    size = {"n_customers": n_all, "share": is_judged.sum() / n_all}
    verdict = evidence.champion(table, naive=NAIVE)
    if len(verdict) == 0:
        n = int((log["orders"] > 0).sum())
        caveat = f"no forecast can be checked yet: the log spans {span} days and {n} purchase days"
        none = pd.DataFrame(columns=["origin_on", "horizon_days", "model", "band", "bought", "n"])
        return LtvBacktest(
            windows, table, none, why, verdict, "nbd", basis, horizons, **size, caveat=caveat
        )
    return LtvBacktest(
        windows,
        table,
        pd.concat(bands, ignore_index=True),
        why,
        verdict,
        verdict["model"].iloc[0],
        basis,
        horizons,
        **size,
    )


def played_windows(backtest: LtvBacktest, *, max_horizon_days: int = 91) -> pd.DataFrame:
    """The windows of the model that would have been champion at each origin, chosen on
    losses realised by then, with the intervals it would have carried: level, low, high,
    status, is_covered. NBD before any loss is known.
    """
    losses = backtest.losses
    if len(losses) == 0:
        return evidence.score_intervals(backtest.windows)
    losses = losses.assign(
        due_on=losses["origin_on"] + pd.to_timedelta(losses["horizon_days"], "D")
    )
    chosen = {}
    for origin in sorted(backtest.windows["origin_on"].unique()):
        past = losses[losses["due_on"] <= origin]
        verdict = evidence.champion(past, naive=NAIVE)
        chosen[origin] = verdict["model"].iloc[0] if len(verdict) else "nbd"
    windows = backtest.windows
    windows = windows[windows["model"].isin(set(chosen.values())) & (windows["kind"] != "cohort")]
    return evidence.score_intervals(
        windows[windows["horizon_days"] <= max_horizon_days], only=chosen
    )


def model_table(backtest: LtvBacktest) -> pd.DataFrame:
    """The table that decided: one row per model: n_windows, loss (deviance per
    purchase), over_naive_share, bias_share (purchases, summed over all origins and
    horizons), mae, top_share, status, is_champion. The zero forecast is a row of its
    own: it shows why mae does not decide.
    """
    windows, losses = backtest.windows, backtest.losses
    if backtest.caveat:
        return backtest.verdict.assign(bias_share=np.nan, mae=np.nan, top_share=np.nan)
    bias = evidence.accuracy(windows[windows["measure"] == "purchases"], by=["model"]).set_index(
        "model"
    )["bias_share"]
    means = losses.groupby("model")[["mae", "top_share"]].mean()
    out = backtest.verdict.join(bias, on="model").join(means, on="model")
    truth = windows[
        (windows["kind"] == "total")
        & (windows["measure"] == "purchases")
        & (windows["model"] == "nbd")
    ]
    nothing = {
        "model": "zero",
        "n_windows": len(truth),
        "is_naive": True,
        "status": "shown, never chosen",
        "bias_share": -1.0,
        "mae": float((truth["actual"] / truth["n_customers"]).mean()),
        "is_champion": False,
    }
    return pd.concat([out, pd.DataFrame([nothing])], ignore_index=True)


def interval_coverage(backtest: LtvBacktest, *, max_horizon_days: int = 91) -> pd.DataFrame:
    """Coverage the champion's intervals had at past origins, one row per measure, kind
    (`pooled` = totals and deciles) and level: n_intervals, n_not_yet, covered_share,
    median_width_share; kind `customer` counts single customers.
    """
    scored = played_windows(backtest, max_horizon_days=max_horizon_days)
    if len(scored) == 0 or backtest.caveat:
        return pd.DataFrame(
            columns=["measure", "kind", "level", "n_intervals", "n_not_yet", "covered_share"]
        )
    pooled = scored[scored["kind"].isin(["total", "decile"])].assign(kind="pooled")
    table = evidence.coverage(pd.concat([pooled, scored]), by=["measure", "kind", "level"])
    bands = backtest.bands[backtest.bands["model"] == backtest.model]
    bands = bands[bands["horizon_days"] <= max_horizon_days]
    single = evidence.band_coverage(bands, levels=(0.8, 0.95)).assign(
        measure="purchases", kind="customer"
    )
    return pd.concat([table, single], ignore_index=True)


def calibration(
    backtest: LtvBacktest, *, horizon_days: int | None = None, level: float = 0.8
) -> pd.DataFrame:
    """The champion's last window that has ended, by tenth of forecast worth: decile,
    predicted, low, high, actual (both per customer, money), n_customers, status.
    """
    horizon = horizon_days or max(h for h in backtest.horizons_days if h <= 91)
    windows = backtest.windows
    rows = windows[
        (windows["model"] == backtest.model)
        & (windows["kind"] == "decile")
        & windows["point"].notna()
    ]
    rows = rows[(rows["horizon_days"] == horizon) & (rows["measure"] == "money")]
    if len(rows) == 0:
        columns = [
            "decile",
            "predicted",
            "low",
            "high",
            "actual",
            "n_customers",
            "status",
            "origin_on",
            "horizon_days",
        ]
        return pd.DataFrame(columns=columns)
    last = rows[rows["origin_on"] == rows["origin_on"].max()]
    out = evidence.predictive_intervals(
        last, windows, as_of=rows["origin_on"].max(), levels=(level,)
    )
    each = out[["point", "low", "high", "actual"]].div(out["n_customers"], axis=0)
    return pd.DataFrame(
        {
            "decile": out["subject"],
            "predicted": each["point"],
            "low": each["low"],
            "high": each["high"],
            "actual": each["actual"],
            "n_customers": out["n_customers"],
            "status": out["status"],
            "origin_on": out["origin_on"],
            "horizon_days": out["horizon_days"],
        }
    )


@dataclass(frozen=True)
class CustomerForecast:
    """`customers`: one row per customer: customer_id, first_on, channel, x, t_x, T,
    amount, p_alive (missing where no drop-out is identified), purchases, each (money
    per purchase) and worth (money) in the next `days`, purchases_low and purchases_high
    (`level`; missing where no backtested horizon is within a week of `days`). `soon`:
    what all are worth in the next 28, 56 and 91 days. `curve`: the count model that
    tells shares of a horizon, in the time of `clock` (the calendar's unless the
    champion knows seasons); `spend`: the money model; `caveat`: what to read with it,
    empty when all is well.
    """

    customers: pd.DataFrame
    days: int
    soon: dict[int, float]
    clock: Clock
    curve: CountFit
    spend: SpendFit
    level: float
    caveat: str


def customer_forecast(
    customer_days: Any,
    backtest: LtvBacktest,
    *,
    as_of: Any,
    days: int = 365,
    traits: Any = None,
    level: float = 0.8,
    max_learnt: int = 50_000,
) -> CustomerForecast:
    """What the champion expects of every customer in the next `days`; sorted by
    customer_id. It learns from all of them or, in a large shop, from `max_learnt` fixed
    by the hash of the id: more would not tell its parameters better.
    """
    table = shop_past.purchase_history(
        customer_days, as_of=as_of, basis=backtest.basis, traits=traits
    )
    names, known = table["customer_id"], table[[c for c in shop_past.TRAITS if c in table]]
    table = table.assign(customer_id=np.arange(len(table)))
    kept = np.sort(np.argsort(hash_places(names), kind="stable")[:max_learnt])
    log = shop_past.purchase_log(customer_days, names.iloc[kept], as_of=as_of, basis=backtest.basis)
    log["customer_id"] = kept[log["customer_id"]]
    engine = Candidates(shop_past.history_of, known, (backtest.model,))
    horizons, now, model = (days, *SOON), pd.Timestamp(as_of), backtest.model
    table, purchases, why = engine.predict(log, now, horizons, table)
    learnt = engine.at(log, now)
    plain, clock = engine.fit(log, now, "bg_nbd"), CALENDAR
    if model == "seasonal":
        (curve, *_), clock = engine.in_shop_time(log, now)
    else:
        for name in dict.fromkeys(
            [model if model in MODELS else "bg_nbd", "bg_nbd", "pareto_nbd", "nbd"]
        ):
            curve = fit_counts(learnt, model=name, engine="own")
            if curve.is_identified:
                break
    blind = f"no drop-out can be identified ({plain.reason}): P(alive) is not shown"
    caveat = "; ".join(filter(None, [backtest.caveat, blind if curve.model == "nbd" else ""]))
    said = {h: purchases[h][model].to_numpy(float) for h in horizons}
    if not all(np.isfinite(expected).all() for expected in said.values()):
        unknown = np.full(len(table), np.nan)
        said = {
            h: expected_purchases(curve, table, days=h) if curve.params else unknown
            for h in horizons
        }
        instead = f"{model} cannot forecast today ({why[model]}): {curve.model} is used"
        caveat = "; ".join(filter(None, [caveat, instead]))
    spend = fit_spend(shop_past.spend_rows(learnt))
    each, expected = expected_spend(spend, shop_past.spend_rows(table)), said[days]
    horizon = min(backtest.horizons_days, key=lambda h: abs(h - days))
    bands = backtest.bands[
        (backtest.bands["model"] == model) & (backtest.bands["horizon_days"] == horizon)
    ]
    low, high = evidence.count_bands(bands, shop_past.band_of(expected), as_of=as_of, level=level)
    low, high = (low, high) if abs(horizon - days) < 7 else (np.full(len(table), np.nan),) * 2
    out = table.assign(
        customer_id=names,
        channel=table["channel"].fillna("unknown") if "channel" in table else "all",
        p_alive=p_alive(curve, clock.history(table))
        if curve.is_identified and curve.model != "nbd"
        else np.nan,
        purchases=expected,
        purchases_low=low,
        purchases_high=high,
        each=each,
        worth=expected * each,
    )
    soon = {h: float(said[h] @ each) for h in SOON}
    out = out.drop(columns=["first_amount", "mean", "category"], errors="ignore")
    return CustomerForecast(out, days, soon, clock, curve, spend, level, caveat)


def remaining_value(
    forecast: CustomerForecast,
    backtest: LtvBacktest,
    *,
    as_of: Any,
    by: str = "channel",
    level: float = 0.8,
) -> pd.DataFrame:
    """What today's customers will still bring in the next `forecast.days`, by channel
    or month of first order (`cohort`).

    One row per group and a last one `all`: n_customers, remaining (money, the model's
    figure moved by its own past bias), low, high, model_remaining (not moved),
    remaining_per_customer, n_errors, status. The interval comes from the champion's
    errors at the longest backtested horizon up to `days` that has eight.
    """
    customers = forecast.customers
    customers = (
        customers.assign(cohort=shop_past.month_names(customers["first_on"]))
        if by == "cohort"
        else customers
    )
    unit = max(float(customers["each"].mean()), 1e-9)
    parts = []
    groups = (
        [(by, customers[by])] if (customers[by] != "all").any() else []
    )  # without channels there is only the total
    for kind, names in [*groups, ("total", pd.Series("all", customers.index))]:
        sums = customers.groupby(names)["worth"].agg(["size", "sum"])
        rows = pd.DataFrame(
            {
                "model": backtest.model,
                "measure": "money",
                "kind": kind,
                "subject": sums.index,
                "point": sums["sum"],
                "unit": unit,
                "n_customers": sums["size"],
            }
        )
        parts.append(longest_intervals(rows, backtest, forecast.days, as_of, level))
    out = pd.concat(parts, ignore_index=True)
    best = out["mid"].fillna(out["point"])
    return pd.DataFrame(
        {
            by: out["subject"],
            "n_customers": out["n_customers"],
            "remaining": best,
            "low": out["low"],
            "high": out["high"],
            "model_remaining": out["point"],
            "remaining_per_customer": best / out["n_customers"],
            "n_errors": out["n_errors"],
            "error_horizon_days": out["horizon_days"],
            "status": out["status"],
        }
    )


def longest_intervals(
    rows: pd.DataFrame, backtest: LtvBacktest, days: int, as_of: Any, level: float
) -> pd.DataFrame:
    """Intervals from the longest horizon that has enough errors; the shortest one
    otherwise, not calibrated.
    """
    known = sorted((h for h in backtest.horizons_days if h <= days), reverse=True)
    for horizon in known or [min(backtest.horizons_days)]:
        asked = rows.assign(horizon_days=horizon)
        out = evidence.predictive_intervals(asked, backtest.windows, as_of=as_of, levels=(level,))
        if (out["status"] == "complete").all():
            break
    return out
