"""Segments that hold still: who is rewarded, woken or left alone.

*Recency* counts days from as-of to the last purchase day, *frequency* purchase days,
*money* contribution margin where the shop knows its costs, revenue otherwise. Equal
customers always get equal scores: a score depends on a customer's own numbers and on
cut points, never on the order of rows. Recency is cut at the shop's own gaps between
purchases. The eight value segments cross high and low of the three: 重要 (important)
or 一般 (general), and 价值 (value), 发展 (develop), 保持 (keep) or 挽留 (win back).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from numpy import ndarray
from pandas import DataFrame, Timestamp

from playbook.chapters.registry import room_facts
from playbook.errors import PlaybookError
from playbook.given import dated, reads
from playbook.measures.customer_windows import MONEY, purchase_history
from playbook.messages import say
from playbook.methods.clusters import stable_clusters
from playbook.methods.experiment import sample_size
from playbook.methods.hashing import arms
from playbook.store import expression
from playbook.tables import empty, frame_of, returns, schema

__all__ = [
    "SEGMENTS",
    "RfmResult",
    "tempting_rfm",
    "rfm",
    "segment_table",
    "lorenz",
    "cluster_segments",
    "migration",
    "month_moves",
    "segment_returns",
    "segment_actions",
    "audience_list",
    "segment_headline",
]

MARKS = ["is_recent", "is_frequent", "is_rich"]
#: segment, segment_cn, action and the marks that make it, in the order they are shown
SEGMENTS = DataFrame(room_facts("segmentation")["segments"])
#: gaps between purchases that must be known before recency is cut at them
LEAST_GAPS = 30
#: resamples behind a segment's stability, and customers drawn in each at most
RESAMPLES, MOST_DRAWN = 40, 100_000
#: months of the scorecard's series
MONTHS_SHOWN = 25
#: days of a window in which is seen what a segment does next
QUARTER_DAYS = 91
#: earlier windows that must be known before an interval is given
LEAST_WINDOWS = 3
#: a hold-out that half of the segment could not show to double its buyers is not proposed
MOST_LIFT = 1.0


@dataclass(frozen=True)
class RfmResult:
    """`customers`: one row per customer: customer_id, first_on, recency_days,
    n_purchases, amount, r, f, m (1 worst to 5 best), segment, action. `cuts`: score,
    above: the cut points of each score. `n_gaps`: how many gaps between purchases they
    rest on. `caveat` says so where those are too few.
    """

    customers: DataFrame
    cuts: DataFrame
    n_gaps: int
    caveat: str


def tempting_rfm(history: DataFrame) -> DataFrame:
    """The usual frequency quintiles with ties broken by row order, for the lesson: one
    row per number of purchases and score: n_purchases, f_tempting, n_customers. Equal
    customers land in different scores.
    """
    rank = history.x.rank(method="first")
    score = np.ceil(5 * rank / len(history)).astype(int)
    scores = DataFrame({"n_purchases": history.x + 1, "f_tempting": score})
    counts = scores.value_counts().rename("n_customers").reset_index()
    return counts.sort_values(["n_purchases", "f_tempting"], ignore_index=True)


def _day(day: date) -> ibis.Scalar:
    return ibis.literal(day, "date")


def _gaps(customer_days: Table, as_of: date) -> ndarray:
    """Days between successive purchase days of the same customer, sorted."""
    days = expression(customer_days).filter(_.orders > 0, _.customer_id.notnull())
    days = days.select("customer_id", day_on=_.day_on.cast("date"))
    days = days.filter(_.day_on <= _day(as_of))
    before = _.day_on.lag().over(ibis.window(group_by="customer_id", order_by="day_on"))
    days = days.mutate(before=before).filter(_.before.notnull())
    gaps = days.group_by(gap=_.day_on.delta(_.before, unit="day")).aggregate(n=_.count())
    counts = gaps.filter(_.gap > 0).order_by("gap").to_pandas().astype("int64")
    return np.repeat(counts.gap.to_numpy(), counts.n.to_numpy())


@reads(customer_days="customer_id day_on orders {basis}")
@dated
def rfm(customer_days: Table, *, as_of: date, basis: str = "revenue") -> RfmResult:
    """Scores and value segment of every customer with a purchase up to `as_of`; sorted
    by customer_id.

    r: 5 within the median gap between purchases, then to the 75th, 90th and 95th
    percentile, 1 beyond. f: 1 for one purchase day; the others at the repeaters'
    median, 75th and 90th percentile. m: quintiles of the amount. High means: recency
    within the 90th percentile of gaps; at least as many purchases as the mean customer,
    and two; an amount above nought and of at least the mean. Where fewer than 30 gaps
    are known the quintiles of recency stand in, and `caveat` says so.
    """
    history = purchase_history(customer_days, as_of=as_of, basis=basis)
    if history.empty:
        raise PlaybookError("segmentation.nobody_bought", table="customer_days")
    gaps = _gaps(customer_days, as_of)
    recency = (history["T"] - history["t_x"]).to_numpy()
    count, amount = history.x.to_numpy() + 1, history.amount.to_numpy(float)
    known = amount[np.isfinite(amount)]
    r_cuts, recent = _recency_cuts(gaps, recency)
    f_cuts, m_cuts = _frequency_cuts(count[count > 1]), _fifths(known)
    is_high = (
        recency <= recent,
        count >= _often(count.mean()),
        amount >= _high_money(known),
    )
    marks = DataFrame(dict(zip(MARKS, is_high, strict=True)))
    labels = marks.merge(SEGMENTS, on=MARKS, how="left")
    customers = history[["customer_id", "first_on"]].assign(
        recency_days=recency,
        n_purchases=count,
        amount=amount,
        r=5 - np.searchsorted(r_cuts, recency, side="left"),
        f=1 + np.searchsorted(f_cuts, count, side="right"),
        m=1 + np.searchsorted(m_cuts, amount, side="right"),
        segment=labels.segment,
        action=labels.action,
    )
    above = np.array([*r_cuts, *f_cuts, *m_cuts], float)
    cuts = DataFrame(
        {"score": list("rrrrffffmmmm"), "above": np.where(np.isfinite(above), above, np.nan)}
    )
    caveat = "" if len(gaps) >= LEAST_GAPS else say("segmentation.few_gaps", n=len(gaps))
    return RfmResult(customers, cuts, len(gaps), caveat)


def _recency_cuts(gaps: ndarray, recency: ndarray) -> tuple[ndarray, float]:
    """Where recency is cut, and up to where it counts as high."""
    if len(gaps) >= LEAST_GAPS:
        cuts = np.quantile(gaps, [0.5, 0.75, 0.9, 0.95])
        return cuts, cuts[2]
    cuts = _fifths(recency)
    return cuts, cuts[1]


def _frequency_cuts(repeat: ndarray) -> ndarray:
    if len(repeat) == 0:
        return np.full(4, np.inf)
    return np.array([2, *np.ceil(np.quantile(repeat, [0.5, 0.75, 0.9]))])


def _fifths(values: ndarray) -> ndarray:
    if len(values) == 0:
        return np.full(4, np.inf)
    return np.quantile(values, [0.2, 0.4, 0.6, 0.8])


def _often(mean_count: float) -> int:
    """The number of purchases from which on it counts as high."""
    return int(max(np.ceil(mean_count), 2))


def _high_money(known: ndarray) -> float:
    """The amount from which on it counts as high: the mean, and more than nought, as
    nobody who costs money is one.
    """
    return max(float(known.mean()), np.nextafter(0, 1)) if len(known) else np.inf


@returns("segmentation.segments")
def segment_table(result: RfmResult) -> DataFrame:
    """The value segments, largest amount first, and how still they hold.

    The cut points of frequency and money are taken from resampled customers, at most
    100,000, so that a large shop holds stiller than said. Under a stability of .9 a
    segment is not one to act on.
    """
    own, n = result.customers, len(result.customers)
    same = _share_unchanged(own, min(n, MOST_DRAWN))
    table = _medians(own, "segment").assign(amount=own.groupby("segment").amount.sum())
    money = np.nansum(own.amount)
    table["customer_share"] = table.n_customers / n
    table["cm_share"] = table.amount / money if money > 0 else np.nan
    table["stability"], table["stability_low"] = (
        same.mean(axis=1),
        same.quantile(0.05, axis=1),
    )
    table = table.sort_values(["amount", "n_customers"], ascending=False).reset_index()
    return table[schema("segmentation.segments").names]


def _share_unchanged(customers: DataFrame, n_drawn: int) -> DataFrame:
    """Share of each segment's customers (rows) who keep their label in each resample."""
    count = customers.n_purchases.to_numpy()
    amount = customers.amount.to_numpy(float)
    code, names = pd.factorize(customers.segment, sort=True)
    marks = SEGMENTS.set_index("segment").loc[names]
    is_frequent, is_rich = (marks[m].to_numpy()[code] for m in ("is_frequent", "is_rich"))
    shares, rng = [], np.random.default_rng(0)
    for _resample in range(RESAMPLES):
        drawn = np.sort(rng.integers(0, len(customers), n_drawn))
        known = amount[drawn][np.isfinite(amount[drawn])]
        is_same = is_frequent == (count >= _often(count[drawn].mean()))
        is_same &= is_rich == (amount >= _high_money(known))
        shares.append(np.bincount(code, is_same) / np.bincount(code))
    return DataFrame(np.array(shares).T, index=names)


def _medians(customers: DataFrame, by: str) -> DataFrame:
    """n_customers and the medians of recency_days, n_purchases and amount_per_customer."""
    return customers.groupby(by).agg(
        n_customers=("customer_id", "size"),
        recency_days=("recency_days", "median"),
        n_purchases=("n_purchases", "median"),
        amount_per_customer=("amount", "median"),
    )


@returns("segmentation.lorenz")
def lorenz(customers: DataFrame) -> DataFrame:
    """Share of money held by the best customers, from the best down.

    Customers who cost money are part of it. Empty where all together bring none.
    """
    money = np.sort(customers.amount.dropna().to_numpy(float))[::-1]
    total = money.sum()
    if len(money) == 0 or total <= 0:
        return empty("segmentation.lorenz").astype(float)
    held = np.concatenate([[0], money.cumsum() / total])
    at = np.linspace(0, 1, 101)
    curve = np.interp(at * len(money), np.arange(len(money) + 1), held)
    gini = 2 * float(np.trapezoid(held, dx=1 / len(money))) - 1
    return DataFrame(
        {
            "customer_share": at,
            "cm_share": curve,
            "top20_share": curve[20],
            "gini": gini,
        }
    )


def cluster_segments(result: RfmResult) -> tuple[DataFrame, DataFrame]:
    """k-means on log recency, frequency and money, its number of clusters chosen by
    bootstrap stability.

    Returns (choice: n_clusters, stability, stability_low, is_chosen; clusters: cluster,
    n_customers, and the medians of recency_days, n_purchases, amount; cluster 1 holds
    the most money per customer).
    """
    own = result.customers
    recency, count = np.log1p(own.recency_days), np.log(own.n_purchases)
    columns = np.column_stack([recency, count, np.arcsinh(own.amount.fillna(0.0))])
    choice, label = stable_clusters(columns, own.customer_id)
    clusters = _medians(own.assign(cluster=label), "cluster").reset_index()
    return choice, clusters.rename(columns={"amount_per_customer": "amount"})


@returns("segmentation.migration")
def migration(before: RfmResult, after: RfmResult) -> DataFrame:
    """Who moved where between two as-of days of one shop. Customers won in between come
    from `new`.

    Both lists are sorted by id and nobody is lost, so the customers known before lie
    side by side.
    """
    old, own = before.customers, after.customers
    was = (own.first_on <= old.first_on.max()).to_numpy()
    origin, amount = np.full(len(own), "new", object), np.zeros(len(own))
    origin[was], amount[was] = old.segment, old.amount.fillna(0.0)
    both = DataFrame({"to_segment": own.segment, "after": own.amount})
    both = both.assign(from_segment=origin, before=amount)
    moves = both.groupby(["from_segment", "to_segment"]).agg(
        n_customers=("before", "size"),
        amount_before=("before", "sum"),
        amount_after=("after", "sum"),
    )
    return moves.assign(amount=moves.amount_after - moves.amount_before).reset_index()


@dated
def month_moves(
    customer_days: Table,
    now: RfmResult,
    *,
    as_of: date,
    basis: str = "revenue",
) -> DataFrame:
    """`migration` since the last day of the month before; everybody comes from `new`
    where nobody had bought by then.
    """
    end = as_of.replace(day=1) - timedelta(days=1)
    if now.customers.first_on.min() > Timestamp(end):
        return migration(
            RfmResult(
                now.customers[:0],
                now.cuts,
                0,
                "",
            ),
            now,
        )
    return migration(rfm(customer_days, as_of=end, basis=basis), now)


@returns("segmentation.segment_returns")
def segment_returns(
    customer_days: Table,
    *,
    as_of: date,
    basis: str = "revenue",
    windows: int = 6,
) -> DataFrame:
    """What each segment did in the quarter that followed, at earlier as-of days a
    quarter apart.
    """
    days = expression(customer_days).mutate(day_on=_.day_on.cast("date"))
    parts = []
    for _window in range(windows):
        end, as_of = as_of, as_of - timedelta(days=QUARTER_DAYS)
        try:
            labels = rfm(customer_days, as_of=as_of, basis=basis).customers
        except PlaybookError:  # nobody had bought by then
            break
        later = days.filter(_.day_on > _day(as_of), _.day_on <= _day(end))
        later = later.group_by("customer_id").aggregate(
            has_bought=(_.orders > 0).any(), money=_[basis].cast(MONEY).sum()
        )
        people = ibis.memtable(labels[["customer_id", "segment"]]).left_join(later, "customer_id")
        sums = people.group_by("segment").aggregate(
            n_customers=_.count(),
            buyers=_.has_bought.sum(),
            money=_.money.sum().cast("float64"),
            amount_spread=_.money.fill_null(0).cast("float64").std(how="pop"),
        )
        parts.append(
            sums.order_by("segment").to_pandas().assign(origin_on=Timestamp(as_of).as_unit("us"))
        )
    if not parts:
        return empty("segmentation.segment_returns")
    table = pd.concat(parts, ignore_index=True)
    table["buyer_share"] = table.buyers.fillna(0) / table.n_customers
    table["amount_per_customer"] = table.money.fillna(0.0) / table.n_customers
    return table[schema("segmentation.segment_returns").names]


@returns("segmentation.actions")
def segment_actions(
    result: RfmResult,
    returns: DataFrame,
    *,
    lift: float = 0.10,
    level: float = 0.8,
) -> DataFrame:
    """What to do with each segment: what it will bring without us, from the spread over
    earlier windows (`level`), and how many to hold out to see a relative `lift` of the
    share who buy; of what a customer spends where more buyers than all would be needed.
    """
    sizes = result.customers.groupby("segment").size()
    rows = []
    for segment, action in SEGMENTS[["segment", "action"]].itertuples(index=False):
        if segment not in sizes.index:
            continue
        past, n = returns[returns.segment == segment], sizes[segment]
        share = past.buyer_share.mean()
        row = {
            "segment": segment,
            "action": action,
            "n_customers": n,
            "buyer_share": share,
        }
        row |= _expected_money(
            past.amount_per_customer.to_numpy(float),
            n,
            level,
        )
        rows.append(
            row
            | _holdout(
                past,
                n,
                lift,
                is_left_alone=action == "leave alone",
            )
        )
    return frame_of("segmentation.actions", rows)


def _expected_money(past: ndarray, n: int, level: float) -> dict[str, object]:
    """expected, low, high, n_windows, status: a t interval of the next window's mean."""
    from scipy.stats import t

    k = len(past)
    is_known = k >= LEAST_WINDOWS
    mean, reach = past.mean() if k else np.nan, np.nan
    if is_known:
        reach = t.ppf(0.5 + level / 2, k - 1) * past.std(ddof=1) * np.sqrt(1 + 1 / k)
    return {
        "expected": n * mean,
        # refunds aside, nobody brings less than nothing
        "low": n * max(mean - reach, min(mean, 0.0)) if is_known else np.nan,
        "high": n * (mean + reach),
        "n_windows": k,
        "status": "complete" if is_known else "not yet calibrated",
    }


def _holdout(past: DataFrame, n: int, lift: float, *, is_left_alone: bool) -> dict[str, object]:
    """measure, holdout_n, holdout_share, detectable_lift of a segment of n customers.
    Nobody is held out where even half of them could not show a doubling.
    """
    share, measure, need = past.buyer_share.mean(), "buyers", np.nan
    if is_left_alone:
        found = {"holdout_n": np.nan, "holdout_share": 1.0, "detectable_lift": np.nan}
        return {"measure": measure} | found
    if share > 0 and share * (1 + lift) < 1:
        need = float(sample_size(share, lift).n_per_arm.iloc[0])
    visible = lift * np.sqrt(need / max(n / 2, 1))
    if share > 0 and not share * (1 + visible) < 1:
        measure, need = "spend", _arm_by_spend(past, lift)
        visible = lift * np.sqrt(need / max(n / 2, 1))
    fits = need * 2 <= n
    half = 0.5 if visible <= MOST_LIFT else 0.0
    return {
        "measure": measure,
        "holdout_n": need if fits else np.nan,
        "holdout_share": need / n if fits else half,
        "detectable_lift": visible,
    }


def _arm_by_spend(past: DataFrame, lift: float) -> float:
    """Customers per arm that show a relative `lift` of what a customer spends: two-sided
    5 %, power 80 %, two means of one spread (Fleiss, Levin and Paik 2003).
    """
    from scipy.stats import norm

    mean = past.amount_per_customer.mean()
    reach = norm.ppf(0.975) + norm.ppf(0.8)
    spread = past.amount_spread.mean() / mean if mean > 0 else np.nan
    return float(np.ceil(2 * (reach * spread / lift) ** 2))


@returns("segmentation.audience")
def audience_list(result: RfmResult, actions: DataFrame) -> DataFrame:
    """Who is treated and who is held out: by the hash of the id, so in the same arm next
    month. Holds no contact data; `playbook audience` matches those locally.
    """
    people = result.customers[["customer_id", "segment", "action"]]
    share = people.segment.map(actions.set_index("segment").holdout_share).fillna(0.5)
    return people.assign(arm=arms(people.customer_id, share.to_numpy(float)))


@dated
def segment_headline(
    customer_days: Table,
    *,
    as_of: date,
    basis: str,
    owed: DataFrame | None = None,
) -> DataFrame:
    """Monthly series for the scorecard: top20_share of each month's buyers (metric,
    month, amount, low, high, n, status) and, for the last month, points_liability.
    Missing where a month's money is not positive.
    """
    start = Timestamp(as_of).replace(day=1) - pd.DateOffset(months=MONTHS_SHOWN - 1)
    sums = _top_fifth_by_month(
        customer_days,
        start.date(),
        as_of,
        basis,
    )
    edge = sums.top % 1 * sums.edge.fillna(0.0)
    share = (sums.held.fillna(0.0) + edge) / sums.total
    series = sums[["month", "n"]].assign(
        metric="top20_share",
        amount=share.where(sums.total > 0),
        low=np.nan,
        high=np.nan,
    )
    last = f"{as_of:%Y-%m}"
    if owed is not None and len(owed):
        row = owed[["liability", "n_members"]].set_axis(["amount", "n"], axis=1)
        series = pd.concat(
            [series, row.assign(metric="points_liability", month=last)],
            ignore_index=True,
        )
    is_running = (series.month == last) & (not Timestamp(as_of).is_month_end)
    return series.assign(status=np.where(is_running, "partial", "complete"))


def _top_fifth_by_month(customer_days: Table, start: date, as_of: date, basis: str) -> DataFrame:
    """month, n and total of its buyers, top (a fifth of those whose money is known),
    held by its whole part, edge (held by the next).
    """
    days = expression(customer_days).mutate(day_on=_.day_on.cast("date"))
    days = days.filter(_.day_on.between(start, as_of))
    people = days.group_by("customer_id", month=_.day_on.strftime("%Y-%m"))
    people = people.aggregate(money=_[basis].cast(MONEY).sum())
    best_first = ibis.window(group_by="month", order_by=[_.money.isnull(), ibis.desc("money")])
    people = people.mutate(
        place=ibis.row_number().over(best_first),
        top=_.money.count().over(group_by="month") * 0.2,
    )
    sums = people.group_by("month").aggregate(
        n=_.count(),
        total=_.money.sum().cast("float64"),
        top=_.top.max(),
        held=_.money.sum(where=_.place < _.top.floor()).cast("float64"),
        edge=_.money.sum(where=_.place == _.top.floor()).cast("float64"),
    )
    return sums.order_by("month").to_pandas()
