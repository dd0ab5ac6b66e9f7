"""Small shops for tests: six rows a reader can check by eye, written as a store folder."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd


def days(*rows: tuple) -> pd.DataFrame:
    """Customer days from (customer, day) or (customer, day, orders) pairs; every order
    is worth 10.
    """
    frame = pd.DataFrame(
        [(r[0], dt.date.fromisoformat(r[1]), r[2] if len(r) > 2 else 1) for r in rows],
        columns=["customer_id", "day_on", "orders"],
    )
    return frame.assign(units=frame.orders, revenue=10.0 * frame.orders, margin=4.0 * frame.orders)


def order(
    order_id: str,
    day: str,
    customer: str | None = "ann",
    *,
    price: float = 10.0,
    quantity: int = 1,
    status: str = "done",
    **more: object,
) -> dict:
    """One order with one line, its money already adding up."""
    gross = price * quantity
    return {
        "order_id": order_id,
        "ordered_at": pd.Timestamp(day) + pd.Timedelta(hours=10),
        "ordered_on": pd.Timestamp(day).date(),
        "status": status,
        "customer_id": customer,
        "gross": gross,
        "discount": 0.0,
        "shipping": 0.0,
        "tax": 0.0,
        "total": gross,
        "sku": "mug",
        "quantity": quantity,
        "price": price,
        **more,
    }


LINE = ("sku", "quantity", "price", "unit_cost", "promo_id")


def write_shop(
    folder: Path,
    orders: list[dict],
    *,
    shop: str = "name: tiny\ncurrency: EUR\nlog_starts_with_shop: true\n",
    as_csv: bool = False,
    observed_to: str | None = None,
    **tables: pd.DataFrame,
) -> Path:
    """A store folder of these orders (one line each) and any other tables given as
    frames.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(orders)
    lines = frame[["order_id", *[c for c in LINE if c in frame]]].assign(line_no=1, discount=0.0)
    tables = {
        "orders": frame.drop(columns=[c for c in LINE if c in frame]),
        "order_lines": lines,
        **tables,
    }
    for name, table in tables.items():
        if as_csv:
            table.to_csv(folder / f"{name}.csv", index=False)
        else:
            table.to_parquet(folder / f"{name}.parquet", index=False)
    (folder / "shop.yaml").write_text(shop, encoding="utf-8")
    if observed_to:
        (folder / "store.json").write_text(
            f'{{"observed_to": {{"orders": "{observed_to}"}}}}', encoding="utf-8"
        )
    return folder
