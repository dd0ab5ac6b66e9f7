"""How time and memory grow with the order lines, beside pandas, peers and the floor:
docs/scale.md, docs/scale.png.

    python tests/benchmarks/bench_scale.py [--sizes 1 10 100] [--steps customers ...] [--no-peers] [--keep] [--fresh]

Every (size, step, tool) is a process of its own: seconds, CPU seconds and peak memory
are those of the whole process, imports included. What has been measured stands in
`scale.jsonl` in the bench folder and is not measured again unless `--fresh` is given.
The tables are removed at the end unless `--keep`; peers live in an environment made
there with pip. The floor is DuckDB reading the same columns from the same files and
grouping them the same way, with nothing around it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_month import memory_of

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
AS_OF = "2026-10-31"
PEERS = ("openretailscience", "lifetimes==0.11.3", "mlxtend")
STEPS = {  # step -> tools, the playbook first
    "customers": ("playbook", "pandas", "openretailscience", "floor"),
    "store": ("playbook",),
    "chapters": ("playbook",),
    "bg_nbd": ("playbook", "lifetimes"),
    "pairs": ("playbook", "mlxtend", "floor"),
    "attribution": ("playbook", "floor"),
}
WHAT = {
    "customers": "customer days, then RFM, cohorts and purchase history",
    "store": "the whole store layer: contract, every derived table, the ledger",
    "chapters": "a month of chapters 00, 04, 05, 06, 11, store layer included (memory: all processes; CPU: the first)",
    "bg_nbd": "BG/NBD fit of the purchase histories (lifetimes: its own summary, then its fit, ungrouped)",
    "pairs": "pairs of items in one order",
    "attribution": "attribution of journeys, one for every ten lines",
}
LIMIT = 1200  # seconds a step may take
ORDERS = """
    SELECT lpad(i::VARCHAR, 10, '0') AS order_id, hash(i) AS h, (1 + hash(i, 'n') % 4)::INT AS n,
        DATE '2023-11-01' + (hash(i, 'd') % 1096)::INT AS ordered_on
    FROM range({orders}) t(i)"""
PRICE = "(5 + (hash({order}, {line}) % 2000 * (hash({order}, {line}) % 2000) // 2000) * 17 % 100)"


def generate(folder: Path, million: float) -> None:
    """Contract tables `orders`, `order_lines`, `touchpoints` of about `million` million
    lines, by hashes: same rows for the same size. One customer for every ten lines; few
    buy often, and one order in twenty has none.
    """
    import duckdb

    con = duckdb.connect()
    (folder / "journeys").mkdir(
        exist_ok=True
    )  # of no use to the other steps, whose peers do not read them either
    con.execute(f"SET memory_limit='6GB'; SET temp_directory='{folder}'")
    n_orders, people = int(million * 400_000), int(million * 100_000)
    base = ORDERS.format(orders=n_orders)
    price = PRICE.format(order="order_id", line="line_no")
    out = "(FORMAT parquet, COMPRESSION zstd)"
    con.execute(f"""COPY (SELECT order_id, line_no, 's' || lpad((hash(order_id, line_no) % 2000
        * (hash(order_id, line_no) % 2000) // 2000)::VARCHAR, 4, '0') AS sku, 1::BIGINT AS quantity,
        {price}::DECIMAL(18, 6) AS price, 0::DECIMAL(18, 6) AS discount, ({price} * 0.6)::DECIMAL(18, 6) AS unit_cost
        FROM (SELECT order_id, unnest(range(1, n + 1)) AS line_no FROM ({base})))
        TO '{folder}/order_lines.parquet' {out}""")
    each = PRICE.format(order="order_id", line="x")
    con.execute(f"""COPY (SELECT order_id, ordered_on + INTERVAL 10 HOUR AS ordered_at, ordered_on, 'done' AS status,
        CASE WHEN h % 20 > 0 THEN 'c' || lpad(
        floor({people} * pow((hash(h) % 1000003) / 1000003.0, 2))::BIGINT::VARCHAR, 9, '0') END AS customer_id,
        'ch' || (h % 8)::VARCHAR AS channel,
        list_sum(list_transform(range(1, n + 1), x -> {each}))::DECIMAL(18, 6) AS gross, 0::DECIMAL(18, 6) AS discount,
        gross AS total FROM ({base})) TO '{folder}/orders.parquet' {out}""")
    con.execute(f"""COPY (SELECT 'j' || i::VARCHAR AS journey_id, t::BIGINT AS touch_no,
        'ch' || (hash(i, t) % 8)::VARCHAR AS channel, TIMESTAMP '2026-10-01 10:00' AS touched_at,
        t = n AND hash(i) % 10 = 0 AS is_conversion
        FROM (SELECT i, n, unnest(range(1, n + 1)) AS t FROM (SELECT i, (1 + hash(i, 'n') % 5)::INT AS n
        FROM range({people}) q(i)))) TO '{folder}/journeys/touchpoints.parquet' {out}""")
    (folder / "shop.yaml").write_text(
        "name: scale\ncurrency: EUR\nlog_starts_with_shop: true\n", encoding="utf-8"
    )


# ---- the tools; each runs alone in a process and returns the seconds of its parts


def timed(**parts: object) -> tuple[dict, dict]:
    """What every part took and returned; a part that takes an argument gets what came
    before it.
    """
    took, found = {}, {}
    for name, part in parts.items():
        start = time.perf_counter()
        found[name] = part(found)
        took[name] = round(time.perf_counter() - start, 3)
    return took, found


def customers_playbook(folder: Path) -> dict:
    from playbook.chapters.cohort_retention.cohorts import cohort_retention
    from playbook.chapters.segmentation.segments import rfm
    from playbook.measures.customer_windows import purchase_history
    from playbook.store import open_store

    return timed(
        open=lambda f: open_store(folder, until=AS_OF),
        build=lambda f: f["open"].customer_days,
        rfm=lambda f: rfm(f["build"], as_of=AS_OF),
        cohorts=lambda f: cohort_retention(f["build"], as_of=AS_OF),
        history=lambda f: purchase_history(f["build"], as_of=AS_OF),
    )[0]


def history_playbook(folder: Path) -> dict:
    """What the fits start from; measured nowhere."""
    from playbook.measures.customer_windows import purchase_history
    from playbook.store import open_store

    days = open_store(folder, until=AS_OF).customer_days
    purchase_history(days, as_of=AS_OF).to_parquet(folder / "history.parquet", index=False)
    days.to_parquet(folder / "customer_days.parquet")
    return {}


def customers_pandas(folder: Path) -> dict:
    import numpy as np
    import pandas as pd

    end = pd.Timestamp(AS_OF)

    def build(_found: dict) -> pd.DataFrame:
        lines = pd.read_parquet(
            folder / "order_lines.parquet",
            columns=["order_id", "quantity", "price", "discount", "unit_cost"],
        )
        for column in ("price", "discount", "unit_cost"):
            lines[column] = lines[column].astype(float)
        lines["revenue"] = lines.quantity * lines.price - lines.discount
        lines["margin"] = lines.revenue - lines.quantity * lines.unit_cost
        money = lines.groupby("order_id", sort=False)[["quantity", "revenue", "margin"]].sum()
        orders = pd.read_parquet(
            folder / "orders.parquet", columns=["order_id", "customer_id", "ordered_on"]
        )
        orders = orders[orders.customer_id.notna()].assign(
            day_on=lambda t: pd.to_datetime(t.ordered_on)
        )
        orders = orders.join(money, on="order_id")
        return (
            orders.groupby(["customer_id", "day_on"], sort=False)
            .agg(orders=("order_id", "size"), revenue=("revenue", "sum"), margin=("margin", "sum"))
            .reset_index()
        )

    def history(found: dict) -> pd.DataFrame:
        days = found["build"].sort_values(["customer_id", "day_on"])
        each = days.groupby("customer_id", sort=False).agg(
            first=("day_on", "first"),
            last=("day_on", "last"),
            n=("day_on", "size"),
            amount=("revenue", "sum"),
        )
        return each.assign(
            t=(each["last"] - each["first"]).dt.days, age=(end - each["first"]).dt.days
        )

    def cohorts(found: dict) -> pd.DataFrame:
        days = found["build"]
        month = days.day_on.dt.year * 12 + days.day_on.dt.month
        born = month.groupby(days.customer_id, sort=False).transform("min")
        cells = pd.DataFrame(
            {
                "customer_id": days.customer_id,
                "born": born,
                "k": month - born,
                "revenue": days.revenue,
            }
        )
        return cells.groupby(["born", "k"]).agg(
            active=("customer_id", "nunique"), revenue=("revenue", "sum")
        )

    def rfm(found: dict) -> pd.DataFrame:
        each = (
            found["build"]
            .groupby("customer_id", sort=False)
            .agg(last=("day_on", "max"), n=("day_on", "size"), amount=("revenue", "sum"))
        )
        days = found["build"].sort_values(["customer_id", "day_on"])
        gap = days.day_on.diff().dt.days[days.customer_id.eq(days.customer_id.shift())]
        cuts = np.quantile(gap, [0.5, 0.75, 0.9, 0.95])
        recency = (end - each["last"]).dt.days
        return each.assign(
            r=5 - np.searchsorted(cuts, recency),
            m=pd.qcut(each.amount, 5, labels=False),
            f=each.n.clip(upper=5),
        )

    return timed(build=build, rfm=rfm, cohorts=cohorts, history=history)[0]


def customers_openretailscience(folder: Path) -> dict:
    import ibis
    from openretailscience.analysis.cohort import CohortAnalysis
    from openretailscience.analysis.customer import PurchasesPerCustomer
    from openretailscience.segmentation.rfm import RFMSegmentation

    con = ibis.duckdb.connect()
    lines, orders = (
        con.read_parquet(str(folder / f"{name}.parquet")) for name in ("order_lines", "orders")
    )
    flat = lines.inner_join(orders, "order_id")
    flat = flat.filter(flat.customer_id.notnull()).select(
        "customer_id",
        transaction_id="order_id",
        transaction_date=flat.ordered_on.cast("timestamp"),
        unit_quantity="quantity",
        unit_spend=(flat.quantity * flat.price).cast("float64"),
    )
    return timed(
        rfm=lambda f: RFMSegmentation(df=flat, current_date=AS_OF).df,
        cohorts=lambda f: (
            CohortAnalysis(
                flat, aggregation_column="customer_id", agg_func="nunique", period="month"
            ).df
        ),  # customers, as a retention triangle counts them
        history=lambda f: PurchasesPerCustomer(flat).df,
    )[0]


def customers_floor(folder: Path) -> dict:
    import duckdb

    con = duckdb.connect()

    def build(_found: dict) -> None:
        con.execute(f"""CREATE TEMP TABLE days AS SELECT customer_id, ordered_on AS day_on, count(*) AS orders,
            sum(units) AS units, sum(revenue) AS revenue, sum(margin) AS margin FROM (
                SELECT order_id, sum(quantity) AS units, sum((quantity * price - discount)::DECIMAL(18, 6)) AS revenue,
                    sum((quantity * (price - unit_cost))::DECIMAL(18, 6)) AS margin
                FROM '{folder}/order_lines.parquet' GROUP BY 1)
            JOIN (SELECT order_id, customer_id, ordered_on FROM '{folder}/orders.parquet'
                WHERE customer_id IS NOT NULL) USING (order_id) GROUP BY 1, 2""")

    month = "year(day_on) * 12 + month(day_on)"
    each = "SELECT customer_id, min(day_on), max(day_on), count(*), sum(revenue)::DOUBLE FROM days GROUP BY 1"
    cells = f"""WITH m AS (SELECT customer_id, {month} AS month, sum(revenue) AS revenue, sum(margin) AS margin
        FROM days GROUP BY 1, 2), b AS (SELECT customer_id, min(month) AS born FROM m GROUP BY 1)
        SELECT born, month - born, count(*), sum(revenue)::DOUBLE, sum(margin)::DOUBLE FROM m JOIN b USING (customer_id)
        GROUP BY 1, 2"""
    gaps = """SELECT gap, count(*) FROM (SELECT day_on - lag(day_on) OVER (PARTITION BY customer_id ORDER BY day_on)
        AS gap FROM days) GROUP BY 1"""
    return timed(
        build=build,
        rfm=lambda f: [con.execute(gaps).fetch_arrow_table(), con.execute(each).df()],
        cohorts=lambda f: con.execute(cells).df(),
        history=lambda f: con.execute(each).df(),
    )[0]


def store_playbook(folder: Path) -> dict:
    from playbook.store import open_store
    from playbook.store.reconcile import ledger

    return timed(
        open=lambda f: open_store(folder, until=AS_OF),
        sales_lines=lambda f: f["open"].sales_lines,
        sales_orders=lambda f: f["open"].sales_orders,
        customer_days=lambda f: f["open"].customer_days,
        sku_days=lambda f: f["open"].sku_days,
        ledger=lambda f: ledger(f["open"]),
    )[0]


def chapters_playbook(folder: Path) -> dict:
    from playbook.runs import month, plan

    execute, took = month.execute_notebook, {}

    def timed(source: Path, *args: object, **more: object) -> object:
        outcome = execute(source, *args, **more)
        took[source.name[:2]] = round(outcome.seconds, 1)
        return outcome

    month.execute_notebook = timed
    start = time.perf_counter()
    done = month.run_month(
        str(folder),
        month=AS_OF[:7],
        wish=plan.Wish(only=("00", "04", "05", "06")),
        how=month.HowToRun(runs=folder / "cache" / "runs", memory=os.environ["PLAYBOOK_MEMORY"]),
    )
    if done.status:
        raise SystemExit(f"the run ended with status {done.status}")
    return {"run": round(time.perf_counter() - start, 1)} | took


def bg_nbd_playbook(folder: Path) -> dict:
    import pandas as pd

    from playbook.methods.btyd import fit_counts

    return timed(
        read=lambda f: pd.read_parquet(folder / "history.parquet", columns=["x", "t_x", "T"]),
        fit=lambda f: fit_counts(f["read"], engine="own"),
    )[0]


def bg_nbd_lifetimes(folder: Path) -> dict:
    import lifetimes
    import pandas as pd
    from lifetimes.utils import summary_data_from_transaction_data as summary

    days = pd.read_parquet(folder / "customer_days.parquet", columns=["customer_id", "day_on"])
    return timed(
        summary=lambda f: summary(days, "customer_id", "day_on", observation_period_end=AS_OF),
        fit=lambda f: lifetimes.BetaGeoFitter().fit(
            f["summary"].frequency, f["summary"].recency / 7, f["summary"]["T"] / 7
        ),
    )[0]


def pairs_playbook(folder: Path) -> dict:
    from playbook.chapters.recommendations.pairs import item_pairs
    from playbook.store import open_store

    return timed(
        open=lambda f: open_store(folder, until=AS_OF),
        build=lambda f: f["open"].sales_lines,
        pairs=lambda f: item_pairs(f["build"], as_of=AS_OF, min_support=1e-5),
    )[0]


def pairs_mlxtend(folder: Path) -> dict:
    import numpy as np
    import pandas as pd
    from mlxtend.frequent_patterns import association_rules, fpgrowth
    from scipy.sparse import csr_matrix

    lines = pd.read_parquet(
        folder / "order_lines.parquet", columns=["order_id", "sku"]
    ).drop_duplicates()

    def rules(_found: dict) -> pd.DataFrame:
        basket, (item, names) = pd.factorize(lines.order_id)[0], pd.factorize(lines.sku)
        held = csr_matrix((np.ones(len(basket), bool), (basket, item)))
        held = pd.DataFrame.sparse.from_spmatrix(held, columns=names)
        sets = fpgrowth(held, min_support=1e-5, use_colnames=True, max_len=2)
        return association_rules(sets, metric="support", min_threshold=1e-5)

    return timed(pairs=rules)[0]


def pairs_floor(folder: Path) -> dict:
    import duckdb

    held = f"SELECT DISTINCT order_id, sku FROM '{folder}/order_lines.parquet'"
    return timed(
        pairs=lambda f: duckdb.execute(
            f"WITH h AS ({held}) SELECT a.sku, b.sku, count(*) FROM h a JOIN h b USING (order_id) WHERE a.sku < b.sku "
            "GROUP BY 1, 2"
        ).df()
    )[0]


def attribution_playbook(folder: Path) -> dict:
    import ibis

    from playbook.methods.attribution import markov_removal, transition_counts

    touches = ibis.duckdb.connect().read_parquet(str(folder / "journeys" / "touchpoints.parquet"))
    return timed(
        steps=lambda f: transition_counts(touches).to_pandas(),
        markov=lambda f: markov_removal(f["steps"]),
    )[0]


def attribution_floor(folder: Path) -> dict:
    import duckdb

    return timed(
        steps=lambda f: duckdb.execute(
            f"""SELECT channel, after, count(*), sum(won) FROM (SELECT channel, lead(channel) OVER w AS after,
        max(is_conversion) OVER (PARTITION BY journey_id) AS won FROM '{folder}/journeys/touchpoints.parquet'
        WINDOW w AS (PARTITION BY journey_id ORDER BY touch_no)) GROUP BY 1, 2"""
        ).df()
    )[0]


# ---- measuring


def measure(python: str, step: str, tool: str, folder: Path) -> dict:
    """One tool on one step in a process of its own: wall, cpu (seconds), peak_gb,
    parts; or why there is no figure.
    """
    cache = folder / "cache"
    if tool == "playbook":  # everything is built anew, also what an earlier step left behind
        shutil.rmtree(cache, ignore_errors=True)
    extra = {
        "PLAYBOOK_CACHE": str(cache),
        "PYTHONPATH": str(ROOT) if tool != "openretailscience" else "",
        "OPENBLAS_NUM_THREADS": "1",
        "PLAYBOOK_MEMORY": os.environ.get("PLAYBOOK_MEMORY", "8GB"),
    }
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as wrong:
        child = subprocess.Popen(
            [python, str(HERE), "--child", step, tool, str(folder)],
            stdout=said,
            stderr=wrong,
            env=os.environ | extra,
            start_new_session=True,
        )
        looked, together = start, 0.0
        while True:
            done, status, used = os.wait4(child.pid, os.WNOHANG)
            if done:
                break
            if (
                step == "chapters" and time.perf_counter() - looked > 0.5
            ):  # kernels are processes of their own
                looked, together = time.perf_counter(), max(together, memory_of(child.pid))
            if time.perf_counter() - start > LIMIT:
                os.killpg(child.pid, signal.SIGKILL)
                os.wait4(child.pid, 0)
                return {"why": f"stopped after {LIMIT} s"}
            time.sleep(0.02)
        wall = time.perf_counter() - start
        said.seek(0)
        wrong.seek(0)
        if status:
            last = wrong.read().decode(errors="replace").strip().splitlines() or ["no message"]
            return {
                "why": last[-1][:200]
                if os.WIFEXITED(status)
                else f"ended by signal {os.WTERMSIG(status)}"
            }
        child.returncode = 0
        parts = json.loads(said.read().decode().strip().splitlines()[-1])
    return {
        "wall": round(wall, 2),
        "cpu": round(used.ru_utime + used.ru_stime, 2),
        "peak_gb": round(max(together, used.ru_maxrss / 2**20), 2),
        "parts": parts,
    }


def peers(bench: Path) -> tuple[str | None, str]:
    """The interpreter of the peers' environment, made on first use; None and the reason
    where that fails.
    """
    python = bench / "peers" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if (bench / "peers" / ".ready").exists():
        return str(python), ""
    try:
        subprocess.run(
            [sys.executable, "-m", "venv", str(bench / "peers")], check=True, capture_output=True
        )
        subprocess.run(
            [python, "-m", "pip", "install", "-q", *PEERS],
            check=True,
            capture_output=True,
            timeout=900,
        )
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", None) or str(error).encode()
        return None, "not installable here: " + said.decode(errors="replace").strip().splitlines()[
            -1
        ][:150]
    (bench / "peers" / ".ready").touch()
    return str(python), ""


def report(rows: list[dict]) -> None:
    """docs/scale.md and docs/scale.png from what was measured."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = [
        "# How it grows",
        "",
        "Written by `python tests/benchmarks/bench_scale.py` (`make bench ARGS=scale`).",
        "Every row is a process of its own, imports included; *ratio* is seconds over the playbook's there.",
        f"{os.cpu_count()} cores, shared with other work: read ratios, and CPU seconds beside seconds.",
        "Tools are compared within a section; sections may have been measured on different days.",
        "",
        "![Seconds against order lines](scale.png)",
        "",
    ]
    for step in STEPS:
        own = [r for r in rows if r["step"] == step]
        if not own:
            continue
        lines += [
            f"## {WHAT[step][0].upper()}{WHAT[step][1:]}",
            "",
            "| million lines | tool | seconds | CPU seconds | peak GB | ratio | parts (seconds) |",
            "|---:|---|---:|---:|---:|---:|---|",
        ]
        for r in sorted(own, key=lambda r: (r["size"], STEPS[step].index(r["tool"]))):
            if "why" in r:
                lines.append(
                    f"| {r['size']:g} | {r['tool']} | | | | | {r['why'].replace('|', '/')} |"
                )
                continue
            same = (
                o["wall"]
                for o in own
                if (o["size"], o["tool"]) == (r["size"], "playbook") and "wall" in o
            )
            base = next(same, None)
            ratio = f"{r['wall'] / base:.2f}" if base else ""
            parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in r["parts"].items())
            lines.append(
                f"| {r['size']:g} | {r['tool']} | {r['wall']:.1f} | {r['cpu']:.1f} | {r['peak_gb']:.2f} "
                f"| {ratio} | {parts} |"
            )
        lines.append("")
    (ROOT / "docs" / "scale.md").write_text("\n".join(lines), encoding="utf-8")
    shown = [s for s in STEPS if any(r["step"] == s and "wall" in r for r in rows)]
    fig, axes = plt.subplots(
        1, len(shown), figsize=(3.4 * len(shown), 3.6), sharey=True, layout="constrained"
    )
    colours = {"playbook": "#0b6e99", "floor": "#888888"}
    for axis, step in zip([axes] if len(shown) == 1 else axes, shown, strict=True):
        for place, tool in enumerate(STEPS[step]):
            points = sorted(
                (r["size"] * 1e6, r["wall"])
                for r in rows
                if r["step"] == step and r["tool"] == tool and "wall" in r
            )
            if points:
                axis.plot(
                    *zip(*points, strict=True),
                    marker="o",
                    label=tool,
                    color=colours.get(tool, f"C{place}"),
                    linestyle="--" if tool == "floor" else "-",
                )
        axis.set(
            xscale="log",
            yscale="log",
            title=step.replace("_", "/" if step == "bg_nbd" else " "),
            xlabel="order lines",
        )
        axis.legend(frameon=False, fontsize=8)
        axis.grid(alpha=0.3)
    (axes if len(shown) == 1 else axes[0]).set_ylabel("seconds, whole process")
    fig.savefig(ROOT / "docs" / "scale.png", dpi=110)


def main() -> None:
    """Measure what is not yet measured, then write the page and the picture."""
    if sys.argv[1:2] == ["--child"]:
        _flag, step, tool, folder = sys.argv[1:]
        print(json.dumps(globals()[f"{step}_{tool}"](Path(folder))))
        return
    ask = argparse.ArgumentParser()
    ask.add_argument("--sizes", type=float, nargs="+", default=[1, 10], help="million order lines")
    ask.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    ask.add_argument("--tools", nargs="+", help="only these tools")
    ask.add_argument("--no-peers", action="store_true")
    ask.add_argument(
        "--keep", action="store_true", help="leave the tables and the peers' environment"
    )
    ask.add_argument("--fresh", action="store_true", help="measure again what has been measured")
    asked = ask.parse_args()
    sys.path.insert(0, str(ROOT))
    from playbook.store import cache_folder

    bench = cache_folder() / "bench"
    bench.mkdir(parents=True, exist_ok=True)
    log = bench / "scale.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    for size in asked.sizes:
        folder = bench / f"{size:g}m"
        for step in asked.steps:
            for tool in STEPS[step]:
                old = [r for r in rows if (r["size"], r["step"], r["tool"]) == (size, step, tool)]
                if (asked.tools and tool not in asked.tools) or (old and not asked.fresh):
                    continue
                if not (folder / "shop.yaml").exists():
                    folder.mkdir(exist_ok=True)
                    start = time.perf_counter()
                    generate(folder, size)
                    print(
                        f"{size:g} M lines generated in {time.perf_counter() - start:.0f} s",
                        flush=True,
                    )
                python, why = sys.executable, ""
                if tool in ("openretailscience", "lifetimes", "mlxtend"):
                    python, why = (
                        (None, "left out with --no-peers") if asked.no_peers else peers(bench)
                    )
                if step == "bg_nbd" and not (folder / "history.parquet").exists():
                    measure(sys.executable, "history", "playbook", folder)
                found = measure(python, step, tool, folder) if python else {"why": why}
                rows = [r for r in rows if r not in old] + [
                    {"size": size, "step": step, "tool": tool} | found
                ]
                log.write_text("".join(json.dumps(r) + "\n" for r in rows))
                print(f"{size:g} M {step} {tool}: {json.dumps(found)}", flush=True)
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    if not asked.keep:
        shutil.rmtree(bench / "peers", ignore_errors=True)
    report(rows)


if __name__ == "__main__":
    main()
