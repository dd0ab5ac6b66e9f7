"""What the shop offers, to whom, through which model and with how many people: the
tables of other chapters and of the store put together for chapter 02. Each part is None
where its data is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import numpy as np
from pandas import DataFrame

from playbook.chapters.channel_roi.channels import channel_months
from playbook.chapters.goal_setting import business, goals, plan
from playbook.chapters.goal_setting.sales import OwnSales
from playbook.chapters.market_research import market, personas
from playbook.measures import acquisition, ad_spend
from playbook.runs.results import Results
from playbook.store import Store

__all__ = [
    "MarketPlace",
    "asked",
    "break_even",
    "by_category",
    "first_range",
    "fixed_cost",
    "market_place",
    "models",
    "people",
]


#: the model of a shop that sells its own goods through its own channels
OWN_STOCK = "own_stock"


@dataclass(frozen=True)
class MarketPlace:
    """Own `lines` with their category and the `growth` of each, like for like; `gaps` of
    own prices to competitors'; how `concentrated` sellers are.
    """

    lines: ibis.Table | None
    growth: DataFrame | None
    gaps: DataFrame | None
    concentrated: DataFrame | None


def market_place(shop: Store, results: Results, own: OwnSales | None, *, seed: int) -> MarketPlace:
    """The market as chapter 01 reads it."""
    lines = growth = gaps = concentrated = own_year = None
    if own is not None and results.needs(
        "products.category", section="plan_by_category", owner_role="category head"
    ):
        lines = market.with_category(shop.sales_lines, shop.products)
        about = {"as_of": shop.as_of, "by": "category"}
        growth = results.attempt(
            "plan_by_category",
            market.growth_by,
            lines,
            **about,
        )
        if growth is not None and growth["n_months"].eq(12).any():
            own_year = growth.rename(columns={"revenue": "amount"})
        kept = market.like_for_like(lines, as_of=shop.as_of)
        growth = results.attempt(
            "plan_by_category",
            market.growth_by,
            kept,
            **about,
        )
    if shop.has("prices"):
        gaps, _ = market.price_position(
            shop.prices, as_of=shop.as_of, currency=shop.currency, products=shop.get("products")
        )
    if shop.has("competitors"):
        concentrated = market.concentration(shop.competitors, own=own_year, seed=seed)
    return MarketPlace(
        lines,
        growth,
        gaps,
        concentrated,
    )


def people(
    shop: Store, results: Results, place: MarketPlace, *, by: str, pain: str, seed: int
) -> DataFrame | None:
    """Personas and their pains: from behaviour, before launch from the survey's
    questions `by` and `pain`.
    """
    if place.lines is not None and shop.has("orders.customer_id"):
        found = (place.lines, shop.sales_orders)
        knobs = {"seed": seed, "n_resamples": 0, "owner_role": "category head"}
        kinds = results.attempt(
            "value_proposition",
            personas.personas,
            *found,
            **knobs,
        )
        if kinds is None:
            return None
        hurts = personas.pains(
            place.lines,
            as_of=shop.as_of,
            refunds=shop.booked_refunds,
            reviews=shop.get("reviews"),
        )
        pains = personas.persona_pains(kinds.profile, hurts)
        return kinds.described.merge(pains, on="persona", how="left")
    if results.needs(
        "survey",
        section="value_proposition",
        owner_role="category head",
    ):
        return results.attempt(
            "value_proposition",
            personas.survey_personas,
            shop.survey,
            by=by,
            pain=pain,
            owner_role="category head",
        )
    return None


def asked(shop: Store, question: str) -> ibis.Table | None:
    """The survey where it asks this question."""
    survey = shop.get("survey")
    return survey if survey is not None and question in survey.columns else None


def models(
    shop: Store,
    results: Results,
    own: OwnSales | None,
    *,
    basket: float,
    orders_per_customer: float,
) -> DataFrame | None:
    """Each business model with the shop's own basket and rates; `basket` and
    `orders_per_customer` win over them where they are not 0.
    """
    if not results.needs(
        "business_models", section="business_models", owner_role="general manager"
    ):
        return None
    orders = None if own is None else shop.sales_orders
    known = business.own_basket(orders, as_of=shop.as_of)
    basket = basket or known["basket"]
    if not basket:
        offers = (business.typical_price, shop.get("competitors"))
        basket = results.attempt("business_models", *offers, owner_role="general manager")
    if basket is None:
        return None
    return business.business_models(
        shop.business_models,
        basket=basket,
        orders_per_customer=orders_per_customer or known["orders_per_customer"],
        measured=_measured_cost(shop, own),
        **business.order_rates(shop.get("cost_rates"), as_of=shop.as_of),
    )


def _measured_cost(shop: Store, own: OwnSales | None) -> dict[str, float]:
    """What a new customer costs today, by the model that wins them: a channel's cost for
    the model of its name, all spend over all new customers (those who came by themselves
    too) for own stock. Empty without sales, spend or enough new customers.
    """
    if own is None or not shop.has("ad_spend") or not shop.has("orders.customer_id"):
        return {}
    log = ad_spend.read_extract(shop.ad_spend, as_of=shop.as_of)
    months = channel_months(
        shop.sales_orders, spend=log, refunds=shop.booked_refunds, as_of=shop.as_of
    )
    recent = acquisition.recent_cost(months, shares=acquisition.caused_shares(shop))
    judged = recent[recent.ncac.notna() & (recent.new_customers >= acquisition.LEAST_NEW)]
    cost = judged.set_index("channel")["ncac"].to_dict()
    if len(judged):
        cost[OWN_STOCK] = recent.spend.sum() / recent.new_customers.sum()
    return cost


def fixed_cost(shop: Store, results: Results, own: OwnSales | None) -> dict[str, float]:
    """What a month costs whatever is sold: `overhead`, `marketing` (once there are sales)
    and their sum `fixed`; missing where no overhead is stated. The scenarios' profit and
    break-even both read it.
    """
    has_rates = results.needs(
        "cost_rates",
        section="break_even",
        owner_role="finance",
    )
    if not has_rates:
        return dict.fromkeys(("overhead", "marketing", "fixed"), np.nan)
    log, asked = None, (ad_spend.read_extract, shop.get("ad_spend"))
    if own is not None and shop.has("ad_spend"):
        log = results.attempt("break_even", *asked, as_of=shop.as_of)
    spend = None if log is None else log.daily
    cost = business.monthly_fixed_cost(shop.cost_rates, as_of=shop.as_of, spend=spend)
    return cost | {"fixed": cost["overhead"] + np.nan_to_num(cost["marketing"])}


def break_even(
    shop: Store,
    own: OwnSales | None,
    models: DataFrame | None,
    *,
    cost: dict[str, float],
) -> DataFrame | None:
    """From own margins and `fixed_cost`; before the first order from the best model's
    assumptions. None where rates are not stated, or neither is known.
    """
    if own is not None and shop.has("cost_rates"):
        point = goals.break_even(shop.sales_orders, fixed=cost["fixed"], as_of=shop.as_of)
        return point.assign(overhead=cost["overhead"], marketing=cost["marketing"])
    return None if models is None else business.model_break_even(models, fixed=cost["overhead"])


def first_range(
    own: OwnSales | None, place: MarketPlace, people: DataFrame | None
) -> DataFrame | None:
    """A first range, before the first order only."""
    is_needed = own is None and not (place.concentrated is None and people is None)
    return business.launch_plan(place.concentrated, people) if is_needed else None


def by_category(own: OwnSales, place: MarketPlace, sheet: DataFrame) -> DataFrame | None:
    """The goal of the quarter by category; None where it has no parts to be shared among."""
    if place.growth is None or own.outlook is None:
        return None
    verdicts = market.category_verdicts(
        place.growth,
        concentrated=place.concentrated,
        margins=market.category_margins(place.lines, as_of=own.shop.as_of),
    )
    planned = plan.category_plan(own.outlook, sheet, verdicts=verdicts)
    return planned if len(planned) else None
