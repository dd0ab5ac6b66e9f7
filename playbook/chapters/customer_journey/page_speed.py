"""How fast pages load, how often they fail, and what slow or failing ones could cost.

Visits with a slow or failing load are held against visits that met the same page on the same
device without it. Visits with fast loads differ in other ways too: better phones, better networks,
other buyers. So the difference bounds what a mended page would bring; only a test says more. A slow
phone stays slow: the pages come in the order of the slow loads they have beyond the device's other
pages. Where
a page became slower or began to fail while it did not on the other devices, what its visits bought
before and after, beside the others', is an effect. Visits that left before a page told its time
are in no table; the bound does not hold them.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame, Series, Timestamp

from playbook import tables
from playbook.chapters.customer_journey.visits import filled
from playbook.errors import PlaybookError
from playbook.given import dated
from playbook.methods.proportions import Z90, adjusted_p, share_difference, wilson
from playbook.store import expression, one_if

__all__ = ["page_losses", "page_speed"]

#: ms up to which a load is fast, and from which it is slow (web.dev/articles/lcp: good, poor)
FAST, SLOW = 2500, 4000
#: width of the steps loads are counted in, ms, and the longest told apart
STEP, LONGEST = 20, 60_000
#: months looked at, the report month the last; loads below which a page is left out
MONTHS, LEAST_LOADS = 3, 100
#: visits with and without a thing below which they are not held against each other
LEAST_WITH, LEAST_WITHOUT = 30, 200
#: chance of any false alarm, and rise of a share of loads below which nothing has changed
ALPHA, LEAST_RISE = 0.05, 0.02
DAYS_A_MONTH = 365.25 / 12
CELL = ["page", "device"]


@tables.returns("customer_journey.page_speed")
def page_speed(loads: Table, *, as_of: dt.date | str) -> DataFrame:
    """Loads of the report month by page and device, most of them first: the time three in four
    stay under, slow ones, errors, each beside the two months before. Intervals are of 90 %. Pages
    with few loads are left out.
    """
    rows = _told(loads, as_of)
    within = (rows.ms / STEP).floor().cast("int64")
    step = ibis.cases((rows.ms.isnull(), -1), (rows.ms > LONGEST, LONGEST // STEP), else_=within)
    counts = rows.group_by("is_now", *CELL, step=step)
    frame = counts.aggregate(
        n=_.count(),
        slow=(_.ms > SLOW).sum(),
        errors=_.is_error.sum(),
        told=_.is_error.count(),
    )
    frame = frame.order_by("is_now", *CELL, "step").to_pandas().fillna(0)
    frame = frame.astype(dict.fromkeys(["n", "slow", "errors", "told"], float))
    parts = dict(iter(frame.groupby(["is_now", *CELL])))
    out = []
    for (is_now, *cell), part in parts.items():
        if not is_now or part.n.sum() < LEAST_LOADS:
            continue
        before = parts.get((False, *cell), part[:0])
        out.append(dict(zip(CELL, cell, strict=True)) | _speed(part, before))
    table = tables.frame_of("customer_journey.page_speed", out)
    return table.sort_values(["n", *CELL], ascending=[False, True, True], ignore_index=True)


@tables.returns("customer_journey.page_losses")
def page_losses(
    loads: Table, events: Table, *, as_of: dt.date | str, margin_per_order: float = np.nan
) -> DataFrame:
    """What slow loads, errors and changes of a page could cost a month, by page and device:
    changes and errors first, each kind by what `n_more` of its visits cost. Three months of
    visits are read; those whose loads were told stand for all visits of the events. A visit counts
    once a page, by its first load. What loads between fast and slow cost is not in it. Intervals
    are of 90 %; Holm's p over all that was held against something.

    Raises:
        PlaybookError: no load names a visit of the events.
    """
    visits, scale, days = _joined(loads, events, as_of)
    sums = _sums(visits)
    if sums.empty:
        raise PlaybookError("customer_journey.no_visit_of_loads", table="page_loads")
    whole = sums.drop(columns="is_now").groupby(CELL, as_index=False).sum()
    table = pd.concat([_changed(sums), _beside(whole, "error"), _beside(whole, "slow")])
    now = table.kind == "changed"
    table["p_adjusted"] = adjusted_p(table.p, method="holm")
    # a change is the report month's, the others are those of all days read
    a_month = scale * np.where(now, 1.0, DAYS_A_MONTH / max(days, 1))
    table["rank"] = table.difference * table.n_more
    for name in ("difference", "low", "high"):
        table[name] = table[name] * table.n_with * a_month
    table = table.rename(
        columns={
            "difference": "lost_orders",
            "low": "lost_low",
            "high": "lost_high",
        }
    )
    table["lost"] = table.lost_orders * margin_per_order
    table["lost_low"], table["lost_high"] = (
        table[end] * margin_per_order for end in ("lost_low", "lost_high")
    )
    order = table.kind.map({"changed": 0, "error": 1, "slow": 2})
    by = ["order", "rank", *CELL]
    table = table.assign(order=order).sort_values(by, ascending=[True, False, True, True])
    names = tables.schema("customer_journey.page_losses").names
    return table[names].reset_index(drop=True)


@dated
def _told(loads: Table, as_of: dt.date) -> Table:
    """The loads of three months: is_now (of the report month), ms, is_error."""
    first = (Timestamp(as_of).replace(day=1) - pd.DateOffset(months=MONTHS - 1)).date()
    rows = filled(expression(loads), "device")
    absent = {
        "load_ms": "float64",
        "is_error": "boolean",
        "session_id": "string",
    }
    lacks = {name: ibis.null(kind) for name, kind in absent.items() if name not in rows.columns}
    rows = rows.mutate(**lacks) if lacks else rows
    rows = rows.filter(_.loaded_at.date().between(first, as_of))
    since = Timestamp(as_of).replace(day=1).to_pydatetime()
    return rows.mutate(is_now=_.loaded_at >= since, ms=_.load_ms.cast("float64"))


def _speed(now: DataFrame, before: DataFrame) -> dict[str, float]:
    """Figures of a page on a device from its loads counted in steps."""
    told = now.told.sum()
    share = now.errors.sum() / told if told else np.nan
    low, high = wilson(now.errors.sum(), told, 0.9)
    timed = now[now.step >= 0]
    n = timed.n.sum()
    half = Z90 * np.sqrt(0.75 * 0.25 / n) if n else np.nan
    old = before.told.sum()
    return {
        "n": int(now.n.sum()),
        "p75": _quantile(timed, 0.75),
        "p75_low": _quantile(timed, 0.75 - half),
        "p75_high": _quantile(timed, 0.75 + half),
        "usual_p75": _quantile(before[before.step >= 0], 0.75),
        "slow_share": timed.slow.sum() / n if n else np.nan,
        "error_share": share,
        "error_low": float(low),
        "error_high": float(high),
        "usual_error_share": before.errors.sum() / old if old else np.nan,
    }


def _quantile(steps: DataFrame, share: float) -> float:
    """The ms that a share of loads stays under, even within a step; missing without loads."""
    n = steps.n.to_numpy(float)
    if not n.sum() > 0 or np.isnan(share):
        return np.nan
    reached = np.cumsum(n)
    wanted = min(share, 1.0) * reached[-1]
    at = int(np.searchsorted(reached, wanted))
    within = (wanted - (reached[at] - n[at])) / n[at]
    return float((steps.step.to_numpy(float)[at] + within) * STEP)


@dated
def _joined(loads: Table, events: Table, as_of: dt.date) -> tuple[Table, float, int]:
    """Each visit's first load of each page with whether the visit bought; visits of the events
    for each one measured; days read.
    """
    rows = _told(loads, as_of).filter(_.session_id.notnull())
    first = pd.Timestamp(rows.loaded_at.min().to_pandas())
    if pd.isna(first):
        raise PlaybookError("customer_journey.no_visit_of_loads", table="page_loads")
    log = expression(events).filter(_.occurred_at.date().between(first.date(), as_of))
    log = log.filter(_.session_id.notnull())
    measured = rows.semi_join(log, "session_id").session_id.nunique().to_pandas()
    scale = float(log.session_id.nunique().to_pandas() / measured) if measured else np.nan
    by_time = ibis.window(group_by=["session_id", "page"], order_by=["loaded_at", "load_id"])
    rows = rows.mutate(place=ibis.row_number().over(by_time)).filter(_.place == 0)
    sales = log.filter(_.name == "purchase").group_by("session_id").aggregate(sales=_.count())
    joined = rows.semi_join(log, "session_id").left_join(sales, "session_id")
    joined = joined.mutate(bought=one_if(joined.sales.notnull()))
    return joined, scale, (as_of - first.date()).days + 1


def _sums(visits: Table) -> DataFrame:
    """Visits and purchases by month, page and device: all, with and without an error, slow and
    fast.
    """
    kinds = {
        "error": visits.is_error,
        "no_error": ~visits.is_error,
        "slow": visits.ms > SLOW,
        "fast": visits.ms <= FAST,
    }
    kinds = {name: truth.fill_null(False) for name, truth in kinds.items()}
    counts = {f"n_{name}": truth.sum() for name, truth in kinds.items()}
    bought = {f"x_{name}": visits.bought.sum(where=truth) for name, truth in kinds.items()}
    counts |= {"n_all": visits.count(), "x_all": visits.bought.sum(), "n_timed": visits.ms.count()}
    sums = visits.group_by("is_now", *CELL).aggregate(**counts, **bought)
    frame = sums.order_by("is_now", *CELL).to_pandas().fillna(0)
    return frame.astype(dict.fromkeys([*counts, *bought], float))


def _beside(sums: DataFrame, kind: str) -> DataFrame:
    """Visits with an error (or a slow load) beside those without (or with a fast one)."""
    other = {"error": "no_error", "slow": "fast"}[kind]
    n, m = sums[f"n_{kind}"], sums[f"n_{other}"]
    is_judged = (n >= LEAST_WITH) & (m >= LEAST_WITHOUT)
    part = sums[is_judged]
    x, y = part[f"x_{kind}"], part[f"x_{other}"]
    held = share_difference(
        y,
        m[is_judged],
        x,
        n[is_judged],
        level=0.9,
    )
    more = n
    if kind == "slow":
        others = sums.groupby("device")[["n_slow", "n_timed"]].transform("sum")
        others = others - sums[["n_slow", "n_timed"]]
        usual = others.n_slow / others.n_timed.where(others.n_timed > 0)
        more = (n - sums.n_timed * usual.fillna(0.0)).clip(lower=0)
    return _rows(
        part,
        kind=kind,
        n_more=more[is_judged],
        n_with=n[is_judged],
        n_without=m[is_judged],
        with_share=x / n[is_judged],
        without_share=y / m[is_judged],
        **{name: held[name] for name in ("difference", "low", "high", "p")},
    )


def _changed(sums: DataFrame) -> DataFrame:
    """Pages whose errors or slow loads rose in the report month, on one device beyond the others:
    what their visits bought, beside what they would have, had they gone the others' way.
    """
    cells = sums.set_index(CELL)
    now, before = cells[cells.is_now], cells[~cells.is_now]
    both = now.index.intersection(before.index)
    now, before = (t.loc[both].drop(columns="is_now") for t in (now, before))
    of_page = [t.groupby("page").transform("sum") - t for t in (now, before)]
    risen = _risen(now, before, "error") | _risen(now, before, "slow")
    enough = [t.n_all >= LEAST_WITHOUT for t in (now, before, *of_page)]
    counted = [t.x_all > 0 for t in (now, before, *of_page)]
    keep = risen & np.logical_and.reduce(enough) & np.logical_and.reduce(counted)
    now, before, others_now, others_before = (t[keep] for t in (now, before, *of_page))
    share, was, other, other_was = (
        t.x_all / t.n_all for t in (now, before, others_now, others_before)
    )
    expected = was * other / other_was
    # errors of the logarithms: of what was expected, and of what came
    far = sum(
        (1 - s) / t.x_all
        for s, t in ((was, before), (other, others_now), (other_was, others_before))
    )
    error = np.sqrt(expected**2 * far + share * (1 - share) / now.n_all)
    lost = expected - share
    from scipy.special import ndtr

    return _rows(
        now.reset_index(),
        kind="changed",
        n_more=now.n_all,
        n_with=now.n_all,
        n_without=before.n_all,
        with_share=share,
        without_share=expected,
        difference=lost,
        low=lost - Z90 * error,
        high=lost + Z90 * error,
        p=2 * ndtr(-np.abs(lost / error)),
    )


def _risen(now: DataFrame, before: DataFrame, kind: str) -> Series:
    """Whether a page's share of errors (or slow loads) rose for sure, and by how much it takes."""
    other = {"error": "n_no_error", "slow": "n_fast"}[kind]
    if now.empty:
        return Series(False, index=now.index)
    name = f"n_{kind}"
    n, m = (t[name] + t[other] for t in (now, before))
    held = share_difference(
        now[name],
        n,
        before[name],
        m,
    )
    p = adjusted_p(held["p"], method="holm")
    with np.errstate(invalid="ignore"):
        return Series((p <= ALPHA) & (held["difference"] >= LEAST_RISE), index=now.index)


def _rows(part: DataFrame, **columns: object) -> DataFrame:
    """Rows of page_losses by their page and device."""
    told = {
        name: np.asarray(value) if isinstance(value, Series) else value
        for name, value in columns.items()
    }
    return part[CELL].reset_index(drop=True).assign(**told)
