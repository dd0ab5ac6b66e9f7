"""What pieces of content and hours live bring for their cost: orders that carry a piece's code,
their margin after refunds, and how long a piece works.

An order is a piece's where it carries its code or link (`content_orders`, else the coupon or
campaign named in `content_items.code`); of pieces with one code it is the newest's. That says who
came by it, not who would have stayed away: people who know the shop use codes too. So a format
*costs too much* where even all its orders leave less than it costs, and *pays* only where those of
new customers alone leave more; between the two nobody knows without a test. Where no order carries
a code, the platform's own count stands in, priced at the shop's usual margin: it counts whoever
looked and bought, so it can show that something loses and never that it pays.

Pieces differ as much as formats do. A format's interval is therefore that of its pieces, each one
observation; with few of them the spread is drawn towards that of all.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np
import pandas as pd
from ibis import _
from numpy import ndarray
from pandas import DataFrame, Series

from playbook.chapters.channel_roi.channels import with_refunds
from playbook.decisions import decision_rows, propose
from playbook.given import dated
from playbook.measures.ad_spend import Table
from playbook.messages import say
from playbook.methods.proportions import Z90
from playbook.store import expression
from playbook.tables import empty, frame_of, returns, schema

if TYPE_CHECKING:
    from playbook.store import Store

__all__ = [
    "SHOWN",
    "content_decisions",
    "content_formats",
    "content_found",
    "content_pieces",
    "judged_pieces",
    "live_hours",
    "piece_orders",
    "usual_margin",
]

#: days after it went up in which a piece's orders count, and for what is sent back
WINDOW_DAYS, RETURN_DAYS = 56, 28
DAYS_READ, DAYS_A_MONTH = 365, 365.25 / 12
#: chance from which a format is said to cost too much, or to pay
SURE = 0.95
#: pieces whose spread the others' stands for beside a format's own, and pieces it is judged from
LIKE_PIECES, LEAST_PIECES = 4, 5
#: orders from which a half-life is told
LEAST_ORDERS = 10
#: share by which more of a format that pays is made
STEP = 0.25
MOST_STOPPED, CONFIDENT = 2, 30
_FIGURES = [
    "reach",
    "orders",
    "margin",
    "cost",
    "net",
    "low",
    "high",
    "net_new",
    "verdict",
]
#: columns of each table that the page shows
SHOWN = {"content_formats": ["format", "half_life", *_FIGURES], "live_hours": ["hour", *_FIGURES]}
DUE_DAYS, REVISIT_DAYS = 14, 98


def content_found(shop: Store) -> dict[str, DataFrame]:
    """The section's tables of a shop whose costs are known: content_formats, live_hours and
    content_pieces.
    """
    given = {"zone": shop.time_zone, "as_of": shop.as_of}
    pieces, orders = judged_pieces(shop)
    return {
        "content_formats": content_formats(pieces, orders, **given),
        "live_hours": live_hours(pieces, orders, **given),
        "content_pieces": pieces[schema("channel_roi.content_pieces").names],
    }


def judged_pieces(shop: Store) -> tuple[DataFrame, DataFrame]:
    """A shop's `content_pieces` and `piece_orders`."""
    orders = piece_orders(
        shop.content_items,
        with_refunds(expression(shop.sales_orders), shop.booked_refunds),
        named=shop.get("content_orders"),
        coded=shop.orders,
    )
    usual = usual_margin(shop.sales_orders, shop.booked_refunds, as_of=shop.as_of)
    asked = {"zone": shop.time_zone, "as_of": shop.as_of}
    return content_pieces(
        shop.content_items,
        orders,
        usual=usual,
        **asked,
    ), orders


@dated
def usual_margin(sales_orders: Table, refunds: Table | None, *, as_of: dt.date) -> float:
    """Margin after refunds over sales of the year's orders whose costs are known."""
    since = ibis.literal(as_of - dt.timedelta(days=DAYS_READ))
    orders = with_refunds(expression(sales_orders).filter(_.ordered_on > since), refunds)
    known = orders.filter(_.net.notnull())
    sums = known.aggregate(net=_.net.sum(), sale=_.sale.sum()).to_pandas().astype(float).iloc[0]
    return float(sums.net / sums.sale) if sums.sale else np.nan


def piece_orders(
    content: Table, orders: Table, *, named: Table | None = None, coded: Table | None = None
) -> DataFrame:
    """One row per order that is a piece's: order_id, piece_id, ordered_at (UTC), is_new and
    margin (after refunds; missing where a cost is). `orders`: `channels.with_refunds`; `named`
    is `content_orders`, `coded` the shop's orders with coupon and campaign.
    """
    content, orders = expression(content), expression(orders)
    orders = orders.select(
        "order_id",
        "ordered_at",
        is_new=orders.is_first & ~orders.is_left_truncated & orders.customer_id.notnull(),
        margin=orders.net.cast("float64"),
    )
    parts = []
    if named is not None:
        rows = expression(named).select("order_id", "piece_id")
        parts.append(rows.inner_join(orders, "order_id"))
    codes = content.filter(_.code.notnull()).select("code", "piece_id", "published_at")
    for column in ("coupon", "campaign") if coded is not None else ():
        carries = expression(coded).filter(_[column].notnull())
        carries = carries.select("order_id", code=carries[column])
        parts.append(carries.inner_join(codes, "code").inner_join(orders, "order_id"))
    names = ["order_id", "piece_id", "ordered_at", "is_new", "margin"]
    found = [part.to_pandas() for part in parts]
    if not found:
        return DataFrame(columns=names)
    for n, part in enumerate(found):
        part["rank"] = n
        part["published_at"] = pd.to_datetime(part.get("published_at"))
    both = pd.concat(found, ignore_index=True)
    both = both[both.published_at.isna() | (both.published_at <= both.ordered_at)]
    both = both.sort_values(
        ["order_id", "rank", "published_at", "piece_id"], ascending=[True, True, False, True]
    )
    return both.drop_duplicates("order_id")[names].reset_index(drop=True)


@dated
def content_pieces(
    content: Table, orders: DataFrame, *, usual: float, zone: str, as_of: dt.date
) -> DataFrame:
    """The pieces of a year and those too young to judge, what leaves least on top: the columns of
    the table `content_pieces` with began (local moment), minutes and new_margin beside them.
    `basis` is code where any piece of its format is found in orders or has a code, platform where
    only the platform counts, else none. `net` is missing of young pieces and without a cost.
    """
    days = DAYS_READ + WINDOW_DAYS + RETURN_DAYS
    rows = expression(content).filter(
        _.published_at > ibis.literal(pd.Timestamp(as_of) - pd.Timedelta(days=days))
    )
    pieces = rows.order_by("piece_id").to_pandas()
    pieces["format"] = pieces.format.where(pieces.format.notna(), pieces.kind)
    pieces["began"] = _local(pieces.published_at, zone)
    # of a column without any number an engine gives None
    for name in ("reach", "visits", "minutes"):
        pieces[name] = pd.to_numeric(pieces[name])
    pieces["cost"] = pieces.cost.astype(float)
    pieces = pieces.merge(_sums(_in_window(pieces, orders, zone)), on="piece_id", how="left")
    for name in ("orders", "new_orders", "margin", "new_margin", "squares"):
        pieces[name] = pieces[name].fillna(0.0)
    is_traced = (pieces.orders > 0) | pieces.code.notna()
    is_traced = is_traced.groupby(pieces.format).transform("any")
    sales = pieces.platform_sales.astype(float)
    pieces["basis"] = np.select([is_traced, sales.notna()], ["code", "platform"], "none")
    counted = pieces.platform_orders.astype(float)
    for name, told in (("orders", counted), ("margin", sales * usual)):
        pieces[name] = pieces[name].where(is_traced, told)
    for name in ("new_orders", "new_margin", "squares"):
        pieces[name] = pieces[name].where(is_traced)
    age = (pd.Timestamp(as_of) - pieces.began.dt.normalize()).dt.days
    pieces["status"] = np.where(age >= WINDOW_DAYS + RETURN_DAYS, "complete", "young")
    pieces["published_on"] = pieces.began.dt.date
    pieces["net"] = (pieces.margin - pieces.cost).where(pieces.status == "complete")
    error = Z90 * np.sqrt(np.fmax(pieces.squares, _one_order(pieces)))
    pieces["low"], pieces["high"] = pieces.net - error, pieces.net + error
    return pieces.sort_values(["net", "piece_id"], ignore_index=True)


def _one_order(pieces: DataFrame) -> float:
    """The mean square of an order's margin, for a piece that has had none."""
    n = pieces.orders[pieces.squares.notna()].sum()
    return pieces.squares.sum() / n if n else np.nan


def _local(moments: Series, zone: str) -> Series:
    utc = pd.to_datetime(moments)
    if utc.dt.tz is None:
        utc = utc.dt.tz_localize("UTC")
    return utc.dt.tz_convert(zone).dt.tz_localize(None)


def _in_window(pieces: DataFrame, orders: DataFrame, zone: str) -> DataFrame:
    """Orders of these pieces in their time, with local moment and age in days (the first is 0)."""
    columns = ["piece_id", "kind", "format", "began", "minutes"]
    both = orders.merge(pieces[columns], on="piece_id")
    both["at"] = _local(both.ordered_at, zone)
    both["age"] = (both["at"].dt.normalize() - both.began.dt.normalize()).dt.days
    return both[(both["at"] >= both.began) & (both.age < WINDOW_DAYS)]


def _sums(placed: DataFrame) -> DataFrame:
    """Orders of each piece in its time (`_in_window`), and their margin."""
    return _added_up(placed, ["piece_id"])


def _added_up(placed: DataFrame, by: list[str]) -> DataFrame:
    """Sums of orders by group; an unknown margin is the mean of those known."""
    margin = placed.margin.astype(float)
    margin = margin.fillna(margin.mean())
    is_new = placed.is_new.astype(bool)
    parts = placed.assign(
        margin=margin, new_margin=margin.where(is_new, 0.0), squares=margin**2, is_new=is_new
    )
    sums = parts.groupby(by).agg(
        orders=("order_id", "size"),
        new_orders=("is_new", "sum"),
        margin=("margin", "sum"),
        new_margin=("new_margin", "sum"),
        squares=("squares", "sum"),
    )
    return sums.reset_index()


@returns("channel_roi.content_formats")
def content_formats(
    pieces: DataFrame, orders: DataFrame, *, zone: str, as_of: dt.date
) -> DataFrame:
    """Each format's pieces of a year that are old enough, what loses most a month on top; live
    sessions stand in `live_hours`. Figures are of one piece; intervals are of 90 %.
    """
    pieces = pieces[pieces.kind != "live"]
    if pieces.net.isna().all():
        return empty("channel_roi.content_formats")
    by = ["format"]
    told = pieces.assign(
        is_young=pieces.status == "young",
        is_dear=(pieces.status != "young") & pieces.net.isna(),
    )
    counts = told.groupby(by).agg(
        n_young=("is_young", "sum"),
        n_unjudged=("is_dear", "sum"),
        kind=("kind", "first"),
        basis=("basis", "first"),
    )
    judged = pieces[pieces.net.notna()].assign(units=1.0)
    means = judged.groupby(by)[["reach", "visits", "orders", "new_orders", "margin", "cost"]].mean()
    table = counts.join(means).join(_judged(judged, by))
    table["pieces_a_month"] = table.n_pieces * DAYS_A_MONTH / DAYS_READ
    table = table.join(_half_lives(_in_window(judged, orders, zone), by)).reset_index()
    return _ranked("channel_roi.content_formats", table, table.pieces_a_month)


@returns("channel_roi.live_hours")
def live_hours(pieces: DataFrame, orders: DataFrame, *, zone: str, as_of: dt.date) -> DataFrame:
    """Each clock hour the shop was live in, what loses most a month on top. A session's cost and
    reach are spread over its minutes, an order placed while it lasts is its hour's, later ones are
    spread. Figures are of an hour live; intervals are of 90 %, sessions being the observations.
    """
    live = pieces[(pieces.kind == "live") & pieces.net.notna() & (pieces.minutes > 0)]
    if live.empty:
        return empty("channel_roi.live_hours")
    parts = _session_hours(live)
    parts = parts.merge(_hour_orders(live, orders, zone), on=["piece_id", "hour"], how="left")
    later = live.set_index("piece_id")
    for name in ("orders", "new_orders", "margin", "new_margin"):
        own = parts[name].fillna(0.0)
        rest = parts.piece_id.map(later[name]) - own.groupby(parts.piece_id).transform("sum")
        parts[name] = own + rest * parts.share
    for name in ("reach", "visits", "cost"):
        parts[name] = parts.piece_id.map(later[name].astype(float)) * parts.share
    parts["net"] = parts.margin - parts.cost
    sums = parts.groupby("hour")
    table = sums[["reach", "visits", "orders", "new_orders", "margin", "cost"]].sum(min_count=1)
    table = table.div(sums.units.sum(), axis=0).join(_judged(parts, ["hour"]))
    table["basis"] = parts.piece_id.map(later.basis).groupby(parts.hour).first()
    table["hours_a_month"] = sums.units.sum() * DAYS_A_MONTH / DAYS_READ
    table = table.reset_index()
    return _ranked("channel_roi.live_hours", table, table.hours_a_month)


def _session_hours(live: DataFrame) -> DataFrame:
    """One row per session and clock hour it touches: piece_id, hour, units (hours of it) and share
    of the session.
    """
    rows = []
    for row in live.itertuples():
        end = row.began + pd.Timedelta(minutes=float(row.minutes))
        at = row.began.floor("h")
        while at < end:
            upto = min(end, at + pd.Timedelta(hours=1))
            units = (upto - max(at, row.began)) / pd.Timedelta(hours=1)
            rows.append((row.piece_id, at.hour, units, units * 60 / float(row.minutes)))
            at += pd.Timedelta(hours=1)
    table = DataFrame(rows, columns=["piece_id", "hour", "units", "share"])
    return table.groupby(["piece_id", "hour"], as_index=False).sum()


def _hour_orders(live: DataFrame, orders: DataFrame, zone: str) -> DataFrame:
    """Orders placed while their session lasted, by its hour."""
    both = _in_window(live, orders, zone)
    lasts = pd.to_timedelta(both.minutes.astype(float), "min")
    both = both[both["at"] < both.began + lasts]
    return _added_up(both.assign(hour=both["at"].dt.hour), ["piece_id", "hour"])


def _judged(parts: DataFrame, by: list[str]) -> DataFrame:
    """By group: n_pieces, net a unit with its interval, and the chances that it costs too much
    with all its orders (p_loses) and pays with those of new customers alone (p_pays).
    """
    from scipy.stats import t

    net, error = _rates(parts, by, parts.net)
    new, new_error = _rates(parts, by, parts.new_margin - parts.cost)
    n = parts.groupby(by).size()
    df = (LIKE_PIECES + n - 1).astype(float)
    reach = t.ppf(0.95, df) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        chances = {"p_loses": t.cdf(-net / error, df), "p_pays": t.cdf(new / new_error, df)}
    is_few = n < LEAST_PIECES
    table = DataFrame({"n_pieces": n})
    for name, middle, half in (("net", net, reach), ("new", new, t.ppf(0.95, df) * new_error)):
        ends = ("low", "high") if name == "net" else ("new_low", "new_high")
        table[name], table[ends[0]], table[ends[1]] = middle, middle - half, middle + half
    for name, chance in chances.items():
        table[name] = Series(chance, index=n.index).mask(is_few)
    return table.rename(columns={"new": "net_new"})


def _rates(parts: DataFrame, by: list[str], values: Series) -> tuple[Series, Series]:
    """Sum of `values` over that of `units` by group, and its standard error: that of a ratio, its
    variance a piece drawn towards that of all groups.
    """
    keys = [parts[name] for name in by]
    groups, units = values.groupby(keys), parts.units.groupby(keys)
    rate = groups.sum(min_count=1) / units.sum()
    mine = parts[by].merge(rate.rename("rate").reset_index(), on=by, how="left").rate
    rest = (values - mine.to_numpy() * parts.units) ** 2
    within, n = rest.groupby(keys).sum(min_count=1), groups.size()
    pooled = within.sum() / max((n - 1).sum(), 1)
    variance = (LIKE_PIECES * pooled + within) / (LIKE_PIECES + n - 1)
    return rate, np.sqrt(variance * n) / units.sum()


def _half_lives(orders: DataFrame, by: list[str]) -> DataFrame:
    """By group: days until half of the orders of a piece's time had come, with a 90 % interval (of
    the median, by its order statistics); missing under ten orders.
    """
    rows = []
    for keys, part in orders.groupby(by):
        ages = part.age.to_numpy()
        rows.append((*keys, *half_life(ages)))
    names = ["half_life", "half_life_low", "half_life_high"]
    return DataFrame(rows, columns=[*by, *names]).set_index(by)


def half_life(ages: ndarray) -> tuple[float, float, float]:
    """Days after which half of the orders had come, and the ends of its 90 % interval. `ages` are
    whole days, 0 the first; within a day orders come evenly.
    """
    n = len(ages)
    if n < LEAST_ORDERS:
        return (np.nan,) * 3
    upto = np.concatenate([[0], np.bincount(ages.astype(int)).cumsum()])
    wide = Z90 * np.sqrt(n) / 2
    days = np.arange(len(upto))
    middle, low, high = (np.interp(n / 2 + d, upto, days) for d in (0, -wide, wide))
    return float(middle), float(low), float(high)


def _ranked(name: str, table: DataFrame, a_month: Series) -> DataFrame:
    table = table.assign(net_a_month=table.net * a_month)
    is_own = table.basis == "code"
    sure = [table.p_loses >= SURE, is_own & (table.p_pays >= SURE)]
    table["verdict"] = np.select(sure, ["costs too much", "pays"], "not known")
    table["p_pays"] = table.p_pays.where(is_own)
    table["n_pieces"] = table.n_pieces.fillna(0).astype(int)
    last = "format" if "format" in table else "hour"
    return frame_of(name, table.sort_values(["net_a_month", last], ignore_index=True))


@dated
def content_decisions(found: dict[str, DataFrame], *, as_of: dt.date, currency: str) -> DataFrame:
    """Formats that cost too much stop (the two dearest), a quarter more is made of the one that
    pays best, the dearest that nobody knows of is tested; of live hours, the one that loses most
    moves to the best that pays, or is dropped. None without tables.
    """
    rows: list[dict[str, Any]] = []
    days = {
        "due_on": str(as_of + dt.timedelta(days=DUE_DAYS)),
        "revisit_on": str(as_of + dt.timedelta(days=REVISIT_DAYS)),
        "currency": currency,
    }
    formats, hours = found.get("content_formats"), found.get("live_hours")
    if formats is not None and len(formats):
        rows += _format_rows(formats, days)
    if hours is not None and len(hours):
        rows += _hour_rows(hours, days)
    return decision_rows(rows)


def _said(row: Any, times: float) -> dict[str, Any]:
    return {
        "n": int(row.n_pieces),
        "orders": row.orders,
        "confidence": "high" if row.n_pieces >= CONFIDENT else "medium",
        "evidence_value": row.margin / row.cost if row.cost else np.nan,
        "threshold": 1.0,
        "effect": tuple(-times * v for v in (row.net, row.high, row.low)),
    }


def _format_rows(formats: DataFrame, days: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    subject = "channel_roi.content_format"
    for row in formats[formats.verdict == "costs too much"][:MOST_STOPPED].itertuples():
        size = row.cost * row.pieces_a_month
        said = _said(row, row.pieces_a_month)
        name = say(subject, format=row.format)
        rows.append(
            propose(
                "channel_roi.content_stop",
                name,
                size=size,
                **said,
                **days,
            )
        )
    pays = formats[formats.verdict == "pays"]
    pays = pays.assign(gain=pays.net_new * pays.pieces_a_month)
    for row in pays.nlargest(1, "gain").itertuples():
        more = STEP * row.pieces_a_month
        effect = tuple(more * v for v in (row.net_new, row.new_low, row.new_high))
        over = 1 + row.net_new / row.cost if row.cost else np.nan
        said = _said(row, 0.0) | {"effect": effect, "evidence_value": over}
        name = say(subject, format=row.format)
        rows.append(
            propose(
                "channel_roi.content_more",
                name,
                size=more * row.cost,
                **said,
                **days,
            )
        )
    open_ = formats[(formats.verdict == "not known") & (formats.n_pieces >= LEAST_PIECES)]
    open_ = open_.assign(size=open_.cost * open_.pieces_a_month)
    for row in open_.nlargest(1, "size").itertuples():
        said = _said(row, 0.0) | {"effect": ()}
        name = say(subject, format=row.format)
        rows.append(
            propose(
                "channel_roi.content_test",
                name,
                size=row.size,
                **said,
                **days,
            )
        )
    return rows


def _hour_rows(hours: DataFrame, days: dict[str, Any]) -> list[dict[str, Any]]:
    best = hours[hours.verdict == "pays"].nlargest(1, "net")
    for row in hours[hours.verdict == "costs too much"][:1].itertuples():
        kind, to = "live_drop", ""
        if len(best):
            kind, to = "live_move", f"{best.hour.iloc[0]}:00"
        size = row.cost * row.hours_a_month
        name = say("channel_roi.live_hour", hour=row.hour)
        said = _said(row, row.hours_a_month)
        return [
            propose(
                f"channel_roi.{kind}",
                name,
                size=size,
                to=to,
                **said,
                **days,
            )
        ]
    return []
