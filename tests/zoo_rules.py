"""What must be true of any shop's month: rules read off the result tables, not examples.

`broken_rules(folder)` reads a published month and gives one line per broken rule.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from playbook.chapters.ltv_modelling.ltv import LEAST_ALIVE

NOTHING = pd.DataFrame()
#: columns that end in `share` and are no shares of a whole: changes, and shares with a sign
SIGNED = (
    "bias_share",
    "cm_share",
    "margin_share",
    "net_share",
    "change_share",
    "discount_share",
    "median_width_share",
    "over_naive_share",
)
SLACK = 1e-6


class Month:
    """A published month: its chapters' tables by `NN/name`, decisions, headline, notes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables = {
            f"{p.parent.parent.name[:2]}/{p.stem}": pd.read_parquet(p)
            for p in sorted(folder.glob("[01]*/tables/*.parquet"))
        }
        self.headline = self._stacked("headline")
        self.decisions = self._stacked("decisions")
        self.predictions = self._stacked("predictions")
        self.month = folder.name

    def _stacked(self, name: str) -> pd.DataFrame:
        paths = sorted(self.folder.glob(f"[01]*/{name}.parquet"))
        frames = [pd.read_parquet(p).assign(notebook=p.parent.name[:2]) for p in paths]
        frames = [frame for frame in frames if len(frame)]
        return pd.concat(frames, ignore_index=True) if frames else NOTHING

    def get(self, name: str) -> pd.DataFrame:
        """A table, empty where the chapter left none."""
        return self.tables.get(name, NOTHING)


def broken_rules(folder: Path) -> list[str]:
    """One line per broken rule of this month."""
    month = Month(folder)
    return [f"{rule.__name__}: {line}" for rule in RULES for line in rule(month)]


def ends_in_order(month: Month) -> Iterator[str]:
    """low <= high in every table, and the middle between them where one is named."""
    pairs = [("low", "high"), ("lower", "upper"), ("effect_low", "effect_high")]
    frames = {**month.tables, "headline": month.headline, "predictions": month.predictions}
    for name, table in frames.items():
        for low, high in pairs:
            if {low, high} <= set(table.columns):
                bottom, top = _numbers(table[low]), _numbers(table[high])
                n = int((bottom > top + SLACK * (1 + top.abs())).sum())
                if n:
                    yield f"{name}: {n} rows with {low} above {high}"


def shares_in_range(month: Month) -> Iterator[str]:
    """Shares and probabilities lie within 0 and 1."""
    for name, table in month.tables.items():
        for column in table.columns:
            is_share = column in ("share", "p_alive", "fill_rate") or column.endswith("_share")
            if not is_share or column in SIGNED or "change" in column:
                continue
            values = _numbers(table[column])
            out = (values < -SLACK) | (values > 1 + SLACK)
            if out.any():
                first = values[out].iloc[0]
                yield f"{name}.{column}: {int(out.sum())} of {len(table)}, as {first:g}"


def no_infinite_number(month: Month) -> Iterator[str]:
    """No infinite number in any table, no `nan` in a sentence."""
    for name, table in {**month.tables, "decisions": month.decisions}.items():
        for column in table.columns:
            values = table[column]
            if pd.api.types.is_float_dtype(values) and np.isinf(values.to_numpy(float)).any():
                yield f"{name}.{column} is infinite"
            if values.dtype == object or pd.api.types.is_string_dtype(values):
                told = values.dropna().astype(str)
                is_bad = told.str.contains(r"(?<![\w-])(?:nan|inf|NaT|None|<NA>)(?![\w-])")
                if is_bad.any():
                    yield f"{name}.{column} says {told[is_bad].iloc[0][:90]!r}"


def parts_make_the_whole(month: Month) -> Iterator[str]:
    """Orders and revenue by channel, region and customer type equal the month's."""
    table = month.get("00/breakdown")
    if table.empty or month.headline.empty:
        return
    now = table[table.month == month.month]
    orders = _headline(month, "orders")
    for dimension, rows in now.groupby("dimension"):
        if dimension == "category":
            continue
        if orders is not None and abs(rows.orders.sum() - orders) > 0.5:
            yield f"{dimension}: {rows.orders.sum()} orders, {orders:g} in the month"
    sums = now.groupby("dimension").revenue.sum().astype(float)
    if len(sums) and sums.max() - sums.min() > 0.01 * (1 + abs(sums.max())):
        yield f"revenue by dimension differs: {sums.round(2).to_dict()}"


def segments_make_the_whole(month: Month) -> Iterator[str]:
    """Customers by segment are the customers of the value table."""
    segments, left = month.get("06/segments"), month.get("05/remaining")
    if segments.empty or left.empty:
        return
    every = left[left.channel == "all"].n_customers
    if len(every) and int(segments.n_customers.sum()) != int(every.iloc[0]):
        yield f"{segments.n_customers.sum()} in segments, {every.iloc[0]} in 05"


def reorder_rises_with_lead(month: Month) -> Iterator[str]:
    """A longer lead time or a higher aim never asks for less stock."""
    table = month.get("07/what_if_lead")
    points = table[[c for c in table if str(c).startswith("rop_")]] if len(table) else table
    if len(points):
        falls = (points.astype(float).diff(axis=1) < -SLACK).any(axis=1)
        if falls.any():
            yield f"{int(falls.sum())} of {len(table)} reorder points fall with lead time"
    aims = month.get("07/service_cash")
    if len(aims) and (aims.sort_values("aim_share").stock_value.diff() < -SLACK).any():
        yield "a higher aim holds less stock"


def known_within_the_shop(month: Month) -> Iterator[str]:
    """What known customers are expected to bring in 28 days is within what the shop is
    expected to bring in a month, to its upper limit.
    """
    told, shop = month.predictions, month.get("02/forecast")
    if told.empty or len(shop) != 3:
        return
    known = told[(told.metric == "known_customer_revenue") & (told.horizon == "28 days")]
    most = float(shop.high.fillna(shop.mid * 1.5).iloc[0])
    if len(known) and float(known.point.iloc[0]) > most:
        yield f"{known.point.iloc[0]:.0f} of known customers, at most {most:.0f} of the shop"


def vips_are_alive(month: Month) -> Iterator[str]:
    """No VIP is more likely gone than not."""
    table = month.get("05/vip")
    if "p_alive" in table and (table.p_alive < LEAST_ALIVE).any():
        yield f"a VIP with P(alive) {table.p_alive.min():.4f}"


def horizon_has_its_errors(month: Month) -> Iterator[str]:
    """A year ahead is not `complete` by errors of another horizon."""
    table = month.get("05/remaining")
    if "error_horizon_days" in table:
        wrong = (table.status == "complete") & (table.error_horizon_days < 350)
        if wrong.any():
            yield f"{int(wrong.sum())} rows by errors of {table.error_horizon_days.min():g} days"


def zero_is_observed(month: Month) -> Iterator[str]:
    """New customers are not 0 where nobody can say, and unobserved cells are missing."""
    table = month.get("04/cohorts")
    if "status" in table:
        filled = table[(table.status == "unobserved") & table.active.notna()]
        if len(filled):
            yield f"04/cohorts: {len(filled)} unobserved cells with a number"
    news = month.headline
    if not news.empty:
        news = news[(news.metric == "new_customers") & (news.status == "complete")]
        buyers = month.get("00/breakdown")
        if len(news) > 3 and (news.amount == 0).all() and len(buyers):
            yield "new customers 0 in every month"


def closed_day_is_no_stock_out(month: Month) -> Iterator[str]:
    """A day on which the shop does not trade is no stock-out: not every sku was out for
    every week, and none where no stock is known.
    """
    table = month.get("07/stockouts")
    if len(table) > 1 and (table.out_days >= 360).all():
        yield f"all {len(table)} skus were out all year"


def tests_can_see(month: Month) -> Iterator[str]:
    """A hold-out that could not see a doubling is not proposed."""
    table = month.get("06/actions")
    if len(table):
        is_asked = (table.holdout_share > 0) & (table.holdout_share < 1)
        blind = is_asked & (table.detectable_lift > 1)
        if blind.any():
            worst = table.detectable_lift[blind].max()
            yield f"{int(blind.sum())} hold-outs see no less than {worst:.0%}"


def targets_reach_further(month: Month) -> Iterator[str]:
    """A proposed target of sales is not below what the same page expects."""
    table = month.get("02/smart")
    if len(table):
        table = table[table.metric.isin(["net_revenue", "orders"]) & (table.source == "proposed")]
        low = table.target < table.forecast * (1 - SLACK)
        if low.any():
            yield f"{int(low.sum())} targets below forecast"


def chapters_name_what_they_lack(month: Month) -> Iterator[str]:
    """No chapter failed; each blocked section names what it lacks."""
    record = json.loads((month.folder / "run.json").read_text(encoding="utf-8"))
    for name, entry in record["notebooks"].items():
        if entry["status"] == "failed":
            yield f"{name} failed: {entry.get('error', '')[:120]}"
        for blocked in entry.get("blocked", []):
            if not blocked.get("needs"):
                yield f"{name}: {blocked.get('section')} names nothing"


def _numbers(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").astype(float)


def _headline(month: Month, metric: str) -> float | None:
    rows = month.headline
    rows = rows[(rows.metric == metric) & (rows.month == month.month)]
    return float(rows.amount.iloc[0]) if len(rows) and pd.notna(rows.amount.iloc[0]) else None


RULES: tuple[Callable[[Month], Iterator[str]], ...] = (
    ends_in_order,
    shares_in_range,
    no_infinite_number,
    parts_make_the_whole,
    segments_make_the_whole,
    reorder_rises_with_lead,
    known_within_the_shop,
    vips_are_alive,
    horizon_has_its_errors,
    zero_is_observed,
    closed_day_is_no_stock_out,
    tests_can_see,
    targets_reach_further,
    chapters_name_what_they_lack,
)
