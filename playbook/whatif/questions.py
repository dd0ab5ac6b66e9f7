"""The four questions, each prepared from a shop and asked for any value of its knob."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.assortment_pricing import assortment, pricing
from playbook.chapters.channel_roi import media_model, media_plan
from playbook.chapters.channel_roi.media_of_shop import one_estimate, shop_media
from playbook.chapters.inventory_planning import inventory, supply
from playbook.errors import PlaybookError
from playbook.forecasting.series import reach
from playbook.measures import ad_spend, demand_panel, price_moves
from playbook.messages import say
from playbook.outlook.reading import outlook
from playbook.store import Store
from playbook.tables import frame_of, returns

__all__ = ["Question", "budget", "price", "service", "target"]

STEPS = 20  # of a slider from its least to its most
SURE = (0.1, 0.9)  # ends of the interval of draws
BUDGET_MOVE, TARGET_MOVE, PRICE_MOVE = 0.3, 0.3, 0.15  # how far a slider goes, as a share
SEEDS = 5  # pairs of sets of draws behind an interval of stock
SERVICE = (0.80, 0.99)  # fill rates a slider offers


@dataclass(frozen=True)
class Question:
    """What is asked (`name`), the knob's unit, its value `now` and its range; `parameter`
    is how a run is asked the same. `answers` gives one row of the table `whatif.answer`.
    """

    name: str
    unit: str
    now: float
    low: float
    high: float
    parameter: str
    answers: Callable[[float], DataFrame]

    def ask(self, value: float) -> DataFrame:
        """The answer for a value: one row, what it would bring with its interval.
        PlaybookError for a value that is no number.
        """
        if not math.isfinite(value):
            raise PlaybookError("whatif.no_number", given=value)
        return self.answers(float(value))

    @property
    def step(self) -> float:
        """The slider's step: a twentieth of its range, rounded to one digit that counts."""
        rough = (self.high - self.low) / STEPS
        return float(f"{rough:.1g}") if rough > 0 else 1.0


@returns("whatif.answer")
def _answer(
    value: float,
    unit: str,
    found: tuple[float, float, float],
    chance: float,
    note: str,
) -> DataFrame:
    return frame_of("whatif.answer", [(value, *found, unit, chance, note)])


def budget(shop: Store, *, seed: int = 0) -> Question:
    """What next month's ad budget would bring in margin less spend, against today's split
    (chapter 03: the fitted response, each channel within 30 % of today's spend).

    PlaybookError where ad spend or costs are not known.
    """
    _needs(shop, "orders", "ad_spend", "order_lines.unit_cost")
    spend = ad_spend.read_extract(shop.ad_spend, as_of=shop.as_of)
    model, basis = shop_media(shop, spend, seed=seed)
    if basis != "margin":
        raise PlaybookError("whatif.needs", name="order_lines.unit_cost", shop=shop.name)
    both = one_estimate(shop, spend, media_plan.response_table(model))
    return budget_of(model, shop.currency, combined=both)


def budget_of(
    model: media_model.MediaModel, currency: str, *, combined: DataFrame | None = None
) -> Question:
    """The same from a fit that is there, at the height all methods together give it."""
    response = media_plan.response_table(model)
    spent = (response.spend_now * media_plan.WEEKS_A_MONTH).fillna(0.0)
    now, movable = float(spent.sum()), float(spent[response.verdict == "identified"].sum())
    steps = {"largest_step": BUDGET_MOVE, "largest_cut": BUDGET_MOVE, "combined": combined}

    def answer(total: float) -> DataFrame:
        plan = media_plan.plan_budget(model, total=total, spend_all=total > now, **steps)
        found = (plan.gain, plan.low, plan.high)
        told = say("whatif.budget", verdict=plan.verdict)
        return _answer(total, say("whatif.a_month", currency=currency), found, plan.p_gain, told)

    ends = now - movable * BUDGET_MOVE, now + movable * BUDGET_MOVE
    return Question(say("whatif.ask_budget"), currency, now, *ends, "03: total_budget", answer)


def target(shop: Store, *, metric: str = "net_revenue", horizon: str = "month") -> Question:
    """The chance to reach a target of a figure within the next month, quarter or year, and
    what is forecast (chapter 02: the outlook and its own past errors).

    PlaybookError for a figure that is not forecast.
    """
    try:
        forecast = outlook(shop).forecast(metric, horizon)
    except KeyError:
        raise PlaybookError("whatif.not_forecast", metric=metric, horizon=horizon) from None
    row = forecast.total.iloc[0]
    found = (float(row["mid"]), float(row["low"]), float(row["high"]))

    def answer(value: float) -> DataFrame:
        chance = float(reach(forecast, [value])["p_reach"].iloc[0])
        note = "whatif.target" if np.isfinite(chance) else "whatif.not_calibrated"
        return _answer(value, metric, found, chance, say(note))

    ends = found[0] * (1 - TARGET_MOVE), found[0] * (1 + TARGET_MOVE)
    return Question(say("whatif.ask_target"), metric, found[0], *ends, "02: ask", answer)


def price(shop: Store, sku: str) -> Question:
    """What another price of a sku would gain in margin a year (chapter 10: its elasticity
    with all that is not known of it, discounts as before).

    PlaybookError where the price never moved apart from the rest, or a cost is missing.
    """
    _needs(shop, "order_lines.sku", "products.unit_cost")
    at = {"as_of": shop.as_of, "products": shop.get("products")}
    panel = _panel(shop)
    prices, lines = shop.get("prices"), shop.sales_lines
    told = pricing.elasticities(
        panel, prices=prices, sales_lines=None if prices is not None else lines
    )
    share = assortment.variable_cost_share(shop.sales_orders, as_of=shop.as_of)
    share = share if np.isfinite(share) else 0.0
    year = assortment.sku_year(lines, shop.sales_orders, **at, variable_share=share)
    return price_of(told, year, sku=sku, currency=shop.currency)


def price_of(elasticity: DataFrame, year: DataFrame, *, sku: str, currency: str) -> Question:
    """The same from elasticities and a year of sales that are there."""
    row = elasticity[elasticity.sku == sku]
    if row.empty or not bool(row.is_identifiable.iloc[0]):
        known = elasticity.sku[elasticity.is_identifiable].head(8)
        raise PlaybookError("whatif.no_elasticity", sku=sku, known=", ".join(known) or "–")
    now = float(row.price_now.iloc[0])
    if not pricing.gain_at(elasticity, year, sku=sku, price=now).size:
        raise PlaybookError("whatif.no_margin", sku=sku)

    def answer(asked: float) -> DataFrame:
        gain = pricing.gain_at(elasticity, year, sku=sku, price=asked)
        found = (float(gain.mean()), *map(float, np.quantile(gain, SURE)))
        told = say("whatif.price", sku=sku, now=now)
        unit = say("whatif.a_year", currency=currency)
        return _answer(asked, unit, found, float((gain > 0).mean()), told)

    ends = now * (1 - PRICE_MOVE), now * (1 + PRICE_MOVE)
    return Question(say("whatif.ask_price", sku=sku), currency, now, *ends, "10: corridor", answer)


def service(shop: Store, *, review_days: int = 7) -> Question:
    """The stock at cost that a fill rate needs (chapter 07: levels set on one set of draws
    of demand and lead time, judged on others).

    PlaybookError where stock, costs or lead times are not known.
    """
    _needs(shop, "order_lines.sku", "stock", "products.unit_cost")
    products = shop.get("products")
    panel = _panel(shop)
    law = demand_panel.demand_law(panel)
    held = supply.supply(
        shop.stock,
        as_of=shop.as_of,
        products=products,
        purchase_orders=shop.get("purchase_orders"),
    )
    return service_of(panel, law, held, shop.currency, review_days=review_days)


def service_of(
    panel: demand_panel.DemandPanel,
    law: demand_panel.DemandLaw,
    held: supply.Supply,
    currency: str,
    *,
    review_days: int = 7,
) -> Question:
    """The same from a panel, its law and the supply that are there."""
    asked = {"review_days": review_days, "aims": (0.9,)}
    if inventory.service_cash(panel, law, held, **asked).empty:
        raise PlaybookError("whatif.no_lead_times")

    def answer(aim: float) -> DataFrame:
        drawn = [
            inventory.service_cash(
                panel, law, held, review_days=review_days, aims=(aim,), seed=2 * pair
            )
            for pair in range(SEEDS)
        ]
        rows = pd.concat(drawn, ignore_index=True)
        stock = rows.stock_value
        found = (float(stock.mean()), float(stock.min()), float(stock.max()))
        told = say("whatif.service", low=rows.fill_share.min(), high=rows.fill_share.max())
        return _answer(aim, currency, found, float(rows.cycle_share.mean()), told)

    return Question(
        say("whatif.ask_service"), "share", 0.95, *SERVICE, "07: aim_a, aim_b, aim_c", answer
    )


def _panel(shop: Store) -> demand_panel.DemandPanel:
    """The weeks of the goods with their prices, as chapters 07 and 10 make them."""
    at = {"as_of": shop.as_of, "products": shop.get("products")}
    calendar = {name: shop.get(name) for name in ("prices", "promotions")}
    return price_moves.with_prices(demand_panel.demand_panel(shop.sku_days, **at), **calendar)


def _needs(shop: Store, *names: str) -> None:
    for name in names:
        if not shop.has(name):
            raise PlaybookError("whatif.needs", name=name, shop=shop.name)
