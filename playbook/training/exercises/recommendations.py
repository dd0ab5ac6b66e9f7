"""09 Recommendations: lift, attach share, a list that must beat the best sellers, a
leak, what cannot be delivered.
"""

from __future__ import annotations

import functools

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Series, Timedelta, Timestamp

from playbook.chapters.recommendations.next_products import (
    COVER_DAYS,
    ONCE_DAYS,
    PACE_DAYS,
    safe_skus,
    wait_days,
)
from playbook.chapters.recommendations.pairs import item_pairs, replenishment
from playbook.chapters.recommendations.recommend import leaderboard, unsafe_items
from playbook.store import Store
from playbook.tables import frame_of
from playbook.training.exercise import Answers, NotApplicable, bound

HOLDOUT_DAYS = 90
#: skus at least on the list of the last exercise
BEST_SELLERS = 40
FEW_UNITS = 5


@functools.cache
def race(shop: Store) -> DataFrame:
    """The chapter's leaderboard for new items, two rows: the plain baseline and its
    best rival. model, recall, low, high, and for the rival gain, gain_low, gain_high
    (customer by customer), customers.
    """
    board = leaderboard(shop.sales_lines, as_of=shop.as_of, holdout_days=HOLDOUT_DAYS)
    winner = board.winner.set_index("items")
    if "new" not in winner.index:
        raise NotApplicable("training.no_new_item_bought")
    names = winner.loc["new", ["baseline", "rival"]]
    rows = board.table[board.table["items"] == "new"].set_index("model").loc[names].reset_index()
    rows.loc[0, ["gain", "gain_low", "gain_high"]] = np.nan
    rows = rows.rename(columns={"recall_k": "recall", "n_customers": "customers"})
    return frame_of("training.race", rows)


def verdict(shop: Store) -> str:
    rival = race(shop).iloc[1]
    if rival.gain <= 0:
        return "d"
    return "b" if rival.gain_low > 0 else "c"


@functools.cache
def best_pair(shop: Store) -> Series:
    """The pair that surely belongs together most: the row of `item_pairs` with the
    highest lower end of lift.
    """
    pairs = item_pairs(shop.sales_lines, as_of=shop.as_of)
    if pairs.empty:
        raise NotApplicable("training.no_frequent_pair")
    return pairs.sort_values(["lift_low", "a", "b"], ascending=[False, True, True]).iloc[0]


@functools.cache
def pair_counts(shop: Store) -> DataFrame:
    """What was counted for that pair: counted, orders that hold it, lines (missing for
    the pair).
    """
    pair = best_pair(shop)
    lines = shop.sales_lines.filter(_.is_product & _.sku.notnull())
    n = lines.aggregate(a=(_.sku == pair.a).sum(), b=(_.sku == pair.b).sum(), every=_.count())
    n = shop.con.execute(n).iloc[0]
    rows = [
        (pair.a, pair.n_a, n.a),
        (pair.b, pair.n_b, n.b),
        ("both", pair.n, np.nan),
        ("all", pair.n_baskets, n.every),
    ]
    return frame_of("training.pair_counts", rows)


def pair_lift(shop: Store) -> float:
    pair = best_pair(shop)
    confidence = pair.n / pair.n_a
    return confidence / (pair.n_b / pair.n_baskets)


def _lift_of_lines(shop: Store) -> float:
    a, b, both, every = pair_counts(shop).lines.fillna(best_pair(shop).n)
    return both * every / (a * b)


def attach_share(shop: Store) -> float:
    pair = best_pair(shop)
    return pair.n / (pair.n_a + pair.n_b - pair.n)


def _of_all_orders(shop: Store) -> float:
    return best_pair(shop).n / best_pair(shop).n_baskets


def _of_first(shop: Store) -> float:
    return best_pair(shop).n / best_pair(shop).n_a


def _of_second(shop: Store) -> float:
    return best_pair(shop).n / best_pair(shop).n_b


def _counted_twice(shop: Store) -> float:
    pair = best_pair(shop)
    return pair.n / (pair.n_a + pair.n_b)


@functools.cache
def dealt_orders(shop: Store) -> DataFrame:
    """How a colleague dealt the orders, by chance, as many to the test as the last
    ninety days hold: month, training, test (orders of known customers).
    """
    known = shop.sales_orders.filter(_.customer_id.notnull())
    orders = shop.con.execute(known.select("order_id", "ordered_on").order_by("order_id"))
    day = pd.to_datetime(orders.ordered_on)
    is_late = day > Timestamp(shop.as_of) - Timedelta(days=HOLDOUT_DAYS)
    if not is_late.any() or is_late.all():
        raise NotApplicable("training.not_before_and_during")
    is_test = np.random.default_rng(0).permutation(is_late.to_numpy())
    table = pd.crosstab(day.dt.strftime("%Y-%m"), np.where(is_test, "test", "training"))
    return table[["training", "test"]].rename_axis(index="month", columns=None).reset_index()


@functools.cache
def _blank(shop: Store) -> list[str]:
    """Three best sellers in stock whose stock the exercise leaves out, as a warehouse
    that did not report.
    """
    counted = _counted(shop)
    in_stock = counted.sku[counted.on_hand > FEW_UNITS].sort_values().to_list()
    quarters = [len(in_stock) * part // 4 for part in (1, 2, 3)]
    return [in_stock[place] for place in quarters] if len(in_stock) > 3 else []


@functools.cache
def _counted(shop: Store) -> DataFrame:
    if not shop.has("stock"):
        raise NotApplicable("training.no_stock_records")
    since = (Timestamp(shop.as_of) - Timedelta(days=HOLDOUT_DAYS)).date()
    days = shop.sku_days.group_by("sku").aggregate(
        units_sold=_.units.sum(where=_.day_on > since).fill_null(0).cast("float64"),
        on_hand=_.on_hand.argmax(_.day_on, where=_.on_hand.notnull()).cast("float64"),
    )
    ranked = shop.con.execute(days.order_by(ibis.desc("units_sold"), "sku"))
    sold_out_at = np.flatnonzero(ranked.on_hand == 0)[:3]
    return ranked.head(max([BEST_SELLERS, *(sold_out_at + 1)]))


@functools.cache
def shelf(shop: Store) -> DataFrame:
    """The best sellers of the last ninety days, down to the third that is sold out, as
    the stock file shows them: sku, units_sold, on_hand. The stock of three skus did not
    arrive and is missing.
    """
    table = _counted(shop)
    return table.assign(on_hand=table.on_hand.where(~table.sku.isin(_blank(shop))))


def sold_out(shop: Store) -> set[str]:
    blank = _.sku.isin(_blank(shop))
    days = shop.sku_days.mutate(on_hand=blank.ifelse(ibis.null("int64"), _.on_hand))
    unsafe = unsafe_items(days, as_of=shop.as_of)
    gone = set(unsafe.sku[unsafe.reason == "out of stock"]) & set(shelf(shop).sku)
    if not gone:
        raise NotApplicable("training.no_best_seller_sold_out")
    return gone


def _blank_too(shop: Store) -> set[str]:
    return set(shelf(shop).sku[shelf(shop).on_hand.fillna(0) <= 0])


def _only_blank(shop: Store) -> set[str]:
    return set(shelf(shop).sku[shelf(shop).on_hand.isna()])


def _nearly_out(shop: Store) -> set[str]:
    return set(shelf(shop).sku[shelf(shop).on_hand <= FEW_UNITS])


@functools.cache
def candidates(shop: Store) -> DataFrame:
    """What might stand in the next message of one customer who consented: the products that
    customer bought in the last year and the best sellers. sku, bought_days_ago (missing:
    never bought), wait_days, on_hand, sold_in_14_days, is_unsafe.
    """
    if not (shop.has("customers.is_contactable") and shop.has("stock")):
        raise NotApplicable("training.no_own_list")
    today = Timestamp(shop.as_of)
    bought = _bought_by_one(shop)
    skus = sorted({*bought.index, *_counted(shop).sku.head(len(bought) + 4)})
    since = (today - Timedelta(days=PACE_DAYS)).date()
    days = shop.sku_days.filter(_.sku.isin(skus)).group_by("sku")
    shelf = days.aggregate(
        on_hand=_.on_hand.argmax(_.day_on, where=_.on_hand.notnull()).cast("float64"),
        units=_.units.sum(where=_.day_on > since).fill_null(0).cast("float64"),
    )
    shelf = shop.con.execute(shelf).set_index("sku").reindex(skus)
    again = replenishment(shop.sales_lines, as_of=shop.as_of)
    table = DataFrame(
        {
            "sku": skus,
            "bought_days_ago": (today - bought.reindex(skus)).dt.days.to_numpy(float),
            "wait_days": wait_days(again, skus).to_numpy(),
            "on_hand": shelf.on_hand.to_numpy(),
            "sold_in_14_days": (shelf.units / PACE_DAYS * COVER_DAYS).to_numpy(),
            "is_unsafe": np.isin(skus, list(_unsafe(shop).sku)),
        }
    )
    return frame_of("training.candidates", table.to_dict("records"))


@functools.cache
def _unsafe(shop: Store) -> DataFrame:
    return unsafe_items(
        shop.sku_days,
        as_of=shop.as_of,
        refunds=shop.booked_refunds if shop.has("refunds") else None,
        products=shop.get("products"),
    )


def _bought_by_one(shop: Store) -> Series:
    """Last day of each sku of the year, of the customer who consented and bought most of
    them lately.
    """
    may = shop.customers.filter(_.is_contactable.fill_null(False))
    lines = shop.sales_lines.filter(_.is_product & _.sku.notnull())
    since = (Timestamp(shop.as_of) - pd.DateOffset(years=1)).date()
    last = lines.filter(_.ordered_on > since).semi_join(may, "customer_id")
    last = shop.con.execute(last.group_by("customer_id", "sku").aggregate(day=_.ordered_on.max()))
    last["day"] = pd.to_datetime(last.day)
    is_young = last.day > Timestamp(shop.as_of) - Timedelta(days=ONCE_DAYS)
    counts = last[is_young].customer_id.value_counts()
    if counts.empty:
        raise NotApplicable("training.no_own_list")
    one = min(counts.index[counts == counts.max()])
    return last[last.customer_id == one].set_index("sku").day


def _listed(shop: Store, *rules: str) -> set[str]:
    """The candidates that pass these of the three rules."""
    table = candidates(shop)
    is_ripe = table.bought_days_ago.isna() | (table.bought_days_ago >= table.wait_days)
    lasts = (table.on_hand > 0) & (table.on_hand >= table.sold_in_14_days)
    passes = {"ripe": is_ripe, "lasts": lasts, "safe": ~table.is_unsafe}
    return set(table.sku[np.logical_and.reduce([passes[rule] for rule in rules])])


def _on_shelf_tonight(shop: Store) -> set[str]:
    table = candidates(shop)
    return set(table.sku[table.on_hand > 0])


def may_be_listed(shop: Store) -> set[str]:
    """Safe, in stock while the message is read, and not just bought."""
    table = candidates(shop)
    is_just_bought = table.bought_days_ago < table.wait_days
    safe = safe_skus(shop.sku_days, _unsafe(shop), as_of=shop.as_of)
    found = set(table.sku[~is_just_bought]) & safe
    if not 0 < len(found) < len(table):
        raise NotApplicable("training.no_own_list")
    return found


EXERCISES = bound(
    "recommendations",
    {
        "09.1": Answers(
            verdict,
            slips={"reads the two intervals": lambda shop: "c" if verdict(shop) == "b" else "b"},
            given=race,
        ),
        "09.2": Answers(
            pair_lift,
            slips={
                "confidence": _of_first,
                "confidence the other way": _of_second,
                "lines not baskets": _lift_of_lines,
                "support": _of_all_orders,
                "upside down": lambda shop: 1 / pair_lift(shop),
            },
            given=pair_counts,
        ),
        "09.3": Answers(
            attach_share,
            slips={
                "base is all orders": _of_all_orders,
                "pair counted twice": _counted_twice,
                "base is one of the two": _of_first,
                "base is the other": _of_second,
            },
            given=pair_counts,
        ),
        "09.4": Answers(given=dealt_orders),
        "09.5": Answers(
            sold_out,
            slips={
                "missing read as zero": _blank_too,
                "only the missing": _only_blank,
                "nearly out": _nearly_out,
            },
            given=shelf,
        ),
        "09.6": Answers(
            may_be_listed,
            slips={
                "just bought": lambda shop: _listed(shop, "lasts", "safe"),
                "stock of tonight": lambda shop: (
                    _listed(shop, "ripe", "safe") & _on_shelf_tonight(shop)
                ),
                "only the shelf": lambda shop: _listed(shop, "ripe", "lasts"),
            },
            given=candidates,
        ),
    },
)
