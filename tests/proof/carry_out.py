"""A pack's decisions in the terms of the simulated shop: what each row would have somebody
do, as `Shop.advance` takes it.

A row that changes nothing the simulator knows of (a page to look into, a list to test, a
second source to find) is carried out as nothing: `None`, with the reason. It costs its
reader time and brings nothing that could be counted, and is counted as that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.monthly_review.ranking import claims

Move = dict[str, Any]
#: decisions that stand, said again for every month of the period
STANDING = ("budget_shares", "order_levels")
#: rows about prices that are no move of a price
PRICE_FAULTS = ("assortment_pricing.price_error", "assortment_pricing.category_price")


class Pack:
    """The result tables a row of the list refers to, by chapter number and name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def table(self, number: str, name: str) -> DataFrame:
        """A result table; one without columns where the chapter wrote none."""
        paths = sorted(self.folder.glob(f"{number}_*/tables/{name}.parquet"))
        return pd.read_parquet(paths[0]) if paths else DataFrame()

    def ranked(self) -> DataFrame:
        """The review's list, best first."""
        return self.table("11", "ranked")

    def stated(self, rows: DataFrame) -> DataFrame:
        """What rows say they bring in the quarter ahead, before discount: claim, low, high."""
        return claims(rows, volume=self.table("02", "volume_ahead"))


def carried_out(row: Any, pack: Pack, shop: Any) -> tuple[Move | None, str]:
    """What one row of the ranked list is in the simulator's keys, and why it is nothing
    where it is nothing.
    """
    number = str(row.notebook)[:2]
    by = _ROOMS.get(number)
    return by(row, pack, shop) if by else (None, "outside")


def _channel(row: Any, pack: Pack, _: Any) -> tuple[Move | None, str]:
    now = pack.table("03", "budget").set_index("channel").now
    if row.action == "pause":
        return {"budget_shares": {row.subject: 0.0}}, ""
    if row.action not in ("raise", "lower") or row.subject not in now.index:
        return None, "holds"
    spent = float(now[row.subject])
    return {"budget_shares": {row.subject: max(1 + float(row.size) / max(spent, 1.0), 0.0)}}, ""


def _segment(row: Any, pack: Pack, shop: Any) -> tuple[Move | None, str]:
    if row.subject_type != "segment" or row.action == "leave alone":
        return None, "nobody is contacted"
    people = pack.table("06", "audience")
    people = people[people.segment == row.subject]
    if people.empty:
        return None, "nobody is contacted"
    held = float((people.arm == "holdout").mean())
    if row.action == "widen campaign":
        # the campaign that won, once more: its depth and cost, and a hold-out of its size
        past = [t for t in shop._sim.treatments if str(t.treatment_id) in str(row.reason)]
        held = max(1 - float(row.size) / len(people), 0.0)
        again = {"depth_share": past[-1].depth, "cost": past[-1].cost} if past else {}
        asked = {"customers": people.customer_id.tolist(), "holdout_share": held, **again}
        return {"treatments": [asked]}, ""
    name = re.sub(r"\W+", "-", f"{row.action}-{row.subject}")
    asked = {"customers": people.customer_id.tolist(), "holdout_share": held, "cost": 0.35}
    return {"treatments": [{**asked, "treatment_id": name}]}, ""


def _goods(row: Any, pack: Pack, _: Any) -> tuple[Move | None, str]:
    if row.action == "order":
        lines = pack.table("07", "purchase_list")
        mine = lines[lines.supplier_id == row.subject]
        units = mine.order_units.astype(int)
        rows = [{"sku": s, "units": n} for s, n in zip(mine.sku, units, strict=True)]
        levels = _levels(row, pack) if getattr(row, "effect_period", "") == "quarter" else {}
        return {"extra_orders": rows} | ({"order_levels": levels} if levels else {}), ""
    if row.action == "chase overdue lines":
        lines = pack.table("07", "chase")
        mine = lines[(lines.supplier_id == row.subject) & (lines.at_stake > 0)]
        rows = mine[["po_id", "sku"]].to_dict("records")
        return {"hastened": {"chased": rows}}, ""
    if row.action == "clear":
        return {"promotions": [{"depth_share": 0.3, "skus": [row.subject]}]}, ""
    return None, "outside: the simulator has four suppliers and no more"


def _levels(row: Any, pack: Pack) -> dict[str, tuple[int, int]]:
    """Reorder point and level of each sku of a supplier, as the list says to keep them."""
    table = pack.table("07", "reorder")
    mine = table[(table.supplier_id == row.subject) & table.rop.notna() & table.up_to.notna()]
    point = np.maximum(np.ceil(mine.rop) - 1, 0).astype(int)
    top = np.maximum(np.ceil(mine.up_to), point + 1).astype(int)
    return dict(zip(mine.sku, zip(point.tolist(), top.tolist(), strict=True), strict=True))


def _journey(row: Any, _: Pack, shop: Any) -> tuple[Move | None, str]:
    if row.action == "ship":
        return {"shipped": [str(row.subject).split(":")[0]]}, ""
    if row.action == "take up with the carrier":
        return None, "outside: the simulator's carriers do not listen"
    if row.action in ("mend", "test a fix"):
        return None, "nothing is broken any more"
    return None, "changes nothing by itself"


def _range(row: Any, pack: Pack, shop: Any) -> tuple[Move | None, str]:
    if getattr(row, "kind", "") in PRICE_FAULTS:
        return None, "outside: the simulator's price errors end by themselves"
    if "price" in row.action and row.verb in ("raise", "lower"):
        return {"prices": {row.subject: round(float(row.size), 2)}}, ""
    if "promotion" in row.action:
        return _promotion(row, pack, shop)
    if row.action == "delist":
        return {"order_levels": {row.subject: (0, 0)}}, ""
    if row.action == "quality hold":
        return {"withheld": [row.subject]}, ""
    return None, "outside: a page is no lever of the simulator"


def _promotion(row: Any, _: Pack, shop: Any) -> tuple[Move | None, str]:
    """Repeating a yearly sale is what the shop does anyhow; stopping one cancels it."""
    year, _dash, name = str(row.subject).partition("-")
    again = f"{int(year) + 1}-{name}"
    sim = shop._sim
    ahead = {p.promo_id for p in sim.world.promotions(sim.day + 92) if p.first >= sim.day}
    if row.verb == "stop" and again in ahead:
        return {"cancelled": [again]}, ""
    if row.verb == "repeat":
        return None, "the calendar holds it anyhow"
    return None, "not within the period"


_ROOMS: dict[str, Callable[[Any, Pack, Any], tuple[Move | None, str]]] = {
    "03": _channel,
    "06": _segment,
    "07": _goods,
    "08": _journey,
    "10": _range,
}


def together(moves: list[Move]) -> Move:
    """Several decisions as one month's; what speaks of one thing twice keeps the first."""
    joint: Move = {}
    for move in moves:
        for name, value in move.items():
            if isinstance(value, dict):
                inner = joint.setdefault(name, {})
                for key, item in value.items():
                    if isinstance(item, list):
                        inner.setdefault(key, []).extend(item)
                    else:
                        inner.setdefault(key, item)
            else:
                held = joint.setdefault(name, [])
                held += [item for item in value if item not in held]
    return joint
