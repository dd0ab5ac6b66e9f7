"""The decision rows in which chapter 10 ends. A number nobody knows stays missing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from playbook.chapters.assortment_pricing.promotion_review import CONFIDENCE
from playbook.decisions import decision_rows, propose
from playbook.detect.proposals import lasting_rows
from playbook.given import dated
from playbook.messages import say
from playbook.outlook.ahead import WEEKS_OF_YEAR

__all__ = ["offer_decisions", "range_decisions", "unjudged", "wrong_prices"]

#: rows of each kind
MOST = 10
#: a price move above this chance of a gain is sure
HIGH_CHANCE = 0.95
#: a promotion is decided this long before its day comes round, and within a month
LEAD_DAYS, WITHIN_DAYS = 7, 30
#: standard errors of a four-in-five interval
REACH = 1.28
#: days ahead within which a promotion has to be decided
QUARTER_DAYS = 92
#: the threshold to test where only one was ever in force, over it
NEXT_STEP = 1.25
#: verdicts on a launch from which something follows
JUDGED = ("scale", "fix", "leave")
#: chance of a loss from which an undecided promotion is not held again
SURE = 0.8


@dated
def range_decisions(
    moves: DataFrame,
    review: DataFrame,
    tail: DataFrame,
    quality: DataFrame,
    fresh: DataFrame,
    *,
    as_of: dt.date,
    currency: str,
    coming: DataFrame | None = None,
) -> DataFrame:
    """Rows in the decision schema: price moves by gain, promotions whose interval
    leaves their cost or that lost money in four chances of five (the largest first, due
    before their day comes round), sure delistings, holds by units returned, new items by
    views. A sku on hold or delisted gets no other row. `coming` (outlook.promotions_ahead)
    says when a promotion's same weeks come round and how many of their days are planned. A
    promotion the calendar holds again anyhow wins nothing by being repeated, one of whose
    weeks nothing is planned in wins nothing by being stopped, and one that comes round later
    than in a quarter need not be decided yet.
    """
    held = quality[quality.is_hold.astype(bool)]
    # what goes off sale gets no price and no visits
    off = {*held.get("sku", ()), *tail[tail.confidence == "high"].get("sku", ())}
    prices = _largest(_without(moves[moves.action != "keep"], off), "gain")
    holds = _largest(held, "n_returned")
    items = _largest(_without(fresh[fresh.action != "leave"], off), "views")
    judged = [_judged(row) for row in review.itertuples()]
    promotions = [
        _promotion(row, verdict, as_of, currency, coming)
        for row, verdict in judged
        if verdict != "undecided"
    ]
    rows = [
        *(_price(row, as_of, currency) for row in prices),
        *sorted(promotions, key=lambda row: -row["expected_effect"])[:MOST],
    ]
    for row in tail[tail.confidence == "high"].head(MOST).itertuples():
        effect = (row.effect, row.effect_low, row.effect_high)
        known = {"effect": effect, "evidence_value": row.margin, "currency": currency}
        known |= _days(as_of, 30, 90)
        rows.append(propose("assortment_pricing.delist", row.sku, **known))
    for row in holds:
        known = {"size": row.n_returned, "evidence_value": row.return_share}
        known |= {"effect": (row.money_above,), "currency": currency}
        known |= {"threshold": 2 * row.category_share, **_days(as_of, 7, 60)}
        rows.append(propose("assortment_pricing.quality_hold", row.sku, **known))
    for row in items:
        known = {"action": row.action, "size": row.views, "evidence_value": row.conversion}
        known |= _days(as_of, 14, 45)
        rows.append(propose("assortment_pricing.new_item", row.sku, **known))
    return decision_rows(rows)


@dated
def wrong_prices(
    happened: DataFrame,
    under: DataFrame,
    moves: DataFrame,
    tail: DataFrame,
    *,
    as_of: dt.date,
    currency: str,
) -> DataFrame:
    """Rows in the decision schema: prices that are wrong and goods that come back more
    than before, as the table of incidents (`happened`) tells them where they last until
    as-of; and skus sold `under_cost` that `moves` do not raise nor the `tail` drops anyway.

    What is wrong costs each month what it cost so far. A price raised until a sku pays for
    itself ends its loss whether it is still bought or not; the interval is that of the
    number of its orders. The price is today's regular one (`moves`), raised as far as what
    was paid has to rise; what was paid where none is known.
    """
    kinds = ("price_error", "category_price", "sku_comes_back")
    days = _days(as_of, 1, 14)
    rows = lasting_rows(
        "assortment_pricing", happened, kinds, as_of=as_of, currency=currency, **days
    )
    told = {row["subject"] for row in rows if row["action"] == "mend price"}
    told |= {*moves.sku[moves.action == "raise"], *tail.sku[tail.confidence == "high"]}
    price = moves.set_index("sku").now.astype(float)
    for row in under[~under.sku.isin(told)].head(MOST).itertuples():
        reach = REACH * row.loss / np.sqrt(row.n_orders)
        regular = price.get(row.sku, np.nan)
        paid = row.price_paid if np.isnan(regular) else regular
        size = paid * row.price_needed / row.price_paid
        known = {"size": round(size, 2), "evidence_value": row.price_paid}
        known |= {"effect": (row.loss, row.loss - reach, row.loss + reach), "units": row.units}
        known |= {"threshold": row.price_needed, "currency": currency} | _days(as_of, 7, 63)
        rows.append(propose("assortment_pricing.under_cost", row.sku, **known))
    return decision_rows(rows)


def _largest(table: DataFrame, by: str) -> list[Any]:
    """The rows with the largest amounts, ties in the order of their skus."""
    if len(table):
        table = table.sort_values([by, "sku"], ascending=[False, True])
    return list(table.head(MOST).itertuples())


def _without(table: DataFrame, skus: set[str]) -> DataFrame:
    """The rows of other skus."""
    return table[~table["sku"].isin(skus)] if len(table) else table


def _days(as_of: dt.date, due: int, revisit: int) -> dict[str, str]:
    """When a row is due and looked at again, in days after as-of."""
    ahead = {"due_on": due, "revisit_on": revisit}
    return {name: str(as_of + dt.timedelta(days=days)) for name, days in ahead.items()}


def _price(row: Any, as_of: dt.date, currency: str) -> dict[str, Any]:
    return propose(
        f"assortment_pricing.price_{row.action}",
        row.sku,
        size=row.plan,
        effect=(row.gain, row.gain_low, row.gain_high),
        confidence="high" if row.chance > HIGH_CHANCE else "medium",
        evidence_value=row.elasticity,
        reason=row.reason,
        currency=currency,
        **_days(as_of, 7, 63),
    )


def _judged(row: Any) -> tuple[Any, str]:
    """A promotion and its verdict: an undecided one stops where it cost more than it
    brought in four chances of five, for next year's can be taken up again.
    """
    from scipy.stats import norm

    if row.verdict != "undecided" or not row.high > row.low:
        return row, row.verdict
    error = (row.high - row.low) / (2 * norm.ppf(0.5 + CONFIDENCE / 2))
    net = row.incremental_margin - np.nan_to_num(row.cost)
    return row, "stop" if norm.cdf(-net / error) >= SURE else "undecided"


def _promotion(
    row: Any, verdict: str, as_of: dt.date, currency: str, coming: DataFrame | None
) -> dict[str, Any]:
    """What another one like it would bring, or the loss that is avoided."""
    sign = 1 if verdict == "repeat" else -1
    results = (row.low, row.incremental_margin, row.high)
    low, middle, high = sorted((x - np.nan_to_num(row.cost)) * sign for x in results)
    again = pd.Timestamp(row.starts_on) + pd.Timedelta(days=WEEKS_OF_YEAR)
    left = (again - pd.Timestamp(as_of)).days
    due = max(min(left - LEAD_DAYS, WITHIN_DAYS), 1) if left > 0 else WITHIN_DAYS
    return propose(
        f"assortment_pricing.promotion_{verdict}",
        row.promo_id,
        size=float(np.nan_to_num(row.cost)),
        effect=(middle, low, high),
        confidence="high" if verdict == row.verdict else "medium",
        is_idle=not 0 < left <= QUARTER_DAYS or _changes_nothing(row.promo_id, verdict, coming),
        evidence_value=row.promo_roi,
        currency=currency,
        comes=_comes(row.promo_id, coming),
        **_days(as_of, due, 120),
    )


def _changes_nothing(promo_id: str, verdict: str, coming: DataFrame | None) -> bool:
    """A repeat of what is planned on all its days or nobody knows about, and an end to what
    no day is planned of.
    """
    row = _round_again(promo_id, coming)
    if row is None:
        return verdict == "repeat"
    return bool(row.n_planned >= row.n_days if verdict == "repeat" else row.n_planned == 0)


def _round_again(promo_id: str, coming: DataFrame | None) -> Series | None:
    """The row of a promotion whose same weeks come round; None where it is not among them."""
    mine = DataFrame() if coming is None else coming[coming["promo_id"] == promo_id]
    return None if mine.empty else mine.iloc[0]


def _comes(promo_id: str, coming: DataFrame | None) -> str:
    """When the same weeks come round, and what is planned in them, in words."""
    row = _round_again(promo_id, coming)
    if row is None:
        return say("assortment_pricing.comes_later")
    words = {"day": f"{row.comes_on:%Y-%m-%d}", "n": row.n_days, "planned": row.n_planned}
    return say("assortment_pricing.comes_round", **words)


@dated
def offer_decisions(
    tried: DataFrame,
    bands: DataFrame,
    codes: DataFrame,
    started: DataFrame,
    *,
    as_of: dt.date,
    currency: str,
) -> DataFrame:
    """Rows in the decision schema: in each zone the threshold that surely earns more than the
    one in force, or a test where only one was ever tried; small baskets that surely lose;
    vouchers that surely lost, and the dearest that nobody was held out from; launches to
    scale, fix or leave.
    """
    rows = [_postage(zone, part, as_of, currency) for zone, part in tried.groupby("zone")]
    rows.append(_small(bands, as_of, currency))
    rows += [_voucher(row, as_of, currency) for row in codes.head(MOST).itertuples()]
    for row in started[started.verdict.isin(JUDGED)].head(MOST).itertuples():
        effect = (row.effect, row.effect_low, row.effect_high)
        known = {"n": row.n_siblings, "share": row.rank_share, "currency": currency}
        known |= {"size": row.expected, "evidence_value": row.margin, **_days(as_of, 14, 56)}
        rows.append(
            propose(f"assortment_pricing.launch_{row.verdict}", row.sku, effect=effect, **known)
        )
    return decision_rows([row for row in rows if row])


def unjudged(fresh: DataFrame, started: DataFrame) -> DataFrame:
    """The new items that get no decision beside their siblings: what a launch has become says
    more than its first visits.
    """
    told = started[started.verdict.isin(JUDGED)].head(MOST)
    return fresh[~fresh.sku.isin(told.sku)]


def _postage(zone: str, tried: DataFrame, as_of: dt.date, currency: str) -> dict[str, Any] | None:
    """The best threshold where it surely earns more than the one in force; a test half a step
    above the only one there was.
    """
    subject = say("assortment_pricing.postage_of", zone=zone)
    now = tried[tried.is_now].iloc[0]
    known = {"currency": currency, "evidence_value": now.margin_week, **_days(as_of, 21, 70)}
    known["threshold"] = now.threshold
    if len(tried) == 1:
        size = round(now.threshold * NEXT_STEP)
        return propose("assortment_pricing.postage_test", subject, size=size, **known)
    best = tried.loc[tried.gain.idxmax()]
    if not best.gain_low > 0:
        return None
    effect = (best.gain, best.gain_low, best.gain_high)
    known |= {"size": best.threshold, "effect": effect, "confidence": "medium"}
    return propose("assortment_pricing.postage_move", subject, **known)


def _small(bands: DataFrame, as_of: dt.date, currency: str) -> dict[str, Any] | None:
    """The smallest baskets as far as each of their bands surely loses money."""
    lost = bands[(bands.margin_order_high < 0).astype(int).cummin().astype(bool)]
    if lost.empty:
        return None
    effect = (-lost.margin.sum(), -lost.high.sum(), -lost.low.sum())
    known = {"n": int(lost.n.sum()), "size": lost.basket_to.max(), "effect": effect}
    known |= {"currency": currency, "evidence_value": lost.margin.sum(), **_days(as_of, 21, 90)}
    return propose(
        "assortment_pricing.small_baskets", say("assortment_pricing.small_baskets"), **known
    )


def _voucher(row: Any, as_of: dt.date, currency: str) -> dict[str, Any] | None:
    known = {"size": row.discount, "currency": currency, **_days(as_of, 14, 60)}
    if row.verdict == "stop":
        effect = tuple(sorted((-row.won_low, -row.won, -row.won_high)))
        effect = (effect[1], effect[0], effect[2])
        known |= {"effect": effect, "share": row.anyway_share, "evidence_value": row.anyway_share}
        return propose("assortment_pricing.voucher_stop", row.coupon, **known)
    if row.verdict == "no hold-out":
        return propose("assortment_pricing.voucher_test", row.coupon, **known)
    return None
