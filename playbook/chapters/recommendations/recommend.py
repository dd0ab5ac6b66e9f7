"""Notebook 09: what to show to whom, and whether it beats showing everybody the best
sellers.

Words. *Items* are skus. A *buyer* of an item bought it at least once. *New* items are
those a customer had not bought before the cut in time; *repeat* items those they had. A
model is judged on a later stretch of time it never saw: recall at k = mean over
customers of hits / min(k, distinct items bought in that stretch). An offline score says
what people buy anyway, not what showing it would add: only a test says that.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.chapters.recommendations.nextbuy import (
    KINDS,
    MAX_CUSTOMERS,
    MAX_ITEMS,
    MODELS,
    PLAIN_BLEND,
    Blend,
    Learnt,
    Split,
    learnt,
    lists_of,
    moment,
    purchases,
    split_at,
    tuned,
    wanted_of,
)
from playbook.given import dated
from playbook.methods.ease import (
    RIDGE,
    cosine_weights,
    ease_weights,
    list_hits,
    list_quality,
)
from playbook.methods.proportions import quantile_of_normal, wilson
from playbook.store import expression
from playbook.tables import frame_of, returns, schema

Array = np.ndarray
Table = ibis.Table | DataFrame

__all__ = [
    "Leaderboard",
    "buyer_groups",
    "leaderboard",
    "leaderboard_by_chance",
    "picks",
    "unsafe_items",
]

BASELINES = ("popularity", "buy_again")
RIVALS = tuple(model for model in MODELS if model not in BASELINES)
#: an item may not be shown below this share of goods margin in revenue
MIN_MARGIN_SHARE = 0.0
#: days after which a sale's returns are in
MATURITY_DAYS = 60
#: buyers count as new for, and go quiet after, this many days
NEW_DAYS, QUIET_DAYS = 90, 180


@dataclass(frozen=True)
class Leaderboard:
    """`table`: model x items (all, repeat, new). `curve`: hit share at every k up to
    20. `setting`: what was cut and tuned, one row per fact. `winner`: per kind of
    items, the model to show, and whether it beats the plain baseline. `blend`: the
    weights chosen for the blend. `learnt`: what the models knew at the cut.
    """

    table: DataFrame
    curve: DataFrame
    setting: DataFrame
    winner: DataFrame
    blend: Blend = PLAIN_BLEND
    learnt: Learnt | None = None


@dated
def leaderboard(
    lines: Table,
    *,
    as_of: dt.date,
    holdout_days: int = 90,
    k: int = 10,
    max_items: int = MAX_ITEMS,
    max_customers: int = MAX_CUSTOMERS,
    level: float = 0.95,
) -> Leaderboard:
    """Every model on the same customers and the same later stretch of time.

    `lines`: one row per line sold with order_id, customer_id, sku, ordered_on or
    ordered_at; rows with `is_product` false and rows without customer or sku are left
    out. `as_of` is the last day (or moment) of the test, the cut lies `holdout_days`
    before it. The catalogue is cut to the `max_items` with most buyers; a later
    purchase of any other item still counts as one the lists missed. Judged customers
    are sampled down to `max_customers` (the models learn from all). A kind of items
    nobody wanted is absent.

    Raises:
        PlaybookError: no known customer bought in both stretches.
    """
    t = purchases(lines, as_of)
    cut = moment(as_of) - dt.timedelta(days=holdout_days)
    most = {"max_items": max_items, "max_customers": max_customers}
    data = split_at(t, cut, **most)
    blend = tuned(t.filter(_.at <= cut), cut, holdout_days, k, max_items)
    weights = _weights(data)
    lists = lists_of(data, MODELS, weights, blend)
    hits = _hits(data, lists)
    table = _table(data, lists, hits, k, level)
    curves = [
        _curve(found[n_wanted > 0], level, model=model, items=kind)
        for kind, (n_wanted, of_models) in hits.items()
        for model, found in of_models.items()
    ]
    winners = [_winner(part) for _kind, part in table.groupby("items", sort=False)]
    return Leaderboard(
        table,
        pd.concat(curves, ignore_index=True),
        _setting(data, cut, blend),
        frame_of("recommendations.winner", winners),
        blend,
        Learnt(t, cut, data, weights["ease"]),
    )


@returns("recommendations.leaderboard")
@dated
def leaderboard_by_chance(
    lines: Table,
    *,
    as_of: dt.date,
    blend: Blend,
    holdout_days: int = 90,
    k: int = 10,
    level: float = 0.95,
) -> DataFrame:
    """The table of `leaderboard` for all items, of orders dealt to the test by chance, as many
    as came after the cut: the future leaks into what is learnt. For the lesson only.
    """
    t = purchases(lines, as_of)
    cut = moment(as_of) - dt.timedelta(days=holdout_days)
    data = split_at(t, cut, "random")
    lists = lists_of(data, MODELS, _weights(data), blend, kinds=KINDS[:1])
    return _table(data, lists, _hits(data, lists), k, level)


def _weights(data: Split) -> dict[str, Array]:
    """What each model that learns has learnt."""
    sold = data.bought.sign()
    return {"item_to_item": cosine_weights(sold), "ease": ease_weights(sold)}


#: kind of items -> items wanted by customer, and by model where its list was right
Hits = dict[str, tuple[Array, dict[str, Array]]]


def _hits(data: Split, lists: dict[tuple[str, str], Array]) -> Hits:
    """Of every kind of items that was listed and that anybody wanted."""
    found: Hits = {}
    for kind in dict.fromkeys(kind for _model, kind in lists):
        wanted, n_wanted = wanted_of(data, kind)
        if (n_wanted > 0).any():
            of_models = {model: list_hits(lists[model, kind], wanted) for model in MODELS}
            found[kind] = n_wanted, of_models
    return found


def _table(
    data: Split, lists: dict[tuple[str, str], Array], hits: Hits, k: int, level: float
) -> DataFrame:
    """One row per model and kind of items."""
    rows = []
    for kind, (n_wanted, of_models) in hits.items():
        for row in _judged(of_models, n_wanted, k, level):
            shown = np.unique(lists[row["model"], kind][n_wanted > 0, :k])
            coverage = (shown >= 0).sum() / (len(data.items) + data.n_items_cut)
            rows.append({**row, "items": kind, "coverage": coverage})
    return frame_of("recommendations.leaderboard", rows)


def _judged(hits: dict[str, Array], n_wanted: Array, k: int, level: float) -> list[dict[str, Any]]:
    """Each model's recall, hits and precision at k, and its gain over the better
    baseline, customer by customer.
    """
    quality = {model: list_quality(hits[model], n_wanted, k) for model in hits}
    baseline = max(BASELINES, key=lambda model: np.nanmean(quality[model].recall))
    # several rivals are tried: Bonferroni keeps the chance of any false winner
    strict = 1 - (1 - level) / len(RIVALS)
    rows = []
    for model, found in quality.items():
        low, recall, high = _mean(found.recall, level)
        gain_low, gain, gain_high = _mean(found.recall - quality[baseline].recall, strict)
        rows.append(
            {
                "model": model,
                "k": k,
                "recall_k": recall,
                "low": low,
                "high": high,
                "hit_k": np.nanmean(found.hit),
                "map_k": np.nanmean(found.average_precision),
                "n_customers": int((n_wanted > 0).sum()),
                "baseline": baseline,
                "gain": gain,
                "gain_low": gain_low,
                "gain_high": gain_high,
            }
        )
    return rows


def _mean(amounts: Array, level: float) -> tuple[float, float, float]:
    """Low, mean and high over the customers that have an amount."""
    known = amounts[~np.isnan(amounts)]
    mean = float(known.mean())
    if len(known) < 2:
        return np.nan, mean, np.nan
    half = quantile_of_normal(level) * float(known.std(ddof=1)) / len(known) ** 0.5
    return mean - half, mean, mean + half


@returns("recommendations.hit_curve")
def _curve(hits: Array, level: float, *, model: str, items: str) -> DataFrame:
    """Hits of one model's lists at every depth."""
    n_hit = np.logical_or.accumulate(hits, axis=1).sum(axis=0)
    low, high = wilson(n_hit, len(hits), level)
    depth = np.arange(1, len(n_hit) + 1)
    columns = {
        "model": model,
        "items": items,
        "k": depth,
        "hit_k": n_hit / len(hits),
    }
    return DataFrame(columns | {"low": low, "high": high, "n_customers": len(hits)})


def _winner(part: DataFrame) -> dict[str, Any]:
    """The best rival of one kind of items if it surely beats the baseline, else the
    baseline.
    """
    rivals = part[part.model.isin(RIVALS)]
    best = rivals.sort_values(["recall_k", "model"], ascending=[False, True]).iloc[0]
    beats = bool(best.gain_low > 0)
    model = best.model if beats else best.baseline
    return {
        **best,
        "model": model,
        "rival": best.model,
        "is_better": beats,
    }


def _setting(data: Split, cut: dt.datetime, blend: Blend) -> DataFrame:
    facts = {
        "cut": f"{cut:%Y-%m-%d %H:%M}",
        "items kept": len(data.items),
        "items cut": data.n_items_cut,
        "customers in both stretches": data.n_customers,
        "customers judged": len(data.n_wanted),
        "own weight": blend.own_weight,
        "trend power": blend.trend_power,
        "tuned inside training": blend.is_tuned,
        "ridge": RIDGE,
    }
    return frame_of(
        "recommendations.setting",
        [(name, str(v)) for name, v in facts.items()],
    )


@returns("recommendations.filtered")
def unsafe_items(
    sku_days: Table,
    *,
    as_of: dt.date,
    refunds: Table | None = None,
    products: Table | None = None,
    quiet_days: int = 90,
    returns_factor: float = 2.0,
    level: float = 0.95,
) -> DataFrame:
    """Items not to show, with the reason.

    Reasons: `out of stock` (the latest known stock is 0; unknown stock is no reason),
    `sells at a loss` (goods margin over revenue of the last `quiet_days` below
    `MIN_MARGIN_SHARE`; an unknown cost is no reason), `gone quiet` (no unit sold for
    `quiet_days` although known and older than that), `often returned` (Wilson's lower
    end of units returned over units sold, of sales at least `MATURITY_DAYS` old, above
    `returns_factor` x the shop's share), `withdrawn` (products.is_active false).
    """
    today = moment(as_of).date()
    sku = _sku_sums(sku_days, today, quiet_days)
    share = (sku.margin / sku.revenue.where(sku.revenue > 0)).where(sku.n_unknown == 0)
    units = sku.units.fillna(0)
    is_old = pd.to_datetime(sku.born) <= pd.Timestamp(today) - pd.Timedelta(days=quiet_days)
    frames = [
        _hit(sku, "out of stock", sku.on_hand, sku.on_hand <= 0, 0.0),
        _hit(
            sku,
            "sells at a loss",
            share,
            share < MIN_MARGIN_SHARE,
            MIN_MARGIN_SHARE,
        ),
        _hit(sku, "gone quiet", units, is_old & (units == 0), 1.0),
    ]
    if refunds is not None:
        n_back = _returned(sku, refunds, today)
        sold = sku.units_ripe.astype(float)
        low, _high = wilson(n_back, sold, level)
        limit = returns_factor * n_back.sum() / sold.sum() if sold.sum() else np.nan
        back_share = n_back / sold.where(sold > 0)
        frames.append(_hit(sku, "often returned", back_share, low > limit, limit))
    if products is not None:
        gone = expression(products).filter(~_.is_active.fill_null(True)).select("sku").to_pandas()
        frames.append(_hit(gone, "withdrawn", np.nan, True, np.nan))
    return pd.concat(frames).sort_values(["sku", "reason"], ignore_index=True)


def _sku_sums(sku_days: Table, today: dt.date, quiet_days: int) -> DataFrame:
    """One row per sku: latest known stock, first day, sums of the last `quiet_days`,
    and units old enough for their returns to be in.
    """
    recent = _.day_on > ibis.literal(today - dt.timedelta(days=quiet_days))
    ripe = _.day_on <= ibis.literal(today - dt.timedelta(days=MATURITY_DAYS))
    days = expression(sku_days).filter(_.day_on <= ibis.literal(today))
    sums = days.group_by("sku").aggregate(
        on_hand=_.on_hand.argmax(_.day_on, where=_.on_hand.notnull()),
        born=_.day_on.min(),
        revenue=_.revenue.cast("float64").sum(where=recent),
        margin=_.margin.cast("float64").sum(where=recent),
        n_unknown=(_.margin.isnull() & (_.units > 0)).sum(where=recent),
        units=_.units.sum(where=recent),
        units_ripe=_.units.sum(where=ripe),
    )
    sums = sums.order_by("sku").to_pandas()
    return sums.fillna({"n_unknown": 0, "units_ripe": 0})


def _returned(sku: DataFrame, refunds: Table, today: dt.date) -> Series:
    """Units returned of sales old enough, never more than were sold."""
    ripe = _.ordered_on <= ibis.literal(today - dt.timedelta(days=MATURITY_DAYS))
    back = expression(refunds).filter((_.kind == "return") & _.sku.notnull() & ripe)
    counted = back.group_by("sku").aggregate(n=_.quantity.fill_null(1).sum()).to_pandas()
    n_back = sku.sku.map(counted.set_index("sku")["n"]).fillna(0).astype(float)
    return np.minimum(n_back, sku.units_ripe.astype(float))


def _hit(
    sku: DataFrame,
    reason: str,
    found: Any,
    is_hit: Any,
    threshold: float,
) -> DataFrame:
    """The skus a reason is true of; not known is not true."""
    rows = sku[["sku"]].assign(
        reason=reason,
        found=found,
        threshold=threshold,
    )
    rows["found"] = rows.found.astype(float)
    return rows[Series(is_hit, rows.index).fillna(False).astype(bool)]


@returns("recommendations.picks")
def picks(
    lines: Table,
    *,
    as_of: dt.date,
    segments: Table | None = None,
    unsafe: DataFrame | None = None,
    n: int = 5,
    blend: Blend = PLAIN_BLEND,
    known: Learnt | None = None,
) -> DataFrame:
    """The n skus that stand on most of a segment's customers' own lists of n.

    Rules: `buy_again` (bought before), `discover` (not bought before), and for the
    segment `everybody`, visitors nobody knows, `popular`. Items in `unsafe` (column
    sku) are on no list. Without `segments` (customer_id, segment) all customers are
    one. `known` is `learnt` of the same lines, where it was made before. Nothing about one
    person leaves this function.
    """
    known = known or learnt(lines, as_of=as_of)
    data, weights = known.data, {"ease": known.ease}
    safe = ~data.items.isin([] if unsafe is None else unsafe.sku)
    lists = lists_of(
        data,
        ("popularity", "blend"),
        weights,
        blend,
        depth=n,
        safe=safe,
    )
    everybody = Series("everybody", index=data.customers)
    segment = everybody.replace("everybody", "known customers")
    if segments is not None:
        table = expression(segments).select("customer_id", "segment").to_pandas()
        by_customer = table.drop_duplicates("customer_id").set_index("customer_id")["segment"]
        segment = by_customer.reindex(data.customers)
    found = pd.concat(
        [
            _most_listed(lists["popularity", "all"], everybody, n).assign(rule="popular"),
            _most_listed(lists["blend", "repeat"], segment, n).assign(rule="buy_again"),
            _most_listed(lists["blend", "new"], segment, n).assign(rule="discover"),
        ],
        ignore_index=True,
    )
    rank = found.groupby(["segment", "rule"]).cumcount() + 1
    found = found.assign(rank=rank, sku=data.items[found["item"]])
    found = found.sort_values(["segment", "rule", "rank"], ignore_index=True)
    return found[schema("recommendations.picks").names]


def _most_listed(lists: Array, segment: Series, n: int) -> DataFrame:
    """Per segment the n items on most lists: segment, item, listed_share, n_customers."""
    rows, places = np.nonzero(lists >= 0)
    listed = DataFrame(
        {
            "segment": segment.to_numpy()[rows],
            "item": lists[rows, places],
        }
    )
    counted = listed.dropna().value_counts(sort=False).rename("n_listed").reset_index()
    counted = counted.sort_values(["segment", "n_listed", "item"], ascending=[True, False, True])
    top = counted.groupby("segment").head(n)
    n_judged = top.segment.map(segment.iloc[: len(lists)].value_counts())
    n_customers = top.segment.map(segment.value_counts())
    return top.assign(listed_share=top.n_listed / n_judged, n_customers=n_customers)


@dated
def buyer_groups(customer_days: Table, *, as_of: dt.date) -> DataFrame:
    """One row per known customer with an order by as-of: customer_id, segment.

    `new`: first order within `NEW_DAYS`; `once`: one older order day; `regular`:
    several, the last within `QUIET_DAYS`; `quiet`: several, the last longer ago. For
    lists only; chapter 06 has the segments.
    """
    today = ibis.literal(moment(as_of).date())
    days = expression(customer_days).filter((_.orders > 0) & (_.day_on <= today))
    known = days.group_by("customer_id").aggregate(
        n=_.day_on.nunique(),
        first=_.day_on.min(),
        last=_.day_on.max(),
    )
    segment = ibis.cases(
        (today.delta(known["first"], unit="day") < NEW_DAYS, "new"),
        (known.n == 1, "once"),
        (
            today.delta(known["last"], unit="day") < QUIET_DAYS,
            "regular",
        ),
        else_="quiet",
    )
    return known.select("customer_id", segment=segment).order_by("customer_id").to_pandas()
