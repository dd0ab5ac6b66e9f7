"""Making a shop: play its months, write what it would see, keep the default one in the
cache.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Unpack

import numpy as np
import pyarrow as pa
from pandas import DataFrame

from playbook.demo import futures, truth
from playbook.demo.ads import ad_spend
from playbook.demo.attempts import attempt_law, payment_attempts
from playbook.demo.background import background_tables, control_totals
from playbook.demo.benefits import benefit_tables, benefit_truth
from playbook.demo.content import content_tables, content_truth
from playbook.demo.goods import goods_tables, people_tables, price_table, stock_table
from playbook.demo.habits import Plan
from playbook.demo.ideas import idea_truth, ideas
from playbook.demo.invitations import invitation_truth, invitations
from playbook.demo.journey import event_tables, experiments, traffic, traffic_counts
from playbook.demo.members import memberships
from playbook.demo.offers import offer_table, offer_truth
from playbook.demo.orders import buying_tables
from playbook.demo.page_loads import load_law
from playbook.demo.parcels import carrier_law, parcel_table
from playbook.demo.partners import partner_orders, partner_truth
from playbook.demo.presets import COSTS, VERSION, Asked, Preset, plan
from playbook.demo.records import Record
from playbook.demo.rivals import planted, rival_table
from playbook.demo.search_results import first_told, result_truth, search_terms
from playbook.demo.search_words import ad_terms, word_truth
from playbook.demo.simulate import Simulator
from playbook.demo.stated import stated_truth
from playbook.demo.world import ZONE, World, drawn
from playbook.demo.writing import Clock, save, sort
from playbook.errors import PlaybookError
from playbook.store.cache import cache_folder
from playbook.store.write import locked

MARK = "made by playbook demo"
# What is kept of a month that is written and done.
_KEPT = ("o_key", "o_who", "o_day", "o_minute", "o_fate", "o_revenue", "o_shipping")


def play(sim: Simulator, month: Plan | None = None, *, keeps_days: bool = False) -> Record:
    """One more month of a simulator, its traffic and truth counted, and what nobody
    needs any more thrown away.
    """
    chunk = sim.month(month)
    chunk.traffic = traffic_counts(sim, chunk)
    chunk.n_visits = int(chunk.traffic.visitors.sum())
    chunk.truth = truth.month_truth(sim, chunk)
    if keeps_days:
        chunk.days = futures.days_of(sim, chunk)
    del chunk["baskets"]
    for name in ("cdf", "base", "keen", "crowd"):
        del chunk.env[name]
    chunk.promo_names = [p.promo_id for p in chunk.env.pop("promotions")]
    return chunk


def gather(chunks: list[Record]) -> Record:
    """The order arrays that outlive their month, end to end."""
    return Record({name: np.concatenate([c[name] for c in chunks]) for name in _KEPT})


def month_tables(
    sim: Simulator, chunk: Record, clock: Clock, *, with_events: bool
) -> dict[str, pa.Table]:
    """The tables that grow with every month."""
    tables = buying_tables(sim, chunk, clock)
    tables["stock"] = stock_table(chunk, clock)
    tables["ad_spend"] = ad_spend(chunk, clock)
    tables["ad_terms"] = ad_terms(chunk, clock)
    tables["parcels"] = parcel_table(sim.world, chunk, clock)
    tables["payment_attempts"] = payment_attempts(sim.world, chunk, clock)
    tables["traffic"] = traffic(chunk, clock)
    for name in (
        "refunds",
        "reviews",
        "tickets",
        "ad_spend",
        "ad_terms",
        "parcels",
        "payment_attempts",
        "traffic",
    ):
        tables[name] = sort(tables[name], name)
    if (results := search_terms(chunk, clock)) is not None:
        tables["search_terms"] = sort(results, "search_terms")
    return tables | (event_tables(sim, chunk, clock) if with_events else {})


def closing_tables(sim: Simulator, chunks: list[Record], clock: Clock) -> dict[str, pa.Table]:
    """The tables written once, at the end."""
    orders = gather(chunks)
    tables = people_tables(sim, clock) | goods_tables(sim, chunks, clock)
    tables["experiments"] = experiments(sim, orders, chunks, clock)
    tables["memberships"] = memberships(sim, orders, clock)
    tables["supplier_offers"] = offer_table(sim, clock)
    tables["invitations"] = invitations(sim, orders, clock)
    tables["partner_orders"] = partner_orders(sim, orders, clock)
    tables |= benefit_tables(sim, orders, clock)
    tables |= content_tables(sim, orders, clock)
    tables["ideas"] = ideas(sim.world, clock)
    tables = {
        name: rows if name == "promotions" else sort(rows, name)
        for name, rows in tables.items()
        if rows is not None
    }
    tables["control_totals"] = control_totals(clock, _dashboard(chunks, clock))
    tables["rival_offers"] = sort(rival_table(clock), "rival_offers")
    return tables | background_tables(clock)


def tables_of(sim: Simulator, chunks: list[Record]) -> dict[str, pa.Table]:
    """Every contract table as the shop would see it on the simulator's evening."""
    clock = Clock(sim.world, sim.day - 1)
    first_events = len(chunks) - sim.world.preset.events_months
    months = [
        month_tables(sim, chunk, clock, with_events=i >= first_events)
        for i, chunk in enumerate(chunks)
    ]
    tables = {name: pa.concat_tables([m[name] for m in months if name in m]) for name in months[-1]}
    for name in ("refunds", "reviews", "tickets", "parcels", "payment_attempts"):
        tables[name] = sort(tables[name], name)
    return _visible(sim.world.preset, tables | closing_tables(sim, chunks, clock))


def _visible(preset: Preset, tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """What a shop of this kind keeps of its tables."""
    if preset.is_orders_only:
        tables = {name: tables[name] for name in ("orders", "order_lines")}
    if preset.has_costs and not preset.is_orders_only:
        return tables
    return {
        name: rows.drop_columns(COSTS.get(name, []))
        for name, rows in tables.items()
        if name not in ("cost_rates", "supplier_offers")
    }


def _dashboard(chunks: list[Record], clock: Clock) -> list[dict]:
    """The dashboard's figures by month: it counts what was paid, cancelled later or
    not, and refunds on their day.
    """
    months = []
    for chunk in chunks:
        name = clock.world.month_of(chunk.first)
        refunds = sum(c.truth.refunds.get(name, 0) for c in chunks) / 100
        months.append({"month": name, **chunk.truth.dashboard, "refunds": refunds})
    return months


def settings(world: World) -> str:
    """The text of shop.yaml."""
    facts = {
        "name": world.preset.name,
        "currency": "EUR",
        "timezone": ZONE,
        "week_start": "monday",
        "log_starts_with_shop": "true",
        "about": f"simulated shop, seed {world.seed}; its truth lies in truth/",
    }
    return "".join(f"{name}: {value}\n" for name, value in facts.items())


def write_folder(folder: Path, world: World, until: int, tables: dict[str, pa.Table]) -> None:
    """Writes tables, shop.yaml and store.json into an existing folder."""
    for name, rows in tables.items():
        save(folder / f"{name}.parquet", rows)
    write_log(folder, world, until, sorted(tables))


def write_log(folder: Path, world: World, until: int, names: list[str]) -> None:
    """shop.yaml and store.json."""
    (folder / "shop.yaml").write_text(settings(world), encoding="utf-8")
    first, last = str(world.day0), str(world.day0 + until)
    observed_from = dict.fromkeys(names, first)
    if n := world.preset.events_months:
        month = (np.datetime64(last, "M") - (n - 1)).astype("datetime64[D]")
        recent = dict.fromkeys(("events", "touchpoints", "page_loads"), max(str(month), first))
        observed_from |= {name: day for name, day in recent.items() if name in names}
    if "search_terms" in names:
        observed_from["search_terms"] = str(max(first_told(world), world.day0))
    log = {
        "made_by": MARK,
        "version": VERSION,
        "preset": world.preset.name,
        "seed": world.seed,
        "observed_from": observed_from,
        "observed_to": dict.fromkeys(names, last),
        "imports": [],
    }
    text = json.dumps(log, indent=1, sort_keys=True) + "\n"
    (folder / "store.json").write_text(text, encoding="utf-8")


def make_demo(
    folder: str | os.PathLike, *, with_truth: bool = True, **asked: Unpack[Asked]
) -> Path:
    """Simulates a shop and writes its store; the folder appears whole or not at all.
    Returns the folder.

    What can be asked for: preset, customers, months, skus, until, seed, switches. The
    same seed gives the same bytes on any number of cores. `switches` turns difficulties
    and incidents off or on, e.g. `{"checkout_fault": False}` or `{"all": False,
    "season": True}`. A folder made before is replaced; any other folder with something
    in it is refused. PlaybookError for unknown presets or switches, impossible sizes,
    and a place that cannot be written to.
    """
    world, folder = drawn(**asked), Path(folder)
    refuse_others(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise PlaybookError("demo.not_writable", why=error.strerror, file=folder) from None
    try:
        _fill(part, world, with_truth=with_truth)
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
        raise PlaybookError("demo.not_ours", folder=folder)


def _is_ours(folder: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return json.loads((folder / "store.json").read_text()).get("made_by") == MARK
    return False


def _fill(folder: Path, world: World, *, with_truth: bool) -> None:
    if not world.preset.has_orders:
        _before_launch(folder, world)
        return
    sim = Simulator(world)
    if world.preset.in_chunks:
        _fill_in_chunks(folder, sim, with_truth=with_truth)
        return
    chunks = [play(sim) for _ in range(world.preset.months)]
    write_folder(folder, world, sim.day - 1, tables_of(sim, chunks))
    if with_truth:
        write_truth(folder, _truth(sim, chunks))


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
        chunks.append(_without_orders(chunk))
    tables = closing_tables(sim, chunks, clock)
    for name, rows in tables.items():
        save(folder / f"{name}.parquet", rows)
    write_log(folder, world, clock.until, sorted({*names, *tables}))
    if with_truth:
        days = [chunk.days for chunk in chunks[-12:]]
        year = {name: np.concatenate([d[name] for d in days] * 2) for name in days[0]}
        write_truth(folder, _truth(sim, chunks, [Record(year, bought=None)]))


def _without_orders(chunk: Record) -> Record:
    """A written month: its sums, and of its orders only what outlives it."""
    kept = {
        name: value
        for name, value in chunk.items()
        if name[:2] not in ("o_", "l_") or name in _KEPT
    }
    return Record(kept, traffic=None, stock=None)


def truth_makers(
    sim: Simulator, chunks: list[Record], environments: list[Record] | None = None
) -> dict[str, Callable[[], DataFrame]]:
    """What makes each frame of the truth, by the name of its file (see truth.py)."""
    until = sim.day - 1
    makers = {
        "customers": lambda: futures.customer_truth(sim, gather(chunks), environments=environments),
        "channels": lambda: truth.channel_truth(chunks),
        "response": lambda: truth.response_truth(sim, chunks),
        "suppliers": lambda: truth.supplier_truth(sim),
        "effects": lambda: truth.effect_truth(sim, chunks, until),
        "incidents": lambda: truth.incident_truth(sim),
        "stated": stated_truth,
        "search_words": lambda: word_truth(sim.world, chunks),
        "offers": lambda: offer_truth(sim, until),
        "rivals": lambda: planted(sim.world.seed),
        "carriers": lambda: carrier_law(sim.world.seed),
        "attempts": lambda: attempt_law(sim.world.seed),
        "page_loads": lambda: load_law(sim.world.seed),
        "ideas": lambda: idea_truth(sim.world, until),
        "invitations": lambda: invitation_truth(sim.world),
        "partners": lambda: partner_truth(sim.world.seed),
        "benefits": benefit_truth,
        "content": lambda: content_truth(sim.world.seed),
        "search_results": lambda: result_truth(sim.world, chunks),
    }
    goods = functools.cache(lambda: truth.sku_truth(sim, chunks, until))
    for name in truth.GOODS:
        makers[name] = functools.partial(_frame_of, goods, name)
    if "o_cause" in chunks[0]:
        makers["orders"] = lambda: truth.order_truth(chunks, sim.world)
    return makers


def _frame_of(frames: Callable[[], dict[str, DataFrame]], name: str) -> DataFrame:
    return frames()[name]


def _truth(
    sim: Simulator, chunks: list[Record], environments: list[Record] | None = None
) -> dict[str, DataFrame]:
    makers = truth_makers(sim, chunks, environments)
    return {name: make() for name, make in makers.items()}


def write_truth(folder: Path, frames: Mapping[str, DataFrame]) -> None:
    """The truth as parquet under truth/."""
    for name, frame in frames.items():
        rows = pa.Table.from_pandas(frame, preserve_index=False)
        save(folder / "truth" / f"{name}.parquet", rows.replace_schema_metadata(None))


def _before_launch(folder: Path, world: World) -> None:
    """A shop that has not opened: the market, the others, a survey, the planned prices,
    rates and roles.
    """
    clock = Clock(world, world.n_days - 1)
    tables = background_tables(clock, has_orders=False)
    price = np.tile(world.list_price, (world.n_days, 1))
    tables["prices"] = sort(price_table(clock, price), "prices")
    write_folder(folder, world, clock.until, tables)


def ensure_demo(preset: str = "demo") -> Path:
    """The cached folder of a preset, made on first use. Where several processes ask at
    once, one makes it.
    """
    plan(preset)
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
        raise PlaybookError("demo.not_cached", file=folder)
    return folder
