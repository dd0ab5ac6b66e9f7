"""What a look at competitors' offers finds every week: prices, promotions, stock, ratings.

Nothing of the shop depends on it; its draws have streams of their own. In the last month one
seller's regular prices of a category are cut, and another's shelf of a category runs short.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray
from pandas import DataFrame

from playbook.demo.background import STATED as AROUND
from playbook.demo.records import Record
from playbook.demo.streams import below, key, normal, uniform
from playbook.demo.world import CATEGORIES, LAWS
from playbook.demo.writing import Clock, texts
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("rivals.yaml")))
SELLERS = tuple(AROUND.competitors)
#: weeks of looks, days of a month at the end that is planted
WEEKS, LAST = 60, 30


def planted(seed: int) -> DataFrame:
    """One row per planted change of the last month: kind (cut, short), seller, category,
    change (of the logarithm of the price, of the share in stock).
    """
    k = key(seed, "planted rival", np.arange(2))
    cells = len(SELLERS) * len(CATEGORIES)
    first = int(below(k[:1], "cell", cells)[0])
    second = (first + 1 + int(below(k[1:], "cell", cells - 1)[0])) % cells
    places = np.array([first, second])
    return DataFrame(
        {
            "kind": ["cut", "short"],
            "seller": np.array(SELLERS)[places // len(CATEGORIES)],
            "category": np.array(CATEGORIES)[places % len(CATEGORIES)],
            "change": [np.log(1 - STATED.cut), STATED.short - STATED.in_stock],
        }
    )


def looks(seed: int, days: ndarray) -> DataFrame:
    """One row per look (a day of `days`, counted from any first one, the last of them the
    log's end), seller and item.
    """
    cell, item, week = (
        part.ravel()
        for part in np.indices((len(SELLERS) * len(CATEGORIES), STATED["items"], len(days)))
    )
    seller, category = cell // len(CATEGORIES), cell % len(CATEGORIES)
    who = key(seed, "rival item", cell * 1000 + item)
    base = np.array([law["price"] for law in LAWS.categories])[category]
    price = 80 * base * np.exp(0.4 * normal(who, "price"))
    month = days[week] // 30
    price = price * np.exp(_walk(seed, cell, item, month))
    row = key(seed, "rival look", cell * 1000 + item, days[week])
    plan = planted(seed).set_index("kind")
    is_last = days[week] > days.max() - LAST
    is_cut = is_last & _is_cell(plan.loc["cut"], seller, category)
    is_short = is_last & _is_cell(plan.loc["short"], seller, category)
    regular = np.round(np.where(is_cut, price * (1 - STATED.cut), price))
    is_off = uniform(row, "promoted") < STATED.promoted
    stock = np.where(is_short, STATED.short, STATED.in_stock)
    rating = STATED.rating + STATED.rating_spread * normal(who, "rating")
    rating = rating + STATED.rating_drift * normal(
        key(seed, "rival rating", cell * 1000 + item, month), "drift"
    )
    return DataFrame(
        {
            "day": days[week],
            "seller": np.array(SELLERS)[seller],
            "category": np.array(CATEGORIES)[category],
            "item": _names()[cell, item],
            "regular": regular.astype(int),
            "price": np.round(regular * np.where(is_off, 1 - STATED.depth, 1.0)).astype(int),
            "is_in_stock": uniform(row, "stock") < stock,
            "rating": np.round(np.clip(rating, 1, 5), 2),
        }
    )


def _names() -> ndarray:
    """Names of items, (cell, item)."""
    cells = [name for _seller in SELLERS for name in CATEGORIES]
    return np.array(
        [
            [f"{name[:3].upper()}-{number:02d}{i:02d}" for i in range(STATED["items"])]
            for number, name in enumerate(cells)
        ]
    )


def _walk(seed: int, cell: ndarray, item: ndarray, month: ndarray) -> ndarray:
    """The logarithm of what the steps of an item's price have come to by a month."""
    steps = np.arange(month.min(), month.max() + 1)
    n_items = cell.max() + 1, item.max() + 1
    c, i, m = (part.ravel() for part in np.indices((*n_items, len(steps))))
    k = key(seed, "rival step", c * 1000 + i, steps[m])
    step = np.where(uniform(k, "anew") < STATED.set_anew, STATED.step * normal(k, "step"), 0.0)
    sums = step.reshape(*n_items, len(steps)).cumsum(axis=2)
    return sums[cell, item, month - steps[0]]


def _is_cell(plan: object, seller: ndarray, category: ndarray) -> ndarray:
    return (np.array(SELLERS)[seller] == plan.seller) & (
        np.array(CATEGORIES)[category] == plan.category
    )


def rival_table(clock: Clock) -> pa.Table:
    """The looks as a table of the contract: one a week, up to the last evening."""
    days = np.arange(clock.until - 7 * (WEEKS - 1), clock.until + 1, 7)
    rows = looks(clock.world.seed, days[days >= 0])
    return clock.table(
        "rival_offers",
        seen_on=rows.day.to_numpy(),
        seller=texts(rows.seller),
        item=texts(rows["item"]),
        category=texts(rows.category),
        price=rows.price.to_numpy(),
        regular_price=rows.regular.to_numpy(),
        is_in_stock=rows.is_in_stock.to_numpy(),
        rating=rows.rating.to_numpy(),
    )
