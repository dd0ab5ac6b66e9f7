"""Decisions in the shop's own terms, checked whole and turned into the simulator's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from pandas import DataFrame, Timestamp

from playbook.demo.habits import Plan
from playbook.demo.records import Record
from playbook.demo.simulate import Simulator
from playbook.demo.streams import key, uniform
from playbook.demo.world import CHANNELS, LAWS, PAID, Promotion
from playbook.demo.writing import customer_ids
from playbook.errors import PlaybookError
from playbook.messages import say

_FIELDS = {
    "promotions": ("starts_on", "ends_on", "depth_share", "skus", "promo_id"),
    "supplier_orders": ("sku", "units", "ordered_on"),
    "treatments": ("customers", "depth_share", "cost", "holdout_share", "treatment_id"),
    "extra_orders": ("sku", "units", "ordered_on"),
    "hastened": ("po_id", "sku"),
}
_KEYS = (
    "budgets",
    "prices",
    "promotions",
    "supplier_orders",
    "order_levels",
    "treatments",
    "budget_shares",
    "extra_orders",
    "hastened",
    "shipped",
    "withheld",
    "cancelled",
)
_HOW = tuple(LAWS.hastened)
# EUR or units of one decision: far above any shop, far below what the money columns hold.
MOST = 1_000_000_000
MOST_UNITS = 10_000_000
MOST_DEPTH = 0.9
_A_YEAR = 366


def plan_of(sim: Simulator, decisions: Mapping[str, Any] | None) -> Plan:
    """The decisions in the simulator's own numbers; refuses what cannot be done."""
    if decisions is None:
        return Plan()
    if not isinstance(decisions, Mapping):
        kind = type(decisions).__name__
        raise PlaybookError("demo.no_decisions", kind=kind, choices=", ".join(_KEYS))
    if unknown := sorted(set(decisions) - set(_KEYS)):
        raise PlaybookError("demo.no_decision", name=unknown[0], choices=", ".join(_KEYS))
    wanted = {name: value for name, value in decisions.items() if value is not None}
    for name in ("budgets", "prices", "order_levels", "hastened", "budget_shares"):
        if not isinstance(wanted.get(name, {}), Mapping):
            raise PlaybookError("demo.no_mapping", name=name, value=wanted[name])
    readers = {
        "budgets": _budgets,
        "prices": _prices,
        "promotions": _promotions,
        "supplier_orders": _orders,
        "order_levels": _all_levels,
        "treatments": _treatments,
        "budget_shares": _budgets,
        "extra_orders": partial(_orders, name="extra_orders"),
        "hastened": _hastened,
        "shipped": _shipped,
        "withheld": _withheld,
        "cancelled": _cancelled,
    }
    return Plan(**{name: readers[name](sim, wanted[name]) for name in _KEYS if name in wanted})


def _budgets(sim: Simulator, budgets: Mapping[str, Any]) -> dict[int, float]:
    names = {CHANNELS[c]: c for c in PAID}
    if unknown := [name for name in budgets if name not in names]:
        raise PlaybookError("demo.no_channel", name=unknown[0], choices=", ".join(names))
    return {names[name]: _amount(value, "budget", name) for name, value in budgets.items()}


def _prices(sim: Simulator, prices: Mapping[str, Any]) -> dict[int, int]:
    cents = {}
    for sku, value in prices.items():
        cents[_sku(sim, sku)] = max(round(_amount(value, "price", sku, above=True) * 100), 1)
    return cents


def _promotions(sim: Simulator, rows: Any) -> list[Promotion]:
    return [
        _promotion(sim, number, row)
        for number, row in enumerate(_rows(rows, "promotions"), start=1)
    ]


def _all_levels(sim: Simulator, levels: Mapping[str, Any]) -> dict[int, tuple[int, int]]:
    return {_sku(sim, sku): _levels(sku, pair) for sku, pair in levels.items()}


def _treatments(sim: Simulator, rows: Any) -> list[Record]:
    treatments = [
        _treatment(sim, number, row)
        for number, row in enumerate(_rows(rows, "treatments"), start=1)
    ]
    names = [t.treatment_id for t in treatments + sim.treatments]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise PlaybookError("demo.two_treatments", name=twice[0])
    return treatments


def _amount(value: object, what: str, name: object = "", *, above: bool = False) -> float:
    """A number of 0 or more, or above 0; `what` and `name` say of what, in a refusal."""
    try:
        amount = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        text = say(f"demo.what_{what}", name=name)
        raise PlaybookError("demo.no_number", what=text, value=value) from None
    if not 0 <= amount <= MOST or (above and amount == 0):
        message = "demo.no_amount_above_0" if above else "demo.no_amount"
        text = say(f"demo.what_{what}", name=name)
        raise PlaybookError(message, what=text, value=value, most=MOST)
    return amount


def _units(value: object, what: str, name: object) -> int:
    units = _amount(value, what, name)
    if units != int(units) or units > MOST_UNITS:
        raise PlaybookError("demo.no_units", what=say(f"demo.what_{what}", name=name), value=value)
    return int(units)


def _sku(sim: Simulator, sku: object) -> int:
    places = np.flatnonzero(sim.world.sku_ids == str(sku))
    if not len(places) or sim.world.launched[places[0]] >= sim.day:
        raise PlaybookError("demo.no_sku", value=sku, table="products", column="sku")
    return int(places[0])


def _day(sim: Simulator, value: object, what: str) -> int:
    """A day of the month to be played, its first one where none is said."""
    first = sim.world.day0 + sim.day
    last = (first.astype("datetime64[M]") + 1).astype("datetime64[D]") - 1
    text = say(f"demo.what_{what}")
    try:
        day = first if value is None else np.datetime64(Timestamp(value).date(), "D")  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise PlaybookError("demo.no_day", what=text, value=value) from None
    if not first <= day <= last:
        raise PlaybookError("demo.day_outside", what=text, day=day, first=first, last=last)
    return int((day - sim.world.day0).astype(int))


def _promotion(sim: Simulator, number: int, row: Mapping[str, Any]) -> Promotion:
    starts, ends, skus = row.get("starts_on"), row.get("ends_on"), row.get("skus")
    first, last = _day(sim, starts, "promotion_start"), _day(sim, ends, "promotion_end")
    depth = _amount(row.get("depth_share"), "promotion_depth", above=True)
    if last < first or depth > MOST_DEPTH:
        raise PlaybookError("demo.no_promotion", starts=starts, ends=ends, depth=depth)
    sold = rows = np.flatnonzero(sim.world.launched < sim.day)
    if skus is not None:
        named = {_sku(sim, sku) for sku in _listed(skus, "promotion_skus")}
        rows = np.array(sorted(named), int)
    part = math.sqrt(len(rows) / max(len(sold), 1))
    lift = min(1.4 * depth * part, 0.6) * sim.world.on.promotions
    name = str(row.get("promo_id") or f"{sim.world.month_of(sim.day)}-decided-{number}")
    return Promotion(name, "decided", first, last, depth, rows, lift, 0)


def _orders(
    sim: Simulator, orders: Any, name: str = "supplier_orders"
) -> list[tuple[int, int, int]]:
    if isinstance(orders, DataFrame):
        orders = orders.to_dict("records")
    elif isinstance(orders, Mapping):
        orders = [{"sku": sku, "units": units} for sku, units in orders.items()]
    total: dict[tuple[int, int], int] = {}
    for row in _rows(orders, name):
        sku = row.get("sku")
        place = _day(sim, row.get("ordered_on"), "order_day"), _sku(sim, sku)
        total[place] = total.get(place, 0) + _units(row.get("units"), "units", sku)
    return [(day, sku, units) for (day, sku), units in sorted(total.items()) if units]


def _hastened(sim: Simulator, modes: Mapping[str, Any]) -> dict[int, str]:
    """Number of each line under way that is hurried -> how; expedited where both are
    asked for.
    """
    if unknown := [how for how in modes if how not in _HOW]:
        raise PlaybookError("demo.no_haste", name=unknown[0], choices=", ".join(_HOW))
    open_lines = {
        (line.po_id, int(line.sku)): number
        for number, line in enumerate(sim.purchase_orders)
        if line.received >= sim.day
    }
    chosen = {}
    for how in sorted(modes):
        for row in _rows(modes[how], "hastened"):
            place = str(row.get("po_id")), _sku(sim, row.get("sku"))
            if place not in open_lines:
                raise PlaybookError("demo.no_open_line", po=row.get("po_id"), sku=row.get("sku"))
            chosen[open_lines[place]] = how
    return chosen


def _shipped(sim: Simulator, tests: Any) -> list[int]:
    known = {test.test_id: test.number for test in sim.experiments() if test.first <= sim.day}
    named = [str(name) for name in _listed(tests, "tests")]
    if unknown := [name for name in named if name not in known]:
        raise PlaybookError("demo.no_test", name=unknown[0], choices=", ".join(known) or "-")
    return sorted({known[name] for name in named})


def _withheld(sim: Simulator, skus: Any) -> list[int]:
    return sorted({_sku(sim, sku) for sku in _listed(skus, "skus")})


def _cancelled(sim: Simulator, promotions: Any) -> list[str]:
    ahead = sim.world.promotions(sim.day + _A_YEAR)
    known = {promo.promo_id for promo in ahead if promo.last >= sim.day}
    named = {str(name) for name in _listed(promotions, "promotions")}
    if unknown := sorted(named - known):
        choices = ", ".join(sorted(known)) or "-"
        raise PlaybookError("demo.not_in_calendar", name=unknown[0], choices=choices)
    return sorted(named)


def _levels(sku: object, levels: Any) -> tuple[int, int]:
    try:
        reorder, up_to = levels
    except (TypeError, ValueError):
        raise PlaybookError("demo.no_levels", name=sku, value=levels) from None
    pair = _units(reorder, "reorder", sku), _units(up_to, "up_to", sku)
    if pair[1] < pair[0]:
        raise PlaybookError("demo.levels_crossed", name=sku, value=pair)
    return pair


def _treatment(sim: Simulator, number: int, row: Mapping[str, Any]) -> Record:
    p = sim.people
    known = np.flatnonzero(~p.is_guest[: sim.n])
    place = dict(zip(customer_ids(p.key[known]).to_pylist(), known.tolist(), strict=True))
    wanted = [str(c) for c in _listed(row.get("customers"), "treatment_customers")]
    if missing := [c for c in wanted if c not in place]:
        n = len(missing)
        raise PlaybookError("demo.no_customers", name=missing[0], table="customers", rows=n)
    depth = _amount(row.get("depth_share", 0.0), "treatment_depth")
    held = _amount(row.get("holdout_share", 0.0), "treatment_holdout")
    if depth > MOST_DEPTH or held > 1:
        raise PlaybookError("demo.no_treatment", depth=depth, held=held)
    who = np.array(sorted({place[c] for c in wanted}), int)
    name = str(row.get("treatment_id") or f"{sim.world.month_of(sim.day)}-treatment-{number}")
    return Record(
        treatment_id=name,
        who=who,
        is_treated=uniform(key(p.key[who], "holdout", name), "arm") >= held,
        depth=depth,
        kind=name,
        planned_share=1 - held,
        cost=_amount(row.get("cost", 0.35), "treatment_cost"),
    )


def _rows(rows: object, name: str) -> list[Mapping[str, Any]]:
    """The rows of a decision, each with known names only: a misspelt one would
    otherwise be passed over.
    """
    choices = ", ".join(_FIELDS[name])
    is_list = isinstance(rows, Iterable) and not isinstance(rows, (str, bytes, Mapping))
    listed = list(rows) if is_list else [None]
    if not all(isinstance(row, Mapping) for row in listed):
        raise PlaybookError("demo.no_rows", name=name, value=rows, choices=choices)
    if unknown := sorted({str(field) for row in listed for field in row} - set(_FIELDS[name])):
        raise PlaybookError("demo.no_field", name=name, field=unknown[0], choices=choices)
    return listed


def _listed(values: object, what: str) -> list:
    """A list of names, not empty; one name alone is not taken apart into its letters."""
    is_list = isinstance(values, Iterable) and not isinstance(values, (str, bytes))
    listed = list(values) if is_list else []
    if not listed:
        raise PlaybookError("demo.no_list", what=say(f"demo.what_{what}"), value=values)
    return listed
