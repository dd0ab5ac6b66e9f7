"""Price ladders: the steps of a category, where one is missing or hardly stood on, and what moved
when the shop's own range gained or lost a product.

Prices within a quarter of a step's lowest stand on it. A gap is where the next step lies much
further off than steps of the category usually do, while people buy on both sides of it; a step
between two others, one of them close by, that surely hardly anybody buys and little is earned on
is thin. What a filled gap would bring is not to be
had from the ladder. What the log knows is how the others of a category fared in quarters in which
it gained or lost products, on their own step and elsewhere, against the shop's other categories:
the share of a newcomer's units that was taken from them (regression over steps and quarters,
weighed by units, errors clustered by category; Cameron and Miller 2015).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame

from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.measures.demand_panel import DemandPanel
from playbook.messages import say
from playbook.tables import empty, frame_of, returns

__all__ = ["ladder_decisions", "ladder_moves", "price_ladder"]

#: a price so many times a step's lowest starts the next one
SPAN = 1.25
#: a next step so many times as dear is far, if that is so many times the usual distance (in logs)
FAR, OVER_USUAL = 1.5, 1.5
#: a thin step's next neighbour is at most so many times dearer or cheaper
NEAR = 1.4
#: share of a category's units that both sides of a gap surely sell, and a thin step surely does not
SOLD, THIN = 0.05, 0.03
#: weeks read, units a category sells in them and skus it has, for its ladder to be judged
WEEKS, LEAST_UNITS, LEAST_SKUS = 13, 100, 4
#: level of the intervals
LEVEL = 0.9
#: products that came or went, and categories, behind what moved
LEAST_EVENTS, LEAST_CATEGORIES = 10, 4
MOST_DECIDED = 2
DUE_DAYS, REVISIT_DAYS = 28, 120


@returns("assortment_pricing.price_ladder")
def price_ladder(panel: DemandPanel) -> DataFrame:
    """One row per category and step of skus on sale, gaps first by the margin of both their sides,
    then thin steps, least margin first. Prices are the regular ones of the last weeks, what was
    paid where no price is told; sums are of the last thirteen weeks, margin of a year at their
    rate.
    """
    skus = _on_sale(panel)
    rows: list[dict[str, Any]] = []
    for _category, part in skus.groupby("category"):
        rows += _steps(part, panel)
    if not rows:
        return empty("assortment_pricing.price_ladder")
    table = DataFrame(rows)
    place = table.verdict.map({"gap above": 0, "thin": 1}).fillna(2)
    first = table.stake.fillna(0.0) * place.map(
        {
            0: -1,
            1: 1,
            2: 0,
        }
    )
    table = table.assign(place=place, first=first)
    table = table.sort_values(["place", "first", "category", "step"], ignore_index=True)
    return frame_of("assortment_pricing.price_ladder", table.drop(columns=["place", "first"]))


@returns("assortment_pricing.ladder_moves")
def ladder_moves(panel: DemandPanel) -> DataFrame:
    """What share of the units of products that came (or went) was taken from (went to) the others:
    on their own step, and on the category's other steps. Missing under ten such products or four
    categories.
    """
    rows, n_events = _quarters(panel)
    names = {"same": "same step", "other": "other steps"}
    n_groups = rows.category.nunique() if len(rows) else 0
    is_enough = n_events >= LEAST_EVENTS and n_groups >= LEAST_CATEGORIES
    share, error = _slopes(rows) if is_enough else (np.full(2, np.nan), np.full(2, np.nan))
    from scipy.stats import t as student

    reach = student.ppf(0.5 + LEVEL / 2, max(n_groups - 1, 1)) * error
    table = DataFrame(
        {
            "taken_from": list(names.values()),
            "moved_ratio": share,
            "low": share - reach,
            "high": share + reach,
            "n_products": n_events,
            "n_windows": len(rows),
        }
    )
    table["verdict"] = np.select(
        [table.moved_ratio.isna(), table.low > 0],
        ["not known", "moves"],
        "not shown",
    )
    return frame_of("assortment_pricing.ladder_moves", table)


@dated
def ladder_decisions(
    ladder: DataFrame, moves: DataFrame, *, as_of: dt.date, currency: str
) -> DataFrame:
    """A test of a product in the gaps with most margin on both sides, and thin steps to be merged
    into the one beside them, two of each at most. What either brings is not known without a test.
    """
    rows = []
    own = moves.set_index("taken_from").loc["same step"] if len(moves) else None
    told = own is not None and np.isfinite(own.moved_ratio)
    known = (
        {
            "share": own.moved_ratio,
            "low": own.low,
            "high": own.high,
        }
        if told
        else {}
    )
    learnt = say("assortment_pricing.ladder_moved", **known) if told else ""
    days = {
        "due_on": str(as_of + dt.timedelta(days=DUE_DAYS)),
        "revisit_on": str(as_of + dt.timedelta(days=REVISIT_DAYS)),
    }
    for verdict, kind in (("gap above", "ladder_gap"), ("thin", "ladder_merge")):
        for row in ladder[ladder.verdict == verdict][:MOST_DECIDED].itertuples():
            is_gap = kind == "ladder_gap"
            between = np.sqrt(row.price_high * row.price_high * row.next_ratio) if is_gap else None
            rows.append(
                propose(
                    f"assortment_pricing.{kind}",
                    say(
                        f"assortment_pricing.{kind}",
                        category=row.category,
                        price=row.price_low,
                    ),
                    size=round(between, 2) if is_gap else float(row.n_skus),
                    effect_high=None if is_gap or np.isnan(row.margin) else max(row.margin, 0.0),
                    evidence_value=row.next_ratio if is_gap else row.units_share,
                    threshold=FAR if is_gap else THIN,
                    below=row.price_high,
                    above=row.price_high * row.next_ratio,
                    share=row.units_share,
                    high=row.high,
                    n=int(row.n_skus),
                    learnt=learnt,
                    currency=currency,
                    **days,
                )
            )
    return decision_rows(rows)


def _on_sale(panel: DemandPanel) -> DataFrame:
    """Skus on sale in the last four weeks: at (place in the panel), category, price, units,
    margin of the last thirteen weeks.
    """
    last = slice(max(len(panel.starts) - WEEKS, 0), None)
    units, revenue = panel.units[:, last].sum(axis=1), panel.revenue[:, last].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        price = np.where(
            units > 0,
            revenue / units,
            np.nan,
        )
    told = panel.price[:, -1]
    frame = DataFrame(
        {
            "at": np.arange(len(panel.sku)),
            "sku": panel.sku,
            "category": panel.category,
            "price": np.where(
                np.isfinite(told),
                told,
                price,
            ),
            "units": units,
            "margin": panel.margin[:, last].sum(axis=1),
        }
    )
    is_on = panel.exposure[:, -4:].sum(axis=1) > 0
    frame = frame[is_on & frame.category.notna() & (frame.price > 0)]
    return frame.sort_values(["category", "price", "sku"], ignore_index=True)


def _of_step(price: ndarray) -> ndarray:
    """The step of each price, from 0; prices rise."""
    step, low = np.zeros(len(price), int), price[0]
    for i in range(1, len(price)):
        starts = price[i] >= SPAN * low
        step[i] = step[i - 1] + starts
        low = price[i] if starts else low
    return step


def _steps(skus: DataFrame, panel: DemandPanel) -> list[dict[str, Any]]:
    """The rows of one category."""
    step = _of_step(skus.price.to_numpy())
    groups = [skus[step == k] for k in range(step.max() + 1)]
    total, money = skus.units.sum(), skus.margin.sum(skipna=False)
    low = np.array([g.price.min() for g in groups])
    high = np.array([g.price.max() for g in groups])
    further = np.append(low[1:] / high[:-1], np.nan)
    is_enough = total >= LEAST_UNITS and len(skus) >= LEAST_SKUS
    a_year = 52 / min(WEEKS, len(panel.starts))
    weekly = [panel.units[g["at"], -WEEKS:].sum(axis=0) for g in groups]
    shares = [_share(part, panel.units[skus["at"], -WEEKS:].sum(axis=0)) for part in weekly]
    rows = []
    for k, group in enumerate(groups):
        share, least, most = shares[k]
        row = {
            "category": group.category.iloc[0],
            "step": k + 1,
            "price_low": low[k],
            "price_high": high[k],
            "n_skus": len(group),
            "units": group.units.sum(),
            "units_share": share,
            "low": least,
            "high": most,
            "margin": group.margin.sum(skipna=False) * a_year,
            "margin_share": group.margin.sum(skipna=False) / money if money > 0 else np.nan,
            "next_ratio": further[k],
            "usual_ratio": _usual(further, k),
        }
        row["verdict"] = (
            _verdict(
                row,
                k,
                further,
                shares,
            )
            if is_enough
            else "too few"
        )
        both = [
            g.margin.sum(skipna=False) for g in groups[k : k + 1 + (row["verdict"] == "gap above")]
        ]
        rows.append(row | {"stake": float(np.sum(both)) * a_year})
    return rows


def _usual(further: ndarray, but: int) -> float:
    """The distance of the category's other steps in the middle; missing where there are none."""
    others = np.delete(further, but)
    others = others[np.isfinite(others)]
    return float(np.exp(np.median(np.log(others)))) if len(others) else np.nan


def _verdict(row: dict[str, Any], k: int, further: ndarray, shares: list[tuple]) -> str:
    ratio, usual = row["next_ratio"], row["usual_ratio"]
    if np.isfinite(ratio) and np.isfinite(usual):
        is_far = ratio >= FAR and np.log(ratio) >= OVER_USUAL * np.log(usual)
        if is_far and min(shares[k][1], shares[k + 1][1]) >= SOLD:
            return "gap above"
    is_inner = 0 < k < len(further) - 1
    is_thin = is_inner and row["high"] < THIN and not row["margin_share"] >= THIN
    return "thin" if is_thin and min(further[k - 1], further[k]) <= NEAR else "fine"


def _share(mine: ndarray, all_: ndarray) -> tuple[float, float, float]:
    """The share of units and its interval, weeks drawn (a ratio of two sums; Cochran 1977)."""
    from scipy.stats import t as student

    n, total = len(all_), all_.sum()
    if not total > 0 or n < 2:
        return np.nan, np.nan, np.nan
    share = mine.sum() / total
    left = mine - share * all_
    # no fewer than Poisson counts scatter
    variance = max((left**2).sum() * n / (n - 1), share * (1 - share) * total)
    reach = student.ppf(0.5 + LEVEL / 2, n - 1) * np.sqrt(variance) / total
    if mine.sum() == 0:
        reach = -np.log(1 - LEVEL) / total
    return float(share), float(max(share - reach, 0)), float(min(share + reach, 1))


def _quarters(panel: DemandPanel) -> tuple[DataFrame, int]:
    """One row per category, step and pair of quarters that follow each other: category, step,
    window, y (change of those on sale in both, over their units before), same (units of those that
    came less of those that went on the step, over the same units), other (the same of each other
    step, over the units of all steps but that), weight; and how many products came or went.
    """
    n_weeks = panel.units.shape[1]
    whole = panel.units[:, n_weeks % WEEKS :]
    shape = (len(panel.sku), n_weeks // WEEKS, WEEKS)
    units = whole.reshape(shape).sum(axis=2)
    is_on = (panel.exposure[:, n_weeks % WEEKS :].reshape(shape) > 0).sum(axis=2)
    price = _prices(panel)
    known = np.flatnonzero(pd.notna(panel.category) & (price > 0))
    step = _log_steps(price)
    rows, n_events = [], 0
    for w in range(1, units.shape[1]):
        part = _between(units, is_on, w).assign(category=panel.category, step=step).iloc[known]
        n_events += int(part.pop("is_event").sum())
        part = part.groupby(["category", "step"], as_index=False).sum()
        rows.append(part.assign(window=w))
    table = pd.concat(rows, ignore_index=True) if rows else DataFrame()
    if table.empty:
        return DataFrame(columns=["category"]), n_events
    of = [table.window, table.category]
    rest = table.base.groupby(of).transform("sum") - table.base
    per_rest = (table.moved / rest.where(rest > 0)).fillna(0.0)
    table["other"] = per_rest.groupby(of).transform("sum") - per_rest
    table = table[table.base > 0].copy()
    table["y"] = table.now / table.base - 1
    table["same"] = table.moved / table.base
    return table.rename(columns={"base": "weight"}).dropna(), n_events


def _between(units: ndarray, is_on: ndarray, w: int) -> DataFrame:
    """By sku, from the quarter before to quarter `w`: base and now (units of those on sale in all
    weeks of both), moved (units of one that came, never on sale before, less those of one that
    went, never on sale again), is_event. `is_on` counts the weeks on sale.
    """
    before, after = is_on[:, w - 1], is_on[:, w]
    stays = (before == WEEKS) & (after == WEEKS)
    came = (before == 0) & (after > 0) & (is_on[:, : w - 1].sum(axis=1) == 0)
    went = (after == 0) & (before > 0) & (is_on[:, w + 1 :].sum(axis=1) == 0)
    return DataFrame(
        {
            "base": units[:, w - 1] * stays,
            "now": units[:, w] * stays,
            "moved": units[:, w] * came - units[:, w - 1] * went,
            "is_event": came | went,
        }
    )


def _prices(panel: DemandPanel) -> ndarray:
    """A sku's middle regular price over its weeks, what was paid where none is told."""
    units, revenue = panel.units.sum(axis=1), panel.revenue.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        paid = np.where(
            units > 0,
            revenue / units,
            np.nan,
        )
    told = (
        DataFrame(
            np.where(
                panel.exposure > 0,
                panel.price,
                np.nan,
            )
        )
        .median(axis=1)
        .to_numpy()
    )
    return np.where(
        np.isfinite(told),
        told,
        paid,
    )


def _log_steps(price: ndarray) -> ndarray:
    """Steps of equal width for all categories and quarters, so that a sku keeps its own."""
    with np.errstate(invalid="ignore", divide="ignore"):
        step = np.floor(np.log(price) / np.log(SPAN))
    return np.where(
        np.isfinite(step),
        step,
        -1,
    ).astype(int)


def _slopes(rows: DataFrame) -> tuple[ndarray, ndarray]:
    """What of the units that came was taken: on the same step, and elsewhere in the category, with
    standard errors clustered by category. What all of the shop did in a quarter is taken out.
    """
    w = rows.weight.to_numpy(float)
    names = ["y", "same", "other"]
    of = rows.groupby("window").weight.transform("sum").to_numpy(float)
    part = {}
    for name in names:
        mean = (rows[name] * w).groupby(rows.window).transform("sum").to_numpy(float) / of
        part[name] = rows[name].to_numpy(float) - mean
    x = np.column_stack([part["same"], part["other"]])
    gram = np.linalg.pinv((x * w[:, None]).T @ x)
    slope = gram @ ((x * w[:, None]).T @ part["y"])
    left = (part["y"] - x @ slope) * w
    scores = DataFrame(x * left[:, None]).groupby(rows.category.to_numpy()).sum().to_numpy()
    g = len(scores)
    cover = gram @ (scores.T @ scores * g / (g - 1)) @ gram
    return -slope, np.sqrt(np.diag(cover))
