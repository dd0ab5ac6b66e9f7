"""09 Recommendations: lift, attach share, a list that must beat the best sellers, a
leak, what cannot be delivered.
"""

from __future__ import annotations

import functools
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.chapters.recommendations.pairs import item_pairs
from playbook.chapters.recommendations.recommend import leaderboard, unsafe_items
from playbook.training.exercise import Answers, NotApplicable, bound

HOLDOUT_DAYS = 90
BEST_SELLERS = 40  # skus at least on the list of the last exercise
FEW_UNITS = 5


@functools.cache
def race(shop: Any) -> pd.DataFrame:
    """The chapter's leaderboard for new items, two rows: the plain baseline and its
    best rival. model, recall, low, high, and for the rival gain, gain_low, gain_high
    (customer by customer), customers.
    """
    board = leaderboard(shop.sales_lines, as_of=shop.as_of, holdout_days=HOLDOUT_DAYS)
    if not (board.winner["items"] == "new").any():
        raise NotApplicable("Nobody bought an item new to them in the last ninety days.")
    names = board.winner.set_index("items").loc["new", ["baseline", "rival"]]
    rows = board.table[board.table["items"] == "new"].set_index("model").loc[names].reset_index()
    rows.loc[0, ["gain", "gain_low", "gain_high"]] = np.nan
    return rows.rename(columns={"recall_k": "recall", "n_customers": "customers"})[
        ["model", "recall", "low", "high", "gain", "gain_low", "gain_high", "customers"]
    ]


def verdict(shop: Any) -> str:
    rival = race(shop).iloc[1]
    if rival.gain <= 0:
        return "d"
    return "b" if rival.gain_low > 0 else "c"


@functools.cache
def best_pair(shop: Any) -> pd.Series:
    """The pair that surely belongs together most: the row of `item_pairs` with the
    highest lower end of lift.
    """
    pairs = item_pairs(shop.sales_lines, as_of=shop.as_of)
    if pairs.empty:
        raise NotApplicable("No pair of skus stands in twenty orders.")
    return pairs.sort_values(["lift_low", "a", "b"], ascending=[False, True, True]).iloc[0]


@functools.cache
def pair_counts(shop: Any) -> pd.DataFrame:
    """What was counted for that pair: counted, orders that hold it, lines (missing for
    the pair).
    """
    pair = best_pair(shop)
    lines = shop.sales_lines.filter(_.is_product & _.sku.notnull())
    n = shop.con.execute(
        lines.aggregate(a=(_.sku == pair.a).sum(), b=(_.sku == pair.b).sum(), every=_.count())
    ).iloc[0]
    return pd.DataFrame(
        {
            "counted": [pair.a, pair.b, "both", "all"],
            "orders": [pair.n_a, pair.n_b, pair.n, pair.n_baskets],
            "lines": [n.a, n.b, np.nan, n.every],
        }
    )


def pair_lift(shop: Any) -> float:
    pair = best_pair(shop)
    confidence = pair.n / pair.n_a
    return confidence / (pair.n_b / pair.n_baskets)


def _lift_of_lines(shop: Any) -> float:
    a, b, both, every = pair_counts(shop).lines.fillna(best_pair(shop).n)
    return both * every / (a * b)


def attach_share(shop: Any) -> float:
    pair = best_pair(shop)
    return pair.n / (pair.n_a + pair.n_b - pair.n)


@functools.cache
def dealt_orders(shop: Any) -> pd.DataFrame:
    """How a colleague dealt the orders, by chance, as many to the test as the last
    ninety days hold: month, training, test (orders of known customers).
    """
    orders = (
        shop.sales_orders.filter(_.customer_id.notnull())
        .select("order_id", "ordered_on")
        .order_by("order_id")
    )
    orders = shop.con.execute(orders)
    day = pd.to_datetime(orders.ordered_on)
    is_late = day > pd.Timestamp(shop.as_of) - pd.Timedelta(days=HOLDOUT_DAYS)
    if not is_late.any() or is_late.all():
        raise NotApplicable(
            "Known customers did not buy both before and during the last ninety days."
        )
    is_test = np.random.default_rng(0).permutation(is_late.to_numpy())
    table = pd.crosstab(day.dt.strftime("%Y-%m"), np.where(is_test, "test", "training"))
    return table[["training", "test"]].rename_axis(index="month", columns=None).reset_index()


@functools.cache
def _blank(shop: Any) -> list[str]:
    """Three best sellers in stock whose stock the exercise leaves out, as a warehouse
    that did not report.
    """
    there = _counted(shop)
    there = there[there.on_hand > FEW_UNITS].sku.sort_values().to_list()
    return [there[len(there) * part // 4] for part in (1, 2, 3)] if len(there) > 3 else []


@functools.cache
def _counted(shop: Any) -> pd.DataFrame:
    if not shop.has("stock"):
        raise NotApplicable("This shop keeps no stock records.")
    since = (pd.Timestamp(shop.as_of) - pd.Timedelta(days=HOLDOUT_DAYS)).date()
    days = shop.sku_days.group_by("sku").aggregate(
        units_sold=_.units.sum(where=_.day_on > since).fill_null(0).cast("float64"),
        on_hand=_.on_hand.argmax(_.day_on, where=_.on_hand.notnull()).cast("float64"),
    )
    found = shop.con.execute(days.order_by(ibis.desc("units_sold"), "sku"))
    sold_out_at = np.flatnonzero(found.on_hand == 0)[:3]
    return found.head(max([BEST_SELLERS, *(sold_out_at + 1)]))


@functools.cache
def shelf(shop: Any) -> pd.DataFrame:
    """The best sellers of the last ninety days, down to the third that is sold out, as
    the stock file shows them: sku, units_sold, on_hand. The stock of three skus did not
    arrive and is missing.
    """
    table = _counted(shop)
    return table.assign(on_hand=table.on_hand.where(~table.sku.isin(_blank(shop))))


def sold_out(shop: Any) -> set[str]:
    blank = _.sku.isin(_blank(shop))
    days = shop.sku_days.mutate(on_hand=blank.ifelse(ibis.null("int64"), _.on_hand))
    unsafe = unsafe_items(days, as_of=shop.as_of)
    gone = set(unsafe.sku[unsafe.reason == "out of stock"]) & set(shelf(shop).sku)
    if not gone:
        raise NotApplicable("None of the best sellers is sold out.")
    return gone


EXERCISES = bound(
    "recommendations",
    {
        "09.1": Answers(
            verdict,
            slips={
                "reads the two intervals": lambda shop: "c" if verdict(shop) == "b" else "b",
            },
            given=race,
        ),
        "09.2": Answers(
            pair_lift,
            slips={
                "confidence": lambda shop: best_pair(shop).n / best_pair(shop).n_a,
                "confidence the other way": lambda shop: best_pair(shop).n / best_pair(shop).n_b,
                "lines not baskets": _lift_of_lines,
                "support": lambda shop: best_pair(shop).n / best_pair(shop).n_baskets,
                "upside down": lambda shop: 1 / pair_lift(shop),
            },
            given=pair_counts,
        ),
        "09.3": Answers(
            attach_share,
            slips={
                "base is all orders": lambda shop: best_pair(shop).n / best_pair(shop).n_baskets,
                "pair counted twice": lambda shop: (
                    best_pair(shop).n / (best_pair(shop).n_a + best_pair(shop).n_b)
                ),
                "base is one of the two": lambda shop: best_pair(shop).n / best_pair(shop).n_a,
                "base is the other": lambda shop: best_pair(shop).n / best_pair(shop).n_b,
            },
            given=pair_counts,
        ),
        "09.4": Answers(given=dealt_orders),
        "09.5": Answers(
            sold_out,
            slips={
                "missing read as zero": lambda shop: set(
                    shelf(shop).sku[shelf(shop).on_hand.fillna(0) <= 0]
                ),
                "only the missing": lambda shop: set(shelf(shop).sku[shelf(shop).on_hand.isna()]),
                "nearly out": lambda shop: set(shelf(shop).sku[shelf(shop).on_hand <= FEW_UNITS]),
            },
            given=shelf,
        ),
    },
)
