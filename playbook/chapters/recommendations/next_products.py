"""One list a customer: what stands in the next message of each customer who consented.

The list is no programme of its own. Whom the shop speaks to in a month, and who is held
out, is said once (chapter 11, `people`); the list fills the message such a customer gets
anyway. Some of them, drawn apart from every programme's hold-out, get it with the best
sellers instead: only they say what own lists add. Whoever a running campaign holds out is
on no list.

Listed is what may be shown (`recommend.unsafe_items`), is in stock for the days in which a
message is read, and was not just bought: neither within `JUST_DAYS`, nor sooner than a
quarter of those who bought the item again did, nor within `ONCE_DAYS` where it is not known
to be bought again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame, Series

from playbook.chapters.recommendations.nextbuy import PLAIN_BLEND, Blend, Learnt, lists_of, moment
from playbook.chapters.recommendations.pairs import replenishment
from playbook.chapters.recommendations.recommend import unsafe_items
from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.methods.ease import list_hits
from playbook.methods.experiment import sample_size
from playbook.methods.hashing import arms
from playbook.methods.proportions import quantile_of_normal, wilson
from playbook.store import expression
from playbook.tables import frame_of, returns

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = [
    "Shelf",
    "list_decision",
    "list_plan",
    "list_trial",
    "next_products",
    "safe_skus",
    "wait_days",
    "who_may_get_one",
]

#: days in which nothing bought is listed again, and in which nothing is that is not known to
#: be bought again
JUST_DAYS, ONCE_DAYS = 30, 120
#: days a message is read for: the stock has to last them at the pace of `PACE_DAYS`
COVER_DAYS, PACE_DAYS = 14, 90
#: a stock figure older than five weeks is not the stock of today
STALE_DAYS = 35
#: days from its start on in which a campaign's hold-out is spoken to by nobody
RUNNING_DAYS = 30
#: places of a list, and customers listed: those who bought last
PLACES, MOST_CUSTOMERS = 3, 20_000
#: relative lift of the buyers that the hold-out should show; past a doubling it shows nothing
LIFT, MOST_LIFT = 0.10, 1.0


@dataclass(frozen=True)
class Shelf:
    """What may stand on a list: the skus that may be listed, the chapter's table
    `replenishment`, and the weights of its blend.
    """

    safe: Collection[str]
    again: DataFrame
    blend: Blend = PLAIN_BLEND


@dated
def safe_skus(sku_days: Table | DataFrame, unsafe: DataFrame, *, as_of: dt.date) -> set[str]:
    """Skus that are not in `unsafe` and whose newest stock figure, at most five weeks old,
    lasts `COVER_DAYS` at the pace of the last `PACE_DAYS`. Where no sku has a stock figure
    the shop keeps none, and only `unsafe` says what may not be shown.
    """
    today = moment(as_of).date()
    recent = _.day_on > ibis.literal(today - dt.timedelta(days=PACE_DAYS))
    counted = _.on_hand.notnull() & (_.day_on > ibis.literal(today - dt.timedelta(days=STALE_DAYS)))
    days = expression(sku_days).filter(_.day_on <= ibis.literal(today))
    sku = days.group_by("sku").aggregate(
        on_hand=_.on_hand.argmax(_.day_on, where=counted),
        n_counted=_.on_hand.count(),
        units=_.units.sum(where=recent).fill_null(0),
    )
    sku = sku.to_pandas().astype({"on_hand": float, "units": float})
    lasts = (sku.on_hand > 0) & (sku.on_hand >= sku.units / PACE_DAYS * COVER_DAYS)
    is_safe = ~sku.sku.isin(unsafe.sku) & (lasts | (sku.n_counted.sum() == 0))
    return set(sku.sku[is_safe])


def wait_days(again: DataFrame, skus: Collection[str]) -> Series:
    """Days after a purchase before each sku may be listed again, by sku: a quarter of those
    who bought it again had done so, at least `JUST_DAYS`; `ONCE_DAYS` where the chapter's
    table `replenishment` does not know it bought again.
    """
    early = again.set_index("sku").early_days.astype(float)
    return early.clip(lower=JUST_DAYS).reindex(skus).fillna(ONCE_DAYS)


@dated
def who_may_get_one(
    customers: Table, *, as_of: dt.date, treatments: Table | None = None
) -> DataFrame:
    """Customers who consented, one row each: customer_id, is_held_elsewhere (a campaign that
    began within `RUNNING_DAYS` holds them out). An unknown consent is none.
    """
    people = expression(customers).filter(_.is_contactable.fill_null(False))
    people = people.select("customer_id").order_by("customer_id").to_pandas()
    held: set[str] = set()
    if treatments is not None:
        since = ibis.literal(moment(as_of).date() - dt.timedelta(days=RUNNING_DAYS))
        running = expression(treatments).filter(
            (_.arm == "holdout") & (_.assigned_at.date() > since)
        )
        held = set(running.select("customer_id").to_pandas().customer_id)
    return people.assign(is_held_elsewhere=people.customer_id.isin(held))


@returns("recommendations.next_plan")
def list_plan(
    customer_days: Table,
    people: DataFrame,
    *,
    as_of: dt.date,
    days: int = 90,
    lift: float = LIFT,
) -> DataFrame:
    """How many of those who may get a list (`people`, see `who_may_get_one`) are to get the
    best sellers instead, to see a relative `lift` of the share who buy within `days`: what
    was seen of those who had bought before the last `days`. Where half of them would show
    less than a doubling, half; where not even that, nobody.
    """
    today = moment(as_of).date()
    cut = ibis.literal(today - dt.timedelta(days=days))
    bought = expression(customer_days).filter((_.orders > 0) & (_.day_on <= ibis.literal(today)))
    found = bought.group_by("customer_id").aggregate(
        first=_.day_on.min(),
        last=_.day_on.max(),
    )
    found = found.mutate(is_old=_["first"] <= cut, is_back=_["last"] > cut).to_pandas()
    found = found.merge(people, on="customer_id")
    mine, n_held = found[~found.is_held_elsewhere], int(found.is_held_elsewhere.sum())
    judged = mine[mine.is_old]
    n, n_back = len(judged), int(judged.is_back.sum())
    share = n_back / n if n else np.nan
    low, high = wilson(n_back, n) if n else (np.nan, np.nan)
    held_share, visible = _held(share, min(len(mine), MOST_CUSTOMERS), lift)
    row = (
        len(mine),
        n_held,
        n,
        n_back,
        days,
        share,
        low,
        high,
        held_share,
        visible,
    )
    return frame_of("recommendations.next_plan", [row])


def _held(share: float, n: int, lift: float) -> tuple[float, float]:
    """The share to hold out, and the relative lift that shows."""
    if not 0 < share * (1 + lift) < 1 or n < 2:
        return 0.0, np.nan
    need = float(sample_size(share, lift).n_per_arm.iloc[0])
    if 2 * need <= n:
        return need / n, lift
    visible = lift * float(np.sqrt(need / (n / 2)))
    return (0.5 if visible <= MOST_LIFT else 0.0), visible


@returns("recommendations.next_products")
def next_products(
    known: Learnt,
    shelf: Shelf,
    people: DataFrame,
    *,
    held_share: float = 0.0,
    n: int = PLACES,
    most_customers: int = MOST_CUSTOMERS,
) -> DataFrame:
    """The `n` next products of each customer in `people` (customer_id, is_held_elsewhere) who
    ever bought and whom no campaign holds out, the last to buy first where there are more
    than `most_customers`. The arm hangs on the id alone, by a draw of its own.
    """
    data = known.data
    of = DataFrame({"customer_id": data.customers}).merge(people, on="customer_id", how="left")
    chosen = np.flatnonzero(of.is_held_elsewhere.eq(False))
    if len(chosen) > most_customers:
        chosen = _last_to_buy(known, chosen, most_customers)
    if not len(chosen):
        return frame_of("recommendations.next_products", [])
    ids = pd.Series(data.customers[chosen].to_numpy(object))
    mine = replace(
        data,
        customers=data.customers[chosen],
        bought=data.bought[chosen],
        n_wanted=np.zeros(len(chosen), int),
    )
    lists = _lists(replace(known, data=mine), shelf, n, "blend")["blend", "all"]
    rows, places = np.nonzero(lists >= 0)
    item = lists[rows, places]
    is_known = np.asarray(mine.bought[rows, item]).ravel() > 0
    table = DataFrame(
        {
            "customer_id": ids.to_numpy()[rows],
            "arm": arms("next products/" + ids, held_share)[rows],
            "rank": places + 1,
            "sku": mine.items.to_numpy()[item],
            "rule": np.where(is_known, "buy_again", "discover"),
        }
    )
    return table.sort_values(["customer_id", "rank"], ignore_index=True)


@returns("recommendations.next_trial")
def list_trial(
    known: Learnt,
    sku_days: Table | DataFrame,
    *,
    blend: Blend = PLAIN_BLEND,
    n: int = PLACES,
    level: float = 0.95,
) -> DataFrame:
    """Own lists beside the best sellers, both by today's rules as they stood at the cut of
    the leaderboard (`known`), judged on what those customers bought since. Of whoever bought
    nothing since, neither list says anything: they are left out.
    """
    day = known.at.date()
    unsafe = unsafe_items(sku_days, as_of=day)
    safe = safe_skus(sku_days, unsafe, as_of=day)
    shelf = Shelf(
        safe,
        replenishment(known.lines, as_of=day),
        blend,
    )
    lists = _lists(known, shelf, n, "blend", "popularity")
    hits = {
        name: list_hits(lists[model, "all"], known.data.wanted).any(axis=1)
        for name, model in {"own list": "blend", "best sellers": "popularity"}.items()
    }
    gain = hits["own list"].astype(float) - hits["best sellers"]
    spread = gain.std(ddof=1) if len(gain) > 1 else np.nan
    half = quantile_of_normal(level) * spread / np.sqrt(len(gain))
    rows = []
    for name, hit in hits.items():
        low, high = wilson(hit.sum(), len(hit), level)
        against = (
            gain.mean(),
            gain.mean() - half,
            gain.mean() + half,
        )
        told = against if name == "own list" else (np.nan,) * 3
        rows.append((name, n, len(hit), int(hit.sum()), hit.mean(), low, high, *told))
    return frame_of("recommendations.next_trial", rows)


def list_decision(trial: DataFrame, plan: DataFrame, listed: DataFrame, **days: Any) -> DataFrame:
    """One row: lists into the messages, with those held out beside them, where they surely
    found more than the best sellers did and a hold-out can show it; else the best sellers
    stay. `days`: due_on, revisit_on. No row where nobody is on a list.
    """
    if listed.empty:
        return decision_rows([])
    own, asked = trial.iloc[0], plan.iloc[0]
    is_better = bool(own.hits_more_low > 0) and asked.holdout_share > 0
    first = listed.drop_duplicates("customer_id")
    row = propose(
        "recommendations.next_list" if is_better else "recommendations.next_list_waits",
        "",
        size=float((first.arm == "treat").sum()) if is_better else float(len(first)),
        evidence_value=own.hits_more,
        n_held=int((first.arm == "holdout").sum()),
        share=asked.holdout_share,
        lift=asked.detectable_lift,
        own=own.hit_share,
        best=trial.iloc[1].hit_share,
        n=own.n_customers,
        **days,
    )
    return decision_rows([row])


def _last_to_buy(known: Learnt, chosen: np.ndarray, most: int) -> np.ndarray:
    """The rows among `chosen` of those who bought last; ties go by id."""
    last = known.lines.group_by("customer_id").aggregate(last=_.at.max()).to_pandas()
    ids = known.data.customers[chosen]
    at = last.set_index("customer_id")["last"].reindex(ids)
    order = np.lexsort((ids.to_numpy(object).astype(str), -at.astype("int64").to_numpy()))
    return np.sort(chosen[order[:most]])


def _lists(known: Learnt, shelf: Shelf, n: int, *models: str) -> dict[tuple[str, str], np.ndarray]:
    """Lists of the first customers of `known` by each model."""
    data = known.data
    return lists_of(
        data,
        models,
        {"ease": known.ease},
        shelf.blend,
        depth=n,
        safe=data.items.isin(shelf.safe),
        too_soon=_too_soon(known, shelf.again),
        kinds=("all",),
    )


def _too_soon(known: Learnt, again: DataFrame) -> csr_matrix:
    """Customers x items, 1 where the last purchase is too young to show the item again."""
    from scipy.sparse import csr_matrix

    data, now = known.data, known.at
    wait = wait_days(again, data.items).to_numpy()
    since = now - dt.timedelta(days=float(wait.max(initial=0.0)))
    last = known.lines.filter((_.at > ibis.literal(since)) & (_.at <= ibis.literal(now)))
    last = last.group_by("customer_id", "sku").aggregate(last=_.at.max()).to_pandas()
    row, column = data.customers.get_indexer(last.customer_id), data.items.get_indexer(last.sku)
    age = ((pd.Timestamp(now) - last["last"]) / pd.Timedelta(days=1)).to_numpy(float)
    is_young = (row >= 0) & (column >= 0) & (age < wait[column])
    row, column = row[is_young], column[is_young]
    shape = (len(data.customers), len(data.items))
    return csr_matrix(
        (np.ones(len(row)), (row, column)),
        shape=shape,
    )
