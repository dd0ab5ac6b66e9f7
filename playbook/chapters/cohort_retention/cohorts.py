"""Cohorts: who came back, when, and whether newer customers come back less.

A *cohort* is the customers whose first order fell in one month. *Age k* is the number
of calendar months since. A customer is *active* at age k with any order in that month.
A cell is `complete` when its month is over, `partial` while it runs, `unobserved`
before: an unlived month is missing, never zero. A cohort is *left-truncated* when
earlier orders of its customers may lie before the log begins.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.forecasting.intervals import predictive_intervals, score_intervals
from playbook.methods.kaplan_meier import kaplan_meier
from playbook.methods.proportions import adjusted_p, share_difference, wilson
from playbook.store import expression

__all__ = [
    "cohort_retention",
    "same_age",
    "second_order",
    "trigger_day",
    "first_basket",
    "return_backtest",
    "returning_next_month",
    "retention_headline",
    "first_orders",
    "due_for_nudge",
    "retention_decisions",
    "CELL_COLUMNS",
]

CELL_COLUMNS = [
    "cohort",
    "k",
    "n",
    "active",
    "share",
    "low",
    "high",
    "revenue",
    "margin",
    "status",
    "is_left_truncated",
]


def cohort_retention(
    customer_days: Any,
    *,
    as_of: dt.date | str,
    truncated_before: dt.date | str | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row per cohort and age: cohort, k, n, active, share, low, high, revenue,
    margin, status, is_left_truncated.

    `customer_days`: customer_id, day_on, orders, and (where known) revenue, margin.
    Days with refunds only move money, not activity. share = active / n with Wilson's
    interval (Wilson 1927). Every cohort gets every age up to the age the oldest has
    reached; cells that lie after as-of are `unobserved` and missing. Cohorts that begin
    before `truncated_before` are marked left-truncated. Raises PlaybookError when
    nobody has ordered.
    """
    as_of = pd.Timestamp(as_of)
    cells = _cell_counts(customer_days, as_of)
    if cells.empty:
        raise PlaybookError(
            "Nobody with a known customer has ordered yet",
            table="customer_days",
            do="check that orders carry customer_id",
        )
    sizes = cells[cells.k == 0].set_index("born").active
    now = as_of.year * 12 + as_of.month - 1
    grid = pd.MultiIndex.from_product(
        [sizes.index, range(now - int(sizes.index[0]) + 1)], names=["born", "k"]
    )
    found = cells.set_index(["born", "k"]).reindex(grid).reset_index()
    month = found.born + found.k
    ends_after = as_of != as_of + pd.offsets.MonthEnd(0)
    found["status"] = np.select(
        [month > now, (month == now) & ends_after], ["unobserved", "partial"], "complete"
    )
    seen = found.status != "unobserved"
    found["n"] = found.born.map(sizes).astype("int64")
    found["active"] = found.active.where(~seen, found.active.fillna(0))
    for money in ("revenue", "margin"):
        quiet = found[money].isna() & found.active.eq(0) & seen
        found[money] = found[money].mask(quiet, 0.0 if cells[money].notna().any() else np.nan)
    found["share"] = found.active / found.n
    found["low"], found["high"] = wilson(found.active, found.n.where(seen), level)
    found["cohort"] = _month_text(found.born)
    edge = pd.Timestamp(truncated_before) if truncated_before is not None else pd.Timestamp.min
    found["is_left_truncated"] = pd.to_datetime(found.cohort + "-01") < edge
    found["active"] = found.active.astype("Int64")
    return found[CELL_COLUMNS]


def _cell_counts(customer_days: Any, as_of: pd.Timestamp) -> pd.DataFrame:
    """born, k (months as numbers), active, revenue, margin: one row per cell in which
    anything happened.
    """
    t = expression(customer_days)
    t = t.filter(t.day_on.cast("date") <= ibis.literal(as_of.date()), t.customer_id.notnull())
    month = (t.day_on.year() * 12 + t.day_on.month() - 1).cast("int64")
    money = {c: (t[c] if c in t.columns else ibis.null("float64")) for c in ("revenue", "margin")}
    t = t.select("customer_id", "day_on", "orders", month=month, **money)
    # one pass over each customer's days in order: a month is active once, on its first day with an order
    bought = (t.orders > 0).ifelse(t.month, ibis.null("int64"))
    whole = ibis.window(group_by="customer_id")
    earlier = ibis.window(group_by="customer_id", order_by="day_on", preceding=(None, 1))
    t = t.mutate(born=bought.min().over(whole), latest=bought.max().over(earlier))
    is_new = (t.orders > 0) & (t.latest.isnull() | (t.month > t.latest))
    cells = (
        t.mutate(is_new=is_new)
        .filter(_.month >= _.born)
        .group_by("born", k=_.month - _.born)
        .aggregate(
            active=_.is_new.sum(),
            revenue=_.revenue.sum().cast("float64"),
            margin=(_.margin.count() == _.count()).ifelse(
                _.margin.sum().cast("float64"), ibis.null("float64")
            ),
        )
    )
    return (
        cells.order_by("born", "k")
        .to_pandas()
        .astype({"born": "int64", "k": "int64", "active": "float64"})
    )


def _month_text(number: pd.Series) -> pd.Series:
    return (number // 12).astype(str) + "-" + (number % 12 + 1).astype(str).str.zfill(2)


def same_age(
    cohorts: pd.DataFrame, *, age: int = 1, reference: int = 12, level: float = 0.95
) -> pd.DataFrame:
    """Each cohort against the ones before it at the same age: cohort, k, n, share, low,
    high, reference_share, reference_n, difference, difference_low, difference_high,
    p_adjusted, verdict.

    The reference pools up to `reference` earlier complete cohorts that are not
    left-truncated. The difference has Newcombe's interval; p is adjusted by Holm for
    the cohorts looked at, so that a family of equal cohorts raises an alarm with
    probability 1 - level at most. `worse` and `better` need the adjusted p; `too early`
    has no cell yet.
    """
    at = cohorts[(cohorts.k == age) & ~cohorts.is_left_truncated].sort_values(
        "cohort", ignore_index=True
    )
    whole = at.status == "complete"
    active, n = at.active.astype("float64").where(whole, 0.0), at.n.where(whole, 0).astype(float)
    pooled_active = active.rolling(reference, min_periods=1).sum().shift(1)
    pooled_n = n.rolling(reference, min_periods=1).sum().shift(1)
    known = whole & pooled_n.gt(0)
    gap = share_difference(
        active.where(known),
        n.where(known),
        pooled_active.where(known),
        pooled_n.where(known),
        level=level,
    )
    out = at[["cohort", "k", "n", "share", "low", "high", "status"]].assign(
        reference_share=pooled_active / pooled_n.where(pooled_n > 0),
        reference_n=pooled_n.fillna(0).astype("int64"),
        difference=gap["difference"],
        difference_low=gap["low"],
        difference_high=gap["high"],
        p_adjusted=adjusted_p(gap["p"], method="holm"),
    )
    alarm = out.p_adjusted < 1 - level
    out["verdict"] = np.select(
        [~whole, ~known, alarm & (out.difference < 0), alarm & (out.difference > 0)],
        ["too early", "nothing earlier to compare", "worse", "better"],
        "no difference shown",
    )
    return out


def second_order(
    customer_days: Any,
    *,
    as_of: dt.date | str,
    truncated_before: dt.date | str | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row per day since the first order: day, at_risk, events, share with a later
    order by then, low, high.

    Kaplan-Meier over customers first seen on or after `truncated_before`; who has not
    come back is still waiting at as-of, not lost. A second order on the same day is one
    visit and does not count. Empty when nobody qualifies.
    """
    as_of = pd.Timestamp(as_of).date()
    t = expression(customer_days)
    t = t.filter((t.orders > 0) & (t.day_on.cast("date") <= ibis.literal(as_of)))
    first = t.group_by("customer_id").aggregate(first_on=_.day_on.cast("date").min())
    if truncated_before is not None:
        first = first.filter(_.first_on >= ibis.literal(pd.Timestamp(truncated_before).date()))
    both = t.inner_join(first, "customer_id")
    waits = both.group_by("customer_id").aggregate(
        first_on=both.first_on.min(),
        second_on=both.day_on.cast("date").min(where=both.day_on.cast("date") > both.first_on),
    )
    waits = waits.mutate(
        has_second=waits.second_on.notnull(), until=waits.second_on.fill_null(ibis.literal(as_of))
    )
    waits = waits.mutate(day=waits.until.delta(waits.first_on, unit="day"))
    counts = waits.group_by("day").aggregate(
        events=waits.has_second.sum(), censored=(~waits.has_second).sum()
    )
    return kaplan_meier(counts.order_by("day").to_pandas().astype("int64"), level=level)


def trigger_day(
    curve: pd.DataFrame, *, share_of_returns: float = 0.5, within_days: int = 180
) -> dict[str, float]:
    """The day by which `share_of_returns` of those who come back within `within_days`
    have done so.

    Keys: day, share_by_then, low, high, eventual_share, within_days (shortened to what
    at least 30 people have lived). Missing values where fewer than 30 people have been
    followed at all.
    """
    lived = curve[curve.at_risk >= 30]
    if lived.empty or lived.share.iloc[-1] == 0:
        return dict.fromkeys(
            ("day", "share_by_then", "low", "high", "eventual_share", "within_days"), float("nan")
        )
    lived = lived[lived.day <= within_days]
    eventual = lived.share.iloc[-1]
    hit = lived[lived.share >= share_of_returns * eventual].iloc[0]
    return {
        "day": float(hit.day),
        "share_by_then": float(hit.share),
        "low": float(hit.low),
        "high": float(hit.high),
        "eventual_share": float(eventual),
        "within_days": float(lived.day.iloc[-1]),
    }


def first_orders(
    sales_orders: Any,
    sales_lines: Any = None,
    products: Any = None,
    *,
    with_truncated: bool = False,
) -> ibis.Table:
    """One row per known customer with a first order: customer_id, first_on, channel,
    category (the one that brought most revenue in that order, ties by name; missing
    without lines and products), is_left_truncated. Customers whose earlier orders may
    lie before the log are left out unless `with_truncated`.
    """
    o = expression(sales_orders)
    kept = o.filter(o.is_first & o.customer_id.notnull())
    kept = kept if with_truncated else kept.filter(~kept.is_left_truncated)
    first = kept.select(
        "customer_id", "order_id", "channel", "is_left_truncated", first_on=kept.ordered_on
    )
    if sales_lines is None or products is None:
        return first.mutate(category=ibis.null("string")).drop("order_id")
    lines, shelf = expression(sales_lines), expression(products).select("sku", "category")
    named = lines.filter(lines.is_product).semi_join(first, "order_id").inner_join(shelf, "sku")
    sums = (
        named.filter(_.category.notnull())
        .group_by("order_id", "category")
        .aggregate(revenue=_.revenue.sum())
    )
    place = ibis.row_number().over(
        ibis.window(group_by="order_id", order_by=[ibis.desc("revenue"), "category"])
    )
    top = sums.mutate(place=place).filter(_.place == 0).select("order_id", "category")
    return first.left_join(top, "order_id").drop("order_id", "order_id_right")


def first_basket(
    first_orders: Any,
    customer_days: Any,
    *,
    as_of: dt.date | str,
    by: str,
    window_days: int = 90,
    least: int = 30,
    level: float = 0.95,
) -> pd.DataFrame:
    """Who comes back within `window_days`, by what the first order was: `by`,
    customers, returned, share, low, high, difference (to all others), p_adjusted,
    verdict, n_waiting (first orders too young to judge, left out).

    `first_orders`: customer_id, first_on, and the column `by`. Groups under `least`
    customers are kept and called `too few`. A group's choice was not random: a
    difference is where to look, not what a nudge would gain.
    """
    as_of = pd.Timestamp(as_of).date()
    f, t = expression(first_orders), expression(customer_days)
    t = t.filter((t.orders > 0) & (t.day_on.cast("date") <= ibis.literal(as_of))).select(
        "customer_id", again_on=_.day_on.cast("date")
    )
    f = f.filter(f[by].notnull()).select(
        "customer_id", first_on=f.first_on.cast("date"), group=f[by].cast("string")
    )
    due = f.first_on + ibis.interval(days=window_days)
    f = f.mutate(is_ripe=due.cast("date") <= ibis.literal(as_of))
    joined = f.left_join(t, "customer_id")
    gap = joined.again_on.delta(joined.first_on, unit="day")
    each = joined.group_by("customer_id", "group", "is_ripe").aggregate(
        came=((gap > 0) & (gap <= window_days)).any()
    )
    sums = (
        each.group_by("group")
        .aggregate(
            customers=each.is_ripe.sum(),
            returned=(each.is_ripe & each.came.fill_null(False)).sum(),
            n_waiting=(~each.is_ripe).sum(),
        )
        .order_by("group")
    )
    frame = sums.to_pandas().astype(
        {"customers": "int64", "returned": "int64", "n_waiting": "int64"}
    )
    x, n = frame.returned.to_numpy(float), frame.customers.to_numpy(float)
    frame["share"] = frame.returned / frame.customers.where(frame.customers > 0)
    frame["low"], frame["high"] = wilson(x, np.where(n > 0, n, np.nan), level)
    gap_to_rest = share_difference(
        x, np.where(n > 0, n, np.nan), x.sum() - x, n.sum() - n, level=level
    )
    enough = n >= least
    frame["difference"] = gap_to_rest["difference"]
    frame["p_adjusted"] = adjusted_p(np.where(enough, gap_to_rest["p"], np.nan), method="holm")
    alarm = frame.p_adjusted < 1 - level
    frame["verdict"] = np.select(
        [~enough, alarm & (frame.difference > 0), alarm & (frame.difference < 0)],
        ["too few", "returns more", "returns less"],
        "no difference shown",
    )
    frame = frame.rename(columns={"group": by}).assign(window_days=window_days)
    return frame.sort_values(["customers", by], ascending=[False, True], ignore_index=True)


def _expected_active(cohorts: pd.DataFrame, month: int, *, pool: int, naive: bool) -> pd.DataFrame:
    """cohort, n, share, point for every cohort alive in month number `month`, from
    cells of earlier months only.

    Each age takes the pooled share of the newest `pool` cohorts that have lived it;
    `naive` takes the one before it.
    """
    born = _month_number(cohorts.cohort)
    past = cohorts[(born + cohorts.k < month) & (cohorts.status == "complete") & (cohorts.k > 0)]
    past = past.assign(born=born).sort_values(["k", "born"])
    newest = (
        past.groupby("k")
        .tail(1 if naive else pool)
        .groupby("k")[["active", "n"]]
        .sum()
        .astype(float)
    )
    sizes = cohorts[cohorts.k == 0].assign(born=lambda f: _month_number(f.cohort)).set_index("born")
    sizes = sizes[(sizes.index < month)]
    ages = month - sizes.index
    share = (newest.active / newest.n).reindex(ages).to_numpy()
    lived = share[~np.isnan(share)]
    oldest = (
        lived[0] if len(lived) else np.nan
    )  # an age nobody has lived yet takes the oldest one that was
    share = np.where(np.isnan(share), oldest, share)
    return pd.DataFrame(
        {
            "cohort": sizes.cohort.to_numpy(),
            "k": ages,
            "n": sizes.n.to_numpy(),
            "share": share,
            "point": share * sizes.n.to_numpy(),
        }
    )


def _month_number(cohort: pd.Series) -> pd.Series:
    return cohort.str[:4].astype(int) * 12 + cohort.str[5:7].astype(int) - 1


def return_backtest(cohorts: pd.DataFrame, *, pool: int = 6, first_months: int = 3) -> pd.DataFrame:
    """Customers of earlier cohorts who ordered in a month, forecast one month ahead
    from the cells before it, for every complete month of the log: origin_on, due_on,
    model, measure, horizon_days, kind, subject, point, actual, unit, with the interval
    each forecast would have carried (level, low, high, status, is_covered).

    Models: `pooled` (newest cohorts at the same age), `previous cohort` (the naive
    one), `last month` (as many).
    """
    number = _month_number(cohorts.cohort) + cohorts.k
    whole = cohorts[(cohorts.k > 0)].assign(month=number)
    status = whole.groupby("month").status.agg(lambda s: (s == "complete").all())
    actual = (
        whole[whole.month.isin(status[status].index)].groupby("month").active.sum().astype(float)
    )
    rows = []
    for month in actual.index[first_months:]:
        points = {
            "pooled": _expected_active(cohorts, month, pool=pool, naive=False).point.sum(),
            "previous cohort": _expected_active(cohorts, month, pool=pool, naive=True).point.sum(),
            "last month": actual.get(month - 1, np.nan),
        }
        start = pd.Timestamp(month // 12, month % 12 + 1, 1)
        for model, point in points.items():
            rows.append(
                {
                    "origin_on": start - pd.Timedelta(days=1),
                    "due_on": start + pd.offsets.MonthEnd(0),
                    "model": model,
                    "measure": "returning",
                    "horizon_days": 30,
                    "kind": "total",
                    "subject": "all",
                    "point": point,
                    "actual": actual[month],
                    "unit": 1.0,
                }
            )
    columns = [
        "origin_on",
        "due_on",
        "model",
        "measure",
        "horizon_days",
        "kind",
        "subject",
        "point",
        "actual",
        "unit",
    ]
    frame = pd.DataFrame(rows, columns=columns)
    return (
        score_intervals(frame, levels=(0.8,))
        if len(frame)
        else frame.assign(
            level=np.nan,
            low=np.nan,
            mid=np.nan,
            high=np.nan,
            n_errors=0,
            status="not yet calibrated",
            is_covered=None,
        )
    )


def returning_next_month(
    cohorts: pd.DataFrame, backtest: pd.DataFrame, *, pool: int = 6
) -> pd.DataFrame:
    """The same forecast for the month after the last complete one, as one row: point,
    low, high, level, naive, model, month, due_on, status. The model is the one with the
    smallest absolute error in the backtest; ties go to the simpler.
    """
    number = _month_number(cohorts.cohort) + cohorts.k
    month = int(number[(cohorts.status == "complete") & (cohorts.k >= 0)].max()) + 1
    start = pd.Timestamp(month // 12, month % 12 + 1, 1)
    now = {
        "last month": float(cohorts[(number == month - 1) & (cohorts.k > 0)].active.sum()),
        "previous cohort": _expected_active(cohorts, month, pool=pool, naive=True).point.sum(),
        "pooled": _expected_active(cohorts, month, pool=pool, naive=False).point.sum(),
    }
    errors = (
        (backtest.point - backtest.actual).abs().groupby(backtest.model).mean()
        if len(backtest)
        else {}
    )
    model = min(now, key=lambda m: (errors.get(m, np.inf), list(now).index(m)))
    row = pd.DataFrame(
        [
            {
                "model": model,
                "measure": "returning",
                "horizon_days": 30,
                "kind": "total",
                "subject": "all",
                "point": now[model],
                "unit": 1.0,
            }
        ]
    )
    out = (
        predictive_intervals(row, backtest, as_of=start, levels=(0.8,))
        if len(backtest)
        else row.assign(level=0.8, low=np.nan, high=np.nan, status="not yet calibrated")
    )
    return out.assign(
        naive=now["last month"],
        due_on=(start + pd.offsets.MonthEnd(0)).date(),
        month=f"{start:%Y-%m}",
    )


def retention_headline(cohorts: pd.DataFrame, *, age: int = 1) -> pd.DataFrame:
    """The scorecard's series: metric retention_k, month (the one the cell fell in),
    amount, low, high, n, status.
    """
    cells = cohorts[
        (cohorts.k == age) & (cohorts.status != "unobserved") & ~cohorts.is_left_truncated
    ]
    month = _month_text(_month_number(cells.cohort) + cells.k)
    return pd.DataFrame(
        {
            "metric": "retention_k",
            "month": month,
            "amount": cells.share,
            "low": cells.low,
            "high": cells.high,
            "n": cells.n,
            "status": cells.status,
        }
    ).reset_index(drop=True)


def due_for_nudge(
    first: Any, customer_days: Any, *, as_of: dt.date | str, day: float, days_ahead: int = 30
) -> int:
    """How many one-time buyers reach `day` days after their first order within the next
    `days_ahead` days.
    """
    as_of, f, t = pd.Timestamp(as_of).date(), expression(first), expression(customer_days)
    again = (
        t.filter((t.orders > 0) & (t.day_on.cast("date") <= ibis.literal(as_of)))
        .group_by("customer_id")
        .aggregate(n_days=_.day_on.nunique())
        .filter(_.n_days > 1)
    )
    age = ibis.literal(as_of).delta(f.first_on.cast("date"), unit="day")
    waiting = f.filter((age < int(day)) & (age >= int(day) - days_ahead)).anti_join(
        again, "customer_id"
    )
    return int(waiting.count().to_pandas())


def retention_decisions(
    same: pd.DataFrame,
    trigger: dict,
    baskets: pd.DataFrame,
    *,
    n_due: int,
    due_on: Any,
    revisit_on: Any,
    newest: int = 3,
) -> pd.DataFrame:
    """The chapter's decision rows, in the fields of `runs.results.Decision`.

    The nudge's effect is left missing: without a hold-out nobody knows it, so the row
    asks for one. A cohort alarm is sized in customers who would be active at the
    cohorts' usual share, with the interval of the difference.
    """
    rows: list[dict] = []
    if trigger["day"] == trigger["day"]:
        rows.append(
            {
                "subject_type": "segment",
                "subject": "one-time buyers",
                "action": "test nudge",
                "size": float(n_due),
                "unit": "customers next month",
                "confidence": "medium",
                "evidence_metric": "repeat_by_day",
                "evidence_value": trigger["share_by_then"],
                "threshold": trigger["day"],
                "reason": f"half of those who return do so by day {trigger['day']:.0f}; the gain of a nudge is "
                "unknown until a hold-out shows it",
                "effect_unit": "not known without a hold-out",
                "stop_rule": "stop if the treated return no more often than the hold-out after one cycle",
            }
        )
    judged = same[same.verdict.isin(["worse", "better", "no difference shown"])].tail(newest)
    for row in judged[judged.verdict == "worse"].itertuples():
        rows.append(
            {
                "subject_type": "segment",
                "subject": f"cohort {row.cohort}",
                "action": "find the cause",
                "size": float(row.n),
                "unit": "customers",
                "expected_effect": -row.difference * row.n,
                "effect_low": -row.difference_high * row.n,
                "effect_high": -row.difference_low * row.n,
                "effect_unit": "customers active at the usual share",
                "confidence": "high",
                "evidence_metric": "retention_k",
                "evidence_value": row.share,
                "threshold": row.reference_share,
                "reason": "returns less at the same age than the cohorts before it",
                "stop_rule": "close when the next cohort is back within the interval",
            }
        )
    if len(judged) and not (judged.verdict == "worse").any():
        last = judged.iloc[-1]
        rows.append(
            {
                "subject_type": "segment",
                "subject": "new cohorts",
                "action": "no alarm",
                "size": float(last.n),
                "unit": "customers",
                "confidence": "high",
                "evidence_metric": "retention_k",
                "evidence_value": last.share,
                "threshold": last.reference_share,
                "reason": "no cohort of the last months differs from those before it at the same age",
                "stop_rule": "an alarm in the table above",
            }
        )
    for row in baskets[baskets.verdict == "returns more"].head(1).itertuples():
        rows.append(
            {
                "subject_type": "segment",
                "subject": f"first bought {row.label}",
                "action": "test first-basket offer",
                "size": float(row.customers),
                "unit": "customers seen",
                "confidence": "low",
                "evidence_metric": "repeat_by_day",
                "evidence_value": row.share,
                "threshold": row.share - row.difference,
                "reason": "buyers who start here return more often; they chose it themselves, so only a test tells "
                "whether an offer moves others",
                "effect_unit": "not known without a test",
                "stop_rule": "stop if the test shows no lift",
            }
        )
    return pd.DataFrame(rows).assign(owner_role="CRM manager", due_on=due_on, revisit_on=revisit_on)
