"""Cohorts: who came back, when, and whether newer customers come back less.

A *cohort* is the customers whose first order fell in one month. *Age k* is the number
of calendar months since. A customer is *active* at age k with any order in that month.
A cell is `complete` when its month is over, `partial` while it runs, `unobserved`
before: an unlived month is missing, never zero. A cohort is *left-truncated* when
earlier orders of its customers may lie before the log begins.
"""

from __future__ import annotations

import itertools
from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame, Series, Timestamp

from playbook.errors import PlaybookError
from playbook.forecasting.intervals import (
    NOT_YET,
    predictive_intervals,
    score_intervals,
)
from playbook.given import dated, reads
from playbook.methods.hashing import arms
from playbook.methods.kaplan_meier import kaplan_meier
from playbook.methods.proportions import adjusted_p, share_difference, wilson
from playbook.outlook.forecast import MODEL as OUTLOOK
from playbook.outlook.forecast import Outlook
from playbook.store import expression
from playbook.tables import empty, returns, schema

__all__ = [
    "cohort_retention",
    "same_age",
    "second_order",
    "trigger_day",
    "first_orders",
    "due_for_nudge",
    "nudge_list",
    "first_basket",
    "activation",
    "return_backtest",
    "backtest_evidence",
    "returning_next_month",
    "returning_of_outlook",
    "with_outlook",
    "retention_headline",
]

#: customers who must still be followed on a day for the curve to be read there
LEAST_FOLLOWED = 30
#: earlier cohorts a cohort is held against
REFERENCE_COHORTS = 12
#: newest cohorts behind the pooled curve
POOLED_COHORTS = 6
#: share of those due for a nudge who get none, to see what it brings
NUDGE_HELD_OUT = 0.5
#: level of the interval of customers short of the others' share
ACTIVATION_LEVEL = 0.8
#: months of the log that are not forecast, as too little lies before them
FIRST_MONTHS = 3
#: what every forecast of returning customers is, in the columns of a backtest
RETURNING = {
    "measure": "returning",
    "horizon_days": 30,
    "kind": "total",
    "subject": "all",
    "unit": 1.0,
}


@reads(customer_days="customer_id day_on orders")
@returns("cohort_retention.cohorts")
def cohort_retention(
    customer_days: Table,
    *,
    as_of: date,
    truncated_before: date | None = None,
    level: float = 0.95,
) -> DataFrame:
    """Every cohort at every age up to the one the oldest cohort has reached.

    `customer_days`: customer_id, day_on, orders, and (where known) revenue, margin.
    Days with refunds only move money, not activity. The interval is Wilson's (1927).
    Raises PlaybookError when nobody has ordered.
    """
    observed = _observed_cells(customer_days, as_of)
    if observed.empty:
        raise PlaybookError("cohort_retention.nobody_ordered", table="customer_days")
    sizes = observed[observed.k == 0].set_index("born").active
    cells = _every_age(observed, sizes, as_of)
    is_lived = cells.status != "unobserved"
    cells["n"] = cells.born.map(sizes).astype("int64")
    cells["active"] = cells.active.mask(is_lived, cells.active.fillna(0))
    for money in ("revenue", "margin"):
        is_quiet = cells[money].isna() & cells.active.eq(0) & is_lived
        nothing = 0.0 if observed[money].notna().any() else np.nan
        cells[money] = cells[money].mask(is_quiet, nothing)
    cells["share"] = cells.active / cells.n
    cells["low"], cells["high"] = wilson(cells.active, cells.n.where(is_lived), level)
    cells["cohort"] = _month_text(cells.born)
    edge = Timestamp(truncated_before or Timestamp.min)
    cells["is_left_truncated"] = pd.to_datetime(cells.cohort + "-01") < edge
    cells["active"] = cells.active.astype("Int64")
    return cells[schema("cohort_retention.cohorts").names]


def _every_age(observed: DataFrame, sizes: Series, as_of: date) -> DataFrame:
    """The observed cells among all cells of the triangle, with their status."""
    this_month = as_of.year * 12 + as_of.month - 1
    ages = range(this_month - int(sizes.index[0]) + 1)
    grid = pd.MultiIndex.from_product([sizes.index, ages], names=["born", "k"])
    cells = observed.set_index(["born", "k"]).reindex(grid).reset_index()
    month = cells.born + cells.k
    is_running = (month == this_month) & ((as_of + timedelta(days=1)).day != 1)
    return cells.assign(
        status=np.select(
            [month > this_month, is_running],
            ["unobserved", "partial"],
            "complete",
        )
    )


def _observed_cells(customer_days: Table, as_of: date) -> DataFrame:
    """born, k (months as numbers), active, revenue, margin: one row per cell in which
    anything happened.

    One pass over each customer's days in order: a month is active once, on its first
    day with an order.
    """
    days = expression(customer_days)
    days = days.filter(_.day_on.cast("date") <= _day(as_of), _.customer_id.notnull())
    month = (days.day_on.year() * 12 + days.day_on.month() - 1).cast("int64")
    nothing = ibis.null("float64")
    money = {c: days[c] if c in days.columns else nothing for c in ("revenue", "margin")}
    days = days.select(
        "customer_id",
        "day_on",
        "orders",
        month=month,
        **money,
    )
    bought = (days.orders > 0).ifelse(days.month, ibis.null("int64"))
    whole = ibis.window(group_by="customer_id")
    earlier = ibis.window(
        group_by="customer_id",
        order_by="day_on",
        preceding=(None, 1),
    )
    days = days.mutate(born=bought.min().over(whole), latest=bought.max().over(earlier))
    is_new = (days.orders > 0) & (days.latest.isnull() | (days.month > days.latest))
    margin = _.margin.sum().cast("float64")
    cells = (
        days.mutate(is_new=is_new)
        .filter(_.month >= _.born)
        .group_by("born", k=_.month - _.born)
        .aggregate(
            active=_.is_new.sum(),
            revenue=_.revenue.sum().cast("float64"),
            margin=(_.margin.count() == _.count()).ifelse(margin, nothing),
        )
        .order_by("born", "k")
    )
    return cells.to_pandas().astype({"born": "int64", "k": "int64", "active": "float64"})


def _day(day: date) -> ibis.Scalar:
    return ibis.literal(day, "date")


def _waits(customer_days: Table, as_of: date) -> Table:
    """customer_id, opened_on (first day with an order), second_on (the next such day up
    to `as_of`; missing for who has not come back).
    """
    days = expression(customer_days).filter(_.orders > 0)
    days = days.select("customer_id", day_on=_.day_on.cast("date"))
    days = days.filter(_.day_on <= _day(as_of))
    opened = days.group_by("customer_id").aggregate(opened_on=_.day_on.min())
    is_later = _.day_on > _.opened_on
    return (
        days.inner_join(opened, "customer_id")
        .group_by("customer_id", "opened_on")
        .aggregate(second_on=_.day_on.min(where=is_later))
    )


def _month_text(number: Series) -> Series:
    return (number // 12).astype(str) + "-" + (number % 12 + 1).astype(str).str.zfill(2)


@returns("cohort_retention.same_age")
def same_age(cohorts: DataFrame, *, age: int = 1, level: float = 0.95) -> DataFrame:
    """Each cohort against the ones before it at the same age.

    The reference pools up to 12 earlier complete cohorts that are not
    left-truncated. The difference has Newcombe's interval. p is adjusted by Holm for
    the cohorts looked at, so that a family of equal cohorts raises an alarm with
    probability 1 - level at most.
    """
    at_age = cohorts[(cohorts.k == age) & ~cohorts.is_left_truncated]
    at_age = at_age.sort_values("cohort", ignore_index=True)
    is_complete = at_age.status == "complete"
    counts = at_age[["active", "n"]].astype("float64").where(is_complete, 0.0)
    pooled = counts.rolling(REFERENCE_COHORTS, min_periods=1).sum().shift(1)
    is_known = is_complete & pooled.n.gt(0)
    compared = _compared(counts.where(is_known), pooled.where(is_known), level)
    verdict = _verdict(
        compared,
        level,
        lower="worse",
        higher="better",
    )
    verdict = verdict.mask(~is_known, "nothing earlier to compare")
    return at_age[["cohort", "k", "n", "share", "low", "high", "status"]].assign(
        reference_share=pooled.active / pooled.n.where(pooled.n > 0),
        reference_n=pooled.n.fillna(0).astype("int64"),
        difference=compared.difference,
        difference_low=compared.low,
        difference_high=compared.high,
        p_adjusted=compared.p_adjusted,
        verdict=verdict.mask(~is_complete, "too early"),
    )


def _compared(
    groups: DataFrame,
    others: DataFrame,
    level: float,
    is_tested: Series | bool = True,
) -> DataFrame:
    """difference, low, high, p_adjusted of shares (active of n) against others. A group
    that is not tested does not count among the tests p is adjusted for.
    """
    gap = share_difference(
        groups.active,
        groups.n,
        others.active,
        others.n,
        level=level,
    )
    p_adjusted = adjusted_p(np.where(is_tested, gap["p"], np.nan), method="holm")
    return DataFrame(gap, index=groups.index).assign(p_adjusted=p_adjusted)


def _verdict(compared: DataFrame, level: float, *, lower: str, higher: str) -> Series:
    is_alarm = compared.p_adjusted < 1 - level
    verdict = Series("no difference shown", compared.index)
    verdict = verdict.mask(is_alarm & (compared.difference < 0), lower)
    return verdict.mask(is_alarm & (compared.difference > 0), higher)


@reads(customer_days="customer_id day_on orders")
@returns("cohort_retention.second_order")
def second_order(
    customer_days: Table,
    *,
    as_of: date,
    truncated_before: date | None = None,
    level: float = 0.95,
) -> DataFrame:
    """The share with a second order by each day since the first.

    Kaplan-Meier over customers first seen on or after `truncated_before`. Who has not
    come back is still waiting at as-of, not lost. A second order on the same day is one
    visit and does not count. Empty when nobody qualifies.
    """
    waits = _waits(customer_days, as_of)
    if truncated_before is not None:
        waits = waits.filter(_.opened_on >= _day(truncated_before))
    waited = waits.second_on.fill_null(_day(as_of)).delta(waits.opened_on, unit="day")
    counts = waits.group_by(day=waited).aggregate(
        events=_.second_on.notnull().sum(),
        censored=_.second_on.isnull().sum(),
    )
    return kaplan_meier(counts.order_by("day").to_pandas().astype("int64"), level=level)


def trigger_day(curve: DataFrame, *, within_days: int = 180) -> dict[str, float]:
    """The day by which half of those who come back within `within_days` have done so.

    Keys: day, share_by_then, low, high, eventual_share, within_days (shortened to what
    at least 30 people have lived). Missing values where fewer than 30 people have been
    followed at all.
    """
    names = (
        "day",
        "share_by_then",
        "low",
        "high",
        "eventual_share",
        "within_days",
    )
    followed = curve[curve.at_risk >= LEAST_FOLLOWED]
    if followed.empty or followed.share.iloc[-1] == 0:
        return dict.fromkeys(names, np.nan)
    followed = followed[followed.day <= within_days]
    eventual = followed.share.iloc[-1]
    hit = followed[followed.share >= eventual / 2].iloc[0]
    values = (
        hit.day,
        hit.share,
        hit.low,
        hit.high,
        eventual,
        followed.day.iloc[-1],
    )
    return dict(zip(names, map(float, values), strict=True))


def first_orders(
    sales_orders: Table,
    sales_lines: Table | None = None,
    products: Table | None = None,
    *,
    with_truncated: bool = False,
) -> Table:
    """One row per known customer with a first order: customer_id, channel,
    is_left_truncated, first_on, category (the one that brought most revenue in that
    order, ties by name; missing without lines and products). Customers whose earlier
    orders may lie before the log are left out unless `with_truncated`.
    """
    orders = expression(sales_orders)
    orders = orders.filter(orders.is_first & orders.customer_id.notnull())
    if not with_truncated:
        orders = orders.filter(~orders.is_left_truncated)
    first = orders.select(
        "customer_id",
        "order_id",
        "channel",
        "is_left_truncated",
        first_on=orders.ordered_on,
    )
    if sales_lines is None or products is None:
        return first.mutate(category=ibis.null("string")).drop("order_id")
    lines, shelf = (
        expression(sales_lines),
        expression(products).select("sku", "category"),
    )
    lines = lines.filter(_.is_product).semi_join(first, "order_id").inner_join(shelf, "sku")
    sums = lines.filter(_.category.notnull()).group_by("order_id", "category")
    largest_first = ibis.window(group_by="order_id", order_by=[ibis.desc("revenue"), "category"])
    sums = sums.aggregate(revenue=_.revenue.sum()).mutate(
        place=ibis.row_number().over(largest_first)
    )
    top = sums.filter(_.place == 0).select("order_id", "category")
    return first.left_join(top, "order_id").drop("order_id", "order_id_right")


def _waiting(first: Table, customer_days: Table, as_of: date, day: float) -> ibis.Table:
    """One-time buyers who reach `day` days after their first order in the next 30 days."""
    buyers = expression(first)
    again = _waits(customer_days, as_of).filter(_.second_on.notnull())
    age = _day(as_of).delta(buyers.first_on.cast("date"), unit="day")
    waiting = buyers.filter((age < int(day)) & (age >= int(day) - 30))
    return waiting.anti_join(again, "customer_id")


@dated
def due_for_nudge(first: Table, customer_days: Table, *, as_of: date, day: float) -> int:
    """How many one-time buyers reach `day` days after their first order within the next
    30 days; none where the day is not known.
    """
    if np.isnan(day):
        return 0
    return int(_waiting(first, customer_days, as_of, day).count().to_pandas())


@dated
@returns("cohort_retention.nudge_list")
def nudge_list(first: Table, customer_days: Table, *, as_of: date, day: float) -> DataFrame:
    """Those who are due for a nudge, half of them held out by the hash of the id; nobody
    where the day is not known.
    """
    if np.isnan(day):
        return empty("cohort_retention.nudge_list")
    waiting = _waiting(first, customer_days, as_of, day).select("customer_id")
    people = waiting.group_by("customer_id").aggregate(n=_.count()).order_by("customer_id")
    people = people.select("customer_id").to_pandas()
    return people.assign(arm=arms(people.customer_id, NUDGE_HELD_OUT))


@reads(customer_days="customer_id day_on orders")
@returns("cohort_retention.first_basket")
def first_basket(
    first: Table,
    customer_days: Table,
    *,
    as_of: date,
    by: str,
    window_days: int = 90,
    least: int = 30,
    level: float = 0.95,
) -> DataFrame:
    """Who comes back within `window_days`, by what the first order was.

    `first`: customer_id, first_on, and the column `by`. First orders younger
    than the window are counted as waiting and not judged. Groups under `least`
    customers are kept and called `too few`. A group's choice was not random: a
    difference is where to look, not what a nudge would gain.
    """
    groups = _returns_by_group(
        first,
        customer_days,
        as_of,
        by,
        window_days,
    )
    is_enough = groups.customers >= least
    counts = DataFrame({"active": groups.returned, "n": groups.customers}).astype(float)
    judged = counts.assign(n=counts.n.where(counts.n > 0))
    compared = _compared(
        judged,
        counts.sum() - counts,
        level,
        is_enough,
    )
    low, high = wilson(judged.active, judged.n, level)
    verdict = _verdict(
        compared,
        level,
        lower="returns less",
        higher="returns more",
    )
    return groups.assign(
        share=judged.active / judged.n,
        low=low,
        high=high,
        difference=compared.difference,
        p_adjusted=compared.p_adjusted,
        verdict=verdict.mask(~is_enough, "too few"),
        window_days=window_days,
        grouped_by=by,
    ).sort_values(["customers", "label"], ascending=[False, True], ignore_index=True)


@returns("cohort_retention.activation")
def activation(
    first: Table,
    customer_days: Table,
    *,
    as_of: date,
    windows: tuple[int, ...] = (7, 30),
    by: tuple[str, ...] = ("channel", "category"),
    level: float = 0.95,
) -> DataFrame:
    """Second orders within the first days of a customer, by channel and by first product:
    `first_basket` of each window, and how many customers a group lies short of the others'
    share, with the ends of that difference (Newcombe). A cut the shop does not tell is left
    out.
    """
    frames = []
    for days, cut in itertools.product(windows, by):
        groups = first_basket(
            first, customer_days, as_of=as_of, by=cut, window_days=days, level=level
        )
        n, active = groups.customers, groups.returned
        gap = share_difference(
            active, n, active.sum() - active, n.sum() - n, level=ACTIVATION_LEVEL
        )
        ends = {"short": "difference", "short_low": "high", "short_high": "low"}
        judged = n.where(groups.verdict != "too few")
        frames.append(groups.assign(**{c: -gap[end] * judged for c, end in ends.items()}))
    table = pd.concat(frames, ignore_index=True)
    return table[schema("cohort_retention.activation").names]


def _returns_by_group(
    first: Table, customer_days: Table, as_of: date, by: str, window_days: int
) -> DataFrame:
    """label, customers, returned, n_waiting: counted in the engine."""
    buyers = expression(first).filter(_[by].notnull())
    buyers = buyers.select(
        "customer_id",
        first_on=_.first_on.cast("date"),
        label=_[by].cast("string"),
    )
    due = (_.first_on + ibis.interval(days=window_days)).cast("date")
    buyers = buyers.mutate(is_ripe=due <= _day(as_of))
    both = buyers.left_join(_waits(customer_days, as_of), "customer_id")
    wait = both.second_on.delta(both.first_on, unit="day")
    has_returned = (both.is_ripe & (wait <= window_days)).fill_null(False)
    sums = both.group_by("label").aggregate(
        customers=both.is_ripe.sum(),
        returned=has_returned.sum(),
        n_waiting=(~both.is_ripe).sum(),
    )
    counts = dict.fromkeys(("customers", "returned", "n_waiting"), "int64")
    return sums.order_by("label").to_pandas().astype(counts)


def _expected_returns(cells: DataFrame, month: int, pool: int) -> float:
    """Customers of the cohorts alive in month number `month` who are expected to order
    in it, from cells of earlier months only.

    Each age takes the pooled share of the newest `pool` cohorts that have lived it. An
    age nobody has lived yet takes that of the oldest age that was.
    """
    past = cells[(cells.month < month) & (cells.status == "complete") & (cells.k > 0)]
    newest = past.sort_values(["k", "born"]).groupby("k").tail(pool)
    newest = newest.groupby("k")[["active", "n"]].sum().astype(float)
    alive = cells[(cells.k == 0) & (cells.born < month)]
    share = (newest.active / newest.n).reindex(month - alive.born).bfill()
    return float(np.nansum(share.to_numpy() * alive.n.to_numpy()))


def _month_forecasts(cells: DataFrame, month: int) -> dict[str, float]:
    """Model -> returning customers in a month, the simplest model first: as many as
    last month, the previous cohort's curve, the curve of the newest six cohorts.
    """
    last_month = cells[(cells.month == month - 1) & (cells.k > 0)].active.sum()
    return {
        "last month": float(last_month),
        "previous cohort": _expected_returns(cells, month, 1),
        "pooled": _expected_returns(cells, month, POOLED_COHORTS),
    }


def _with_months(cohorts: DataFrame) -> DataFrame:
    """The cells with the number of the cohort's month and of the month they fell in."""
    first_month = cohorts.cohort
    born = first_month.str[:4].astype(int) * 12 + first_month.str[5:7].astype(int) - 1
    return cohorts.assign(born=born, month=born + cohorts.k)


def _first_day(month: int) -> Timestamp:
    return Timestamp(month // 12, month % 12 + 1, 1)


@returns("cohort_retention.return_backtest")
def return_backtest(cohorts: DataFrame) -> DataFrame:
    """Customers of earlier cohorts who ordered in a month, forecast one month ahead
    from the cells before it, for every complete month of the log after the first three,
    with the interval each forecast would have carried.

    Models: `pooled` (newest cohorts at the same age), `previous cohort` (the naive
    one), `last month` (as many).
    """
    cells = _with_months(cohorts)
    later = cells[cells.k > 0]
    is_over = ~later.month.isin(later[later.status != "complete"].month)
    actual = later[is_over].groupby("month").active.sum().astype(float)
    rows = [
        {
            "origin_on": _first_day(month) - pd.Timedelta(days=1),
            "due_on": _first_day(month) + pd.offsets.MonthEnd(0),
            "model": model,
            "point": point,
            "actual": actual[month],
        }
        for month in actual.index[FIRST_MONTHS:]
        for model, point in _month_forecasts(cells, month).items()
    ]
    columns = schema("cohort_retention.return_backtest").names
    frame = DataFrame(rows, columns=columns[: columns.index("level")]).assign(**RETURNING)
    return score_intervals(frame, levels=(0.8,))


@returns("cohort_retention.evidence")
def backtest_evidence(backtest: DataFrame) -> DataFrame:
    """How far each model was off in the backtest, and how often its interval held."""
    errors = (backtest.point - backtest.actual).abs()
    rows = backtest.assign(off=errors).groupby("model")
    sums = rows[["off", "actual"]].sum()
    counts = rows.agg(
        months=("actual", "size"),
        scored=("is_covered", "count"),
        covered_share=("is_covered", "mean"),
    )
    return counts.assign(wape=sums.off / sums.actual).reset_index()


def returning_next_month(cohorts: DataFrame, backtest: DataFrame) -> DataFrame:
    """Returning customers of the month after the last complete one, as one row: model,
    point, measure, horizon_days, kind, subject, unit, level, low, mid, high, n_errors,
    status, naive, due_on, month.

    The model is the one with the smallest absolute error in the backtest; ties go to
    the simpler. The limits are missing where there is no backtest.
    """
    cells = _with_months(cohorts)
    month = int(cells[cells.status == "complete"].month.max()) + 1
    forecasts = _month_forecasts(cells, month)
    errors = (backtest.point - backtest.actual).abs().groupby(backtest.model).mean()
    model = min(forecasts, key=lambda name: errors.get(name, np.inf))
    row = DataFrame([{"model": model, "point": forecasts[model], **RETURNING}])
    start = _first_day(month)
    return predictive_intervals(
        row,
        backtest,
        as_of=start,
        levels=(0.8,),
    ).assign(
        naive=forecasts["last month"],
        due_on=(start + pd.offsets.MonthEnd(0)).date(),
        month=f"{start:%Y-%m}",
    )


def with_outlook(backtest: DataFrame, outlook: Outlook | None) -> DataFrame:
    """The backtest with what the outlook, which knows the season, said of the same
    months one month ahead.
    """
    if outlook is None:
        return backtest
    past = outlook.origins
    past = past[
        (past.metric == "returning_customers") & (past.horizon == "month") & (past.step == 1)
    ]
    past = past[past.actual.notna()].reset_index(drop=True)
    known_to = pd.PeriodIndex(past.known_to, freq="M")
    rows = past.assign(
        **RETURNING,
        origin_on=known_to.end_time.normalize(),
        due_on=(known_to + 1).end_time.normalize(),
        model=OUTLOOK,
        level=outlook.level,
        mid=past.point,
        n_errors=np.arange(len(past)),
        status=past.low.isna().map({True: NOT_YET, False: "complete"}),
    )
    known = [frame for frame in (backtest, rows[list(backtest)]) if len(frame)]
    return pd.concat(known, ignore_index=True) if known else backtest


@returns("cohort_retention.returning")
def returning_of_outlook(ahead: DataFrame, outlook: Outlook | None) -> DataFrame:
    """Returning customers of the month after the last whole one: the outlook's, which
    every chapter reads; before there is one, the cohorts' own (`returning_next_month`), less
    what their forecasts were off by on the whole: the middle of their interval, where known.
    """
    columns = schema("cohort_retention.returning").names
    now = DataFrame() if outlook is None else outlook.shop("month")
    if "returning_customers" not in now.index:
        return ahead.assign(point=ahead["mid"].fillna(ahead["point"]))[columns]
    row = now.loc["returning_customers"]
    status = "complete" if row.status == "complete" else NOT_YET
    mine = {
        "model": OUTLOOK,
        "point": row.mid,
        "mid": row.mid,
        "level": outlook.level,
    }
    mine |= {
        "low": row.low,
        "high": row.high,
        "n_errors": row.n_errors,
        "status": status,
    }
    mine |= {"due_on": row.due_on.date(), "month": row.month}
    return ahead.head(1).assign(**mine)[columns]


def retention_headline(cohorts: DataFrame) -> DataFrame:
    """The scorecard's series: metric retention_k, month (the one the cell fell in),
    amount (the share active), low, high, n, status.
    """
    is_shown = (cohorts.status != "unobserved") & ~cohorts.is_left_truncated
    cells = _with_months(cohorts[(cohorts.k == 1) & is_shown].rename(columns={"share": "amount"}))
    series = cells.assign(metric="retention_k", month=_month_text(cells.month))
    columns = ["metric", "month", "amount", "low", "high", "n", "status"]
    return series[columns].reset_index(drop=True)
