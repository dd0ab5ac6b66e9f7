"""What goes beside what: pairs of items bought together, bundles of them, and items
that are bought again.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pyarrow.compute as pc
from ibis import Table, _
from pandas import DataFrame

from playbook.chapters.recommendations.nextbuy import (
    MAX_ITEMS,
    moment,
    purchases,
)
from playbook.given import reads
from playbook.methods.baskets import pair_rules
from playbook.methods.proportions import wilson
from playbook.store import distinct_rows
from playbook.tables import returns

__all__ = [
    "bundles",
    "item_pairs",
    "replenishment",
    "strongest_first",
    "strongest_pairs",
]

#: times as often as chance a pair has to be bought together, to be offered as a bundle
MIN_LIFT = 1.5
#: pairs kept as a table: the strongest ones; a larger list is read by nobody
MOST_PAIRS = 10_000
#: money whose sum does not depend on the order in which the engine's threads add
MONEY_SUM = "decimal(28, 6)"
#: buying days with a full window behind them that a rebuy share needs
MIN_STARTS = 50


@reads(lines="order_id sku")
@returns("recommendations.pairs")
def item_pairs(
    lines: Table | DataFrame,
    *,
    as_of: dt.date,
    min_support: float = 0.001,
    min_n: int = 20,
    max_items: int = MAX_ITEMS,
    level: float = 0.95,
    most: int | None = None,
) -> DataFrame:
    """Pairs of skus bought in one order, by `methods.baskets.pair_rules`, in the order of
    a, then b.

    Pairs in fewer than `min_n` orders are left out: lift on few orders is luck. Only
    the `max_items` items in most orders are paired. Of `most` only the rows of the highest
    lift are made.
    """
    t = purchases(lines, as_of, needs_customer=False)
    items = _goods_margin(t)
    paired = _in_most_orders(t, items, max_items)
    held = _held(t, paired)
    rules = pair_rules(
        held,
        min_support=min_support,
        min_n=min_n,
        level=level,
        most=most,
    )
    margin = paired.margin / np.bincount(held["item"], minlength=len(paired))
    rules = rules.assign(margin=margin[rules.b].to_numpy())
    rules = rules.assign(**{side: paired.sku.to_numpy()[rules[side]] for side in "ab"})
    if len(rules) and len(items) > max_items:
        rules = _among_all(rules, int(t.order_id.nunique().to_pandas()))
        rules = rules[rules.support >= min_support].reset_index(drop=True)
    return rules.assign(items_cut=max(len(items) - max_items, 0))


def _in_most_orders(t: Table, items: DataFrame, most: int) -> DataFrame:
    """The items that stand in most orders, ties in the order of their skus."""
    if len(items) <= most:
        return items
    counts = t.group_by("sku").aggregate(n=_.order_id.nunique()).to_pandas()
    ranked = items.merge(counts, on="sku").sort_values(["n", "sku"], ascending=[False, True])
    return ranked.head(most).sort_values("sku", ignore_index=True)


def _held(t: Table, items: DataFrame) -> DataFrame:
    """Which order holds which of the items, once each: `basket` and `item` as numbers, that
    of an item its place in `items`. As text ten million rows would take as long again.
    """
    places = ibis.memtable(items[["sku"]].assign(item=np.arange(len(items))))
    rows = distinct_rows(t.inner_join(places, "sku"), "order_id", "item").to_pyarrow()
    orders = pc.dictionary_encode(rows["order_id"]).combine_chunks()
    return DataFrame(
        {"basket": orders.indices.to_numpy(), "item": rows["item"].to_numpy().astype("int64")}
    )


def _goods_margin(t: Table) -> DataFrame:
    """One row per sku: goods margin, missing where that of a line is."""
    revenue, cost = (
        t[name].cast(MONEY_SUM) if name in t.columns else ibis.null(MONEY_SUM)
        for name in ("revenue", "cost")
    )
    t = t.mutate(goods_margin=revenue - cost)
    items = t.group_by("sku").aggregate(
        margin=_.goods_margin.sum().cast("float64"),
        n_unknown=_.goods_margin.isnull().sum(),
    )
    # sorted here: servers have orders of text of their own
    items = items.to_pandas().sort_values("sku", ignore_index=True)
    return items.assign(margin=items.margin.astype(float).where(items.n_unknown == 0))


def _among_all(rules: DataFrame, n_baskets: int) -> DataFrame:
    """The rules among all orders: those of rare items only are orders too."""
    more = n_baskets / rules.n_baskets
    return rules.assign(
        n_baskets=n_baskets,
        support=rules.support / more,
        pair_lift=rules.pair_lift * more,
        lift_low=rules.lift_low * more,
    )


def strongest_first(
    pairs: DataFrame, by: str = "lift_low", *, most: int | None = None
) -> DataFrame:
    """Pairs by falling lift, ties in the order of their skus; the first `most` of them."""
    if most is not None and len(pairs) > most:
        # the order of a million texts would take seconds, and the rest is not asked for
        pairs = pairs[pairs[by] >= pairs[by].nlargest(most).iloc[-1]]
    ranked = pairs.sort_values([by, "a", "b"], ascending=[False, True, True], ignore_index=True)
    return ranked.head(most) if most is not None else ranked


def strongest_pairs(pairs: DataFrame, most: int = MOST_PAIRS) -> DataFrame:
    """The `most` pairs of highest lift, in the order of their skus."""
    if len(pairs) <= most:
        return pairs
    return strongest_first(pairs, most=most).sort_values(["a", "b"], ignore_index=True)


@returns("recommendations.bundles")
def bundles(
    pairs: DataFrame,
    *,
    discount_share: float = 0.05,
    unsafe: DataFrame | None = None,
) -> DataFrame:
    """Pairs that go together beyond chance (`lift_low` of both directions above
    `MIN_LIFT`), those that most surely belong together first.

    The discount is given to everybody who takes both, also to the `n` orders that took
    both unasked. `unsafe` holds the skus that are not offered.
    """
    # both directions have to, so that one that does not needs no other
    pairs = pairs[pairs.lift_low > MIN_LIFT]
    back = pairs[["a", "b", "margin", "lift_low"]]
    two = pairs.merge(
        back,
        left_on=["a", "b"],
        right_on=["b", "a"],
        suffixes=("", "_other"),
    )
    two = two[two.a < two.b]
    margin = two.margin + two.margin_other
    discount = margin * discount_share
    needed = (two.n * discount / (margin - discount)).where(margin > 0)
    n_single = two.n_a + two.n_b - 2 * two.n
    offers = two[["a", "b", "n", "pair_lift", "lift_low"]].assign(
        attach_share=two.n / (two.n + n_single),
        margin=margin,
        discount=discount,
        extra_needed=needed,
        extra_needed_share=(needed / n_single).where(n_single > 0),
        is_unsafe=two[["a", "b"]].isin([] if unsafe is None else set(unsafe.sku)).any(axis=1),
    )
    return strongest_first(offers)


@reads(lines="order_id sku customer_id")
@returns("recommendations.replenishment")
def replenishment(
    lines: Table | DataFrame,
    *,
    as_of: dt.date,
    window_days: int = 120,
    level: float = 0.95,
) -> DataFrame:
    """How surely and how soon an item is bought again, highest share first.

    A start is a customer's day with the sku, at least `window_days` before as-of.
    Younger starts are left out, or quick rebuyers alone would be seen. A reminder is
    due shortly before `rebuy_days`. Skus with fewer than `MIN_STARTS` starts are absent.
    """
    days = distinct_rows(
        purchases(lines, as_of),
        "customer_id",
        "sku",
        day=_.at.date(),
    )
    after = days.day.lead().over(ibis.window(group_by=["customer_id", "sku"], order_by="day"))
    last = ibis.literal(moment(as_of).date() - dt.timedelta(days=window_days))
    starts = days.mutate(wait=after.delta(days.day, unit="day")).filter(_.day <= last)
    soon = starts.wait <= window_days
    # Spark takes no quantile under a condition
    wait = soon.ifelse(starts.wait, ibis.null())
    by_sku = starts.group_by("sku").aggregate(
        n_starts=_.count(),
        n_rebuys=soon.fill_null(False).sum(),
        rebuy_days=wait.median(),
        early_days=wait.quantile(0.25),
        late_days=wait.quantile(0.75),
    )
    found = by_sku.filter(_.n_starts >= MIN_STARTS).order_by("sku").to_pandas()
    low, high = wilson(found.n_rebuys, found.n_starts, level)
    share = found.n_rebuys / found.n_starts
    found = found.assign(rebuy_share=share, low=low, high=high)
    return found.sort_values(
        ["rebuy_share", "sku"],
        ascending=[False, True],
        ignore_index=True,
    )
