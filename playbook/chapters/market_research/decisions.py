"""The decision rows in which chapter 01 ends. A number nobody knows stays missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from playbook.chapters.market_research.market import NO_CATEGORY
from playbook.decisions import decision_rows, propose
from playbook.messages import say

__all__ = ["market_decisions", "size_decisions"]

#: a band is worth filling when the shop's share lies further below the offers' than this
LEAST_GAP = 0.1
#: a persona found again less surely than this carries a decision with low confidence only
STABLE = 0.75


def market_decisions(
    verdicts: DataFrame,
    *,
    growth: DataFrame | None = None,
    bands: DataFrame | None = None,
    people: DataFrame | None = None,
    ahead: DataFrame | None = None,
    currency: str = "",
    due_on: str,
    revisit_on: str,
) -> DataFrame:
    """Decision rows of chapter 01: categories to widen, hold or leave, the band most
    left to others, whom to serve first, and what still has to be found out. The size of
    a category is its own revenue of the year before, the effect on it its forecast for
    the year ahead less that (`ahead`: the outlook's rows by category), missing without
    one; together they claim no more than the shop's forecast does.
    """
    revenue = Series(dtype=float) if growth is None else growth.set_index("category")["revenue"]
    if ahead is not None and len(ahead):
        revenue = ahead["year_before"].combine_first(revenue)
    rows = _categories(
        verdicts,
        revenue,
        _claims(verdicts, ahead),
        currency,
    )
    if bands is not None and bands.gap_share.min() < -LEAST_GAP:
        rows.append(_band(bands.loc[bands.gap_share.idxmin()]))
    if people is not None and len(people) > 1:
        rows.append(_persona(people))
    return decision_rows(rows).assign(due_on=due_on, revisit_on=revisit_on)


def size_decisions(
    gap: DataFrame | None, *, currency: str, due_on: str, revisit_on: str
) -> DataFrame:
    """What the sizes of the market (`size_gap`) leave to be found out: the two ways of all
    buyers' spending lie apart, or the shop sells more than a way says can be won. No row
    where they agree, or there is nothing to hold against each other.
    """
    rows = []
    for size in (DataFrame() if gap is None else gap).itertuples():
        if size.measure == "TAM" and size.verdict == "apart":
            rows.append(
                propose(
                    "market_research.ways_apart",
                    "",
                    size=size.top_over_bottom,
                    evidence_value=size.top_over_bottom,
                    to_meet=size.to_meet,
                )
            )
        if size.measure == "SOM" and size.finding == "sold already":
            ways = ("bottom", "top")
            over = {way: getattr(size, f"own_over_{way}") for way in ways}
            told = [
                say(f"market_research.sold_over_{way}", ratio=ratio)
                for way, ratio in over.items()
                if ratio > 1
            ]
            rows.append(
                propose(
                    "market_research.sold_already",
                    "",
                    size=size.own,
                    evidence_value=max(ratio for ratio in over.values() if ratio > 1),
                    told="; ".join(told),
                    currency=currency,
                )
            )
    return decision_rows(rows).assign(due_on=due_on, revisit_on=revisit_on)


def _claims(verdicts: DataFrame, ahead: DataFrame | None) -> DataFrame:
    """By category: what the year ahead brings more than the year before, and the ends of
    its interval (columns mid, low, high). Where the categories decided on would claim more
    than all of them bring, what those that grow claim is scaled down: of a shop that
    shrinks, to what the others lose.
    """
    if ahead is None or ahead.empty:
        return DataFrame(columns=["mid", "low", "high"], dtype=float)
    more = ahead[["mid", "low", "high"]].sub(ahead["year_before"], axis=0)
    named = more["mid"].reindex(verdicts.loc[verdicts.action != "research", "category"])
    gains, losses = named.clip(lower=0).sum(), named.clip(upper=0).sum()
    most = max(more["mid"].sum(), 0.0)
    if gains + losses <= most:
        return more
    return more.mask(more["mid"] > 0, more * (most - losses) / gains)


def _categories(
    verdicts: DataFrame, revenue: Series, claims: DataFrame, currency: str
) -> list[dict[str, Any]]:
    # goods without a category are no market
    verdicts = verdicts[verdicts.category != NO_CATEGORY]
    is_open = verdicts.action == "research"
    rows = []
    for verdict in verdicts[~is_open].itertuples():
        base = revenue.get(verdict.category, np.nan)
        row = propose(
            f"market_research.category_{'hold' if verdict.action == 'hold' else 'move'}",
            verdict.category,
            action=verdict.action,
            reason=verdict.reason,
            size=base,
            effect=tuple(claims.reindex([verdict.category]).iloc[0]),
            evidence_value=verdict.hhi,
            currency=currency,
        )
        rows.append(row)
    research = verdicts[is_open]
    if len(research):
        names, reason = (
            ", ".join(research.category),
            research.reason.iloc[0],
        )
        size = float(len(research))
        rows.append(
            propose(
                "market_research.research",
                names,
                size=size,
                reason=reason,
            )
        )
    return rows


def _band(band: Series) -> dict[str, Any]:
    is_top = pd.isna(band.high_price)
    prices = {"low": band.low_price, "high": band.high_price}
    subject = say(
        f"market_research.band_{'top' if is_top else 'within'}",
        category=band.category,
        **prices,
    )
    return propose(
        "market_research.fill_band",
        subject,
        size=-band.gap_share,
        evidence_value=band.units_share,
        threshold=band.offers_share,
    )


def _persona(people: DataFrame) -> dict[str, Any]:
    """The persona whose share of margin (or revenue) exceeds its share of customers most."""
    worth = "cm_share" if people.cm_share.notna().all() else "revenue_share"
    lead = people[worth] - people.customers_share
    best = people.loc[lead.idxmax()]
    return propose(
        "market_research.serve_first",
        f"{best['persona']} {best['label']}",
        size=float(round(best.customers)),
        confidence="high" if best.stability > STABLE else "low",
        evidence_metric=worth,
        evidence_value=best[worth],
        threshold=best.customers_share,
    )
