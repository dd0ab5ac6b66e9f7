"""Long proofs of the demo shop, one line of proof/demo.jsonl per step; steps already
there are not repeated.

    python tests/proof/proof_demo.py [seeds|channels|customers|geo|presets|decisions] ...

seeds      contract, identities and the walk to net revenue on ten seeds of the default
shop channels   orders lost when a channel's spend is set to 0 against those stated,
same chance and fresh chance customers  remaining values stated against fresh futures of
the whole shop, by decile geo        geo tests stated against the same history without
them presets    every preset in full size (large: minutes) kept by the contract
decisions  what true profit is worth over twelve months: as before, platform ROAS rule,
and the searched oracle
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from playbook.demo.make import make_demo
from playbook.demo.money import order_margin, refund_margin
from playbook.demo.presets import PRESETS
from playbook.demo.shop import Shop
from playbook.demo.truth import replay
from playbook.demo.world import CHANNELS, PAID
from playbook.demo.writing import ids

OUT = Path(__file__).resolve().parents[2] / "proof" / "demo.jsonl"


def done(step: str, case: object) -> bool:
    return OUT.exists() and any(
        (row["step"], row["case"]) == (step, case)
        for row in map(json.loads, OUT.read_text().splitlines())
    )


def write(step: str, case: object, started: float, **found: object) -> None:
    OUT.parent.mkdir(exist_ok=True)
    row = {
        "step": step,
        "case": case,
        "cpu_seconds": round(time.process_time() - started, 1),
        **found,
    }
    with OUT.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(row, flush=True)


def checked(folder: Path) -> dict:
    from playbook.store import open_store
    from playbook.store.reconcile import ledger

    shop = open_store(folder, until="2026-10")
    found = {"problems": len(shop.problems)}
    if shop.has("orders"):
        found["ledger_rows"] = len(ledger(shop))
        found["orders"] = int(shop.orders.count().to_pandas())
    return found


def seeds() -> None:
    for seed in range(1, 11):
        if not done("seeds", seed):
            started = time.process_time()
            with tempfile.TemporaryDirectory() as scratch:
                folder = make_demo(Path(scratch) / "s", seed=seed, with_truth=False)
                write("seeds", seed, started, **checked(folder))


def counted(months: object) -> int:
    return sum(int(np.isin(c["o_fate"], (0, 3)).sum()) for c in months)


def labelled(months: list, c: int) -> int:
    return sum(
        int((np.isin(m["o_fate"], (0, 3)) & (m["o_root"] >> c & 1 == 1)).sum()) for m in months
    )


def channels() -> None:
    shop = None
    for future in (None, 0, 1, 2):
        for c in PAID:
            case = f"{CHANNELS[c]}/{'same chance' if future is None else future}"
            if done("channels", case):
                continue
            shop = shop or Shop(preset="demo", customers=15_000, months=24)
            started = time.process_time()
            whole = list(replay(shop._sim.world, shop._chunks, future=future))
            lost = counted(whole) - counted(
                replay(shop._sim.world, shop._chunks, without=CHANNELS[c], future=future)
            )
            stated = labelled(whole, c)
            write(
                "channels",
                case,
                started,
                stated=stated,
                lost=lost,
                difference_share=round(lost / stated - 1, 4),
            )


def customers() -> None:
    case = "15000 customers, 12 futures"
    if done("customers", case):
        return
    started = time.process_time()
    shop = Shop(preset="demo", customers=15_000, months=24)
    sim, n = shop._sim, shop._sim.n
    stated = (
        shop.truth["customers"]
        .set_index("customer_id")
        .loc[ids(sim.people["key"][:n], 12, "C").to_pylist()]
    )
    rank = stated.margin_12m.rank(method="first").to_numpy()
    decile = np.minimum((rank - 1) * 10 // n, 9).astype(int)
    found = []
    for future in range(12):
        twin, value = sim.copy(), np.zeros(n)
        twin.reseed(future)
        for _ in range(12):
            c = twin.month()
            of = np.repeat(np.arange(len(c["o_who"])), c["o_lines"])
            margin = (order_margin(c) + np.bincount(of, refund_margin(c), len(c["o_who"]))) / 100
            old = c["o_who"] < n
            value += np.bincount(c["o_who"][old], margin[old], n)
        found.append([value.sum(), *np.bincount(decile, value, 10)])
        print(future, round(found[-1][0]), flush=True)
    found = np.array(found)
    says = np.array([stated.margin_12m.sum(), *np.bincount(decile, stated.margin_12m, 10)])
    write(
        "customers",
        case,
        started,
        stated=says.round().tolist(),
        fresh=found.mean(axis=0).round().tolist(),
        fresh_se=(found.std(axis=0, ddof=1) / np.sqrt(len(found))).round().tolist(),
        shared_se_share=float(stated.shared_se_share_12m.iloc[0]),
    )


def geo() -> None:
    if done("geo", "demo"):
        return
    started = time.process_time()
    shop = Shop(preset="demo", months=14, customers=40_000)
    rows = (
        shop.truth["effects"]
        .query("kind == 'geo test' and unit.str.startswith('orders')")
        .set_index("test")
        .effect
    )
    found = {}
    for test in shop._sim.geo_tests:
        days, c, r = (test["first"], test["last"]), test["channel"], test["regions"]

        def came(months: list, c: int = c, days: tuple = days, r: np.ndarray = r) -> int:
            return sum(
                int(
                    (
                        (m["o_cause"] == c)
                        & np.isin(m["o_fate"], (0, 3))
                        & np.isin(m["o_region"], r)
                        & (m["o_day"] >= days[0])
                        & (m["o_day"] <= days[1])
                    ).sum()
                )
                for m in months
            )

        plain = list(replay(shop._sim.world, shop._chunks, geo_tests=False))
        found[test["test_id"]] = {
            "stated": round(float(rows[test["test_id"]]), 1),
            "found": came(shop._chunks) - came(plain),
            "orders_with": came(shop._chunks),
            "orders_without": came(plain),
        }
    write("geo", "demo", started, **found)


def presets() -> None:
    for preset in PRESETS:
        if done("presets", preset):
            continue
        started, wall = time.process_time(), time.time()
        with tempfile.TemporaryDirectory() as scratch:
            folder = make_demo(Path(scratch) / preset, preset=preset)
            made = time.process_time() - started
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            found = {
                "made_cpu_seconds": round(made, 1),
                "made_wall_seconds": round(time.time() - wall, 1),
                "peak_gb": round(peak, 2),
            }
            size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6
            write(
                "presets",
                preset,
                started,
                **found,
                mb=round(size),
                **(checked(folder) if preset != "large" else {}),
            )


def decisions() -> None:
    from playbook.demo.oracle import compare

    for seed in range(1, 6):
        if not done("decisions", seed):
            started = time.process_time()
            write("decisions", seed, started, **compare(Shop(preset="tiny", seed=seed), months=12))


def main() -> None:
    """Runs the steps named on the command line, or all of them."""
    steps = {f.__name__: f for f in (seeds, channels, customers, geo, presets, decisions)}
    for name in sys.argv[1:] or steps:
        steps[name]()


if __name__ == "__main__":
    main()
