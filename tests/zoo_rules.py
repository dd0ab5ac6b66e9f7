"""What must be true of any shop's month: rules read off the result tables, not examples.

`broken_rules(folder)` reads a published month and gives one line per broken rule;
`python tests/zoo_rules.py FOLDER [STORE]` prints them.
"""

from __future__ import annotations

import html
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from playbook.chapters.channel_roi.media_plan import CONVERGED
from playbook.chapters.inventory_planning.supply import MOST_DAYS
from playbook.chapters.ltv_modelling.ltv import LEAST_ALIVE
from playbook.chapters.monthly_review.decisions import OPPOSED
from playbook.chapters.monthly_review.ranking import (
    MOST_SHARE,
    Z80,
    came_true,
    claims,
)
from playbook.decisions import effects, is_settled
from playbook.measures.metrics import METRICS

NOTHING = pd.DataFrame()
#: columns that end in `share` and are no shares of a whole: changes, and shares with a sign
SIGNED = (
    "bias_share",
    "cm_share",
    "margin_share",
    "net_share",
    "change_share",
    "discount_share",
    "gap_share",
    "median_width_share",
    "move_share",
    "over_naive_share",
    # of what is sold, what could be lost before the break-even; below 0 under it
    "safety_share",
)
SLACK = 1e-6
#: columns of names that are the shop's own, whatever they look like
NAMES = (("orders", "channel"), ("orders", "region"), ("products", "category"), ("products", "sku"))
DAYS_APART = 0.1  # chapter 07 knows launches, chapter 10 does not
SOME_RETURNS = 30  # lines given back from which it is no chance that a year has none of them
TIER_STEP = 1.25  # the least step from one proposed threshold to the next
#: what no person should have to read: an exponent, a missing value's code name, a float
#: with every digit it has
EXPONENT = re.compile(r"(?<![\w.])-?\d(?:\.\d+)?e[+-]\d\d(?!\w)")
RAW = re.compile(r"(?<![\w./-])\d+\.\d{9,}(?![\w.])")
UNGROUPED = re.compile(r"(?<![\w.,/-])\d{7,}\.\d+(?!\w)")
DEVELOPERS = re.compile("(Deprecation|Pandas4|Resource)Warning")
FACTS = re.compile(r"\{'\w+': ")
#: kinds of subject that are called by a month they are about, not by one they come from
ABOUT_A_MONTH = ("kpi", "risk", "stage")
NAMED_MONTH = r"(\d{4}-\d{2})(?!\d)"
CODE_NAMES = re.compile(r"^(?:nan|NaN|inf|-inf|NaT|None|<NA>)$")


class Month:
    """A published month: its chapters' tables by `NN/name`, decisions, headline, notes."""

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        self.folder, self.store = folder, store
        self.tables = {
            f"{p.parent.parent.name[:2]}/{p.stem}": pd.read_parquet(p)
            for p in sorted(folder.glob("[01]*/tables/*.parquet"))
        }
        self.headline = self._stacked("headline")
        self.decisions = self._stacked("decisions")
        self.predictions = self._stacked("predictions")
        self.month = folder.name
        self.record = json.loads((folder / "run.json").read_text(encoding="utf-8"))

    def _stacked(self, name: str) -> pd.DataFrame:
        paths = sorted(self.folder.glob(f"[01]*/{name}.parquet"))
        frames = [pd.read_parquet(p).assign(notebook=p.parent.name[:2]) for p in paths]
        frames = [frame for frame in frames if len(frame)]
        return pd.concat(frames, ignore_index=True) if frames else NOTHING

    def shop_table(self, name: str) -> pd.DataFrame:
        """A table of the store, whole; empty where it has none or is not at hand."""
        for path in [] if self.store is None else sorted(self.store.glob(f"{name}.*")):
            read = {".parquet": pd.read_parquet, ".csv": pd.read_csv}.get(path.suffix)
            return NOTHING if read is None else read(path)
        return NOTHING

    def own_names(self) -> set[str]:
        """Names of channels, regions, categories and skus, where the store is at hand."""
        tables = [(self.shop_table(table), column) for table, column in NAMES]
        names = [table[column].dropna().astype(str) for table, column in tables if column in table]
        return set().union(*names) if names else set()

    def get(self, name: str) -> pd.DataFrame:
        """A table, empty where the chapter left none."""
        return self.tables.get(name, NOTHING)


def broken_rules(folder: Path, store: Path | None = None) -> list[str]:
    """One line per broken rule of this month; rules that ask the shop's own tables need
    its `store` folder.
    """
    month = Month(folder, store)
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


def intervals_hold_their_point(month: Month) -> Iterator[str]:
    """What an interval is of lies in it."""
    frames = {**month.tables, "predictions": month.predictions}
    for name, table in frames.items():
        points = [c for c in ("mid", "point", "customers_share") if c in table]
        if not ({"low", "high"} <= set(table.columns) and points):
            continue
        low, high, point = (_numbers(table[c]) for c in ("low", "high", points[0]))
        slack = SLACK * (1 + point.abs())
        is_out = (point < low - slack) | (point > high + slack)
        # limits of a count are whole: the mean of next to nothing lies beside nothing
        n = int((is_out & ~point.round().between(low, high)).sum())
        if n:
            yield f"{name}: {points[0]} outside its own interval in {n} of {len(table)} rows"


def effects_lie_within_their_ends(month: Month) -> Iterator[str]:
    """What a decision is expected to bring lies between the ends it is told with."""
    rows = month.decisions
    if not {"expected_effect", "effect_low", "effect_high"} <= set(rows):
        return
    effect = _numbers(rows.expected_effect)
    slack = SLACK * (1 + effect.abs())
    low, high = _numbers(rows.effect_low), _numbers(rows.effect_high)
    for row in rows[(effect < low - slack) | (effect > high + slack)].itertuples():
        yield f"{row.notebook}: {row.action} {row.subject} {row.expected_effect:g}"


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


def parts_are_within_the_whole(month: Month) -> Iterator[str]:
    """The interval that stands beside a share ends within 0 and 1 as the share does."""
    for name, table in month.tables.items():
        if " share low high " in f" {' '.join(map(str, table))} ":
            is_out = (_numbers(table["high"]) > 1 + SLACK) & _numbers(table["share"]).le(1)
            is_out |= (_numbers(table["low"]) < -SLACK) & _numbers(table["share"]).ge(0)
            if is_out.any():
                yield f"{name}: {int(is_out.sum())} intervals of a share beyond 0 or 1"


def no_infinite_number(month: Month) -> Iterator[str]:
    """No infinite number in any table, no `nan` in a sentence."""
    names = month.own_names()
    own = names | {"nan", "None"}
    absent = "|".join(w for w in ("nan", "inf", "NaT", "None", "<NA>") if w not in names)
    kept = {n: getattr(month, n) for n in ("decisions", "headline", "predictions")}
    for name, table in {**month.tables, **kept}.items():
        for column in table.columns:
            values = table[column]
            if pd.api.types.is_float_dtype(values) and np.isinf(values.to_numpy(float)).any():
                yield f"{name}.{column} is infinite"
            if values.dtype == object or pd.api.types.is_string_dtype(values):
                told = values.dropna().astype(str)
                # a name the shop gave itself is its own
                told = told[
                    [not set(re.split("[“”]?, [“”]?", text.strip("“”"))) <= own for text in told]
                ]
                is_bad = told.str.contains(rf"(?<![\w-])(?:{absent})(?![\w-])")
                if is_bad.any():
                    yield f"{name}.{column} says {told[is_bad].iloc[0][:90]!r}"


def numbers_are_read(month: Month) -> Iterator[str]:
    """On no page an exponent, a code name for what is missing, or a float with all its
    digits; money has its thousands apart.
    """
    own = month.own_names()
    for path in sorted(month.folder.rglob("*.html")):
        text = re.sub(r"(?is)<(style|script|svg)\b.*?</\1>", "", path.read_text(encoding="utf-8"))
        parts = re.findall(r"(?is)<(td|pre|p|li)\b[^>]*>(.*?)</\1>", text)
        plain = [(tag, html.unescape(re.sub(r"<[^>]+>", "", part))) for tag, part in parts]
        where = path.relative_to(month.folder)
        for named, pattern in (("exponent", EXPONENT), ("digits", RAW), ("thousands", UNGROUPED)):
            found = [hit[0] for _tag, part in plain if (hit := pattern.search(part))]
            if found:
                yield f"{where}: {named}: {len(found)} times, as {found[0]}"
        if any(FACTS.search(part) for _tag, part in plain):
            yield f"{where}: facts as code prints them"
        missing = [part for tag, part in plain if tag == "td" and CODE_NAMES.match(part.strip())]
        missing = [part for part in missing if part.strip() not in own]
        if missing:
            yield f"{where}: {len(missing)} cells say {missing[0].strip()}"


def nobody_is_warned(month: Month) -> Iterator[str]:
    """No chapter shows a warning of a library."""
    for path in sorted(month.folder.glob("[01]*/notebook.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        told = ["".join(o["text"]).strip() for o in outputs if o.get("name") == "stderr"]
        told = [text for text in told if not DEVELOPERS.search(text)]
        if told:
            yield f"{path.parent.name[:2]}: {len(told)} cells, as {told[0][:140]!r}"


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
    for column in ("stock_value", "fill_share", "cycle_share"):
        if len(aims) and (aims.sort_values("aim_share")[column].diff() < -SLACK).any():
            yield f"a higher aim has a lower {column}"
    orders = month.get("07/reorder")
    if len(orders):
        low = (orders.up_to < orders.rop - SLACK).sum()
        few = (orders.fill_with < orders.fill_without - 0.02).sum()
        for n, what in ((low, "order up to less than the reorder point"), (few, "fill less")):
            if n:
                yield f"{n} orders {what}"


def known_within_the_shop(month: Month) -> Iterator[str]:
    """What known customers are expected to bring in 28 days is within what the shop is
    expected to bring in the longer of the next two months.
    """
    told, shop = month.predictions, month.get("02/forecast")
    if told.empty or shop.empty:
        return
    known = told[(told.metric == "known_customer_revenue") & (told.horizon == "28 days")]
    # of a month not over yet the rest may lie in the next one
    most = float(shop.mid.head(2).max())
    if len(known) and float(known.point.iloc[0]) > most * (1 + SLACK):
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
    """New customers are not 0 where nobody can say, unobserved cells are missing, and
    what a shop without stock, costs or visits cannot know is nowhere 0.
    """
    table = month.get("04/cohorts")
    if "status" in table:
        filled = table[(table.status == "unobserved") & table.active.notna()]
        if len(filled):
            yield f"04/cohorts: {len(filled)} unobserved cells with a number"
    news = month.headline
    if not news.empty:
        news = news[(news.metric == "new_customers") & (news.status == "complete")]
        buyers = month.get("00/breakdown")
        is_nobody = len(news) > 3 and (news.amount == 0).all() and len(buyers)
        if is_nobody and _has_first_orders(month, set(news.month)):
            yield "new customers 0 in every month"
    if month.store is None:
        return
    lacks = {
        "stock": ("turn", "doi_days", "gmroi", "fill_rate", "stockout_share"),
        "traffic": ("sessions", "cvr_sessions"),
        "ad_spend": ("roas", "mer", "poas"),
        "refunds": ("refund_share_booked", "return_share"),
    }
    yield from _never_seen(month)
    for name, metrics in lacks.items():
        if month.shop_table(name).empty and len(month.headline):
            told = month.headline[month.headline.metric.isin(metrics)]
            told = told[told.amount.notna()]
            if len(told):
                yield f"{told.metric.iloc[0]} is {told.amount.iloc[0]:g} without {name}"


def returns_are_seen_alike(month: Month) -> Iterator[str]:
    """What chapter 08 counts as given back by sku is not nil of every sku in chapter 10."""
    booked, held = month.get("08/returns"), month.get("10/quality")
    if booked.empty or held.empty:
        return
    n_back = booked[booked["view"] == "sku"].n_returned.sum()
    if n_back >= SOME_RETURNS and not held.n_returned.sum():
        yield f"10/quality: none returned of any sku, {n_back:.0f} in 08/returns"


#: share of the register -> table, column and word of the log's own rows of it
SEEN_AS = {
    "cancelled share": ("orders", "status", "cancelled"),
    "chargeback share": ("refunds", "kind", "chargeback"),
}


def _never_seen(month: Month) -> Iterator[str]:
    """Shares of the register and the card of what the log has never seen, and of one thing."""
    signs, card = month.get("00/indicators"), month.get("11/scorecard")
    if len(signs):
        most = signs.groupby("indicator").amount.max()
        for name, (table, column, word) in SEEN_AS.items():
            rows = month.shop_table(table)
            was_seen = column in rows and rows[column].eq(word).any()
            if most.get(name, 1.0) == 0 and not was_seen:
                yield f"{name} is 0 in every month"
        sku = signs[signs.indicator == "top sku share"].amount
        if len(sku) and (sku == 1).all():
            yield "top sku share of one sku"
    if len(card):
        one = card[(card.metric == "active_sku_share") & (card.n <= 1)]
        none = card[(card.metric == "discount_share") & (card.actual == 0) & (card.expected == 0)]
        for row in pd.concat([one, none]).itertuples():
            yield f"{row.metric} is {row.actual:g} of {row.n:g}"
    if {"gap", "status"} <= set(card) and card.gap[card.status != "complete"].notna().any():
        yield "an unripe figure is held against its target"


def _has_first_orders(month: Month, months: set[str]) -> bool:
    """Whether a customer's first order of the log lies in one of these months; taken for
    true where the store is not at hand.
    """
    orders = month.shop_table("orders")
    if not {"customer_id", "ordered_at"} <= set(orders):
        return True
    day = pd.to_datetime(orders.get("ordered_on", orders.ordered_at), utc=True, format="mixed")
    first = day.groupby(orders.customer_id).min().dt.strftime("%Y-%m")
    return bool(first.isin(months).any())


def closed_day_is_no_stock_out(month: Month) -> Iterator[str]:
    """A sku is out of stock on no more days than its shelf was empty; never where no
    stock is known.
    """
    table, stock = month.get("07/stockouts"), month.shop_table("stock")
    if table.empty or month.store is None:
        return
    if stock.empty:
        yield f"{len(table)} skus were out of a stock nobody knows"
        return
    days = pd.to_datetime(stock.day_on)
    last = pd.Period(month.month).end_time
    stock = stock[(days > last - pd.Timedelta(days=52 * 7)) & (days <= last)]
    free = stock[[c for c in ("available", "on_hand") if c in stock]].bfill(axis=1).iloc[:, 0]
    is_empty = free.groupby([stock.sku, stock.day_on]).sum() <= 0
    most = is_empty.groupby("sku").sum() + 7
    over = table[table.out_days > table.sku.map(most).fillna(7)]
    if len(over):
        yield f"{len(over)} of {len(table)} skus out longer than their shelf was empty"


def days_are_shop_days(month: Month) -> Iterator[str]:
    """A parcel that is late in chapter 00 is late in chapter 08."""
    table = month.get("00/indicators")
    if table.empty:
        return
    here = table[(table.indicator == "late share") & (table.month == month.month)].amount
    there = _headline(month, "late_share")
    if len(here) and there is not None and abs(here.iloc[0] - there) > SLACK:
        yield f"{here.iloc[0]:.1%} late in 00, {there:.1%} in 08"


def a_step_matters(month: Month) -> Iterator[str]:
    """One proposed tier starts well above the one before it, and somebody is in it."""
    table = month.get("06/tiers")
    if table.empty:
        return
    found = table[(table.scheme == "searched") & (table.threshold > 0)]
    steps = (found.threshold / found.threshold.shift()).dropna()
    if (steps < TIER_STEP).any():
        yield f"a tier starts at {steps.min():.2f} times the one before"
    if (found.n_customers == 0).any():
        yield "a proposed tier has no member"


def reasons_are_of_their_row(month: Month) -> Iterator[str]:
    """What a reason counts is what its row counts."""
    roles = month.get("10/roles")
    if len(roles):
        sold_at_a_loss = roles[(roles.role == "profit") & (roles.margin_share <= 0)]
        if len(sold_at_a_loss):
            yield f"{len(sold_at_a_loss)} skus earn a profit of {sold_at_a_loss.margin.iloc[0]:g}"
    lines, rows = month.get("07/purchase_by_supplier"), month.decisions
    if lines.empty or rows.empty:
        return
    orders = rows[(rows.notebook == "07") & (rows.action == "order")]
    told = orders.reason.str.extract(r"(\d[\d,]*)")[0].str.replace(",", "").astype(float)
    n_lines = lines.groupby("supplier_id").n_lines.sum()
    wrong = told.notna() & (told > orders.subject.map(n_lines).fillna(np.inf))
    if wrong.any():
        yield f"{orders.subject[wrong].iloc[0]}: {orders.reason[wrong].iloc[0]!r}"


def days_of_stock_agree(month: Month) -> Iterator[str]:
    """Days of stock of a sku are the same in chapters 07 and 10."""
    there, here = month.get("07/overstock"), month.get("10/delist")
    if there.empty or here.empty:
        return
    both = there.merge(here[["sku", "stock_days"]].dropna(), on="sku")
    apart = both[(both.days / both.stock_days - 1).abs() > DAYS_APART]
    if len(apart):
        row = apart.iloc[0]
        yield f"{len(apart)} of {len(both)} skus, as {row.days:.0f} and {row.stock_days:.0f} days"


def no_days_without_end(month: Month) -> Iterator[str]:
    """Stock of which next to nothing sells lasts no stated number of days."""
    for name, column in (("07/overstock", "days"), ("10/delist", "stock_days")):
        table = month.get(name)
        n = int((_numbers(table[column]) >= MOST_DAYS).sum()) if column in table else 0
        if n:
            yield f"{name}.{column}: {n} of {MOST_DAYS:.0f} days or more"


def tests_can_see(month: Month) -> Iterator[str]:
    """A hold-out that could not see a doubling is not proposed."""
    table = month.get("06/actions")
    if len(table):
        is_asked = (table.holdout_share > 0) & (table.holdout_share < 1)
        blind = is_asked & (table.detectable_lift > 1)
        if blind.any():
            worst = table.detectable_lift[blind].max()
            yield f"{int(blind.sum())} hold-outs see no less than {worst:.0%}"


def campaigns_can_succeed(month: Month) -> Iterator[str]:
    """No test waits for a share of buyers above 1."""
    table = month.get("06/actions")
    if {"buyer_share", "detectable_lift"} <= set(table):
        by_share = table.get("measure", pd.Series("buyers", table.index)) == "buyers"
        is_impossible = table.buyer_share * (1 + table.detectable_lift.fillna(np.inf)) > 1
        is_treated = (table.holdout_share < 1) & (table.buyer_share > 0)
        wrong = table[by_share & is_treated & is_impossible]
        if len(wrong):
            yield f"06/actions: {', '.join(wrong.segment)} cannot buy so much more often"


def at_stake_is_not_less_than_nothing(month: Month) -> Iterator[str]:
    """What is at stake may be nothing, never less."""
    rows = month.decisions
    if {"effect_kind", "effect_low", "expected_effect"} <= set(rows):
        rows = rows[rows.effect_kind.astype(str).str.endswith("_at_stake")]
        wrong = rows[(_numbers(rows.effect_low) < 0) & ~(_numbers(rows.expected_effect) < 0)]
        for row in wrong.head(1).itertuples():
            yield f"{row.notebook}: {row.action} {row.subject} from {row.effect_low:,.0f}"


def tiers_are_a_scheme(month: Month) -> Iterator[str]:
    """Proposed tiers hold fewer members the dearer they are, are judged by margin, and
    nobody loses a tier where there are none today.
    """
    tiers, down = month.get("06/tiers"), month.get("06/downgrades")
    if "scheme" in tiers:
        found = tiers[tiers.scheme == "searched"].sort_values("threshold")
        if (found.n_judged.diff() > 0).any():
            yield f"06/tiers: {found.n_judged.tolist()} members, the dearest tier last"
        if len(down) and not (tiers.scheme == "today").any():
            yield f"06/downgrades: {down.n_down.sum():.0f} lose tiers the shop does not have"
    rows = month.decisions
    if "effect_kind" in rows:
        sold = (rows.action == "set threshold") & rows.effect_kind.str.startswith("revenue")
        if sold.any():
            yield f"{int(sold.sum())} thresholds set by revenue"


def reasons_name_what_is_known(month: Month) -> Iterator[str]:
    """No price is said to have moved with promotions or stock of a shop without such a
    table.
    """
    table = month.get("10/elasticity")
    if "reason" not in table or month.store is None:
        return
    for name, word in (("promotions", "promotions"), ("stock", "stock-outs")):
        told = table.reason.isin([f"prices moved only in {word}", f"prices moved only with {word}"])
        if told.any() and month.shop_table(name).empty:
            yield f"10/elasticity: {int(told.sum())} reasons of {word} without such a table"


def targets_reach_further(month: Month) -> Iterator[str]:
    """No proposed target asks for less than what the same page expects."""
    table = month.get("02/smart")
    if table.empty:
        return
    asked = table[(table.source == "proposed") & table.target.notna() & table.forecast.notna()]
    is_lower_better = asked.metric.map(lambda name: METRICS[name].is_lower_better)
    short = (asked.forecast - asked.target).where(~is_lower_better, asked.target - asked.forecast)
    low = asked[short > SLACK * (1 + asked.forecast.abs())]
    if len(low):
        yield f"{len(low)} targets short of the forecast, as {low.metric.iloc[0]}"


def decisions_lie_ahead(month: Month) -> Iterator[str]:
    """Nothing whose time is over is a decision: no day of a proposal before as-of, no
    goal or risk of a month that has ended, no stop rule that holds already.
    """
    rows = _proposed(month)
    if rows.empty:
        return
    for day in ("due_on", "revisit_on"):
        days = rows[day].fillna("").astype(str)
        late = rows[(days != "") & (days <= month.record["as_of"])]
        for row in late.itertuples():
            yield f"{row.notebook} {row.action} {row.subject}: {day} {getattr(row, day)}"
    about = rows[rows.subject_type.isin(ABOUT_A_MONTH)]
    named = about.subject.astype(str).str.extract(NAMED_MONTH)[0]
    last = f"{pd.Timestamp(month.record['as_of']) + pd.Timedelta(days=1):%Y-%m}"
    for row in about[named < last].itertuples():
        yield f"{row.notebook} {row.action} {row.subject}: that month is over"
    for row in rows[is_settled(rows)].itertuples():
        told = f"{row.evidence_metric} {row.evidence_value:g} against {row.threshold:g}"
        yield f"{row.notebook} {row.action} {row.subject}: over by its stop rule, {told}"


def listed_rows_can_be_signed(month: Month) -> Iterator[str]:
    """The review's list: every row has a size and an owner of the team, wins no less than
    the floor, changes something, and stands in no other row's way.
    """
    rows, floor = month.get("11/ranked"), month.get("11/list_floor")
    if rows.empty:
        return
    team = month.shop_table("team")
    roles = set(team.role.dropna()) if len(team) else set(rows.owner_role) - {""}
    wrong = {
        "has no size": rows["size"].isna(),
        "has no owner of the team": ~rows.owner_role.isin(roles),
        "is under the floor": rows.worth < floor.floor.max() - SLACK,
        "wins nothing": rows.worth <= 0,
        "changes nothing": rows.is_idle.eq(True),
    }
    clashes = month.get("11/conflicts")
    aside = set(" ".join(clashes.set_aside).split()) if len(clashes) else set()
    wrong["is set aside"] = rows.decision_id.isin(aside)
    for what, is_wrong in wrong.items():
        for row in rows[is_wrong].itertuples():
            yield f"{row.notebook} {row.action} {row.subject} {what}"
    for (kind, subject), both in rows.groupby(["subject_type", "subject"]):
        for one, other in OPPOSED:
            if {one, other} <= set(both.verb):
                yield f"{kind} {subject}: {one} and {other}"


def the_list_says_no_more_than_its_chapter(month: Month) -> Iterator[str]:
    """What a row wins in a quarter is what its chapter claims, at the orders that the quarter is
    expected to bring, times what claims of its kind came to: never more than half as much again,
    and no more than the claim where the kind was never measured, ends included. An interval that
    holds zero there holds it on the list, and less spend saves no more than is cut.
    """
    rows = month.get("11/ranked")
    if {"worth_low", "effect_period"} <= set(rows):
        said = claims(rows, volume=month.get("02/volume_ahead"))
        slack = SLACK * (1 + rows.worth.abs())
        is_measured = rows.kind.isin(list(came_true()))
        most = np.where(is_measured, MOST_SHARE, 1.0)
        spread = rows.kind.map({kind: of["spread"] for kind, of in came_true().items()})
        reach = rows.worth + Z80 * spread.astype(float).fillna(0.0) * said.claim.abs()
        highest = np.fmax(most * said.high.clip(lower=0), reach)
        wrong = {
            "wins more than is claimed": rows.worth > most * said.claim.clip(lower=0) + slack,
            "may win more than is claimed": rows.worth_high > highest + slack,
            "may lose, which the list forgets": (said.low < -slack) & (rows.worth_low > slack),
        }
        for what, is_wrong in wrong.items():
            for row in rows[is_wrong].itertuples():
                yield f"{row.notebook} {row.action} {row.subject} {what}"
    rows = month.decisions
    if {"effect_kind", "effect_high"} <= set(rows):
        cut = -_numbers(rows["size"])
        is_cut = (rows.effect_kind == "margin_net_of_spend") & (cut > 0)
        for row in rows[is_cut & (_numbers(rows.effect_high) > cut)].itertuples():
            yield f"{row.notebook} {row.action} {row.subject} saves more than is cut"


def effects_come_first(month: Month) -> Iterator[str]:
    """In the review's list, and in the list of all decisions, no row without an effect (a
    target is none) stands before one with an effect, and rows of one kind of effect that
    does not rank stand together.
    """
    told = {"11/ranked": month.get("11/ranked")}
    path = month.folder / "decisions.csv"
    told["decisions.csv"] = pd.read_csv(path) if path.exists() else NOTHING
    for name, rows in told.items():
        if not {"effect_kind", "expected_effect", "is_idle"} <= set(rows):
            continue
        rows = rows[rows.is_idle.ne(True) & rows.action.ne("blocked")]
        has_none = rows.effect_kind.map(lambda k: effects()["effects"].get(k, {}).get("is_none"))
        effect = _numbers(rows.expected_effect).where(has_none.isna())
        # what costs stands last, whatever it costs
        late = effect[(effect > 0) & effect.isna().cummax()]
        if len(late):
            row = rows.loc[late.index[0]]
            yield f"{name}: {len(late)} rows after rows without an effect, as {row.subject}"
        for kind, facts in effects()["effects"].items():
            places = np.flatnonzero((rows.effect_kind == kind) & (effect > 0))
            if facts["ranks"] is False and len(places) and np.ptp(places) >= len(places):
                yield f"{name}: {kind} stands among other effects"


def what_moves_is_known(month: Month) -> Iterator[str]:
    """No channel's budget moves on a response that is not identified, or whose draws do not
    agree.
    """
    plan, response = month.get("03/budget"), month.get("03/response")
    if plan.empty or response.empty:
        return
    known = response.set_index("channel")
    moved = plan.channel[plan.action.isin(["raise", "lower"])]
    for channel in moved:
        answer = known.loc[channel]
        if answer.verdict != "identified" or not answer.r_hat <= CONVERGED:
            yield f"03/budget: {channel} moves, R-hat {answer.r_hat:.2f}, {answer.verdict}"


def growth_is_of_one_thing(month: Month) -> Iterator[str]:
    """A column called growth says the same of a category in every table of its chapter, and
    what is sold already is not entered.
    """
    tables = [
        table.set_index("category")["growth"]
        for name, table in month.tables.items()
        if name.startswith("01/") and {"category", "growth"} <= set(table.columns)
    ]
    for first, other in itertools.pairwise(tables):
        both = pd.concat([first, other], axis=1, keys=["here", "there"]).dropna().astype(float)
        apart = both[(both.here - both.there).abs() > SLACK]
        if len(apart):
            yield f"01: growth of {apart.index[0]} is {apart.here.iloc[0]:.1%} and otherwise"
    rows = month.decisions
    if {"action", "size"} <= set(rows):
        sold = rows[(rows.action == "enter") & (_numbers(rows["size"]) > 0)]
        for row in sold.itertuples():
            yield f"{row.notebook}: {row.subject} is sold already and entered"


def the_mean_order_changed_once(month: Month) -> Iterator[str]:
    """Whatever orders are told apart by, the mean order changed by one amount (a category's is
    of the orders that hold it), and beside it stands what the card says after returns.
    """
    table = month.get("11/mix_rate")
    if table.empty:
        return
    told = table[table.dimension != "category"].contribution.astype(float).dropna()
    if len(told) and np.ptp(told) > SLACK * (1 + told.abs().max()):
        yield f"11/mix_rate: {told.round(2).tolist()} by dimension"
    if "after_returns" not in table:
        yield "11/mix_rate: a change before returns, unsaid"


def suppliers_are_told_apart(month: Month) -> Iterator[str]:
    """What is done with a late supplier names what decides it, the scatter of its days; an
    order whose effect is not the margin of its list says where the difference comes from.
    """
    rows, known = month.decisions, month.get("07/suppliers")
    if {"action", "reason"} <= set(rows) and len(known):
        scatter = known.set_index(known.supplier_id.astype(str)).lead_cv
        for row in rows[rows.action == "second source"].itertuples():
            if f"{scatter[row.subject]:.0%}" not in row.reason:
                yield f"second source of {row.subject}: {row.reason}"
    bought = month.get("07/purchase_by_supplier")
    if {"kind", "reason"} <= set(rows) and len(bought):
        margin = bought.groupby(bought.supplier_id.astype(str)).expected_margin.first()
        for row in rows[rows.kind == "inventory_planning.order"].itertuples():
            ahead, effect = margin.get(str(row.subject), np.nan), float(row.expected_effect)
            if abs(ahead - effect) > 0.5 and f"{ahead:,.0f}" not in row.reason:
                yield f"order of {row.subject}: {effect:,.0f} beside {ahead:,.0f}"


def figures_have_names(month: Month) -> Iterator[str]:
    """A decision calls a figure by its name, not by its id."""
    ids = "|".join(sorted((metric for metric in METRICS if "_" in metric), key=len)[::-1])
    own = month.own_names()
    for name in ("subject", "reason"):
        said = month.decisions.get(name, pd.Series(dtype=object)).dropna().astype(str)
        for text in said[said.str.contains(rf"\b(?:{ids})\b") & ~said.isin(own)].head(1):
            yield f"{name}: {text[:80]}"


def personas_are_told_apart(month: Month) -> Iterator[str]:
    """No two personas have one label."""
    table = month.get("01/personas")
    if len(table) and table.label.duplicated().any():
        yield f"{table.label[table.label.duplicated()].iloc[0]!r} twice"


def only_what_is_planned_is_stopped(month: Month) -> Iterator[str]:
    """No promotion is to stop of whose weeks no day is planned; a peak to plan is due before
    its first missing day, and stands among the conflicts beside promotions to leave out.
    """
    rows, coming = _proposed(month), month.get("10/promotions_ahead")
    if rows.empty:
        return
    if len(coming):
        free = set(coming.promo_id[coming.n_planned == 0])
        idle = rows[(rows.action == "stop promotion") & rows.subject.isin(free)]
        for row in idle.itertuples():
            yield f"stop promotion {row.subject}: none of its days is planned"
        every = month.decisions
        stops = set(every.subject[every.action == "stop promotion"]) & free
        clashes = month.get("11/conflicts")
        peaks = rows[rows.action == "plan the peak"]
        if (
            len(stops)
            and len(peaks)
            and not clashes.get("first", pd.Series()).isin(peaks.action).any()
        ):
            yield f"{peaks.subject.iloc[0]} is planned beside {len(stops)} promotions to stop"
    weeks = month.get("02/calendar_ahead")
    if len(weeks):
        first = pd.to_datetime(weeks.week_on[weeks.promotion_days_missing > 0]).min()
        tomorrow = pd.Timestamp(month.record["as_of"]) + pd.Timedelta(days=1)
        due = pd.to_datetime(rows.due_on[rows.action == "plan the peak"])
        if (due > max(first, tomorrow)).any():
            yield f"plan the peak is due {due.iloc[0]:%Y-%m-%d}, its first week {first:%Y-%m-%d}"


def a_fix_brings_no_more_than_the_fault_costs(month: Month) -> Iterator[str]:
    """No month of a decision about an incident of this month wins more than a month of it
    costs; a test that read too few visitors is not sure.
    """
    happened, rows = month.get("00/incidents"), _proposed(month)
    if happened.empty or rows.empty:
        return
    happened = happened[happened.month == month.month]
    cost = (happened.amount / happened.n_days * 365.25 / 12).groupby(happened.subject).max()
    rows = rows[rows.effect_kind.eq("margin") & rows.effect_period.eq("month")]
    most = rows.subject.astype(str).str.split(":").str[0].map(cost).astype(float)
    for row in rows[_numbers(rows.expected_effect) > most * (1 + SLACK)].itertuples():
        yield f"{row.notebook} {row.action} {row.subject}: {row.expected_effect:,.0f} a month"
    tests = month.get("08/tests")
    if "n_needed" in tests:
        few = tests[tests[["n_control", "n_arm"]].min(axis=1) < tests.n_needed]
        sure = rows[rows.action.eq("ship") & rows.confidence.eq("high")]
        for subject in set(sure.subject) & set(few.test_id + ": " + few.arm):
            yield f"08 ship {subject}: sure of too few visitors"


def no_page_knows_more_than_its_sheet(month: Month) -> Iterator[str]:
    """A figure that the sheet of goals has no forecast of has none in the fan or the record."""
    sheet, record, fan = (month.get(f"02/{name}") for name in ("smart", "backtest", "forecast"))
    if sheet.empty or record.empty:
        return
    mids = record.set_index(["horizon", "metric"]).mid
    blind = sheet.set_index(["horizon", "metric"]).forecast.isna()
    told = mids.reindex(blind.index[blind]).dropna()
    if len(told):
        yield f"{len(told)} figures without a forecast have one in the record, as {told.index[0]}"
    is_ended = bool(blind.get(("quarter", "net_revenue"), False)) and len(fan) > 0
    if is_ended and fan.mid[fan.status != "complete"].notna().any():
        yield "the fan goes on where nothing is calibrated"


def what_is_gone_is_not_forecast(month: Month) -> Iterator[str]:
    """No sku that has gone quiet in chapter 09 is forecast in 07 at more than it sold in the
    mean of a week of its year.
    """
    gone, ahead = month.get("09/filtered"), month.get("07/classes")
    sold = month.get("10/roles")
    if gone.empty or ahead.empty or sold.empty:
        return
    mean = sold.set_index("sku").units.astype(float) / 52
    quiet = ahead[ahead.sku.isin(gone.sku[gone.reason == "gone quiet"])]
    wrong = quiet[quiet.mean_week > 2 * _numbers(quiet.sku.map(mean)) + 1]
    if len(wrong):
        row = wrong.sort_values("mean_week").iloc[-1]
        yield f"{len(wrong)} skus gone quiet, as {row.sku} at {row.mean_week:.0f} a week"


def a_holiday_is_no_hole(month: Month) -> Iterator[str]:
    """No days without orders are told as missing across which the shop's order numbers,
    counted up day by day, go on.
    """
    happened, orders = month.get("00/incidents"), month.shop_table("orders")
    told = happened[happened.kind == "orders_missing"] if len(happened) else happened
    if told.empty or not {"order_id", "ordered_at"} <= set(orders):
        return
    number = pd.to_numeric(orders.order_id.astype(str).str.extract(r"(\d{1,15})$")[0])
    day = pd.to_datetime(orders.ordered_at, utc=True, format="mixed").dt.tz_localize(None)
    ends = number.groupby(day.dt.normalize()).agg(["min", "max"])
    step = ends["min"] - ends["max"].shift()
    if number.isna().any() or not (step.iloc[1:] > 0).all():
        return
    for row in told.itertuples():
        after = step[step.index > pd.Timestamp(row.ends_on)].head(1)
        if len(after) and after.iloc[0] <= 1:
            yield f"{row.starts_on} to {row.ends_on}: closed by the numbers of the orders"


def late_goods_are_chased(month: Month) -> Iterator[str]:
    """Overdue lines to chase say what that may save, the dearest empty shelf that waits for
    one is on the first page, and nobody asks for a delivery that is in.
    """
    rows, lines, page = _proposed(month), month.get("07/chase"), month.folder / "index.html"
    if len(rows):
        mute = rows[(rows.action == "chase overdue lines") & rows.expected_effect.isna()]
        for row in mute.itertuples():
            yield f"07 chase {row.subject} without an effect"
    listed = month.get("11/ranked")
    empty = lines[(lines.available <= 0) & (lines.at_stake > 0)] if len(lines) else lines
    if len(empty) and len(listed) and page.exists():
        row = empty.sort_values("at_stake").iloc[-1]
        is_full = len(listed) >= 10 and _numbers(listed.worth).min() > row.at_stake
        if str(row.sku) not in page.read_text(encoding="utf-8") and not is_full:
            yield f"{row.sku} is empty, {row.at_stake:,.0f} at stake, and not on the first page"
    happened = month.get("00/incidents")
    if len(happened):
        since = pd.Timestamp(month.record["as_of"]) - pd.Timedelta(days=3)
        over = happened[pd.to_datetime(happened.ends_on) < since]
        asks = over[(over.kind == "best_seller_empty") & over.check.str.startswith("where is")]
        if len(asks):
            yield f"{asks.subject.iloc[0]}: its delivery is in, and asked for"


def _proposed(month: Month) -> pd.DataFrame:
    """Open proposals that change something."""
    rows = month.decisions
    if rows.empty:
        return rows
    return rows[(rows.status == "proposed") & rows.is_idle.ne(True)]


def chapters_name_what_they_lack(month: Month) -> Iterator[str]:
    """No chapter failed; each blocked section names what it lacks."""
    for name, entry in month.record["notebooks"].items():
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
    intervals_hold_their_point,
    effects_lie_within_their_ends,
    shares_in_range,
    parts_are_within_the_whole,
    no_infinite_number,
    numbers_are_read,
    nobody_is_warned,
    parts_make_the_whole,
    segments_make_the_whole,
    reorder_rises_with_lead,
    known_within_the_shop,
    vips_are_alive,
    horizon_has_its_errors,
    zero_is_observed,
    returns_are_seen_alike,
    closed_day_is_no_stock_out,
    days_are_shop_days,
    a_step_matters,
    reasons_are_of_their_row,
    days_of_stock_agree,
    no_days_without_end,
    tests_can_see,
    campaigns_can_succeed,
    at_stake_is_not_less_than_nothing,
    tiers_are_a_scheme,
    reasons_name_what_is_known,
    only_what_is_planned_is_stopped,
    a_fix_brings_no_more_than_the_fault_costs,
    late_goods_are_chased,
    no_page_knows_more_than_its_sheet,
    what_is_gone_is_not_forecast,
    a_holiday_is_no_hole,
    targets_reach_further,
    decisions_lie_ahead,
    listed_rows_can_be_signed,
    the_list_says_no_more_than_its_chapter,
    effects_come_first,
    what_moves_is_known,
    growth_is_of_one_thing,
    the_mean_order_changed_once,
    suppliers_are_told_apart,
    figures_have_names,
    personas_are_told_apart,
    chapters_name_what_they_lack,
)

if __name__ == "__main__":
    found = broken_rules(*map(Path, sys.argv[1:3]))
    print("\n".join(found) or "no rule is broken")
    sys.exit(min(len(found), 100))
