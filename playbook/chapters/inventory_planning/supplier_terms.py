"""What a supplier's terms are worth: price breaks against the cost of holding more, days to
pay as money, least orders, and the same goods from somebody else.

Each offer is set beside today's price, a year of the sku's expected demand long: the price
saved, less what the larger order costs to hold (half of it lies on the shelf on average),
plus orders saved and days to pay, less the safety stock that a longer or less certain way
asks for. Today's order is the one that costs least at today's price, or the shop's own where
that is larger: what fewer orders alone would save is no merit of a break.
All-units discounts: Snyder and Shen (2019), Fundamentals of Supply Chain Theory, section 3.4;
safety stock of a lead time that scatters: section 4.3.

Money lent by a supplier and money bound in stock cost the same share a year
(`capital_share_per_year` of `cost_rates`). Intervals are of what will be sold, the only
figure of the sum that nobody has written down.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import ibis
import numpy as np
from ibis import Table, _
from numpy import ndarray
from pandas import DataFrame, Series

from playbook.chapters.inventory_planning.inventory import OrderPolicy
from playbook.chapters.inventory_planning.supply import MIN_RECEIPTS, Supply
from playbook.decisions import decision_rows, propose
from playbook.errors import PlaybookError
from playbook.given import dated
from playbook.measures.demand_panel import DemandPanel
from playbook.methods.demand import DemandLaw
from playbook.methods.replenishment import order_quantity
from playbook.store import expression
from playbook.tables import empty, frame_of, returns, schema

__all__ = ["SHOWN", "Rates", "buying", "payment_terms", "rates", "term_decisions", "terms"]

#: interval of a year's demand, and the chance a cycle's safety stock is to hold
LEVEL, SAFETY_Z = 0.8, 1.645
YEAR_DAYS, WEEKS = 365.0, 52
#: breaks and other suppliers proposed in a month
MOST_BREAKS, MOST_SOURCES = 5, 3
#: share of a sku's yearly cost that an offer must win to be worth its trouble
WORTH_SHARE = 0.01
#: days more that a supplier is asked for
MORE_DAYS = 10
DUE_DAYS, REVISIT_DAYS = 14, 90
#: columns to read first
SHOWN = [
    "sku",
    "supplier_id",
    "is_today",
    "from_quantity",
    "order_now",
    "order_units",
    "price_saving",
    "holding",
    "payment",
    "safety",
    "net",
    "low",
    "high",
    "verdict",
]
#: a supplier the shop has no receipts of scatters as the others do, where nothing is known so
USUAL_CV = 0.3


@dataclass(frozen=True)
class Rates:
    """What a year of bound money costs, as a share of it, and what an order line costs."""

    holding_share: float
    ordering_cost: float = 0.0


def rates(policy: OrderPolicy) -> Rates:
    """What bound money and an order line cost, from the chapter's policy.

    Raises PlaybookError where the shop does not say what bound money costs.
    """
    if not policy.holding_share:
        raise PlaybookError("inventory_planning.no_money_cost", table="cost_rates")
    return Rates(policy.holding_share, policy.ordering_cost)


@returns("inventory_planning.buying")
def buying(
    panel: DemandPanel,
    law: DemandLaw,
    held: Supply,
    purchase_orders: Table | None,
    *,
    as_of: dt.date,
) -> DataFrame:
    """How each sku of the panel is bought today, and what a year will sell of it. What was
    ordered at a time is the median of a year's order lines; where there is none, a month of
    demand or the least the supplier takes.
    """
    goods = held.of(panel)
    mean = law.mean(WEEKS).sum(axis=1)
    low, high = _year_ends(law, mean)
    week = mean / WEEKS
    usual = _usual_orders(purchase_orders, as_of).reindex(panel.sku).to_numpy(float)
    least = np.maximum(goods.min_order_units.to_numpy(float), 1.0)
    table = DataFrame(
        {
            "sku": panel.sku,
            "supplier_id": goods.supplier_id.to_numpy(),
            "unit_cost": goods.unit_cost.to_numpy(float),
            "pack_units": goods.pack_units.to_numpy(float),
            "order_now": np.where(np.isnan(usual), np.maximum(week * WEEKS / 12, least), usual),
            "year_units": mean,
            "year_low": low,
            "year_high": high,
            "day_sd": np.sqrt((week + law.dispersion * week**2) / 7),
            "lead_days": goods.lead_days.to_numpy(float),
            "lead_sd": goods.lead_sd.to_numpy(float),
        }
    )
    return table[schema("inventory_planning.buying").names]


def _year_ends(law: DemandLaw, mean: ndarray) -> tuple[ndarray, ndarray]:
    """Both ends of a year's demand: a gamma law whose spread is that of the level today, of
    its wandering and of what a year's weeks leave of their noise. The level wanders by what
    the law forgets in a week; the mean of a year of it by a third of the year's weeks.
    """
    from scipy.special import gammaincinv

    wanders = (1 / np.clip(law.memory, 0.5, 1.0) - 1) * WEEKS / 3
    of_level = (1 + wanders) / np.maximum(law.shape, 0.05)
    spread = of_level + 1 / np.maximum(mean, 1e-6) + law.dispersion / WEEKS
    tail = (1 - LEVEL) / 2
    low, high = (gammaincinv(1 / spread, q) * spread for q in (tail, 1 - tail))
    return mean * low, mean * high


def _usual_orders(purchase_orders: Table | None, as_of: dt.date) -> Series:
    """Median units of an order line of the last year, by sku."""
    if purchase_orders is None:
        return Series(dtype=float)
    since = as_of - dt.timedelta(days=365)
    lines = expression(purchase_orders)
    lines = lines.filter((_.ordered_on > ibis.literal(since)) & (_.ordered_on <= as_of))
    found = lines.group_by("sku").aggregate(n=_.n_ordered.cast("float64").median())
    return found.order_by("sku").to_pandas().set_index("sku")["n"]


@returns("inventory_planning.terms")
def terms(
    supplier_offers: Table,
    bought: DataFrame,
    suppliers: DataFrame,
    *,
    as_of: dt.date,
    rates: Rates,
) -> DataFrame:
    """Every offer that would change how a sku is bought, what it wins a year on top.

    `bought`: `buying`; `suppliers`: the chapter's scorecard. Today's price and days to pay
    are those of the supplier's own offer at today's order; skus whose supplier has told
    none are left out, for their terms are not known. Where days to pay are missing on
    either side, they count as equal.
    """
    offers = _valid(supplier_offers, as_of).merge(bought, on="sku", suffixes=("", "_now"))
    offers = offers[(offers.year_units > 0) & (offers.order_now > 0)]
    is_today = offers.supplier_id == offers.supplier_id_now
    today = offers[is_today & (offers.from_quantity <= offers.order_now)]
    today = today.sort_values("from_quantity").drop_duplicates("sku", keep="last")
    today = today[
        [
            "sku",
            "unit_price",
            "payment_days",
            "from_quantity",
        ]
    ]
    table = offers.assign(is_today=is_today).merge(today, on="sku", suffixes=("", "_today"))
    table = table[~table.is_today | (table.from_quantity > table.order_now)]
    if table.empty:
        return empty("inventory_planning.terms")
    table = _with_lead(table.reset_index(drop=True), suppliers)
    table = _with_order(table, rates)
    parts = _money(table, table.year_units, rates)
    ends = [_money(table, table[name], rates)["net"] for name in ("year_low", "year_high")]
    table = table.assign(
        **parts,
        low=np.minimum(*ends),
        high=np.maximum(*ends),
        cover_days=table.order_units / table.year_units * YEAR_DAYS,
    )
    table["verdict"] = _verdicts(table)
    fits = table.net.where(table.verdict != "too much")
    table["is_best"] = fits.groupby([table.sku, table.supplier_id]).transform("max") == fits
    table = table.sort_values(
        ["net", "sku", "supplier_id", "from_quantity"],
        ascending=[False, True, True, True],
        ignore_index=True,
    )
    return table[schema("inventory_planning.terms").names]


@returns("inventory_planning.payment_terms")
def payment_terms(
    supplier_offers: Table,
    bought: DataFrame,
    *,
    as_of: dt.date,
    rates: Rates,
) -> DataFrame:
    """What each supplier's days to pay are worth in a year of buying at today's orders, and
    what `MORE_DAYS` more would be; the largest first.
    """
    offers = _valid(supplier_offers, as_of).merge(bought, on=["sku", "supplier_id"])
    offers = offers[offers.from_quantity <= offers.order_now]
    offers = offers.sort_values("from_quantity").drop_duplicates("sku", keep="last")
    offers = offers.dropna(subset="payment_days")
    rows = []
    for name, mine in offers.groupby("supplier_id"):
        a_year = float((mine.year_units * mine.unit_price).sum())
        spread = (mine.year_high - mine.year_low) * mine.unit_price / 2
        half = float(np.sqrt((spread**2).sum()))
        days = float((mine.payment_days * mine.year_units * mine.unit_price).sum()) / a_year
        a_day = rates.holding_share / YEAR_DAYS
        rows.append(
            {
                "supplier_id": name,
                "n_skus": len(mine),
                "bought": a_year,
                "low": a_year - half,
                "high": a_year + half,
                "payment_days": days,
                "worth": a_year * days * a_day,
                "more_days_worth": a_year * MORE_DAYS * a_day,
            }
        )
    table = frame_of("inventory_planning.payment_terms", rows)
    return table.sort_values(
        ["bought", "supplier_id"],
        ascending=[False, True],
        ignore_index=True,
    )


@dated
def term_decisions(table: DataFrame, *, as_of: dt.date, currency: str) -> DataFrame:
    """A row per break that pays by what is worth the trouble, one per sku that another
    supplier sells for surely less (a first order, as its word is not known), and one for all
    offers that are left alone.
    """
    spent = table.order_units / table.cover_days * YEAR_DAYS * table.price_now
    is_worth = table.net.astype(float) >= WORTH_SHARE * spent.astype(float)
    paying = table[(table.verdict == "pays") & is_worth].drop_duplicates("sku")
    breaks = paying[paying.is_today].head(MOST_BREAKS)
    sources = paying[~paying.is_today].head(MOST_SOURCES)
    days = {
        "due_on": as_of + dt.timedelta(days=DUE_DAYS),
        "revisit_on": as_of + dt.timedelta(days=REVISIT_DAYS),
    }
    rows = []
    for kind, part in (("price_break", breaks), ("other_source", sources)):
        for offer in part.itertuples():
            rows.append(
                propose(
                    f"inventory_planning.{kind}",
                    offer.sku,
                    size=offer.order_units,
                    effect=(offer.net, offer.low, offer.high),
                    evidence_value=offer.net,
                    currency=currency,
                    supplier=offer.supplier_id,
                    order_now=offer.order_now,
                    price=offer.unit_price,
                    price_now=offer.price_now,
                    cover=offer.cover_days,
                    lead=offer.lead_days,
                    **days,
                )
            )
    left = table[~table.sku.isin(paying.sku)]
    if len(left):
        counts = left.drop_duplicates("sku").verdict.value_counts()
        rows.append(
            propose(
                "inventory_planning.keep_terms",
                "",
                size=float(left.sku.nunique()),
                n_costs=int(counts.get("costs", 0)),
                n_open=int(counts.sum() - counts.get("costs", 0)),
                **days,
            )
        )
    return decision_rows(rows)


def _valid(supplier_offers: Table, as_of: dt.date) -> DataFrame:
    """The newest offer of each supplier and sku that holds on the day."""
    day = ibis.literal(as_of)
    offers = expression(supplier_offers).filter(_.offered_on <= day)
    offers = offers.filter(_.valid_until.isnull() | (_.valid_until >= day)).to_pandas()
    newest = offers.groupby(["supplier_id", "sku"]).offered_on.transform("max")
    offers = offers[offers.offered_on == newest]
    numbers = [
        "from_quantity",
        "unit_price",
        "min_order_units",
        "payment_days",
        "lead_time_days",
    ]
    return offers[["supplier_id", "sku"]].join(offers[numbers].astype(float))


def _with_lead(table: DataFrame, suppliers: DataFrame) -> DataFrame:
    """Lead time and its scatter of each offer's supplier: its own receipts where there are
    enough, else what is stated, with the usual scatter of the others.
    """
    known = suppliers[suppliers.n_lines >= MIN_RECEIPTS].set_index("supplier_id")
    usual = float(known.lead_cv.astype(float).median()) if len(known) else np.nan
    usual = USUAL_CV if np.isnan(usual) else usual
    mean = table.supplier_id.map(known.lead_mean.astype(float))
    scatter = table.supplier_id.map(known.lead_sd.astype(float))
    stated = table.lead_time_days.fillna(table.lead_days)
    return table.assign(
        lead_now=table.lead_days,
        lead_sd_now=table.lead_sd.fillna(0.0),
        lead_days=mean.fillna(stated).where(~table.is_today, table.lead_days),
        lead_sd=scatter.fillna(stated * usual).where(~table.is_today, table.lead_sd).fillna(0.0),
        is_lead_known=mean.notna() | table.is_today,
    )


def _with_order(table: DataFrame, rates: Rates) -> DataFrame:
    """Units of an order at today's price and under each offer, in packs of one's own
    supplier.
    """
    a_year = rates.holding_share * table.unit_price_today
    lot, _cost = order_quantity(rates.ordering_cost, a_year, table.year_units)
    free_now = np.maximum(table.order_now, lot)
    free = np.maximum(free_now, table.from_quantity)
    asked = np.maximum(free, table.min_order_units.fillna(1.0))
    pack = table.pack_units.where(table.is_today, 1.0).fillna(1.0).clip(lower=1.0)
    return table.assign(
        order_units=np.ceil(asked / pack - 1e-9) * pack,
        order_free=free_now,
        above_free=asked - free,
        price_now=table.unit_price_today,
    )


def _money(table: DataFrame, units: Series, rates: Rates) -> dict[str, Series]:
    """What an offer wins and costs in a year that sells so many units."""
    price, price_now, share = table.unit_price, table.price_now, rates.holding_share
    days = table.payment_days - table.payment_days_today
    bound = table.order_units * price - table.order_free * price_now
    more_orders = units / table.order_units - units / table.order_free
    way = _safety(table, units, "lead_days", "lead_sd") * price
    way_now = _safety(table, units, "lead_now", "lead_sd_now") * price_now
    parts = {
        "price_saving": units * (price_now - price),
        "holding": share * bound / 2 + rates.ordering_cost * more_orders,
        "payment": share * units * price * days.fillna(0.0) / YEAR_DAYS,
        "safety": share * (way - way_now).fillna(0.0),
        "minimum_cost": share * table.above_free * price / 2,
    }
    net = parts["price_saving"] - parts["holding"] + parts["payment"] - parts["safety"]
    return parts | {"net": net}


def _safety(table: DataFrame, units: Series, lead: str, scatter: str) -> Series:
    """Units that cover demand and a way that both scatter."""
    variance = table[lead] * table.day_sd**2 + (units / YEAR_DAYS * table[scatter]) ** 2
    return SAFETY_Z * np.sqrt(variance)


def _verdicts(table: DataFrame) -> ndarray:
    """More than a year's demand at one time is too much, whatever it saves on paper."""
    return np.select(
        [table.order_units > table.year_low, table.low > 0, table.high < 0],
        ["too much", "pays", "costs"],
        "undecided",
    )
