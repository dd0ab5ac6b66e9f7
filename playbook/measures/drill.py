"""A headline figure cut by any two dimensions, and why it moved: more or fewer of the same
(volume), another mixture of them (mix), or each of them changed (rate).

A ratio R = sum(s_i r_i), s_i a part's share of what is divided by: mix and rate of
`methods.decomposition.mix_and_rate`. A sum T = W R, W what it is counted over: a part's own
change is volume + mix + rate by the average of both orders of change, dW mean(s r) +
mean(W) d(s) mean(r) + mean(W) mean(s) d(r), so that nothing is left over.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.measures.sums import sums_by, total
from playbook.messages import say
from playbook.methods.decomposition import mix_and_rate
from playbook.store import Store
from playbook.tables import frame_of, returns, schema

__all__ = [
    "DIMENSIONS",
    "FIGURES",
    "Cells",
    "drill_cells",
    "drill_down",
    "drill_pairs",
    "month_before",
    "week_before",
]

DIMENSIONS = ("channel", "device", "region", "customer_type", "category")
#: figure -> what is added up, what it is counted over, and whether it is the ratio of both
FIGURES = {
    "net_revenue": ("net_revenue", "orders", False),
    "orders": ("orders", "orders", False),
    "aov": ("net_revenue", "orders", True),
    "units_per_order": ("units", "orders", True),
    "cm": ("cm", "orders", False),
    "new_customers": ("new_customers", "orders", False),
    "sessions": ("sessions", "sessions", False),
    "cvr_sessions": ("orders", "sessions", True),
    "refund_share_booked": ("refunds", "revenue", True),
}
#: an order holds several categories: these are counted over units there, the rest are not told
BY_LINE = ("net_revenue", "refund_share_booked")
#: parts named of a pair of dimensions, before the rest
PARTS = 5

Span = tuple[dt.date, dt.date]


@dataclass(frozen=True)
class Cells:
    """Sums of two stretches of days, `period` being before or now: `orders` by the order's
    dimensions, `lines` by those and the category, `visits` by channel and device. `missing`
    names figures the shop cannot tell.
    """

    orders: DataFrame
    lines: DataFrame
    visits: DataFrame
    missing: frozenset[str]

    def dimensions(self, metric: str) -> list[str]:
        """The dimensions this figure can be cut by; none where it is not known."""
        if metric in self.missing:
            return []
        known = [d for d in DIMENSIONS if d in self.orders]
        if "sessions" in FIGURES[metric][:2]:
            return [d for d in known if d in self.visits]
        has_lines = metric in BY_LINE and "category" in self.lines
        return [*known, "category"] if has_lines else known


def drill_cells(shop: Store, *, now: Span, before: Span) -> Cells:
    """The sums behind every headline figure of two stretches of days, first and last day
    each, read once for all cuts. A dimension the shop does not tell is left out; what one
    order does not tell is `unknown`.
    """
    spans = {"before": before, "now": now}
    orders = _within(shop.sales_orders, "ordered_on", spans)
    known = [d for d in DIMENSIONS[:3] if shop.has(f"orders.{d}")]
    traits = {d: _[d].fill_null("unknown") for d in known}
    traits["customer_type"] = ibis.cases(
        (_.customer_id.isnull(), "guest"), (_.is_first, "new"), else_="returning"
    )
    keys, orders = ["period", *traits], orders.mutate(**traits)
    sums = {
        "orders": _.count(),
        "units": total("units"),
        "revenue": total("revenue"),
        "cm": total("margin"),
        "n_unknown": _.margin.isnull().sum(),
        "new_customers": (_.is_first & ~_.is_left_truncated).sum(),
    }
    sold = sums_by(orders, *keys, **sums)
    every = shop.sales_orders.mutate(**traits).select("order_id", *traits)
    refunds = _within(shop.booked_refunds, "refunded_on", spans).drop("channel")
    refunds = refunds.left_join(every, "order_id")
    refunds = refunds.mutate(**{d: refunds[d].fill_null("unknown") for d in traits})
    back = sums_by(refunds, *keys, refunds=total("amount"), cm=total("margin"))
    unknown = {"cm"} if sold.pop("n_unknown").sum() else set()
    lines, visits = _lines(shop, spans, orders, refunds, keys), _visits(shop, spans, known)
    missing = unknown | (set() if len(visits) else {"sessions", "cvr_sessions"})
    return Cells(_added(sold, back, keys), lines, visits, frozenset(missing))


def _within(table: Table, day: str, spans: dict[str, Span]) -> Table:
    """The rows of either stretch, `period` telling which."""
    inside = {name: table[day].between(*map(ibis.literal, span)) for name, span in spans.items()}
    period = ibis.cases(*((where, name) for name, where in inside.items()), else_=None)
    return table.mutate(period=period).filter(_.period.notnull())


def _added(sold: DataFrame, back: DataFrame, keys: list[str]) -> DataFrame:
    """Sales and refunds of the same cell in one row, with the net of both."""
    cells = pd.concat([sold, back]).groupby(keys, as_index=False).sum()
    return cells.assign(net_revenue=cells.revenue - cells.refunds)


def _lines(
    shop: Store, spans: dict[str, Span], orders: Table, refunds: Table, keys: list[str]
) -> DataFrame:
    """Units, revenue and refunds by the order's dimensions and the category."""
    if not shop.has("products.category"):
        return DataFrame()
    category = shop.products.select("sku", "category")
    lines = _within(shop.sales_lines, "ordered_on", spans).select(
        "order_id", "sku", "quantity", "revenue", "is_product"
    )
    lines = lines.inner_join(orders.select("order_id", *keys), "order_id")
    frames = []
    units = _.quantity.sum(where=_.is_product).cast("float64")
    for rows, sums in (
        (lines, {"units": units, "revenue": total("revenue")}),
        (refunds, {"refunds": total("amount")}),
    ):
        rows = rows.left_join(category, "sku")
        rows = rows.mutate(category=rows.category.fill_null("unknown"))
        frames.append(sums_by(rows, *keys, "category", **sums))
    return _added(*frames, [*keys, "category"])


def _visits(shop: Store, spans: dict[str, Span], known: list[str]) -> DataFrame:
    """Sessions by the dimensions that visits tell and orders do too."""
    if not shop.has("traffic.sessions"):
        return DataFrame()
    rows = _within(shop.traffic, "day_on", spans)
    cuts = [d for d in ("channel", "device") if d in known and shop.has(f"traffic.{d}")]
    rows = rows.mutate(**{d: rows[d].fill_null("unknown") for d in cuts})
    return sums_by(rows, "period", *cuts, sessions=total("sessions"))


@returns("measures.drill")
def drill_down(cells: Cells, metric: str, *, by: Sequence[str] = ()) -> DataFrame:
    """One figure by two dimensions: what it was in each part, and what each part changed.
    Without `by` the first two that the shop tells; empty where it tells fewer.

    The first row, `all`, sums the others. PlaybookError for a figure that is no headline
    one, and for a dimension that it cannot be cut by in this shop.
    """
    if metric not in FIGURES:
        raise PlaybookError("measures.no_drill", metric=metric, known=", ".join(FIGURES))
    known = cells.dimensions(metric)
    if not by and len(known) < 2:
        return frame_of("measures.drill", [])
    by = tuple(by) or tuple(known[:2])
    if len(set(by)) != 2 or not set(by) <= set(known):
        given = ", ".join(by)
        raise PlaybookError(
            "measures.no_cut", metric=metric, by=given, known=", ".join(known) or "-"
        )
    top, weight, is_ratio = FIGURES[metric]
    if "category" in by and not is_ratio:
        weight = "units"
    ends = _ends(cells, by, top, weight)
    parts = _ratio(*ends) if is_ratio else _sum(*ends)
    parts = parts.sort_values("contribution", key=lambda c: -c.abs(), kind="stable")
    every = _whole(*ends, is_ratio)
    every |= parts[["volume", "mix", "rate", "contribution"]].sum(min_count=1).to_dict()
    table = pd.concat([DataFrame([every]), parts.reset_index(names="part")], ignore_index=True)
    table = table.assign(metric=metric, by=" × ".join(by))
    return table[schema("measures.drill").names]


def _ends(cells: Cells, by: Sequence[str], top: str, weight: str) -> list[DataFrame]:
    """Both stretches: a row per part, what is added up as `amount`, over it as `weight`."""
    source = cells.lines if "category" in by else cells.orders
    if "sessions" in (top, weight):
        keys = ["period", *by]
        source = pd.concat(
            [source.groupby(keys).sum(numeric_only=True).reset_index(), cells.visits]
        )
    sums = source.assign(part=source[by[0]] + " · " + source[by[1]])
    sums = (
        DataFrame(
            {"amount": sums[top].fillna(0.0).astype(float), "weight": sums[weight].fillna(0.0)}
        )
        .groupby([sums.period, sums.part])
        .sum()
    )
    names = sums.index.unique("part")
    return [
        sums.xs(period).reindex(names).fillna(0.0).astype(float)
        if period in sums.index.unique("period")
        else DataFrame(0.0, names, ["amount", "weight"])
        for period in ("before", "now")
    ]


def _rate(end: DataFrame) -> pd.Series:
    return end.amount / end.weight.where(end.weight > 0)


def _ratio(before: DataFrame, now: DataFrame) -> DataFrame:
    """As `mix_and_rate`; what comes back of a part that sold nothing is its own, in `rate`."""
    split = mix_and_rate(before, now, weight="weight", amount="amount").set_index("segment")
    whole0, whole1 = before.weight.sum(), now.weight.sum()
    if not (whole0 > 0 and whole1 > 0):
        return split.assign(before=_rate(before), after=_rate(now), volume=np.nan)
    moved = now.weight / whole1 - before.weight / whole0
    overall = (before.amount.sum() / whole0 + now.amount.sum() / whole1) / 2
    change = now.amount / whole1 - before.amount / whole0 - overall * moved
    mix = split.mix.fillna(0.0)
    parts = {"before": _rate(before), "after": _rate(now), "volume": np.nan, "mix": mix}
    return DataFrame({**parts, "rate": change - mix, "contribution": change})


def _sum(before: DataFrame, now: DataFrame) -> DataFrame:
    """A part without weight on one side (refunds of orders of an earlier stretch) has no
    rate there: its change is of its own, in `rate`.
    """
    w0, w1 = before.weight.sum(), now.weight.sum()
    share0, share1 = (end.weight / max(end.weight.sum(), 1e-12) for end in (before, now))
    rate0, rate1 = _rate(before), _rate(now)
    rate0, rate1 = rate0.fillna(rate1).fillna(0.0), rate1.fillna(rate0).fillna(0.0)
    volume = (w1 - w0) * (share0 * rate0 + share1 * rate1) / 2
    mix = (w0 + w1) / 2 * (share1 - share0) * (rate0 + rate1) / 2
    change = now.amount - before.amount
    parts = {"before": before.amount, "after": now.amount, "volume": volume, "mix": mix}
    return DataFrame({**parts, "rate": change - volume - mix, "contribution": change})


def _whole(before: DataFrame, now: DataFrame, is_ratio: bool) -> dict[str, object]:
    ends = [
        end.amount.sum() / (end.weight.sum() or np.nan) if is_ratio else end.amount.sum()
        for end in (before, now)
    ]
    return {"part": "all", "before": ends[0], "after": ends[1]}


@returns("measures.drill")
def drill_pairs(
    cells: Cells, metrics: Iterable[str] = tuple(FIGURES), *, parts: int = PARTS
) -> DataFrame:
    """Every figure by every two dimensions the shop tells: `all`, the `parts` that changed
    it most, and what the others changed together, so that each cut adds up.
    """
    frames = [
        _shortened(drill_down(cells, metric, by=pair), parts)
        for metric in metrics
        for pair in combinations(cells.dimensions(metric), 2)
    ]
    return pd.concat(frames, ignore_index=True) if frames else frame_of("measures.drill", [])


def _shortened(table: DataFrame, parts: int) -> DataFrame:
    kept, rest = table.head(parts + 1), table.iloc[parts + 1 :]
    if rest.empty:
        return kept
    moved = rest[["volume", "mix", "rate", "contribution"]].sum(min_count=1).to_dict()
    name = say("measures.other_parts", n=len(rest))
    one = {"metric": table.metric[0], "by": table.by[0], "part": name} | moved
    return pd.concat([kept, DataFrame([one])], ignore_index=True)[list(table)]


def week_before(day: dt.date) -> dict[str, Span]:
    """The seven days up to a day, and the seven before them, as `drill_cells` takes them."""
    week, last = dt.timedelta(days=7), dt.timedelta(days=6)
    return {"now": (day - last, day), "before": (day - last - week, day - week)}


def month_before(shop: Store) -> dict[str, Span]:
    """The shop's month as far as it is known, and the same days of the month before it."""
    first = shop.as_of.replace(day=1)
    last = first - dt.timedelta(days=1)
    if not shop.is_month_complete:
        last = min(last, last.replace(day=1) + (shop.as_of - first))
    return {"now": (first, shop.as_of), "before": (last.replace(day=1), last)}
