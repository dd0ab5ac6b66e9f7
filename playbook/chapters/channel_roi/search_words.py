"""What the words people searched for cost and bring: which lose, which to exclude, which are
worth more.

A platform tells clicks, cost and the orders it claims by word. What a claim is worth is the
shop's to say: the channel's contribution margin by last touch over what the platform claimed
in the same months, so a claim of an order that another channel took counts less. Most words
have few clicks and no order, and ten clicks prove nothing: the chance of an order is pooled
over the words of a channel (`methods/pooled_counts`). Words with the shop's own name are
pooled apart and never judged here: their buyers were on their way.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.measures.acquisition import judged_months
from playbook.measures.ad_spend import SpendLog, Table, exact_sum
from playbook.messages import say
from playbook.methods.pooled_counts import PooledRates, pooled_rates
from playbook.methods.proportions import Z90
from playbook.store import expression
from playbook.tables import empty, frame_of, returns, schema

__all__ = [
    "apart",
    "claim_worth",
    "has_name",
    "search_words",
    "word_decisions",
    "word_groups",
]

DAYS_A_MONTH = 365.25 / 12
#: chance from which a word is said to lose, or to be worth more
SURE = 0.95
#: margin over cost that a word must surely pass before a dearer click is worth trying
RAISE_FROM = 2.0
#: orders of the channel that a word's own order value is weighed against
LIKE_ORDERS = 20
#: spread of one order's value beside the mean of its word
ORDER_SPREAD = 1.0
#: words shown: those with the most at stake
MOST_WORDS = 500
#: how much more is tried on words worth more, share of their spend
TRIED = 0.2
DUE_DAYS, REVISIT_DAYS = 7, 35
# three points that stand for a normal error, and their weights (Gauss and Hermite)
_POINTS, _WEIGHTS = (-np.sqrt(3.0), 0.0, np.sqrt(3.0)), (1 / 6, 2 / 3, 1 / 6)


@returns("channel_roi.claim_worth")
def claim_worth(months: DataFrame, spend: SpendLog) -> DataFrame:
    """What a unit of a platform's claims is worth to the shop, over the months the channel is
    judged on (`channels.channel_months`); channels without a claim or a margin have no row.
    """
    daily = spend.daily.assign(month=spend.daily.day_on.dt.strftime("%Y-%m"))
    claimed = daily.groupby(["channel", "month"])[["platform_orders", "platform_value"]]
    table = months.merge(claimed.sum(min_count=1).reset_index(), on=["channel", "month"])
    rows = []
    for channel, part in table.groupby("channel"):
        window = judged_months(part)
        for name in ("platform_value", "platform_orders"):
            whole = float(window[name].sum(min_count=len(window)))
            margin = float(window.margin.sum(min_count=len(window)))
            if whole > 0 and margin > 0:
                error = float(np.sqrt(window.margin_variance.sum())) / margin
                span = window.month.min(), window.month.max()
                rows.append((channel, name, *span, whole, margin, margin / whole, error))
                break
    return frame_of("channel_roi.claim_worth", rows)


@returns("channel_roi.search_words")
def search_words(
    ad_terms: Table,
    worth: DataFrame,
    *,
    brands: list[str],
    as_of: dt.date,
    n_months: int = 6,
) -> DataFrame:
    """Every word of the last `n_months`, what loses most on top, at most five hundred with the
    most at stake. Intervals are of 90 %: of the pooled chance of an order, of the value of the
    word's orders, and of what a claim is worth. Rows whose export does not say over how many
    days it counted are left out, as are periods that overlap a later one.
    """
    clicked = _clicked(ad_terms, as_of, n_months)
    known = worth.set_index("channel")
    tables = [
        _judged(group, known.loc[channel], is_brand)
        for (channel, is_brand), group in clicked.assign(
            is_brand=[has_name(term, brands) for term in clicked.term]
        ).groupby(["channel", "is_brand"])
        if channel in known.index and group.platform_orders.sum() > 0
    ]
    if not tables:
        return empty("channel_roi.search_words")
    table = pd.concat(tables, ignore_index=True)
    table["verdict"] = _verdicts(table)
    most = table.net.abs().rank(ascending=False, method="first") <= MOST_WORDS
    order = ["net", "channel", "term"]
    return table[most].sort_values(order, ignore_index=True)[
        schema("channel_roi.search_words").names
    ]


@returns("channel_roi.word_groups")
def word_groups(words: DataFrame, worth: DataFrame) -> DataFrame:
    """The words of a channel by verdict, and what they leave together. Words err apart, the
    worth of a claim errs for all of them alike.
    """
    errors = worth.set_index("channel").worth_error
    rows = []
    for (channel, verdict), part in words.groupby(["channel", "verdict"]):
        common = float(errors[channel]) * float(part.margin.sum())
        half = Z90 * float(np.hypot(np.sqrt((part.margin_sd**2).sum()), common))
        net = float(part.net.sum())
        sums = part[["clicks", "spend", "platform_orders", "margin"]].sum()
        rows.append((channel, verdict, len(part), *sums, net, net - half, net + half))
    return frame_of("channel_roi.word_groups", rows).sort_values(
        ["channel", "net"], ignore_index=True
    )


@dated
def word_decisions(groups: DataFrame, *, as_of: dt.date, currency: str) -> DataFrame:
    """A row per channel with words to exclude (what is saved a month, net of the margin that
    goes with it) and one with words worth more: there the clicks a higher bid would bring
    are not known, so it is a test.
    """
    rows = []
    for group in groups[groups.verdict.isin(("exclude", "raise"))].itertuples():
        is_out = group.verdict == "exclude"
        gain = {"effect": (-group.net, -group.high, -group.low)} if is_out else {}
        rows.append(
            propose(
                f"channel_roi.words_{group.verdict}",
                say(f"channel_roi.words_{group.verdict}", channel=group.channel),
                size=-group.spend if is_out else TRIED * group.spend,
                evidence_value=group.margin / group.spend if group.spend else np.nan,
                threshold=1.0 if is_out else RAISE_FROM,
                confidence="high" if is_out and group.high < 0 else "medium",
                due_on=str(as_of + dt.timedelta(days=DUE_DAYS)),
                revisit_on=str(as_of + dt.timedelta(days=REVISIT_DAYS)),
                n=group.n_words,
                currency=currency,
                **gain,
            )
        )
    return decision_rows(rows)


def _clicked(ad_terms: Table, as_of: dt.date, n_months: int) -> DataFrame:
    """Sums by channel and word over the periods that are read, and the days they cover."""
    first = as_of - dt.timedelta(days=round(n_months * DAYS_A_MONTH))
    rows = (
        expression(ad_terms)
        .filter(_.n_days.notnull() & (_.until_on > ibis.literal(first)) & (_.clicks > 0))
        .filter(_.until_on <= ibis.literal(as_of))
        .group_by("channel", "until_on", "n_days", "term")
        .aggregate(
            clicks=_.clicks.sum(),
            spend=exact_sum(_.spend),
            platform_orders=_.platform_orders.cast("float64").sum(),
            platform_value=exact_sum(_.platform_value),
        )
        .order_by("channel", "until_on", "n_days", "term")
        .to_pandas()
    )
    periods = rows[["channel", "until_on", "n_days"]].drop_duplicates()
    kept = pd.concat([apart(part) for _name, part in periods.groupby("channel")] or [periods])
    days = kept.groupby("channel").n_days.sum()
    sums = rows.merge(kept).groupby(["channel", "term"], as_index=False)
    names = ["clicks", "spend", "platform_orders", "platform_value"]
    return sums[names].sum(min_count=1).assign(n_days=lambda t: t.channel.map(days))


def apart(periods: DataFrame) -> DataFrame:
    """The periods (until_on, n_days) that do not overlap, the newest first."""
    kept, begins = [], None
    for row in periods.sort_values(["until_on", "n_days"], ascending=False).itertuples():
        until = pd.Timestamp(row.until_on)
        if begins is None or until < begins:
            kept.append(row.Index)
            begins = until - pd.Timedelta(days=int(row.n_days) - 1)
    return periods.loc[kept]


def has_name(term: str, brands: list[str]) -> bool:
    """Does a word hold a name, written together or apart, as a whole?"""
    said = f" {term.casefold()} "
    for name in (name.casefold().strip() for name in brands):
        for form in filter(None, {name, name.replace(" ", "")}):
            if (f" {form} " if form.isascii() else form) in said:
                return True
    return False


def _judged(words: DataFrame, claim: Series, is_brand: bool) -> DataFrame:
    """What each word of one group costs and brings a month."""
    orders = words.platform_orders.fillna(0.0).to_numpy(float)
    rates = pooled_rates(orders, words.clicks.to_numpy(float))
    error = ORDER_SPREAD / np.sqrt(LIKE_ORDERS + orders)
    each = claim.worth * _order_value(words, orders, claim.claimed_by)
    a_month = DAYS_A_MONTH / words.n_days.to_numpy(float) * words.clicks.to_numpy(float)
    cost = words.spend.to_numpy(float) / words.clicks.to_numpy(float)
    margin = rates.mean * each * a_month
    low, high = _ends(rates, np.hypot(error, claim.worth_error))
    spent = cost * a_month
    return words.assign(
        is_brand=is_brand,
        clicks=a_month,
        spend=spent,
        platform_orders=orders * DAYS_A_MONTH / words.n_days,
        orders_per_click=rates.mean,
        margin=margin,
        margin_sd=margin * np.hypot(rates.sd / rates.mean, error),
        net=margin - spent,
        low=margin * low - spent,
        high=margin * high - spent,
        p_loses=_chance_below(rates, cost / each, error),
        p_worth_more=1 - _chance_below(rates, RAISE_FROM * cost / each, error),
    )


def _order_value(words: DataFrame, orders: np.ndarray, claimed_by: str) -> np.ndarray:
    """Claimed units an order of the word brings: its own, weighed against those of all."""
    if claimed_by == "platform_orders":
        return np.ones(len(words))
    value = words.platform_value.fillna(0.0).to_numpy(float)
    return (LIKE_ORDERS * value.sum() / orders.sum() + value) / (LIKE_ORDERS + orders)


def _ends(rates: PooledRates, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the margin over its mean: errors of a product, in logarithms."""
    with np.errstate(divide="ignore"):
        down = np.log(rates.mean / rates.quantile(0.05))
        up = np.log(np.maximum(rates.quantile(0.95) / rates.mean, 1.0))
    return np.exp(-np.hypot(down, Z90 * error)), np.exp(np.hypot(up, Z90 * error))


def _chance_below(rates: PooledRates, limit: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The chance that a rate lies below a limit that is known but for an error."""
    return sum(
        weight * rates.below(limit * np.exp(point * error))
        for point, weight in zip(_POINTS, _WEIGHTS, strict=True)
    )


def _verdicts(table: DataFrame) -> np.ndarray:
    return np.select(
        [table.is_brand, table.p_loses >= SURE, table.p_worth_more >= SURE],
        ["brand", "exclude", "raise"],
        "keep",
    )
