"""Making a shop: play its months, write what it would see, keep the default one in the
cache.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from playbook.demo import truth
from playbook.demo.background import background_tables, control_totals
from playbook.demo.habits import Plan
from playbook.demo.journey import event_tables, experiments, memberships, traffic, traffic_counts
from playbook.demo.presets import SEED, VERSION, Preset, plan
from playbook.demo.simulate import Simulator
from playbook.demo.tables import (
    Clock,
    ad_spend,
    buying_tables,
    goods_tables,
    people_tables,
    price_table,
    stock_table,
)
from playbook.demo.world import ZONE, World
from playbook.demo.writing import save, sort
from playbook.errors import PlaybookError

__all__ = [
    "ensure_demo",
    "gather",
    "make_demo",
    "play",
    "refuse_others",
    "tables_of",
    "truth_of",
    "write_folder",
    "write_truth",
]

_COSTS = {
    "order_lines": ["unit_cost"],
    "products": ["unit_cost"],
    "stock": ["unit_cost"],
    "purchase_orders": ["unit_cost"],
    "orders": ["payment_fee", "shipping_cost"],
    "treatments": ["cost"],
    "promotions": ["cost"],
    "tiers": ["benefit_cost"],
}
MARK = "made by playbook demo"
_KEPT = (
    "o_key",
    "o_who",
    "o_day",
    "o_minute",
    "o_fate",
    "o_revenue",
    "o_shipping",
)  # of a month that is written and done


def play(sim: Simulator, plan_of_month: Plan | None = None, *, keeps_days: bool = False) -> dict:
    """One more month of a simulator, its traffic and truth counted, and what nobody
    needs any more thrown away.
    """
    chunk = sim.month(plan_of_month)
    chunk["traffic"] = traffic_counts(sim, chunk)
    chunk["n_visits"] = int(chunk["traffic"]["visitors"].sum())
    chunk["truth"] = truth.month_truth(sim, chunk)
    if keeps_days:
        chunk["days"] = truth.days_of(sim, chunk)
    del chunk["baskets"]
    for name in ("cdf", "base", "keen", "crowd"):
        del chunk["env"][name]
    chunk["promo_names"] = [p.promo_id for p in chunk["env"].pop("promotions")]
    return chunk


def gather(chunks: list[dict]) -> dict[str, np.ndarray]:
    """The order arrays that outlive their month, end to end."""
    return {name: np.concatenate([c[name] for c in chunks]) for name in _KEPT}


def month_tables(
    sim: Simulator, chunk: dict, clock: Clock, *, with_events: bool
) -> dict[str, pa.Table]:
    """The tables that grow with every month."""
    out = buying_tables(sim, chunk, clock)
    out |= {
        "stock": stock_table(sim, chunk, clock),
        "ad_spend": ad_spend(sim, chunk, clock),
        "traffic": traffic(sim, chunk, clock),
    }
    return out | (event_tables(sim, chunk, clock) if with_events else {})


def closing_tables(sim: Simulator, chunks: list[dict], clock: Clock) -> dict[str, pa.Table]:
    """The tables written once, at the end."""
    a = gather(chunks)
    out = (
        people_tables(sim, clock)
        | goods_tables(sim, chunks, clock)
        | background_tables(sim.world, clock.until)
    )
    out["control_totals"] = control_totals(_dashboard(sim, chunks, clock))
    for name, rows in (
        ("experiments", experiments(sim, a, chunks, clock)),
        ("memberships", memberships(sim, a, clock)),
    ):
        if rows is not None:
            out[name] = rows
    return out


def tables_of(sim: Simulator, chunks: list[dict]) -> dict[str, pa.Table]:
    """Every contract table as the shop would see it on the simulator's evening."""
    clock = Clock(sim.world, sim.day - 1)
    n = sim.world.preset.events_months
    months = [
        month_tables(sim, c, clock, with_events=i >= len(chunks) - n) for i, c in enumerate(chunks)
    ]
    out = {name: pa.concat_tables([m[name] for m in months if name in m]) for name in months[-1]}
    for name in ("refunds", "reviews", "tickets"):
        out[name] = sort(out[name], name)
    return _visible(sim.world.preset, out | closing_tables(sim, chunks, clock))


def _visible(preset: Preset, tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """What a shop of this kind keeps of its tables."""
    if preset.is_orders_only:
        tables = {name: tables[name] for name in ("orders", "order_lines")}
    if preset.has_costs and not preset.is_orders_only:
        return tables
    return {
        name: rows.drop_columns(_COSTS.get(name, []))
        for name, rows in tables.items()
        if name != "cost_rates"
    }


def _dashboard(sim: Simulator, chunks: list[dict], clock: Clock) -> list[dict]:
    """The dashboard's figures by month: it counts what was paid, cancelled later or
    not, and refunds on their day.
    """
    months = [(str((sim.world.day0 + c["first"]).astype("datetime64[M]")), c) for c in chunks]
    back = {name: sum(c["truth"]["refunds"].get(name, 0) for _, c in months) for name, _ in months}
    return [
        {"month": name, **c["truth"]["dashboard"], "refunds": back[name] / 100}
        for name, c in months
    ]


def settings(world: World) -> str:
    """The text of shop.yaml."""
    return (
        f"name: {world.preset.name}\ncurrency: EUR\ntimezone: {ZONE}\nweek_start: monday\nlog_starts_with_shop: true\n"
        f"about: simulated shop, seed {world.seed}; its truth lies in truth/\n"
    )


def write_folder(folder: Path, world: World, until: int, tables: dict[str, pa.Table]) -> None:
    """Writes tables, shop.yaml and store.json into an existing folder."""
    for name, rows in tables.items():
        save(folder / f"{name}.parquet", rows)
    write_log(folder, world, until, sorted(tables))


def write_log(folder: Path, world: World, until: int, names: list[str]) -> None:
    """shop.yaml and store.json."""
    (folder / "shop.yaml").write_text(settings(world), encoding="utf-8")
    first, last = str(world.day0), str(world.day0 + until)
    since = {"events": world.preset.events_months, "touchpoints": world.preset.events_months}
    months = {
        t: str((np.datetime64(last, "M") - (n - 1)).astype("datetime64[D]"))
        for t, n in since.items()
        if n
    }
    log = {
        "made_by": MARK,
        "version": VERSION,
        "preset": world.preset.name,
        "seed": world.seed,
        "observed_from": {t: max(months.get(t, first), first) for t in names},
        "observed_to": dict.fromkeys(names, last),
        "imports": [],
    }
    (folder / "store.json").write_text(
        json.dumps(log, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )


def make_demo(
    folder: str | os.PathLike,
    *,
    preset: str = "demo",
    seed: int = SEED,
    customers: int | None = None,
    months: int | None = None,
    skus: int | None = None,
    until: str = "2026-10",
    switches: dict[str, bool] | None = None,
    with_truth: bool = True,
) -> Path:
    """Simulates a shop and writes its store; the folder appears whole or not at all.
    Returns the folder.

    The same seed gives the same bytes on any number of cores. `switches` turns
    difficulties and incidents off or on, e.g. `{"checkout_fault": False}` or `{"all":
    False, "season": True}`. A folder made before is replaced; any other folder with
    something in it is refused. PlaybookError for unknown presets or switches,
    impossible sizes, and a place that cannot be written to.
    """
    asked, last_month, on = plan(
        preset,
        customers=customers,
        months=months,
        skus=skus,
        until=until,
        seed=seed,
        switches=switches,
    )
    folder = Path(folder)
    refuse_others(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise PlaybookError(
            f"The shop cannot be written: {error.strerror}",
            file=folder,
            do="name a folder you may write to",
        ) from None
    try:
        _fill(part, asked, World(asked, last_month, seed, on), with_truth=with_truth)
        part.chmod(0o755)
        old = folder.with_name(f".{folder.name}.old.{os.getpid()}")
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def refuse_others(folder: Path) -> None:
    """PlaybookError for a file, and for a folder with something in it that no demo shop
    wrote.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is_ours(folder)):
        raise PlaybookError(
            f"{folder} holds something that is not a demo shop", do="name an empty or a new folder"
        )


def _is_ours(folder: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return json.loads((folder / "store.json").read_text()).get("made_by") == MARK
    return False


def _fill(folder: Path, preset: Preset, world: World, *, with_truth: bool) -> None:
    if not preset.has_orders:
        _before_launch(folder, preset, world)
        return
    sim = Simulator(world)
    if preset.in_chunks:
        _fill_in_chunks(folder, sim, with_truth=with_truth)
        return
    chunks = [play(sim) for _ in range(preset.months)]
    tables = tables_of(sim, chunks)
    write_folder(folder, world, sim.day - 1, tables)
    if with_truth:
        write_truth(folder, truth_of(sim, chunks))


def _fill_in_chunks(folder: Path, sim: Simulator, *, with_truth: bool) -> None:
    """A month at a time: each is written and forgotten but for its sums. Orders are
    written as known on the last evening of the whole log, so a parcel of a written
    month may still arrive in it.
    """
    world, months = sim.world, sim.world.preset.months
    clock = Clock(world, world.n_days - 1)
    chunks, names = [], set()
    for month in range(months):
        chunk = play(sim, keeps_days=with_truth and month >= months - 12)
        for name, rows in month_tables(sim, chunk, clock, with_events=False).items():
            save(folder / name / f"part-{month:03d}.parquet", rows)
            names.add(name)
        chunks.append(
            {
                name: value
                for name, value in chunk.items()
                if name[:2] not in ("o_", "l_") or name in _KEPT
            }
            | {"traffic": None, "stock": None}
        )
    tables = closing_tables(sim, chunks, clock)
    for name, rows in tables.items():
        save(folder / f"{name}.parquet", rows)
    write_log(folder, world, clock.until, sorted({*names, *tables}))
    if with_truth:
        year = {
            name: np.concatenate([c["days"][name] for c in chunks[-12:]] * 2)
            for name in chunks[-1]["days"]
        }
        write_truth(
            folder, truth_of(sim, chunks, environments=[{**year, "bought": None, "first": sim.day}])
        )


def truth_of(
    sim: Simulator, chunks: list[dict], environments: list[dict] | None = None
) -> dict[str, pd.DataFrame]:
    """Every frame of the truth, by the name of its file."""
    until = sim.day - 1
    return {
        "customers": truth.customer_truth(sim, gather(chunks), environments=environments),
        "channels": truth.channel_truth(chunks),
        "response": truth.response_truth(sim, chunks),
        **truth.sku_truth(sim, chunks, until),
        "suppliers": truth.supplier_truth(sim),
        "effects": truth.effect_truth(sim, chunks, until),
        "incidents": truth.incident_truth(sim),
        **({"orders": truth.order_truth(chunks, sim.world)} if "o_cause" in chunks[0] else {}),
    }


def write_truth(folder: Path, frames: dict[str, pd.DataFrame]) -> None:
    """The truth as parquet under truth/."""
    for name, frame in frames.items():
        save(
            folder / "truth" / f"{name}.parquet",
            pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None),
        )


def _before_launch(folder: Path, preset: Preset, world: World) -> None:
    """A shop that has not opened: the market, the others, a survey, the planned prices,
    rates and roles.
    """
    until = world.n_days - 1
    tables = background_tables(world, until, has_orders=False)
    tables["prices"] = price_table(
        world, np.repeat(world.list_price[None, :], world.n_days, axis=0), Clock(world, until)
    )
    write_folder(folder, world, until, tables)


def ensure_demo(preset: str = "demo") -> Path:
    """The cached folder of a preset, made on first use. Where several processes ask at
    once, one makes it.
    """
    from playbook.store import cache_folder
    from playbook.store.write import locked

    plan(preset, customers=None, months=None, until="2026-10", seed=SEED, switches=None)
    folder = cache_folder() / "demo" / f"{preset}-{VERSION}"
    if _is_ours(folder):
        return folder
    with locked(folder.parent / f".making-{folder.name}", wait_seconds=1_800.0):
        if not _is_ours(folder):
            with tempfile.TemporaryDirectory(prefix=f".{preset}.", dir=folder.parent) as scratch:
                made = make_demo(Path(scratch) / preset, preset=preset)
                with contextlib.suppress(OSError):
                    made.rename(folder)
    if not _is_ours(folder):
        raise PlaybookError(
            "The demo shop cannot be kept in the cache",
            file=folder,
            do="set PLAYBOOK_CACHE to a folder you may write to",
        )
    return folder
