"""How large a market is, from the top and from the bottom, as ranges.

*TAM* is what all buyers spend, *SAM* the part a shop of this kind can reach, *SOM* the part it can win. Each is a
product of factors nobody knows exactly. Two independent ways that do not overlap say that one of them is wrong.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from playbook.errors import PlaybookError

__all__ = ["market_size", "size_steps"]


def market_size(steps: pd.DataFrame) -> pd.DataFrame:
    """TAM, SAM and SOM from the top and from the bottom: approach, measure, low, mid,
    high, n_steps, basis.

    `steps`: approach, measure (TAM, SAM, SOM), factor, low, high in the order they
    multiply; a measure is the product of all steps of its approach up to it. Ends of a
    product are not the products of the ends: the half widths of the logarithms add in
    quadrature, as for independent factors. Raises PlaybookError for a range that is not
    positive.
    """
    bad = ~((steps["low"] > 0) & (steps["high"] >= steps["low"]))
    if bad.any():
        raise PlaybookError(
            "A step's range must be positive, low before high",
            table="steps",
            rows=int(bad.sum()),
            column=", ".join(map(str, steps.loc[bad, "factor"])),
            do="give low and high of each factor",
        )
    rows = []
    for approach, part in steps.groupby("approach", sort=True):
        low, high = np.log(part["low"].to_numpy(float)), np.log(part["high"].to_numpy(float))
        mid, half = np.cumsum((low + high) / 2), np.sqrt(np.cumsum(((high - low) / 2) ** 2))
        for i, measure in enumerate(part["measure"]):
            if i + 1 == len(part) or part["measure"].iloc[i + 1] != measure:
                rows.append(
                    {
                        "approach": approach,
                        "measure": measure,
                        "low": np.exp(mid[i] - half[i]),
                        "mid": np.exp(mid[i]),
                        "high": np.exp(mid[i] + half[i]),
                        "n_steps": i + 1,
                        "basis": " × ".join(map(str, part["factor"].iloc[: i + 1])),
                    }
                )
    return pd.DataFrame(
        rows, columns=["approach", "measure", "low", "mid", "high", "n_steps", "basis"]
    )


def size_steps(
    *,
    series: pd.DataFrame | None = None,
    competitors: pd.DataFrame | None = None,
    factor: float = 1.0,
    share_of_series: tuple[float, float] = (1.0, 1.0),
    reachable: tuple[float, float] = (0.1, 0.3),
    winnable: tuple[float, float] = (0.01, 0.05),
    covered: tuple[float, float] = (0.3, 0.7),
) -> pd.DataFrame:
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
    rows = []
    if series is not None and len(series):
        t = series.sort_values("period_on")
        year = t[
            pd.to_datetime(t["period_on"])
            > pd.to_datetime(t["period_on"]).max() - pd.DateOffset(years=1)
        ]
        total = float(year["value"].astype(float).sum()) * factor
        rows += [
            ("top-down", "TAM", "published series, one year", total, total),
            ("top-down", "TAM", "share that is this trade", *share_of_series),
            ("top-down", "SAM", "reachable share", *reachable),
            ("top-down", "SOM", "winnable share", *winnable),
        ]
    if competitors is not None and len(competitors):
        t = competitors[competitors["month"] > str(pd.Period(competitors["month"].max(), "M") - 12)]
        n_months = t["month"].nunique()
        seller = (
            t.groupby("seller", sort=True)[["sales_low", "sales_high"]].sum().astype(float)
            * 12
            / n_months
        )
        share = seller.mean(axis=1) / seller.mean(axis=1).sum()
        low, high = np.quantile(share, [0.25, 0.75])
        sold = seller.sum()
        rows += [
            ("bottom-up", "TAM", "listed sellers, one year", sold["sales_low"], sold["sales_high"]),
            (
                "bottom-up",
                "TAM",
                "1 / share of the trade they cover",
                1 / covered[1],
                1 / covered[0],
            ),
            ("bottom-up", "SAM", "reachable share", *reachable),
            (
                "bottom-up",
                "SOM",
                "a seller's share, middle half, of the covered part",
                low * covered[0],
                max(high * covered[1], low * covered[0]),
            ),
        ]
    return pd.DataFrame(rows, columns=["approach", "measure", "factor", "low", "high"])
