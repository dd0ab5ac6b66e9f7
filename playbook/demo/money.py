"""Contribution margin of simulated orders, by the one definition the playbook has, in
cents.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from playbook.demo.background import RATES, STATED
from playbook.demo.records import Record
from playbook.demo.streams import uniform
from playbook.demo.world import CHANNELS, IS_TAXED

TAX_SHARE = 0.20
PAYMENT_SHARE, PAYMENT_FIXED = 0.014, 25  # of the total, and cents
# Share of orders by way to pay, in the order of words.yaml. The first one fails where
# `payment_method_down` is planted, and holds more orders than that may take.
METHOD_SHARES = (0.62, 0.28, 0.10)
_PLATFORM = {r["scope"]: r["value"] for r in STATED.cost_rates if r["kind"] == "platform_share"}
PLATFORM = np.array([_PLATFORM.get(c, _PLATFORM["all"]) for c in CHANNELS])
RETURN_UNIT = round(RATES["return_per_unit"] * 100)


def total_of(of: ndarray, values: ndarray, n: int) -> ndarray:
    """Whole sums of the values of lines by order."""
    return np.bincount(of, values, n).astype(int)


def order_of_lines(a: Record) -> ndarray:
    """The order of every line of a month."""
    return np.repeat(np.arange(len(a.o_key)), a.o_lines)


def line_taxes(a: Record, of: ndarray) -> ndarray:
    """Cents of VAT by line."""
    paid = a.l_price * a.l_quantity - a.l_off
    return np.round(TAX_SHARE * paid).astype(int) * IS_TAXED[a.o_region][of]


def order_tax(a: Record) -> ndarray:
    """Cents of VAT by order, that on postage included."""
    of = order_of_lines(a)
    postage = np.round(TAX_SHARE * a.o_shipping).astype(int) * IS_TAXED[a.o_region]
    return total_of(of, line_taxes(a, of), len(a.o_key)) + postage


def payment_draw(keys: ndarray) -> ndarray:
    """By order a number in (0, 1) that says how its buyer chose to pay."""
    return uniform(keys, "method")


def payment_methods(keys: ndarray) -> ndarray:
    """Places of the orders' ways to pay."""
    ends = np.cumsum(METHOD_SHARES)[:-1]
    return np.searchsorted(ends, payment_draw(keys), side="right")


def payment_fee(total: ndarray) -> ndarray:
    """Cents the payment provider takes."""
    return np.round(PAYMENT_SHARE * total).astype(int) + PAYMENT_FIXED


def order_margin(a: Record, lost: ndarray | None = None) -> ndarray:
    """Per order, before refunds: revenue - goods - payment and platform fees - (postage
    paid - postage charged).

    0 for orders that do not count (never paid, cancelled). `lost` marks orders whose
    channel tracking lost: their platform fee is the general one.
    """
    cost = np.bincount(order_of_lines(a), a.l_cost * a.l_quantity, len(a.o_key))
    total = a.o_revenue + a.o_shipping + order_tax(a)
    share = PLATFORM[a.o_channel]
    if lost is not None:
        share = np.where(lost, PLATFORM[0], share)
    postage = a.o_freight - a.o_shipping
    margin = a.o_revenue * (1 - share) - cost - payment_fee(total) - postage
    return np.where(np.isin(a.o_fate, (0, 3)), margin, 0.0)


def refund_margin(a: Record) -> ndarray:
    """Per line: what its refund changes in margin (0 without one): - amount + goods
    back in stock - handling.
    """
    home = (a.l_back == 1) * a.l_quantity
    change = -a.l_back_amount + a.l_cost * home - RETURN_UNIT * home
    return np.where(a.l_back > 0, change, 0.0)


def month_margin(a: Record) -> ndarray:
    """Per order, all its refunds to come taken off."""
    return order_margin(a) + np.bincount(order_of_lines(a), refund_margin(a), len(a.o_key))
