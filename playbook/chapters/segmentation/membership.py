"""Membership: tier thresholds searched on history, what benefits must earn, points
still owed, crowding at a threshold.

Members are judged on the year after they qualified. Choosing people because they spent
a lot makes the next year look like a fall (regression to the mean; Galton 1886): a
break-even taken from the qualifying year promises too much. Points: first earned, first
used; the share that will never be used comes from points old enough to have ended.
Crowding: McCrary (2008), J. of Econometrics 142: too many just above a line, too few
just below it, against the smooth count around it (Poisson line in log counts). A dearer
benefit has to add more, or the cheap tier would always win: where no uplift is stated
per tier, a tier's assumed uplift grows with the square root of its cost (returns
diminish). A search flatters what it finds; sets found on resampled customers are
therefore judged on those they have not seen (out of bag; Efron 1983, JASA 78).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.store import expression

__all__ = [
    "POINTS",
    "TierDesign",
    "annual_amounts",
    "design_tiers",
    "judge_tiers",
    "search_tiers",
    "proposed_tiers",
    "downgrade_rule",
    "near_threshold",
    "points",
]

POINTS = ("earned", "spent", "expired", "adjusted", "outstanding")


def annual_amounts(
    customer_days: Any, *, as_of: Any, basis: str = "revenue", days: int = 365
) -> pd.DataFrame:
    """One row per customer: qualify (revenue of the year before last, or the first half
    of a shorter log), then and now (`basis` money of that period and of the one after
    it), latest (revenue of the last period), period_days. Sorted.
    """
    day, t = pd.Timestamp(as_of), expression(customer_days)
    t = t.filter(_.customer_id.notnull()).mutate(day_on=_.day_on.cast("date"))
    first = t.aggregate(first=_.day_on.min()).to_pandas()["first"].iloc[0]
    if pd.isna(first):
        raise PlaybookError(
            "no known customer has bought anything yet",
            table="customer_days",
            do="check customer ids",
        )
    period = min(days, ((day - pd.Timestamp(first)).days + 1) // 2)
    middle, start = day - pd.Timedelta(days=period), day - pd.Timedelta(days=2 * period)
    money, revenue = _[basis].cast("decimal(18, 6)"), _.revenue.cast("decimal(18, 6)")
    early = (_.day_on > ibis.literal(start.date())) & (_.day_on <= ibis.literal(middle.date()))
    late = (_.day_on > ibis.literal(middle.date())) & (_.day_on <= ibis.literal(day.date()))
    sums = {
        "qualify": revenue.sum(where=early),
        "before": money.sum(where=early),
        "after": money.sum(where=late),
        "latest": revenue.sum(where=late),
    }
    out = t.group_by("customer_id").aggregate(**{k: v.cast("float64") for k, v in sums.items()})
    out = out.order_by("customer_id").to_pandas()
    return out.fillna(dict.fromkeys(sums, 0.0)).assign(period_days=period)


def judge_tiers(
    amounts: pd.DataFrame, tiers: pd.DataFrame, *, uplift: float = 0.05
) -> pd.DataFrame:
    """Each tier of `tiers` (tier, threshold of yearly revenue, benefit_cost per member
    and year; optional uplift) on history.

    One row per tier, lowest first: n_customers now (on the latest period), cm_share (of
    the money after), money_before and money_after per member, kept_share (who would
    qualify again), benefit_cost (all members, yearly), break_even_uplift (benefit cost
    over the money members bring in the year after), tempting_uplift (the same over the
    year before: too small), assumed_uplift (the tier's own or `uplift`; 0 without a
    benefit), tier_net (at that causal uplift, which only a hold-out can show),
    detectable_uplift (the least a year with half of the members held out would show:
    two-sided 5 %, power 80 %; missing under 10 members).
    """
    from scipy.stats import norm

    period, rows = float(amounts["period_days"].iloc[0]), []
    scale = 365 / period
    tiers = tiers.sort_values(["threshold", "tier"], ignore_index=True)
    edges = [*tiers["threshold"].astype(float), np.inf]
    then, now = (
        np.searchsorted(edges, amounts[c] * scale, side="right") - 1 for c in ("qualify", "latest")
    )
    buyer, active = amounts["qualify"].to_numpy() > 0, amounts["latest"].to_numpy() > 0
    total = amounts["after"].sum()
    for k, tier in enumerate(tiers.itertuples(index=False)):
        member = (then == k) & buyer
        n, cost = int(member.sum()), float(tier.benefit_cost)
        before, after = (float(amounts.loc[member, c].sum() * scale) for c in ("before", "after"))
        gain = float(getattr(tier, "uplift", uplift)) if cost > 0 else 0.0
        spread = amounts.loc[member, "after"].std(ddof=1) * scale if n >= 10 else np.nan
        seen = (
            (norm.ppf(0.975) + norm.ppf(0.8)) * spread * 2 / np.sqrt(n) / (after / n)
            if after > 0
            else np.nan
        )
        rows.append(
            {
                "tier": tier.tier,
                "threshold": float(tier.threshold),
                "n_customers": int(((now == k) & active).sum()),
                "n_judged": n,
                "cm_share": amounts.loc[member, "after"].sum() / total if total > 0 else np.nan,
                "money_before": before / n if n else np.nan,
                "money_after": after / n if n else np.nan,
                "kept_share": float((now[member] >= k).mean()) if n else np.nan,
                "benefit_cost": n * cost,
                "break_even_uplift": n * cost / after if after > 0 else np.nan,
                "tempting_uplift": n * cost / before if before > 0 else np.nan,
                "assumed_uplift": gain,
                "tier_net": gain * after - n * cost,
                "detectable_uplift": seen,
            }
        )
    return pd.DataFrame(rows)


def search_tiers(
    amounts: pd.DataFrame,
    benefits: pd.DataFrame,
    *,
    uplift: float = 0.05,
    most_share: float = 0.3,
    least_members: int = 50,
) -> pd.DataFrame:
    """Thresholds that would have left most over: every increasing set of round amounts
    for the tiers of `benefits` (tier, benefit_cost per member and year, optional
    uplift; lowest first, cost rising), judged as in `judge_tiers`.

    Each tier holds at least `least_members`, all tiers together at most `most_share` of
    the buyers. Returns the rows of `judge_tiers` for the best set (largest sum of
    tier_net; equal sums: the higher thresholds, which cost less), with n_sets tried.
    Raises PlaybookError where the shop is too small for the tiers asked for.
    """
    scale = 365 / float(amounts["period_days"].iloc[0]) if len(amounts) else 1.0
    yearly = (
        amounts.loc[amounts["qualify"] > 0, ["qualify", "after"]].sort_values("qualify") * scale
    )
    n = len(yearly)
    if n < 2 * least_members:
        raise PlaybookError(
            f"only {n} customer{'s' * (n != 1)} bought in the qualifying period",
            rule="tiers",
            do="fewer tiers, fewer members per tier, or wait",
        )
    spent = yearly["qualify"].to_numpy()
    grid = np.unique(
        [_round_amount(v) for v in np.quantile(spent, np.linspace(1 - most_share, 0.995, 40))]
    )
    above_n = n - np.searchsorted(spent, grid)
    fits = (above_n >= least_members) & (above_n <= most_share * n)
    grid, above_n = grid[fits], above_n[fits]
    above = np.concatenate([yearly["after"].to_numpy()[::-1].cumsum()[::-1], [0]])[
        np.searchsorted(spent, grid)
    ]
    cost = benefits["benefit_cost"].to_numpy(float)
    gains = (
        benefits["uplift"].to_numpy(float) if "uplift" in benefits else np.full(len(cost), uplift)
    )
    best, tried = None, 0
    for chosen in _increasing(len(grid), len(cost)):
        at = np.array(chosen)
        members = above_n[at] - np.append(above_n[at[1:]], 0)
        if (members < least_members).any():
            continue
        tried += 1
        gain = gains * (above[at] - np.append(above[at[1:]], 0)) - members * cost
        key = (round(float(gain.sum()), 6), tuple(grid[at]))
        best = key if best is None or key > best else best
    if best is None:
        message = f"no set of {len(cost)} thresholds leaves {least_members} members in each tier"
        raise PlaybookError(message, rule="tiers", do="ask for fewer tiers or smaller ones")
    return judge_tiers(amounts, benefits.assign(threshold=list(best[1])), uplift=uplift).assign(
        n_sets=tried
    )


@dataclass(frozen=True)
class TierDesign:
    """`table`: rows of `judge_tiers` for today's tiers (scheme `today`) and for the
    best searched set (`searched`, with threshold_low and threshold_high, where nine in
    ten searches on resampled customers end, and net_checked, the mean tier_net of those
    on customers they have not seen); empty with a `caveat` where the log is too short
    or the shop too small. `point_value`: that of the tiers table.
    """

    table: pd.DataFrame
    caveat: str
    period_days: int
    n_sets: int
    point_value: float | None


def design_tiers(
    amounts: pd.DataFrame, today: Any = None, *, benefit_costs: str, uplift: float, as_of: Any
) -> TierDesign:
    """Today's tiers (table `tiers`, those in force) beside the thresholds a search on
    history would have chosen for the same benefits, or for `benefit_costs` where the
    shop has no tiers yet: "silver 3.5, gold 12", the yearly cost per member, or "silver
    3.5 0.08, gold 12 0.15" with the uplift each is assumed to add (else `uplift` for
    the cheapest and more for the dearer, see above).
    """
    period = int(amounts["period_days"].iloc[0]) if len(amounts) else 0
    frames, notes, value, n_sets = [], [], None, 0
    benefits = _stated_benefits(benefit_costs)
    empty = pd.DataFrame(
        columns=["scheme", "tier", "threshold", "break_even_uplift", "tempting_uplift", "tier_net"]
    )
    if period < 28:
        short = f"tiers are not judged: the log has {2 * period} days, eight weeks are needed"
        return TierDesign(empty, short, period, 0, None)
    if today is not None:
        t = expression(today).filter(
            _.from_on.cast("date") <= ibis.literal(pd.Timestamp(as_of).date())
        )
        numbers = {c: t[c].cast("float64") for c in ("threshold", "benefit_cost", "point_value")}
        own = t.select("tier", "from_on", **numbers)
        own = own.order_by("tier", "from_on").to_pandas().drop_duplicates("tier", keep="last")
        if own["benefit_cost"].notna().all() and len(own):
            own = _with_uplift(own, uplift)
            frames.append(judge_tiers(amounts, own, uplift=uplift).assign(scheme="today"))
            paid = own[own["threshold"] > 0].sort_values("threshold")
            benefits = paid[["tier", "benefit_cost", "uplift"]] if len(paid) else benefits
        value = float(own["point_value"].max()) if own["point_value"].notna().any() else None
    try:
        benefits = _with_uplift(benefits, uplift).sort_values(
            "benefit_cost", kind="stable", ignore_index=True
        )
        best = search_tiers(amounts, benefits, uplift=uplift)
        n_sets = int(best.pop("n_sets").iloc[0])
        frames.append(_checked(amounts, benefits, best).assign(scheme="searched"))
    except PlaybookError as problem:
        notes.append(f"no thresholds are proposed: {problem.message}")
    table = pd.concat(frames, ignore_index=True) if frames else empty
    return TierDesign(table, "; ".join(notes), period, n_sets, value)


def _stated_benefits(text: str) -> pd.DataFrame:
    """tier, benefit_cost, uplift (missing where not stated) from "silver 3.5, gold 12
    0.15".
    """
    rows = []
    for words in (part.split() for part in text.split(",") if part.strip()):
        try:
            name, cost, uplift = (
                words[0],
                float(words[1]),
                float(words[2]) if len(words) > 2 else np.nan,
            )
        except (IndexError, ValueError):
            name, cost, uplift = "", np.nan, np.nan
        if not cost >= 0 or len(words) > 3 or uplift < 0:
            raise PlaybookError(
                f"{text!r} names no tiers", do='write them as "silver 3.5, gold 12"'
            )
        rows.append((name, cost, uplift))
    return pd.DataFrame(rows, columns=["tier", "benefit_cost", "uplift"])


def _with_uplift(tiers: pd.DataFrame, uplift: float) -> pd.DataFrame:
    """`tiers` with the uplift each is assumed to add: its own, else `uplift` times the
    root of its cost over the cheapest benefit's.
    """
    cost = tiers["benefit_cost"].astype(float)
    rule = (uplift * np.sqrt(cost / cost[cost > 0].min())).where(cost > 0, 0.0)
    return tiers.assign(uplift=tiers["uplift"].fillna(rule) if "uplift" in tiers else rule)


def _checked(
    amounts: pd.DataFrame,
    benefits: pd.DataFrame,
    best: pd.DataFrame,
    *,
    n: int = 20,
    seed: int = 0,
    max_customers: int = 100_000,
) -> pd.DataFrame:
    """`best` with threshold_low, threshold_high and net_checked, from `n` searches on
    resampled customers (of a fixed sample in a large shop, whose range is then wider
    than it need be).
    """
    rng, lines, nets, n_all = np.random.default_rng(seed), [], [], len(amounts)
    amounts = amounts.drop(columns="customer_id")
    if n_all > max_customers:
        amounts = amounts.iloc[np.sort(rng.choice(n_all, max_customers, replace=False))]
    for _k in range(n):
        drawn = rng.integers(0, len(amounts), len(amounts))
        unseen = amounts[~np.isin(np.arange(len(amounts)), drawn)]
        try:
            found = search_tiers(amounts.iloc[drawn], benefits)
            judged = judge_tiers(unseen, benefits.assign(threshold=found["threshold"].to_numpy()))
        except PlaybookError:  # the resample is too small for the tiers
            continue
        lines.append(found["threshold"])
        nets.append(judged["tier_net"] * n_all / len(unseen))
    if len(lines) < n / 2:
        return best.assign(threshold_low=np.nan, threshold_high=np.nan, net_checked=np.nan)
    low, high = np.quantile(lines, [0.05, 0.95], axis=0)
    return best.assign(threshold_low=low, threshold_high=high, net_checked=np.mean(nets, axis=0))


def proposed_tiers(tiers: pd.DataFrame) -> pd.DataFrame:
    """The rows of a design's table the shop is to have: the searched ones where they
    leave more than today's on customers the search has not seen, else today's (also
    where too few resamples allowed a search).
    """
    today, searched = (tiers[tiers["scheme"] == name] for name in ("today", "searched"))
    is_better = (
        len(searched) and searched["net_checked"].sum(skipna=False) > today["tier_net"].sum()
    )
    return searched if is_better else today


def downgrade_rule(
    amounts: pd.DataFrame, tiers: pd.DataFrame, *, keep_share: float = 0.8
) -> pd.DataFrame:
    """Whether members who just miss their threshold should keep the tier for a year.

    `tiers`: rows of `judge_tiers`. One row per tier with a benefit: tier, threshold,
    keep_from (`keep_share` of it), n_down (members by the qualifying period who fell
    below it in the latest), n_near (of these, at keep_from or more), money_next (a
    year's money per customer of those, `n_seen`, who stood between the two lines a
    period ago), keep_cost (n_near x cost of a member), keep_net (what keeping them
    leaves), keep_break_even (a member's cost over that money; missing where there is
    none), rule (`keep a year` where that is within the assumed uplift, else
    `downgrade`; missing with fewer than 30 to learn from).
    """
    rows, columns = (
        [],
        [
            "tier",
            "threshold",
            "keep_from",
            "n_down",
            "n_near",
            "n_seen",
            "money_next",
            "keep_cost",
            "keep_net",
            "keep_break_even",
            "assumed_uplift",
            "rule",
        ],
    )
    if len(tiers) == 0:
        return pd.DataFrame(columns=columns)
    scale = 365 / float(amounts["period_days"].iloc[0])
    then, now, after = (amounts[c].to_numpy(float) * scale for c in ("qualify", "latest", "after"))
    for tier in tiers[(tiers["benefit_cost"] > 0) & (tiers["threshold"] > 0)].itertuples(
        index=False
    ):
        keep, cost = keep_share * tier.threshold, tier.benefit_cost / tier.n_judged
        down, band = (
            (then >= tier.threshold) & (now < tier.threshold),
            (then >= keep) & (then < tier.threshold),
        )
        n_near, money = (
            int((down & (now >= keep)).sum()),
            float(after[band].mean()) if band.sum() >= 30 else np.nan,
        )
        even = cost / money if money > 0 else np.nan
        rule = (
            None
            if np.isnan(money)
            else "keep a year"
            if even <= tier.assumed_uplift
            else "downgrade"
        )
        rows.append(
            (
                tier.tier,
                tier.threshold,
                keep,
                int(down.sum()),
                n_near,
                int(band.sum()),
                money,
                n_near * cost,
                n_near * (tier.assumed_uplift * money - cost),
                even,
                tier.assumed_uplift,
                rule,
            )
        )
    return pd.DataFrame(rows, columns=columns)


def near_threshold(
    amounts: pd.DataFrame, thresholds: list[float], *, band_share: float = 0.1
) -> pd.DataFrame:
    """Customers just under and just over each yearly threshold, and whether they crowd
    over it.

    One row per threshold: n_below and n_above within `band_share` of it, expected_above
    (from the smooth count of ten bands around, the two next to the line left out),
    crowding_ratio (n_above / expected), p_value (Poisson, of as many or more),
    money_to_go (median revenue the ones below lack), status (`complete`; `too few`
    under 20 expected or 6 bands).
    """
    from scipy.stats import poisson

    spent = (
        amounts.loc[amounts["latest"] > 0, "latest"].to_numpy()
        * 365
        / float(amounts["period_days"].iloc[0])
    )
    rows = []
    for line in sorted(thresholds):
        width = line * band_share
        bands = np.arange(-5, 5)
        count = np.array(
            [((spent >= line + k * width) & (spent < line + (k + 1) * width)).sum() for k in bands],
            float,
        )
        under = spent[(spent >= line - width) & (spent < line)]
        far = (bands < -1) | (bands > 0)
        weight = np.sqrt(np.maximum(count[far], 0.5))
        slope = np.polyfit(bands[far] + 0.5, np.log(np.maximum(count[far], 0.5)), 1, w=weight)
        expected, seen = float(np.exp(np.polyval(slope, 0.5))), int(count[5])
        enough = line > 0 and expected >= 20 and (count[far] > 0).sum() >= 6
        rows.append(
            {
                "threshold": line,
                "n_below": int(count[4]),
                "n_above": seen,
                "expected_above": expected if enough else np.nan,
                "crowding_ratio": seen / expected if enough else np.nan,
                "p_value": float(poisson.sf(seen - 1, expected)) if enough else np.nan,
                "money_to_go": float(np.median(line - under)) if len(under) else np.nan,
                "status": "complete" if enough else "too few",
            }
        )
    return pd.DataFrame(
        rows,
        columns=[
            "threshold",
            "n_below",
            "n_above",
            "expected_above",
            "crowding_ratio",
            "p_value",
            "money_to_go",
            "status",
        ],
    )


def points(
    memberships: Any, *, as_of: Any, point_value: float, breakage_share: float | None = None
) -> pd.DataFrame:
    """What the shop owes in points: earned, spent, expired, adjusted, outstanding
    (points), breakage_share, breakage_from (`history`: expired over earned of points
    whose time has run out; `stated`: given; `none`: neither), liability (outstanding x
    point_value x (1 - breakage_share)), liability_no_breakage, n_members.

    Points whose expiry has passed by `as_of` without a booking are taken as expired.
    Raises PlaybookError where a balance is negative: points were spent that were never
    earned.
    """
    day, t = pd.Timestamp(as_of), expression(memberships)
    t = t.filter(_.changed_at.cast("date") <= ibis.literal(day.date())).select(
        "customer_id",
        "reason",
        points=_.points_delta.fill_null(0).cast("int64"),
        expires_on=_.expires_on.cast("date"),
    )
    per = (
        t.group_by("customer_id")
        .aggregate(
            balance=_.points.sum(),
            booked_off=-_.points.sum(where=_.points < 0).fill_null(0),
            earned=_.points.sum(where=_.reason == "earn").fill_null(0),
            spent=-_.points.sum(where=_.reason == "spend").fill_null(0),
            expired=-_.points.sum(where=_.reason == "expire").fill_null(0),
            adjusted=_.points.sum(where=_.reason == "adjust").fill_null(0),
            ended=_.points.sum(
                where=(_.reason == "earn") & (_.expires_on < ibis.literal(day.date()))
            ).fill_null(0),
        )
        .order_by("customer_id")
        .to_pandas()
    )
    if (per["balance"] < 0).any():
        raise PlaybookError(
            "points were spent that were never earned",
            table="memberships",
            rule="balance",
            rows=int((per["balance"] < 0).sum()),
            do="import the full history of points",
        )
    late = np.maximum(
        per["ended"] - per["booked_off"], 0
    )  # first earned, first used: what ended unused and unbooked
    per = per.assign(outstanding=per["balance"] - late, expired=per["expired"] + late)
    total = per[list(POINTS)].sum()
    ended, gone = float(per["ended"].sum()), float(np.minimum(per["expired"], per["ended"]).sum())
    seen = gone / ended if ended > 0 else np.nan
    share = breakage_share if breakage_share is not None else (seen if seen == seen else 0.0)
    source = "stated" if breakage_share is not None else "history" if seen == seen else "none"
    owed = float(total["outstanding"]) * point_value
    return pd.DataFrame(
        [
            {
                **{k: int(v) for k, v in total.items()},
                "breakage_share": share,
                "breakage_seen": seen,
                "breakage_from": source,
                "point_value": point_value,
                "liability": owed * (1 - share),
                "liability_no_breakage": owed,
                "n_members": len(per),
            }
        ]
    )


def _round_amount(amount: float) -> float:
    """The amount to two leading digits: what a shop would print on a card."""
    if amount <= 0:
        return 0.0
    step = 10.0 ** (np.floor(np.log10(amount)) - 1)
    return float(np.round(amount / step) * step)


def _increasing(n: int, k: int) -> list[tuple[int, ...]]:
    from itertools import combinations, islice

    return list(islice(combinations(range(n), k), 200_000))
