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
from playbook.training.exercise import Answers, NotApplicable, Pattern, bound

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


EXERCISES = bound(
    "segmentation",
    {
        "06.1": Answers(
            largest_margin,
            slips={
                "most customers": lambda shop: _first(shop, "customers"),
                "revenue": lambda shop: _first(shop, "revenue"),
            },
            given=segment_costs,
        ),
        "06.2": Answers(
            points_owed,
            slips={
                "all points ever issued": lambda shop: (
                    _points(shop).earned
                    * _points(shop).point_value
                    * (1 - _points(shop).breakage_share)
                ),
                "breakage added": lambda shop: (
                    _points(shop).liability_no_breakage * (1 + _points(shop).breakage_share)
                ),
                "breakage ignored": lambda shop: _points(shop).liability_no_breakage,
            },
            given=points_account,
        ),
        "06.3": Answers(
            top_fifth,
            slips={
                "of orders": lambda shop: _top20(orders_of_a_year(shop)),
                "guests": Pattern(
                    lambda shop: _with_guests(shop, True),
                    lambda shop, answer: any(
                        same(_with_guests(shop, as_one), answer) for as_one in (True, False)
                    ),
                ),
            },
            given=orders_of_a_year,
        ),
        "06.4": Answers(
            fell_asleep,
            slips={
                "net change": lambda shop: int(
                    _asleep(shop, "segment_now").sum() - _asleep(shop, "segment_then").sum()
                ),
                "net loss of the segment": _net_of_value,
                "new customers included": lambda shop: int(
                    (
                        _asleep(shop, "segment_now")
                        & (
                            two_lists(shop).segment_then.isna()
                            | (two_lists(shop).segment_then == VALUE)
                        )
                    ).sum()
                ),
                "all who sleep now": lambda shop: int(_asleep(shop, "segment_now").sum()),
            },
            given=two_lists,
        ),
        "06.5": Answers(
            size_of_test,
            slips={
                "absolute for relative": Pattern(
                    _absolute,
                    lambda shop, answer: (
                        same(_absolute(shop), answer) or same(_absolute(shop) / 2, answer)
                    ),
                ),
                "one arm only": lambda shop: size_of_test(shop) / 2,
            },
            given=campaign,
        ),
    },
)
