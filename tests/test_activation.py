"""The first days of a customer: by hand, and on shops in which one channel is known to bring
customers who rarely order again (report seeds 0 to 9).
"""

import datetime as dt

import numpy as np
import pandas as pd
from shops import days

from playbook.chapters.cohort_retention.cohorts import activation
from playbook.chapters.cohort_retention.decisions import activation_decisions

AS_OF = dt.date(2026, 10, 31)
DUE = {"due_on": "2026-11-14", "revisit_on": "2026-12-15"}


def customers(rows):
    first = pd.DataFrame(rows, columns=["customer_id", "channel", "category", "first_on"])
    return first.assign(first_on=pd.to_datetime(first.first_on).dt.date)


def test_a_second_order_counts_in_the_windows_it_fell_in_and_the_young_wait():
    first = customers(
        [
            ("ann", "search", "tea", "2026-09-01"),
            ("bob", "search", "tea", "2026-09-01"),
            ("cat", "mail", "tea", "2026-09-01"),
            ("dan", "mail", "tea", "2026-10-20"),
        ]
    )
    log = days(
        ("ann", "2026-09-01"),
        ("ann", "2026-09-05"),
        ("bob", "2026-09-01"),
        ("bob", "2026-09-21"),
        ("cat", "2026-09-01"),
        ("dan", "2026-10-20"),
    )
    table = activation(first, log, as_of=AS_OF).set_index(["window_days", "grouped_by", "label"])
    search = table.loc[(7, "channel", "search")]
    assert (search.customers, search.returned) == (2, 1)
    assert table.loc[(30, "channel", "search")].returned == 2
    assert table.loc[(7, "channel", "mail")].customers == 2
    # dan's month is not over
    mail = table.loc[(30, "channel", "mail")]
    assert (mail.customers, mail.n_waiting, mail.verdict) == (1, 1, "too few")
    assert np.isnan(mail.short)


def shop(seed, *, weak=0.08, usual=0.2, n=500):
    """Four channels of `n` customers each, of one of which fewer order again in thirty days;
    and how many that channel truly lies short of the others.
    """
    rng = np.random.default_rng(seed)
    rows, log = [], []
    for channel in ("search", "social", "mail", "display"):
        share = weak if channel == "display" else usual
        for k in range(n):
            name, day = f"{channel}{k}", pd.Timestamp("2026-06-01") + pd.Timedelta(days=k % 90)
            rows.append((name, channel, None, day))
            log.append((name, f"{day:%Y-%m-%d}"))
            if rng.random() < share:
                again = day + pd.Timedelta(days=int(rng.integers(1, 31)))
                log.append((name, f"{again:%Y-%m-%d}"))
    return customers(rows), days(*log), n * (usual - weak)


def test_the_channel_slow_to_order_again_is_named_first_on_eight_shops_of_ten():
    named, inside = [], []
    for seed in range(10):
        first, log, short = shop(seed)
        table = activation(first, log, as_of=AS_OF, by=("channel",))
        row = activation_decisions(table, **DUE).iloc[0]
        named.append(row.subject == "display, first 30 days")
        inside.append(row.effect_low <= short <= row.effect_high)
    assert sum(named) >= 8 and sum(inside) >= 6


def test_equal_channels_are_no_decision():
    first, log, _short = shop(3, weak=0.2)
    table = activation(first, log, as_of=AS_OF, by=("channel",))
    assert activation_decisions(table, **DUE).empty
