"""The closed loop: a shop that can be played month by month, under decisions or as
before.

Everything is in the shop's own terms (channels, skus, customers by their ids, EUR,
dates). `decisions=None` carries on as before. A decision is checked whole before a day
is played.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from pandas import DataFrame

from playbook.demo.ads import email_cents
from playbook.demo.background import RATES, overhead
from playbook.demo.decided import plan_of
from playbook.demo.make import (
    play,
    refuse_others,
    tables_of,
    truth_makers,
    write_folder,
    write_truth,
)
from playbook.demo.money import order_margin, refund_margin
from playbook.demo.presets import Asked
from playbook.demo.records import Record
from playbook.demo.simulate import Simulator
from playbook.demo.world import drawn
from playbook.errors import PlaybookError


class Evening(Mapping):
    """Named frames of one evening, made when first asked for: one maker each, or one for
    all. What is not made yet is refused once the shop has been played on.
    """

    def __init__(
        self, sim: Simulator, makers: Mapping[str, Callable] | Callable[[], dict[str, Any]]
    ) -> None:
        self._sim, self._day = sim, sim.day
        self._makers, self._made = makers, {}

    def _make(self, maker: Callable[[], Any]) -> Any:
        if self._sim.day != self._day:
            raise PlaybookError("demo.played_on")
        return maker()

    def _names(self) -> Mapping[str, Any]:
        if callable(self._makers):
            self._makers = self._made = self._make(self._makers)
        return self._makers

    def __getitem__(self, name: str) -> Any:
        maker = self._names()[name]
        if name not in self._made:
            self._made[name] = self._make(maker)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())


class Shop:
    """One simulated shop on the evening of the last day of `month`. `tables` is what it
    sees, `truth` what is so.
    """

    def __init__(self, *, preset: str = "tiny", **asked: Unpack[Asked]) -> None:
        """Plays the history up to the end of `until`. What can be asked for is what
        `make_demo` takes; refuses unknown presets or switches and impossible sizes.
        """
        world = drawn(preset=preset, **asked)
        if not world.preset.has_orders:
            raise PlaybookError("demo.not_opened")
        self._sim = Simulator(world)
        self._chunks = [play(self._sim) for _ in range(world.preset.months)]
        self._forget()

    def _forget(self) -> None:
        self._seen = self._true = None

    @property
    def month(self) -> str:
        """The last month played, YYYY-MM."""
        return self._sim.world.month_of(self._sim.day - 1)

    @property
    def as_of(self) -> dt.date:
        """The last day played."""
        return (self._sim.world.day0 + self._sim.day - 1).astype(object)

    def copy(self) -> Shop:
        """An independent twin: the same past, the same chance, its own future
        decisions.
        """
        twin = object.__new__(Shop)
        twin._sim, twin._chunks = self._sim.copy(), list(self._chunks)
        twin._forget()
        return twin

    def reseed(self, future: int) -> Shop:
        """The same shop and people, but from tomorrow chance takes another course
        (numbered from 0). Returns itself.
        """
        self._sim.reseed(future)
        return self

    def advance(self, decisions: dict | None = None) -> Mapping[str, Any]:
        """Plays the next calendar month and returns what the shop now sees (see
        `tables`).

        decisions, all keys optional, None or a missing key meaning as before: budgets
        {channel: EUR of the month}; prices {sku: EUR, from the first of the month until
        changed}; promotions [{starts_on, ends_on, depth_share, skus}]; supplier_orders
        {sku: units} or rows with sku, units and ordered_on (replaces the habit's orders
        of the month); order_levels {sku: (reorder_at, up_to)} in units, looked at every
        Monday against stock plus incoming, the habit going on for other skus;
        treatments [{customers, depth_share, cost, holdout_share, treatment_id}];
        budget_shares {channel: share of what the habit would spend};
        extra_orders, as supplier_orders but beside the habit's; hastened {mode: [{po_id,
        sku}]} with mode chased or expedited, for lines under way; shipped [test_id] of
        checkout tests; withheld [sku], not sold any more; cancelled [promo_id] of the
        shop's own calendar.
        PlaybookError, before anything is played, for anything that cannot be done.
        """
        self._chunks.append(play(self._sim, plan_of(self._sim, decisions)))
        self._forget()
        return self.tables

    @property
    def tables(self) -> Mapping[str, Any]:
        """Every contract table as the shop sees it tonight (pyarrow), made when first
        asked for.
        """
        if self._seen is None:
            sim, chunks = self._sim, list(self._chunks)
            self._seen = Evening(sim, lambda: tables_of(sim, chunks))
        return self._seen

    def store(self, folder: str | os.PathLike, *, with_truth: bool = False) -> Path:
        """Writes what the shop sees into a folder (over an earlier one of the same
        shop); returns the folder.
        """
        folder = Path(folder)
        refuse_others(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_folder(folder, self._sim.world, self._sim.day - 1, dict(self.tables))
        if with_truth:
            write_truth(folder, dict(self.truth))
        return folder

    @property
    def truth(self) -> Mapping[str, DataFrame]:
        """What is so tonight, frame by frame as in truth/ (see truth.py); `customers`
        plays whole futures.
        """
        if self._true is None:
            self._true = Evening(self._sim, truth_makers(self._sim, list(self._chunks)))
        return self._true

    def profit(self, first: str | None = None, last: str | None = None) -> DataFrame:
        """One row per month: orders, revenue, margin (contribution margin of the
        month's orders, all their refunds to come taken off), marketing, treatments,
        promotions, holding (capital cost of stock), ordering (with what haste costs),
        overhead and profit, the rest of margin. EUR. First differences between two shops
        are the true value of their decisions.
        """
        months = [self._sim.world.month_of(chunk.first) for chunk in self._chunks]
        first, last = first or months[0], last or months[-1]
        asked = zip(months, self._chunks, strict=True)
        return DataFrame([self._profit_of(chunk) for m, chunk in asked if first <= m <= last])

    def _profit_of(self, a: Record) -> dict:
        sim, world = self._sim, self._sim.world
        counted = np.isin(a.o_fate, (0, 3))
        lost = world.hits("tracking_outage", a.o_day)
        margin = (order_margin(a, lost).sum() + refund_margin(a).sum()) / 100
        rewards = 5.0 * (a.o_new & (a.o_cause == 7) & (a.o_fate == 0)).sum()
        mailing = email_cents(world) * (a.last - a.first) / 100
        treated = [t for t in sim.treatments if a.first <= t.day < a.last]
        promos = [
            promo
            for promo in sim.calendar(a.last)
            if a.first <= promo.first < a.last and len(promo.skus)
        ]
        stock = float((a.stock[:, 0].astype(float) @ a.env.cost).sum()) / 100
        placed = {x.po_id for x in sim.purchase_orders if a.first <= x.ordered < a.last}
        hurried = sum(cents for day, cents in sim.hastening if a.first <= day < a.last)
        costs = {
            "marketing": float(a.spend.sum()) + rewards + mailing,
            "treatments": float(sum(t.cost * t.is_treated.sum() for t in treated)),
            "promotions": sum(promo.cost for promo in promos) / 100,
            "holding": stock * RATES["capital_share_per_year"] / 365,
            "ordering": RATES["ordering_cost_per_po"] * len(placed) + hurried / 100,
            "overhead": overhead(world),
        }
        return {
            "month": world.month_of(a.first),
            "orders": int(counted.sum()),
            "revenue": float(a.o_revenue[counted].sum()) / 100,
            "margin": float(margin),
            **costs,
            "profit": float(margin) - sum(costs.values()),
        }
