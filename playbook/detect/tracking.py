"""Tables that do not say what happened: days without visits, spend that ends, comes
twice or is billed twice, channels that claim more than they did.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.detect.finding import found, ratio_findings
from playbook.detect.panels import Panels
from playbook.store.trading import hole_days, shop_closures

__all__ = [
    "claims_apart",
    "clicks_dearer",
    "days_without_orders",
    "days_without_visits",
    "spend_ended",
    "spend_twice",
]

Finding = dict[str, Any]

#: visits under this share of their weekday's usual are thin
THIN = 0.2
#: while orders keep this share of theirs
GOES_ON = 0.5
#: days without spend of a channel that had some on nine days of ten
ENDED_DAYS, ALWAYS_ON = 3, 0.9
#: two ways of adding up a channel's day that differ by less are one delivery
SAME = 0.01
#: a click this many times as dear as before
DEARER = 1.4
#: claims beside the shop's own count, against what was usual
CLAIMS_CHANGE = 0.5


def runs(is_so: Series) -> Iterator[tuple[pd.Timestamp, pd.Timestamp]]:
    """First and last day of every run of days on which something is so."""
    number = (is_so != is_so.shift()).cumsum()
    for _number, run in is_so[is_so].groupby(number[is_so]):
        yield run.index[0], run.index[-1]


def days_without_orders(panels: Panels) -> list[Finding]:
    """Days that should hold orders and do not: the log has a hole, unless the shop says it
    was closed. Closed days between two of them are no end.
    """
    holes = panels.days.isin(hole_days(panels.shop))
    if not holes.any():
        return []
    is_hole = Series(holes & panels.judged(panels.days), panels.days)
    is_shut = shop_closures(panels.shop).known(panels.days)
    sold = panels.orders[["orders", "revenue"]].astype(float)
    sold.loc[panels.days[holes]] = np.nan
    usual = sold.apply(_weekday_usual).where(is_hole, 0.0)
    rows = []
    for start, end in runs(is_hole | is_shut):
        inside = is_hole[start:end][is_hole[start:end]].index
        if len(inside):
            lost = usual.loc[inside].sum()
            facts = {"amount": lost.revenue, "n": len(inside), "usual": lost.orders, "now": 0.0}
            rows.append(found(panels, "orders_missing", "orders", (inside[0], inside[-1]), **facts))
    return rows


def days_without_visits(panels: Panels) -> list[Finding]:
    """Orders without visits: the count of visits failed, not the shop."""
    visits = panels.visits
    if visits is None:
        return []
    sessions, orders = visits.sum(axis=1, min_count=1), panels.orders.orders
    covered = sessions.first_valid_index()
    usual, sold = (_weekday_usual(series) for series in (sessions, orders))
    is_out = (sessions.fillna(0.0) < THIN * usual) & (orders >= GOES_ON * sold)
    is_out &= (panels.days > covered) & panels.judged(panels.days)
    rows = []
    for start, end in runs(is_out):
        lost = panels.orders.loc[start:end]
        rows.append(
            found(
                panels,
                "tracking_outage",
                "traffic",
                (start, end),
                amount=lost.revenue.sum(),
                n=lost.orders.sum(),
                usual=usual[start:end].sum(),
                now=sessions[start:end].sum(),
            )
        )
    return rows


def _weekday_usual(series: Series) -> Series:
    """The median of the same weekday in the eight weeks before."""
    weeks = [series.shift(7 * k) for k in range(1, 9)]
    return pd.concat(weeks, axis=1).median(axis=1)


def spend_ended(panels: Panels) -> list[Finding]:
    """A channel that always had spend has none: its extract ended where its visits go
    on, it was stopped where they do not. What is missing cost what its visits cost in the four
    weeks before; what was stopped would have changed as the other channels' spend did.
    """
    spend = panels.spend
    if spend is None:
        return []
    visits = panels.visits
    rows = []
    wide = panels.wide(_once(spend), "channel", "spend")
    for channel, daily in wide.items():
        is_on = daily > 0
        share = is_on.shift(1).rolling(28, min_periods=28).mean()
        usual = daily.shift(1).rolling(28, min_periods=28).mean()
        for start, end in runs(~is_on & panels.judged(panels.days)):
            n_days = (end - start).days + 1
            if n_days < ENDED_DAYS or not share.get(start, 0.0) >= ALWAYS_ON:
                continue
            come = None if visits is None else visits.get(channel)
            times = np.nan if come is None else _times_as_much(come, start, end)
            kind = "spend_missing" if times >= GOES_ON else "campaign_stopped"
            if kind == "campaign_stopped":
                others = wide.drop(columns=channel).sum(axis=1)
                times = _times_as_much(others, start, end).clip(0.5, 2.0)
            each = usual[start] * (times if np.isfinite(times) else 1.0)
            facts = {
                "amount": each * n_days,
                "n": n_days,
                "usual": each,
                "now": 0.0,
            }
            facts["sd"] = daily[:start].tail(29).std() * np.sqrt(n_days)
            rows.append(
                found(
                    panels,
                    kind,
                    str(channel),
                    (start, end),
                    **facts,
                )
            )
    return rows


def _times_as_much(daily: Series, start: pd.Timestamp, end: pd.Timestamp) -> np.float64:
    """How many times as much came a day as in the four weeks before; missing without any."""
    before = daily[: start - pd.Timedelta(days=1)].tail(28).mean()
    return np.float64(daily[start:end].mean() / before if before > 0 else np.nan)


def spend_twice(panels: Panels) -> list[Finding]:
    """A channel's day told by region and once more for all of them: the same money."""
    spend = panels.spend
    if spend is None:
        return []
    rows = []
    for channel, part in spend.groupby("channel"):
        both = panels.wide(part, "is_all", "spend")
        if {True, False} - set(both):
            continue
        near = (both[True] - both[False]).abs() <= SAME * both[False]
        is_twice = near & (both[True] > 0) & panels.judged(panels.days)
        for start, end in runs(is_twice):
            more = both.loc[start:end, True]
            facts = {
                "amount": more.sum(),
                "n": len(more),
                "usual": more.sum(),
                "now": 2 * more.sum(),
            }
            rows.append(
                found(
                    panels,
                    "double_load",
                    str(channel),
                    (start, end),
                    **facts,
                )
            )
    return rows


def clicks_dearer(panels: Panels) -> list[Finding]:
    """A channel's clicks cost far more than before, as where an account is billed twice."""
    spend = panels.spend
    if spend is None or "clicks" not in spend:
        return []
    once = _once(spend)
    money, clicks = (panels.wide(once, "channel", c) for c in ("spend", "clicks"))
    rows = []
    for channel in money:
        paid = money[channel].where(clicks[channel] > 0).to_numpy()
        knobs = {
            "least_change": DEARER - 1,
            "noise": "none",
            "side": 1,
            "worth": 1.0,
        }
        rows += ratio_findings(
            panels, "billed_twice", str(channel), paid, clicks[channel].to_numpy(), **knobs
        )
    return rows


def _once(spend: DataFrame) -> DataFrame:
    """Spend with what is told twice left out: of all regions where single ones are told."""
    is_told = spend.duplicated(["day_on", "channel"], keep=False)
    return spend[~(spend.is_all & is_told)]


def claims_apart(panels: Panels) -> list[Finding]:
    """A channel claims another multiple of the shop's own count of its orders."""
    spend = panels.spend
    if spend is None or "claimed" not in spend or not panels.shop.has("orders.channel"):
        return []
    shop = panels.shop
    known = shop.sales_orders.filter(shop.sales_orders.channel.notnull())
    own = panels.grouped(
        known,
        "ordered_on",
        "channel",
        n=_.count(),
    )
    own, claimed = (
        panels.wide(frame, "channel", column)
        for frame, column in ((own, "n"), (_once(spend), "claimed"))
    )
    rows = []
    for channel in sorted(set(own) & set(claimed)):
        if not claimed[channel].sum() > 0:
            continue
        has_own = own[channel].where(own.sum(axis=1) > 0).to_numpy()
        knobs = {
            "least_change": CLAIMS_CHANGE,
            "lengths": (7, 14, 21, 30),
            "side": 0,
        }
        claims = claimed[channel].where(claimed[channel] > 0).to_numpy()
        worth = panels.worth.to_numpy()
        rows += ratio_findings(
            panels, "claims_apart", str(channel), claims, has_own, worth=worth, **knobs
        )
    return rows
