"""What known customers bring lies within what the whole shop is expected to bring: the
customer forecast held against the shop's one outlook.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from playbook.chapters.ltv_modelling.ltv_race import SOON, CustomerForecast
from playbook.errors import EngineFailed, PlaybookError
from playbook.given import dated
from playbook.messages import say
from playbook.outlook.forecast import Outlook
from playbook.outlook.reading import outlook
from playbook.store import Store

__all__ = ["most_ahead", "shop_ahead", "within_the_shop"]

#: basis of the customer forecast -> the shop's figure
METRIC = {"revenue": "net_revenue", "margin": "cm"}


def shop_ahead(
    shop: Store, basis: str, *, days: int, level: float = 0.8
) -> dict[int, tuple[float, float]]:
    """Horizon in days -> what the shop is expected to bring in it, and its upper limit
    (missing where not calibrated). Empty where the shop is too young for an outlook, or
    its `basis` is not forecast.
    """
    try:
        ahead = outlook(shop, level=level)
    except EngineFailed:
        raise
    except PlaybookError:
        return {}
    return most_ahead(
        ahead,
        METRIC[basis],
        as_of=shop.as_of,
        horizons=(*SOON, days),
    )


@dated
def most_ahead(
    ahead: Outlook, metric: str, *, as_of: dt.date, horizons: tuple[int, ...]
) -> dict[int, tuple[float, float]]:
    """Sums of the months ahead over the days after `as_of`, a month cut short counting by
    its days; a horizon beyond the months forecast is left out up to a week, and not told
    from there on.
    """
    rows = ahead.rows
    is_it = (rows["metric"] == metric) & (rows["level"] == "shop") & (rows["horizon"] == "month")
    rows = rows[is_it].sort_values("month")
    months = pd.PeriodIndex(rows["month"], freq="M")
    each = rows[["mid", "high"]].astype(float).div(months.days_in_month, axis=0).to_numpy()
    first = np.datetime64(as_of) + 1
    before = (months.start_time.to_numpy().astype("datetime64[D]") - first).astype(int)
    after = before + months.days_in_month.to_numpy()
    told = {}
    for days in horizons:
        held = np.clip(np.minimum(after, days) - np.maximum(before, 0), 0, None)
        if held.sum() < days - 7:
            continue
        amounts = held[held > 0] @ each[held > 0]
        told[days] = float(amounts[0]), float(amounts[1])
    return told


def within_the_shop(
    forecast: CustomerForecast, most: Mapping[int, tuple[float, float]]
) -> CustomerForecast:
    """The forecast with no horizon above what the shop is expected to bring in it (`most`,
    as of `shop_ahead`): where known customers were said to bring more, each brings the
    same share less, and the caveat says so.
    """
    worth = float(forecast.customers["worth"].sum())
    claimed = {**forecast.soon, forecast.days: worth}
    share = {
        days: most[days][0] / said
        for days, said in claimed.items()
        if days in most and said > most[days][0] > 0
    }
    if not share:
        return replace(forecast, most=dict(most))
    days = max(share)
    lines = [
        forecast.caveat,
        say(
            "ltv_modelling.within_the_shop",
            days=days,
            claimed=claimed[days],
            most=most[days][0],
        ),
    ]
    customers = forecast.customers
    customers = customers.assign(worth=customers["worth"] * share.get(forecast.days, 1.0))
    soon = {days: said * share.get(days, 1.0) for days, said in forecast.soon.items()}
    return replace(
        forecast,
        customers=customers,
        soon=soon,
        most=dict(most),
        caveat="; ".join(filter(None, lines)),
    )
