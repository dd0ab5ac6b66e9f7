"""The dictionary, and the monthly series the scorecard shows."""

import datetime as dt

import pandas as pd
import pytest
from shops import order, write_shop

from playbook.errors import PlaybookError
from playbook.measures.metrics import (
    METRICS,
    definitions,
    metrics_markdown,
    monthly_sales,
    months_back,
)
from playbook.store import open_store


def test_the_written_dictionary_is_current(root):
    assert (root / "data" / "METRICS.md").read_text(encoding="utf-8").endswith(metrics_markdown())


def test_every_metric_is_whole():
    for metric in METRICS.values():
        assert all(
            (
                metric.name,
                metric.chinese,
                metric.formula,
                metric.unit,
                metric.direction,
                metric.maturity,
            )
        ), metric.id
        assert metric.unit in {
            "money",
            "count",
            "ratio",
            "share",
            "days",
            "months",
            "units",
            "hours",
            "points",
            "class",
            "share / stars",
        }, metric.id


def test_an_unknown_metric_is_refused_by_name():
    with pytest.raises(PlaybookError, match="no metric nonsense"):
        definitions("orders", "nonsense")


def test_months_are_counted_over_the_new_year():
    assert months_back("2026-02", 3) == ["2025-12", "2026-01", "2026-02"]


def test_net_revenue_takes_a_refund_in_the_month_it_is_booked(tmp_path):
    refunds = pd.DataFrame(
        {
            "refund_id": ["r"],
            "order_id": ["1"],
            "refunded_on": [dt.date(2026, 9, 5)],
            "amount": [4.0],
        }
    )
    rows = [order("1", "2026-08-01"), order("2", "2026-09-30", "bob")]
    table = monthly_sales(
        open_store(write_shop(tmp_path / "s", rows, refunds=refunds), until="2026-09")
    )
    net = table[table.metric == "net_revenue"].set_index("month").amount
    assert net.to_dict() == {"2026-08": 10.0, "2026-09": 6.0}


def test_a_month_the_log_only_touches_is_partial(tmp_path):
    rows = [order("1", "2026-07-20"), order("2", "2026-08-31")]
    table = monthly_sales(open_store(write_shop(tmp_path / "s", rows), until="2026-08"))
    assert table[table.metric == "orders"].status.tolist() == ["partial", "complete"]


def test_sessions_of_a_month_with_orders_on_days_without_visits_are_partial(tmp_path):
    """Two days of September have orders, one of them visits: conversion is that day's, and
    a closed day takes nothing away.
    """
    rows = [order("1", "2026-08-01"), order("2", "2026-08-31")]
    rows += [order("3", "2026-09-01"), order("4", "2026-09-30"), order("5", "2026-09-30")]
    visits = {"day_on": ["2026-08-01", "2026-08-31", "2026-09-30"], "sessions": [10, 10, 8]}
    traffic = pd.DataFrame(visits).assign(channel="direct", device="all", region="all")
    traffic["day_on"] = pd.to_datetime(traffic.day_on).dt.date
    folder = write_shop(tmp_path / "s", rows, traffic=traffic)
    table = monthly_sales(open_store(folder, until="2026-09")).set_index(["metric", "month"])
    status = {m: table.status[m].tolist() for m in ("sessions", "cvr_sessions", "orders")}
    assert status == {
        "sessions": ["complete", "partial"],
        "cvr_sessions": ["complete", "partial"],
        "orders": ["complete", "complete"],
    }
    assert table.amount["cvr_sessions"].tolist() == [0.1, 0.25]
