"""Advertising as the shop sees it: spend by day, channel, campaign and region, and what
the platforms claim.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy import ndarray

from playbook.demo.records import Record
from playbook.demo.streams import key, poisson
from playbook.demo.world import (
    CAMPAIGN_SHARE,
    CAMPAIGN_START,
    CAMPAIGNS,
    CHANNELS,
    PAID,
    REGIONS,
    World,
    channel_law,
)
from playbook.demo.writing import Clock, pick

_ALL = len(REGIONS)  # the place of `all` among the regions
_SEARCH, _DISPLAY, _EMAIL, _REFERRAL = 1, 3, 6, 7


def ad_spend(chunk: Record, clock: Clock) -> pa.Table:
    """A month's spend with what platforms claim, the extracts' incidents in it."""
    world = clock.world
    parts = [part for c in PAID for part in _of_channel(world, chunk, c)]
    parts += [_rewards(chunk), _newsletter(world, chunk)]
    a = Record({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    k = key(world.seed, "ads", a.day, a.channel * 1000 + a.campaign * 100 + a.region)
    cost = channel_law("cost_per_click")[a.channel] * np.array([1.3, 0.8])[a.campaign % 2]
    clicks = poisson(k, "clicks", a.cents / 100 / cost)
    views = poisson(k, "impressions", clicks * channel_law("views_per_click")[a.channel])
    is_reward = a.channel == _REFERRAL
    return clock.table(
        "ad_spend",
        day_on=a.day,
        channel=pick(CHANNELS, a.channel),
        campaign=pick(CAMPAIGNS, CAMPAIGN_START[a.channel] + a.campaign),
        region=pick((*REGIONS, "all"), a.region),
        spend=np.round(a.cents * a.billed).astype(int),
        impressions=(np.maximum(views, clicks), is_reward),
        clicks=(clicks, is_reward),
        platform_orders=(a.orders, ~a.claims),
        platform_value=(a.value, ~a.claims),
        currency="EUR",
    )


def _of_channel(world: World, chunk: Record, c: int) -> list[Record]:
    """A paid channel's rows; search's a second time, without regions, where its extract
    was loaded twice.
    """
    days = np.arange(chunk.first, chunk.last)
    spend = chunk.spend[:, c, None, :] * CAMPAIGN_SHARE[c][None, :, None]
    cents = np.round(spend * 100).astype(int)
    billed = np.ones(len(days))
    if c == PAID[world.of_incident("ad_double_billed", len(PAID) - 1)]:
        is_hit = world.hits("ad_double_billed", days)
        billed = np.where(is_hit, world.size.get("ad_double_billed", 1.0), 1.0)
    claims = chunk.claims.get(c)
    part = _part(days, c, cents, claims)
    part.billed = billed[part.day - chunk.first]
    if c == _DISPLAY:
        is_there = ~world.hits("ad_extract_ends", part.day)
        part = Record({name: values[is_there] for name, values in part.items()})
    starts = world.incidents.get("double_load", (-1,))[0]
    if c != _SEARCH or starts not in days:
        return [part]
    again = world.hits("double_load", days)
    sums = [x[again].sum(axis=2, keepdims=True) for x in (cents, *claims)]
    twice = _part(days[again], c, sums[0], sums[1:], first_region=_ALL)
    twice.billed = billed[twice.day - chunk.first]
    return [part, twice]


def _part(
    days: ndarray,
    channel: int,
    cents: ndarray,
    claims: tuple | list | None = None,
    first_region: int = 0,
) -> Record:
    """Rows from cents, claimed orders and claimed value by day, campaign and region."""
    d, campaign, region = (x.ravel() for x in np.indices(cents.shape))
    orders, value = claims or (np.zeros(cents.shape), np.zeros(cents.shape, int))
    return Record(
        day=days[d],
        channel=np.full(len(d), channel),
        campaign=campaign,
        region=region + first_region,
        cents=cents.ravel(),
        orders=orders.ravel(),
        value=value.ravel(),
        claims=np.full(len(d), claims is not None),
        billed=np.ones(len(d)),
    )


def _rewards(chunk: Record) -> Record:
    """Five euros for every friend who came and bought."""
    days = np.arange(chunk.first, chunk.last)
    sent = chunk.o_new & (chunk.o_cause == _REFERRAL) & (chunk.o_fate == 0)
    cell = (chunk.o_day[sent] - chunk.first) * _ALL + chunk.o_region[sent]
    cents = np.bincount(cell, minlength=len(days) * _ALL) * 500
    return _part(days, _REFERRAL, cents.reshape(len(days), 1, _ALL))


def _newsletter(world: World, chunk: Record) -> Record:
    days = np.arange(chunk.first, chunk.last)
    cents = np.full((len(days), 1, 1), email_cents(world))
    return _part(days, _EMAIL, cents, first_region=_ALL)


def email_cents(world: World) -> int:
    """Cents a day the mailing tool costs."""
    return round(world.preset.customers * 0.02)
