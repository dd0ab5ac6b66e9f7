"""The response of a shop in one call, for whoever reads it outside chapter 03: the weeks,
the regions where they are known, the geo tests as evidence, and the fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playbook.chapters.channel_roi import geo_tests
from playbook.chapters.channel_roi.channels import budget_channels
from playbook.chapters.channel_roi.media_days import media_frame
from playbook.chapters.channel_roi.media_model import MediaModel, fit_media
from playbook.chapters.channel_roi.media_regions import with_regions
from playbook.measures.ad_spend import SpendLog

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = ["shop_media"]


def shop_media(shop: Store, spend: SpendLog, *, seed: int = 0) -> tuple[MediaModel, str]:
    """The fitted response of a shop, as chapter 03 fits it, and its basis: `margin`, or
    `revenue` without costs. `spend`: the cleaned extract; `seed`: of the posterior draws.
    """
    log: dict[str, Any] = {"refunds": shop.booked_refunds, "as_of": shop.as_of}
    weeks, basis = media_frame(
        shop.sales_orders,
        spend=spend,
        channels=budget_channels(spend, shop.get("channels")),
        promotions=shop.get("promotions"),
        **log,
    )
    known = {"ad_spend": shop.ad_spend, **log}
    weeks = with_regions(weeks, shop.sales_orders, **known)
    tests = None
    if shop.has("geo_tests"):
        tests = geo_tests.geo_readings(shop.sales_orders, geo_tests=shop.geo_tests, **known)
    evidence = geo_tests.geo_evidence(tests, weeks)
    return fit_media(weeks, tests=evidence, seed=seed), basis
