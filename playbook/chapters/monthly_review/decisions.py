"""What to do: what the chapters' decisions ask for, which of them cannot both be carried
out and what is proposed instead, and the review's own rows.

Fields decide, never labels: the kind and period of an effect, `verb`, `spends` and
`is_idle` of `playbook.decisions`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from playbook.chapters.registry import chapter
from playbook.decisions import decision_rows, propose
from playbook.messages import label, say
from playbook.tables import frame_of, returns

__all__ = [
    "asks",
    "COMING",
    "STOCK",
    "conflicts",
    "leaving",
    "no_results",
    "ordered_more",
    "review_decisions",
    "short",
    "wanted",
]

#: what is read of the promotions that come round, and of the order list
COMING = ("promo_id", "comes_on", "n_days", "n_planned")
STOCK = ("sku", "order_units", "fill_without", "due_on")
#: share of the demand until an order arrives under which a sku counts as running out
RUNS_OUT = 0.5
#: verbs that cannot both be carried out on one subject
OPPOSED = (
    ("order", "delist"),
    ("order", "clear"),
    ("raise", "lower"),
    ("raise", "pause"),
    ("raise", "clear"),
    ("launch", "delist"),
    ("repeat", "stop"),
)
#: verbs that make more of a sku wanted
PUSHING = ("lower", "bundle", "repeat")


@returns("monthly_review.asks")
def asks(decisions: DataFrame) -> DataFrame:
    """What the month asks for in money, per owner: rows that pay out their size."""
    spent = decisions[decisions.spends.eq(True) & decisions["size"].notna()]
    by_owner = spent.assign(due_on=spent.due_on.replace("", np.nan)).groupby("owner_role")
    table = by_owner.agg(
        money=("size", "sum"),
        due_on=("due_on", "min"),
        effect_low=("effect_low", _whole_sum),
        effect_high=("effect_high", _whole_sum),
        n_decisions=("size", "count"),
    )
    by = ["money", "owner_role"]
    return table.reset_index().sort_values(
        by,
        ascending=[False, True],
        ignore_index=True,
    )


def _whole_sum(amounts: pd.Series) -> float:
    """The sum; missing where one of them is."""
    return amounts.sum(min_count=len(amounts))


def wanted(reorder: DataFrame, bundles: DataFrame, decisions: DataFrame) -> DataFrame:
    """The skus that chapters mean to sell: sku, action, notebook. Those of the order
    list (sku, order_units), and those of proposed bundles (a, b).
    """
    pairs = bundles.assign(subject=bundles.a + " + " + bundles.b)
    pairs = pairs.merge(decisions[decisions.verb == "bundle"], on="subject")
    parts = [pairs.assign(sku=pairs[side]) for side in "ab"]
    ordered = _listed(
        reorder.sku[reorder.order_units > 0],
        "order",
        "inventory_planning",
    )
    return pd.concat([ordered, *(part[list(ordered)] for part in parts)], ignore_index=True)


def short(reorder: DataFrame) -> DataFrame:
    """Skus of the order list that serve less than half of what is wanted until an order
    of today arrives: sku, due_on (when it does).
    """
    return reorder.loc[reorder.fill_without < RUNS_OUT, ["sku", "due_on"]]


def ordered_more(reorder: DataFrame, moves: DataFrame) -> DataFrame:
    """Units to add to the order of each sku whose price is cut: sku, units. The order
    grows as demand does by the sku's elasticity.
    """
    cuts = moves[(moves.action == "lower") & moves.elasticity.notna()]
    both = cuts.merge(reorder[reorder.order_units > 0], on="sku")
    grows = (1 + both.move_share.astype(float)) ** both.elasticity.astype(float) - 1
    units = np.ceil(both.order_units.astype(float) * grows)
    return DataFrame({"sku": both.sku, "units": units})[units.to_numpy() >= 1]


def leaving(delist: DataFrame, quality: DataFrame, new_items: DataFrame) -> DataFrame:
    """The skus that the assortment takes off the shelf: sku, action, notebook."""
    room = "assortment_pricing"
    parts = [
        _listed(delist.sku[delist.effect > 0], "delist", room),
        _listed(
            new_items.sku[new_items.action == "leave"],
            "leave",
            room,
        ),
        _listed(
            quality.sku[quality.is_hold.astype(bool)],
            "quality hold",
            room,
        ),
    ]
    return pd.concat(parts, ignore_index=True)


def _listed(skus: pd.Series, action: str, room: str) -> DataFrame:
    facts = chapter(room)
    return DataFrame(
        {
            "sku": skus,
            "action": action,
            "notebook": facts.notebook if facts else "",
        }
    )


@returns("monthly_review.conflicts")
def conflicts(
    decisions: DataFrame,
    *,
    cash_limit: float = float("inf"),
    currency: str = "",
    wanted: DataFrame | None = None,
    leaving: DataFrame | None = None,
    short: DataFrame | None = None,
    more: DataFrame | None = None,
    coming: DataFrame | None = None,
) -> DataFrame:
    """Decisions that cannot both be carried out, and what is proposed instead.

    A subject both raised and lowered: the row that wins more stays, the other is set
    aside (`set_aside` names it). A price cut of a sku that is `short` (sku, due_on: runs
    out before the next delivery) waits for the delivery. A peak is planned without the
    promotions `coming` (promo_id, comes_on, n_days, n_planned) round that are to stop. Skus
    `wanted` that are `leaving` the shelf (one row per pair of actions) are left off. Plans
    that together ask for more than the cash are paid best first, by what they win for their
    money, and the rest is set aside. `decisions` may carry `worth`, what a row wins in a
    quarter; without it the earlier row stays.
    """
    rows = decisions[decisions.status != "blocked"]
    worth = rows.get("worth", pd.Series(np.nan, rows.index)).astype(float)
    rows = rows.assign(worth=worth.fillna(0.0))
    found = [*_opposed(rows), *_pushed(rows, short), *_ordered_more(rows, more)]
    found += _peaks(rows, coming)
    if wanted is not None and leaving is not None:
        found += _off_the_shelf(wanted, leaving)
    if currency:
        found += _too_dear(rows, cash_limit, currency)
    return frame_of("monthly_review.conflicts", found)


def _opposed(rows: DataFrame) -> list[tuple]:
    """One subject with two verbs that exclude each other: the row that wins more stays
    against every other one.
    """
    found = []
    for (kind, subject), group in rows.groupby(["subject_type", "subject"]):
        best = group.sort_values("worth", ascending=False, kind="stable")
        kept: list[Series] = []
        for _place, row in best.iterrows():
            other = next((held for held in kept if _excludes(held.verb, row.verb)), None)
            if other is None:
                kept.append(row)
                continue
            told = say(
                "monthly_review.keep_better",
                kept=other.action,
                other=row.action,
            )
            pair = (other, row) if (other.verb, row.verb) in OPPOSED else (row, other)
            about = (kind, subject, *(one.action for one in pair))
            notebooks = ", ".join(str(one.notebook) for one in pair)
            found.append((*about, notebooks, told, row.get("decision_id", "")))
    return found


def _excludes(one: str, other: str) -> bool:
    return (one, other) in OPPOSED or (other, one) in OPPOSED


def _pushed(rows: DataFrame, short: DataFrame | None) -> list[tuple]:
    """Price cuts, bundles and repeated promotions of skus that run out before they come
    in.
    """
    if short is None or short.empty:
        return []
    due = dict(zip(short.sku.astype(str), short.due_on, strict=True))
    pushed = rows[(rows.subject_type == "sku") & rows.verb.isin(PUSHING)]
    found = []
    for row in pushed.itertuples():
        day = max((due[sku] for sku in str(row.subject).split(" + ") if sku in due), default=None)
        if day is not None:
            told = say(
                "monthly_review.wait_for_delivery",
                action=row.action,
                day=f"{day:%Y-%m-%d}",
            )
            empty = say("monthly_review.runs_out")
            about = ("sku", row.subject, row.action, empty, row.notebook)
            found.append((*about, told, getattr(row, "decision_id", "")))
    return found


def _ordered_more(rows: DataFrame, more: DataFrame | None) -> list[tuple]:
    """Price cuts of skus on the order list, in one row: their orders were made for the old
    price.
    """
    if more is None or more.empty:
        return []
    units = dict(zip(more.sku.astype(str), more.units, strict=True))
    cuts = rows[(rows.subject_type == "sku") & (rows.verb == "lower")]
    cuts = cuts[cuts.subject.astype(str).isin(units)].sort_values("subject")
    if cuts.empty:
        return []
    each = ", ".join(f"{sku} +{units[sku]:,.0f}" for sku in cuts.subject)
    told = say("monthly_review.order_more", each=each)
    order = say("monthly_review.order_made_before")
    first = cuts.iloc[0]
    return [("sku", ", ".join(cuts.subject), first.action, order, first.notebook, told, "")]


def _peaks(rows: DataFrame, coming: DataFrame | None) -> list[tuple]:
    """A peak to plan whose missing days are those of promotions that are to stop: it is
    planned without them, and set aside where no other day is missing.
    """
    if coming is None or coming.empty:
        return []
    stops = rows[rows.kind == "assortment_pricing.promotion_stop"]
    free = coming[coming.n_planned == 0]
    lost = free[free.promo_id.isin(stops.subject)].sort_values(["comes_on", "promo_id"])
    days = _days_of(lost) - _days_of(coming.drop(lost.index))
    if not days:
        return []
    second = stops[stops.subject.isin(lost.promo_id)].iloc[0]
    found = []
    for row in rows[rows.kind == "goal_setting.plan_peak"].itertuples():
        left = max(row.size - len(days), 0)
        words = {"left": left, "n": row.size - left, "names": ", ".join(lost.promo_id)}
        told = say("monthly_review.plan_without" if left else "monthly_review.plan_none", **words)
        about = ("risk", row.subject, row.action, second.action)
        aside = "" if left else getattr(row, "decision_id", "")
        found.append((*about, f"{row.notebook}, {second.notebook}", told, aside))
    return found


def _days_of(coming: DataFrame) -> set[pd.Timestamp]:
    """The days of the months ahead that these promotions come round on."""
    spans = zip(coming.comes_on, coming.n_days, strict=True)
    return {day for starts, n in spans for day in pd.date_range(starts, periods=int(n))}


def _off_the_shelf(wanted: DataFrame, leaving: DataFrame) -> list[tuple]:
    """Skus that one chapter means to sell and another takes off."""
    found = []
    for (second, shelf), out in leaving.groupby(["action", "notebook"]):
        for (first, room), kept in wanted.groupby(["action", "notebook"], sort=False):
            if both := sorted(set(kept.sku) & set(out.sku)):
                told = say(
                    "monthly_review.leave_off",
                    first=label("actions", first),
                    second=label("actions", second),
                    n=len(both),
                )
                about = ("sku", ", ".join(both), first, second, f"{room}, {shelf}")
                found.append((*about, told, ""))
    return found


def _too_dear(rows: DataFrame, cash_limit: float, currency: str) -> list[tuple]:
    """What is set aside where the plans ask for more than there is."""
    asked = asks(rows).money.sum()
    if asked <= cash_limit:
        return []
    paid = rows[rows.spends.eq(True) & rows["size"].notna()]
    paid = paid.assign(_each=paid.worth / paid["size"].astype(float).clip(lower=1e-9))
    paid = paid.sort_values(["_each"], ascending=False, kind="stable")
    left = paid[paid["size"].astype(float).cumsum() > cash_limit]
    words = {
        "subject": say("monthly_review.asked", money=asked, currency=currency),
        "first": say("monthly_review.all_plans"),
        "second": say("monthly_review.cash_limit", money=cash_limit),
    }
    names = ", ".join(left.subject.astype(str))
    told = say("monthly_review.pay_best_first", names=names)
    aside = " ".join(left.get("decision_id", pd.Series("", left.index)).astype(str))
    return [("cash", *words.values(), "all", told, aside)]


def review_decisions(
    clashes: DataFrame, register: DataFrame, *, settle_on: str, act_on: str
) -> DataFrame:
    """The review's own rows: conflicts that nothing set aside settles, with what is
    proposed, and risks over their limit to act on.
    """
    open_ones = clashes[clashes.set_aside == ""].drop_duplicates(["kind", "subject"])
    rows = [
        propose(
            "monthly_review.conflict",
            f"{clash.kind} {clash.subject}",
            size=float(len(str(clash.subject).split(", "))),
            due_on=settle_on,
            first=clash.first,
            second=clash.second,
            notebooks=clash.notebooks,
            proposal=clash.proposal,
        )
        for clash in open_ones.itertuples()
    ]
    rows += [
        propose(
            "monthly_review.risk",
            risk.risk,
            due_on=act_on,
            evidence_metric=risk.risk,
            evidence_value=risk.amount,
            threshold=risk.limit,
            reason=risk.mitigation,
            owner_role=risk.owner_role,
        )
        for risk in register[register.is_over & register.amount.notna()].itertuples()
    ]
    return decision_rows(rows)


def no_results() -> DataFrame:
    """The row of a month in which no other chapter left anything."""
    return decision_rows([propose("monthly_review.no_results", "chapters")])
