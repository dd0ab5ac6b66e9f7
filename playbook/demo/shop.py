"""The closed loop: a shop that can be played month by month, under decisions or as
before.

Everything is in the shop's own terms (channels, skus, customers by their ids, EUR,
dates). `decisions=None` carries on as before. A decision is checked whole before a day
is played.
"""

from __future__ import annotations

import datetime as dt
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from playbook.demo import truth
from playbook.demo.background import RATES, overhead
from playbook.demo.habits import Plan
from playbook.demo.make import gather, play, refuse_others, tables_of, write_folder, write_truth
from playbook.demo.money import order_margin, refund_margin
from playbook.demo.presets import SEED, plan
from playbook.demo.simulate import Simulator
from playbook.demo.streams import key, uniform
from playbook.demo.tables import email_cents
from playbook.demo.world import CHANNELS, PAID, Promotion, World
from playbook.demo.writing import ids
from playbook.errors import PlaybookError

__all__ = ["Shop"]

_KEYS = ("budgets", "prices", "promotions", "supplier_orders", "order_levels", "treatments")
_COLUMNS = {
    "promotions": ("starts_on", "ends_on", "depth_share", "skus", "promo_id"),
    "supplier_orders": ("sku", "units", "ordered_on"),
    "treatments": ("customers", "depth_share", "cost", "holdout_share", "treatment_id"),
}
MOST = 1_000_000_000  # EUR or units of one decision: far above any shop, far below what the money columns hold
_RATE = {kind: value for kind, scope, value in RATES if scope == "all"}


class _Lazy(Mapping):
    """Named things, made when first asked for: one maker each, or one maker for all."""

    def __init__(self, makers: dict[str, Callable[[], Any]] | Callable[[], dict[str, Any]]) -> None:
        self._makers, self._made = makers, {}

    def _whole(self) -> Mapping[str, Any]:
        if callable(self._makers):
            self._made = self._makers()
            self._makers = dict.fromkeys(self._made, dict)
        return self._makers

    def __getitem__(self, name: str) -> Any:
        maker = self._whole()[name]
        if name not in self._made:
            self._made[name] = maker()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole())

    def __len__(self) -> int:
        return len(self._whole())


def _require_same(sim: Simulator, evening: int) -> None:
    if sim.day != evening:
        raise PlaybookError(
            "The shop has been played on since", do="ask the shop for its tables or its truth again"
        )


class Shop:
    """One simulated shop on the evening of the last day of `month`. `tables` is what it
    sees, `truth` what is so.
    """

    def __init__(
        self,
        *,
        seed: int = SEED,
        preset: str = "tiny",
        customers: int | None = None,
        months: int | None = None,
        skus: int | None = None,
        until: str = "2026-10",
        switches: dict[str, bool] | None = None,
    ) -> None:
        """Plays the history up to the end of `until`. Refuses unknown presets or
        switches and impossible sizes.
        """
        asked, last, on = plan(
            preset,
            customers=customers,
            months=months,
            skus=skus,
            until=until,
            seed=seed,
            switches=switches,
        )
        if not asked.has_orders:
            raise PlaybookError(
                "A shop that has not opened cannot be played", do="choose another preset"
            )
        self._sim = Simulator(World(asked, last, seed, on))
        self._chunks = [play(self._sim) for _ in range(asked.months)]
        self._forget()

    def _forget(self) -> None:
        self._seen = self._true = None

    @property
    def month(self) -> str:
        """The last month played, YYYY-MM."""
        return str((self._sim.world.day0 + self._sim.day - 1).astype("datetime64[M]"))

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
        treatments [{customers, depth_share, cost, holdout_share, treatment_id}].
        PlaybookError, before anything is played, for anything that cannot be done.
        """
        self._chunks.append(play(self._sim, self._plan(decisions)))
        self._forget()
        return self.tables

    @property
    def tables(self) -> Mapping[str, Any]:
        """Every contract table as the shop sees it tonight (pyarrow), made when first
        asked for.
        """
        if self._seen is None:
            sim, chunks = self._sim, list(self._chunks)
            evening = sim.day

            def make() -> dict[str, Any]:
                _require_same(sim, evening)
                return tables_of(sim, chunks)

            self._seen = _Lazy(make)
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
    def truth(self) -> Mapping[str, pd.DataFrame]:
        """What is so tonight, frame by frame as in truth/ (see truth.py); `customers`
        plays whole futures.
        """
        if self._true is None:
            sim, chunks, until = self._sim, list(self._chunks), self._sim.day - 1
            goods: dict[str, pd.DataFrame] = {}

            def sku(name: str) -> pd.DataFrame:
                if not goods:
                    goods.update(truth.sku_truth(sim, chunks, until))
                return goods[name]

            self._true = _Lazy(
                {
                    name: (lambda make=make: (_require_same(sim, until + 1), make())[1])
                    for name, make in {
                        "customers": lambda: truth.customer_truth(sim, gather(chunks)),
                        "channels": lambda: truth.channel_truth(chunks),
                        "response": lambda: truth.response_truth(sim, chunks),
                        **{
                            name: (lambda n=name: sku(n))
                            for name in ("skus", "sku_demand", "season", "category_season")
                        },
                        "suppliers": lambda: truth.supplier_truth(sim),
                        "effects": lambda: truth.effect_truth(sim, chunks, until),
                        "incidents": lambda: truth.incident_truth(sim),
                        "orders": lambda: truth.order_truth(chunks, sim.world),
                    }.items()
                }
            )
        return self._true

    def profit(self, first: str | None = None, last: str | None = None) -> pd.DataFrame:
        """One row per month: orders, revenue, margin (contribution margin of the
        month's orders, all their refunds to come taken off), marketing, treatments,
        promotions, holding (capital cost of stock), ordering, overhead and profit, the
        rest of margin. EUR. First differences between two shops are the true value of
        their decisions.
        """
        rows = [self._profit_of(chunk) for chunk in self._chunks]
        frame = pd.DataFrame(rows)
        keep = (frame.month >= (first or frame.month.min())) & (
            frame.month <= (last or frame.month.max())
        )
        return frame[keep].reset_index(drop=True)

    def _profit_of(self, a: dict) -> dict:
        sim, world = self._sim, self._sim.world
        outage = world.incidents.get("tracking_outage")
        lost = (a["o_day"] >= outage[0]) & (a["o_day"] <= outage[1]) if outage else None
        counted = np.isin(a["o_fate"], (0, 3))
        margin = (order_margin(a, lost).sum() + refund_margin(a).sum()) / 100
        days = a["last"] - a["first"]
        rewards = 5.0 * (a["o_new"] & (a["o_cause"] == 7) & (a["o_fate"] == 0)).sum()
        marketing = float(a["spend"].sum()) + rewards + email_cents(sim) * days / 100
        treated = sum(
            t["cost"] * t["is_treated"].sum()
            for t in sim.treatments
            if a["first"] <= t["day"] < a["last"]
        )
        promos = [
            p
            for p in world.promotions(a["last"]) + sim.extra_promotions
            if a["first"] <= p.first < a["last"] and len(p.skus)
        ]
        stock = float((a["stock"][:, 0].astype(float) @ a["env"]["cost"]).sum()) / 100
        placed = {
            line["po_id"]
            for line in sim.purchase_orders
            if a["first"] <= line["ordered"] < a["last"]
        }
        row = {
            "month": str((world.day0 + a["first"]).astype("datetime64[M]")),
            "orders": int(counted.sum()),
            "revenue": float(a["o_revenue"][counted].sum()) / 100,
            "margin": float(margin),
            "marketing": marketing,
            "treatments": float(treated),
            "promotions": sum(p.cost for p in promos) / 100,
            "holding": stock * _RATE["capital_share_per_year"] / 365,
            "ordering": _RATE["ordering_cost_per_po"] * len(placed),
            "overhead": overhead(world),
        }
        return {**row, "profit": row["margin"] - sum(row[c] for c in list(row)[4:])}

    # --- decisions --------------------------------------------------------------------------------------------------

    def _plan(self, decisions: dict | None) -> Plan:
        """The decisions in the simulator's own numbers; refuses what cannot be done."""
        if decisions is None:
            return Plan()
        if not isinstance(decisions, Mapping):
            raise PlaybookError(
                f"Decisions are a dictionary, not {type(decisions).__name__}",
                do=f"use the keys {', '.join(_KEYS)}",
            )
        unknown = sorted(set(decisions) - set(_KEYS))
        if unknown:
            raise PlaybookError(
                f"There is no decision {unknown[0]!r}", do=f"use the keys {', '.join(_KEYS)}"
            )
        wanted = {name: value for name, value in decisions.items() if value is not None}
        out = Plan()
        for name in ("budgets", "prices", "order_levels"):
            if not isinstance(wanted.get(name, {}), Mapping):
                raise PlaybookError(
                    f"The {name} are {wanted[name]!r}", do="write them as {name: value}"
                )
        if "budgets" in wanted:
            out.budgets = self._budgets(wanted["budgets"])
        if "prices" in wanted:
            out.prices = {
                self._sku(s): max(round(self._amount(v, f"price of {s}", above=True) * 100), 1)
                for s, v in wanted["prices"].items()
            }
        if "promotions" in wanted:
            out.promotions = [
                self._promotion(i, p)
                for i, p in enumerate(_rows(wanted["promotions"], "promotions"))
            ]
        if "supplier_orders" in wanted:
            out.supplier_orders = self._orders(wanted["supplier_orders"])
        if "order_levels" in wanted:
            out.order_levels = {
                self._sku(s): self._levels(s, v) for s, v in wanted["order_levels"].items()
            }
        if "treatments" in wanted:
            out.treatments = [
                self._treatment(i, t)
                for i, t in enumerate(_rows(wanted["treatments"], "treatments"))
            ]
            names = [t["treatment_id"] for t in out.treatments + self._sim.treatments]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise PlaybookError(
                    f"There are two treatments {twice[0]!r}", do="give it another treatment_id"
                )
        return out

    @staticmethod
    def _amount(value: object, what: str, *, above: bool = False) -> float:
        try:
            amount = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            raise PlaybookError(
                f"The {what} is {value!r}, not a number", do="give an amount"
            ) from None
        if not 0 <= amount <= MOST or (above and amount == 0):
            least = "above 0" if above else "of 0 or more"
            raise PlaybookError(
                f"The {what} is {value!r}", do=f"give an amount {least}, at most {MOST:,}"
            )
        return amount

    def _budgets(self, budgets: Mapping[str, float]) -> dict[int, float]:
        names = {CHANNELS[c]: c for c in PAID}
        for name in budgets:
            if name not in names:
                raise PlaybookError(
                    f"There is no budget for channel {name!r}", do=f"choose from {', '.join(names)}"
                )
        return {
            names[name]: self._amount(value, f"budget of {name}") for name, value in budgets.items()
        }

    def _sku(self, sku: object) -> int:
        world = self._sim.world
        found = np.flatnonzero(world.sku_ids == str(sku))
        if not len(found) or world.launched[found[0]] >= self._sim.day:
            raise PlaybookError(
                f"There is no sku {sku!r}",
                table="products",
                column="sku",
                do="name a sku of the products table",
            )
        return int(found[0])

    def _day(self, value: object, what: str) -> int:
        sim = self._sim
        first = sim.world.day0 + sim.day
        last = (first.astype("datetime64[M]") + 1).astype("datetime64[D]") - 1
        try:
            day = first if value is None else np.datetime64(pd.Timestamp(value).date(), "D")  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise PlaybookError(
                f"The {what} {value!r} is not a day", do="write YYYY-MM-DD"
            ) from None
        if not first <= day <= last:
            raise PlaybookError(
                f"The {what} {day} lies outside the month to be played",
                do=f"choose a day from {first} to {last}",
            )
        return int((day - sim.world.day0).astype(int))

    def _units(self, value: object, what: str) -> int:
        units = self._amount(value, what)
        if units != int(units) or units > 10_000_000:
            raise PlaybookError(f"The {what} are {value!r}", do="give whole units")
        return int(units)

    def _promotion(self, number: int, p: Mapping[str, Any]) -> Promotion:
        sim = self._sim
        first, last = (
            self._day(p.get("starts_on"), "start of the promotion"),
            self._day(p.get("ends_on"), "end of the promotion"),
        )
        depth = self._amount(p.get("depth_share"), "depth of the promotion", above=True)
        if last < first or depth > 0.9:
            raise PlaybookError(
                f"A promotion from {p.get('starts_on')} to {p.get('ends_on')} at {depth} cannot be run",
                do="end it after it starts, at a depth of at most 0.9",
            )
        skus = p.get("skus")
        rows = (
            np.array(
                sorted({self._sku(s) for s in _listed(skus, "skus of the promotion")}), np.int64
            )
            if skus is not None
            else np.flatnonzero(sim.world.launched < sim.day)
        )
        active = max(int((sim.world.launched < sim.day).sum()), 1)
        lift = min(1.4 * depth * math.sqrt(len(rows) / active), 0.6) * sim.world.on["promotions"]
        return Promotion(
            str(p.get("promo_id") or f"{self._next()}-decided-{number + 1}"),
            "decided",
            first,
            last,
            depth,
            rows,
            lift,
            0,
        )

    def _next(self) -> str:
        return str((self._sim.world.day0 + self._sim.day).astype("datetime64[M]"))

    def _orders(self, orders: object) -> list[tuple[int, int, int]]:
        if isinstance(orders, pd.DataFrame):
            orders = orders.to_dict("records")
        elif isinstance(orders, Mapping):
            orders = [{"sku": s, "units": u} for s, u in orders.items()]
        rows = _rows(orders, "supplier_orders")
        total: dict[tuple[int, int], int] = {}
        for row in rows:
            day = self._day(row.get("ordered_on"), "day of the supplier order")
            place = day, self._sku(row.get("sku"))
            total[place] = total.get(place, 0) + self._units(
                row.get("units"), f"units of {row.get('sku')}"
            )
        return [(day, sku, units) for (day, sku), units in sorted(total.items()) if units]

    def _levels(self, sku: object, levels: object) -> tuple[int, int]:
        try:
            reorder, up_to = levels  # type: ignore[misc]
        except (TypeError, ValueError):
            raise PlaybookError(
                f"The order levels of {sku} are {levels!r}", do="give (reorder_at, up_to) in units"
            ) from None
        pair = (
            self._units(reorder, f"reorder level of {sku}"),
            self._units(up_to, f"order-up-to level of {sku}"),
        )
        if pair[1] < pair[0]:
            raise PlaybookError(
                f"The order levels of {sku} are {pair}", do="order up to at least the reorder level"
            )
        return pair

    def _treatment(self, number: int, t: Mapping[str, Any]) -> dict:
        sim, p = self._sim, self._sim.people
        known = np.flatnonzero(~p["is_guest"][: sim.n])
        place = dict(zip(ids(p["key"][known], 12, "C").to_pylist(), known.tolist(), strict=True))
        wanted = [str(c) for c in _listed(t.get("customers"), "customers of the treatment")]
        missing = [c for c in wanted if c not in place]
        if missing:
            raise PlaybookError(
                f"There is no customer {missing[0]!r}",
                table="customers",
                rows=len(missing),
                do="name customers of the customers table",
            )
        depth = self._amount(t.get("depth_share", 0.0), "depth of the treatment")
        held = self._amount(t.get("holdout_share", 0.0), "share held out")
        if depth > 0.9 or held > 1:
            raise PlaybookError(
                f"A treatment of depth {depth} with {held} held out cannot be run",
                do="keep depth up to 0.9 and the hold-out up to 1",
            )
        who = np.array(sorted({place[c] for c in wanted}), np.int64)
        name = str(t.get("treatment_id") or f"{self._next()}-treatment-{number + 1}")
        is_treated = uniform(key(p["key"][who], "holdout", name), "arm") >= held
        return {
            "treatment_id": name,
            "who": who,
            "is_treated": is_treated,
            "depth": depth,
            "kind": name,
            "planned_share": 1 - held,
            "cost": self._amount(t.get("cost", 0.35), "cost per treated customer"),
        }


def _rows(rows: object, name: str) -> list[Mapping[str, Any]]:
    """The rows of a decision, each with known names only: a misspelt one would
    otherwise be passed over.
    """
    found = (
        None
        if isinstance(rows, (str, bytes, Mapping)) or not isinstance(rows, Iterable)
        else list(rows)
    )
    if found is None or not all(isinstance(row, Mapping) for row in found):
        raise PlaybookError(
            f"The {name} are {rows!r}", do=f"write a list of {{{', '.join(_COLUMNS[name])}}}"
        )
    unknown = sorted({str(key) for row in found for key in row} - set(_COLUMNS[name]))
    if unknown:
        raise PlaybookError(
            f"The {name} have no {unknown[0]!r}", do=f"use {', '.join(_COLUMNS[name])}"
        )
    return found


def _listed(values: object, what: str) -> list:
    """A list of names, not empty; one name alone is not taken apart into its letters."""
    found = (
        []
        if values is None or isinstance(values, (str, bytes)) or not isinstance(values, Iterable)
        else [*values]
    )
    if not found:
        raise PlaybookError(f"The {what} are {values!r}", do="give a list of them")
    return found
