"""Which kinds of buyers there are.

A *persona* is a described class of buyers, found from what they bought and not from a
story: its share of the customers, its value, and how surely it would be found again. A
person known from one order belongs to several personas in part; nobody is forced into
one.
"""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.chapters.market_research.market import Table
from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.methods.latent_class import class_stability, memberships, number_of_classes
from playbook.store import expression
from playbook.tables import returns, schema

__all__ = ["Personas", "persona_pains", "personas", "with_pain", "with_price_band"]

#: a BIC lower by this is very strong evidence (Kass & Raftery 1995): less buys no
#: further persona
CLEARLY = 10.0
MOST_PERSONAS = 8
#: under so many known customers kinds of buyers cannot be told apart
MIN_CUSTOMERS = 200
#: share of the resamples between the ends of a persona's range
LEVEL = 0.9
#: a persona is named by at most two levels it favours: bought so many times as often as
#: on average, and in more than this share of its lines
FAVOURS, AT_LEAST, MOST_NAMES = 1.15, 0.02, 2
N_BANDS = 5


@dataclass(frozen=True)
class Personas:
    """`described`: one row per persona, in the columns of the table `personas` without
    its pain. `members`: one row per customer and persona with p_member. `choice`: one
    row per number of classes tried: k, bic, is_chosen. `profile`: one row per persona
    and level of what it buys: share, lift.
    """

    described: pd.DataFrame
    members: pd.DataFrame
    choice: pd.DataFrame
    profile: pd.DataFrame


def personas(
    lines: Table, orders: Table, *, by: str = "category", n_resamples: int = 6, seed: int = 0
) -> Personas:
    """Kinds of buyers by what they buy (`by`, a column of `lines`), as classes of a
    multinomial mixture.

    Known customers only; cm_share is missing where a margin is. The number of personas
    is the smallest that BIC does not clearly reject, so the answer may be one: no kinds
    can be told apart. Raises PlaybookError where too few customers are known.
    """
    wide = _lines_per_customer(expression(lines), by)
    counts, which, n_people = np.unique(
        wide.to_numpy(), axis=0, return_inverse=True, return_counts=True
    )
    n_people = n_people.astype(float)
    most = min(MOST_PERSONAS, wide.shape[1])
    fits = number_of_classes(counts, n_people, most=most, seed=seed)
    choice = pd.DataFrame({"k": range(1, len(fits) + 1), "bic": [fit.bic for fit in fits]})
    k = int(choice["k"][choice["bic"] < choice["bic"].min() + CLEARLY].iloc[0])
    classes = fits[k - 1]
    stability, shares = np.full(k, np.nan), np.full((1, k), np.nan)
    if n_resamples:
        stability, shares = class_stability(
            counts, n_people, classes, seed=seed, n_resamples=n_resamples
        )
    names = [f"P{i}" for i in range(1, k + 1)]
    member = pd.DataFrame(
        memberships(counts, classes)[which.ravel()], index=wide.index, columns=names
    )
    mean = n_people @ counts / (n_people @ counts).sum()
    profile = pd.DataFrame(
        {
            "persona": np.repeat(names, wide.shape[1]),
            "level": np.tile(wide.columns, k),
            "share": classes.chances.ravel(),
            "lift": (classes.chances / mean).ravel(),
        }
    )
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    described = pd.DataFrame({"customers_share": classes.shares, "low": low, "high": high}, names)
    described["stability"] = stability
    described = described.join(_value(member, expression(orders)))
    described = described.join(_favourites(profile)).rename_axis("persona").reset_index()
    columns = [c for c in schema("market_research.personas").names if c != "pain"]
    members = member.rename_axis("customer_id").reset_index()
    members = members.melt("customer_id", var_name="persona", value_name="p_member")
    return Personas(
        described[columns],
        members.sort_values(["customer_id", "persona"], ignore_index=True),
        choice.assign(is_chosen=choice["k"] == k),
        profile,
    )


def _lines_per_customer(lines: ibis.Table, by: str) -> pd.DataFrame:
    """Lines bought by each known customer (rows) at each level of `by` (columns)."""
    known = lines.filter(_.customer_id.notnull() & _[by].notnull())
    counts = known.group_by("customer_id", level=_[by]).aggregate(n=_.count())
    counts = counts.order_by("customer_id", "level").to_pandas()
    wide = counts.pivot(index="customer_id", columns="level", values="n").fillna(0.0)
    if len(wide) < MIN_CUSTOMERS:
        raise PlaybookError(
            "market_research.few_customers", n=len(wide), least=MIN_CUSTOMERS, table="orders"
        )
    return wide


def _value(member: pd.DataFrame, orders: ibis.Table) -> pd.DataFrame:
    """Size, value and habits of each persona, every customer counted by the share in
    which it belongs.
    """
    known = orders.filter(_.customer_id.notnull())
    each = _customers(known).reindex(member.index)
    last_on = pd.to_datetime(each["last_on"])
    recency = (last_on.max() - last_on).dt.days
    customers = member.sum()
    n_orders, revenue, margin, days = (
        member.mul(amount, axis=0).sum()
        for amount in (each["orders"], each["revenue"], each["margin"], recency)
    )
    value = pd.DataFrame(
        {
            "customers": customers,
            "revenue_share": revenue / each["revenue"].sum(),
            "cm_share": margin / each["margin"].sum(),
            "recency_days": days / customers,
            "frequency": n_orders / customers,
            "basket": revenue / n_orders,
        }
    )
    if each["margin"].isna().any():
        value["cm_share"] = np.nan
    return value.assign(
        channel=_most_favoured(member, known, "channel"),
        region=_most_favoured(member, known, "region"),
    )


def _customers(orders: ibis.Table) -> pd.DataFrame:
    """One row per customer: orders, revenue, last_on, margin (missing where an order's is)."""
    if "margin" not in orders.columns:
        orders = orders.mutate(margin=ibis.null("float64"))
    by_customer = orders.group_by("customer_id").aggregate(
        orders=_.count(),
        revenue=_.revenue.sum().cast("float64"),
        last_on=_.ordered_on.max(),
        margin=(_.margin.isnull().sum() == 0).ifelse(
            _.margin.sum().cast("float64"), ibis.null("float64")
        ),
    )
    return by_customer.order_by("customer_id").to_pandas().set_index("customer_id")


def _most_favoured(member: pd.DataFrame, orders: ibis.Table, column: str) -> list[str] | None:
    """The level people of each persona favour most against everybody; naming the
    commonest would name one for all.
    """
    if column not in orders.columns:
        return None
    known = orders.filter(_[column].notnull())
    counts = known.group_by("customer_id", level=_[column]).aggregate(n=_.count())
    counts = counts.order_by("customer_id", "level").to_pandas()
    if counts.empty:
        return None
    orders_of = member.reindex(counts["customer_id"]).mul(counts["n"].to_numpy(), axis=0)
    sums = orders_of.groupby(counts["level"].to_numpy()).sum()
    lift = (sums / sums.sum()).div(sums.sum(axis=1) / sums.to_numpy().sum(), axis=0)
    return [str(level) for level in lift.idxmax()]


def _favourites(profile: pd.DataFrame) -> pd.DataFrame:
    """By persona the levels it favours most (label), and by how much (evidence)."""
    is_favoured = (profile["lift"] > FAVOURS) & (profile["share"] > AT_LEAST)
    order = ["lift", "level"]
    rows = {}
    for persona, levels in profile.groupby("persona", sort=False):
        best = levels[is_favoured].sort_values(order, ascending=[False, True]).head(MOST_NAMES)
        evidence = [
            say("market_research.evidence", level=row.level, share=row.share, lift=row.lift)
            for row in best.itertuples()
        ]
        label = " + ".join(map(str, best["level"])) or say("market_research.everything")
        rows[persona] = {"label": label, "evidence": ", ".join(evidence)}
    return pd.DataFrame.from_dict(rows, orient="index")


def persona_pains(profile: pd.DataFrame, pains: pd.DataFrame) -> pd.DataFrame:
    """The pain each persona meets most, for what it buys:

    - persona, pain, source: who, what and where it was said
    - expected_share: the pain's share over categories, weighed by the persona's share of
      lines in them

    Return reasons say what hurt and come before low stars, which only say that
    something did. Pains on few cases are left out.
    """
    pains = pains[(pains["status"] == "complete") & (pains["n"] > 0)]
    reasons = pains[pains["source"] == "return reason"]
    pains = reasons if len(reasons) else pains
    met = profile.merge(pains, left_on="level", right_on="category", suffixes=("", "_pain"))
    met["expected_share"] = met["share"] * met["share_pain"]
    sums = met.groupby(["persona", "pain", "source"], as_index=False)["expected_share"].sum()
    sums = sums.sort_values(["persona", "expected_share", "pain"], ascending=[True, False, True])
    return sums.drop_duplicates("persona").reset_index(drop=True)


@returns("market_research.personas")
def with_pain(kinds: Personas, pains: pd.DataFrame) -> pd.DataFrame:
    """The personas, each with the pain it meets most."""
    worst = persona_pains(kinds.profile, pains).set_index("persona")["pain"]
    return kinds.described.assign(pain=kinds.described["persona"].map(worst))


def with_price_band(lines: Table) -> ibis.Table:
    """Sales lines with `price_band`: which fifth of all lines sold their unit price
    lies in (1 is the cheapest), with its edges; the ground for personas where products
    have no category.
    """
    table = expression(lines)
    price = table.price.cast("float64")
    cuts = [price.quantile(k / N_BANDS).to_pandas() for k in range(1, N_BANDS)]
    edges = sorted({round(float(cut), 2) for cut in cuts})
    bands = [
        (price <= edge, say("market_research.price_up_to", n=n, edge=edge))
        for n, edge in enumerate(edges, start=1)
    ]
    last = say("market_research.price_above", n=len(edges) + 1, edge=edges[-1])
    return table.mutate(price_band=ibis.cases(*bands, else_=last))
