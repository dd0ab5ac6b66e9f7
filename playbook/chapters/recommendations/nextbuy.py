"""Who bought what before a cut in time and what after it, and the lists that models of
the first would have shown.

Judging on a later stretch, never on a random part: Ji, Sun, Zhang & Li (2023), "A
critical study on data leakage in recommender system offline evaluation", ACM TOIS
41(3).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.methods.ease import ease_weights, list_hits, list_quality, top_items
from playbook.store import expression

__all__ = [
    "KINDS",
    "MODELS",
    "Split",
    "lists_of",
    "moment",
    "purchases",
    "split_at",
    "tuned",
    "wanted_of",
]

KINDS = ("all", "repeat", "new")
MODELS = ("popularity", "buy_again", "item_to_item", "ease", "blend")
DEPTH = 20  # longest list drawn in the curves
BLOCK = 2_000  # customers scored at a time: a dense block of 4,000 items is 64 MB
RECENT_DAYS = 30  # what counts as recent when an item's trend is read
OWN_WEIGHTS = (
    1.0,
    2.0,
    4.0,
    8.0,
)  # how many own past orders one unit of EASE is worth, tried on the validation split
TREND_POWERS = (0.0, 0.5, 1.0)  # how far a recent rise or fall of an item counts, tried there too


@dataclass(frozen=True)
class Split:
    """Training and test of one cut: customers in both x items, and the whole training
    matrix to learn from.
    """

    items: pd.Index  # most buyers first
    customers: pd.Index  # the judged ones first
    bought: Any  # customers x items: orders that held the item
    trend: (
        np.ndarray
    )  # per item: recent orders over what its whole history would lead one to expect
    wanted: Any  # judged customers x items: bought in the test
    n_wanted: np.ndarray  # distinct items bought in the test, those outside the catalogue included
    n_repeat: np.ndarray  # of them, bought before the cut
    n_customers: int  # customers in both stretches, before sampling
    n_items_cut: int


def moment(as_of: Any) -> dt.datetime:
    """As-of as a moment: a plain day means its end."""
    moment = pd.Timestamp(as_of)
    if moment == moment.normalize():
        moment += pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
    return moment.to_pydatetime()


def purchases(lines: Any, as_of: Any, *, needs_customer: bool = True) -> ibis.Table:
    """Lines of products with a sku, up to as-of, with `at` (the local day where there
    is one).
    """
    t = expression(lines)
    when = next((c for c in ("ordered_on", "ordered_at") if c in t.columns), None)
    gone = [
        c for c in ("order_id", "sku", *(["customer_id"] * needs_customer)) if c not in t.columns
    ]
    if when is None or gone:
        raise PlaybookError(
            "the lines lack what recommendations need",
            table="order_lines",
            column=", ".join(gone) or "ordered_on",
            do="give order_id, customer_id, sku and a date",
        )
    t = t.mutate(
        at=t[when].cast("timestamp"),
        **({"is_product": True} if "is_product" not in t.columns else {}),
    )
    t = t.filter(
        _.is_product
        & _.sku.notnull()
        & _.order_id.notnull()
        & (_.at <= ibis.literal(moment(as_of)))
    )
    return t.filter(_.customer_id.notnull()) if needs_customer else t


def split_at(
    t: ibis.Table, cut: dt.datetime, max_items: int, max_customers: int, seed: int, split: str
) -> Split:
    """Training and test as sparse matrices; `none` learns from everything and wants
    nothing.
    """
    rng = np.random.default_rng(seed)
    is_late = _.at > ibis.literal(cut)
    if split == "random":
        orders = t.group_by("order_id").aggregate(at=_.at.max()).order_by("order_id").to_pandas()
        dealt = rng.permutation(orders["at"] > cut)
        t = t.inner_join(
            ibis.memtable(pd.DataFrame({"order_id": orders.order_id, "is_dealt": dealt})),
            "order_id",
        )
        is_late = _.is_dealt
    recent = ibis.literal(cut - dt.timedelta(days=RECENT_DAYS))
    pairs = (
        t.filter(~is_late)
        .group_by("customer_id", "sku")
        .aggregate(
            n=_.order_id.nunique(),
            n_recent=_.order_id.nunique(where=_.at > recent),
            first=_.at.min(),
        )
        .order_by("customer_id", "sku")
        .to_pandas()
    )
    later = (
        t.filter(is_late)
        .select("customer_id", "sku")
        .distinct()
        .order_by("customer_id", "sku")
        .to_pandas()
    )
    person, everybody = pd.factorize(pairs["customer_id"])
    thing, things = pd.factorize(pairs["sku"], sort=True)
    later_person = pd.Index(everybody).get_indexer(later["customer_id"])
    both = (
        np.arange(len(everybody)) if split == "none" else np.unique(later_person[later_person >= 0])
    )
    if not len(both):
        raise PlaybookError(
            "no known customer bought both before and after the cut",
            table="order_lines",
            column="customer_id",
            do="shorten the hold-out, or show pairs and popularity only",
        )
    judged = (
        both
        if len(both) <= max_customers
        else both[np.sort(rng.choice(len(both), max_customers, replace=False))]
    )
    others = np.setdiff1d(np.arange(len(everybody)), judged)
    row_of = np.empty(len(everybody), dtype=int)
    row_of[np.r_[judged, others]] = np.arange(len(everybody))
    by_buyers = np.argsort(
        -np.bincount(thing, minlength=len(things)), kind="stable"
    )  # ties by sku: things are sorted
    column_of = np.full(len(things) + 1, -1)  # the last one: a sku never sold
    column_of[by_buyers[:max_items]] = np.arange(min(max_items, len(things)))
    row, column, n = row_of[person], column_of[thing], pairs["n"].to_numpy(float)
    kept, n_items = column >= 0, min(max_items, len(things))
    n_orders, n_recent = (
        np.bincount(column[kept], x[kept], minlength=n_items) for x in (n, pairs["n_recent"])
    )
    span = max((cut - pairs["first"].min()) / pd.Timedelta(days=1), RECENT_DAYS)
    later_thing = pd.Index(things).get_indexer(later["sku"])
    is_judged = (later_person >= 0) & (row_of[later_person] < len(judged))
    later_person, later_thing = later_person[is_judged], later_thing[is_judged]
    later_row = row_of[later_person]
    had = np.isin(
        later_person * (len(things) + 1) + later_thing, person * (len(things) + 1) + thing
    )
    later_column = column_of[later_thing]
    known = later_column >= 0
    return Split(
        pd.Index(things)[by_buyers[:max_items]],
        pd.Index(everybody)[np.r_[judged, others]],
        _sparse(n[kept], row[kept], column[kept], (len(everybody), n_items)),
        np.clip((n_recent + 1) / (n_orders * RECENT_DAYS / span + 1), 0.05, 5.0),
        _sparse(
            np.ones(known.sum()), later_row[known], later_column[known], (len(judged), n_items)
        ),
        np.bincount(later_row, minlength=len(judged)),
        np.bincount(later_row[had], minlength=len(judged)),
        len(both),
        len(things) - n_items,
    )


def _sparse(cells: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> Any:
    from scipy.sparse import csr_matrix

    matrix = csr_matrix((cells, (row, column)), shape=shape)
    matrix.sum_duplicates()
    return matrix


def wanted_of(data: Split, kind: str) -> tuple[Any, np.ndarray]:
    """What the judged customers went on to buy of one kind of items, and how many items
    that was.
    """
    before = data.bought[: len(data.n_wanted)].sign()
    repeat = data.wanted.multiply(before).tocsr()
    return {
        "all": (data.wanted, data.n_wanted),
        "repeat": (repeat, data.n_repeat),
        "new": ((data.wanted - repeat).tocsr(), data.n_wanted - data.n_repeat),
    }[kind]


def lists_of(
    data: Split,
    models: tuple[str, ...],
    weights: dict[str, np.ndarray],
    power: float,
    own_weight: float,
    *,
    kinds: tuple[str, ...] = KINDS,
    depth: int = DEPTH,
    safe: np.ndarray | None = None,
) -> dict[tuple[str, str], np.ndarray]:
    """The judged customers' lists per model and kind: of all items, of those they had
    bought (repeat), of others (new).

    Columns are sorted by buyers and ties go to the lower column, so popularity is the
    order of no scores at all.
    """
    found: dict[tuple[str, str], list[np.ndarray]] = {
        (model, kind): [] for model in models for kind in kinds
    }
    for start in range(0, len(data.n_wanted), BLOCK):
        own = data.bought[start : min(start + BLOCK, len(data.n_wanted))]
        dense, learnt = (
            own.toarray(),
            {name: own.sign() @ matrix for name, matrix in weights.items()},
        )
        had = dense > 0
        unsafe = (
            np.zeros(dense.shape, bool) if safe is None else np.broadcast_to(~safe, dense.shape)
        )
        blocked = {"all": unsafe, "repeat": unsafe | ~had, "new": unsafe | had}
        for model in models:
            if model == "blend":
                scores = dense + own_weight * learnt["ease"] * data.trend**power
            else:
                scores = learnt.get(model, dense if model == "buy_again" else np.zeros(dense.shape))
            for kind in kinds:
                found[model, kind].append(
                    top_items(scores, min(depth, len(data.items)), blocked=blocked[kind])
                )
    return {key: np.concatenate(part) for key, part in found.items()}


def tuned(
    t: ibis.Table,
    cut: dt.datetime,
    holdout_days: int,
    k: int,
    max_items: int,
    ridge: float,
    seed: int,
) -> tuple[float, float, bool]:
    """Trend power and own weight that do best on a validation stretch before the cut;
    the middle ones where too few customers (50) can be judged. The test stretch is
    never looked at.
    """
    try:
        inner = split_at(
            t, cut - dt.timedelta(days=holdout_days), min(max_items, 2_000), BLOCK, seed, "time"
        )
    except PlaybookError:
        return 0.5, 4.0, False
    if inner.n_customers < 50:
        return 0.5, 4.0, False
    weights = ease_weights(inner.bought.sign(), ridge=ridge)
    own = inner.bought[: len(inner.n_wanted)]
    learnt, own, had = own.sign() @ weights, own.toarray(), own.toarray() > 0

    def recall(kind: str, power: float, own_weight: float) -> float:
        wanted, n_wanted = wanted_of(inner, kind)
        scores = own + own_weight * learnt * inner.trend**power
        lists = top_items(scores, min(k, len(inner.items)), blocked=had if kind == "new" else None)
        seen = list_quality(list_hits(lists, wanted), n_wanted, k).recall
        return float(seen[n_wanted > 0].mean()) if (n_wanted > 0).any() else 0.0

    power = max(TREND_POWERS, key=lambda p: recall("new", p, 4.0))
    return power, max(OWN_WEIGHTS, key=lambda w: recall("all", power, w)), True
