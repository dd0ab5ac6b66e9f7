"""The response of a shop in one call, for whoever reads it outside chapter 03: the weeks,
the regions where they are known, the geo tests as evidence, and the fit. A fit takes longer
than all that reads it, so its table is kept beside the derived tables, under a hash of the
code that makes it; chapter 03 keeps the one it has made anyway.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pandas import DataFrame

from playbook.chapters.channel_roi import geo_tests
from playbook.chapters.channel_roi.channels import budget_channels, channel_months, channel_pnl
from playbook.chapters.channel_roi.combined import combined
from playbook.chapters.channel_roi.media_days import media_frame
from playbook.chapters.channel_roi.media_model import MediaModel, fit_media
from playbook.chapters.channel_roi.media_plan import response_table
from playbook.chapters.channel_roi.media_regions import with_regions
from playbook.measures.acquisition import caused_shares
from playbook.measures.ad_spend import SpendLog
from playbook.messages import PACKAGE

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = ["keep_response", "one_estimate", "shop_media", "shop_response"]

#: files of the package that decide what a response is
MAKING = ("chapters/channel_roi/*.py", "methods/*.py", "measures/ad_spend.py")


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


def one_estimate(shop: Store, spend: SpendLog, response: DataFrame) -> DataFrame:
    """What chapter 03's methods together say of each channel (`combined.combined`), for a plan
    made outside of it.
    """
    log: dict[str, Any] = {"refunds": shop.booked_refunds, "as_of": shop.as_of}
    months = channel_months(shop.sales_orders, spend=spend, **log)
    return combined(channel_pnl(months, shares=caused_shares(shop)), response)


def shop_response(shop: Store, spend: SpendLog) -> DataFrame:
    """The response of a shop as chapter 03 tells it with its own seed: the kept table, else
    one made now and kept.
    """
    path = _place(shop)
    if path is None or not path.exists():
        made = response_table(shop_media(shop, spend)[0])
        keep_response(shop, made)
        return made
    return pd.read_parquet(path)


def keep_response(shop: Store, response: DataFrame) -> None:
    """Keep a response, made with the seed 0, for whoever reads it next."""
    path = _place(shop)
    if path is not None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        response.to_parquet(part)
        part.replace(path)


def _place(shop: Store) -> Path | None:
    """Where the table is kept; None for a store whose content is not known."""
    return shop.cache / f"response-{_version()}.parquet" if shop.content else None


@functools.cache
def _version() -> str:
    digest = hashlib.sha256()
    for pattern in MAKING:
        for path in sorted(PACKAGE.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:10]
