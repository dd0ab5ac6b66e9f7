"""What people say they would pay, what matters most to them, and which offer they would take.

Stated is not paid: the prices of a price meter are limits of belief, not of demand, and a
choice among offers costs nothing. So nothing here sets a price; it says what to test.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy import ndarray
from pandas import DataFrame, Series

from playbook.decisions import decision_rows, propose
from playbook.measures.ad_spend import Table
from playbook.methods.price_meter import POINTS, consistent, price_points
from playbook.methods.proportions import Z90
from playbook.methods.stated_choice import (
    ChoiceFit,
    best_worst_choices,
    choice_fit,
    shares_of,
)
from playbook.store import expression
from playbook.tables import frame_of, returns

__all__ = ["item_shares", "level_worth", "price_meter", "stated_decisions"]

ANSWERS = ["too_cheap", "cheap", "expensive", "too_expensive"]
#: people whose answers are needed before anything is said
FEWEST = 30
#: resamples of the people behind the interval of a price
DRAWS = 400
#: what stands where an offer would, for taking none of them; a missing offer says the same
NONE = "none"


@returns("market_research.price_meter")
def price_meter(price_answers: Table, *, seed: int = 0) -> DataFrame:
    """The four prices of every product asked about, over people whose answers rise from price
    to price. Intervals are of 90 %, from resamples of the people; a product with fewer than
    thirty of them has no row.
    """
    rows = []
    asked = _frame(price_answers, ["product", "respondent_id"])
    for product, part in asked.groupby("product"):
        answers = part[ANSWERS].astype(float).to_numpy()
        is_whole = consistent(answers)
        n, kept = int(is_whole.sum()), answers[is_whole]
        if n < FEWEST:
            continue
        weight = part.weight.astype(float).fillna(1.0).to_numpy()[is_whole]
        draw = np.random.default_rng(seed)
        drawn = [_resampled(kept, weight, draw) for _ in range(DRAWS)]
        found = price_points(kept, weight)
        for name in POINTS:
            low, high = np.nanquantile([d[name] for d in drawn], [0.05, 0.95])
            rows.append((product, name, found[name], low, high, n, len(part) - n))
    return frame_of("market_research.price_meter", rows)


def _resampled(answers: ndarray, weight: ndarray, draw: np.random.Generator) -> dict[str, float]:
    who = draw.integers(0, len(answers), len(answers))
    return price_points(answers[who], weight[who])


@returns("market_research.item_shares")
def item_shares(choice_tasks: Table) -> DataFrame:
    """What matters most, by study of best and worst (MaxDiff): the share of people who would
    put an item first among all, pooled over people, the first on top. Intervals are of 90 %,
    of people and not of answers.
    """
    rows = []
    tasks = _frame(choice_tasks, ["study", "respondent_id", "task_no", "option_no"])
    for study, part in _answered(tasks[tasks["item"].notna()], ["is_best", "is_worst"]):
        items = sorted(part["item"].unique())
        n_people = part.respondent_id.nunique()
        if n_people < FEWEST or len(items) < 3:
            continue
        best, worst = (
            part[c].fillna(False).astype(float).to_numpy() for c in ("is_best", "is_worst")
        )
        design = _dummies(part["item"], items[1:])
        people = part.respondent_id.to_numpy()
        fit = choice_fit(
            *best_worst_choices(
                design,
                _tasks(part),
                best,
                worst,
                people,
            )
        )
        utility = np.concatenate([[0.0], fit.coefficients])
        wide = np.zeros((len(items),) * 2)
        wide[1:, 1:] = fit.robust
        sums = part.assign(best=best, worst=worst).groupby("item")[["best", "worst"]]
        counts = sums.sum().assign(shown=part.groupby("item").size()).loc[items]
        columns = zip(*shares_of(utility, wide), strict=True)
        for item, count, (share, low, high) in zip(
            items, counts.itertuples(), columns, strict=True
        ):
            counted = int(count.shown), int(count.best), int(count.worst)
            rows.append((study, item, *counted, share, low, high, n_people))
    table = frame_of("market_research.item_shares", rows)
    return table.sort_values(["study", "share"], ascending=[True, False], ignore_index=True)


@returns("market_research.level_worth")
def level_worth(choice_tasks: Table) -> DataFrame:
    """What a level of an offer is worth to people beside the one of its attribute they like
    least, in utility and in money: how much dearer an offer may be with it and still be taken
    as often. Intervals are of 90 %, of people and not of answers; worth in money is missing
    where dearer offers are not surely taken less.
    """
    rows = []
    tasks = _frame(choice_tasks, ["study", "respondent_id", "task_no", "option_no"])
    for study, part in _answered(tasks[tasks["item"].isna()], ["is_best"]):
        n_people = part.respondent_id.nunique()
        if n_people < FEWEST or part.price.nunique() < 2:
            continue
        first, bases, fit = _fitted(part, {})
        names, bases, fit = _fitted(part, bases | _least_liked(first, fit.coefficients))
        for place, (attribute, level) in enumerate(names):
            mid = float(fit.coefficients[place])
            error = Z90 * float(np.sqrt(fit.robust[place, place]))
            ends = mid, mid - error, mid + error, *_money(fit, place)
            rows.append((study, attribute, level, bases[attribute], *ends, n_people))
    return frame_of("market_research.level_worth", rows)


def _fitted(
    part: DataFrame, bases: dict[str, str]
) -> tuple[list[tuple[str, str]], dict[str, str], ChoiceFit]:
    """Names of the levels, the base of every attribute (the one told, else its first level by
    name) and the choice fit: the levels' coefficients, then buying none's, then the price's.
    """
    said = [_levels(text) for text in part.attributes.fillna("")]
    known = sorted({pair for one in said for pair in one.items()})
    base = {a: min(level for b, level in known if a == b) for a, _level in known} | bases
    names = [(a, level) for a, level in known if level != base[a]]
    columns = [[float(one.get(a) == level) for one in said] for a, level in names]
    is_none = part.attributes.fillna(NONE).str.strip().str.casefold().eq(NONE).to_numpy(float)
    extra = [is_none] if is_none.any() else []
    price = part.price.astype(float).fillna(0.0).to_numpy()
    design = np.column_stack([*columns, *extra, price])
    chosen = part.is_best.astype(float).to_numpy()
    people = part.respondent_id.to_numpy()
    return (
        names,
        base,
        choice_fit(
            design,
            _tasks(part),
            chosen,
            people,
        ),
    )


def _least_liked(names: list[tuple[str, str]], utility: ndarray) -> dict[str, str]:
    """Of every attribute, the level people like least where it is not the first by name."""
    least: dict[str, tuple[float, str]] = {}
    for (attribute, level), worth in zip(names, utility, strict=False):
        least[attribute] = min(least.get(attribute, (0.0, "")), (float(worth), level))
    return {attribute: level for attribute, (worth, level) in least.items() if worth < 0}


def _levels(text: str) -> dict[str, str]:
    """`size: small; origin: china` as attribute -> level."""
    pairs = (part.partition(":") for part in text.split(";") if ":" in part)
    return {attribute.strip(): level.strip() for attribute, _colon, level in pairs}


def _money(fit: ChoiceFit, place: int) -> tuple[float, float, float]:
    """The worth of a level over that of a unit of price, and Fieller's 90 % interval."""
    level, price = float(fit.coefficients[place]), -float(fit.coefficients[-1])
    v11, v22 = float(fit.robust[place, place]), float(fit.robust[-1, -1])
    v12 = -float(fit.robust[place, -1])
    a = price**2 - Z90**2 * v22
    if price <= 0 or a <= 0:
        return (np.nan,) * 3
    b, c = level * price - Z90**2 * v12, level**2 - Z90**2 * v11
    half = np.sqrt(max(b**2 - a * c, 0.0))
    return level / price, (b - half) / a, (b + half) / a


def stated_decisions(
    meter: DataFrame | None, worth: DataFrame | None, *, currency: str, due_on: str, revisit_on: str
) -> DataFrame:
    """What to test: for each product the range of prices that people find neither too cheap nor
    too dear, and of each study the level that is surely worth most.
    """
    rows = []
    for product, part in [] if meter is None else meter.groupby("product"):
        point = part.set_index("point")
        if point.price.notna().all():
            rows.append(_price_test(product, point, currency))
    sure = DataFrame() if worth is None else worth[worth.money_low > 0]
    for study, part in sure.groupby("study") if len(sure) else []:
        best = part.loc[part.money.idxmax()]
        rows.append(_level_test(study, best, currency))
    return decision_rows(rows).assign(due_on=due_on, revisit_on=revisit_on)


def _price_test(product: str, point: DataFrame, currency: str) -> dict:
    return propose(
        "market_research.test_price",
        product,
        size=point.price["indifference"],
        evidence_value=point.price["optimal"],
        threshold=point.price["upper"],
        low=point.price["lower"],
        high=point.price["upper"],
        n=int(point.n["lower"]),
        currency=currency,
    )


def _level_test(study: str, best: Series, currency: str) -> dict:
    return propose(
        "market_research.test_level",
        f"{study}: {best.attribute} {best.level}",
        size=best.money,
        evidence_value=best.money_low,
        base=best.base,
        low=best.money_low,
        high=best.money_high,
        n=int(best.n_people),
        currency=currency,
    )


def _frame(table: Table, order: list[str]) -> DataFrame:
    return expression(table).order_by(order).to_pandas()


def _answered(tasks: DataFrame, asked: list[str]) -> Iterator[tuple[str, DataFrame]]:
    """Study by study, the tasks answered with exactly one of each thing asked."""
    keys = ["study", "respondent_id", "task_no"]
    marks = tasks[asked].fillna(False).astype(int)
    counts = marks.groupby([tasks[key] for key in keys]).transform("sum")
    yield from tasks[(counts == 1).all(axis=1)].groupby("study")


def _tasks(part: DataFrame) -> ndarray:
    return part.groupby(["respondent_id", "task_no"]).ngroup().to_numpy()


def _dummies(values: Series, levels: list[str]) -> ndarray:
    return np.column_stack([values.eq(level).to_numpy(float) for level in levels])
