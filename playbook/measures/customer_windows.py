"""One shop's past cut at a day: purchase histories, and forecast against outcome in the
sums the backtest keeps.

The whole base is summarised in the engine, one row per customer; only a fixed sample
comes here day by day. In the backtest customers are whole numbers and frames are sorted
by customer and day, so that a hundred origins stay cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.methods.customer_models import poisson_deviance
from playbook.methods.backtest import MIN_ORIGINS
from playbook.store import expression

__all__ = [
    "BAND_EDGES",
    "MONEY",
    "TRAITS",
    "purchase_history",
    "purchase_log",
    "hash_places",
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

BAND_EDGES = np.geomspace(
    0.005, 20, 25
)  # sizes of forecast that are pooled for one customer's interval
MONEY = "decimal(18, 6)"  # exact sums: the same whatever the order of the rows
TRAITS = ("channel", "category")


def purchase_history(
    customer_days: Any, *, as_of: Any, basis: str = "revenue", traits: Any = None
) -> pd.DataFrame:
    """One row per customer with a purchase up to `as_of`: customer_id, first_on, x,
    t_x, T, first_amount, amount, mean.

    x = later purchase days, t_x = age in days at the last one, T = age at `as_of`.
    `amount` = all money (`basis`: revenue or margin) less refunds; `first_amount` that
    of the first purchase day; `mean` = money after that day per later purchase day
    (missing where x = 0). Days with refunds only count as money, never as purchases.
    Sorted by id. With `traits` (ltv.first_orders) also channel and category.
    """
    day, t, bought = pd.Timestamp(as_of), _days(customer_days, as_of), _.orders > 0
    t = (
        t.mutate(money=t[basis].cast(MONEY))
        .group_by("customer_id")
        .aggregate(
            first_on=_.day_on.min(where=bought).cast("timestamp"),
            last_on=_.day_on.max(where=bought).cast("timestamp"),
            n_days=bought.sum(),
            amount=_.money.sum().cast("float64"),
            first_amount=_.money.cast("float64").argmin(_.day_on, where=bought & _.money.notnull()),
        )
        .filter(_.n_days > 0)
    )
    known = None if traits is None else _one_each(traits)
    t = t if known is None else t.left_join(known, "customer_id").drop("customer_id_right")
    out = t.order_by("customer_id").to_pandas()
    first, last = pd.to_datetime(out["first_on"]), pd.to_datetime(out["last_on"])
    x = out["n_days"].to_numpy("int64") - 1
    return pd.DataFrame(
        {
            "customer_id": out["customer_id"],
            "first_on": first,
            "x": x,
            "t_x": (last - first).dt.days.astype("int64"),
            "T": (day - first).dt.days.astype("int64"),
            "first_amount": out["first_amount"].astype(float),
            "amount": out["amount"].astype(float),
            "mean": (out["amount"] - out["first_amount"]).astype(float).where(x > 0)
            / np.where(x > 0, x, 1),
            **{
                name: out[name]
                for name in (known.columns if known is not None else ())
                if name != "customer_id"
            },
        },
        copy=False,
    )


def purchase_log(
    customer_days: Any, customers: pd.Series, *, as_of: Any, basis: str
) -> pd.DataFrame:
    """customer_id (the place in `customers`), day_on, orders, money of those customers,
    sorted by customer and day.
    """
    t = _days(customer_days, as_of)
    t = t.semi_join(
        ibis.memtable(customers.to_frame("customer_id").reset_index(drop=True)), "customer_id"
    )
    t = t.select("customer_id", "orders", "day_on", money=t[basis].cast("float64"))
    frame = t.order_by("customer_id", "day_on", "orders", "money").to_pandas()
    place = pd.Index(customers).get_indexer(frame["customer_id"])
    return frame.assign(customer_id=place, day_on=pd.to_datetime(frame["day_on"]))


def _days(customer_days: Any, as_of: Any) -> ibis.Table:
    t = expression(customer_days).mutate(day_on=_.day_on.cast("date"))
    return t.filter(_.day_on <= ibis.literal(pd.Timestamp(as_of).date()), _.customer_id.notnull())


def _one_each(traits: Any) -> ibis.Table:
    """One row per customer whatever `traits` repeats."""
    t = expression(traits)
    return t.group_by("customer_id").aggregate(
        **{name: t[name].min() for name in TRAITS if name in t.columns}
    )


def hash_places(ids: pd.Series) -> np.ndarray:
    """A fixed place in 0 to 2^64 for each id, the same every month; a slice at a time,
    as text is large.
    """
    slices = range(0, len(ids), 500_000)
    parts = [
        pd.util.hash_array(ids.iloc[k : k + 500_000].to_numpy(object), categorize=False)
        for k in slices
    ]
    return np.concatenate([np.zeros(0, "uint64"), *parts])


def month_names(days: pd.Series) -> np.ndarray:
    """`YYYY-MM` of each day."""
    months, code = np.unique(days.to_numpy("datetime64[M]"), return_inverse=True)
    return months.astype(str).astype(object)[code]


def history_of(past: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    """As purchase_history, from a frame sorted by customer and day: fast enough for a
    hundred origins.
    """
    bought = past["orders"].to_numpy() > 0
    who, when = past["customer_id"].to_numpy()[bought], past["day_on"].to_numpy()[bought]
    ids, start, n = np.unique(who, return_index=True, return_counts=True)
    first, last = pd.Series(when[start]), pd.Series(when[start + n - 1])
    place = np.searchsorted(ids, past["customer_id"].to_numpy())
    known = (place < len(ids)) & past["money"].notna().to_numpy()
    known[known] = ids[place[known]] == past["customer_id"].to_numpy()[known]
    amount = np.bincount(place[known], past["money"].to_numpy()[known], len(ids))
    opening, x = past["money"].to_numpy()[bought][start], n - 1
    return pd.DataFrame(
        {
            "customer_id": ids,
            "first_on": first,
            "x": x,
            "t_x": (last - first).dt.days,
            "T": (day - first).dt.days,
            "first_amount": opening,
            "amount": amount,
            "mean": np.where(x > 0, (amount - opening) / np.maximum(x, 1), np.nan),
        }
    )


def spend_rows(history: pd.DataFrame) -> pd.DataFrame:
    """Columns n and mean for the spend model: repeat days where there are enough of
    them, else all purchase days.
    """
    if (history["x"] > 0).sum() >= 30:
        return pd.DataFrame({"n": history["x"], "mean": history["mean"]})
    return pd.DataFrame({"n": history["x"] + 1, "mean": history["amount"] / (history["x"] + 1)})


def tenths(expected: np.ndarray) -> np.ndarray:
    """Tenth (1 = least) of each forecast among all, equal forecasts in the same one."""
    middle = pd.Series(expected).rank(method="average").to_numpy() - 0.5
    return np.minimum((10 * middle / len(expected)).astype(int), 9) + 1


def window_sums(
    model: str,
    expected: np.ndarray,
    each: np.ndarray,
    actual: np.ndarray,
    money: np.ndarray,
    groups: dict[str, tuple[np.ndarray, np.ndarray]],
    judged: np.ndarray,
) -> list[dict]:
    """Sums of forecast and outcome: of all `judged`, by tenth of the forecast worth of
    those, and by group (`names` and each customer's place in them, -1 for none);
    purchases and money.
    """
    worth = expected * each
    groups = {"total": (np.array(["all"]), np.where(judged, 0, -1))} | groups
    if np.isfinite(worth).all():
        place = np.full(len(worth), -1)
        place[judged] = tenths(worth[judged]) - 1
        groups["decile"] = np.array([f"{k:02d}" for k in range(1, 11)]), place
    unit = max(float(each[judged].mean()), 1e-9)
    rows = []
    for kind, (names, code) in groups.items():
        size, n = np.bincount(code + 1, minlength=len(names) + 1)[1:], len(names) + 1
        for measure, point, came, scale in (
            ("purchases", expected, actual, 1.0),
            ("money", worth, money, unit),
        ):
            points, outcomes = (np.bincount(code + 1, v, minlength=n)[1:] for v in (point, came))
            rows += [
                {
                    "model": model,
                    "measure": measure,
                    "kind": kind,
                    "subject": names[k],
                    "point": points[k],
                    "actual": outcomes[k],
                    "unit": scale,
                    "n_customers": size[k],
                }
                for k in np.flatnonzero(size)
            ]
    return rows


def window_losses(actual: np.ndarray, expected: np.ndarray) -> dict:
    """Mean Poisson deviance, mean absolute error, the share of purchases made by the
    tenth forecast to buy most, and the loss that chooses: deviance per purchase
    (missing where nobody bought).
    """
    deviance, bought = poisson_deviance(actual, expected), actual.sum()
    tenth = max(len(actual) // 10, 1)
    edge = np.partition(expected, -tenth)[-tenth]  # customers who tie at the edge share its places
    above, at = expected > edge, expected == edge
    caught = actual[above].sum() + actual[at].sum() * (tenth - above.sum()) / at.sum()
    return {
        "deviance": deviance,
        "mae": float(np.abs(actual - expected).mean()),
        "n_customers": len(actual),
        "top_share": float(caught / bought) if bought else np.nan,
        "loss": deviance / (bought / len(actual)) if bought else np.nan,
    }


def band_of(expected: np.ndarray) -> np.ndarray:
    """Number of the band a forecast falls in."""
    return np.searchsorted(BAND_EDGES, expected)


def count_by_band(actual: np.ndarray, expected: np.ndarray) -> pd.DataFrame:
    """Customers by band of forecast and purchases made: the raw material of one
    customer's interval.
    """
    band, bought = band_of(expected), actual.astype(int)
    key, n = np.unique(band * 10_000 + bought, return_counts=True)
    return pd.DataFrame({"band": key // 10_000, "bought": key % 10_000, "n": n})


def count_bands(
    bands: pd.DataFrame, band: np.ndarray, *, as_of: Any, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Low and high count for subjects in `band`: what past subjects forecast alike did,
    windows ended by `as_of`.

    `bands`: origin_on, horizon_days (one only), band, bought, n. The limits are the
    narrowest whole numbers from the middle outward that held at least `level` of them;
    missing under eight origins or 100 past subjects in the band.
    """
    due = pd.to_datetime(bands["origin_on"]) + pd.to_timedelta(bands["horizon_days"], "D")
    seen = bands[due <= pd.Timestamp(as_of)]
    low, high = np.full(len(band), np.nan), np.full(len(band), np.nan)
    if seen["origin_on"].nunique() < MIN_ORIGINS:
        return low, high
    for number, rows in seen.groupby("band"):
        counts = rows.groupby("bought")["n"].sum().sort_index()
        if counts.sum() < 100:
            continue
        below = counts.cumsum() / counts.sum()
        tail = (1 - level) / 2
        at = band == number
        low[at] = below.index[np.searchsorted(below.to_numpy(), tail, side="right")]
        high[at] = below.index[np.searchsorted(below.to_numpy(), 1 - tail)]
    return low, high


def band_coverage(bands: pd.DataFrame, *, levels: Sequence[float] = (0.8, 0.95)) -> pd.DataFrame:
    """Share of single subjects whose count lay within the limits of their day, over all
    origins and horizons.

    One row per level: n_intervals, n_not_yet, covered_share. Counts are whole, so the
    share may exceed the level.
    """
    rows = []
    for level in levels:
        inside = judged = waiting = 0
        for _horizon, one in bands.groupby("horizon_days"):
            for origin, now in one.groupby("origin_on"):
                low, high = count_bands(one, now["band"].to_numpy(), as_of=origin, level=level)
                known = np.isfinite(low)
                n, bought = now["n"].to_numpy(), now["bought"].to_numpy()
                inside += int(n[known & (bought >= low) & (bought <= high)].sum())
                judged, waiting = judged + int(n[known].sum()), waiting + int(n[~known].sum())
        rows.append(
            {
                "level": level,
                "n_intervals": judged,
                "n_not_yet": waiting,
                "covered_share": inside / judged if judged else np.nan,
            }
        )
    return pd.DataFrame(rows)
