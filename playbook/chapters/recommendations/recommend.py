"""Notebook 09: what to show beside what, to whom, and whether it beats showing
everybody the best sellers.

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

from playbook.chapters.recommendations.nextbuy import (
    KINDS,
    MODELS,
    lists_of,
    moment,
    purchases,
    split_at,
    tuned,
    wanted_of,
)
from playbook.errors import PlaybookError
from playbook.methods.baskets import pair_rules
from playbook.methods.ease import cosine_weights, ease_weights, list_hits, list_quality
from playbook.methods.proportions import quantile_of_normal, wilson
from playbook.store import expression

__all__ = [
    "Leaderboard",
    "bundles",
    "buyer_groups",
    "item_pairs",
    "leaderboard",
    "picks",
    "recommend_decisions",
    "replenishment",
    "unsafe_items",
]

MIN_LIFT = 1.5  # times as often as chance a pair has to be bought together, at least, to be offered as a bundle


@dataclass(frozen=True)
class Leaderboard:
    """`table`: model x items (all, repeat, new). `curve`: hit share at every k up to
    20. `setting`: what was cut and tuned, one row per fact. `winner`: per kind of
    items, the model to show, and whether it beats the plain baseline.
    """

    table: pd.DataFrame
    curve: pd.DataFrame
    setting: pd.DataFrame
    winner: pd.DataFrame


def leaderboard(
    lines: Any,
    *,
    as_of: Any,
    holdout_days: int = 90,
    k: int = 10,
    max_items: int = 4_000,
    max_customers: int = 20_000,
    ridge: float = 300.0,
    split: str = "time",
    level: float = 0.95,
    seed: int = 0,
) -> Leaderboard:
    """Every model on the same customers and the same later stretch of time.

    `lines`: one row per line sold with order_id, customer_id, sku, ordered_on or
    ordered_at; rows with `is_product` false and rows without customer or sku are left
    out. `as_of` is the last day (or moment) of the test, the cut lies `holdout_days`
    before it. The catalogue is cut to the `max_items` with most buyers; a later
    purchase of any other item still counts as one the lists missed. Judged customers
    are sampled down to `max_customers` (the models learn from all). `split="random"` is
    for the lesson: orders are dealt to the test by chance, so the future leaks in.

    `table` has model, items, k, recall_k, low, high (normal interval over customers),
    hit_k, map_k, n_customers, coverage (share of the whole catalogue ever listed),
    baseline (the better of popularity and buy_again), gain (recall over the baseline's,
    customer by customer), gain_low, gain_high. A kind of items nobody wanted is absent.

    Raises:
        PlaybookError: no known customer bought in both stretches; an unknown split.
    """
    t = purchases(lines, as_of)
    cut = moment(as_of) - dt.timedelta(days=holdout_days)
    if split not in ("time", "random"):
        raise PlaybookError(
            f"no split is called {split!r}",
            rule="split",
            do="use 'time', or 'random' for the lesson",
        )
    data = split_at(t, cut, max_items, max_customers, seed, split)
    power, weight, is_tuned = tuned(
        t.filter(_.at <= cut), cut, holdout_days, k, max_items, ridge, seed
    )
    sold = data.bought.sign()
    weights = {"item_to_item": cosine_weights(sold), "ease": ease_weights(sold, ridge=ridge)}
    lists = lists_of(data, MODELS, weights, power, weight)
    rows, curve = [], []
    for kind in KINDS:
        wanted, n_wanted = wanted_of(data, kind)
        if not (n_wanted > 0).any():
            continue
        hits = {m: list_hits(lists[m, kind], wanted) for m in MODELS}
        found = {m: list_quality(hits[m], n_wanted, k) for m in MODELS}
        baseline = max(("popularity", "buy_again"), key=lambda m: np.nanmean(found[m].recall))
        for model in MODELS:
            low, mean, high, n = _mean(found[model].recall, level)
            # three rivals are tried against the baseline: Bonferroni keeps the chance of any false winner
            gain_low, gain, gain_high, _n = _mean(
                found[model].recall - found[baseline].recall, 1 - (1 - level) / 3
            )
            shown = np.unique(lists[model, kind][n_wanted > 0, :k])
            rows.append(
                {
                    "model": model,
                    "items": kind,
                    "k": k,
                    "recall_k": mean,
                    "low": low,
                    "high": high,
                    "hit_k": np.nanmean(found[model].hit),
                    "map_k": np.nanmean(found[model].average_precision),
                    "n_customers": n,
                    "coverage": (shown >= 0).sum() / (len(data.items) + data.n_items_cut),
                    "baseline": baseline,
                    "gain": gain,
                    "gain_low": gain_low,
                    "gain_high": gain_high,
                }
            )
            for depth in range(1, hits[model].shape[1] + 1):
                n_hit = int(hits[model][n_wanted > 0, :depth].any(axis=1).sum())
                curve.append(
                    (model, kind, depth, n_hit / n, *map(float, wilson(n_hit, n, level)), n)
                )
    table = pd.DataFrame(rows)
    best = [_winner(part, kind) for kind, part in table.groupby("items", sort=False)]
    setting = [
        ("cut", str(cut)),
        ("items kept", len(data.items)),
        ("items cut", data.n_items_cut),
        ("customers in both stretches", data.n_customers),
        ("customers judged", len(data.n_wanted)),
        ("own weight", weight),
        ("trend power", power),
        ("tuned inside training", is_tuned),
        ("ridge", ridge),
    ]
    return Leaderboard(
        table,
        pd.DataFrame(curve, columns=["model", "items", "k", "hit_k", "low", "high", "n_customers"]),
        pd.DataFrame([(name, str(found)) for name, found in setting], columns=["fact", "found"]),
        pd.DataFrame(best),
    )


def item_pairs(
    lines: Any,
    *,
    as_of: Any,
    min_support: float = 0.001,
    min_n: int = 20,
    max_items: int = 4_000,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row per ordered pair of skus bought in one order: those of
    `methods.baskets.pair_rules` plus `margin`.

    `margin` is the mean goods margin (revenue less cost) that a line of b brings in an
    order; missing where a cost is, or where the table has no cost column. Pairs in
    fewer than `min_n` orders are left out: lift on few orders is luck. Only the
    `max_items` items in most orders are paired, and `items_cut` says how many were not.
    """
    t = purchases(lines, as_of, needs_customer=False)
    cost = t.cost if "cost" in t.columns else ibis.null("float64")
    revenue = t.revenue if "revenue" in t.columns else ibis.null("float64")
    t = t.mutate(goods_margin=revenue.cast("float64") - cost.cast("float64"))
    items = t.group_by("sku").aggregate(
        n=_.order_id.nunique(), margin=_.goods_margin.sum(), n_unknown=_.goods_margin.isnull().sum()
    )
    items = items.order_by(ibis.desc("n"), "sku").to_pandas()
    kept = items.head(max_items)
    held = t.inner_join(ibis.memtable(kept[["sku"]]), "sku") if len(items) > max_items else t
    held = (
        held.select(basket=_.order_id, item=_.sku).distinct().order_by("basket", "item").to_pandas()
    )
    n_baskets = int(t.order_id.nunique().to_pandas())
    rules = pair_rules(held, min_support=min_support, min_n=min_n, level=level)
    if (
        len(rules) and n_baskets != rules["n_baskets"].iloc[0]
    ):  # orders of rare items only are baskets too
        more = n_baskets / rules["n_baskets"]
        rules = rules.assign(
            n_baskets=n_baskets,
            support=rules.support / more,
            pair_lift=rules.pair_lift * more,
            lift_low=rules.lift_low * more,
        )
        rules = rules[rules.support >= min_support].reset_index(drop=True)
    margin = (kept.margin / kept.n).where(kept.n_unknown == 0).set_axis(kept.sku)
    return rules.assign(
        margin=rules["b"].map(margin).astype(float), items_cut=max(len(items) - max_items, 0)
    )


def bundles(
    pairs: pd.DataFrame,
    *,
    discount_share: float = 0.05,
    min_lift: float = MIN_LIFT,
    unsafe: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per unordered pair that goes together beyond chance (`lift_low` of both
    directions above `min_lift`).

    `margin` is the goods margin of the two lines, `discount_share` of it is given away
    to everybody who takes both, `n` orders took both unasked, so `extra_needed` = n x
    discount / (margin - discount) further orders must take both before the bundle earns
    anything; `extra_needed_share` is that over the orders with exactly one of them.
    Margins missing give missing answers. `is_unsafe`: one of the two is in `unsafe`
    (column sku), so the pair is not offered. Sorted by `lift_low`: what surely belongs
    together first.
    """
    two = pairs.merge(
        pairs[["a", "b", "margin", "lift_low"]],
        left_on=["a", "b"],
        right_on=["b", "a"],
        suffixes=("", "_other"),
    )
    two = two[(two.a < two.b) & (two[["lift_low", "lift_low_other"]].min(axis=1) > min_lift)]
    margin = two.margin + two.margin_other
    given = margin * discount_share
    needed = (two.n * given / (margin - given)).where(margin > 0)
    one = two.n_a + two.n_b - 2 * two.n
    found = pd.DataFrame(
        {
            "a": two.a,
            "b": two.b,
            "n": two.n,
            "pair_lift": two.pair_lift,
            "lift_low": two.lift_low,
            "attach_share": two.n / (two.n + one),
            "margin": margin,
            "discount": given,
            "extra_needed": needed,
            "extra_needed_share": (needed / one).where(one > 0),
            "is_unsafe": two[["a", "b"]]
            .isin([] if unsafe is None else set(unsafe["sku"]))
            .any(axis=1),
        }
    )
    return found.sort_values(
        ["lift_low", "a", "b"], ascending=[False, True, True], ignore_index=True
    )


def replenishment(
    lines: Any, *, as_of: Any, window_days: int = 120, min_buyers: int = 50, level: float = 0.95
) -> pd.DataFrame:
    """One row per sku with at least `min_buyers` buying days that had a full window to
    be followed by another.

    A start is a customer's day with the sku, at least `window_days` before as-of;
    `rebuy_share` is the share of starts followed by another such day within the window,
    with Wilson's interval, and `rebuy_days` the median wait of those, with its
    quartiles `early_days` and `late_days`. Younger starts are left out, or quick
    rebuyers alone would be seen. A reminder is due shortly before `rebuy_days`. Sorted
    by `rebuy_share`, highest first.
    """
    t = purchases(lines, as_of)
    days = t.select("customer_id", "sku", day=_.at.date()).distinct()
    after = days.day.lead().over(ibis.window(group_by=["customer_id", "sku"], order_by="day"))
    last = ibis.literal(moment(as_of).date() - dt.timedelta(days=window_days))
    starts = days.mutate(wait=after.delta(days.day, unit="day")).filter(_.day <= last)
    soon = starts.wait <= window_days
    found = (
        starts.group_by("sku")
        .aggregate(
            n_starts=_.count(),
            n_rebuys=soon.fill_null(False).sum(),
            rebuy_days=starts.wait.median(where=soon),
            early_days=starts.wait.quantile(0.25, where=soon),
            late_days=starts.wait.quantile(0.75, where=soon),
        )
        .filter(_.n_starts >= min_buyers)
        .order_by("sku")
        .to_pandas()
    )
    low, high = wilson(found.n_rebuys, found.n_starts, level)
    found = found.assign(rebuy_share=found.n_rebuys / found.n_starts, low=low, high=high)
    return found.sort_values(["rebuy_share", "sku"], ascending=[False, True], ignore_index=True)


def unsafe_items(
    sku_days: Any,
    *,
    as_of: Any,
    refunds: Any = None,
    products: Any = None,
    min_margin_share: float = 0.0,
    quiet_days: int = 90,
    returns_factor: float = 2.0,
    maturity_days: int = 60,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row per sku and reason not to show it: `sku, reason, found, threshold`,
    sorted by both.

    Reasons: `out of stock` (the latest known stock is 0; unknown stock is no reason),
    `sells at a loss` (goods margin over revenue of the last `quiet_days` below
    `min_margin_share`; an unknown cost is no reason), `gone quiet` (no unit sold for
    `quiet_days` although known and older than that), `often returned` (Wilson's lower
    end of units returned over units sold, of sales at least `maturity_days` old, above
    `returns_factor` x the shop's share), `withdrawn` (products.is_active false).
    """
    today = moment(as_of).date()
    days = expression(sku_days).filter(_.day_on <= ibis.literal(today))
    recent = _.day_on > ibis.literal(today - dt.timedelta(days=quiet_days))
    ripe = _.day_on <= ibis.literal(today - dt.timedelta(days=maturity_days))
    sku = (
        days.group_by("sku")
        .aggregate(
            on_hand=_.on_hand.argmax(_.day_on, where=_.on_hand.notnull()),
            born=_.day_on.min(),
            revenue=_.revenue.cast("float64").sum(where=recent),
            margin=_.margin.cast("float64").sum(where=recent),
            n_unknown=(_.margin.isnull() & (_.units > 0)).sum(where=recent),
            units=_.units.sum(where=recent),
            units_ripe=_.units.sum(where=ripe),
        )
        .order_by("sku")
        .to_pandas()
    )
    share = (sku.margin / sku.revenue.where(sku.revenue > 0)).where(sku.n_unknown.fillna(0) == 0)
    is_old = pd.to_datetime(sku.born) <= pd.Timestamp(today) - pd.Timedelta(days=quiet_days)
    reasons = [
        ("out of stock", sku.on_hand, sku.on_hand <= 0, 0.0),
        ("sells at a loss", share, share < min_margin_share, min_margin_share),
        ("gone quiet", sku.units.fillna(0), is_old & (sku.units.fillna(0) == 0), 1.0),
    ]
    if refunds is not None:
        back = expression(refunds).filter(
            (_.kind == "return")
            & _.sku.notnull()
            & (_.ordered_on <= ibis.literal(today - dt.timedelta(days=maturity_days)))
        )
        back = (
            back.group_by("sku")
            .aggregate(n=_.quantity.fill_null(1).sum())
            .to_pandas()
            .set_index("sku")
            .n
        )
        sold = sku.units_ripe.fillna(0).to_numpy(float)
        n_back = np.minimum(sku.sku.map(back).fillna(0).to_numpy(float), sold)
        low, _high = wilson(n_back, sold, level)
        limit = returns_factor * n_back.sum() / sold.sum() if sold.sum() else np.nan
        reasons.append(
            (
                "often returned",
                pd.Series(n_back / np.where(sold > 0, sold, np.nan)),
                low > limit,
                limit,
            )
        )
    frames = [
        pd.DataFrame(
            {"sku": sku.sku, "reason": reason, "found": found.astype(float), "threshold": limit}
        )[np.asarray(pd.Series(is_hit).fillna(False), dtype=bool)]
        for reason, found, is_hit, limit in reasons
    ]
    if products is not None:
        gone = (
            expression(products)
            .filter(~_.is_active.fill_null(True))
            .select("sku")
            .order_by("sku")
            .to_pandas()
        )
        frames.append(gone.assign(reason="withdrawn", found=np.nan, threshold=np.nan))
    return pd.concat(frames).sort_values(["sku", "reason"], ignore_index=True)


def picks(
    lines: Any,
    *,
    as_of: Any,
    segments: Any = None,
    unsafe: pd.DataFrame | None = None,
    n: int = 5,
    own_weight: float = 4.0,
    trend_power: float = 0.5,
    ridge: float = 300.0,
    max_items: int = 4_000,
    max_customers: int = 20_000,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per segment, rule and rank: `segment, rule, rank, sku, listed_share,
    n_customers`.

    Every customer (of a sample of `max_customers`) gets a list of n; a segment shows
    the n skus that stand on most of its customers' lists (`listed_share`). Rules:
    `buy_again` (bought before), `discover` (not bought before), and for the segment
    `everybody`, visitors nobody knows, `popular`. Items in `unsafe` (column sku) are on
    no list. Without `segments` (customer_id, segment) all customers are one. Nothing
    about one person leaves this function.
    """
    data = split_at(purchases(lines, as_of), moment(as_of), max_items, max_customers, seed, "none")
    safe = ~data.items.isin([] if unsafe is None else unsafe["sku"])
    weights = {"ease": ease_weights(data.bought.sign(), ridge=ridge)}
    lists = lists_of(
        data,
        ("blend",),
        weights,
        trend_power,
        own_weight,
        kinds=("repeat", "new"),
        depth=n,
        safe=safe,
    )
    segment, judged = pd.Series("known customers", index=data.customers), len(data.n_wanted)
    if segments is not None:
        table = expression(segments).select("customer_id", "segment").to_pandas()
        segment = (
            table.drop_duplicates("customer_id")
            .set_index("customer_id")["segment"]
            .reindex(data.customers)
        )
    popular = pd.DataFrame(
        {
            "segment": "everybody",
            "rule": "popular",
            "sku": data.items[safe][:n],
            "listed_share": 1.0,
            "n_customers": data.n_customers,
        }
    )
    frames = [popular]
    for rule, kind in (("buy_again", "repeat"), ("discover", "new")):
        rows, places = np.nonzero(lists["blend", kind] >= 0)
        listed = pd.DataFrame(
            {"segment": segment.iloc[rows].to_numpy(), "item": lists["blend", kind][rows, places]}
        )
        counted = (
            listed.dropna().groupby(["segment", "item"]).size().rename("n_listed").reset_index()
        )
        counted = counted.sort_values(
            ["segment", "n_listed", "item"], ascending=[True, False, True]
        )
        top = counted.groupby("segment").head(n)
        share = top.n_listed / top.segment.map(segment.iloc[:judged].value_counts())
        frames.append(
            pd.DataFrame(
                {
                    "segment": top.segment,
                    "rule": rule,
                    "sku": data.items[top["item"]],
                    "listed_share": share,
                    "n_customers": top.segment.map(segment.value_counts()),
                }
            )
        )
    found = pd.concat(frames, ignore_index=True)
    found.insert(2, "rank", found.groupby(["segment", "rule"]).cumcount() + 1)
    return found.sort_values(["segment", "rule", "rank"], ignore_index=True)


def buyer_groups(
    customer_days: Any, *, as_of: Any, new_days: int = 90, quiet_days: int = 180
) -> pd.DataFrame:
    """One row per known customer with an order by as-of: customer_id, segment.

    `new`: first order within `new_days`; `once`: one older order day; `regular`:
    several, the last within `quiet_days`; `quiet`: several, the last longer ago. For
    lists only; chapter 06 has the segments.
    """
    today = ibis.literal(moment(as_of).date())
    days = expression(customer_days).filter((_.orders > 0) & (_.day_on <= today))
    known = days.group_by("customer_id").aggregate(
        n=_.day_on.nunique(), first=_.day_on.min(), last=_.day_on.max()
    )
    segment = ibis.cases(
        (today.delta(known["first"], unit="day") < new_days, "new"),
        (known.n == 1, "once"),
        (today.delta(known["last"], unit="day") < quiet_days, "regular"),
        else_="quiet",
    )
    return known.select("customer_id", segment=segment).order_by("customer_id").to_pandas()


def recommend_decisions(
    board: Leaderboard | None,
    offers: pd.DataFrame,
    unsafe: pd.DataFrame,
    plan: pd.DataFrame,
    *,
    currency: str = "",
    due_on: Any = None,
    revisit_on: Any = None,
    most: int = 3,
) -> pd.DataFrame:
    """The chapter's decision rows, in the fields of `runs.results.Decision`.

    A model that beats the plain baseline on new items is put to a test of the planned
    size (`plan`: sample_size of sessions), looked at again when it has run, else `keep
    popularity`; its effect on sales stays missing, since an offline score cannot know
    it. The easiest bundles of safe items are tested, with the orders they need before
    they earn; what is unsafe comes off every list.
    """
    rows: list[dict[str, Any]] = []
    days = float(plan["days"].iloc[0]) if len(plan) else np.nan
    ends_on = (
        str((pd.Timestamp(due_on) + pd.Timedelta(days=days)).date())
        if np.isfinite(days)
        else revisit_on
    )
    if board is not None and (board.winner["items"] == "new").any():
        best = board.winner.set_index("items").loc["new"]
        rows.append(
            {
                "subject_type": "test",
                "subject": f"lists of new items by {best['rival']}",
                "action": "A/B test" if best["is_better"] else "keep popularity",
                "size": float(plan["n_total"].iloc[0]) if len(plan) else None,
                "unit": "sessions",
                "effect_unit": "not known without a test",
                "confidence": "medium" if best["is_better"] else "high",
                "evidence_metric": "recall_k",
                "evidence_value": best["gain"],
                "threshold": 0.0,
                "reason": "finds more of what customers went on to buy than best sellers do"
                if best["is_better"]
                else "nothing tried beats showing the best sellers",
                "revisit_on": ends_on if best["is_better"] else revisit_on,
                "stop_rule": "stop if the list's arm sells no more in all its days",
            }
        )
    is_safe = ~offers[["a", "b"]].isin(set(unsafe["sku"])).any(axis=1)
    for offer in offers[offers["extra_needed"].notna() & is_safe].head(most).itertuples():
        rows.append(
            {
                "subject_type": "sku",
                "subject": f"{offer.a} + {offer.b}",
                "action": "test bundle",
                "size": offer.discount,
                "unit": f"{currency} off the pair".strip(),
                "effect_unit": "not known without a test",
                "confidence": "low",
                "evidence_metric": "pair_lift",
                "evidence_value": offer.lift_low,
                "threshold": MIN_LIFT,
                "reason": f"bought together in {offer.n:,} orders; earns only past "
                f"{offer.extra_needed:,.0f} further ones",
                "stop_rule": "stop if fewer further orders take both",
            }
        )
    if len(unsafe):
        rows.append(
            {
                "subject_type": "data",
                "subject": "lists",
                "action": "take off",
                "size": float(unsafe["sku"].nunique()),
                "unit": "skus",
                "confidence": "high",
                "reason": ", ".join(
                    f"{n} {reason}" for reason, n in sorted(unsafe["reason"].value_counts().items())
                ),
                "stop_rule": "back on the list when its reason is gone",
            }
        )
    return pd.DataFrame(
        [
            {"owner_role": "merchandising lead", "due_on": due_on, "revisit_on": revisit_on} | row
            for row in rows
        ]
    )


def _mean(amounts: np.ndarray, level: float) -> tuple[float, float, float, int]:
    """Low, mean, high and n over the customers that have an amount."""
    seen = amounts[~np.isnan(amounts)]
    mean = float(seen.mean()) if len(seen) else np.nan
    if len(seen) < 2:
        return np.nan, mean, np.nan, len(seen)
    half = quantile_of_normal(level) * float(seen.std(ddof=1)) / len(seen) ** 0.5
    return mean - half, mean, mean + half, len(seen)


def _winner(part: pd.DataFrame, kind: str) -> dict[str, Any]:
    """The best model of one kind of items if it beats the baseline after three were
    tried, else the baseline.
    """
    rivals = part[~part["model"].isin(("popularity", "buy_again"))]
    best = rivals.sort_values(["recall_k", "model"], ascending=[False, True]).iloc[0]
    beats = bool(best["gain_low"] > 0)
    return {
        "items": kind,
        "model": best["model"] if beats else best["baseline"],
        "rival": best["model"],
        "baseline": best["baseline"],
        "is_better": beats,
        "gain": best["gain"],
        "gain_low": best["gain_low"],
        "gain_high": best["gain_high"],
        "n_customers": best["n_customers"],
    }
