"""08 Customer journey: sample ratio first, users and sessions, visitors per arm, what a
late day costs, the leak.
"""

from __future__ import annotations

import functools

import ibis
import numpy as np
from ibis import _
from pandas import DataFrame, Series

from playbook.chapters.customer_journey.attempts import purchases
from playbook.chapters.customer_journey.journey import funnel
from playbook.chapters.customer_journey.page_speed import page_losses
from playbook.chapters.customer_journey.parcels import late_slope
from playbook.chapters.customer_journey.visits import event_steps, traffic_steps
from playbook.errors import PlaybookError
from playbook.methods.experiment import sample_ratio_p, sample_size
from playbook.store import Store
from playbook.training.exercise import Answers, NotApplicable, bound, either
from playbook.training.reading import made_up

#: smallest relative lift worth finding
LIFT = 0.10
#: made up: what is left of the usual share
FALLS = {"leak": 0.80, "small": 0.60, "other": 0.97}
#: the small segment may lose at most this share of what the leak loses
TOLD_APART = 0.8
SPLITS = ["device", "channel", "visitor"]


def three_tests(shop: Store) -> DataFrame:
    """Made up for the exercise, one row per finished test: planned share of the treated
    arm, visitors dealt to each arm, relative lift of conversion with its 95 % interval.
    """
    return made_up("three_tests")


def readable_test(shop: Store) -> str:
    table = three_tests(shop)
    dealt = zip(table.n_control, table.n_treated, table.planned_treated, strict=True)
    p = np.array(
        [
            sample_ratio_p([control, treated], [1 - share, share])
            for control, treated, share in dealt
        ]
    )
    return "abc"[int(np.flatnonzero(p >= 0.001)[0])]


@functools.cache
def month_of_visits(shop: Store) -> DataFrame:
    """One row per session that began in the report month: visitor_id, session_id,
    day_on, bought.
    """
    events = shop.events.filter(_.occurred_at.date() <= ibis.literal(shop.as_of))
    visits = events.group_by("visitor_id", "session_id").aggregate(
        at=_.occurred_at.min(), bought=(_.name == "purchase").any()
    )
    visits = visits.filter(_.at.strftime("%Y-%m") == shop.month)
    table = shop.con.execute(visits.order_by("at", "session_id"))
    if table.session_id.isna().any():
        raise NotApplicable("training.sessions_unnamed")
    if not table.bought.any():
        raise NotApplicable("training.no_purchase_logged")
    table["day_on"] = table["at"].dt.date
    return table[["visitor_id", "session_id", "day_on", "bought"]]


def two_conversions(shop: Store) -> dict[str, float]:
    visits = month_of_visits(shop)
    by_user = visits.groupby("visitor_id").bought.max()
    return {"session": visits.bought.mean(), "user": by_user.mean()}


def _swapped(shop: Store) -> dict[str, float]:
    right = two_conversions(shop)
    return {"session": right["user"], "user": right["session"]}


def _daily_visitors(shop: Store) -> dict[str, float]:
    """Buyers of each day over visitors of each day, the days added up."""
    by_day = month_of_visits(shop).groupby(["visitor_id", "day_on"]).bought.max()
    return two_conversions(shop) | {"user": float(by_day.mean())}


def _buyers_over_sessions(shop: Store) -> dict[str, float]:
    visits = month_of_visits(shop)
    buyers = visits[visits.bought].visitor_id.nunique()
    return two_conversions(shop) | {"user": float(buyers / len(visits))}


@functools.cache
def _funnel(shop: Store) -> DataFrame:
    """The chapter's funnel, from whatever counts the shop's visits."""
    for name, read in (("traffic", traffic_steps), ("events", event_steps)):
        if shop.has(name):
            return funnel(read(shop.table(name), as_of=shop.as_of).daily, as_of=shop.as_of)
    raise NotApplicable("training.no_visits_counted")


@functools.cache
def whole_funnel(shop: Store) -> DataFrame:
    """The shop's funnel of the report month, all sessions together: step, n_sessions,
    reached, share.
    """
    table = _funnel(shop)
    whole = table[(table[SPLITS] == "all").all(axis=1)].reset_index(drop=True)
    if not (whole[whole.step == "purchase"].reached > 0).any():
        raise NotApplicable("training.nobody_bought")
    return whole[["step", "n_sessions", "reached", "share"]]


def _share(shop: Store) -> float:
    return float(whole_funnel(shop).set_index("step").share["purchase"])


def visitors_per_arm(shop: Store) -> float:
    share = whole_funnel(shop).set_index("step").share["purchase"]
    return sample_size(share, 0.10).n_per_arm.iloc[0]


def _absolute(shop: Store) -> float:
    return float(sample_size(_share(shop), LIFT / _share(shop)).n_per_arm.iloc[0])


def _both_arms(shop: Store) -> float:
    return float(sample_size(_share(shop), LIFT).n_total.iloc[0])


def _twice_for_half(shop: Store) -> float:
    return 2 * float(sample_size(_share(shop), 2 * LIFT).n_per_arm.iloc[0])


@functools.cache
def parcels(shop: Store) -> DataFrame:
    """One row per delivered order with a promised day: order_id, late_days (0 when on
    time), stars (missing where there is no review).
    """
    if not (shop.has("orders.promised_at") and shop.has("orders.delivered_at")):
        raise NotApplicable("training.no_promised_day")
    orders = shop.orders.filter(_.delivered_at.notnull() & _.promised_at.notnull())
    orders = orders.filter(_.delivered_at.date() <= ibis.literal(shop.as_of))
    days = orders.delivered_at.date().delta(orders.promised_at.date(), unit="day")
    late = orders.select("order_id", late_days=ibis.greatest(days, 0))
    reviews = shop.reviews.filter(_.order_id.notnull())
    stars = reviews.select("order_id", stars=_.stars.cast("float64"))
    rows = late.left_join(stars, "order_id").drop("order_id_right")
    return shop.con.execute(rows.order_by("order_id", "stars"))


def stars_per_late_day(shop: Store) -> float:
    slope = late_slope(shop.orders, shop.reviews, as_of=shop.as_of)
    return slope.stars_per_day.iloc[0]


def _slope(table: DataFrame) -> float:
    """Least squares of stars on days late."""
    if table.late_days.nunique() < 2:
        raise NotApplicable("training.no_late_review")
    return float(np.polyfit(table.late_days, table.stars, 1)[0])


def _average_of_averages(shop: Store) -> float:
    reviewed = parcels(shop).dropna(subset="stars")
    return _slope(reviewed.groupby("late_days", as_index=False).stars.mean())


@functools.cache
def leak_table(shop: Store) -> DataFrame:
    """Steps by segment: where, n_previous (sessions at the step before), usual_share
    (of them, this shop's own last months), step_share (this month; made up for the
    exercise), onward_share (of those who pass, how many buy).
    """
    table, split = _steps_by_segment(shop)
    worth = table.n_previous * table.usual_share * table.onward_share
    late = worth[table.step.isin(["checkout", "purchase"])]
    crowd = table.groupby(split).n_previous.max()
    if late.empty or len(crowd) < 2:
        raise NotApplicable("training.few_usual_shares")
    leak = late.idxmax()
    small = table.usual_share[table[split] == crowd.idxmin()].idxmax()
    lost = {"leak": worth[leak], "small": worth[small]}
    lost = {name: (1 - FALLS[name]) * value for name, value in lost.items()}
    if leak == small or lost["small"] > TOLD_APART * lost["leak"]:
        raise NotApplicable("training.segments_too_alike")
    left = Series(FALLS["other"], index=table.index)
    left[leak], left[small] = FALLS["leak"], FALLS["small"]
    table["step_share"] = left * table.usual_share
    shares = ["usual_share", "step_share", "onward_share"]
    return table[["where", "n_previous", *shares]].round(dict.fromkeys(shares, 4))


def _steps_by_segment(shop: Store) -> tuple[DataFrame, str]:
    """The funnel's rows of one split (device, else channel), and which."""
    table = _funnel(shop)
    split = next((name for name in SPLITS[:2] if table[name].nunique() > 1), None)
    if split is None:
        raise NotApplicable("training.visits_not_split")
    others = [name for name in SPLITS if name != split]
    table = table[(table[split] != "all") & (table[others] == "all").all(axis=1)]
    bought = table[table.step == "purchase"].set_index(split).reached
    buys = bought.reindex(table[split]).to_numpy(float)
    where = table.step + ", " + table[split]
    table = table.assign(onward_share=buys / table.reached, where=where)
    is_usual = table.usual_share.between(0.01, 0.99) & (table.onward_share > 0)
    return table[is_usual].reset_index(drop=True), split


def biggest_leak(shop: Store) -> str:
    table = leak_table(shop)
    lost = table.n_previous * (table.usual_share - table.step_share) * table.onward_share
    return table["where"][lost.idxmax()]


def _lowest_rate(shop: Store) -> str:
    table = leak_table(shop).set_index("where")
    return table.step_share.idxmin()


def _fell_most(shop: Store) -> str:
    table = leak_table(shop).set_index("where")
    return (table.step_share / table.usual_share).idxmin()


@functools.cache
def failed_payments(shop: Store) -> DataFrame:
    """One way to pay and the message with which most of its first attempts fail, one row per
    device, the device that loses the largest share on top: device, tried (purchases), failed
    (with that message at first), won_back (of these, paid in the end).
    """
    if not shop.has("payment_attempts"):
        raise NotApplicable("training.no_attempts")
    table = purchases(shop.payment_attempts, as_of=shop.as_of, currency=shop.currency)
    table = shop.con.execute(table.filter(_.is_now))
    failed = table[table.message != ""]
    if failed.empty:
        raise NotApplicable("training.no_attempts")
    method, message = failed.groupby(["method", "message"]).size().idxmax()
    table = table[table.method == method]
    is_failed = table.message == message
    table = table.assign(failed=is_failed, won_back=is_failed & table.is_paid)
    sums = table.groupby("device").agg(
        tried=("checkout_id", "size"), failed=("failed", "sum"), won_back=("won_back", "sum")
    )
    lost = (sums.failed - sums.won_back) / sums.tried
    if len(sums) < 2 or not lost.iloc[0] + lost.iloc[1] > 0 or lost.nunique() < 2:
        raise NotApplicable("training.no_attempts")
    order = lost.sort_values(ascending=False, kind="stable").index
    return sums.reindex(order).reset_index()


def _beyond(table: DataFrame, lost: Series) -> float:
    """What the first row loses beyond the share that the other rows lose together."""
    usual = lost.iloc[1:].sum() / table.tried.iloc[1:].sum()
    return float(lost.iloc[0] - table.tried.iloc[0] * usual)


def lost_beyond(shop: Store) -> float:
    table = failed_payments(shop)
    return _beyond(table, table.failed - table.won_back)


def _all_that_failed(shop: Store) -> float:
    table = failed_payments(shop)
    return _beyond(table, table.failed)


def _all_lost(shop: Store) -> float:
    table = failed_payments(shop)
    return float(table.failed.iloc[0] - table.won_back.iloc[0])


def _counts_apart(shop: Store) -> float:
    """The other devices' purchases lost, however many tried there."""
    lost = failed_payments(shop).eval("failed - won_back")
    return float(lost.iloc[0] - lost.iloc[1:].sum())


@functools.cache
def slow_visits(shop: Store) -> DataFrame:
    """One row per page and device: page, device, n_with (visits with a slow load of it), n_without
    (with a fast one), with_share and without_share (shares of these that bought).
    """
    if not (shop.has("page_loads") and shop.has("events")):
        raise NotApplicable("training.no_page_loads")
    try:
        table = page_losses(shop.page_loads, shop.events, as_of=shop.as_of)
    except PlaybookError:
        raise NotApplicable("training.no_page_loads") from None
    table = table[table.kind == "slow"].sort_values(["page", "device"], ignore_index=True)
    if table["page"].nunique() < 2:
        raise NotApplicable("training.no_page_loads")
    columns = ["page", "device", "n_with", "n_without", "with_share", "without_share"]
    return table[columns].round({"with_share": 4, "without_share": 4})


def most_of_slow(shop: Store) -> float:
    """Orders the visits with slow loads lack beside fast ones of the same page and device."""
    table = slow_visits(shop)
    return float((table.n_with * (table.without_share - table.with_share)).sum())


def _pages_mixed(shop: Store) -> float:
    """All pages and devices in one: who reaches the checkout buys more, however fast it is."""
    table = slow_visits(shop)
    fast = np.average(table.without_share, weights=table.n_without)
    return float(table.n_with.sum() * fast - (table.n_with * table.with_share).sum())


def _fast_ones_counted(shop: Store) -> float:
    table = slow_visits(shop)
    return float((table.n_without * (table.without_share - table.with_share)).sum())


EXERCISES = bound(
    "customer_journey",
    {
        "08.1": Answers(readable_test, given=three_tests),
        "08.2": Answers(
            two_conversions,
            slips={
                "swapped": _swapped,
                "adds daily visitors": _daily_visitors,
                "buyers over sessions": _buyers_over_sessions,
            },
            given=month_of_visits,
        ),
        "08.3": Answers(
            visitors_per_arm,
            slips={
                "relative as absolute": either(_absolute, lambda shop: 2 * _absolute(shop)),
                "total for arm": _both_arms,
                "twice the size for half the lift": _twice_for_half,
            },
            given=whole_funnel,
        ),
        "08.4": Answers(
            stars_per_late_day,
            slips={
                "unreviewed orders included": lambda shop: _slope(
                    parcels(shop).fillna({"stars": 0.0})
                ),
                "average of averages": _average_of_averages,
            },
            given=parcels,
        ),
        "08.5": Answers(
            biggest_leak,
            slips={"lowest rate": _lowest_rate, "segment too small": _fell_most},
            given=leak_table,
        ),
        "08.7": Answers(
            lost_beyond,
            slips={
                "all that failed": _all_that_failed,
                "all that is lost": _all_lost,
                "counts without shares": _counts_apart,
            },
            given=failed_payments,
        ),
        "08.8": Answers(
            most_of_slow,
            slips={"pages mixed": _pages_mixed, "the fast ones counted": _fast_ones_counted},
            given=slow_visits,
        ),
    },
)
