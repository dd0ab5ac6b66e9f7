"""Membership benefits one by one: what each costs, who uses it, and what it adds.

Members who use a benefit buy more with or without it, so users against the others prove nothing;
what a benefit adds is known only against members who drew lots and do not have it. Margin is held
against margin over the days since each member was drawn, of the last year, whether they used it or
not. A cost that stands in the margin of orders already is taken off once. Where nobody was held
out, cost and use are all there is, and a hold-out large enough to show the cost is asked for.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
from ibis import _
from pandas import DataFrame, Series

from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.measures.customer_windows import MONEY, Table
from playbook.methods.proportions import Z90
from playbook.store import expression
from playbook.tables import empty, frame_of, returns

__all__ = [
    "benefit_accounts",
    "benefit_decisions",
    "benefit_members",
    "with_points",
    "without_whole",
]

DAYS_READ, A_YEAR = 365, 365
#: chance from which a benefit is said to cost more than it adds, or to pay
SURE = 0.95
#: members an arm needs, and days a member has had the benefit in the mean, to be judged
LEAST_ARM, LEAST_DAYS = 30, 91
#: how far what a benefit adds may lie from what it costs before anything is known, in costs: one of
#: half a euro neither brings nor loses twenty, whatever a few orders of the two arms say
DOUBT_COSTS = 2.0
#: two-sided 5 % and power 80 %, in standard errors: what a hold-out is made for
REACH = 1.959964 + 0.841621
#: least share of members that a hold-out is asked of
LEAST_HELD = 0.05
MOST_DECIDED, CONFIDENT = (
    {
        "benefit_cut": 3,
        "benefit_lots": 1,
        "benefit_keep": 3,
    },
    1000,
)
DUE_DAYS, REVISIT_DAYS = 14, 105
#: verdicts in the order of the table
ORDER = ["costs too much", "no hold-out", "too few", "too early", "not shown", "no costs", "pays"]


def with_points(
    benefits: Table, uses: Table, memberships: Table | None, *, point_value: float
) -> tuple[ibis.Table, ibis.Table]:
    """`benefits` and `uses` with the points of members as one benefit more, which nobody was held
    out from: theirs from the first change on, a use each time points were spent.
    """
    benefits, uses = expression(benefits), expression(uses)
    names = ("benefit", "customer_id", "from_on", "arm")
    benefits = benefits.select(*[benefits[n] if n in benefits.columns else _none(n) for n in names])
    is_in = uses.is_in_margin if "is_in_margin" in uses.columns else ibis.literal(False)
    cost = uses.cost.cast(MONEY) if "cost" in uses.columns else ibis.null(MONEY)
    uses = uses.select(
        "benefit",
        "customer_id",
        used_on=uses.used_on.cast("date"),
        cost=cost,
        is_in_margin=is_in.fill_null(False),
    )
    if memberships is None:
        return benefits, uses
    changes = expression(memberships).mutate(on=_.changed_at.cast("date"))
    name = ibis.literal("points")
    people = changes.group_by("customer_id").aggregate(from_on=_.on.min())
    people = people.select(
        benefit=name, customer_id=_.customer_id, from_on=_.from_on, arm=_none("arm")
    )
    spent = changes.filter(_.reason == "spend")
    worth = ibis.literal(-point_value) * spent.points_delta
    spent = spent.select(
        benefit=name,
        customer_id=spent.customer_id,
        used_on=spent.on,
        cost=worth.cast(MONEY),
        is_in_margin=ibis.literal(False),
    )
    return benefits.union(people), uses.union(spent)


def _none(name: str) -> ibis.Value:
    return ibis.null("string").name(name)


@dated
def benefit_members(
    benefits: Table, uses: Table, customer_days: Table, *, as_of: dt.date, basis: str = "margin"
) -> ibis.Table:
    """One row per benefit and member: benefit, customer_id, arm (treated, holdout; empty where no
    lots were drawn), days (they have or lack it, of the last year), n_uses, cost and outside (what
    of it stands in no order's margin) in these days, money (their `basis` money in these days).
    `benefits` and `uses` as `with_points` gives them.
    """
    last = ibis.literal(as_of)
    first = ibis.literal(as_of - dt.timedelta(days=DAYS_READ - 1))
    people = benefits.mutate(from_on=_.from_on.cast("date")).filter(_.from_on <= last)
    people = people.mutate(
        start=ibis.greatest(people.from_on, first),
        arm=people.arm.fill_null(""),
    )
    people = people.mutate(days=last.delta(people.start, unit="day") + 1).drop("from_on")
    used = uses.filter(_.used_on <= last).select(
        "benefit", "customer_id", "used_on", "cost", "is_in_margin"
    )
    used = people.inner_join(used, ["benefit", "customer_id"])
    used = used.filter(used.used_on >= used.start)
    used = used.group_by("benefit", "customer_id").aggregate(
        n_uses=_.count(),
        cost=_.cost.sum(),
        outside=_.cost.sum(where=~_.is_in_margin).fill_null(0),
    )
    days = expression(customer_days)
    days = days.select(
        "customer_id", day_on=days.day_on.cast("date"), money=days[basis].cast(MONEY)
    )
    bought = people.select(
        "benefit",
        "customer_id",
        "start",
    ).inner_join(days, "customer_id")
    bought = bought.filter((bought.day_on >= bought.start) & (bought.day_on <= last))
    bought = bought.group_by("benefit", "customer_id").aggregate(money=_.money.sum())
    rows = people.left_join(used, ["benefit", "customer_id"])
    rows = rows.select(
        *people.columns,
        "n_uses",
        "cost",
        "outside",
    )
    rows = rows.left_join(bought, ["benefit", "customer_id"])
    nought = {name: rows[name].fill_null(0) for name in ("n_uses", "outside", "money")}
    return rows.select(
        *people.columns,
        "cost",
        **nought,
    )


@returns("segmentation.benefit_accounts")
def benefit_accounts(members: ibis.Table, *, basis: str = "margin") -> DataFrame:
    """Each benefit's year, what surely costs more than it adds on top, then what is not known by
    its cost. `members`: `benefit_members`. Money is of a year of the members who have it today, at
    the rates of the days read; intervals are of 90 %. Where costs are not known (`basis` revenue)
    nothing is judged.
    """
    sums = _sums(members)
    if sums.empty:
        return empty("segmentation.benefit_accounts")
    rows = [
        _account(
            name,
            part,
            basis == "margin",
        )
        for name, part in sums.groupby("benefit")
    ]
    table = DataFrame(rows)
    table["place"] = table.verdict.map(ORDER.index)
    table = table.sort_values(
        ["place", "cost", "benefit"], ascending=[True, False, True], ignore_index=True
    )
    return frame_of("segmentation.benefit_accounts", table.drop(columns="place"))


@dated
def benefit_decisions(
    accounts: DataFrame, *, as_of: dt.date, currency: str, but: tuple[str, ...] = ()
) -> DataFrame:
    """Rows on the benefits: cut what surely costs more than it adds, hold out from the dearest that
    nobody was held out from, keep what surely pays (three of a kind at most). `but` names those
    decided elsewhere.
    """
    kinds = {
        "costs too much": "benefit_cut",
        "no hold-out": "benefit_lots",
        "pays": "benefit_keep",
    }
    rows = []
    known = accounts[(accounts.cost > 0) & (accounts.holdout_n > 0)]
    known = known[~known.benefit.isin(but)]
    for verdict, kind in kinds.items():
        asked = known[known.verdict == verdict]
        rows += [
            _row(
                kind,
                row,
                currency,
            )
            for row in asked[: MOST_DECIDED[kind]].itertuples()
        ]
    due = str(as_of + dt.timedelta(days=DUE_DAYS)), str(as_of + dt.timedelta(days=REVISIT_DAYS))
    return decision_rows(rows).assign(due_on=due[0], revisit_on=due[1])


def without_whole(rows: DataFrame, accounts: DataFrame | None) -> DataFrame:
    """Decision rows of the chapter without those on all benefits of a tier together, where each
    benefit has an account of its own: a whole that is to be held out says less than its parts.
    """
    if accounts is None or (accounts.verdict == "no costs").all():
        return rows
    whole = ["segmentation.benefit", "segmentation.benefit_holdout"]
    return rows[~rows.kind.isin(whole)].reset_index(drop=True)


def _row(kind: str, row: Any, currency: str) -> dict[str, Any]:
    is_cut = kind == "benefit_cut"
    # no cut saves more than what is spent
    saved = tuple(min(-net, row.cost) for net in (row.net, row.high, row.low))
    found = {"effect": saved} if is_cut else {}
    if kind == "benefit_lots":
        found = {"effect_high": row.cost}
    return propose(
        f"segmentation.{kind}",
        row.benefit,
        size=-row.cost if is_cut else row.holdout_n if kind == "benefit_lots" else row.cost,
        confidence="high" if row.n_holdout >= CONFIDENT else "medium",
        evidence_value=row.use_share if kind == "benefit_lots" else row.added,
        threshold=None if kind == "benefit_lots" else row.cost_per_member,
        cost=row.cost,
        each=row.cost_per_member,
        added=row.added,
        low=row.added_low,
        high=row.added_high,
        n_holdout=int(row.n_holdout),
        used=row.use_share,
        least=row.detectable,
        currency=currency,
        **found,
    )


def _sums(members: ibis.Table) -> DataFrame:
    """Sums of `benefit_members` by benefit and arm."""
    money = (members.money - members.outside).cast("decimal(19, 2)")
    days = members.days.cast("int64")
    known = members.cost.notnull() | (members.n_uses == 0)
    rows = members.mutate(
        net=money,
        days=days,
        is_known=known,
    )
    sums = rows.group_by("benefit", "arm").aggregate(
        n=_.count(),
        users=_.count(where=_.n_uses > 0),
        n_uses=_.n_uses.sum(),
        known=_.count(where=_.is_known),
        cost=_.cost.sum().cast("float64"),
        outside=_.outside.sum().cast("float64"),
        days=_.days.sum().cast("float64"),
        total=_.net.sum().cast("float64"),
        dd=(_.days * _.days).sum().cast("float64"),
        nd=(_.net * _.days).sum().cast("float64"),
        nn=(_.net * _.net).sum().cast("float64"),
    )
    return sums.order_by("benefit", "arm").to_pandas()


def _account(name: str, arms: DataFrame, is_margin: bool) -> dict[str, Any]:
    """One benefit from the sums of its arms."""
    arms = arms.drop(columns="benefit").set_index("arm").astype(float).fillna({"cost": 0.0})
    arms = arms.reindex(["", "treated", "holdout"], fill_value=0.0)
    drawn, held = arms.loc["treated"], arms.loc["holdout"]
    have = arms.loc[""] + drawn
    n, years = have.n, have.days / A_YEAR
    has_cost = have.known == n and n > 0
    spent = have.cost if has_cost else np.nan
    each = spent / years if years else np.nan
    outside = have.outside / years if years else np.nan
    row = {
        "benefit": name,
        "n_members": int(n),
        "n_holdout": int(held.n),
        "days": have.days / n if n else np.nan,
        "use_share": have.users / n if n else np.nan,
        "uses_per_member": have.n_uses / years if years else np.nan,
        "holdout_uses": int(held.n_uses),
        "cost_per_member": each,
        "cost": each * n,
    }
    gain = _added(drawn, held) if is_margin and has_cost else None
    held_out = _held_out(have, each) if is_margin else (np.nan, np.nan)
    row["holdout_n"], row["detectable"] = held_out
    names = ("added", "added_low", "added_high", "net", "low", "high", "p_costs")
    row |= dict.fromkeys(names, np.nan)
    row["verdict"] = _unread(
        drawn,
        held,
        is_margin and has_cost,
    )
    if gain is None or row["verdict"]:
        return row
    added, error = gain
    row |= {
        "added": added,
        "added_low": added - Z90 * error,
        "added_high": added + Z90 * error,
    }
    believed, error = _believed(added, error, outside, each)
    net, reach = believed - outside, Z90 * error
    row |= {
        "net": net * n,
        "low": (net - reach) * n,
        "high": (net + reach) * n,
    }
    row["p_costs"] = _under_nought(net, error)
    is_sure = row["p_costs"] >= SURE, row["p_costs"] <= 1 - SURE
    row["verdict"] = "costs too much" if is_sure[0] else "pays" if is_sure[1] else "not shown"
    return row


def _unread(drawn: Series, held: Series, has_costs: bool) -> str:
    """Why a benefit is not judged; empty where it is."""
    if not has_costs:
        return "no costs"
    if min(held.n, drawn.n) < LEAST_ARM:
        return "too few" if held.n else "no hold-out"
    both = (drawn.days + held.days) / (drawn.n + held.n)
    return "too early" if both < LEAST_DAYS else ""


def _rate(arm: Series) -> tuple[float, float]:
    """Money per member and year of an arm, and its variance (a ratio of two sums; Cochran 1977)."""
    rate = arm.total / arm.days
    left = arm.nn - 2 * rate * arm.nd + rate**2 * arm.dd
    variance = max(left, 0.0) * arm.n / max(arm.n - 1, 1) / arm.days**2
    return rate * A_YEAR, variance * A_YEAR**2


def _added(drawn: Series, held: Series) -> tuple[float, float] | None:
    """What members who have it leave more than those held out, per member and year, before what it
    costs outside their orders; with the standard error of that cost taken off. None without two
    arms.
    """
    if not (drawn.days > 0 and held.days > 0):
        return None
    (mine, v_mine), (theirs, v_theirs) = _rate(drawn), _rate(held)
    paid = A_YEAR * drawn.outside / drawn.days
    return mine + paid - theirs, float(np.sqrt(v_mine + v_theirs))


def _believed(added: float, error: float, outside: float, each: float) -> tuple[float, float]:
    """What a benefit adds, and its error, once its size is thought of too: the posterior of a
    normal whose mean is what the benefit costs outside of orders, as nobody knows better, and
    whose spread is `DOUBT_COSTS` times its whole cost.
    """
    doubt = DOUBT_COSTS * each
    if not (doubt > 0 and error > 0):
        return added, error
    trust = doubt**2 / (doubt**2 + error**2)
    return outside + trust * (added - outside), float(np.sqrt(trust)) * error


def _held_out(have: Series, cost: float) -> tuple[float, float]:
    """Members to hold out of those who have it, so that a year shows whether it adds its cost, at
    most half of them; and the least they would show, money a member and year.
    """
    if not (have.n >= 2 * LEAST_ARM and cost > 0):
        return np.nan, np.nan
    spread = _rate(have)[1] * have.n
    # error^2 = spread x (1 / held + 1 / rest): the smaller root of the square
    room = (cost / REACH) ** 2 * have.n / spread if spread > 0 else np.inf
    share = (1 - np.sqrt(max(1 - 4 / room, 0.0))) / 2
    share = max(share, LEAST_HELD)
    least = REACH * np.sqrt(spread / have.n / share / (1 - share))
    return float(np.ceil(share * have.n)), float(least)


def _under_nought(mean: float, error: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(-mean / error)) if error > 0 else float(mean < 0)
