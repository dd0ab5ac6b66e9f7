"""What people of the market say when asked: prices of a product, what matters most, and which
of several offers they would take. Nothing else of the shop depends on it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray
from pandas import DataFrame

from playbook.demo.records import Record
from playbook.demo.streams import below, exponential, key, normal, uniform
from playbook.demo.writing import Clock, texts
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("stated.yaml")))


def stated_tables(clock: Clock) -> dict[str, pa.Table]:
    """The answers as tables of the contract."""
    seed, day = clock.world.seed, clock.until - 90
    prices, tasks = meter_answers(seed), choice_answers(seed)
    money = {
        name: np.round(prices[name] * 100) for name in prices if name not in ("who", "product")
    }
    asked = clock.table(
        "price_answers",
        respondent_id=texts(prices.who),
        product=texts(prices["product"]),
        answered_on=np.full(len(prices), day),
        **money,
    )
    chosen = clock.table(
        "choice_tasks",
        respondent_id=texts(tasks.who),
        study=texts(tasks.study),
        answered_on=np.full(len(tasks), day),
        task_no=tasks.task_no,
        option_no=tasks.option_no,
        item=texts(tasks["item"]),
        attributes=texts(tasks.attributes),
        price=(np.round(tasks.price.fillna(0) * 100), tasks.price.isna().to_numpy()),
        is_best=tasks.is_best,
        is_worst=(tasks.is_worst == 1, tasks.is_worst.isna().to_numpy()),
    )
    return {"price_answers": asked, "choice_tasks": chosen}


def meter_answers(seed: int) -> DataFrame:
    """Four prices a person, who, product; some do not rise from one to the next."""
    law = Record(STATED.meter)
    k = key(seed, "price meter", np.arange(law.n))
    own = law.spread * normal(k, "own")
    names = ("too_cheap", "cheap", "expensive", "too_expensive")
    prices = {
        name: np.round(np.exp(np.log(centre) + own + 0.18 * normal(k, name)) * 2) / 2
        for name, centre in zip(names, law.centre, strict=True)
    }
    who = [f"P{i:04d}" for i in range(law.n)]
    return DataFrame({"who": who, "product": law["product"], **prices})


def choice_answers(seed: int) -> DataFrame:
    """Both studies: who, study, task_no, option_no, item, attributes, price, is_best, is_worst
    (1, 0, missing in a choice of offers).
    """
    import pandas as pd

    return pd.concat([_needs(seed), _offers(seed)], ignore_index=True)


def _needs(seed: int) -> DataFrame:
    law = Record(STATED.needs)
    items, worth = list(law["items"]), np.array([*law["items"].values()])
    who, task, option = (x.ravel() for x in np.indices((law.n, law.tasks, law.shown)))
    k = key(
        seed, "needs shown", np.arange(law.n * law.tasks)[:, None] * 100 + np.arange(len(items))
    )
    shown = np.argsort(uniform(k, "order"), axis=1)[:, : law.shown].ravel()
    taste = STATED.taste * normal(key(seed, "needs taste", who * 100 + shown), "taste")
    k = key(seed, "needs", np.arange(len(who)))
    says = worth[shown] + taste
    best = _chosen(says - np.log(exponential(k, "best")), law.shown)
    # the worst of what is left: what is best is out of the running
    worst = _chosen(np.where(best, -np.inf, -says - np.log(exponential(k, "worst"))), law.shown)
    return _rows(law.study, who, task, option, best).assign(
        item=np.array(items)[shown], attributes=None, price=np.nan, is_worst=worst.astype(float)
    )


def _offers(seed: int) -> DataFrame:
    law, n_shown = Record(STATED.offers), STATED.offers["shown"] + 1
    who, task, option = (x.ravel() for x in np.indices((law.n, law.tasks, n_shown)))
    k = key(seed, "offers", np.arange(len(who)))
    is_none = option == n_shown - 1
    said, says = np.full(len(who), "", dtype=object), np.zeros(len(who))
    for number, (attribute, levels) in enumerate(law.levels.items()):
        which = below(k, attribute, len(levels))
        own = key(seed, "offers taste", who * 1000 + number * 100 + which)
        taste = STATED.taste * normal(own, "taste") * (which > 0)
        says += np.array([*levels.values()])[which] + taste
        said += np.array([f"; {attribute}: {level}" for level in levels], dtype=object)[which]
    price = np.array(law.prices, float)[below(k, "price", len(law.prices))]
    says = np.where(is_none, law.of_none, says + law.of_price * price)
    best = _chosen(says - np.log(exponential(k, "best")), n_shown)
    shown = ["none" if none else text[2:] for none, text in zip(is_none, said, strict=True)]
    return _rows(law.study, who, task, option, best).assign(
        item=None, attributes=shown, price=np.where(is_none, np.nan, price), is_worst=np.nan
    )


def _chosen(worth: ndarray, n_shown: int) -> ndarray:
    """The highest of every task's options."""
    each = worth.reshape(-1, n_shown)
    return (each == each.max(axis=1, keepdims=True)).ravel()


def _rows(study: str, who: ndarray, task: ndarray, option: ndarray, best: ndarray) -> DataFrame:
    return DataFrame(
        {
            "who": [f"P{i:04d}" for i in who],
            "study": study,
            "task_no": task + 1,
            "option_no": option + 1,
            "is_best": best,
        }
    )


def stated_truth() -> DataFrame:
    """One row per item and level asked about: study, name, worth (utility; of a level beside
    the first of its attribute) and money (EUR, what a level is worth beside the first).
    """
    needs, offers = STATED.needs, STATED.offers
    rows = [(needs["study"], item, worth, np.nan) for item, worth in needs["items"].items()]
    for attribute, levels in offers["levels"].items():
        rows += [
            (offers["study"], f"{attribute}: {level}", worth, worth / -offers["of_price"])
            for level, worth in levels.items()
        ]
    return DataFrame(rows, columns=["study", "name", "worth", "money"])
