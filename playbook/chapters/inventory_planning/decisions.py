"""The decision rows in which chapter 07 ends. A number nobody knows stays missing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from pandas import DataFrame, Series

from playbook.chapters.inventory_planning.inventory import Reorder
from playbook.decisions import decision_rows, propose
from playbook.messages import say
from playbook.tables import empty

__all__ = ["Losses", "Terms", "stock_decisions"]

MOST_CLEARED = 10  # clearances proposed in a month
MIN_JUDGED = 10  # order lines from which a supplier is judged
STEADY_CV = 0.3  # spread of lead times over their mean up to which a supplier is steady
WEEKS = 13  # of the quarter an effect is stated for


@dataclass(frozen=True)
class Terms:
    """As-of, currency, days between two looks at the list, and the yearly holding share
    of the unit cost (None where not known).
    """

    as_of: dt.date
    currency: str
    review_days: int = 7
    holding_share: float | None = None


@dataclass(frozen=True)
class Losses:
    """What empty shelves cost: `played` (the policies over the weeks played again),
    `weeks` of it, `gap` (lost margin by sku) and `chase` (overdue lines).
    """

    played: DataFrame
    weeks: int
    gap: DataFrame
    chase: DataFrame

    def of_quarter(self, supplier: Series) -> Series:
        """Supplier -> margin a quarter that ordering by the list saves against what the
        shop did, after what the stock costs: the whole shop's from the weeks played
        again, shared out by the margin each supplier's skus lost. `supplier` is by sku.
        Empty where either is not known.
        """
        cost = self.played.set_index("policy").total_cost if len(self.played) else Series()
        if not {BY_COST, AS_BEFORE} <= set(cost.dropna().index) or "lost_margin" not in self.gap:
            return Series(dtype=float)
        saved = max(float(cost[AS_BEFORE] - cost[BY_COST]), 0.0) * WEEKS / self.weeks
        lost = self.gap.set_index("sku").lost_margin.astype(float).clip(lower=0)
        by_supplier = lost.groupby(supplier.reindex(lost.index)).sum()
        return by_supplier / max(by_supplier.sum(), 1e-9) * saved


#: rows of the weeks played again that are compared
BY_COST, AS_BEFORE = "playbook, by cost", "as before"


def stock_decisions(
    plan: Reorder | None,
    excess: DataFrame | None,
    suppliers: DataFrame,
    *,
    terms: Terms,
    otif_floor: float = 0.95,
    losses: Losses | None = None,
) -> DataFrame:
    """Rows in the decision schema: one order per supplier with the levels to keep,
    overdue lines to chase by supplier, clearances by money tied up, and suppliers whose
    on time in full is under `otif_floor` even at its high end: a steady one gets another
    promise, an unsteady one a second source where its skus lose margin.

    An order's effect is the mean of two readings of one thing: what ordering by the list
    saves in a quarter against what the shop did (`Losses.of_quarter`, which looks back),
    and the margin this order protects (which looks ahead); the latter alone where the
    former is not known. Its evidence is the share of the demand on its lines that would
    be served without it.
    """
    as_of, currency = terms.as_of, terms.currency
    next_review = as_of + dt.timedelta(days=terms.review_days)
    saved = Series(dtype=float)
    if plan is not None and losses is not None:
        saved = losses.of_quarter(plan.orders.set_index("sku").supplier_id.astype(str))
    rows = [] if plan is None else _orders(plan, saved, (as_of, next_review), currency)
    if losses is not None:
        rows += _chased(losses.chase, as_of, currency)
    holding_share = np.nan if terms.holding_share is None else terms.holding_share
    excess = empty("inventory_planning.overstock") if excess is None else excess
    for line in excess[excess["action"] == "clear"].head(MOST_CLEARED).itertuples():
        rows.append(
            propose(
                "inventory_planning.clear",
                line.sku,
                size=line.excess_units,
                effect=(line.excess_value * holding_share,),
                evidence_value=line.days,
                due_on=next_review,
                revisit_on=as_of + dt.timedelta(days=60),
                currency=currency,
            )
        )
    is_late = (suppliers["high"] < otif_floor) & (suppliers["n_judged"] >= MIN_JUDGED)
    rows += [
        _late(line, saved, otif_floor, as_of, currency) for line in suppliers[is_late].itertuples()
    ]
    return decision_rows(rows)


def _late(
    line: Series, saved: Series, otif_floor: float, as_of: dt.date, currency: str
) -> dict[str, object]:
    """A supplier that does not keep its word: plan with its own days where they are
    steady, look for another one where they are not and its skus lose margin.
    """
    lost = float(saved.get(str(line.supplier_id), np.nan))
    is_steady = not line.lead_cv > STEADY_CV
    about = {
        "evidence_value": line.otif_share,
        "threshold": otif_floor,
        "due_on": as_of + dt.timedelta(days=30),
        "revisit_on": as_of + dt.timedelta(days=90),
        "n_judged": line.n_judged,
        "high": line.high,
        "late_days": line.late_days,
        "lead_mean": line.lead_mean,
        "scatter": _scatter(line.lead_cv),
    }
    if is_steady:
        size = round(float(line.late_days), 1)
        return propose(
            "inventory_planning.correct_promise",
            line.supplier_id,
            size=size,
            **about,
        )
    about |= {"effect": (lost,), "currency": currency} if np.isfinite(lost) else {}
    size = float(line.n_open) if np.isfinite(lost) and lost > 0 else None
    return propose(
        "inventory_planning.second_source",
        line.supplier_id,
        size=size,
        **about,
    )


def _scatter(lead_cv: float) -> str:
    """By how much a supplier's days scatter, beside what still counts as steady; nothing
    where one delivery shows no scatter.
    """
    about = {"cv": lead_cv, "steady": STEADY_CV}
    return "" if np.isnan(lead_cv) else say("inventory_planning.scatter", **about)


def _chased(chase: DataFrame, as_of: dt.date, currency: str) -> list[dict[str, object]]:
    """One row per supplier with overdue lines whose skus run out meanwhile. A call saves
    something between nothing and what is at stake; nobody has measured how much, so half of
    it is claimed, of low confidence, until the shop has written down what its calls brought.
    """
    lines = chase[chase.at_stake > 0]
    by_supplier = lines.groupby("supplier_id", sort=True)
    return [
        propose(
            "inventory_planning.chase",
            supplier,
            size=float(len(mine)),
            effect=(mine.at_stake.sum() / 2, 0.0, mine.at_stake.sum()),
            evidence_value=float(mine.days_late.max()),
            due_on=as_of + dt.timedelta(days=1),
            revisit_on=as_of + dt.timedelta(days=7),
            currency=currency,
            skus=", ".join(
                mine.sort_values("at_stake", ascending=False).sku.drop_duplicates().head(3)
            ),
        )
        for supplier, mine in by_supplier
    ]


def _orders(
    plan: Reorder,
    saved: Series,
    days: tuple[dt.date, dt.date],
    currency: str,
) -> list[dict[str, object]]:
    """One order per supplier and day; `days` are as-of and the next review."""
    bought = plan.orders[plan.orders["order_units"] > 0]
    served = {
        str(name): np.average(lines["fill_without"], weights=lines["mean_day"])
        for name, lines in bought.groupby("supplier_id", dropna=False)
    }
    rows = []
    for order in plan.by_supplier.itertuples():
        mean = float(order.expected_margin)
        # of goods hardly anybody asks for even the upper quantile is nothing: below the mean
        ends = np.minimum(order.margin_low, mean), np.maximum(order.margin_high, mean)
        effect = np.array([mean, *ends], float)
        quarter, told = float(saved.get(str(order.supplier_id), np.nan)), ""
        if np.isfinite(quarter) and effect[0] > 0:
            about = {"ahead": effect[0], "saved": quarter, "currency": currency}
            told = say("inventory_planning.two_readings", **about)
            effect = effect / effect[0] * (quarter + effect[0]) / 2
        rows.append(
            propose(
                "inventory_planning.order",
                order.supplier_id,
                size=order.cash,
                effect=tuple(effect),
                effect_period="quarter" if np.isfinite(quarter) else "once",
                evidence_value=served[str(order.supplier_id)],
                due_on=days[0] + dt.timedelta(days=1),
                revisit_on=days[1],
                currency=currency,
                n_lines=order.n_lines,
                readings=told,
            )
        )
    return rows
