"""What the shop's places in a search engine's results bring: what a place higher would, and
which pages fell.

The console tells clicks, impressions and the mean place by word and page. Words that suit a
shop stand high *and* are clicked much, so clicks by place over all words say too much of the
place; held against itself, month by month, each word says what the place alone does
(`methods/own_level`). Few clicks prove nothing: how well a word's result is clicked is drawn
towards the others (`methods/pooled_counts`), and so is how far a page moved beside the site's
other pages (`methods/apart`), whose season is its own. A click is worth the margin a visit of
the shop's own channel of search visits leaves. Words with the shop's own name stand apart.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pandas import DataFrame, Series

from playbook.chapters.channel_roi.search_words import apart, has_name
from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.measures.acquisition import judged_months
from playbook.measures.ad_spend import Table
from playbook.messages import say
from playbook.methods.apart import Changes, changes_apart
from playbook.methods.own_level import power_within
from playbook.methods.pooled_counts import pooled_rates
from playbook.methods.proportions import Z90, wilson
from playbook.store import distinct_rows, expression
from playbook.tables import empty, frame_of, returns, schema

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = [
    "Seen",
    "Told",
    "organic_channel",
    "page_changes",
    "place_power",
    "places",
    "places_higher",
    "power_said",
    "result_decisions",
    "search_results",
    "told_results",
    "visit_worth",
]

DAYS_A_MONTH = 365.25 / 12
#: medium by which visits from search results are told
ORGANIC = "organic"
#: what stands for all words, or all pages, in a row of the console
ALL = "all"
#: places held together, by their upper ends
BANDS = (
    1.5,
    2.5,
    3.5,
    5.5,
    10.5,
    20.5,
)
#: clicks and units below which the power of the place is not learned
LEAST_CLICKS, LEAST_UNITS = 300, 10
#: rows are summed by four weeks back from the newest day told: those that learn what a place
#: does, those before the newest that pages are held against, and the same weeks a year back
BLOCK_DAYS = 28
LEARNED, BEFORE, YEAR = 13, 3, 13
#: words and pages read: those shown most in a year
MOST_READ = 20_000
#: share a page must surely have lost to be said to have fallen, and the chance that is sure
FELL_BY, SURE = 0.2, 0.95
#: usual moves of pages that a page must have fallen beyond, and the windows they are learned from
UNUSUAL, N_EARLIER = 2.5, 6
MOST_ROWS = 300
#: pages a decision takes on at once
AT_ONCE = 5
DUE_DAYS, REVISIT_DAYS = 14, 70


def organic_channel(orders: Table) -> str | None:
    """The channel by which most orders of the medium `organic` came; None without any."""
    counts = (
        expression(orders)
        .filter((_.medium.lower() == ORGANIC) & _.channel.notnull())
        .group_by("channel")
        .aggregate(n=_.count())
        .order_by(ibis.desc("n"), "channel")
        .limit(1)
        .to_pandas()
    )
    return counts.channel.iloc[0] if len(counts) else None


@returns("channel_roi.visit_worth")
def visit_worth(months: DataFrame, traffic: Table, *, channel: str | None) -> DataFrame:
    """What a visit of the channel of search visits leaves, over the months it is judged on
    (`channels.channel_months`); no row without the channel, its visits or its margin.
    """
    visits = (
        expression(traffic)
        .filter(_.channel == ibis.literal(channel or "", "string"))
        .group_by(month=_.day_on.cast("date").strftime("%Y-%m"))
        .aggregate(sessions=_.sessions.sum())
        .to_pandas()
    )
    part = months[months.channel == channel].merge(visits, on="month")
    window = judged_months(part) if len(part) else part
    sessions, margin = window.sessions.sum(), window.margin.sum(min_count=max(len(window), 1))
    if not (sessions > 0 and margin > 0):
        return empty("channel_roi.visit_worth")
    error = float(np.sqrt(window.margin_variance.sum())) / margin
    span = window.month.min(), window.month.max()
    row = (
        channel,
        *span,
        int(sessions),
        margin,
        margin / sessions,
        error,
    )
    return frame_of("channel_roi.visit_worth", [row])


@dataclass(frozen=True)
class Seen:
    """What the section found: its result tables by name, and the power of the place in words.
    Without a known worth of a visit there is no table `visit_worth` and no `places_higher`.
    """

    tables: dict[str, DataFrame]
    said: str


def search_results(shop: Store, months: DataFrame | None, *, brands: list[str]) -> Seen:
    """The whole section of a shop. `months` are `channels.channel_months`, None where no margin or
    no visits are known.
    """
    told = told_results(shop.search_terms, as_of=shop.as_of)
    power = place_power(told, brands=brands)
    tables = {"places": places(told, power, brands=brands)}
    visit = None
    if months is not None:
        channel = organic_channel(shop.orders)
        visit = tables["visit_worth"] = visit_worth(months, shop.traffic, channel=channel)
        tables["places_higher"] = places_higher(told, visit, power, brands=brands)
    tables["page_changes"] = page_changes(told, visit)
    return Seen(tables, power_said(power))


@dataclass(frozen=True)
class Told:
    """What the console told, by four weeks back from the newest day (`block` 0): `words`, one
    row per word, page and block, and `pages`, one per page and block, each with impressions,
    clicks, position (the mean place, weighed by impressions) and days (counted in the block).
    """

    words: DataFrame
    pages: DataFrame


@dated
def told_results(search_terms: Table, *, as_of: dt.date) -> Told:
    """Sums of the console's rows known by as-of. Rows that do not say over how many days they
    count are left out, as are periods that overlap a later one. Where the console told no
    rows of pages, their words stand in for them.
    """
    rows = expression(search_terms).filter(_.n_days.notnull() & (_.until_on <= as_of))
    rows = rows.mutate(is_page=(_.term == ALL) & (_.page != ALL))
    rows = rows.filter((_.term != ALL) | _.is_page)
    periods = distinct_rows(rows, "is_page", "until_on", "n_days").to_pandas()
    kept = [apart(part) for _is, part in periods.groupby("is_page")]
    kept = pd.concat(kept or [periods]).assign(until_on=lambda t: pd.to_datetime(t.until_on))
    last = kept.until_on.max()
    kept = kept.assign(block=(last - kept.until_on).dt.days // BLOCK_DAYS)
    kept = kept[kept.block <= YEAR]
    is_page = kept.is_page.astype(bool)
    words = _summed(
        rows.filter(~_.is_page),
        kept[~is_page],
        last,
        ["term", "page"],
    )
    pages = _summed(
        rows.filter(_.is_page),
        kept[is_page],
        last,
        ["page"],
    )
    if pages.empty:
        pages = words[words.page != ALL].assign(weight=words.position * words.impressions)
        sums = pages.groupby(["page", "block", "days"], as_index=False)
        sums = sums[["impressions", "clicks", "weight"]].sum()
        pages = sums.assign(position=sums.weight / sums.impressions)
    return Told(words, pages)


def _summed(rows: ibis.Table, periods: DataFrame, last: pd.Timestamp, by: list[str]) -> DataFrame:
    """Sums of one kind of rows by block, of those shown in a known place."""
    names = [
        *by,
        "block",
        "impressions",
        "clicks",
        "position",
        "days",
    ]
    if periods.empty:
        return DataFrame(columns=names)
    in_period = [
        (rows.n_days == int(n)) & rows.until_on.isin(sorted(part.until_on.dt.date))
        for n, part in periods.groupby("n_days")
    ]
    rows = rows.filter(
        ibis.or_(*in_period),
        rows.impressions > 0,
        rows.position >= 1,
    )
    age = ibis.literal(last.date()).delta(rows.until_on.cast("date"), unit="day")
    block, days = (age / BLOCK_DAYS).floor(), periods.groupby("block").n_days.sum()
    sums = rows.group_by(*by, block=block.cast("int64")).aggregate(
        impressions=_.impressions.sum(),
        clicks=_.clicks.sum(),
        weight=(_.position * _.impressions).sum(),
    )
    most = sums.group_by(*by).aggregate(n=_.impressions.sum())
    most = most.order_by(ibis.desc("n"), *by).limit(MOST_READ)
    sums = sums.semi_join(most, by).order_by(*by, "block").to_pandas()
    sums = sums.assign(
        position=sums.weight / sums.impressions, days=sums.block.map(days).astype(float)
    )
    return sums[names]


def place_power(told: Told, *, brands: list[str]) -> tuple[float, float]:
    """The power of the place that clicks follow, each word held against itself over a year,
    and its standard error; both missing where too little was clicked or moved, or where the
    interval of 90 % does not lie below nought.
    """
    rows = told.words[(told.words.block < LEARNED) & ~_are_brand(told.words, brands)]
    if rows.clicks.sum() < LEAST_CLICKS:
        return np.nan, np.nan
    unit = rows.groupby(["term", "page"]).ngroup().to_numpy()
    counts = rows.clicks.to_numpy(float), rows.impressions.to_numpy(float)
    power, error, n_units = power_within(
        *counts,
        rows.position.to_numpy(float),
        unit,
    )
    is_known = n_units >= LEAST_UNITS and power + Z90 * error < 0
    return (power, error) if is_known else (np.nan, np.nan)


def power_said(power: tuple[float, float]) -> str:
    """What `place_power` found, in words."""
    if np.isnan(power[0]):
        return say("channel_roi.no_place_power")
    half = Z90 * power[1]
    return say(
        "channel_roi.place_power",
        power=power[0],
        low=power[0] - half,
        high=power[0] + half,
    )


@returns("channel_roi.places")
def places(told: Told, power: tuple[float, float], *, brands: list[str]) -> DataFrame:
    """Clicks by place over all words beside what the place alone does: the same words, were
    they all in the band's place. Words with the shop's name are left out.
    """
    rows = told.words[(told.words.block < LEARNED) & ~_are_brand(told.words, brands)]
    if rows.empty:
        return empty("channel_roi.places")
    band = np.searchsorted(BANDS, rows.position)
    rows = rows.assign(band=band, weight=rows.position * rows.impressions)
    sums = rows.groupby("band")[["impressions", "clicks", "weight"]].sum()
    mean = (sums.weight / sums.impressions).to_numpy()
    usual = rows.impressions * rows.position ** power[0]
    alone = rows.clicks.sum() / usual.sum(skipna=False) * mean ** power[0]
    low, high = wilson(
        sums.clicks.to_numpy(),
        sums.impressions.to_numpy(),
        0.9,
    )
    return frame_of(
        "channel_roi.places",
        list(
            zip(
                mean,
                sums.impressions,
                sums.clicks,
                sums.clicks / sums.impressions,
                low,
                high,
                alone,
                strict=True,
            )
        ),
    )


@returns("channel_roi.places_higher")
def places_higher(
    told: Told, worth: DataFrame, power: tuple[float, float], *, brands: list[str]
) -> DataFrame:
    """What one place higher would bring a month for each word and page, what gains most on
    top, at most three hundred. Intervals are of 90 %: of the pooled share of clicks, of the
    power of the place, and of what a visit is worth. A word already first gains nothing, one
    with the shop's name is not judged. Empty where the power or the worth is not known.
    """
    rows = told.words[told.words.block < BEFORE]
    if rows.empty or worth.empty or np.isnan(power[0]):
        return empty("channel_roi.places_higher")
    visit = worth.iloc[0]
    parts = [
        "impressions",
        "clicks",
        "weight",
        "tries",
        "tries_slope",
        "more",
        "more_slope",
    ]
    sums = _one_higher(rows, power[0]).groupby(["term", "page"], as_index=False)[parts].sum()
    table = sums.assign(place=sums.weight / sums.impressions, is_brand=_are_brand(sums, brands))
    parts = [
        _gained(
            part,
            power,
            visit,
        )
        for _is, part in table.groupby("is_brand")
    ]
    table = pd.concat(parts, ignore_index=True)
    a_month = DAYS_A_MONTH / _days(rows)
    names = [
        "impressions",
        "clicks",
        "extra_clicks",
        "extra_margin",
        "low",
        "high",
    ]
    table[names] = table[names] * a_month
    order = ["extra_margin", "term", "page"]
    table = table.sort_values(
        order,
        ascending=[False, True, True],
        ignore_index=True,
    )
    return table.head(MOST_ROWS)[schema("channel_roi.places_higher").names]


@returns("channel_roi.page_changes")
def page_changes(told: Told, worth: DataFrame | None) -> DataFrame:
    """How the clicks of each page changed from the twelve weeks before to the newest four
    weeks, beside the site's other pages, what lost most on top. A page has *fallen* where it
    almost surely lost more than a fifth and more than pages of this site usually move, beside
    the months before and, where they are told, beside the same weeks a year before: a page
    with a season of its own falls every year. Intervals are of 90 %. Money is missing where
    the worth of a visit is not known.
    """
    pages = told.pages
    both = _beside(pages)
    if len(both) < LEAST_UNITS:
        return empty("channel_roi.page_changes")
    found = changes_apart(both.clicks_before.to_numpy(), both.clicks.to_numpy())
    limit = max(-np.log1p(-FELL_BY), UNUSUAL * _usual_move(pages, found))
    year, common_year = _since_year(
        pages,
        both,
        limit,
    )
    a_month, length = DAYS_A_MONTH / both.days, both.days / both.days_before
    expected = both.clicks_before * np.exp(found.common) * a_month
    low, high = found.quantile(0.05), found.quantile(0.95)
    table = DataFrame(
        {
            "page": both.page,
            "clicks": both.clicks * a_month,
            "expected": expected,
            "change": np.expm1(found.mean),
            "change_low": np.expm1(low),
            "change_high": np.expm1(high),
            "p_fell": found.below(-limit),
            "p_fell_year": year,
            "fell_beyond": -np.expm1(-limit),
            "others_change": np.exp(found.common) / length - 1,
            "others_change_year": common_year,
            "place_before": both.position_before,
            "place": both.position,
            "impressions_change": both.impressions / both.impressions_before / length - 1,
        }
    )
    table = table.join(_money_lost(table, worth))
    has_fallen = (table.p_fell >= SURE) & ~(table.p_fell_year < SURE)
    has_risen = 1 - found.below(limit) >= SURE
    table["verdict"] = np.select(
        [has_fallen, has_risen],
        ["fell", "rose"],
        "as usual",
    )
    table = table.assign(first=~has_fallen, by=table.expected * table.change)
    table = table.sort_values(["first", "by", "page"], ignore_index=True)
    return table.head(MOST_ROWS)[schema("channel_roi.page_changes").names]


@dated
def result_decisions(
    tables: Mapping[str, DataFrame], *, as_of: dt.date, currency: str
) -> DataFrame:
    """A row for the pages that fell (what they lose a month) and one for the words a place
    higher of which would bring most: whether work on a page lifts it is not known, so that
    is a test of half of them. `tables`: those of the section (`Seen`).
    """
    changes = tables["page_changes"]
    rows = []
    due = {
        "due_on": str(as_of + dt.timedelta(days=DUE_DAYS)),
        "revisit_on": str(as_of + dt.timedelta(days=REVISIT_DAYS)),
        "currency": currency,
    }
    fell = changes[changes.verdict == "fell"]
    if len(fell):
        sums = fell[["margin_lost", "low", "high"]].sum(min_count=1)
        rows.append(
            propose(
                "channel_roi.pages_mend",
                say(
                    "channel_roi.pages_mend",
                    page=fell.page.iloc[0],
                    n=len(fell),
                ),
                size=float(fell.expected.sum() - fell.clicks.sum()),
                effect=(sums.margin_lost, sums.low, sums.high),
                evidence_value=float(fell.clicks.sum() / fell.expected.sum()),
                threshold=1 - FELL_BY,
                confidence="medium",
                n=len(fell),
                **due,
            )
        )
    lift = tables.get("places_higher", empty("channel_roi.places_higher"))
    lift = lift[(lift.verdict == "lift") & (lift.low > 0)].head(2 * AT_ONCE)
    if len(lift) >= 2:
        rows.append(
            propose(
                "channel_roi.results_lift",
                say(
                    "channel_roi.results_lift",
                    term=lift.term.iloc[0],
                    n=len(lift),
                ),
                size=float(lift.extra_margin.sum()),
                evidence_value=float(lift.extra_margin.sum()),
                threshold=0.0,
                confidence="medium",
                n=len(lift),
                **due,
            )
        )
    return decision_rows(rows)


def _one_higher(rows: DataFrame, power: float) -> DataFrame:
    """Rows with what a level of one brings in their place (`tries`) and more one place higher
    (`more`), each with its slope in the power.
    """
    shown, place = rows.impressions, rows.position
    above = np.maximum(place - 1, 1.0)
    here, there = shown * place**power, shown * above**power
    return rows.assign(
        weight=place * shown,
        tries=here,
        tries_slope=here * np.log(place),
        more=there - here,
        more_slope=there * np.log(above) - here * np.log(place),
    )


def _gained(words: DataFrame, power: tuple[float, float], visit: Series) -> DataFrame:
    """What a place higher brings over the window; nothing for a group nobody clicked, and
    for words with the shop's name.
    """
    none = np.zeros(len(words))
    mean, low, high = none, none, none
    if words.clicks.sum() > 0:
        rates = pooled_rates(words.clicks.to_numpy(float), words.tries.to_numpy(float))
        mean, low, high = rates.mean, rates.quantile(0.05), rates.quantile(0.95)
    more = words.more.to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        curve = words.more_slope / words.more - words.tries_slope / words.tries
        down, up = np.log(mean / low), np.log(np.maximum(high / mean, 1.0))
    curve, down, up = (
        np.where(
            (more > 0) & (mean > 0),
            part,
            0.0,
        )
        for part in (curve, down, up)
    )
    error = Z90 * np.hypot(curve * power[1], visit.worth_error)
    is_brand = words.is_brand.to_numpy()
    extra = np.where(
        is_brand,
        0.0,
        mean * more,
    )
    return words.assign(
        click_share=mean * words.tries / words.impressions,
        extra_clicks=extra,
        extra_margin=extra * visit.worth,
        low=extra * visit.worth * np.exp(-np.hypot(down, error)),
        high=extra * visit.worth * np.exp(np.hypot(up, error)),
        verdict=np.select(
            [is_brand, words.place < BANDS[0]],
            ["brand", "first"],
            "lift",
        ),
    )


def _money_lost(table: DataFrame, worth: DataFrame | None) -> DataFrame:
    """The margin of the clicks a page lacks a month, with both ends; a gain is negative."""
    visit, error = np.nan, np.nan
    if worth is not None and len(worth):
        visit, error = worth[["worth", "worth_error"]].iloc[0]
    full = table.expected * visit
    lost, least, most = (-full * table[n] for n in ("change", "change_high", "change_low"))
    doubt = Z90 * error * lost.abs()
    return DataFrame(
        {
            "margin_lost": lost,
            "low": lost - np.hypot(lost - least, doubt),
            "high": lost + np.hypot(most - lost, doubt),
        }
    )


def _usual_move(pages: DataFrame, found: Changes) -> float:
    """How far pages of this site move beside each other within such weeks, as a standard
    deviation of logarithms: robust, over the newest weeks and six windows before them.
    """
    clicks = pages.pivot(
        index="page",
        columns="block",
        values="clicks",
    ).fillna(0.0)
    moves = [found.mean]
    for back in range(1, N_EARLIER + 1):
        before = [b for b in range(back + 1, back + 1 + BEFORE) if b in clicks]
        if back in clicks and before:
            both = np.column_stack([clicks[before].sum(axis=1), clicks[back]])
            both = both[both[:, 0] > 0]
            moves += [changes_apart(*both.T).mean] if len(both) >= LEAST_UNITS else []
    return float(1.4826 * np.median(np.abs(np.concatenate(moves))))


def _since_year(pages: DataFrame, both: DataFrame, limit: float) -> tuple[np.ndarray, float]:
    """The chance that each page fell beside the same weeks a year before, missing where it was
    not shown then, and what the others did.
    """
    own = np.full(len(both), np.nan)
    year = _window(
        pages,
        YEAR,
        1,
    )
    if year.empty:
        return own, np.nan
    then = year.clicks.reindex(both.page).to_numpy(float)
    is_told = then > 0
    if is_told.sum() < LEAST_UNITS:
        return own, np.nan
    found = changes_apart(then[is_told], both.clicks.to_numpy(float)[is_told])
    own[is_told] = found.below(-limit)
    length = both.days.iloc[0] / year.days.iloc[0]
    return own, float(np.exp(found.common) / length - 1)


def _window(pages: DataFrame, block: int, n: int) -> DataFrame:
    """Sums by page over n blocks, and the days counted."""
    rows = pages[(pages.block >= block) & (pages.block < block + n)]
    rows = rows.assign(weight=rows.position * rows.impressions)
    sums = rows.groupby("page")[["impressions", "clicks", "weight"]].sum().astype(float)
    return sums.assign(position=sums.weight / sums.impressions, days=_days(rows))


def _beside(pages: DataFrame, block: int = 0) -> DataFrame:
    """Sums by page over four weeks beside those before; a page that is shown no more has no
    clicks, one that was not clicked before is left out.
    """
    now, before = (
        _window(
            pages,
            block,
            1,
        ),
        _window(
            pages,
            block + 1,
            BEFORE,
        ),
    )
    if now.empty or before.empty:
        return DataFrame()
    both = now.join(
        before,
        how="outer",
        suffixes=("", "_before"),
    ).fillna({"clicks": 0.0})
    both[["days", "days_before"]] = now.days.iloc[0], before.days.iloc[0]
    return both[both.clicks_before > 0].reset_index()


def _days(rows: DataFrame) -> float:
    """Days that these blocks count."""
    return float(rows[["block", "days"]].drop_duplicates().days.sum())


def _are_brand(rows: DataFrame, brands: list[str]) -> np.ndarray:
    known = {term: has_name(term, brands) for term in rows.term.unique()}
    return np.array([known[term] for term in rows.term], bool)
