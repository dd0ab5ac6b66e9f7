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
from playbook.training.exercise import Exercise, NotApplicable, Said, Slip

__all__ = ["EXERCISES"]

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


EXERCISES = (
    Exercise(
        "09.1",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("Does the list beat the best sellers?"),
        prompt=Said(
            "Recall at ten of the best sellers and of the best rival list, for items that were new to the "
            "customer. `gain` is the rival's recall less the baseline's, customer by customer, with its "
            "interval. Does the rival beat the baseline?"
        ),
        solve=verdict,
        given=race,
        choices={
            "a": Said("yes: its recall is the higher one"),
            "b": Said("yes: even the low end of the gain is above zero"),
            "c": Said(
                "not shown: its recall is the higher one, but the gain's interval reaches below zero"
            ),
            "d": Said("no: its recall is not higher"),
        },
        slips=(
            Slip(
                "ignores the interval",
                lambda shop: "a",
                Said(
                    "A higher recall on these customers is not yet a better list: with other customers it might come "
                    "out the other way. Read gain_low and gain_high before you say who won."
                ),
            ),
            Slip(
                "reads the two intervals",
                lambda shop: "c" if verdict(shop) == "b" else "b",
                Said(
                    "Whether low and high of the two rows overlap does not decide it: both lists are shown to the "
                    "same customers. The gain, customer by customer, has an interval of its own. Read that one."
                ),
            ),
        ),
        hints=(
            Said("Three columns belong to the comparison, and only the rival's row has them."),
            Said("Is zero inside gain_low to gain_high?"),
        ),
        reveal=Said(
            "Where nothing is shown, best sellers stay. Where something is, an A/B test comes next: a list "
            "that foresees sales need not add any."
        ),
        terms=("personalised recommendation", "confidence interval"),
    ),
    Exercise(
        "09.2",
        level="L2",
        kind="fill",
        part="computation",
        title=Said("The lift of a pair"),
        prompt=Said('`given("09.2")` counts one pair of skus. What is its lift, on orders?'),
        solve=pair_lift,
        given=pair_counts,
        slips=(
            Slip(
                "confidence",
                lambda shop: best_pair(shop).n / best_pair(shop).n_a,
                Said(
                    "That is the confidence: of the orders with one, the share that hold the other. A best seller "
                    "has a high one beside anything. Divide by the share of all orders that hold it."
                ),
            ),
            Slip(
                "confidence the other way",
                lambda shop: best_pair(shop).n / best_pair(shop).n_b,
                Said(
                    "That is the confidence from the second to the first. Lift is the same in both directions: "
                    "divide by the share of all orders that hold the first."
                ),
            ),
            Slip(
                "lines not baskets",
                _lift_of_lines,
                Said(
                    "You counted lines. Two items go together in an order, so every count is one of orders, and an "
                    "order counts a sku once."
                ),
            ),
            Slip(
                "support",
                lambda shop: best_pair(shop).n / best_pair(shop).n_baskets,
                Said(
                    "That is the support: how common the pair is. Lift holds it against what chance would give, the "
                    "product of the two shares."
                ),
            ),
            Slip(
                "upside down",
                lambda shop: 1 / pair_lift(shop),
                Said("Upside down: a lift above one means more often together than chance."),
            ),
        ),
        hints=(
            Said(
                "If the two had nothing to do with each other, which share of orders would hold both? The product "
                "of their shares."
            ),
            Said("Each share is orders over *all* orders."),
            Said("Lift = share of both / (share of the first × share of the second)."),
        ),
        reveal=Said(
            "Ranked by lift alone, pairs bought together once or twice stand on top. The chapter ranks by the "
            "low end of the interval, and so was this one chosen."
        ),
        terms=("pair lift",),
    ),
    Exercise(
        "09.3",
        level="L2",
        kind="tweak",
        part="computation",
        title=Said("The attach share"),
        prompt=Said(
            "The cell above divides by all orders. Change the base: of the orders that hold at least one of "
            "the two skus, which share holds both?"
        ),
        solve=attach_share,
        given=pair_counts,
        slips=(
            Slip(
                "base is all orders",
                lambda shop: best_pair(shop).n / best_pair(shop).n_baskets,
                Said(
                    "All orders as the base: most of them have neither and could not attach anything. That share "
                    "falls whenever the shop sells something else."
                ),
            ),
            Slip(
                "pair counted twice",
                lambda shop: best_pair(shop).n / (best_pair(shop).n_a + best_pair(shop).n_b),
                Said(
                    "Orders with both are in both counts, so your base holds them twice. Take them off once."
                ),
            ),
            Slip(
                "base is one of the two",
                lambda shop: best_pair(shop).n / best_pair(shop).n_a,
                Said(
                    "That is the share of one sku's orders alone. The question's base holds the orders of either."
                ),
            ),
            Slip(
                "base is the other",
                lambda shop: best_pair(shop).n / best_pair(shop).n_b,
                Said(
                    "That is the share of the second sku's orders alone. The question's base holds the orders of "
                    "either."
                ),
            ),
        ),
        hints=(
            Said("How many orders hold at least one of the two?"),
            Said("Orders with the first, plus orders with the second, less orders with both."),
        ),
        reveal=Said(
            "Only the base moved, not what customers did. A share without its denominator says nothing."
        ),
        terms=("attach share", "denominator"),
    ),
    Exercise(
        "09.4",
        level="L3",
        kind="hunt",
        part="interpretation",
        title=Said("Find the leak"),
        prompt=Said(
            "A colleague's list hits far more often than the chapter's. The report says: twenty places, best "
            "sellers as the rival, orders of known customers dealt to training and test as in "
            '`given("09.4")`. What has leaked?'
        ),
        solve=lambda shop: "b",
        given=dealt_orders,
        choices={
            "a": Said("nothing leaked, twenty places hit more than ten"),
            "b": Said("the list learned from days it was then tested on, and from later ones"),
            "c": Said("the best sellers, which should not have been in the comparison"),
            "d": Said("the guests, who were left out"),
        },
        slips=(
            Slip(
                "blames k",
                lambda shop: "a",
                Said(
                    "More places do hit more, for every list alike: that makes the two figures incomparable, and "
                    "nothing leaks. Look at the months of training and test."
                ),
            ),
            Slip(
                "blames the baseline",
                lambda shop: "c",
                Said(
                    "Best sellers are the rival a list must beat. Without them any figure looks good."
                ),
            ),
            Slip(
                "blames the guests",
                lambda shop: "d",
                Said(
                    "Nobody can be recognised among guests, so no personal list can be judged on them. Leaving them "
                    "out is right."
                ),
            ),
        ),
        hints=(
            Said("What would the shop have known on the day it had to show the list?"),
            Said("Which months have orders in training, and which in the test?"),
        ),
        reveal=Said(
            "A cut in time keeps the future out: everything up to a day teaches, everything after it examines. "
            "The same holds for forecasts and customer value."
        ),
        terms=("data leakage", "backtest"),
    ),
    Exercise(
        "09.5",
        level="L4",
        kind="decide",
        part="decision",
        title=Said("What comes off the list"),
        prompt=Said(
            '`given("09.5")` holds the best sellers and their stock as last counted; a blank was not '
            "delivered with the file. Which skus do you take off the list as *out of stock*? Answer as a set."
        ),
        solve=sold_out,
        given=shelf,
        slips=(
            Slip(
                "missing read as zero",
                lambda shop: set(shelf(shop).sku[shelf(shop).on_hand.fillna(0) <= 0]),
                Said(
                    "A blank is not a zero: nobody counted, and these sell well. Taken off, they lose sales "
                    "on a file error. Leave them on and ask the warehouse."
                ),
            ),
            Slip(
                "only the missing",
                lambda shop: set(shelf(shop).sku[shelf(shop).on_hand.isna()]),
                Said(
                    "Those are the skus nobody counted. Out of stock are those somebody counted and found none of."
                ),
            ),
            Slip(
                "nearly out",
                lambda shop: set(shelf(shop).sku[shelf(shop).on_hand <= FEW_UNITS]),
                Said(
                    "Some of these can still be sold. Few units are a matter for the order list, not for this "
                    "filter."
                ),
            ),
        ),
        hints=(
            Said("Which value says that somebody counted and found nothing?"),
            Said(
                "`table[table.on_hand == 0]` compares only what is there; `.fillna(0)` would make zeros up."
            ),
        ),
        reveal=Said("Write the repair request for the blanks as well: owner, by when."),
        terms=("overstock / stock-out", "decision"),
    ),
)
