"""What a new customer costs: one cleaned log of spend, one stated recent window, read by
every chapter that names such a cost.

The window of a channel is its newest three complete months with spend known day by day:
complete means that refunds have had time to come in. A month with a hole in the extract
is left out, not counted as cheap.

*Recorded* new customers are those whose first order the channel touched last; *caused* ones
would not have come without it. A last touch takes buyers who were on their way anyway and
misses those whom another channel touched later (Gordon, Zettelmeyer, Bhargava & Chapsky
2019, Marketing Science 38(2)), so recorded ones are taken times a share by kind of channel:
the shop's own where it has tested one, else the one learned on simulated shops, with the
doubt that goes with it. A kind that nothing is known of is taken as recorded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from playbook.measures.ad_spend import SpendLog
from playbook.messages import read_yaml
from playbook.methods.proportions import Z90

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = [
    "LEAST_NEW",
    "RECENT_MONTHS",
    "caused_shares",
    "cost_of_new",
    "judged_months",
    "recent_cost",
    "spend_by_month",
    "with_shares",
]

#: newest complete months a channel is judged on
RECENT_MONTHS = 3
#: new customers of the window below which no cost of one is judged
LEAST_NEW = 30


def caused_shares(shop: Store) -> DataFrame:
    """One row per channel with a share: channel, caused_over_recorded (caused over recorded new
    customers), share_spread (standard deviation of its logarithm), is_own (found by a test
    of the shop's own: the setting `caused_shares`, channel -> share).
    """
    learned = read_yaml(Path(__file__).with_name("caused_shares.yaml"))
    shares, spread = learned["shares"], learned["spread"]
    rows = {}
    if shop.has("channels.kind"):
        kinds = shop.channels.select("channel", "kind").to_pandas()
        kinds = kinds[kinds.kind.isin(list(shares))].sort_values(["channel", "kind"])
        for channel, kind in kinds.itertuples(index=False):
            rows[channel] = (channel, shares[kind], spread["learned"], False)
    for channel, share in (shop.settings.get("caused_shares") or {}).items():
        rows[channel] = (channel, share, spread["own"], True)
    columns = ["channel", "caused_over_recorded", "share_spread", "is_own"]
    return DataFrame([rows[name] for name in sorted(rows)], columns=columns)


def with_shares(table: DataFrame, shares: DataFrame | None) -> DataFrame:
    """The table (channel, ...) with caused_over_recorded and share_spread; 1 and 0, as recorded,
    for a channel without a share.
    """
    known = DataFrame() if shares is None else shares.set_index("channel")
    if known.empty:
        return table.assign(caused_over_recorded=1.0, share_spread=0.0)
    return table.assign(
        caused_over_recorded=table.channel.map(known.caused_over_recorded).fillna(1.0),
        share_spread=table.channel.map(known.share_spread).fillna(0.0),
    )


def spend_by_month(log: SpendLog) -> DataFrame:
    """One row per channel and month of its span: channel, month, spend and clicks (spend
    missing where the extract does not know the month day by day), is_spend_known.
    """
    month = log.daily.day_on.dt.strftime("%Y-%m").rename("month")
    days = log.daily.groupby(["channel", month])
    sums = days[["spend", "clicks"]].sum(min_count=1).reset_index()
    ends = pd.PeriodIndex(sums.month, freq="M").end_time.normalize()
    is_whole = days.day_on.max().to_numpy() == ends
    is_known = days.is_known.all().to_numpy() & is_whole
    return sums.assign(spend=sums.spend.where(is_known), is_spend_known=is_known)


def judged_months(part: DataFrame, n_months: int = RECENT_MONTHS) -> DataFrame:
    """The months one channel is judged on: its newest `n_months` complete ones with known
    spend; where none is complete the newest there are. `part`: is_spend_known, spend,
    status of one channel, in order.
    """
    usable = part[part.is_spend_known | part.spend.isna().all()]
    ripe = usable[usable.status == "complete"]
    return next((some for some in (ripe, usable) if len(some)), part).tail(n_months)


def cost_of_new(
    spend: Series,
    new_customers: Series,
    share: Series | float = 1.0,
    spread: Series | float = 0.0,
) -> DataFrame:
    """ncac, ncac_low, ncac_high: spend over caused new customers (recorded times `share`)
    and its 90 % interval, of the Poisson count of those recorded and of the share, whose
    logarithm has the standard deviation `spread`; missing without spend or customers.
    """
    from scipy.special import gammaincinv

    paid = spend.where(spend > 0)
    won = new_customers.where(new_customers > 0).astype(float)
    cost = paid / won
    low, high = paid / gammaincinv(new_customers + 1, 0.95), paid / gammaincinv(won, 0.05)
    # without a customer there is a least cost, but no cost
    down = np.where(cost.notna(), np.hypot(np.log(cost / low), Z90 * spread), 0.0)
    up = np.hypot(np.log(high / cost), Z90 * spread)
    start = cost.fillna(low)
    return DataFrame(
        {
            "ncac": cost / share,
            "ncac_low": start / share * np.exp(-down),
            "ncac_high": cost / share * np.exp(up),
        }
    )


def recent_cost(
    months: DataFrame, *, n_months: int = RECENT_MONTHS, shares: DataFrame | None = None
) -> DataFrame:
    """One row per channel: channel, first_month, last_month, spend, new_customers (as
    recorded), caused_over_recorded, share_spread, ncac, ncac_low, ncac_high over its window.
    `months`: channel_roi.channels.channel_months; `shares`: `caused_shares`.
    """
    rows = []
    for channel, part in months.groupby("channel", sort=True):
        window = judged_months(part, n_months)
        spend = window.spend.sum(min_count=len(window))
        span = window.month.min(), window.month.max()
        rows.append((channel, *span, spend, window.new_customers.sum()))
    columns = ["channel", "first_month", "last_month", "spend", "new_customers"]
    table = DataFrame(rows, columns=columns).astype({"spend": float, "new_customers": float})
    table = with_shares(table, shares)
    cost = cost_of_new(
        table.spend,
        table.new_customers,
        table.caused_over_recorded,
        table.share_spread,
    )
    return table.join(cost)
