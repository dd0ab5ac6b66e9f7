"""What comes of invitations: who takes them up, what the invited leave beside others who came in
the same months, and what a reward may cost at most.

An invitation is *answered* when somebody comes of it within a month. An invited customer is a
new one, whose first order the invitation came before; rewards for people who were customers
already buy nothing. What a customer leaves is the contribution margin of the first days after
the first order, the same days for all, so only customers that old count. Those invited are held
against other new customers month by month, since months differ. A reward costs too much where
it is almost surely more than that margin: it may cost no more even if nobody invited would
have come anyway, and less if some would.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import numpy as np
import pandas as pd
from ibis import Value, _
from numpy import ndarray
from pandas import DataFrame

from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.measures.ad_spend import Table
from playbook.messages import say
from playbook.methods.proportions import Z90, wilson
from playbook.store import expression
from playbook.tables import empty, frame_of, returns

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = [
    "Programme",
    "came_anyway",
    "cap_said",
    "invitation_months",
    "invited_customers",
    "invited_quality",
    "programme",
    "reward_decisions",
    "reward_levels",
]

#: days after which an invitation that nobody took up counts as unanswered
ANSWER_DAYS = 30
#: days after the first order in which a customer's margin counts
JUDGED_DAYS = 180
#: months of invitations and of new customers that are read
MONTHS, DAYS_READ = 24, 730
#: chance from which a reward is said to cost too much, or to pay
SURE = 0.95
#: margin over reward from which a larger reward is worth a test
RAISE_FROM = 2.0
#: customers of both kinds that the spread of a small group is weighed against
LIKE_CUSTOMERS = 20
#: how far the invited of one level of reward differ from those of all, share of their margin
LEVELS_DIFFER = 0.2
MOST_LEVELS = 8
#: newest days by which today's reward and the orders a month are told
RECENT_DAYS = 91
DAYS_A_MONTH = 365.25 / 12
DUE_DAYS, REVISIT_DAYS = 14, 98


@dataclass(frozen=True)
class Programme:
    """What the section found: its result tables by name, and what a reward may cost in words.
    Without costs there is `invitation_months` alone.
    """

    tables: dict[str, DataFrame]
    said: str


def programme(shop: Store, *, shares: DataFrame) -> Programme:
    """The whole section of a shop. `shares` (measures.acquisition.caused_shares) tells how many of
    those whom referral channels record would have come anyway, where the shop has tested it.
    """
    asked = {"as_of": shop.as_of}
    tables = {
        "invitation_months": invitation_months(shop.invitations, shop.sales_orders, **asked),
    }
    if shop.margin_basis == "revenue":
        return Programme(tables, "")
    cells = invited_customers(
        shop.invitations,
        shop.sales_orders,
        shop.customer_days,
        **asked,
    )
    quality = tables["invited_quality"] = invited_quality(cells)
    anyway = came_anyway(shares, shop.get("channels"))
    tables["reward_levels"] = reward_levels(cells, shop.invitations, anyway=anyway, **asked)
    return Programme(tables, cap_said(quality, anyway=anyway, currency=shop.currency))


def came_anyway(shares: DataFrame, channels: Table | None) -> float:
    """The share of those whom channels of kind referral record that would have come anyway, by the
    shop's own test; 0 without one.
    """
    if channels is None:
        return 0.0
    kinds = expression(channels).filter(_.kind == "referral").select("channel").to_pandas()
    own = shares[shares.is_own.astype(bool) & shares.channel.isin(kinds.channel)]
    caused = own.caused_over_recorded.mean() if len(own) else 1.0
    return float(np.clip(1 - caused, 0.0, 1.0))


@returns("channel_roi.invitation_months")
def invitation_months(invitations: Table, sales_orders: Table, *, as_of: dt.date) -> DataFrame:
    """Invitations by the month they were sent, the last two years. Intervals are Wilson's of
    90 %. A month whose invitations have not all had their time is partial. The share is missing
    where a source tells none but those that were taken up.
    """
    rows = expression(invitations).left_join(_firsts(sales_orders), "customer_id")
    answer = rows.accepted_at < rows.invited_at + ibis.interval(days=ANSWER_DAYS)
    is_new = _came_after(rows.invited_at.cast("date"), rows.first_on)
    rows = rows.mutate(
        month=rows.invited_at.strftime("%Y-%m"),
        is_answered=answer.fill_null(False),
        is_known=rows.ordered_at.notnull() & rows.first_on.notnull() & ~is_new,
    )
    table = (
        rows.group_by("month")
        .aggregate(
            invitations=_.count(),
            inviters=_.inviter_id.nunique(),
            answered=_.is_answered.sum(),
            first_orders=(_.ordered_at.notnull() & ~_.is_known).sum(),
            known_before=_.is_known.sum(),
            rewards=_.reward.cast("float64").sum(),
            waited=(_.accepted_at.isnull() | (_.accepted_at > _.invited_at)).sum(),
        )
        .order_by("month")
        .to_pandas()
        .tail(MONTHS)
        .reset_index(drop=True)
    )
    asked = table.invitations if table.waited.sum() else table.invitations * np.nan
    low, high = wilson(
        table.answered,
        asked,
        0.9,
    )
    ends = pd.PeriodIndex(table.month, freq="M").end_time.normalize()
    is_over = ends + pd.Timedelta(days=ANSWER_DAYS) <= pd.Timestamp(as_of)
    return frame_of(
        "channel_roi.invitation_months",
        table.assign(
            answered_share=table.answered / asked,
            low=low,
            high=high,
            status=np.where(
                is_over,
                "complete",
                "partial",
            ),
        ),
    )


@dated
def invited_customers(
    invitations: Table,
    sales_orders: Table,
    customer_days: Table,
    *,
    as_of: dt.date,
    days: int = JUDGED_DAYS,
) -> DataFrame:
    """Sums by month of first order, whether invited, and reward (in whole money; missing where
    none was given): month, is_invited, reward, n, total and squares of the margin of the first
    `days` days. New customers that are so old and whose costs are all known, the last two
    years of them.
    """
    last = as_of - dt.timedelta(days=days)
    firsts = _firsts(sales_orders).filter(
        _.first_on <= ibis.literal(last),
        _.first_on > ibis.literal(last - dt.timedelta(days=DAYS_READ)),
    )
    came = expression(invitations).filter(_.customer_id.notnull() & _.ordered_at.notnull())
    asked = came.group_by("customer_id").aggregate(
        invited_on=_.invited_at.min().cast("date"),
        reward=_.reward.cast("float64").max().round(0).cast("float64"),
    )
    days_of = expression(customer_days).inner_join(firsts, "customer_id")
    age = days_of.day_on.cast("date").delta(days_of.first_on, unit="day")
    left = (
        days_of.filter((age >= 0) & (age < days))
        .group_by("customer_id", "first_on")
        .aggregate(margin=_.margin.cast("float64").sum(), unknown=_.margin.isnull().sum())
        .filter(_.unknown == 0)
    )
    both = left.left_join(asked, "customer_id")
    is_invited = _came_after(both.invited_on, both.first_on)
    cells = (
        both.mutate(
            is_invited=is_invited, reward=is_invited.ifelse(both.reward, ibis.null("float64"))
        )
        .group_by(month=_.first_on.strftime("%Y-%m"), is_invited=_.is_invited, reward=_.reward)
        .aggregate(n=_.count(), total=_.margin.sum(), squares=(_.margin * _.margin).sum())
        .to_pandas()
    )
    cells["is_invited"] = cells.is_invited.astype(bool)
    return cells.sort_values(["month", "is_invited", "reward"], ignore_index=True)


@returns("channel_roi.invited_quality")
def invited_quality(cells: DataFrame) -> DataFrame:
    """What an invited customer leaves beside another who came in the same month
    (`invited_customers`): the others' months weigh as those of the invited. Intervals are of
    90 %; the spread of a group is drawn towards that of both, the further the fewer it holds.
    """
    sums = cells.groupby(["month", "is_invited"])[["n", "total", "squares"]].sum().unstack()
    sums = sums.dropna()
    if sums.empty or cells.is_invited.nunique() < 2:
        return empty("channel_roi.invited_quality")
    weight = sums.n[True] / sums.n[True].sum()
    spread, rows = _spreads(sums), {}
    for name, is_invited in (("invited", True), ("others", False)):
        n = sums.n[is_invited]
        mean = float((weight * sums.total[is_invited] / n).sum())
        rows[name] = int(n.sum()), mean, float(spread[is_invited] * (weight**2 / n).sum())
    invited, others = rows["invited"], rows["others"]
    rows["difference"] = invited[0], invited[1] - others[1], invited[2] + others[2]
    return frame_of(
        "channel_roi.invited_quality",
        [
            (
                name,
                len(sums),
                n,
                mean,
                mean - Z90 * np.sqrt(v),
                mean + Z90 * np.sqrt(v),
            )
            for name, (n, mean, v) in rows.items()
        ],
    )


@returns("channel_roi.reward_levels")
def reward_levels(
    cells: DataFrame,
    invitations: Table,
    *,
    as_of: dt.date,
    anyway: float = 0.0,
) -> DataFrame:
    """Each level of the reward (in whole money) beside what those it was given for leave, what
    costs most beyond that on top. The margin of a level is drawn towards that of all invited,
    the further the fewer they are; `anyway` is the share of them who would have come without
    an invitation and takes as much of it away. Intervals are of 90 %.
    """
    mine = cells[cells.is_invited & cells.reward.notna()]
    if mine.empty:
        return empty("channel_roi.reward_levels")
    given = _given(invitations, as_of)
    sums = mine.groupby("reward")[["n", "total", "squares"]].sum()
    mean, error = _pooled_levels(sums)
    mean, error = mean * (1 - anyway), error * (1 - anyway)
    levels = sums.index.to_numpy(float)
    net = mean - levels
    table = DataFrame(
        {
            "reward": levels,
            "is_today": levels == _today(given, as_of),
            "first_orders": given.groupby("reward").n.sum().reindex(levels).fillna(0).to_numpy(int),
            "n_customers": sums.n.to_numpy(int),
            "margin": mean,
            "margin_low": mean - Z90 * error,
            "margin_high": mean + Z90 * error,
            "net": net,
            "low": net - Z90 * error,
            "high": net + Z90 * error,
            "p_loses": _below_nought(net, error),
        }
    )
    sure = [table.p_loses >= SURE, table.p_loses <= 1 - SURE]
    table["verdict"] = np.select(
        sure,
        ["costs too much", "pays"],
        "not known",
    )
    most = table.n_customers.rank(ascending=False, method="first") <= MOST_LEVELS
    table = table[most | table.is_today].sort_values(["net", "reward"], ignore_index=True)
    return frame_of("channel_roi.reward_levels", table)


@dated
def reward_decisions(
    invitations: Table,
    *,
    levels: DataFrame | None,
    as_of: dt.date,
    currency: str,
) -> DataFrame:
    """One row on today's reward: lower it (what ending it would save at least), raise it (a
    test: how many more it would bring is not known) or hold it. No row where it is not known
    what is given today.
    """
    today = levels[levels.is_today.astype(bool)]
    if today.empty:
        return decision_rows([])
    row = today.iloc[0]
    given = _given(invitations, as_of)
    recent = given[(given.reward == row.reward) & (given.age < RECENT_DAYS)]
    a_month = float(recent.n.sum()) * DAYS_A_MONTH / RECENT_DAYS
    kind = "hold"
    if row.verdict == "costs too much":
        kind = "lower"
    elif row.verdict == "pays" and row.margin_low >= RAISE_FROM * row.reward:
        kind = "raise"
    effect = {}
    if kind == "lower":
        effect = {"effect": (-row.net * a_month, -row.high * a_month, -row.low * a_month)}
    return decision_rows(
        [
            propose(
                f"channel_roi.reward_{kind}",
                say(
                    "channel_roi.reward_today",
                    reward=row.reward,
                    currency=currency,
                ),
                size=_asked(
                    kind,
                    row.margin,
                    row.reward,
                ),
                evidence_value=row.margin / row.reward if row.reward else np.nan,
                threshold={"lower": 1.0, "raise": RAISE_FROM}.get(kind, 1.0),
                confidence="high" if row.n_customers >= 10 * LIKE_CUSTOMERS else "medium",
                due_on=str(as_of + dt.timedelta(days=DUE_DAYS)),
                revisit_on=str(as_of + dt.timedelta(days=REVISIT_DAYS)),
                n=int(row.n_customers),
                currency=currency,
                **effect,
            )
        ]
    )


def cap_said(quality: DataFrame, *, anyway: float, currency: str, days: int = JUDGED_DAYS) -> str:
    """What a reward may cost at most, in words."""
    if quality.empty:
        return say("channel_roi.no_reward_cap", days=days)
    row = quality.set_index("group").loc["invited"]
    cap, low, high = (max(row[n], 0.0) * (1 - anyway) for n in ("margin", "low", "high"))
    return say(
        "channel_roi.reward_cap",
        days=days,
        cap=cap,
        low=low,
        high=high,
        currency=currency,
    )


def _asked(kind: str, margin: float, reward: float) -> float:
    """The reward to give: half of the margin where it costs too much (the other half is
    earned), half as much again where a larger one is tried.
    """
    if kind == "lower":
        return max(margin, 0.0) / 2
    return 1.5 * reward if kind == "raise" else reward


def _firsts(sales_orders: Table) -> ibis.Table:
    """Day of the first order of every new customer: customer_id, first_on."""
    orders = expression(sales_orders).filter(_.is_first & ~_.is_left_truncated)
    orders = orders.filter(_.customer_id.notnull())
    return orders.group_by("customer_id").aggregate(first_on=_.ordered_on.cast("date").min())


def _came_after(invited_on: Value, first_on: Value) -> Value:
    """Was the invitation there before the first order? A day's leeway, for one is told in UTC and
    the other in the shop's days.
    """
    return (first_on >= invited_on - ibis.interval(days=1)).fill_null(False)


def _given(invitations: Table, as_of: dt.date) -> DataFrame:
    """Rewards given: reward (in whole money), age in days and how many (n)."""
    rows = expression(invitations).filter(_.ordered_at.notnull())
    money = rows.reward.cast("float64").round(0).cast("float64")
    rows = rows.mutate(reward=money, on=rows.ordered_at.cast("date"))
    found = rows.filter(_.reward.notnull()).group_by("reward", "on").aggregate(n=_.count())
    found = found.order_by("on", "reward").to_pandas()
    age = (pd.Timestamp(as_of) - pd.to_datetime(found["on"])).dt.days
    return found.assign(age=age)


def _today(given: DataFrame, as_of: dt.date) -> float:
    """The reward given for most of the newest month's first orders; missing without any."""
    newest = given[given.age < DAYS_A_MONTH]
    sums = newest.groupby("reward").n.sum()
    return float(sums.idxmax()) if len(sums) else np.nan


def _spreads(sums: DataFrame) -> dict[bool, float]:
    """The variance of one customer's margin within months, by group, drawn towards both."""
    within, free = {}, {}
    for group in (True, False):
        n, total, squares = (sums[name][group] for name in ("n", "total", "squares"))
        within[group], free[group] = float((squares - total**2 / n).sum()), float((n - 1).sum())
    both = sum(within.values()) / max(sum(free.values()), 1.0)
    return {
        group: (within[group] + LIKE_CUSTOMERS * both) / (free[group] + LIKE_CUSTOMERS)
        for group in (True, False)
    }


def _pooled_levels(sums: DataFrame) -> tuple[ndarray, ndarray]:
    """Mean margin of each level of reward and its error, drawn towards the mean of all."""
    n = sums.n.to_numpy(float)
    whole = float(sums.total.sum() / n.sum())
    variance = float(sums.squares.sum() / n.sum() - whole**2)
    own, prior = variance / n, variance / n.sum() + (LEVELS_DIFFER * whole) ** 2
    keep = prior / (prior + own)
    mean = keep * sums.total.to_numpy(float) / n + (1 - keep) * whole
    return mean, np.sqrt(keep * own)


def _below_nought(mean: ndarray, error: ndarray) -> ndarray:
    from scipy.special import ndtr

    with np.errstate(divide="ignore", invalid="ignore"):
        return ndtr(
            np.where(
                error > 0,
                -mean / error,
                np.sign(-mean) * np.inf,
            )
        )
