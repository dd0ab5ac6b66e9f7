"""What stood between a visit and a sale: a step that fails, a payment that does not go
through, a best seller gone, a price that is wrong, a test that ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.detect.finding import LEAST_SHARE, found, furthest, ratio_findings
from playbook.detect.panels import Panels
from playbook.detect.tracking import runs
from playbook.measures.sums import sums_by

__all__ = ["best_seller_empty", "payments_open", "prices_wrong", "steps_fail", "tests_ended"]

Finding = dict[str, Any]

#: step -> the one before it, and how much of its usual rate a fault takes at least
STEPS = {"buyers": "checkouts", "checkouts": "add_to_carts"}
LEAST_FALL = 0.12
#: orders of the last days may still be paid
STILL_OPEN = 3
#: a best seller holds this share of the revenue of the sixty days before
BEST = 0.02
EMPTY_DAYS = 3
#: with less on the shelf than a day sells, a day that sold under this share of it counts too
LOW = 0.25
#: days a sku is held against (its season may turn in more), and how long low sales may
#: go on after the shelf was filled by a unit or two
SKU_BEFORE, MOST_AFTER = pd.Timedelta(days=28), pd.Timedelta(days=5)
#: a price under this share of the sku's own is wrong; of many skus at once, under this
WRONG, WRONG_TOGETHER = 0.6, 0.8
#: so many of a category's skus sold that day, and so many at least
TOGETHER_SHARE, TOGETHER = 0.7, 4
#: prices that fell to shares of their own as near as this fell by one mistake
SAME_FALL = 0.02
#: orders of a day below which one buyer may have had a price of their own
LEAST_ORDERS = 3
#: a winning test is one whose arms differ by so many standard errors
WON = 1.96


def steps_fail(panels: Panels) -> list[Finding]:
    """A step of the funnel that fewer pass than before: of all, by device, by channel, or
    by both; told by the cut that holds most of it.
    """
    steps = panels.steps
    if steps is None:
        return []
    rows = []
    for step, before in STEPS.items():
        if not {step, before} <= set(steps):
            continue
        found_ones = []
        for cells in _cuts(steps, step):
            passed, came = (panels.wide(cells, "cell", c) for c in (step, before))
            for cell in passed:
                found_ones += ratio_findings(
                    panels,
                    "step_fails",
                    f"{before} > {step}{cell}",
                    passed[cell].where(came[cell] > 0).to_numpy(),
                    came[cell].where(came[cell] > 0).to_numpy(),
                    side=-1,
                    worth=panels.worth.to_numpy() * _onward(cells, step, cell),
                    least_change=LEAST_FALL,
                    noise="part",
                )
        rows += furthest(found_ones)
    return rows


def _cuts(steps: DataFrame, step: str) -> Iterator[DataFrame]:
    """The rows with their `cell`: all, each device, each channel, each pair, the broad
    ones first. A cut with one value is no cut, and what brings less than a hundredth of
    those at a step cannot move a hundredth of a month's money.
    """
    yield steps.assign(cell="")
    cuts = [cut for cut in ("device", "channel") if steps[cut].nunique() > 1]
    for by in [[cut] for cut in cuts] + [cuts] * (len(cuts) > 1):
        first, *others = (steps[cut].astype(str) for cut in by)
        cells = steps.assign(cell=", " + first.str.cat(others, sep=", "))
        share = cells.groupby("cell")[step].sum() / cells[step].sum()
        yield cells[cells.cell.map(share) >= LEAST_SHARE]


def _onward(cells: DataFrame, step: str, cell: str) -> float:
    """Share of those at a step in a cell who buy in the end."""
    part = cells[cells.cell == cell]
    return 1.0 if step == "buyers" else float(part.buyers.sum() / max(part[step].sum(), 1))


def payments_open(panels: Panels) -> list[Finding]:
    """More orders than usual are placed and never paid: a way to pay does not work, for
    all, or for those of one method, device, channel or kind of buyer; told by the cut
    that holds most of it.
    """
    orders = panels.orders
    rows = _unpaid_rows(panels, "orders", orders.unpaid, orders.placed)
    for _dimension, part in panels.paying.groupby("dimension", sort=False):
        unpaid, placed = (panels.wide(part, "cell", c) for c in ("unpaid", "placed"))
        for cell in placed if len(placed.columns) > 1 else ():
            rows += _unpaid_rows(panels, str(cell), unpaid[cell], placed[cell])
    return furthest(rows)


def _unpaid_rows(panels: Panels, subject: str, unpaid: Series, placed: Series) -> list[Finding]:
    is_open = unpaid.astype(float).copy()
    is_open.iloc[-STILL_OPEN:] = np.nan
    return ratio_findings(
        panels,
        "payment_down",
        subject,
        is_open.to_numpy(),
        placed.to_numpy(float),
        side=1,
        worth=panels.worth.to_numpy(),
        least_change=1.0,
        noise="part",
    )


def best_seller_empty(panels: Panels) -> list[Finding]:
    """A sku that brings much stands at nothing for days. `amount` is what the sku itself
    would have brought: what its neighbours sold instead is not taken off. How much it brings
    is read of the days it was there on: one that is empty again is no less of a best seller.
    """
    if not panels.shop.has("stock"):
        return []
    sales = panels.sales
    money = panels.wide(sales, "sku", "revenue")
    share = money.rolling(60, min_periods=28).sum().shift(1)
    share = share.div(share.sum(axis=1), axis=0)
    skus = sorted(share.columns[(share.max() >= BEST).to_numpy()])
    shelf = panels.shop.sku_days
    shelf = shelf.filter(shelf.sku.isin(skus))
    shelf = shelf.select("sku", "day_on", "is_stocked", "on_hand").to_pandas()
    shelf["day_on"] = pd.to_datetime(shelf.day_on)
    stocked, on_hand = (
        shelf.pivot(index="day_on", columns="sku", values=c).reindex(panels.days)
        for c in ("is_stocked", "on_hand")
    )
    units = panels.wide(sales, "sku", "units")
    share = _share_when_there(money, share, stocked)
    rows = []
    for sku in [name for name in skus if name in stocked]:
        usual = units[sku].rolling(28, min_periods=14).mean().shift(1)
        is_low = (on_hand[sku] < usual) & (units[sku] < LOW * usual)
        is_empty = _closed(stocked[sku].eq(False) | is_low)
        for start, end in runs(is_empty & panels.judged(panels.days)):
            if (end - start).days + 1 < EMPTY_DAYS or not share[sku][start] >= BEST:
                continue
            end = _until_sold(panels, sku, start, end)
            goods = _goods_of(panels, [sku])
            there = is_empty.index[~is_empty & (is_empty.index < start)]
            facts = _loss(panels, goods, start, end, there[-SKU_BEFORE.days :])
            row = found(
                panels,
                "best_seller_empty",
                sku,
                (start, end),
                **facts,
            )
            if not row["share_of_month"] < LEAST_SHARE:
                rows.append(row)
    return rows


def _share_when_there(money: DataFrame, share: DataFrame, stocked: DataFrame) -> DataFrame:
    """By day and sku: `share` of the revenue of the sixty days before, or that of those of
    them on which the sku was not empty where it is more.
    """
    names = [name for name in stocked if name in money]
    was_there = stocked[names].ne(False)
    own = money[names].where(was_there).rolling(60, min_periods=28).sum().shift(1)
    every = was_there.mul(money.sum(axis=1), axis=0).where(was_there)
    every = every.rolling(60, min_periods=28).sum().shift(1)
    return share[names].combine(own / every, np.fmax)


def _closed(is_empty: Series) -> Series:
    """With the days between two empty ones on which a parcel came back or two."""
    runs_on = is_empty.rolling(3, min_periods=1).max() > 0
    runs_back = is_empty[::-1].rolling(3, min_periods=1).max()[::-1] > 0
    return runs_on & runs_back


def _until_sold(panels: Panels, sku: str, start: pd.Timestamp, end: pd.Timestamp) -> pd.Timestamp:
    """The last day on which the sku sold less than half its usual: a handful that came
    back is no delivery.
    """
    sales = panels.sales
    units = sales[sales.sku == sku].set_index("day_on").units.reindex(panels.days).fillna(0.0)
    usual = units[start - SKU_BEFORE : start - pd.Timedelta(days=1)].mean()
    for day in panels.days[(panels.days > end) & (panels.days <= end + MOST_AFTER)]:
        if units[day] >= usual / 2:
            break
        end = day
    return end


def _goods_of(panels: Panels, skus: list[str]) -> DataFrame:
    """By day: units and goods margin of skus (revenue where no cost is known)."""
    own = panels.sales[panels.sales.sku.isin(skus)]
    value = own.revenue - (own.cost if panels.is_margin_known else 0.0)
    own = own.assign(value=value.fillna(0.0)).groupby("day_on")[["units", "value"]].sum()
    return own.reindex(panels.days).fillna(0.0)


def _loss(
    panels: Panels,
    own: DataFrame,
    start: pd.Timestamp,
    end: pd.Timestamp,
    before: pd.DatetimeIndex | None = None,
    beside: Series | None = None,
) -> dict[str, float]:
    """What `own` (units and value by day) brought less from `start` to `end` than the
    days `before` (the four weeks up to it) lead one to expect, `beside` (the rest of the
    shop's sales) being the measure of the days between.
    """
    units = panels.sales.groupby("day_on").units.sum().reindex(panels.days).fillna(0.0)
    shop = (units - own.units).clip(lower=0.0) if beside is None else beside
    if before is None:
        before = panels.days[(panels.days >= start - SKU_BEFORE) & (panels.days < start)]
    usual = own.loc[before].sum() / max(shop[before].sum(), 1.0)
    expected = usual * shop[start:end].sum()
    now = own[start:end].sum()
    residual = own.value - usual.value * shop
    sd = float(residual[before].std() * np.sqrt(len(own[start:end])))
    return {
        "amount": float(expected.value - now.value),
        "sd": sd,
        "n": float(abs(expected.units - now.units)),
        "usual": float(expected.units),
        "now": float(now.units),
    }


def _visits(panels: Panels, start: pd.Timestamp, end: pd.Timestamp) -> Series | None:
    """Visits by day, where each day from four weeks before `start` to `end` has some: who buys
    at a wrong price buys nothing else, so that the rest of the sales would be no measure.
    """
    if panels.visits is None:
        return None
    visits = panels.visits.sum(axis=1, min_count=1)
    is_whole = visits[start - SKU_BEFORE : end].gt(0).all()
    return visits if is_whole else None


def prices_wrong(panels: Panels) -> list[Finding]:
    """Skus sold far under their own price, or under what they cost: one by itself, or
    most of a category at once.
    """
    sales = panels.sales.sort_values(["sku", "day_on"])
    price = sales.gross / sales.units
    usual = _usual_price(price, sales.sku).fillna(sales.listed / sales.units)
    cost = sales.cost / sales.units
    # the dearest line of the day: a large order at a price of its own is no error
    ratio = sales.highest / usual
    is_under = (price < cost) & (usual >= cost) & (ratio < WRONG_TOGETHER)
    struck = sales.assign(
        ratio=ratio,
        given=(usual - price) * sales.units,
        is_wrong=((ratio < WRONG) | is_under) & (sales.orders >= LEAST_ORDERS),
        is_low=ratio < WRONG_TOGETHER,
        category=sales.sku.map(panels.category),
    )
    struck = struck[(struck.day_on >= panels.first) & usual.reindex(struck.index).notna()]
    rows, told = _categories_wrong(panels, struck)
    wrong = struck[struck.is_wrong]
    for sku, start, end in _dear_runs(panels, wrong):
        if (sku, start) not in told:
            low = wrong[wrong.sku == sku]
            rows += _price_row(panels, "price_error", sku, [sku], (start, end), low)
    return rows


def _dear_runs(
    panels: Panels, wrong: DataFrame
) -> Iterator[tuple[str, pd.Timestamp, pd.Timestamp]]:
    """Sku, first and last day of every run of wrong days that gave enough away (`wrong`:
    by sku and day).
    """
    is_next = wrong.sku.eq(wrong.sku.shift()) & wrong.day_on.diff().eq(pd.Timedelta(days=1))
    by_run = wrong.groupby((~is_next).cumsum())
    found_ones = by_run.agg(
        sku=("sku", "first"),
        start=("day_on", "first"),
        end=("day_on", "last"),
        given=("given", "sum"),
    )
    dear = found_ones[~(found_ones.given < _least_given(panels, found_ones.start))]
    yield from dear[["sku", "start", "end"]].itertuples(index=False, name=None)


def _least_given(panels: Panels, day: Any) -> Any:
    """What a wrong price must have given away: it cannot have cost more than that and
    what its buyers' parcels cost.
    """
    return LEAST_SHARE / 2 * panels.month_money.reindex(pd.DatetimeIndex(day)).to_numpy()


def _usual_price(price: Series, sku: Series) -> Series:
    """The median of the days sold before; a wrong price of some days does not move it."""
    before = price.groupby(sku).shift(1).groupby(sku)
    return before.rolling(28, min_periods=3).median().droplevel(0)


def _categories_wrong(
    panels: Panels, struck: DataFrame
) -> tuple[list[Finding], set[tuple[str, pd.Timestamp]]]:
    """Categories of which most skus sold were low at once, and the skus and days that are
    told by it.
    """
    rows: list[Finding] = []
    told: set[tuple[str, pd.Timestamp]] = set()
    for category, part in struck.groupby("category"):
        is_low = part.groupby("day_on").is_low.mean() >= TOGETHER_SHARE
        is_low = is_low.reindex(panels.days, fill_value=False)
        skus = sorted(panels.category.index[panels.category == category])
        for start, end in runs(is_low):
            low = part[part.day_on.between(start, end)]
            if not _is_of_many(low[low.is_low]):
                continue
            rows += _price_row(
                panels,
                "category_price",
                str(category),
                skus,
                (start, end),
                low,
            )
            days = pd.date_range(start, end)
            told |= {(sku, day) for sku in skus for day in days}
    return rows, told


def _is_of_many(low: DataFrame) -> bool:
    """Whether low prices (by sku and day) are one fault of many skus: many on one day, or
    few that fell by one share of their price, one of them wrong by itself.
    """
    if low.groupby("day_on").size().max() >= TOGETHER:
        return True
    is_one_fall = low.ratio.max() <= (1 + SAME_FALL) * low.ratio.min()
    return bool(is_one_fall and low.sku.nunique() > 1 and low.is_wrong.any())


def _price_row(
    panels: Panels,
    kind: str,
    subject: str,
    skus: list[str],
    days: tuple[pd.Timestamp, pd.Timestamp],
    low: DataFrame,
) -> list[Finding]:
    """The finding of a wrong price, where it cost enough."""
    low = low[low.day_on.between(*days)]
    if low.given.sum() < _least_given(panels, [days[0]])[0]:
        return []
    facts = _loss(panels, panels.orders_with(skus, days), *days, beside=_visits(panels, *days))
    facts |= {
        "n": float(low.units.sum()),
        "usual": 1.0,
        "now": float(low.ratio.median()),
    }
    row = found(
        panels,
        kind,
        subject,
        days,
        **facts,
    )
    return [] if row["share_of_month"] < LEAST_SHARE else [row]


def tests_ended(panels: Panels) -> list[Finding]:
    """A test that won and ended: what its better arm brought more is gone. `amount` is what
    it would have brought the whole shop in the rest of the month, which is what switching it
    on for all mends; while the test ran, its share of the visitors had it.
    """
    shop = panels.shop
    if not shop.has("experiments"):
        return []
    visitors = shop.experiments.mutate(on=shop.local(_.assigned_at).date())
    sums = {"n": _.count(), "won": _.is_converted.ifelse(1, 0).sum(), "last": _.on.max()}
    arms = sums_by(
        visitors,
        "test_id",
        "arm",
        **sums,
    )
    rows = []
    for test, part in arms.groupby("test_id"):
        last = pd.to_datetime(part["last"]).max()
        by_arm = part.set_index("arm")
        month_end = (last + pd.Timedelta(days=1)).to_period("M").end_time.normalize()
        is_over = panels.first <= last < panels.days[-1]
        if not ({"A", "B"} <= set(by_arm.index) and is_over):
            continue
        rate = by_arm.won.astype(float) / by_arm.n
        sd = np.sqrt((rate * (1 - rate) / by_arm.n).sum())
        gap = rate.B - rate.A
        after = panels.orders[last + pd.Timedelta(days=1) : month_end]
        if not gap > WON * sd or after.empty:
            continue
        money = float((after.orders * panels.worth.reindex(after.index)).sum())
        unit = money / rate.A
        facts = {"amount": gap * unit, "sd": sd * unit, "n": float(after.orders.sum())}
        facts |= {"usual": rate.B, "now": rate.A, "z": gap / sd}
        rows.append(
            found(
                panels,
                "test_ended",
                str(test),
                (after.index[0], after.index[-1]),
                **facts,
            )
        )
    return rows
