"""Lifetime value: what a customer will still bring, what may be paid for one, and how
wrong the answer has been.

*Value* is contribution margin where the shop knows its costs, revenue where it does
not; every table says which in `basis`. *Lifetime value to h months* is the margin a
newly won customer brings in the first h months, the first order included: what ended
cohorts brought, and the forecast for what has not happened yet. *Payback* is the first
month of age at which the margin of the customers acquired covers what they cost. The
model that forecasts is chosen each month by rolling-origin backtest (ltv_race), and its
intervals come from its past errors.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.chapters.cohort_retention import cohorts
from playbook.chapters.ltv_modelling.ltv_race import (
    CustomerForecast,
    longest_intervals,
)
from playbook.chapters.ltv_modelling.margin_curve import (
    MONTH_DAYS,
    margin_curve,
    monthly_spend,
    normal_width,
    pay_row,
)
from playbook.errors import PlaybookError
from playbook.given import dated
from playbook.measures.acquisition import LEAST_NEW
from playbook.measures.ad_spend import SpendLog
from playbook.measures.customer_windows import (
    MONEY,
    Table,
    fixed_sample,
    month_names,
)
from playbook.methods.btyd import expected_purchases, fit_counts
from playbook.methods.btyd_models import MODELS
from playbook.methods.hashing import arms
from playbook.store import expression
from playbook.tables import frame_of, returns, schema

__all__ = [
    "first_orders",
    "payback",
    "tempting_ltv",
    "model_fits",
    "ltv_table",
    "caps",
    "vip",
    "ltv_predictions",
    "ltv_headline",
]

#: P(still buying) under which nobody is a VIP: more likely gone than not
LEAST_ALIVE = 0.5
#: the longest age payback is looked for
PAYBACK_MONTHS = 24
#: customers won below which a channel gets no cap
LEAST_JUDGED = 100
#: newly won: in the last so many months
WON_MONTHS = 24
#: customers each model is fitted to for the table of fits
FITTED_CUSTOMERS = 20_000
#: age of the scorecard's value, and the months of it that are shown
HEADLINE_MONTHS, HEADLINE_SHOWN = 3, 25


def first_orders(
    sales_orders: Table, *, sales_lines: Table | None = None, products: Table | None = None
) -> ibis.Table:
    """One row per known customer: customer_id, acquired_on, channel, category,
    is_left_truncated (an Ibis table).

    Channel and category are those of the first order (category: of its largest product
    line by revenue, equal ones by name); missing where the tables are not given or do
    not know.
    """
    orders = cohorts.first_orders(
        sales_orders,
        sales_lines,
        products,
        with_truncated=True,
    )
    return orders.rename(acquired_on="first_on")


@returns("ltv_modelling.payback")
def payback(
    customer_days: Table,
    acquisitions: Table,
    spend: Table | SpendLog,
    *,
    as_of: dt.date,
    level: float = 0.8,
    recent: DataFrame | None = None,
) -> DataFrame:
    """Margin per newly won customer against what they cost, by channel and month of
    first order (cohort), and for all cohorts with known spend of a channel (`all`).
    With `recent` (measures.acquisition.recent_cost) the row `all` asks when what a
    customer costs today comes back: its spend and cost are those of the recent window,
    its margin curve that of all cohorts; the cost of a cohort takes the channel's
    caused_over_recorded as well.

    `customer_days`: customer_id, day_on, margin. `acquisitions`: first_orders(...).
    `spend`: day_on, channel, spend. Limits hold the mean at `level`. Status: `paid
    back`, `not yet`, `unobserved` (no full month lived), `no spend`, `spend not
    covered` (months the spend table does not know), `no new customers`, `too few` (new
    customers of the window to judge a cost on). Customers who may
    have bought before the log began are left out. PlaybookError without any margin.
    """
    curve = margin_curve(
        customer_days,
        acquisitions,
        as_of=as_of,
        max_months=PAYBACK_MONTHS,
    )
    cost = monthly_spend(spend, as_of)
    covered = set(cost.cohort)
    shares = {} if recent is None else recent.set_index("channel")["caused_over_recorded"].to_dict()
    rows = []
    for channel in sorted(set(curve.channel) | set(cost.channel)):
        mine = curve[curve.channel == channel]
        by_cohort = dict(tuple(mine.groupby("cohort")))
        paid = cost[cost.channel == channel].set_index("cohort")["spend"]
        for cohort in sorted(set(by_cohort) | set(paid.index)):
            part, spent = by_cohort.get(cohort, mine[:0]), float(paid.get(cohort, 0.0))
            is_covered = cohort in covered and np.isfinite(spent)
            n_caused = shares.get(channel, 1.0) * part.loc[part.k == 0, "n"].sum()
            row = pay_row(
                part,
                spent,
                is_covered,
                level,
                spent / n_caused if n_caused > 0 else None,
            )
            rows.append(row | {"channel": channel, "cohort": cohort})
        known = covered - set(paid.index[paid.isna()])
        part = mine[mine["cohort"].isin(known)]
        row = _today(part, float(paid.sum()), level, channel, recent)
        rows.append(row | {"channel": channel, "cohort": "all"})
    return frame_of("ltv_modelling.payback", rows)


def _today(
    part: DataFrame, spent: float, level: float, channel: str, recent: DataFrame | None
) -> dict:
    """The row of all cohorts of a channel, at what a customer costs in the window."""
    if recent is None:
        return pay_row(part, spent, True, level)
    now = recent[recent.channel == channel]
    spent, cost, n_new = (now[c].sum() for c in ("spend", "ncac", "new_customers"))
    if not (spent > 0 and cost > 0):
        return pay_row(part, 0.0, True, level)
    row = pay_row(part, float(spent), True, level, float(cost))
    if n_new < LEAST_NEW:
        times = dict.fromkeys(["payback_months", "payback_low", "payback_high"], np.nan)
        row |= times | {"status": "too few"}
    return row


def tempting_ltv(history: DataFrame, *, life_years: float = 3.0) -> DataFrame:
    """The usual sum, for the lesson: average order x orders a year x an assumed life,
    from everyone who ever bought.

    One row: average_order, orders_per_year (of customers older than a day), life_years,
    tempting_ltv.
    """
    days = history.x + 1
    order = history.amount.sum() / days.sum()
    yearly = (days / history["T"].clip(lower=1) * 365.25)[history["T"] > 0].mean()
    row = {
        "average_order": order,
        "orders_per_year": yearly,
        "life_years": life_years,
    }
    return DataFrame([row | {"tempting_ltv": order * yearly * life_years}])


@returns("ltv_modelling.models")
def model_fits(history: DataFrame) -> DataFrame:
    """How each count model fits the history (a fixed sample of it, in a large shop). An
    estimate that is not identified is named as such; its parameters are missing, so
    that nobody reads them as an answer.
    """
    history = history.iloc[fixed_sample(history.customer_id, FITTED_CUSTOMERS)]
    rows = []
    for model in MODELS:
        fit, own = (fit_counts(history, model=model, engine=e) for e in ("auto", "own"))
        shown = fit.params if fit.params and fit.is_identified else {}
        gap = max((abs(fit.params[k] / own.params[k] - 1) for k in shown), default=np.nan)
        rows.append(
            (
                model,
                fit.engine,
                len(history),
                fit.log_likelihood if shown else np.nan,
                fit.is_converged,
                fit.is_identified,
                gap,
                ", ".join(f"{k} {_four_digits(v)}" for k, v in shown.items()),
                fit.reason,
            )
        )
    return frame_of("ltv_modelling.models", rows)


def _four_digits(value: float) -> str:
    """Four significant digits, without an exponent."""
    return np.format_float_positional(value, 4, fractional=False, trim="-")


def ltv_table(
    customer_days: Table,
    traits: Table,
    forecast: CustomerForecast,
    *,
    months: int = 12,
    by: str = "channel",
) -> DataFrame:
    """Lifetime value to `months` per newly won customer, by channel or cohort, first
    order included.

    Customers won in the last two years and not left-truncated: what each brought up to
    that age, plus what is still expected of those who are younger. The columns are
    those of the tables `ltv` and `ltv_cohorts`. The interval holds the errors of the
    expected part and the spread between customers. Status: `complete` (all of
    it has been lived), `partial`, `not yet calibrated`.
    """
    reach = months * MONTH_DAYS
    won = _newly_won(customer_days, traits, forecast, reach)
    left = np.maximum(reach - won["T"].to_numpy(), 0.0)
    won = won.assign(expected=_expected(forecast, won, left), is_lived=left == 0)
    won = won.assign(each_ltv=won.observed + won.expected)
    groups = won.groupby(by, sort=True)
    table = (
        groups[["observed", "expected", "each_ltv"]]
        .mean()
        .assign(
            n_customers=groups.size(),
            point=groups["expected"].sum(),
            spread=groups["each_ltv"].std(),
            is_lived=groups["is_lived"].all(),
        )
    )
    table = table.reset_index().rename(columns={"each_ltv": "ltv"})
    unit = max(float(won.each.mean()), 1e-9)
    rows = DataFrame({"subject": table[by], "point": table.point, "kind": by, "unit": unit})
    band = longest_intervals(rows, forecast, int(reach))
    n, is_lived = table.n_customers, table.is_lived.to_numpy(bool)
    spread = normal_width(forecast.level) * table.spread / np.sqrt(n)
    down = np.where(is_lived, 0.0, (band.point - band.low) / n)
    up = np.where(is_lived, 0.0, (band.high - band.point) / n)
    table = table.assign(
        low=table.ltv - np.hypot(down, spread),
        high=table.ltv + np.hypot(up, spread),
        horizon_months=months,
        basis=forecast.backtest.basis,
        status=band.status.replace("complete", "partial").mask(is_lived, "complete"),
    )
    return table[[by, *schema("ltv_modelling.ltv").names[1:]]]


def _newly_won(
    customer_days: Table, traits: Table, forecast: CustomerForecast, reach: float
) -> DataFrame:
    """The forecast's customers who were won lately and not left-truncated, with
    channel, cohort and `observed`: the money of their first `reach` days of age.
    """
    t, born = expression(customer_days), expression(traits)
    basis, day = forecast.backtest.basis, pd.Timestamp(forecast.backtest.as_of)
    t = t.select(
        "customer_id",
        "orders",
        day_on=_.day_on.cast("date"),
        money=_[basis].cast(MONEY),
    )
    t = t.filter(_.day_on <= ibis.literal(day.date()), _.customer_id.notnull())
    born = born.group_by("customer_id").aggregate(
        acquired_on=_.acquired_on.cast("date").min(),
        channel=_.channel.min(),
        is_left_truncated=_.is_left_truncated.any(),
    )
    t = t.left_join(born, "customer_id").drop("customer_id_right")
    age = t.day_on.delta(t.acquired_on, unit="day")
    t = t.mutate(is_young=(age >= 0) & (age < reach)).group_by("customer_id")
    t = t.aggregate(
        bought=(_.orders > 0).any(),
        acquired_on=_.acquired_on.min(),
        is_left_truncated=_.is_left_truncated.any(),
        channel=_.channel.min(),
        observed=_.money.sum(where=_.is_young).cast("float64"),
    )
    # one row per customer with a purchase, by id, as in the forecast
    lived = t.filter(_.bought).order_by("customer_id").to_pandas()
    acquired_on = pd.to_datetime(lived.acquired_on)
    is_won = acquired_on > day - pd.Timedelta(days=WON_MONTHS * MONTH_DAYS)
    is_won &= ~lived.is_left_truncated.fillna(False).astype(bool)
    customers = forecast.customers.assign(
        observed=lived.observed.astype(float).fillna(0.0),
        channel=lived.channel.fillna("unknown"),
        cohort=month_names(acquired_on),
    )
    return customers[is_won]


def _expected(forecast: CustomerForecast, won: DataFrame, left: np.ndarray) -> np.ndarray:
    """Money expected within each customer's own number of days: the forecast, bent by
    the count model's curve.
    """
    curve, worth = forecast.curve, won.worth.to_numpy()
    if curve.params is None:
        return worth * left / forecast.days
    history, ahead = forecast.clock.history(won), forecast.clock.ahead
    part, whole = (expected_purchases(curve, history, days=ahead(d)) for d in (left, forecast.days))
    return worth * np.divide(
        part,
        whole,
        out=np.zeros(len(won)),
        where=whole > 0,
    )


@returns("ltv_modelling.caps")
def caps(
    ltv: DataFrame, paid: DataFrame, *, ratio: float = 3.0, bend: Series | None = None
) -> DataFrame:
    """The most one may pay for a new customer, by channel, from `ltv_table` (on margin)
    and `payback`. A bid buys the next customer, so the cap stands against what that one
    costs where `bend` (channel_roi.combined.bends) tells, else against the mean cost. A
    channel with too few customers of either kind is not judged: no cap, cost or ratio.
    Raises PlaybookError for values on revenue: a cap on revenue would be wrong by the cost
    of the goods.
    """
    if (ltv.basis != "margin").any():
        raise PlaybookError("ltv_modelling.cap_needs_margin", column="basis")
    every = paid.loc[paid.cohort == "all", ["channel", "ncac", "payback_months", "status"]]
    out = ltv[["channel", "n_customers", "ltv", "low", "high"]]
    out = out.merge(every, on="channel", how="left")
    is_few = (out.n_customers < LEAST_JUDGED) | (out.status == "too few")
    out = out.assign(**out[["ncac", "payback_months"]].mask(is_few))
    cap = (out.ltv / ratio).mask(is_few)
    following = np.nan if bend is None else out.channel.map(bend).astype(float)
    out = out.assign(next_ncac=out.ncac * following)
    out = out.assign(
        status=out.status.fillna("no spend").mask(is_few, "too few"),
        cap=cap,
        cap_low=(out.low.clip(lower=0) / ratio).mask(is_few),
        ltv_cac=out.ltv / out.ncac,
        headroom=cap - out.next_ncac.fillna(out.ncac),
    )
    return frame_of("ltv_modelling.caps", out)


@returns("ltv_modelling.vip")
def vip(
    forecast: CustomerForecast, *, share: float = 0.02, holdout_share: float = 0.1
) -> DataFrame:
    """The customers worth most in the next `days`: at least `share` of all customers
    (those who tie with the last one are in), nobody who will cost money, nobody who is
    more likely gone than not (where a drop-out is identified).

    `arm` is `holdout` for a fixed `holdout_share` of them, by the hash of the id, so
    that the effect of the treatment can be seen next month.
    """
    customers = forecast.customers
    n = max(int(np.ceil(share * len(customers))), 1)
    customers = customers[~(customers.p_alive < LEAST_ALIVE)]
    edge = customers.worth.nlargest(n).min()
    top = customers[(customers.worth >= edge) & (customers.worth > 0)]
    top = top.sort_values(
        ["worth", "customer_id"],
        ascending=[False, True],
        ignore_index=True,
    )
    top = top.assign(arm=arms(top.customer_id, holdout_share))
    return top[schema("ltv_modelling.vip").names]


def holds_its_level(covered: DataFrame, level: float) -> bool:
    """Whether past intervals of total money held their level as far as their number can
    tell (`interval_coverage`); true where none is scored.
    """
    is_total = (covered.kind == "total") & (covered.measure == "money")
    own = covered[is_total & np.isclose(covered.level.astype(float), level)]
    return not (own.covered_high < level).any()


def ltv_predictions(forecast: CustomerForecast, covered: DataFrame) -> DataFrame:
    """What this month says about the next 28, 56 and 91 days of today's known
    customers, to be scored when they end: one row per horizon: metric, subject,
    horizon, due_on, point, low, high, level, naive (every one keeps the rate so far),
    model. Limits are missing until calibrated, and where past totals surely lay inside
    them less often than stated (`covered`: `interval_coverage` of the same backtest).
    """
    customers, backtest, rows = forecast.customers, forecast.backtest, []
    is_believed = holds_its_level(covered, forecast.level)
    rate = (customers.x / customers["T"].clip(lower=1)).mean() * customers.each.mean()
    naive = float(rate) * len(customers)
    for days, worth in forecast.soon.items():
        total = DataFrame([{"kind": "total", "subject": "all", "point": worth}])
        band = longest_intervals(total, forecast, days).iloc[0]
        rows.append(
            {
                "metric": f"known_customer_{backtest.basis}",
                "subject": "all",
                "horizon": f"{days} days",
                "due_on": backtest.as_of + dt.timedelta(days),
                "point": worth if pd.isna(band.mid) else band.mid,
                "low": band.low if is_believed else np.nan,
                "high": band.high if is_believed else np.nan,
                "level": forecast.level,
                "naive": naive * days,
                "model": backtest.model,
            }
        )
    return DataFrame(rows)


@dated
def ltv_headline(customer_days: Table, traits: Table, *, as_of: dt.date, basis: str) -> DataFrame:
    """Monthly series for the scorecard: ltv_h at three months of age by month won:
    metric, month, amount (per customer), low, high (95 % of the mean), n, status
    (`partial` while any customer of the month is younger, then missing).
    """
    t = expression(customer_days).mutate(margin=_[basis])
    curve = margin_curve(
        t,
        traits,
        as_of=as_of,
        max_months=HEADLINE_MONTHS,
    )
    last = curve[curve.k == HEADLINE_MONTHS - 1].groupby("cohort")
    sums, done = last[["n", "margin", "square"]].sum(), last["is_complete"].all()
    n = sums.n
    mean = (sums.margin / n).where(done)
    error = 1.96 * np.sqrt(np.maximum(sums.square / n - mean**2, 0) / n)
    out = DataFrame(
        {
            "metric": "ltv_h",
            "month": n.index,
            "amount": mean,
            "low": mean - error,
            "high": mean + error,
            "n": n,
            "status": np.where(done, "complete", "partial"),
        }
    )
    return out.tail(HEADLINE_SHOWN).reset_index(drop=True)
