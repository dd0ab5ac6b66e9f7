"""Contribution margin of simulated orders, by the one definition the playbook has, in
cents.
"""

from __future__ import annotations

import numpy as np

from playbook.demo.background import RATES
from playbook.demo.tables import TAX_SHARE, payment_fee
from playbook.demo.world import CHANNELS, IS_TAXED

__all__ = ["PLATFORM", "RETURN_UNIT", "order_margin", "refund_margin"]

PLATFORM = np.array(
    [next((v for k, s, v in RATES if k == "platform_share" and s == c), 0.02) for c in CHANNELS]
)
RETURN_UNIT = round(next(v for k, _, v in RATES if k == "return_per_unit") * 100)


def order_margin(a: dict, lost: np.ndarray | None = None) -> np.ndarray:
    """Per order, before refunds: revenue - goods - payment and platform fees - (postage
    paid - postage charged).

    0 for orders that do not count (never paid, cancelled). `lost` marks orders whose
    channel tracking lost: their platform fee is the general one.
    """
    of = np.repeat(np.arange(len(a["o_key"])), a["o_lines"])
    cost = np.bincount(of, a["l_cost"] * a["l_quantity"], len(a["o_key"]))
    taxed = IS_TAXED[a["o_region"]]
    line_tax = np.round(TAX_SHARE * (a["l_price"] * a["l_quantity"] - a["l_off"])) * taxed[of]
    tax = np.bincount(of, line_tax, len(a["o_key"])) + np.round(TAX_SHARE * a["o_shipping"]) * taxed
    total = (a["o_revenue"] + a["o_shipping"] + tax).astype(np.int64)
    share = PLATFORM[a["o_channel"]]
    if lost is not None:
        share = np.where(lost, PLATFORM[0], share)
    margin = (
        a["o_revenue"] * (1 - share)
        - cost
        - payment_fee(total)
        - (a["o_freight"] - a["o_shipping"])
    )
    return np.where(np.isin(a["o_fate"], (0, 3)), margin, 0.0)


def refund_margin(a: dict) -> np.ndarray:
    """Per line: what its refund changes in margin (0 without one): - amount + goods
    back in stock - handling.
    """
    home = (a["l_back"] == 1) * a["l_quantity"]
    return np.where(
        a["l_back"] > 0, -a["l_back_amount"] + a["l_cost"] * home - RETURN_UNIT * home, 0.0
    )
