"""A shop's promotions, one by one: which days and skus, what would have been, what it
cost, and whether it paid.

The effect itself is estimated in promotion.py; here its inputs are gathered from
`sku_days` and the calendar, and its parts turned into money: promo_roi = (incremental
margin − cost of the promotion) / cost. The discount is inside the margin earned and in
no cost, so it is counted once. What a promotion does to other skus and to the days
after it drowns in the noise of the whole shop; these side effects, per unit of what was
promoted, are therefore shrunk towards those of all the shop's promotions (random
effects, DerSimonian & Laird, Controlled Clinical Trials 1986).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
import pandas as pd

from playbook.methods.promotion import PromotionEffect, promotion_effect
from playbook.store import expression

__all__ = ["promotion_review"]

COLUMNS = [
    "promo_id",
    "starts_on",
    "ends_on",
    "n_skus",
    "depth_share",
    "actual_units",
    "baseline_units",
    "incremental_units",
    "direct_margin",
    "cannibalised_margin",
    "halo_margin",
    "pulled_margin",
    "incremental_margin",
    "low",
    "high",
    "cost",
    "promo_roi",
    "roi_low",
    "roi_high",
    "naive_units",
    "placebo_bias",
    "n_placebo",
    "status",
    "verdict",
]


def promotion_review(
    sku_days: Any,
    promotions: Any,
    *,
    as_of: dt.date,
    products: Any = None,
    variable_share: float = 0.0,
    months: int = 13,
    pool_months: int = 18,
    after_days: int = 14,
    confidence: float = 0.9,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """One row per promotion that ended in the last `months`, newest last, and the daily
    counterfactual of each (day_on, actual, baseline of the promoted skus).
    incremental_margin is direct less cannibalised plus halo less margin pulled forward,
    before the promotion's cost; side effects are pooled over `pool_months`; low, high
    from placebo windows. status is `partial` while after-days are still to come.
    naive_units is tempting: promoted units less those of as many days just before.
    verdict: undecided while the interval holds the cost; repeat above it; below it
    stop, or change where it surely earned something (a cheaper one could pay). Margins
    are missing where a cost is.
    """
    t = expression(sku_days)
    t = t.mutate(day_on=t.day_on.cast("date")).filter(t.day_on.cast("date") <= as_of)
    calendar = expression(promotions).to_pandas()
    for column in ("starts_on", "ends_on"):
        calendar[column] = pd.to_datetime(calendar[column])
    oldest = pd.Timestamp(as_of) - pd.DateOffset(months=max(months, pool_months))
    known = calendar["ends_on"].notna() & (calendar["ends_on"] >= calendar["starts_on"])
    calendar = calendar[
        known & (calendar["ends_on"] <= pd.Timestamp(as_of)) & (calendar["ends_on"] > oldest)
    ]
    calendar = calendar.sort_values(["starts_on", "promo_id"])
    usual = (
        t.group_by("sku")
        .aggregate(
            usual=t.units.sum(where=~t.is_on_promo).fill_null(0).cast("float64")
            / t.units.count(where=~t.is_on_promo).nullif(0)
        )
        .order_by("sku")
        .to_pandas()
    )
    usual["usual"] = usual["usual"].fillna(0.0)
    usual["category"] = "all"
    if products is not None:
        p = (
            expression(products)
            .select("sku", "category")
            .to_pandas()
            .drop_duplicates("sku")
            .set_index("sku")
        )
        usual["category"] = usual["sku"].map(p["category"]).fillna("none")
    parts = []
    for promo in calendar.to_dict("records"):
        listed = (
            str(promo.get("skus") or "").replace(",", " ").split()
            if pd.notna(promo.get("skus"))
            else []
        )
        chosen = usual["sku"].isin(listed) if listed else pd.Series(True, usual.index)
        if chosen.any():
            near = usual["category"].isin(set(usual.loc[chosen, "category"]))
            part = np.select([chosen, near], [0, 1], 2)
            parts.append((promo, usual.assign(promo_id=str(promo["promo_id"]), part=part)))
    if not parts:
        return pd.DataFrame(columns=COLUMNS), {}
    found, days, effects, sizes = (
        _daily(t, [sets for _, sets in parts], as_of, variable_share),
        {},
        [],
        [],
    )
    for promo, sets in parts:
        effect, days[promo["promo_id"]], naive = _effect(
            found[str(promo["promo_id"])], promo, after_days
        )
        weight = sets.loc[sets["part"] == 0, "usual"].sum() / max(sets["usual"].sum(), 1e-9)
        effects.append((promo, int((sets["part"] == 0).sum()), effect, naive))
        sizes.append(weight * ((promo["ends_on"] - promo["starts_on"]).days + 1) * effect.usual)
    moved, errors = _shrunk([e[2] for e in effects], np.array(sizes))
    since = pd.Timestamp(as_of) - pd.DateOffset(months=months)
    rows = [
        _row(*each, moved[i], errors[i], confidence, as_of, after_days)
        for i, each in enumerate(effects)
        if each[0]["ends_on"] > since
    ]
    found = pd.DataFrame(rows, columns=COLUMNS)
    return found, {name: frame for name, frame in days.items() if name in set(found["promo_id"])}


def _shrunk(effects: list[PromotionEffect], size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Margin by promotion and part with its error, the side effects (parts 1 to 3)
    shrunk to the shop's usual ones.
    """
    margin, error = (
        np.array([getattr(e, name) for e in effects]) for name in ("margin", "margin_error")
    )
    for part in range(1, 4):
        with np.errstate(invalid="ignore", divide="ignore"):
            own, noise = margin[:, part] / size[:, part], (error[:, part] / size[:, part]) ** 2
        use = np.isfinite(own) & np.isfinite(noise) & (noise > 0) & (size[:, part] > 0)
        if use.sum() < 5:
            continue
        w, r = 1 / noise[use], own[use]
        centre = (w * r).sum() / w.sum()
        between = max(
            ((w * (r - centre) ** 2).sum() - (len(r) - 1)) / (w.sum() - (w**2).sum() / w.sum()), 0.0
        )
        w = 1 / (noise[use] + between)
        centre, unsure = (w * r).sum() / w.sum(), between + 1 / w.sum()
        trust = unsure / (unsure + noise[use])
        margin[use, part] = (centre + trust * (r - centre)) * size[use, part]
        error[use, part] = np.sqrt(trust * noise[use]) * size[use, part]
    return margin, error


def _daily(
    t: ibis.Table, sets: list[pd.DataFrame], as_of: dt.date, variable_share: float
) -> dict[str, dict[str, Any]]:
    """Units, margin and share on promotion of each promotion's three sets by day, from
    one query.
    """
    member = ibis.memtable(pd.concat(sets)[["promo_id", "sku", "part", "usual"]])
    j = t.inner_join(member, "sku")
    long = (
        j.group_by("promo_id", "part", "day_on")
        .aggregate(
            units=j.units.sum().cast("float64"),
            goods=j.margin.sum().cast("float64"),
            revenue=j.revenue.sum().cast("float64"),
            unknown=((j.units > 0) & j.margin.isnull()).ifelse(1, 0).sum(),
            on=j.is_on_promo.ifelse(j.usual, 0.0)
            .round(9)
            .cast("decimal(38, 9)")
            .sum()
            .cast("float64"),
            all=j.usual.round(9).cast("decimal(38, 9)").sum().cast("float64"),
        )
        .order_by("promo_id", "part", "day_on")
        .to_pandas()
    )
    long["day_on"] = pd.to_datetime(long["day_on"])
    day, found = pd.date_range(long["day_on"].min(), pd.Timestamp(as_of)), {}
    for name, rows in long.groupby("promo_id"):
        grid = {
            c: rows.pivot(index="part", columns="day_on", values=c)
            .reindex(index=[0, 1, 2], columns=day)
            .fillna(0.0)
            .to_numpy(float)
            for c in ("units", "goods", "revenue", "unknown", "on", "all")
        }
        margin = np.where(
            grid["unknown"] > 0, np.nan, grid["goods"] - variable_share * grid["revenue"]
        )
        covered = np.clip(grid["on"] / np.maximum(grid["all"], 1e-9), 0, 1)
        found[name] = {"units": grid["units"], "margin": margin, "covered": covered, "day": day}
    return found


def _effect(
    found: dict, promo: dict, after_days: int
) -> tuple[PromotionEffect, pd.DataFrame, float]:
    day = found["day"]
    first = int(day.get_indexer([max(promo["starts_on"], day[0])])[0])
    last = int(day.get_indexer([promo["ends_on"]])[0])
    covered = found["covered"].copy()
    covered[0, first : last + 1] = 0.0
    quiet = (covered < 0.05) & (np.arange(len(day)) < first)
    normal = np.full(3, np.nan)
    for part in range(3):
        use = (
            np.flatnonzero(quiet[part])[-56:]
            if quiet[part].sum() >= 14
            else np.arange(max(first - 56, 0), first)
        )
        sold = found["units"][part, use].sum()
        normal[part] = found["margin"][part, use].sum() / sold if sold > 0 else 0.0
    effect = promotion_effect(
        found["units"],
        found["margin"],
        normal,
        covered,
        day.to_numpy(),
        first=first,
        last=last,
        after_days=after_days,
    )
    shown = slice(max(first - 28, 0), last + after_days + 1)
    frame = pd.DataFrame(
        {
            "day_on": day[shown],
            "actual": found["units"][0, shown],
            "baseline": effect.base[0, shown],
        }
    )
    frame["is_promo"] = (frame["day_on"] >= promo["starts_on"]) & (
        frame["day_on"] <= promo["ends_on"]
    )
    length = last - first + 1
    before = found["units"][0, max(first - length, 0) : first].sum()
    return effect, frame, float(found["units"][0, first : last + 1].sum() - before)


def _row(
    promo: dict,
    n_skus: int,
    effect: PromotionEffect,
    naive: float,
    margin: np.ndarray,
    error: np.ndarray,
    confidence: float,
    as_of: dt.date,
    after_days: int,
) -> dict[str, Any]:
    from scipy.stats import t as student

    total, low, high = float(margin.sum()), np.nan, np.nan
    if effect.n_placebo >= 8:
        wide = float(
            student.ppf((1 + confidence) / 2, effect.n_placebo - 1) * np.sqrt((error**2).sum())
        )
        low, high = total - wide, total + wide
    cost = float(promo["cost"]) if pd.notna(promo.get("cost")) else np.nan
    roi = [(part - cost) / cost if cost > 0 else np.nan for part in (total, low, high)]
    spent = 0.0 if np.isnan(cost) else cost
    seen = pd.Timestamp(as_of) >= promo["ends_on"] + pd.Timedelta(days=after_days)
    verdict = "undecided"
    if np.isfinite(low) and seen:
        verdict = (
            "repeat"
            if low > spent
            else verdict
            if high >= spent
            else "change"
            if low > 0
            else "stop"
        )
    depth = float(promo["depth_share"]) if pd.notna(promo.get("depth_share")) else np.nan
    return {
        "promo_id": promo["promo_id"],
        "starts_on": promo["starts_on"],
        "ends_on": promo["ends_on"],
        "n_skus": n_skus,
        "depth_share": depth,
        "actual_units": effect.actual[0],
        "baseline_units": effect.expected[0],
        "incremental_units": effect.units[0],
        "direct_margin": margin[0],
        "cannibalised_margin": -margin[1],
        "halo_margin": margin[2],
        "pulled_margin": -margin[3],
        "incremental_margin": total,
        "low": low,
        "high": high,
        "cost": cost,
        "promo_roi": roi[0],
        "roi_low": roi[1],
        "roi_high": roi[2],
        "naive_units": naive,
        "placebo_bias": effect.placebo_bias,
        "n_placebo": effect.n_placebo,
        "status": "complete" if seen else "partial",
        "verdict": verdict,
    }
