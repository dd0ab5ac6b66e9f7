"""Who bought what before a cut in time and what after it, and the lists that models of
the first would have shown.

Judging on a later stretch, never on a random part: Ji, Sun, Zhang & Li (2023), "A
critical study on data leakage in recommender system offline evaluation", ACM TOIS
41(3).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame, Timedelta

from playbook.errors import PlaybookError
from playbook.given import dated
from playbook.methods.ease import (
    ease_weights,
    list_hits,
    list_quality,
    top_items,
)
from playbook.store import distinct_rows, expression

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = np.ndarray

__all__ = [
    "KINDS",
    "MAX_CUSTOMERS",
    "MAX_ITEMS",
    "MODELS",
    "PLAIN_BLEND",
    "Blend",
    "Learnt",
    "Split",
    "learnt",
    "lists_of",
    "moment",
    "purchases",
    "split_at",
    "tuned",
    "wanted_of",
]

KINDS = ("all", "repeat", "new")
MODELS = ("popularity", "buy_again", "item_to_item", "ease", "blend")
MAX_ITEMS, MAX_CUSTOMERS = 4_000, 20_000
#: longest list drawn in the curves
DEPTH = 20
#: customers scored at a time: a dense block of 4,000 items is 64 MB
BLOCK = 2_000
#: items and customers of the validation split
TUNING_ITEMS, TUNING_CUSTOMERS, MIN_TUNING_CUSTOMERS = (
    2_000,
    2_000,
    50,
)
#: what counts as recent when an item's trend is read
RECENT_DAYS = 30
#: an item's trend stays within these
LEAST_TREND, MOST_TREND = 0.05, 5.0
#: how many own past orders one unit of EASE is worth, tried on the validation split
OWN_WEIGHTS = (1.0, 2.0, 4.0, 8.0)
#: how far a recent rise or fall of an item counts, tried there too
TREND_POWERS = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Split:
    """Training and test of one cut.

    - items: skus, those with most buyers first
    - customers: of the training stretch, the judged ones first
    - bought: customers x items, orders that held the item
    - trend: per item, recent orders over what its whole history leads one to expect
    - wanted: judged customers x items, bought in the test
    - n_wanted: distinct items bought in the test, also those outside the catalogue
    - n_repeat: of them, bought before the cut
    - n_customers: customers in both stretches, before sampling
    - n_items_cut: items left out of the catalogue
    """

    items: pd.Index
    customers: pd.Index
    bought: csr_matrix
    trend: Array
    wanted: csr_matrix
    n_wanted: Array
    n_repeat: Array
    n_customers: int
    n_items_cut: int


@dataclass(frozen=True)
class Blend:
    """How the blend mixes own orders with EASE: `own_weight` x EASE x trend **
    `trend_power`. `is_tuned` is false for the plain values used where nothing could be
    tried.
    """

    trend_power: float = 0.5
    own_weight: float = 4.0
    is_tuned: bool = False

    def scores(self, own: Array, learnt: Array, trend: Array) -> Array:
        """Customers x items from own past orders and what EASE learnt."""
        return own + self.own_weight * learnt * trend**self.trend_power


PLAIN_BLEND = Blend()


@dataclass(frozen=True)
class Learnt:
    """What was known at a moment `at`: the purchases up to as-of, who had bought what by
    then, and the weights EASE learnt from it.
    """

    lines: Table
    at: dt.datetime
    data: Split
    ease: Array


@dated
def moment(as_of: dt.date) -> dt.datetime:
    """As-of as a moment: a plain day means its end."""
    given = pd.Timestamp(as_of)
    if given == given.normalize():
        given += Timedelta(days=1) - Timedelta(microseconds=1)
    return given.to_pydatetime()


@dated
def purchases(
    lines: Table | DataFrame,
    as_of: dt.date,
    *,
    needs_customer: bool = True,
) -> Table:
    """Lines of products with a sku, up to as-of, with `at` (the local day where there
    is one).
    """
    t = expression(lines)
    keys = ["order_id", "sku"] + ["customer_id"] * needs_customer
    missing = [column for column in keys if column not in t.columns]
    day = next(
        (c for c in ("ordered_on", "ordered_at") if c in t.columns),
        None,
    )
    if day is None or missing:
        raise PlaybookError(
            "recommendations.lines_incomplete",
            table="order_lines",
            column=", ".join(missing) or "ordered_on",
        )
    is_product = {} if "is_product" in t.columns else {"is_product": True}
    t = t.mutate(at=t[day].cast("timestamp"), **is_product)
    is_past = _.at <= ibis.literal(moment(as_of))
    t = t.filter(_.is_product & _.sku.notnull() & _.order_id.notnull() & is_past)
    return t.filter(_.customer_id.notnull()) if needs_customer else t


def split_at(
    t: Table,
    cut: dt.datetime,
    split: str = "time",
    *,
    max_items: int = MAX_ITEMS,
    max_customers: int = MAX_CUSTOMERS,
) -> Split:
    """Training and test as sparse matrices. `time` tests on what came after the cut,
    `random` on as many orders dealt by chance; `none` learns from everything.
    """
    rng = np.random.default_rng(0)
    t = _dealt(t, cut, rng) if split == "random" else t.mutate(is_late=_.at > ibis.literal(cut))
    before = _orders_before(t, cut)
    keys = ["customer_id", "sku"]
    later = distinct_rows(t.filter(_.is_late), *keys).order_by(*keys).to_pandas()
    later = later.merge(before[[*keys, "n"]], how="left")
    people = pd.Index(before.customer_id.unique())
    # plain texts: the engine's are walked one by one
    both = (
        people
        if split == "none"
        else people[people.isin(later.customer_id.unique().to_numpy(object))]
    )
    if both.empty:
        raise PlaybookError(
            "recommendations.no_repeat_customers",
            table="order_lines",
            column="customer_id",
        )
    judged = both
    if len(both) > max_customers:
        judged = both[np.sort(rng.choice(len(both), max_customers, replace=False))]
    by_sku = before.groupby("sku")[["n", "n_recent"]].sum()
    n_buyers = before.groupby("sku").size()
    # a stable sort: ties go by sku
    items = by_sku.index[np.argsort(-n_buyers.to_numpy(), kind="stable")[:max_items]]
    customers = judged.append(people[~people.isin(judged.to_numpy(object))])
    known = before[before.sku.isin(items.to_numpy(object))]
    later = later[later.customer_id.isin(judged.to_numpy(object))]
    row = judged.get_indexer(later.customer_id)
    listed = later.sku.isin(items.to_numpy(object))
    return Split(
        items,
        customers,
        _sparse(known.n, known, customers, items),
        _trend(
            by_sku.loc[items],
            (cut - before["first"].min()) / Timedelta(days=1),
        ),
        _sparse(listed[listed], later[listed], judged, items),
        np.bincount(row, minlength=len(judged)),
        np.bincount(row[later.n.notna()], minlength=len(judged)),
        len(both),
        len(by_sku) - len(items),
    )


@dated
def learnt(lines: Table | DataFrame, *, as_of: dt.date) -> Learnt:
    """Everything bought up to as-of, learnt from."""
    t, now = purchases(lines, as_of), moment(as_of)
    data = split_at(t, now, "none")
    return Learnt(t, now, data, ease_weights(data.bought.sign()))


def _dealt(t: Table, cut: dt.datetime, rng: np.random.Generator) -> Table:
    """The lines with as many orders marked late as came after the cut, dealt by chance."""
    orders = t.group_by("order_id").aggregate(at=_.at.max()).order_by("order_id").to_pandas()
    is_late = rng.permutation(orders["at"] > cut)
    dealt = DataFrame({"order_id": orders.order_id, "is_late": is_late})
    return t.inner_join(ibis.memtable(dealt), "order_id")


def _orders_before(t: Table, cut: dt.datetime) -> DataFrame:
    """One row per customer and sku of the training lines: orders, recent ones, first day."""
    recent = ibis.literal(cut - dt.timedelta(days=RECENT_DAYS))
    found = (
        t.filter(~_.is_late)
        .group_by("customer_id", "sku")
        .aggregate(
            n=_.order_id.nunique(),
            n_recent=_.order_id.nunique(where=_.at > recent),
            first=_.at.min(),
        )
    )
    return found.order_by("customer_id", "sku").to_pandas()


def _trend(orders: DataFrame, span_days: float) -> Array:
    """Recent orders of an item over what its whole history leads one to expect."""
    usual = orders.n * RECENT_DAYS / max(span_days, RECENT_DAYS)
    return ((orders.n_recent + 1) / (usual + 1)).clip(LEAST_TREND, MOST_TREND).to_numpy()


def _sparse(
    cells: pd.Series,
    pairs: DataFrame,
    customers: pd.Index,
    items: pd.Index,
) -> csr_matrix:
    from scipy.sparse import csr_matrix

    places = (
        customers.get_indexer(pairs.customer_id),
        items.get_indexer(pairs.sku),
    )
    matrix = csr_matrix(
        (cells.to_numpy(float), places),
        shape=(len(customers), len(items)),
    )
    matrix.sum_duplicates()
    return matrix


def wanted_of(data: Split, kind: str) -> tuple[csr_matrix, Array]:
    """What the judged customers went on to buy of one kind of items, and how many items
    that was.
    """
    if kind == "all":
        return data.wanted, data.n_wanted
    repeat = data.wanted.multiply(data.bought[: len(data.n_wanted)].sign()).tocsr()
    if kind == "repeat":
        return repeat, data.n_repeat
    return (data.wanted - repeat).tocsr(), data.n_wanted - data.n_repeat


def lists_of(
    data: Split,
    models: tuple[str, ...],
    weights: dict[str, Array],
    blend: Blend,
    *,
    depth: int = DEPTH,
    safe: Array | None = None,
    too_soon: csr_matrix | None = None,
    kinds: tuple[str, ...] = KINDS,
) -> dict[tuple[str, str], Array]:
    """The judged customers' lists per model and kind: of all items, of those they had
    bought (repeat), of others (new). Only items marked `safe` are listed, and none of
    those that are `too_soon` (customers x items) for the customer.

    Columns are sorted by buyers and ties go to the lower column, so popularity is the
    order of no scores at all.
    """
    lists: dict[tuple[str, str], list[Array]] = {}
    for start in range(0, len(data.n_wanted), BLOCK):
        sparse = data.bought[start : min(start + BLOCK, len(data.n_wanted))]
        own = sparse.toarray()
        scores = {"popularity": np.zeros(own.shape), "buy_again": own}
        scores |= {name: sparse.sign() @ matrix for name, matrix in weights.items()}
        scores["blend"] = blend.scores(own, scores["ease"], data.trend)
        unsafe = np.zeros(own.shape, bool) if safe is None else np.broadcast_to(~safe, own.shape)
        if too_soon is not None:
            unsafe = unsafe | (too_soon[start : start + len(own)].toarray() > 0)
        blocked = {
            "all": unsafe,
            "repeat": unsafe | (own <= 0),
            "new": unsafe | (own > 0),
        }
        for model in models:
            for kind in kinds:
                top = top_items(scores[model], depth, blocked=blocked[kind])
                lists.setdefault((model, kind), []).append(top)
    return {key: np.concatenate(blocks) for key, blocks in lists.items()}


def tuned(
    t: Table,
    cut: dt.datetime,
    holdout_days: int,
    k: int,
    max_items: int,
) -> Blend:
    """The blend that does best on a validation stretch before the cut; the plain one
    where too few customers can be judged. The test stretch is never looked at.
    """
    try:
        inner = split_at(
            t,
            cut - dt.timedelta(days=holdout_days),
            max_items=min(max_items, TUNING_ITEMS),
            max_customers=TUNING_CUSTOMERS,
        )
    except PlaybookError:
        return PLAIN_BLEND
    if inner.n_customers < MIN_TUNING_CUSTOMERS:
        return PLAIN_BLEND
    sparse = inner.bought[: len(inner.n_wanted)]
    own, learnt = (
        sparse.toarray(),
        sparse.sign() @ ease_weights(inner.bought.sign()),
    )
    blocked = {"new": own > 0, "all": None}

    def recall(kind: str, blend: Blend) -> float:
        wanted, n_wanted = wanted_of(inner, kind)
        lists = top_items(
            blend.scores(own, learnt, inner.trend),
            k,
            blocked=blocked[kind],
        )
        recalls = list_quality(list_hits(lists, wanted), n_wanted, k).recall[n_wanted > 0]
        return float(recalls.mean()) if len(recalls) else 0.0

    power = max(TREND_POWERS, key=lambda p: recall("new", Blend(p)))
    weight = max(OWN_WEIGHTS, key=lambda w: recall("all", Blend(power, w)))
    return Blend(power, weight, is_tuned=True)
