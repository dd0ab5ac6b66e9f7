"""06 Segmentation: margin not heads, points still owed, the best fifth of customers,
who fell asleep, a test's size.
"""

from __future__ import annotations

import functools

import pandas as pd
from ibis import _
from pandas import DataFrame, Series, Timestamp

from playbook.chapters.segmentation.benefits import benefit_members, with_points
from playbook.chapters.segmentation.membership import points
from playbook.chapters.segmentation.point_rules import point_cohorts, point_lots
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
from playbook.store import Store
from playbook.training.exercise import Answers, NotApplicable, bound, either

#: made up: what most segments' goods cost, share of revenue
COST_SHARE = 0.5
#: relative effect the letter should have
LIFT = 0.10
#: between the two days compared
MONTHS = 12
POINT_VALUE = 0.01
VALUE = "important value"
ASLEEP = ("important keep", "important win back")
LETTERS = dict(zip(SEGMENTS.segment, "abcdefgh", strict=True))


def _rfm(shop: Store, day: object) -> RfmResult:
    return rfm(shop.customer_days, as_of=day, basis=_basis(shop))


def _basis(shop: Store) -> str:
    return "revenue" if shop.margin_basis == "revenue" else "margin"


@functools.cache
def segment_costs(shop: Store) -> DataFrame:
    """Segments, most revenue first: segment, customers, revenue (this shop's own) and
    cost_share (made up: the segment with most revenue bought at a deep discount).
    """
    segments = _rfm(shop, shop.as_of).customers[["customer_id", "segment"]]
    revenue = purchase_history(shop.customer_days, as_of=shop.as_of)
    by_segment = segments.merge(revenue, on="customer_id").groupby("segment", as_index=False)
    table = by_segment.agg(customers=("customer_id", "size"), revenue=("amount", "sum"))
    table = table.sort_values(["revenue", "segment"], ascending=[False, True]).round(2)
    if len(table) < 3 or not table.revenue.iloc[1] > 0:
        raise NotApplicable("training.few_segments")
    first, second = table.revenue.iloc[:2]
    deep = round(1 - 0.9 * (1 - COST_SHARE) * second / first, 2)
    cost_share = [deep] + [COST_SHARE] * (len(table) - 1)
    return table.assign(cost_share=cost_share).reset_index(drop=True)


def _first(shop: Store, by: str) -> str:
    table = segment_costs(shop)
    return LETTERS[table.segment[table[by].idxmax()]]


def largest_margin(shop: Store) -> str:
    table = segment_costs(shop)
    margin = table.revenue * (1 - table.cost_share)
    return LETTERS[table.segment[margin.idxmax()]]


def _point_value(shop: Store) -> float:
    tiers = shop.get("tiers")
    if tiers is None:
        return POINT_VALUE
    known = tiers.filter(_.from_on.cast("date") <= shop.as_of)
    value = known.point_value.max().cast("float64").to_pandas()
    return POINT_VALUE if pd.isna(value) else float(value)


@functools.cache
def _points(shop: Store) -> Series:
    account = points(shop.memberships, as_of=shop.as_of, point_value=_point_value(shop)).iloc[0]
    if not account.liability > 0:
        raise NotApplicable("training.no_points_owed")
    return account


@functools.cache
def points_account(shop: Store) -> DataFrame:
    """The points of all members up to as-of: item, amount. `adjusted` carries its sign;
    breakage is the share of points that had their time and were never spent.
    """
    columns = ["earned", "spent", "expired", "adjusted", "point_value", "breakage_share"]
    names = {"point_value": "value of a point", "breakage_share": "breakage share"}
    amounts = _points(shop)[columns].rename(names).astype(float)
    return amounts.rename_axis("item").rename("amount").reset_index()


def points_owed(shop: Store) -> float:
    account = points_account(shop).set_index("item").amount
    outstanding = account["earned"] - account["spent"] - account["expired"] + account["adjusted"]
    return outstanding * account["value of a point"] * (1 - account["breakage share"])


def _all_ever_issued(shop: Store) -> float:
    account = _points(shop)
    return account.earned * account.point_value * (1 - account.breakage_share)


def _breakage_added(shop: Store) -> float:
    account = _points(shop)
    return account.liability_no_breakage * (1 + account.breakage_share)


@functools.cache
def orders_of_a_year(shop: Store) -> DataFrame:
    """One row per order of the last twelve months: order_id, customer_id (missing for a
    guest), amount (the order's margin; its revenue where the shop knows no costs).
    """
    first = (Timestamp(shop.as_of) - pd.DateOffset(months=MONTHS)).date()
    rows = shop.sales_orders.filter(_.ordered_on > first)
    amount = rows[_basis(shop)].cast("float64")
    return shop.con.execute(
        rows.select("order_id", "customer_id", amount=amount).order_by("order_id")
    )


def top_fifth(shop: Store) -> float:
    known = orders_of_a_year(shop).dropna(subset="customer_id")
    held = known.groupby("customer_id", as_index=False).amount.sum()
    # the same in every row; missing where there is no margin to share out
    return lorenz(held).top20_share.max()


def _of_orders(shop: Store) -> float:
    return float(lorenz(orders_of_a_year(shop)).top20_share.max())


def _with_guests(shop: Store, guest: str | Series = "guest") -> float:
    who = orders_of_a_year(shop).customer_id.fillna(guest)
    held = orders_of_a_year(shop).groupby(who, as_index=False).amount.sum()
    return float(lorenz(held).top20_share.max())


def _with_each_guest(shop: Store) -> float:
    return _with_guests(shop, "guest " + orders_of_a_year(shop).order_id.astype(str))


@functools.cache
def then_and_now(shop: Store) -> tuple[RfmResult, RfmResult]:
    """The chapter's segments a year before the end of the month, and at its end."""
    before = Timestamp(shop.as_of).to_period("M") - MONTHS
    return _rfm(shop, before.to_timestamp("M").date()), _rfm(shop, shop.as_of)


@functools.cache
def two_lists(shop: Store) -> DataFrame:
    """One row per customer: customer_id, segment_then (a year before; missing for
    whoever was won since), segment_now.
    """
    then, now = (result.customers[["customer_id", "segment"]] for result in then_and_now(shop))
    lists = then.merge(now, on="customer_id", how="right", suffixes=("_then", "_now"))
    return lists.sort_values("customer_id", ignore_index=True)


def fell_asleep(shop: Store) -> int:
    moves = migration(*then_and_now(shop))
    asleep = moves.to_segment.isin(["important keep", "important win back"])
    return int(moves[(moves.from_segment == "important value") & asleep].n_customers.sum())


def _asleep_now(shop: Store) -> int:
    return int(two_lists(shop).segment_now.isin(ASLEEP).sum())


def _net_change(shop: Store) -> int:
    return _asleep_now(shop) - int(two_lists(shop).segment_then.isin(ASLEEP).sum())


def _net_of_value(shop: Store) -> int:
    lists = two_lists(shop)
    return int((lists.segment_then == VALUE).sum() - (lists.segment_now == VALUE).sum())


def _new_ones_too(shop: Store) -> int:
    lists = two_lists(shop)
    was_value_or_new = lists.segment_then.isna() | (lists.segment_then == VALUE)
    return int((lists.segment_now.isin(ASLEEP) & was_value_or_new).sum())


@functools.cache
def campaign(shop: Store) -> DataFrame:
    """The segment with most money at stake next quarter, one row: segment, action,
    n_customers, buyer_share (who buy in a quarter without a letter), expected.
    """
    now = then_and_now(shop)[1]
    returns = segment_returns(shop.customer_days, as_of=shop.as_of, basis=_basis(shop))
    table = segment_actions(now, returns, lift=LIFT).dropna(subset=["expected"])
    table = table[table.buyer_share.between(0.01, 0.85)]
    if table.empty:
        raise NotApplicable("training.no_quarter_behind")
    table = table.sort_values(["expected", "segment"], ascending=[False, True], ignore_index=True)
    return table[["segment", "action", "n_customers", "buyer_share", "expected"]].head(1)


def size_of_test(shop: Store) -> float:
    share = campaign(shop).buyer_share.iloc[0]
    return float(sample_size(share, LIFT).n_total.iloc[0])


def _absolute(shop: Store) -> float:
    share = campaign(shop).buyer_share.iloc[0]
    return float(sample_size(share, LIFT / share).n_total.iloc[0])


@functools.cache
def dearest_benefit(shop: Store) -> DataFrame:
    """The benefit with the largest cost from which some members are held out, one row per arm:
    benefit, arm, members, member_years, margin, cost (outside the margin of orders).
    """
    if not (shop.has("benefits") and shop.has("benefit_uses")) or _basis(shop) == "revenue":
        raise NotApplicable("training.no_benefit")
    have, used = with_points(shop.benefits, shop.benefit_uses, None, point_value=0.0)
    members = benefit_members(have, used, shop.customer_days, as_of=shop.as_of)
    arms = members.filter(_.arm != "").group_by("benefit", "arm")
    table = (
        arms.aggregate(
            members=_.count(),
            member_years=_.days.sum() / 365,
            margin=_.money.sum().cast("float64"),
            cost=_.outside.sum().cast("float64"),
        )
        .order_by("benefit", "arm")
        .to_pandas()
    )
    both = table[table.groupby("benefit").arm.transform("size") == 2]
    both = both[both.groupby("benefit").members.transform("min") > 1]
    if both.empty or not both.cost.max() > 0:
        raise NotApplicable("training.no_benefit")
    mine = both[both.benefit == both.benefit[both.cost.idxmax()]]
    return mine.round(2).reset_index(drop=True)


def _left(shop: Store, money: str, by: str = "member_years") -> float:
    arms = dearest_benefit(shop).set_index("arm")
    rate = arms.eval(money) / arms[by]
    return float(rate["treated"] - rate["holdout"])


def left_by_benefit(shop: Store) -> float:
    """What members with the benefit leave more than those held out, per member and year, its cost
    taken off.
    """
    return _left(shop, "margin - cost")


@functools.cache
def points_by_quarter(shop: Store) -> DataFrame:
    """Points by the quarter in which they were earned: quarter, earned, used, run_out, open."""
    if not shop.has("memberships"):
        raise NotApplicable("training.no_points_run_out")
    lots = point_lots(shop.memberships, as_of=shop.as_of)
    table = point_cohorts(lots, point_value=_point_value(shop))
    if not (table.status == "complete").any() or not (table.status == "immature").any():
        raise NotApplicable("training.no_points_run_out")
    shares = {"used": "used_share", "run_out": "lapsed_share", "open": "open_share"}
    counts = {name: (table[c] * table.earned).round().astype(int) for name, c in shares.items()}
    return table[["quarter", "earned"]].assign(**counts)


def breakage_seen(shop: Store) -> float:
    """The share of points never used, of the quarters whose time has run out."""
    over = points_by_quarter(shop).query("open == 0")
    return float(over.run_out.sum() / over.earned.sum())


def _all_quarters(shop: Store) -> float:
    table = points_by_quarter(shop)
    return float(table.run_out.sum() / table.earned.sum())


def _open_too(shop: Store) -> float:
    table = points_by_quarter(shop)
    return float((table.run_out + table.open).sum() / table.earned.sum())


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
                "all points ever issued": _all_ever_issued,
                "breakage added": _breakage_added,
                "breakage ignored": lambda shop: _points(shop).liability_no_breakage,
            },
            given=points_account,
            figures={"points_liability": points_owed},
        ),
        "06.3": Answers(
            top_fifth,
            slips={
                "of orders": _of_orders,
                "guests": either(_with_guests, _with_each_guest),
            },
            given=orders_of_a_year,
        ),
        "06.4": Answers(
            fell_asleep,
            slips={
                "net change": _net_change,
                "net loss of the segment": _net_of_value,
                "new customers included": _new_ones_too,
                "all who sleep now": _asleep_now,
            },
            given=two_lists,
        ),
        "06.5": Answers(
            size_of_test,
            slips={
                "absolute for relative": either(_absolute, lambda shop: _absolute(shop) / 2),
                "one arm only": lambda shop: size_of_test(shop) / 2,
            },
            given=campaign,
        ),
        "06.7": Answers(
            left_by_benefit,
            slips={
                "cost forgotten": lambda shop: _left(shop, "margin"),
                "by head": lambda shop: _left(shop, "margin - cost", by="members"),
                "the other way round": lambda shop: -left_by_benefit(shop),
            },
            given=dearest_benefit,
        ),
        "06.8": Answers(
            breakage_seen,
            slips={
                "young points counted": _all_quarters,
                "open taken for lost": _open_too,
            },
            given=points_by_quarter,
        ),
    },
)
