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
from datetime import date
from itertools import combinations, islice
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from numpy import ndarray
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.given import dated, reads
from playbook.measures.customer_windows import MONEY
from playbook.messages import say
from playbook.store import expression
from playbook.tables import empty, frame_of, returns

__all__ = [
    "TierDesign",
    "annual_amounts",
    "judge_tiers",
    "search_tiers",
    "design_tiers",
    "proposed_tiers",
    "held_tiers",
    "downgrade_rule",
    "near_threshold",
    "points",
]

Row = dict[str, Any]

#: what of a tier is paid out of margin
OF_MARGIN = [
    "break_even_uplift",
    "tempting_uplift",
    "assumed_uplift",
    "tier_net",
    "detectable_uplift",
]
#: days a qualifying period must have for tiers to be judged
LEAST_DAYS = 28
#: members under whom the spread of their money is not read
LEAST_MEMBERS = 10
#: customers just under a line from whom it is learnt what such customers bring
LEAST_SEEN = 30
#: customers expected over a line, and bands with customers, for a crowd to be judged
LEAST_EXPECTED, LEAST_BANDS = 20, 6
#: share of the buyers all tiers together may hold
MOST_SHARE = 0.3
#: a tier starts at so many times the threshold of the one before it, at least
LEAST_STEP = 1.25
#: searches on resampled customers
SEARCHES = 20
#: share of a threshold from which on a member might keep the tier
KEEP_SHARE = 0.8
#: width of a band around a threshold, share of it
BAND_SHARE = 0.1
#: sets of thresholds tried at most
MOST_SETS = 200_000


@reads(customer_days="customer_id day_on {basis}")
@dated
def annual_amounts(customer_days: Table, *, as_of: date, basis: str = "revenue") -> DataFrame:
    """One row per customer: customer_id, qualify (revenue of the year before last, or
    the first half of a shorter log), before and after (`basis` money of that period and
    of the one after it), latest (revenue of the last period), period_days. Sorted.
    """
    rows = expression(customer_days).filter(_.customer_id.notnull())
    rows = rows.mutate(day_on=_.day_on.cast("date"))
    first = rows.aggregate(first=_.day_on.min()).to_pandas()["first"].iloc[0]
    if pd.isna(first):
        raise PlaybookError("segmentation.nobody_bought", table="customer_days")
    day = pd.Timestamp(as_of)
    period = min(365, ((day - pd.Timestamp(first)).days + 1) // 2)
    start, middle, end = (
        ibis.literal((day - pd.Timedelta(days=k * period)).date()) for k in (2, 1, 0)
    )
    money, revenue = _[basis].cast(MONEY), _.revenue.cast(MONEY)
    is_early = (_.day_on > start) & (_.day_on <= middle)
    is_late = (_.day_on > middle) & (_.day_on <= end)
    sums = {
        "qualify": revenue.sum(where=is_early),
        "before": money.sum(where=is_early),
        "after": money.sum(where=is_late),
        "latest": revenue.sum(where=is_late),
    }
    people = rows.group_by("customer_id").aggregate(
        **{name: total.cast("float64") for name, total in sums.items()}
    )
    amounts = people.order_by("customer_id").to_pandas()
    return amounts.fillna(dict.fromkeys(sums, 0.0)).assign(period_days=period)


def _scale(amounts: DataFrame) -> float:
    """What turns the amounts into those of a year, where the period is shorter."""
    return 365 / max(float(amounts.period_days.iloc[0]), 1.0)


def judge_tiers(amounts: DataFrame, tiers: DataFrame) -> DataFrame:
    """Each tier of `tiers` (tier, threshold of yearly revenue, benefit_cost per member
    and year, uplift the benefit is assumed to add) on history, lowest first.

    The columns of the table `tiers` up to detectable_uplift.
    """
    scale, total = _scale(amounts), amounts.after.sum()
    tiers = tiers.sort_values(["threshold", "tier"], ignore_index=True)
    edges = [*tiers.threshold.astype(float), np.inf]
    then, now = (
        np.searchsorted(edges, amounts[c] * scale, side="right") - 1 for c in ("qualify", "latest")
    )
    is_buyer = (amounts.qualify > 0).to_numpy()
    is_active = (amounts.latest > 0).to_numpy()
    rows = []
    for k, tier in enumerate(tiers.itertuples(index=False)):
        is_member = (then == k) & is_buyer
        members = amounts[is_member]
        judged = _judged(members, scale, tier)
        judged["n_customers"] = ((now == k) & is_active).sum()
        judged["cm_share"] = members.after.sum() / total if total > 0 else np.nan
        judged["kept_share"] = (now[is_member] >= k).mean() if is_member.any() else np.nan
        rows.append(judged)
    return frame_of("segmentation.tiers", rows).loc[:, :"detectable_uplift"]


def _judged(members: DataFrame, scale: float, tier: Any) -> Row:
    """What the members of one tier brought, and what its benefit must add to pay."""
    n, cost = len(members), float(tier.benefit_cost)
    before, after = (members[c].sum() * scale for c in ("before", "after"))
    assumed = float(tier.uplift) if cost > 0 else 0.0
    return {
        "tier": tier.tier,
        "threshold": float(tier.threshold),
        "n_judged": n,
        "money_before": before / n if n else np.nan,
        "money_after": after / n if n else np.nan,
        "benefit_cost": n * cost,
        "break_even_uplift": n * cost / after if after > 0 else np.nan,
        "tempting_uplift": n * cost / before if before > 0 else np.nan,
        "assumed_uplift": assumed,
        "tier_net": assumed * after - n * cost,
        "detectable_uplift": _detectable(members.after, scale),
    }


def _detectable(money: pd.Series, scale: float) -> float:
    """The least relative change a year with half of the members held out would show,
    two-sided 5 %, power 80 %.
    """
    from scipy.stats import norm

    n, mean = len(money), money.sum() * scale / max(len(money), 1)
    if n < LEAST_MEMBERS or mean <= 0:
        return np.nan
    reach = (norm.ppf(0.975) + norm.ppf(0.8)) * money.std(ddof=1) * scale
    return reach * 2 / np.sqrt(n) / mean


def search_tiers(amounts: DataFrame, benefits: DataFrame, *, least_members: int = 50) -> DataFrame:
    """Thresholds that would have left most over: every increasing set of round amounts
    for the tiers of `benefits` (tier, benefit_cost per member and year, uplift;
    lowest first, cost rising), judged as in `judge_tiers`.

    Each tier holds at least `least_members` and no more than the one below it, all tiers
    together at most three in ten of the buyers, and each starts at `LEAST_STEP` times the
    one before or more. Returns the rows of `judge_tiers` for the best set (largest sum of
    tier_net; equal sums: the higher thresholds, which cost less), with n_sets tried.
    Raises PlaybookError where the shop is too small for the tiers asked for.
    """
    is_buyer = amounts.qualify > 0
    n, n_tiers = int(is_buyer.sum()), len(benefits)
    if n < 2 * least_members:
        raise PlaybookError("segmentation.too_few_buyers", n=n, rule="tiers")
    yearly = amounts.loc[is_buyer, ["qualify", "after"]].sort_values("qualify") * _scale(amounts)
    spent, worth = yearly.qualify.to_numpy(), yearly.after.to_numpy()
    levels = np.quantile(spent, np.linspace(1 - MOST_SHARE, 0.995, 40))
    grid = np.unique([_round_amount(level) for level in levels])
    n_above = n - np.searchsorted(spent, grid)
    fits = (n_above >= least_members) & (n_above <= MOST_SHARE * n)
    grid, n_above = grid[fits], n_above[fits]
    from_here_up = np.concatenate([worth[::-1].cumsum()[::-1], [0]])
    worth_above = from_here_up[np.searchsorted(spent, grid)]
    cost = benefits.benefit_cost.to_numpy(float)
    uplifts = benefits.uplift.to_numpy(float)
    best, n_sets = None, 0
    for chosen in islice(combinations(range(len(grid)), n_tiers), MOST_SETS):
        at = np.array(chosen)
        members = _within(n_above[at])
        is_step = grid[at][1:] >= LEAST_STEP * grid[at][:-1]
        is_scheme = is_step.all() and (np.diff(members) <= 0).all()
        if (members < least_members).any() or not is_scheme:
            continue
        n_sets += 1
        net = (uplifts * _within(worth_above[at]) - members * cost).sum()
        found = (round(float(net), 6), tuple(grid[at]))
        best = found if best is None else max(best, found)
    if best is None:
        raise PlaybookError(
            "segmentation.no_set_fits",
            n_tiers=n_tiers,
            least=least_members,
            rule="tiers",
        )
    searched = benefits.assign(threshold=list(best[1]))
    return judge_tiers(amounts, searched).assign(n_sets=n_sets)


def _within(above: ndarray) -> ndarray:
    """What lies between each line and the next, from what lies above each."""
    return above - np.append(above[1:], 0)


@dataclass(frozen=True)
class TierDesign:
    """`table`: the table `tiers`, today's (scheme `today`) and the best searched set
    (`searched`); empty with a `caveat` where the log is too short or the shop too
    small. `period_days` judged, `n_sets` of thresholds tried. `point_value`: that of
    the shop's tiers table, if any.
    """

    table: DataFrame
    caveat: str
    period_days: int
    n_sets: int = 0
    point_value: float | None = None


@dated
def design_tiers(
    amounts: DataFrame,
    today: Table | None = None,
    *,
    benefit_costs: str,
    uplift: float,
    as_of: date,
    basis: str = "margin",
) -> TierDesign:
    """Today's tiers (table `tiers`, those in force) beside the thresholds a search on
    history would have chosen for the same benefits, or for `benefit_costs` where the
    shop has no tiers yet: "silver 3.5, gold 12", the yearly cost per member, or "silver
    3.5 0.08, gold 12 0.15" with the uplift each is assumed to add (else `uplift` for
    the cheapest and more for the dearer, see above). A benefit is paid out of margin: where
    the `basis` of the amounts is revenue, no thresholds are searched and what a tier leaves
    or must add is missing.
    """
    period = int(amounts.period_days.iloc[0]) if len(amounts) else 0
    benefits = _stated_benefits(benefit_costs)
    table = empty("segmentation.tiers")
    if period < LEAST_DAYS:
        return TierDesign(
            table,
            say("segmentation.tiers_too_early", days=2 * period),
            period,
        )
    frames, value, caveat, n_sets = [], None, "", 0
    if today is not None:
        own = _in_force(today, as_of)
        if own.benefit_cost.notna().all() and len(own):
            own = _with_uplift(own, uplift)
            judged = judge_tiers(amounts, own).assign(scheme="today")
            if basis == "revenue":
                judged[OF_MARGIN] = np.nan
            frames.append(judged)
            paid = own[own.threshold > 0].sort_values("threshold")
            benefits = paid[["tier", "benefit_cost", "uplift"]] if len(paid) else benefits
        value = float(own.point_value.max()) if own.point_value.notna().any() else None
    benefits = _with_uplift(benefits, uplift)
    benefits = benefits.sort_values("benefit_cost", kind="stable", ignore_index=True)
    try:
        if basis == "revenue":
            raise PlaybookError("segmentation.no_costs")
        best = search_tiers(amounts, benefits)
        n_sets = int(best.pop("n_sets").iloc[0])
        frames.append(_checked(amounts, benefits, best).assign(scheme="searched"))
    except PlaybookError as problem:
        caveat = say("segmentation.no_thresholds", why=problem.message)
    table = pd.concat(frames, ignore_index=True) if frames else table
    return TierDesign(table, caveat, period, n_sets, value)


def _in_force(tiers: Table, as_of: date) -> DataFrame:
    """tier, from_on, threshold, benefit_cost, point_value: the newest of each tier."""
    rows = expression(tiers).filter(_.from_on.cast("date") <= ibis.literal(as_of, "date"))
    numbers = {c: _[c].cast("float64") for c in ("threshold", "benefit_cost", "point_value")}
    rows = rows.select("tier", "from_on", **numbers).order_by("tier", "from_on")
    return rows.to_pandas().drop_duplicates("tier", keep="last")


def _stated_benefits(text: str) -> DataFrame:
    """tier, benefit_cost, uplift (missing where not stated) from "silver 3.5, gold 12
    0.15".
    """
    rows = []
    for words in (part.split() for part in text.split(",") if part.strip()):
        try:
            name, cost, *rest = words
            cost, uplift = float(cost), float(rest[0]) if rest else np.nan
        except ValueError:
            cost = np.nan
        if not cost >= 0 or len(words) > 3 or uplift < 0:
            raise PlaybookError("segmentation.no_tiers_named", text=text)
        rows.append((name, cost, uplift))
    return DataFrame(rows, columns=["tier", "benefit_cost", "uplift"])


def _with_uplift(tiers: DataFrame, uplift: float) -> DataFrame:
    """`tiers` with the uplift each is assumed to add: its own, else `uplift` times the
    root of its cost over the cheapest benefit's.
    """
    cost = tiers.benefit_cost.astype(float)
    rule = (uplift * np.sqrt(cost / cost[cost > 0].min())).where(cost > 0, 0.0)
    return tiers.assign(uplift=tiers.uplift.fillna(rule) if "uplift" in tiers else rule)


def _checked(amounts: DataFrame, benefits: DataFrame, best: DataFrame) -> DataFrame:
    """`best` with threshold_low, threshold_high and net_checked, from 20 searches on
    resampled customers (of a fixed sample of 100,000 in a large shop, whose range is
    then wider than it need be). Missing where half of the searches found nothing.
    """
    rng, lines, nets, n_all = np.random.default_rng(0), [], [], len(amounts)
    amounts = amounts.drop(columns="customer_id")
    if n_all > 100_000:
        amounts = amounts.iloc[np.sort(rng.choice(n_all, 100_000, replace=False))]
    for _resample in range(SEARCHES):
        drawn = rng.integers(0, len(amounts), len(amounts))
        unseen = amounts[~np.isin(np.arange(len(amounts)), drawn)]
        try:
            found = search_tiers(amounts.iloc[drawn], benefits)
            judged = judge_tiers(unseen, benefits.assign(threshold=found.threshold.to_numpy()))
        except PlaybookError:  # the resample is too small for the tiers
            continue
        lines.append(found.threshold)
        nets.append(judged.tier_net * n_all / len(unseen))
    if len(lines) < SEARCHES / 2:
        return best.assign(
            threshold_low=np.nan,
            threshold_high=np.nan,
            net_checked=np.nan,
        )
    low, high = np.quantile(lines, [0.05, 0.95], axis=0)
    return best.assign(
        threshold_low=low,
        threshold_high=high,
        net_checked=np.mean(nets, axis=0),
    )


def proposed_tiers(tiers: DataFrame) -> DataFrame:
    """The rows of a design's table the shop is to have: the searched ones where they
    leave more than today's on customers the search has not seen, else today's (also
    where too few resamples allowed a search).
    """
    today, searched = (tiers[tiers.scheme == name] for name in ("today", "searched"))
    if searched.empty:
        return today
    is_better = searched.net_checked.sum(skipna=False) > today.tier_net.sum()
    return searched if is_better else today


def held_tiers(tiers: DataFrame) -> DataFrame:
    """`proposed_tiers` where the shop has tiers today; no row elsewhere, where nobody has
    one to lose.
    """
    return proposed_tiers(tiers) if (tiers.scheme == "today").any() else tiers.head(0)


@returns("segmentation.downgrades")
def downgrade_rule(amounts: DataFrame, tiers: DataFrame) -> DataFrame:
    """Whether members who just miss their threshold should keep the tier for a year.

    `tiers`: rows of `judge_tiers`; those with a benefit and a threshold are looked at.
    """
    if tiers.empty:
        return empty("segmentation.downgrades")
    yearly = amounts[["qualify", "after", "latest"]] * _scale(amounts)
    paid = tiers[(tiers.benefit_cost > 0) & (tiers.threshold > 0)]
    rows = [_keep_or_not(yearly, tier) for tier in paid.itertuples(index=False)]
    return frame_of("segmentation.downgrades", rows)


def _keep_or_not(yearly: DataFrame, tier: Any) -> Row:
    keep_from, cost = (
        KEEP_SHARE * tier.threshold,
        tier.benefit_cost / tier.n_judged,
    )
    then, now = yearly.qualify, yearly.latest
    is_down = (then >= tier.threshold) & (now < tier.threshold)
    after = yearly.after[(then >= keep_from) & (then < tier.threshold)]
    n_near = (is_down & (now >= keep_from)).sum()
    money = after.mean() if len(after) >= LEAST_SEEN else np.nan
    break_even = cost / money if money > 0 else np.nan
    rule = "keep a year" if break_even <= tier.assumed_uplift else "downgrade"
    return {
        "tier": tier.tier,
        "threshold": tier.threshold,
        "keep_from": keep_from,
        "n_down": is_down.sum(),
        "n_near": n_near,
        "n_seen": len(after),
        "money_next": money,
        "keep_cost": n_near * cost,
        "keep_net": n_near * (tier.assumed_uplift * money - cost),
        "keep_break_even": break_even,
        "assumed_uplift": tier.assumed_uplift,
        "rule": None if np.isnan(money + tier.assumed_uplift) else rule,
    }


@returns("segmentation.near_threshold")
def near_threshold(amounts: DataFrame, thresholds: list[float]) -> DataFrame:
    """Customers just under and just over each yearly threshold, and whether they crowd
    over it.

    What is expected over a line comes from a straight line through the log counts of
    ten bands around it, each a tenth of it wide, the two next to the line left out.
    """
    spent = amounts.latest.to_numpy() * _scale(amounts)
    rows = [_crowd(spent[spent > 0], line, line * BAND_SHARE) for line in sorted(thresholds)]
    return frame_of("segmentation.near_threshold", rows)


def _crowd(spent: ndarray, line: float, width: float) -> Row:
    from scipy.stats import poisson

    bands = np.arange(-5, 5)
    edges = line + np.arange(-5, 6) * width
    count = np.diff(np.searchsorted(np.sort(spent), edges)).astype(float)
    is_far = (bands < -1) | (bands > 0)
    level = np.maximum(count[is_far], 0.5)
    slope = np.polyfit(
        bands[is_far] + 0.5,
        np.log(level),
        1,
        w=np.sqrt(level),
    )
    expected, n_above = np.exp(np.polyval(slope, 0.5)), int(count[5])
    is_enough = expected >= LEAST_EXPECTED and (count[is_far] > 0).sum() >= LEAST_BANDS
    is_enough = line > 0 and is_enough
    under = spent[(spent >= line - width) & (spent < line)]
    return {
        "threshold": line,
        "n_below": int(count[4]),
        "n_above": n_above,
        "expected_above": expected if is_enough else np.nan,
        "crowding_ratio": n_above / expected if is_enough else np.nan,
        "p_value": poisson.sf(n_above - 1, expected) if is_enough else np.nan,
        "money_to_go": np.median(line - under) if len(under) else np.nan,
        "status": "complete" if is_enough else "too few",
    }


@reads(memberships="customer_id changed_at points_delta reason expires_on")
@returns("segmentation.points")
def points(memberships: Table, *, as_of: date, point_value: float) -> DataFrame:
    """What the shop owes in points.

    Points whose expiry has passed by `as_of` without a booking are taken as expired:
    first earned, first used. Breakage is that of points whose time has run out. Members
    with a negative balance spent points that were never earned: nothing is owed to
    them, their history is not whole, and they are left out and counted.
    """
    people = _point_sums(memberships, as_of)
    is_negative = people.balance < 0
    people = people[~is_negative].copy()
    lapsed = np.maximum(people.ended - people.booked_off, 0)
    people["outstanding"] = people.balance - lapsed
    people["expired"] += lapsed
    total = people[["earned", "spent", "expired", "adjusted", "outstanding"]].sum().astype(int)
    ended = float(people.ended.sum())
    gone = float(np.minimum(people.expired, people.ended).sum())
    share = gone / ended if ended > 0 else 0.0
    owed = float(total.outstanding) * point_value
    row = {
        **total,
        "breakage_share": share,
        "breakage_seen": share if ended > 0 else np.nan,
        "breakage_from": "history" if ended > 0 else "none",
        "point_value": point_value,
        "liability": owed * (1 - share),
        "liability_no_breakage": owed,
        "n_members": len(people),
    }
    owed = frame_of("segmentation.points", [row])
    return owed.assign(n_left_out=int(is_negative.sum())) if is_negative.any() else owed


def _point_sums(memberships: Table, as_of: date) -> DataFrame:
    """One row per member: customer_id, balance, booked_off (all that left the account),
    ended (earned points whose time has run out), earned, spent, expired, adjusted.
    """
    day = ibis.literal(as_of, "date")
    rows = expression(memberships).filter(_.changed_at.cast("date") <= day)
    rows = rows.mutate(
        points=_.points_delta.fill_null(0).cast("int64"),
        expires_on=_.expires_on.cast("date"),
    )
    is_ended = (_.reason == "earn") & (_.expires_on < day)
    sums = {
        "booked_off": -_.points.sum(where=_.points < 0),
        "ended": _.points.sum(where=is_ended),
        "earned": _.points.sum(where=_.reason == "earn"),
        "spent": -_.points.sum(where=_.reason == "spend"),
        "expired": -_.points.sum(where=_.reason == "expire"),
        "adjusted": _.points.sum(where=_.reason == "adjust"),
    }
    people = rows.group_by("customer_id").aggregate(
        balance=_.points.sum(),
        **{name: total.fill_null(0) for name, total in sums.items()},
    )
    return people.order_by("customer_id").to_pandas()


def _round_amount(amount: float) -> float:
    """The amount to two leading digits: what a shop would print on a card."""
    if amount <= 0:
        return 0.0
    step = 10.0 ** (np.floor(np.log10(amount)) - 1)
    return float(np.round(amount / step) * step)
