"""06 Segmentation: margin not heads, points still owed, the best fifth of customers,
who fell asleep, a test's size.
"""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd
from ibis import _

from playbook.chapters.segmentation.membership import points
from playbook.chapters.segmentation.segments import (
    SEGMENTS,
    RfmResult,
    lorenz,
    migration,
    rfm,
    segment_actions,
    segment_returns,
)
from playbook.measures.customer_windows import purchase_history
from playbook.methods.experiment import sample_size
from playbook.training.compare import same
from playbook.training.exercise import Exercise, NotApplicable, Said, Slip

__all__ = ["EXERCISES"]

COST_SHARE = 0.5  # made up: what most segments' goods cost, share of revenue
LIFT = 0.10  # relative effect the letter should have
MONTHS = 12  # between the two days compared
VALUE = "important value"
ASLEEP = ("important keep", "important win back")
LETTERS = dict(zip("abcdefgh", SEGMENTS.itertuples(index=False), strict=True))


def _basis(shop: Any) -> str:
    return "revenue" if shop.margin_basis == "revenue" else "margin"


@functools.cache
def segment_costs(shop: Any) -> pd.DataFrame:
    """Segments, most revenue first: segment, customers, revenue (this shop's own) and
    cost_share (made up: the segment with most revenue bought at a deep discount).
    """
    own = rfm(shop.customer_days, as_of=shop.as_of, basis=_basis(shop)).customers[
        ["customer_id", "segment"]
    ]
    own = own.merge(
        purchase_history(shop.customer_days, as_of=shop.as_of), on="customer_id"
    )  # amount is revenue here
    table = own.groupby("segment", as_index=False).agg(
        customers=("customer_id", "size"), revenue=("amount", "sum")
    )
    table = table.sort_values(
        ["revenue", "segment"], ascending=[False, True], ignore_index=True
    ).round(2)
    if len(table) < 3 or not table.revenue.iloc[1] > 0:
        raise NotApplicable("Fewer than three segments have revenue.")
    first, second = table.revenue.iloc[:2]
    deep = round(1 - 0.9 * (1 - COST_SHARE) * second / first, 2)
    return table.assign(cost_share=[deep] + [COST_SHARE] * (len(table) - 1))


def _letter(segment: str) -> str:
    return next(letter for letter, names in LETTERS.items() if names.segment == segment)


def _first(shop: Any, by: str) -> str:
    table = segment_costs(shop)
    return _letter(table.segment[table[by].idxmax()])


def largest_margin(shop: Any) -> str:
    table = segment_costs(shop).assign(margin=lambda t: t.revenue * (1 - t.cost_share))
    return _letter(table.segment[table.margin.idxmax()])


def _point_value(shop: Any) -> float:
    tiers = shop.get("tiers")
    if tiers is None:
        return 0.01
    value = (
        tiers.filter(_.from_on.cast("date") <= shop.as_of)
        .point_value.max()
        .cast("float64")
        .to_pandas()
    )
    return float(value) if value == value and value is not None else 0.01


@functools.cache
def _points(shop: Any) -> pd.Series:
    found = points(shop.memberships, as_of=shop.as_of, point_value=_point_value(shop)).iloc[0]
    if not found.liability > 0:
        raise NotApplicable("Nothing is owed in points.")
    return found


@functools.cache
def points_account(shop: Any) -> pd.DataFrame:
    """The points of all members up to as-of: item, amount. `adjusted` carries its sign;
    breakage is the share of points that had their time and were never spent.
    """
    found = _points(shop)
    items = {name: found[name] for name in ("earned", "spent", "expired", "adjusted")}
    items |= {"value of a point": found.point_value, "breakage share": found.breakage_share}
    return pd.DataFrame(
        {"item": items.keys(), "amount": [float(value) for value in items.values()]}
    )


def points_owed(shop: Any) -> float:
    account = points_account(shop).set_index("item").amount
    outstanding = account["earned"] - account["spent"] - account["expired"] + account["adjusted"]
    return outstanding * account["value of a point"] * (1 - account["breakage share"])


@functools.cache
def orders_of_a_year(shop: Any) -> pd.DataFrame:
    """One row per order of the last twelve months: order_id, customer_id (missing for a
    guest), amount (the order's margin; its revenue where the shop knows no costs).
    """
    first = (pd.Timestamp(shop.as_of) - pd.DateOffset(months=12)).date()
    rows = shop.sales_orders.filter(_.ordered_on > first)
    rows = rows.select(
        "order_id", "customer_id", amount=rows[_basis(shop)].cast("float64")
    ).order_by("order_id")
    return shop.con.execute(rows)


def top_fifth(shop: Any) -> float:
    known = orders_of_a_year(shop).dropna(subset="customer_id")
    held = known.groupby("customer_id", as_index=False).amount.sum()
    return lorenz(
        held
    ).top20_share.max()  # the same in every row; missing where there is no margin to share out


def _top20(held: pd.DataFrame) -> float:
    return float(lorenz(held).top20_share.max())


def _with_guests(shop: Any, as_one: bool) -> float:
    orders = orders_of_a_year(shop)
    who = orders.customer_id.fillna("guest" if as_one else "guest " + orders.order_id.astype(str))
    return _top20(orders.groupby(who, as_index=False).amount.sum())


@functools.cache
def then_and_now(shop: Any) -> tuple[RfmResult, RfmResult]:
    """The chapter's segments a year before the end of the month, and at its end."""
    end = (pd.Timestamp(shop.as_of).to_period("M") - MONTHS).to_timestamp("M").date()
    return tuple(
        rfm(shop.customer_days, as_of=day, basis=_basis(shop)) for day in (end, shop.as_of)
    )


@functools.cache
def two_lists(shop: Any) -> pd.DataFrame:
    """One row per customer: customer_id, segment_then (a year before; missing for
    whoever was won since), segment_now.
    """
    then, now = (result.customers[["customer_id", "segment"]] for result in then_and_now(shop))
    return then.merge(now, on="customer_id", how="right", suffixes=("_then", "_now")).sort_values(
        "customer_id", ignore_index=True
    )


def fell_asleep(shop: Any) -> int:
    moves = migration(*then_and_now(shop))
    asleep = moves.to_segment.isin(["important keep", "important win back"])
    return int(moves[(moves.from_segment == "important value") & asleep].n_customers.sum())


def _asleep(shop: Any, column: str) -> pd.Series:
    return two_lists(shop)[column].isin(ASLEEP)


def _net_of_value(shop: Any) -> int:
    lists = two_lists(shop)
    return int((lists.segment_then == VALUE).sum() - (lists.segment_now == VALUE).sum())


@functools.cache
def campaign(shop: Any) -> pd.DataFrame:
    """The segment with most money at stake next quarter, one row: segment, action,
    n_customers, buyer_share (who buy in a quarter without a letter), expected.
    """
    now = then_and_now(shop)[1]
    returns = segment_returns(shop.customer_days, as_of=shop.as_of, basis=_basis(shop))
    table = segment_actions(now, returns, lift=LIFT).dropna(subset=["expected"])
    table = table[table.buyer_share.between(0.01, 0.85)]
    if table.empty:
        raise NotApplicable("No segment has a quarter behind it to learn from.")
    row = table.sort_values(["expected", "segment"], ascending=[False, True]).head(1)
    return row[["segment", "action", "n_customers", "buyer_share", "expected"]].reset_index(
        drop=True
    )


def size_of_test(shop: Any) -> float:
    share = campaign(shop).buyer_share.iloc[0]
    return float(sample_size(share, LIFT).n_total.iloc[0])


def _absolute(shop: Any) -> float:
    share = campaign(shop).buyer_share.iloc[0]
    return float(sample_size(share, LIFT / share).n_total.iloc[0])


EXERCISES = (
    Exercise(
        "06.1",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("Which segment earns most?"),
        prompt=Said(
            '`given("06.1")` shows the shop\'s own segments; the column `cost_share` is made up. Before you '
            "compute anything: which segment has the largest margin?"
        ),
        solve=largest_margin,
        given=segment_costs,
        choices={
            letter: Said(f"{names.segment} ({names.segment_cn})")
            for letter, names in LETTERS.items()
        },
        slips=(
            Slip(
                "most customers",
                lambda shop: _first(shop, "customers"),
                Said(
                    "That is the largest crowd. Most of them bought once, long ago; heads are not money."
                ),
            ),
            Slip(
                "revenue",
                lambda shop: _first(shop, "revenue"),
                Said(
                    "That one has most revenue. Look at what its goods cost: little of that revenue is left."
                ),
            ),
        ),
        hints=(
            Said("Margin is what is left of revenue once the goods are paid."),
            Said("For each row: revenue × (1 − cost_share)."),
        ),
        reveal=Said(
            "Heads, revenue and margin name three different segments as soon as one of them buys at a "
            "discount. The chapter ranks by margin."
        ),
        terms=("contribution margin", "user tiering, segmentation"),
    ),
    Exercise(
        "06.2",
        level="L2",
        kind="fill",
        part="computation",
        title=Said("What we owe in points"),
        prompt=Said(
            '`given("06.2")` is the account of all points up to the last day of the month. What do we owe '
            "in money, once breakage is taken into account?"
        ),
        solve=points_owed,
        given=points_account,
        slips=(
            Slip(
                "all points ever issued",
                lambda shop: (
                    _points(shop).earned
                    * _points(shop).point_value
                    * (1 - _points(shop).breakage_share)
                ),
                Said(
                    "Those are all points ever issued. Spent and expired ones are gone: only what is still on the "
                    "members' accounts can be owed."
                ),
            ),
            Slip(
                "breakage added",
                lambda shop: (
                    _points(shop).liability_no_breakage * (1 + _points(shop).breakage_share)
                ),
                Said(
                    "Breakage was put on top. It is the share that will *never* be spent, so it lowers what is "
                    "owed."
                ),
            ),
            Slip(
                "breakage ignored",
                lambda shop: _points(shop).liability_no_breakage,
                Said(
                    "That is the amount if every point were spent: the upper end. Some points will never be."
                ),
            ),
        ),
        hints=(
            Said("How many points are still on the accounts?"),
            Said("Outstanding = earned − spent − expired + adjusted."),
            Said("Owed = outstanding × value of a point × (1 − breakage share)."),
        ),
        reveal=Said(
            "Finance sets this amount aside. Breakage has to come from points whose time has run out, not from "
            "a rule of thumb: without such history the full amount is owed."
        ),
        terms=("breakage", "points scheme"),
    ),
    Exercise(
        "06.3",
        level="L2",
        kind="tweak",
        part="computation",
        title=Said("The best fifth"),
        prompt=Said(
            "The cell above takes the best fifth of *orders*. Change it to *customers*: which share of the "
            "margin of known customers is held by the best fifth of them? Guests have no customer_id and are "
            "not part of it."
        ),
        solve=top_fifth,
        given=orders_of_a_year,
        slips=(
            Slip(
                "of orders",
                lambda shop: _top20(orders_of_a_year(shop)),
                Said(
                    "That is the best fifth of orders. Somebody with ten middling orders is a top customer and is "
                    "nowhere in it."
                ),
            ),
            Slip(
                "guests",
                lambda shop: _with_guests(shop, True),
                Said(
                    "Guests are in it. Put together they are one giant customer who is nobody; one by one they are "
                    "people nobody can count. Leave rows without an id out before grouping."
                ),
                lambda shop, answer: any(
                    same(_with_guests(shop, as_one), answer) for as_one in (True, False)
                ),
            ),
        ),
        hints=(
            Said("First one row per customer: group by `customer_id` instead of `order_id`."),
            Said("`groupby` leaves out missing ids, unless `dropna=False` is written."),
            Said(
                "`lorenz(held).top20_share.max()` on the grouped table: the figure is the same in every row."
            ),
        ),
        reveal=Said(
            "The best fifth holds a good part of the margin, and never all of it: the list to look after is "
            "longer than the list of big orders."
        ),
        terms=("denominator", "contribution margin"),
    ),
    Exercise(
        "06.4",
        level="L3",
        kind="hunt",
        part="interpretation",
        title=Said("Who fell asleep?"),
        prompt=Said(
            "How many customers moved within the year from `important value` (重要价值) to one of the "
            "two segments not seen for long, `important keep` (重要保持) or `important win back` (重要挽留)? "
            "The cell above answers another question."
        ),
        solve=fell_asleep,
        given=two_lists,
        slips=(
            Slip(
                "net change",
                lambda shop: int(
                    _asleep(shop, "segment_now").sum() - _asleep(shop, "segment_then").sum()
                ),
                Said(
                    "That is a difference of two head counts. Whoever was woken in the meantime hides one who fell "
                    "asleep: count people, one by one, from one list to the other."
                ),
            ),
            Slip(
                "net loss of the segment",
                _net_of_value,
                Said(
                    "That is by how much `important value` shrank or grew. New arrivals cover up those who left."
                ),
            ),
            Slip(
                "new customers included",
                lambda shop: int(
                    (
                        _asleep(shop, "segment_now")
                        & (
                            two_lists(shop).segment_then.isna()
                            | (two_lists(shop).segment_then == VALUE)
                        )
                    ).sum()
                ),
                Said(
                    "Customers won since then are among them. They were in no segment a year ago, so they moved "
                    "from nowhere; another team has to hear about them."
                ),
            ),
            Slip(
                "all who sleep now",
                lambda shop: int(_asleep(shop, "segment_now").sum()),
                Said(
                    "Those are all who sleep now, wherever they came from. Most were asleep already."
                ),
            ),
        ),
        hints=(
            Said("Both conditions must hold for the same row: a segment then *and* a segment now."),
            Said('`(lists.segment_then == "important value") & lists.segment_now.isin([...])`'),
        ),
        reveal=Said(
            "In `important value` as many can arrive as leave: the net change looks calm while the best "
            "customers go. They keep their many purchases, so most of them land in `important keep`."
        ),
        terms=("win-back of dormant users", "user tiering, segmentation"),
    ),
    Exercise(
        "06.5",
        level="L4",
        kind="decide",
        part="decision",
        title=Said("How large must the test be?"),
        prompt=Said(
            '`given("06.5")` is the segment with most money at stake. A letter is to raise its `buyer_share` '
            "by 10 %, and a hold-out is to show it (two-sided 5 %, power 80 %). How many customers does the "
            "test need *in all*, written to and held out?"
        ),
        solve=size_of_test,
        given=campaign,
        slips=(
            Slip(
                "absolute for relative",
                _absolute,
                Said(
                    "That is a rise by ten *points*. Ten per cent of the share is a much smaller step, and takes far "
                    "more customers to see."
                ),
                lambda shop, answer: (
                    same(_absolute(shop), answer) or same(_absolute(shop) / 2, answer)
                ),
            ),
            Slip(
                "one arm only",
                lambda shop: size_of_test(shop) / 2,
                Said(
                    "That is one arm. An effect is a difference between two groups, and both have to be that "
                    "large."
                ),
            ),
        ),
        hints=(
            Said("What is the share with the letter, if it works? The present one times 1.10."),
            Said("`sample_size(share, 0.10)`: `n_per_arm` is the size of *one* arm."),
            Said("Two arms of the same size."),
        ),
        reveal=Said(
            "Hold it against `n_customers`. Where the segment is smaller, this effect cannot be shown on it in "
            "one go: half is held out, and the chapter's `detectable_lift` says what can be."
        ),
        terms=("hold-out", "incrementality"),
    ),
    Exercise(
        "06.6",
        level="L4",
        kind="thought",
        part="communication",
        title=Said("To the CRM manager"),
        prompt=Said(
            "Write the message that goes out with one list of this month: which segment, what it gets, how "
            "many are written to and held out, what it may bring, when it is judged and what would stop it."
        ),
        solve=None,
        hints=(Said("Take one row of the chapter's decision table and say it in sentences."),),
        reveal=Said(
            "One segment by name with its size; one action; treated and held out as numbers; the effect as a "
            "range and against the hold-out, not against last quarter; an owner and a day; and the sentence "
            "*if treated and held out do not differ by then, we stop*. No customer is named in it."
        ),
        terms=("decision",),
    ),
)
