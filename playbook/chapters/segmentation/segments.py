"""Segments that hold still, and membership tiers that pay: who is rewarded, woken or
left alone.

*Recency* counts days from as-of to the last purchase day, *frequency* purchase days, *money* contribution margin
where the shop knows its costs, revenue otherwise. Equal customers always get equal scores: a score depends on a
customer's own numbers and on cut points, never on the order of rows. Recency is cut at the shop's own gaps between
purchases. The eight value segments cross high and low of the three: 重要 (important) or 一般 (general), and
价值 (value), 发展 (develop), 保持 (keep) or 挽留 (win back). Tiers are judged on what members did in the year *after*
they qualified: before it, they look better than they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.chapters.segmentation.campaigns import campaign_returns
from playbook.chapters.segmentation.membership import (
    annual_amounts,
    design_tiers,
    downgrade_rule,
    judge_tiers,
    near_threshold,
    points,
    proposed_tiers,
    search_tiers,
)
from playbook.errors import PlaybookError
from playbook.measures.customer_windows import MONEY, hash_places, purchase_history
from playbook.methods.clusters import stable_clusters
from playbook.store import expression

__all__ = [
    "SEGMENTS",
    "RfmResult",
    "purchase_history",
    "tempting_rfm",
    "purchase_gaps",
    "rfm",
    "segment_table",
    "cluster_segments",
    "campaign_returns",
    "migration",
    "month_moves",
    "segment_returns",
    "segment_actions",
    "audience_list",
    "holdout_size",
    "lorenz",
    "annual_amounts",
    "design_tiers",
    "judge_tiers",
    "search_tiers",
    "proposed_tiers",
    "downgrade_rule",
    "near_threshold",
    "points",
    "segment_decisions",
    "segment_headline",
]

SEGMENTS = {  # recency, frequency, money: high (1) or low (0)
    (1, 1, 1): ("important value", "重要价值", "reward"),
    (1, 0, 1): ("important develop", "重要发展", "second order"),
    (0, 1, 1): ("important keep", "重要保持", "wake"),
    (0, 0, 1): ("important win back", "重要挽留", "win back"),
    (1, 1, 0): ("general value", "一般价值", "raise basket"),
    (1, 0, 0): ("general develop", "一般发展", "second order"),
    (0, 1, 0): ("general keep", "一般保持", "wake cheaply"),
    (0, 0, 0): ("general win back", "一般挽留", "leave alone"),
}
LABELS = [SEGMENTS[code >> 2, code >> 1 & 1, code & 1] for code in range(8)]


@dataclass(frozen=True)
class RfmResult:
    """`customers`: one row per customer: customer_id, first_on, recency_days,
    n_purchases, amount, r, f, m (1 worst to 5 best), segment, segment_cn, action.
    `cuts`: score, above: the cut points of each score. `gaps`: how many gaps between
    purchases they rest on, and a caveat where those are too few.
    """

    customers: pd.DataFrame
    cuts: pd.DataFrame
    n_gaps: int
    caveat: str


def tempting_rfm(history: pd.DataFrame) -> pd.DataFrame:
    """The usual frequency quintiles with ties broken by row order, for the lesson: one
    row per number of purchases and score: n_purchases, f_tempting, n_customers. Equal
    customers land in different scores.
    """
    rank = history["x"].rank(method="first")
    score = np.ceil(5 * rank / len(history)).astype(int)
    out = pd.DataFrame({"n_purchases": history["x"] + 1, "f_tempting": score})
    out = out.value_counts().rename("n_customers").reset_index()
    return out.sort_values(["n_purchases", "f_tempting"], ignore_index=True)


def purchase_gaps(customer_days: Any, *, as_of: Any) -> np.ndarray:
    """Days between successive purchase days of the same customer, up to `as_of`,
    sorted.
    """
    counts = (
        _gaps(customer_days, as_of)
        .group_by("gap")
        .aggregate(n=_.count())
        .order_by("gap")
        .to_pandas()
    )
    return np.repeat(counts["gap"].to_numpy("int64"), counts["n"].to_numpy("int64"))


def _gaps(customer_days: Any, as_of: Any) -> ibis.Table:
    """day_on, gap: one row per purchase day but a customer's first."""
    t = expression(customer_days).filter(_.orders > 0, _.customer_id.notnull())
    t = t.select("customer_id", day_on=_.day_on.cast("date"))
    t = t.filter(_.day_on <= ibis.literal(pd.Timestamp(as_of).date()))
    before = _.day_on.lag().over(ibis.window(group_by="customer_id", order_by="day_on"))
    t = t.mutate(before=before).filter(_.before.notnull())
    return t.select("day_on", gap=_.day_on.delta(_.before, unit="day")).filter(_.gap > 0)


def rfm(
    customer_days: Any, *, as_of: Any, basis: str = "revenue", gaps: np.ndarray | None = None
) -> RfmResult:
    """Scores and value segment of every customer with a purchase up to `as_of`; sorted
    by customer_id.

    r: 5 within the median gap between purchases, then to the 75th, 90th and 95th
    percentile, 1 beyond. f: 1 for one purchase day; the others at the repeaters'
    median, 75th and 90th percentile. m: quintiles of the amount. High means: recency
    within the 90th percentile of gaps; at least as many purchases as the mean customer,
    and two; an amount above nought and of at least the mean. Where fewer than 30 gaps
    are known the quartiles of recency stand in, and `caveat` says so.
    """
    history = purchase_history(customer_days, as_of=as_of, basis=basis)
    if len(history) == 0:
        raise PlaybookError(
            "no known customer has bought anything yet",
            table="customer_days",
            do="check customer ids",
        )
    gaps = purchase_gaps(customer_days, as_of=as_of) if gaps is None else gaps
    recency = (history["T"] - history["t_x"]).to_numpy()
    count, amount = history["x"].to_numpy() + 1, history["amount"].to_numpy(float)
    r_cuts, recent = _recency_cuts(gaps, recency)
    few = f"only {len(gaps)} gaps between purchases: recency is cut at its own quintiles, not at the shop's gaps"
    repeat = count[count > 1]
    f_cuts = (
        np.array([2, *np.ceil(np.quantile(repeat, [0.5, 0.75, 0.9]))])
        if len(repeat)
        else np.full(4, np.inf)
    )
    known = amount[np.isfinite(amount)]
    m_cuts = np.quantile(known, [0.2, 0.4, 0.6, 0.8]) if len(known) else np.full(4, np.inf)
    high = np.column_stack(
        [recency <= recent, count >= max(np.ceil(count.mean()), 2), amount >= _high_money(known)]
    ).astype(int)
    names = pd.DataFrame(LABELS).take(high @ [4, 2, 1]).reset_index(drop=True)
    customers = pd.DataFrame(
        {
            "customer_id": history["customer_id"],
            "first_on": history["first_on"],
            "recency_days": recency,
            "n_purchases": count,
            "amount": amount,
            "r": 5 - np.searchsorted(r_cuts, recency, side="left"),
            "f": 1 + np.searchsorted(f_cuts, count, side="right"),
            "m": 1 + np.searchsorted(m_cuts, amount, side="right"),
            "segment": names[0],
            "segment_cn": names[1],
            "action": names[2],
        },
        copy=False,
    )
    cuts = pd.DataFrame({"score": list("rrrrffffmmmm"), "above": [*r_cuts, *f_cuts, *m_cuts]})
    return RfmResult(customers, cuts, len(gaps), "" if len(gaps) >= 30 else few)


def _high_money(known: np.ndarray) -> float:
    """The amount from which on it counts as high: the mean, and more than nought, as
    nobody who costs money is one.
    """
    return max(float(known.mean()), np.nextafter(0, 1)) if len(known) else np.inf


def segment_table(
    result: RfmResult, *, n_resamples: int = 40, seed: int = 0, max_drawn: int = 100_000
) -> pd.DataFrame:
    """One row per segment, largest amount first: n_customers, customer_share, amount,
    cm_share (share of all money), recency_days, n_purchases and amount_per_customer
    (medians), stability, stability_low.

    `stability` is the mean share of the segment's customers who keep their label when
    frequency and money cut points come from resampled customers (at most `max_drawn`,
    so a large shop holds stiller than said); `stability_low` its 5th percentile. Under
    .9 a segment is not one to act on.
    """
    own, rng = result.customers, np.random.default_rng(seed)
    count, amount = own["n_purchases"].to_numpy(), own["amount"].to_numpy(float)
    f_high = own["segment"].str.contains("value|keep").to_numpy()
    m_high = own["segment"].str.startswith("important").to_numpy()
    code, names = pd.factorize(own["segment"], sort=True)
    kept, n, drawn_n = [], len(own), min(len(own), max_drawn)
    for _k in range(n_resamples):
        drawn = np.sort(rng.integers(0, n, drawn_n))
        same = f_high == (count >= max(np.ceil(count[drawn].mean()), 2))
        same &= m_high == (amount >= _high_money(amount[drawn][np.isfinite(amount[drawn])]))
        kept.append(np.bincount(code, same) / np.bincount(code))
    shares = pd.DataFrame(np.array(kept).T, index=names)
    money = np.nansum(amount)
    out = own.groupby("segment").agg(
        n_customers=("customer_id", "size"),
        amount=("amount", "sum"),
        recency_days=("recency_days", "median"),
        n_purchases=("n_purchases", "median"),
        amount_per_customer=("amount", "median"),
    )
    out["customer_share"] = out["n_customers"] / n
    out["cm_share"] = out["amount"] / money if money > 0 else np.nan
    out["stability"], out["stability_low"] = shares.mean(axis=1), shares.quantile(0.05, axis=1)
    return out.sort_values(["amount", "n_customers"], ascending=False).reset_index()


def cluster_segments(
    result: RfmResult, *, most: int = 8, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """k-means on log recency, frequency and money, its number of clusters chosen by
    bootstrap stability.

    Returns (choice: n_clusters, stability, stability_low, is_chosen; clusters: cluster,
    n_customers, and the medians of recency_days, n_purchases, amount; cluster 1 holds
    the most money per customer).
    """
    own = result.customers
    columns = np.column_stack(
        [
            np.log1p(own["recency_days"]),
            np.log(own["n_purchases"]),
            np.arcsinh(own["amount"].fillna(0.0)),
        ]
    )
    choice, label = stable_clusters(columns, own["customer_id"], most=most, seed=seed)
    table = (
        own.assign(cluster=label)
        .groupby("cluster")
        .agg(
            n_customers=("customer_id", "size"),
            recency_days=("recency_days", "median"),
            n_purchases=("n_purchases", "median"),
            amount=("amount", "median"),
        )
    )
    return choice, table.reset_index()


def migration(before: RfmResult, after: RfmResult) -> pd.DataFrame:
    """Who moved where between two as-of days of one shop, one row per (from_segment,
    to_segment): n_customers, amount_before, amount_after (all their money to that day),
    amount (difference). Customers won in between come from `new`.
    """
    old, own = (
        before.customers,
        after.customers,
    )  # by id, and none is lost: the known ones lie side by side
    was = (own["first_on"] <= old["first_on"].max()).to_numpy()
    origin, amount = np.full(len(own), "new", object), np.zeros(len(own))
    origin[was], amount[was] = old["segment"], old["amount"].fillna(0.0)
    both = pd.DataFrame(
        {
            "from_segment": origin,
            "to_segment": own["segment"],
            "before": amount,
            "after": own["amount"],
        }
    )
    out = (
        both.groupby(["from_segment", "to_segment"])
        .agg(
            n_customers=("before", "size"),
            amount_before=("before", "sum"),
            amount_after=("after", "sum"),
        )
        .reset_index()
    )
    return out.assign(amount=out["amount_after"] - out["amount_before"])


def segment_returns(
    customer_days: Any, *, as_of: Any, basis: str = "revenue", days: int = 91, windows: int = 6
) -> pd.DataFrame:
    """What each segment did next, at earlier as-of days: one row per origin_on and
    segment: n_customers, buyer_share, amount_per_customer within the following `days`
    (windows do not overlap).
    """
    day, rows = pd.Timestamp(as_of), []
    gaps = _gaps(customer_days, as_of).group_by("gap", "day_on").aggregate(n=_.count()).to_pandas()
    gaps["day_on"] = pd.to_datetime(gaps["day_on"])
    for k in range(1, windows + 1):
        origin = day - pd.Timedelta(days=days * k)
        past = gaps[gaps["day_on"] <= origin].sort_values("gap")
        both = _next_by_segment(
            customer_days, origin, days, basis, np.repeat(past["gap"], past["n"]).to_numpy()
        )
        if len(both) == 0:
            break
        n, money = both["n_customers"], both["money"].astype(float).fillna(0.0)
        rows.append(
            pd.DataFrame(
                {
                    "origin_on": origin,
                    "segment": [LABELS[code][0] for code in both["code"]],
                    "n_customers": n,
                    "buyer_share": both["buyers"] / n,
                    "amount_per_customer": money / n,
                }
            ).sort_values("segment")
        )
    columns = ["origin_on", "segment", "n_customers", "buyer_share", "amount_per_customer"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def _next_by_segment(
    customer_days: Any, origin: pd.Timestamp, days: int, basis: str, gaps: np.ndarray
) -> pd.DataFrame:
    """n_customers, buyers and money of the `days` after `origin` by code (4, 2, 1 for
    high recency, frequency, money) of everybody `rfm` labels on that day; the customers
    stay in the engine.
    """
    cut, end = (ibis.literal(d.date()) for d in (origin, origin + pd.Timedelta(days=days)))
    t = expression(customer_days).filter(_.customer_id.notnull())
    t = t.select(
        "customer_id", day_on=_.day_on.cast("date"), bought=_.orders > 0, money=_[basis].cast(MONEY)
    )
    t = t.filter(_.day_on <= end).mutate(is_past=_.day_on <= cut)
    before, later = _.bought & _.is_past, ~_.is_past
    t = (
        t.group_by("customer_id")
        .aggregate(
            n_days=before.sum(),
            last_on=_.day_on.max(where=before),
            came=(_.bought & later).any(),
            amount=_.money.sum(where=_.is_past).cast("float64"),
            next_money=_.money.sum(where=later),
        )
        .filter(_.n_days > 0)
    )
    t = t.mutate(idle=cut.delta(t.last_on, unit="day"))
    seen = (
        t.group_by("idle")
        .aggregate(
            n=_.count(),
            days=_.n_days.sum(),
            known=_.amount.count(),
            money=_.amount.cast(MONEY).sum(),
        )
        .order_by("idle")
        .to_pandas()
    )
    if len(seen) == 0:
        return seen
    idle = np.repeat(seen["idle"].to_numpy("int64"), seen["n"].to_numpy("int64"))
    recent = float(_recency_cuts(gaps, idle)[1])
    often = int(max(np.ceil(seen["days"].sum() / seen["n"].sum()), 2))
    rich = float(seen["money"].sum()) / max(int(seen["known"].sum()), 1)
    is_rich = ((_.amount >= rich) & (_.amount > 0)).fill_null(False)
    code = (_.idle <= recent).ifelse(4, 0) + (_.n_days >= often).ifelse(2, 0) + is_rich.ifelse(1, 0)
    return (
        t.group_by(code=code)
        .aggregate(
            n_customers=_.count(), buyers=_.came.sum(), money=_.next_money.sum().cast("float64")
        )
        .order_by("code")
        .to_pandas()
    )


def _recency_cuts(gaps: np.ndarray, recency: np.ndarray) -> tuple[np.ndarray, float]:
    """Where recency is cut, and up to where it counts as high."""
    if len(gaps) >= 30:
        cuts = np.quantile(gaps, [0.5, 0.75, 0.9, 0.95])
        return cuts, cuts[2]
    cuts = np.quantile(recency, [0.2, 0.4, 0.6, 0.8])
    return cuts, cuts[1]


def holdout_size(
    share: float, *, lift: float = 0.10, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Customers per arm to see a relative `lift` of a response `share` (two-sided;
    normal approximation with both variances; Fleiss, Levin & Paik 2003, eq. 4.14
    without continuity correction). Missing for a share of 0 or 1.
    """
    from scipy.stats import norm

    if not 0 < share < 1 or not 0 < share * (1 + lift) < 1:
        return np.nan
    other = share * (1 + lift)
    reach = norm.ppf(1 - alpha / 2) + norm.ppf(power)
    return float(
        np.ceil(reach**2 * (share * (1 - share) + other * (1 - other)) / (other - share) ** 2)
    )


def segment_actions(
    result: RfmResult, returns: pd.DataFrame, *, lift: float = 0.10, level: float = 0.8
) -> pd.DataFrame:
    """What to do with each segment: action, n_customers, buyer_share (they will buy
    anyway), expected (money the segment brings in the next window without us), low,
    high (`level`, from the spread over earlier windows), holdout_n (per arm, to see a
    relative `lift`), holdout_share (1 where nobody is treated), detectable_lift (with
    half of the segment held out, where it is too small), n_windows, status (`complete`,
    or `not yet calibrated` under three windows).
    """
    from scipy.stats import t

    size = (
        result.customers.groupby(["segment", "action"]).size().rename("n_customers").reset_index()
    )
    rows = []
    for segment, action, n in size.itertuples(index=False):
        past = returns[returns["segment"] == segment]
        each, share = past["amount_per_customer"].to_numpy(float), past["buyer_share"].mean()
        k = len(each)
        wide = (
            t.ppf(0.5 + level / 2, k - 1) * each.std(ddof=1) * np.sqrt(1 + 1 / k)
            if k > 2
            else np.nan
        )
        mean = each.mean() if k else np.nan
        need = holdout_size(share, lift=lift) if k else np.nan
        fits, idle = bool(need * 2 <= n), action == "leave alone"
        rows.append(
            {
                "segment": segment,
                "action": action,
                "n_customers": n,
                "buyer_share": share,
                "expected": n * mean,
                "low": n * (mean - wide),
                "high": n * (mean + wide),
                "holdout_n": need if fits and not idle else np.nan,
                "holdout_share": 1.0 if idle else need / n if fits else 0.5,
                "detectable_lift": np.nan if idle else lift * np.sqrt(need / max(n / 2, 1)),
                "n_windows": k,
                "status": "complete" if k > 2 else "not yet calibrated",
            }
        )
    order = {name[0]: place for place, name in enumerate(SEGMENTS.values())}
    return pd.DataFrame(rows).sort_values("segment", key=lambda s: s.map(order), ignore_index=True)


def audience_list(result: RfmResult, actions: pd.DataFrame) -> pd.DataFrame:
    """One row per customer: customer_id, segment, action, arm (`treat` or `holdout`, by
    the hash of the id: the same arm next month). Holds no contact data; `playbook
    audience` matches those locally.
    """
    share = (
        result.customers["segment"]
        .map(actions.set_index("segment")["holdout_share"])
        .fillna(0.5)
        .to_numpy(float)
    )
    place = hash_places(result.customers["customer_id"]) % 10_000
    out = result.customers[["customer_id", "segment", "action"]]
    return out.assign(arm=np.where(place < share * 10_000, "holdout", "treat"))


def lorenz(customers: pd.DataFrame) -> pd.DataFrame:
    """Share of money held by the best customers: customer_share, cm_share at every
    percent (from the best down), with top20_share and gini as columns of their own.
    Customers who cost money are part of it.
    """
    money = np.sort(customers["amount"].dropna().to_numpy(float))[::-1]
    total = money.sum()
    if len(money) == 0 or total <= 0:
        return pd.DataFrame(
            {"customer_share": [], "cm_share": [], "top20_share": [], "gini": []}, dtype=float
        )
    held = np.concatenate([[0], money.cumsum() / total])
    at = np.linspace(0, 1, 101)
    curve = np.interp(at * len(money), np.arange(len(money) + 1), held)
    gini = 2 * float(np.trapezoid(held, dx=1 / len(money))) - 1
    return pd.DataFrame(
        {"customer_share": at, "cm_share": curve, "top20_share": curve[20], "gini": gini}
    )


def month_moves(
    customer_days: Any, now: RfmResult, *, as_of: Any, basis: str = "revenue"
) -> pd.DataFrame:
    """`migration` since the last day of the month before; everybody comes from `new`
    where nobody had bought by then.
    """
    end = pd.Timestamp(as_of).replace(day=1) - pd.Timedelta(days=1)
    try:
        before = rfm(customer_days, as_of=end, basis=basis)
    except PlaybookError:
        before = RfmResult(now.customers[:0], now.cuts, 0, "")
    return migration(before, now)


def segment_decisions(
    actions: pd.DataFrame,
    tiers: pd.DataFrame,
    owed: pd.DataFrame | None,
    *,
    currency: str,
    basis: str,
    due_on: str,
    revisit_on: str,
    downgrades: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Decision rows: one campaign per segment with its hold-out, the thresholds of
    `proposed_tiers` where they are new (what they bring is the whole set's net beyond
    today's), else the benefits that do not pay at the assumed uplift, who is
    downgraded, and the points to set aside.
    """
    rows, days = [], {"due_on": due_on, "revisit_on": revisit_on, "owner_role": "CRM manager"}
    for a in actions.itertuples(index=False):
        seen = a.buyer_share * (
            1 + a.detectable_lift
        )  # the share from which the treated differ from the held-out
        idle = a.holdout_share == 1
        rows.append(
            {
                "subject_type": "segment",
                "subject": a.segment,
                "action": a.action,
                "size": a.n_customers if idle else round(a.n_customers * (1 - a.holdout_share)),
                "unit": "customers not contacted" if idle else "customers treated",
                "expected_effect": a.expected,
                "effect_low": a.low,
                "effect_high": a.high,
                "effect_unit": f"{currency} {basis} at stake next quarter",
                "evidence_metric": "buyer_share",
                "evidence_value": a.buyer_share,
                "confidence": "medium" if a.holdout_n == a.holdout_n else "low",
                "threshold": seen if seen <= 1 else None,
                "reason": f"{a.n_customers} customers, {a.holdout_share:.0%} held out",
                "stop_rule": "a test on some of them pays"
                if idle
                else "treated and held-out buyers do not differ after a quarter",
            }
        )
    proposed = proposed_tiers(tiers)
    is_new = (proposed["scheme"] == "searched").any()
    gain = (
        proposed["net_checked"].sum() - tiers["tier_net"].where(tiers["scheme"] == "today").sum()
        if is_new
        else None
    )
    for k, t in enumerate(proposed[proposed["threshold"] > 0].itertuples(index=False)):
        row = {
            "subject_type": "tier",
            "subject": t.tier,
            "unit": f"{currency} a year",
            "evidence_metric": "tier_net",
            "effect_unit": f"{currency} {basis} a year",
            "confidence": "low",
            "evidence_value": t.tier_net,
        }
        if is_new:  # thresholds stand or fall together: the first row carries what the move brings beyond today's
            rows.append(
                row
                | {
                    "action": "set threshold",
                    "size": t.threshold,
                    "expected_effect": None if k else gain,
                    "reason": f"{t.n_customers} members; all thresholds together; pays from an uplift of "
                    f"{t.break_even_uplift:.1%}, {t.assumed_uplift:.0%} assumed; resampled searches end at "
                    f"{t.threshold_low:,.0f} to {t.threshold_high:,.0f}",
                    "stop_rule": "members' margin against a hold-out rises by less than the break-even",
                }
            )
        elif t.tier_net < 0:
            rows.append(
                row
                | {
                    "action": "stop or cut benefit",
                    "size": t.benefit_cost,
                    "expected_effect": -t.tier_net,
                    "reason": f"needs an uplift of {t.break_even_uplift:.1%}, {t.assumed_uplift:.0%} assumed",
                    "stop_rule": "a hold-out shows the uplift the benefit needs",
                }
            )
    for d in (
        () if downgrades is None else downgrades[downgrades["rule"].notna()].itertuples(index=False)
    ):
        size = d.keep_from if d.rule == "keep a year" else d.threshold
        rows.append(
            {
                "subject_type": "tier",
                "subject": d.tier,
                "action": "downgrade below",
                "size": size,
                "unit": f"{currency} a year",
                "confidence": "low",
                "evidence_metric": "tier_net",
                "evidence_value": d.keep_net,
                "expected_effect": abs(d.keep_net),
                "effect_unit": f"{currency} {basis} a year, against the other rule",
                "reason": f"{d.n_down} members fell below {d.threshold:,.0f}, {d.n_near} of them by little; keeping those "
                f"pays from an uplift of {d.keep_break_even:.1%}, {d.assumed_uplift:.0%} assumed",
                "stop_rule": "kept members buy no more than downgraded ones",
            }
        )
    if owed is not None and len(owed):
        rows.append(
            {
                "subject_type": "kpi",
                "subject": "points liability",
                "action": "set aside",
                "size": owed["liability"].iloc[0],
                "unit": currency,
                "evidence_metric": "points_liability",
                "evidence_value": owed["liability"].iloc[0],
                "confidence": "medium",
                "effect_high": owed["liability_no_breakage"].iloc[0],
                "effect_unit": f"{currency} if all were used",
                "reason": f"breakage of {owed['breakage_share'].iloc[0]:.0%} from {owed['breakage_from'].iloc[0]}",
                "owner_role": "finance",
                "stop_rule": "redemption differs from the breakage seen",
            }
        )
    frame = pd.DataFrame(rows)
    return frame.assign(**{k: v if k not in frame else frame[k].fillna(v) for k, v in days.items()})


def segment_headline(
    customer_days: Any, *, as_of: Any, basis: str, owed: pd.DataFrame | None = None, shown: int = 25
) -> pd.DataFrame:
    """Monthly series for the scorecard: top20_share of each month's buyers (metric,
    month, amount, low, high, n, status) and, for the last month, points_liability.
    Missing where a month's money is not positive.
    """
    day = pd.Timestamp(as_of)
    start = day.replace(day=1) - pd.DateOffset(months=shown - 1)
    t = expression(customer_days).filter(_.day_on.cast("date").between(start.date(), day.date()))
    t = t.group_by("customer_id", month=_.day_on.cast("date").strftime("%Y-%m"))
    t = t.aggregate(money=_[basis].cast(MONEY).sum())
    best_first = ibis.window(group_by="month", order_by=[_.money.isnull(), ibis.desc("money")])
    t = t.mutate(
        place=ibis.row_number().over(best_first), known=_.money.count().over(group_by="month")
    )
    t = t.mutate(top=_.known * 0.2).mutate(whole=_.top.floor().cast("int64"))
    sums = (
        t.group_by("month")
        .aggregate(
            n=_.count(),
            total=_.money.sum().cast("float64"),
            top=_.top.max(),
            whole=_.whole.max(),
            held=_.money.sum(where=_.place < _.whole).cast("float64"),
            edge=_.money.sum(where=_.place == _.whole).cast("float64"),
        )
        .order_by("month")
        .to_pandas()
    )
    held = sums["held"].fillna(0.0) + (sums["top"] - sums["whole"]) * sums["edge"].fillna(0.0)
    share = (held / sums["total"]).where(sums["total"] > 0)
    rows = [
        {"metric": "top20_share", "month": month, "n": n, "amount": amount}
        for month, n, amount in zip(sums["month"], sums["n"], share, strict=True)
    ]
    last = f"{pd.Timestamp(as_of):%Y-%m}"
    if owed is not None and len(owed):
        rows.append(
            {
                "metric": "points_liability",
                "month": last,
                "amount": owed["liability"].iloc[0],
                "n": owed["n_members"].iloc[0],
            }
        )
    full = pd.Timestamp(as_of).is_month_end
    out = pd.DataFrame(rows, columns=["metric", "month", "amount", "low", "high", "n"])
    return out.assign(status=np.where((out["month"] == last) & ~full, "partial", "complete"))
