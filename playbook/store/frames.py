"""A shop from frames at hand: contract tables, or one frame of purchases.

Frames are written once, by the hash of what they hold, into the cache and opened like any
folder: the contract, as-of and the derived tables work as they do for an imported shop.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pandas as pd
import yaml
from pandas import DataFrame, Series

from playbook.errors import PlaybookError
from playbook.given import columns_missing, nearest
from playbook.store.cache import cache_folder
from playbook.store.contract import TABLES
from playbook.store.open import open_store
from playbook.store.shop import Store

__all__ = ["open_frames", "open_purchases"]


def open_frames(
    *, until: str | None = None, settings: dict[str, object] | None = None, **frames: DataFrame
) -> Store:
    """Open a shop from pandas frames, one keyword per contract table (`orders=...,
    order_lines=...`).

    `settings` are those of shop.yaml (name, currency, time_zone, ...). Columns the
    contract does not know are left out. Raises PlaybookError for a table the contract
    does not know, and for a required column that is missing, with the columns that came
    and the rename that may have been meant.
    """
    for table, frame in frames.items():
        _check(table, frame)
    return open_store(_written(frames, settings or {}), until=until)


def open_purchases(
    frame: DataFrame,
    *,
    customer: str,
    day: str,
    amount: str,
    order: str | None = None,
    until: str | None = None,
    settings: dict[str, object] | None = None,
) -> Store:
    """Open a shop from one frame of purchases: a row is one line of an order.

    `customer`, `day`, `amount` name its columns: who (missing for guests), the shop
    day (YYYY-MM-DD, or a datetime column), the money of the row without tax. `order`
    names the order; without it, what a customer bought on a day is one order. Rows
    below 0 are refunds. Enough for cohorts, segments and lifetime value; stock, traffic
    and costs stay unknown. Raises PlaybookError for a column that is not there, for a
    day or an amount that cannot be read.
    """
    named = {"customer": customer, "day": day, "amount": amount} | (
        {"order": order} if order else {}
    )
    for name, column in named.items():
        if column not in frame.columns:
            there = [str(c) for c in frame.columns]
            near = nearest(column, there) or nearest(name, there) or "..."
            raise PlaybookError(
                "store.frame_no_column",
                column=column,
                columns=", ".join(there),
                offer=f"{name}={near!r}",
            )
    rows = DataFrame({name: frame[column].to_numpy() for name, column in named.items()})
    rows["customer"] = rows.customer.where(rows.customer.isna(), rows.customer.astype(str))
    rows["day"] = _days(rows.day, day)
    rows["amount"] = _amounts(rows.amount, amount)
    if order is None:
        # a guest's purchase is an order of its own
        guest = Series([f"guest{n}" for n in range(len(rows))], index=rows.index)
        rows["order"] = rows.day.dt.strftime("%Y%m%d") + "-" + rows.customer.fillna(guest)
    return open_frames(until=until, settings=settings, **_tables(rows))


def _days(values: Series, column: str) -> Series:
    # other ways of writing a day have two readings: 03/04 is March or April
    days = pd.to_datetime(values, errors="coerce", format="ISO8601")
    if days.isna().any():
        bad = values[days.isna()]
        example = repr(bad.iloc[0])
        raise PlaybookError("store.frame_day", column=column, rows=len(bad), example=example)
    return days.dt.normalize()


def _amounts(values: Series, column: str) -> Series:
    money = pd.to_numeric(values, errors="coerce")
    if money.isna().any():
        bad = values[money.isna()]
        example = repr(bad.iloc[0])
        raise PlaybookError("store.frame_amount", column=column, rows=len(bad), example=example)
    return money.astype(float)


def _tables(rows: DataFrame) -> dict[str, DataFrame]:
    """Orders, lines and refunds of purchases; see `open_purchases`."""
    bought = rows[rows.amount >= 0].copy()
    bought["order"] = bought.order.astype(str)
    bought["line_no"] = bought.groupby("order").cumcount() + 1
    by_order = bought.groupby("order", sort=True)
    orders = by_order.agg(
        ordered_at=("day", "min"), customer_id=("customer", "first"), gross=("amount", "sum")
    )
    orders = orders.reset_index(names="order_id").assign(
        ordered_on=lambda t: t.ordered_at, status="done", total=lambda t: t.gross
    )
    lines = bought.rename(columns={"order": "order_id", "amount": "price"}).assign(
        sku="all", quantity=1
    )
    tables = {
        "orders": orders,
        "order_lines": lines[["order_id", "line_no", "sku", "quantity", "price"]],
    }
    back = rows[rows.amount < 0]
    if len(back):
        tables["refunds"] = DataFrame(
            {
                "refund_id": [f"r{n + 1}" for n in range(len(back))],
                "refunded_on": back.day.to_numpy(),
                "amount": -back.amount.to_numpy(),
                "customer_id": back.customer.to_numpy(),
            }
        )
    return tables


def _check(table: str, frame: DataFrame) -> None:
    if table not in TABLES:
        raise PlaybookError(
            "store.no_such_table",
            name=table,
            known=", ".join(TABLES),
        )
    missing = [c for c in TABLES[table].required if c not in frame.columns]
    if missing:
        raise columns_missing(table, missing, frame.columns)


def _written(frames: dict[str, DataFrame], settings: dict[str, object]) -> Path:
    """The folder that holds these frames, by the hash of what they hold."""
    text = yaml.safe_dump(settings, allow_unicode=True, sort_keys=True)
    digest = hashlib.sha256(text.encode())
    kept = {}
    for table in sorted(frames):
        known = [c.name for c in TABLES[table].columns if c.name in frames[table].columns]
        kept[table] = frames[table][known].reset_index(drop=True)
        digest.update(f"{table}{known}".encode())
        digest.update(pd.util.hash_pandas_object(kept[table], index=False).to_numpy().tobytes())
    folder = cache_folder() / "frames" / digest.hexdigest()[:16]
    if not (folder / "shop.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for table, frame in kept.items():
            frame.to_parquet(folder / f"{table}.parquet", index=False)
        # written last: a folder without it is not whole
        part = folder / f".shop.{os.getpid()}"
        part.write_text(text if settings else "name: frames\n", encoding="utf-8")
        part.replace(folder / "shop.yaml")
    return folder
