"""One shop's past cut at a day: purchase histories, and forecast against outcome in the
sums the backtest keeps.

The whole base is summarised in the engine, one row per customer; only a fixed sample
comes here day by day. In the backtest customers are whole numbers and frames are sorted
by customer and day, so that a hundred origins stay cheap.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import ibis
import numpy as np
import pandas as pd
from ibis import _
from numpy import ndarray
from pandas import DataFrame, Series, Timestamp

from playbook.given import dated, reads
from playbook.methods.backtest import MIN_ORIGINS
from playbook.methods.customer_models import poisson_deviance
from playbook.methods.hashing import hash_places
from playbook.store import expression

__all__ = [
    "BAND_EDGES",
    "MONEY",
    "TRAITS",
    "Table",
    "purchase_history",
    "purchase_log",
    "fixed_sample",
    "known_traits",
    "month_codes",
    "month_names",
    "history_of",
    "spend_rows",
    "tenths",
    "window_sums",
    "window_losses",
    "count_by_band",
    "band_of",
    "count_bands",
    "band_coverage",
]

#: sizes of forecast that are pooled for one customer's interval
BAND_EDGES = np.geomspace(0.005, 20, 25)
#: past customers of a band below which its interval is not told
BAND_CUSTOMERS = 100
#: customers who came back below which the first purchase tells of spend too
SPEND_REPEATERS = 30
#: exact sums: the same whatever the order of the rows
MONEY = "decimal(18, 6)"
TRAITS = ("channel", "category")
#: columns of `window_sums`
WINDOW_SUMS = [
    "measure",
    "kind",
    "subject",
    "point",
    "actual",
    "unit",
    "n_customers",
    "model",
]

Table = ibis.Table | DataFrame


@reads(customer_days="customer_id day_on orders {basis}")
@dated
def purchase_history(
    customer_days: Table, *, as_of: dt.date, basis: str = "revenue", traits: Table | None = None
) -> DataFrame:
    """One row per customer with a purchase up to `as_of`: customer_id, first_on, x,
    t_x, T, first_amount, amount, mean.

    x = later purchase days, t_x = age in days at the last one, T = age at `as_of`.
    `amount` = all money (`basis`: revenue or margin) less refunds; `first_amount` that
    of the first purchase day; `mean` = money after that day per later purchase day
    (missing where x = 0). Days with refunds only count as money, never as purchases.
    Sorted by id. With `traits` (ltv.first_orders) also channel and category.
    """
    bought = _.orders > 0
    t = _days(customer_days, as_of).mutate(money=_[basis].cast(MONEY))
    t = (
        t.group_by("customer_id")
        .aggregate(
            first_on=_.day_on.min(where=bought).cast("timestamp"),
            last_on=_.day_on.max(where=bought).cast("timestamp"),
            n_days=bought.sum(),
            amount=_.money.sum().cast("float64"),
            first_amount=_.money.cast("float64").argmin(_.day_on, where=bought & _.money.notnull()),
        )
        .filter(_.n_days > 0)
    )
    names = []
    if traits is not None:
        known = expression(traits)
        names = [name for name in TRAITS if name in known.columns]
        # one row per customer whatever `traits` repeats
        known = known.group_by("customer_id").aggregate(**{n: known[n].min() for n in names})
        t = t.left_join(known, "customer_id").drop("customer_id_right")
    out = t.order_by("customer_id").to_pandas()
    first_on, last_on = pd.to_datetime(out.first_on), pd.to_datetime(out.last_on)
    days = DataFrame({"first_on": first_on, "last_on": last_on, "n": out.n_days})
    money = out[["first_amount", "amount"]].astype(float)
    history = _history(
        out.customer_id,
        days,
        money,
        Timestamp(as_of),
    )
    return history.assign(**out[names])


def _history(ids: Series, days: DataFrame, money: DataFrame, as_of: Timestamp) -> DataFrame:
    """The columns of `purchase_history` from first_on, last_on and n (purchase days),
    first_amount and amount of each customer.
    """
    x = days.n.to_numpy("int64") - 1
    later = money.amount - money.first_amount
    return DataFrame(
        {
            "customer_id": ids,
            "first_on": days.first_on,
            "x": x,
            "t_x": (days.last_on - days.first_on).dt.days,
            "T": (as_of - days.first_on).dt.days,
            "first_amount": money.first_amount,
            "amount": money.amount,
            "mean": later.where(x > 0) / np.maximum(x, 1),
        },
        copy=False,
    )


@dated
def purchase_log(
    customer_days: Table, customers: Series, *, as_of: dt.date, basis: str
) -> DataFrame:
    """customer_id (the place in `customers`), day_on, orders, money of those customers,
    sorted by customer and day.
    """
    t, ids = _days(customer_days, as_of), customers.to_frame("customer_id")
    t = t.semi_join(ibis.memtable(ids.reset_index(drop=True)), "customer_id")
    t = t.select(
        "customer_id",
        "orders",
        "day_on",
        money=t[basis].cast("float64"),
    )
    frame = t.order_by(
        "customer_id",
        "day_on",
        "orders",
        "money",
    ).to_pandas()
    place = pd.Index(customers).get_indexer(frame.customer_id)
    return frame.assign(customer_id=place, day_on=pd.to_datetime(frame.day_on))


def _days(customer_days: Table, as_of: dt.date) -> ibis.Table:
    t = expression(customer_days).mutate(day_on=_.day_on.cast("date"))
    return t.filter(_.day_on <= ibis.literal(Timestamp(as_of).date()), _.customer_id.notnull())


def fixed_sample(ids: Series, most: int) -> ndarray:
    """The rows of up to `most` customers, the same ones every month, in order."""
    return np.sort(np.argsort(hash_places(ids), kind="stable")[:most])


def known_traits(history: DataFrame) -> DataFrame:
    """The traits that a purchase history carries."""
    return history[[name for name in TRAITS if name in history]]


def month_codes(days: Series) -> tuple[ndarray, ndarray]:
    """The months of the days (`YYYY-MM`, each once, in order), and each day's place."""
    months, code = np.unique(days.to_numpy("datetime64[M]"), return_inverse=True)
    return months.astype(str), code


def month_names(days: Series) -> ndarray:
    """`YYYY-MM` of each day."""
    months, code = month_codes(days)
    return months.astype(object)[code]


def history_of(past: DataFrame, day: Timestamp) -> DataFrame:
    """As purchase_history, from a frame sorted by customer and day: fast enough for a
    hundred origins.
    """
    bought, everyone = past[past.orders > 0], past.customer_id.to_numpy()
    ids, start, n = np.unique(
        bought.customer_id,
        return_index=True,
        return_counts=True,
    )
    when = bought.day_on.to_numpy()
    # refunds of customers without a purchase so far count for nobody
    place = np.searchsorted(ids, everyone)
    known = (place < len(ids)) & past.money.notna().to_numpy()
    known[known] = ids[place[known]] == everyone[known]
    amount = np.bincount(place[known], past.money.to_numpy()[known], len(ids))
    days = DataFrame({"first_on": when[start], "last_on": when[start + n - 1], "n": n})
    opening = bought.money.to_numpy()[start]
    return _history(
        ids,
        days,
        DataFrame({"first_amount": opening, "amount": amount}),
        day,
    )


def spend_rows(history: DataFrame) -> DataFrame:
    """Columns n and mean for the spend model: repeat days where there are enough of
    them, else all purchase days.
    """
    if (history.x > 0).sum() >= SPEND_REPEATERS:
        return history[["x", "mean"]].rename(columns={"x": "n"})
    n = history.x + 1
    return DataFrame({"n": n, "mean": history.amount / n})


def tenths(expected: ndarray) -> ndarray:
    """Tenth (1 = least) of each forecast among all, equal forecasts in the same one."""
    middle = Series(expected).rank(method="average").to_numpy() - 0.5
    return np.minimum((10 * middle / len(expected)).astype(int), 9) + 1


def window_sums(
    expected: Mapping[str, ndarray],
    came: Mapping[str, ndarray],
    judged: ndarray,
    groups: Mapping[str, tuple[ndarray, ndarray]],
) -> DataFrame:
    """Sums of forecast and outcome, purchases and money: of all `judged`, by tenth of
    the forecast worth of those, and by group (`names`, and each customer's place in
    them, -1 for none). One row per model, measure, kind and subject: point, actual, unit,
    n_customers.

    `expected`: model -> purchases expected of each customer. `came`, one number per
    customer: actual (purchases), each (expected money per purchase), money.
    """
    each, groups = came["each"], dict(groups)
    sides = {"total": (np.array(["all"]), np.where(judged, 0, -1))} | groups
    unit = max(float(each[judged].mean()), 1e-9)
    parts = []
    for model, purchases in expected.items():
        worth = purchases * each
        measures = {
            "purchases": (purchases, came["actual"], 1.0),
            "money": (worth, came["money"], unit),
        }
        for kind, (names, code) in (sides | _tenths_of(worth, judged)).items():
            parts += _sums_of_kind(
                model,
                kind,
                names,
                code,
                measures,
            )
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return DataFrame(dict(zip(WINDOW_SUMS, joined, strict=True)))


def _tenths_of(worth: ndarray, judged: ndarray) -> dict[str, tuple[ndarray, ndarray]]:
    """The kind `decile`: its names and each judged customer's place; none where the worth
    of a customer is not known.
    """
    if not np.isfinite(worth).all():
        return {}
    place = np.full(len(worth), -1)
    place[judged] = tenths(worth[judged]) - 1
    return {"decile": (np.array([f"{k:02d}" for k in range(1, 11)]), place)}


def _sums_of_kind(
    model: str,
    kind: str,
    names: ndarray,
    code: ndarray,
    measures: Mapping[str, tuple[ndarray, ndarray, float]],
) -> list[tuple]:
    """Per measure the columns of `WINDOW_SUMS`, one entry for each group with a customer."""
    n = len(names) + 1
    size = np.bincount(code + 1, minlength=n)[1:]
    there = np.flatnonzero(size)
    rows = []
    for measure, (point, actual, unit) in measures.items():
        sums = [np.bincount(code + 1, v, minlength=n)[1:][there] for v in (point, actual)]
        same = [[told] * len(there) for told in (measure, kind)]
        tail = ([unit] * len(there), size[there], [model] * len(there))
        rows.append((*same, names[there], *sums, *tail))
    return rows


def window_losses(actual: ndarray, expected: ndarray) -> dict:
    """Mean Poisson deviance, mean absolute error, the share of purchases made by the
    tenth forecast to buy most, and the loss that chooses: deviance per purchase
    (missing where nobody bought).
    """
    deviance, bought, n = poisson_deviance(actual, expected), actual.sum(), len(actual)
    tenth = max(n // 10, 1)
    # customers who tie at the edge share its places
    edge = np.partition(expected, -tenth)[-tenth]
    above, at = expected > edge, expected == edge
    caught = actual[above].sum() + actual[at].sum() * (tenth - above.sum()) / at.sum()
    return {
        "deviance": deviance,
        "mae": float(np.abs(actual - expected).mean()),
        "n_customers": n,
        "top_share": float(caught / bought) if bought else np.nan,
        "loss": deviance / (bought / n) if bought else np.nan,
    }


def band_of(expected: ndarray) -> ndarray:
    """Number of the band a forecast falls in."""
    return np.searchsorted(BAND_EDGES, expected)


def count_by_band(actual: ndarray, expected: ndarray, **key: object) -> DataFrame:
    """Customers by band of forecast and purchases made: the raw material of one
    customer's interval. `key`: what stands beside every row.
    """
    band, bought = band_of(expected), actual.astype(int)
    place, n = np.unique(band * 10_000 + bought, return_counts=True)
    return DataFrame({"band": place // 10_000, "bought": place % 10_000, "n": n, **key})


@dated
def count_bands(
    bands: DataFrame, band: ndarray, *, as_of: dt.date, level: float
) -> tuple[ndarray, ndarray]:
    """Low and high count for subjects in `band`: what past subjects forecast alike did,
    windows ended by `as_of`.

    `bands`: origin_on, horizon_days (one only), band, bought, n. The limits are the
    narrowest whole numbers from the middle outward that held at least `level` of them;
    missing under eight origins or 100 past subjects in the band.
    """
    due = pd.to_datetime(bands.origin_on) + pd.to_timedelta(bands.horizon_days, "D")
    ended = bands[due <= Timestamp(as_of)]
    low, high = np.full(len(band), np.nan), np.full(len(band), np.nan)
    if ended.origin_on.nunique() < MIN_ORIGINS:
        return low, high
    tail = (1 - level) / 2
    counts = _customers_by_count(ended)
    sizes = counts.sum(axis=1)
    for number in np.flatnonzero(sizes >= BAND_CUSTOMERS):
        below, at = counts[number].cumsum() / sizes[number], band == number
        low[at] = np.searchsorted(below, tail, side="right")
        high[at] = np.searchsorted(below, 1 - tail)
    return low, high


def _customers_by_count(ended: DataFrame) -> ndarray:
    """Customers by band (rows) and purchases made, from none upward (columns)."""
    band, bought = ended.band.to_numpy(int), ended.bought.to_numpy(int)
    wide, high = bought.max() + 1, band.max() + 1
    cells = np.bincount(band * wide + bought, ended.n.to_numpy(float), high * wide)
    return cells.reshape(high, wide)


def band_coverage(bands: DataFrame, *, levels: Sequence[float] = (0.8, 0.95)) -> DataFrame:
    """Share of single subjects whose count lay within the limits of their day, over all
    origins and horizons.

    One row per level: n_intervals, n_not_yet, covered_share. Counts are whole, so the
    share may exceed the level.
    """
    rows = []
    for level in levels:
        inside = judged = waiting = 0
        for _horizon, windows in bands.groupby("horizon_days"):
            for origin, now in windows.groupby("origin_on"):
                low, high = count_bands(
                    windows,
                    now.band.to_numpy(),
                    as_of=origin,
                    level=level,
                )
                known, bought = np.isfinite(low), now.bought
                inside += int(now.loc[(bought >= low) & (bought <= high), "n"].sum())
                judged += int(now.loc[known, "n"].sum())
                waiting += int(now.loc[~known, "n"].sum())
        rows.append((level, judged, waiting, inside / judged if judged else np.nan))
    return DataFrame(rows, columns=["level", "n_intervals", "n_not_yet", "covered_share"])
