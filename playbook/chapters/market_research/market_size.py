"""How large a market is, from the top and from the bottom, as ranges.

*TAM* is what all buyers spend, *SAM* the part a shop of this kind can reach, *SOM* the
part it can win. Each is a product of factors nobody knows exactly. Two independent ways
that do not overlap say that one of them is wrong.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.market_research.market import newest_year
from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.tables import frame_of, returns

__all__ = ["market_size", "size_gap", "size_steps"]

Range = tuple[float, float]
#: what one seller can win lies in the middle half of the sellers' own shares
MIDDLE_HALF = [0.25, 0.75]
#: what a verdict on the two ways says of the market
FINDINGS = {"meet": "agree", "apart": "ways apart", "one way only": "one way only"}
STEPS = ["approach", "measure", "factor", "low", "high"]


@returns("market_research.market_size")
def market_size(steps: DataFrame) -> DataFrame:
    """TAM, SAM and SOM from the top and from the bottom.

    `steps`: approach, measure (TAM, SAM, SOM), factor, low, high in the order they
    multiply; a measure is the product of all steps of its approach up to it. Ends of a
    product are not the products of the ends: the half widths of the logarithms add in
    quadrature, as for independent factors. Raises PlaybookError for a range that is not
    positive.
    """
    is_bad = ~((steps.low > 0) & (steps.high >= steps.low))
    if is_bad.any():
        raise PlaybookError(
            "market_research.bad_range",
            table="steps",
            rows=int(is_bad.sum()),
            column=", ".join(map(str, steps.loc[is_bad, "factor"])),
        )
    rows = []
    for approach, part in steps.groupby("approach", sort=True):
        low, high = (np.log(part[end].to_numpy(float)) for end in ("low", "high"))
        mid = np.cumsum((low + high) / 2)
        half = np.sqrt(np.cumsum(((high - low) / 2) ** 2))
        ends = np.flatnonzero(part.measure != part.measure.shift(-1))
        for last in ends:
            range_ = np.exp(mid[last] + half[last] * np.array([-1, 0, 1]))
            basis = " × ".join(map(str, part.factor.iloc[: last + 1]))
            rows.append(
                (
                    approach,
                    part.measure.iloc[last],
                    *range_,
                    last + 1,
                    basis,
                )
            )
    return frame_of("market_research.market_size", rows)


@returns("market_research.size_gap")
def size_gap(size: DataFrame, own: float = np.nan) -> DataFrame:
    """Do the two ways meet, and where do the shop's own sales of a year lie?

    Verdict: `meet` where the ranges overlap, `apart` where they do not (one of the two is
    wrong, and no plan should rest on either), `one way only`. `own_is`: `within` either
    range, `above` or `below` both, `between` them; missing without own sales.

    Finding, the worst of them: `sold already` where own sales lie above the middle of a
    way (what is sold can be won, so that way is too small), `ways apart`, `one way only`,
    `agree`. `to_meet` is what the way from the top has to be taken times for the middles
    to be one.
    """
    ways = {way: part.set_index("measure") for way, part in size.groupby("approach")}
    bottom, top = (ways.get(way) for way in ("bottom-up", "top-down"))
    rows = []
    for measure in size["measure"].unique():
        known = {
            name: way.loc[measure]
            for name, way in (("bottom", bottom), ("top", top))
            if way is not None and measure in way.index
        }
        parts = list(known.values())
        low, high = min(p.low for p in parts), max(p.high for p in parts)
        row = {"measure": measure, "low": low, "high": high, "own": own, "verdict": "one way only"}
        if len(parts) == 2:
            is_met = max(p.low for p in parts) <= min(p.high for p in parts)
            row |= {
                "verdict": "meet" if is_met else "apart",
                "top_over_bottom": parts[1].mid / parts[0].mid,
                "to_meet": parts[0].mid / parts[1].mid,
            }
        row |= {f"own_over_{name}": own / way.mid for name, way in known.items()}
        if np.isfinite(own):
            is_within = any(p.low <= own <= p.high for p in parts)
            beside = "above" if own > high else "below" if own < low else "between"
            row["own_is"] = "within" if is_within else beside
        is_sold = any(own > way.mid for way in parts)
        row["finding"] = "sold already" if is_sold else FINDINGS[row["verdict"]]
        rows.append(row)
    return frame_of("market_research.size_gap", rows)


def size_steps(
    *,
    series: DataFrame | None = None,
    competitors: DataFrame | None = None,
    factor: float = 1.0,
    share_of_series: Range = (1.0, 1.0),
    reachable: Range = (0.1, 0.3),
    winnable: Range = (0.01, 0.05),
    covered: Range = (0.3, 0.7),
) -> DataFrame:
    """Steps for `market_size` from the shop's tables: approach, measure, factor, low,
    high.

    Top down: the newest twelve months of one published series (`period_on`, `value`,
    newest vintages; times `factor`), the part of it that is this trade, the part the
    shop can reach, the part it can win. Bottom up: what the sellers listed in
    `competitors` (sales_low, sales_high) sold in the newest twelve months, over the
    share of the trade the list covers (TAM), the reachable part, and as what can be won
    the middle half of the sellers' own shares. Ranges are the reader's own, stated as
    parameters; an approach without its table gives no rows.
    """
    steps: list[tuple[str, str, str, Range]] = []
    if series is not None and len(series):
        days = pd.to_datetime(series.period_on)
        year = series.value[days > days.max() - pd.DateOffset(years=1)]
        total = float(year.astype(float).sum()) * factor
        steps += [
            ("top-down", "TAM", "series", (total, total)),
            ("top-down", "TAM", "trade", share_of_series),
            ("top-down", "SAM", "reachable", reachable),
            ("top-down", "SOM", "winnable", winnable),
        ]
    if competitors is not None and len(competitors):
        sales, own_share = _listed_sellers(competitors)
        least, most = np.quantile(own_share, MIDDLE_HALF) * covered
        steps += [
            ("bottom-up", "TAM", "sellers", sales),
            (
                "bottom-up",
                "TAM",
                "covered",
                (1 / covered[1], 1 / covered[0]),
            ),
            ("bottom-up", "SAM", "reachable", reachable),
            ("bottom-up", "SOM", "seller", (least, max(least, most))),
        ]
    rows = [
        (
            approach,
            measure,
            say(f"market_research.factor_{code}"),
            *ends,
        )
        for approach, measure, code, ends in steps
    ]
    return DataFrame(rows, columns=STEPS)


def _listed_sellers(
    competitors: DataFrame,
) -> tuple[pd.Series, pd.Series]:
    """What the listed sellers sold in a year (low, high), and each one's share of it."""
    year = newest_year(competitors)
    sales = year.groupby("seller", sort=True)[["sales_low", "sales_high"]].sum()
    sales = sales.astype(float) * 12 / year.month.nunique()
    middle = sales.mean(axis=1)
    return sales.sum(), middle / middle.sum()
