"""What the channel methods are worth and cost: known-truth response, confounding check,
credits, geo test.

    python tests/benchmarks/bench_channels.py [response] [confounding] [credits] [geo] [public]

Times are CPU seconds beside wall seconds; on a busy machine only the first compares.
The public data are found through PLAYBOOK_SHARED.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import yaml

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parents[1])]

from known_truth_mmm import SETTINGS, draw_world, realised
from test_attribution import independent_removal
from test_response import MEDIA_TABLES

from playbook.chapters.channel_roi.media_model import MediaWeeks, fit_media
from playbook.chapters.channel_roi.media_plan import response_table
from playbook.methods.attribution import markov_removal, rule_credits, transition_counts
from playbook.methods.baseline import baseline_design
from playbook.methods.confounding import follows_demand
from playbook.methods.response import GeoResult, fit_response
from playbook.methods.synthetic_control import compare, detectable
from playbook.sources.media_table import weekly_media

NAMES = ["a", "b", "c", "d"]


def design(world):
    return baseline_design(len(world.y), controls=world.control)


def scores(world, seed):
    clock, cpu = time.perf_counter(), time.process_time()
    fit = fit_response(world.y, world.spend, channels=NAMES, design=design(world), seed=seed)
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    low, middle, high = np.quantile(fit.roi, [0.05, 0.5, 0.95], axis=0)
    made = fit.contributions(200).mean(0).T
    plain = np.linalg.lstsq(np.column_stack([world.spend, design(world)]), world.y, rcond=None)[0][
        :4
    ]
    inside = (low < world.roi) & (world.roi < high)
    return {
        "roi_error": np.abs(middle / world.roi - 1).mean(),
        "covered": inside.mean(),
        "srmse": (np.sqrt(((made - world.caused) ** 2).mean(0)) / world.caused.std(0)).mean(),
        "ols_error": np.abs(plain / world.roi - 1).mean(),
        "rhat": fit.mixing.max(),
        "cpu": cpu,
        "wall": clock,
    }


def response(seeds=40):
    print("known truth, settings:", *(f"{k}: {v}" for k, v in SETTINGS.items()), sep="\n  ")
    kinds = {
        "as stated": {},
        "noise doubled": {"noise": 0.03},
        "thin channels (Dirichlet 4), fewer dark weeks": {
            "noise": 0.02,
            "even": 4.0,
            "darkness": (0, 0.35),
            "media": (0.25, 0.45),
        },
    }
    for name, kind in kinds.items():
        worlds = [
            draw_world(seed, **kind) for seed in range(seeds if name == "as stated" else seeds // 2)
        ]
        noise = kind.get("noise", 0.015)
        table = pd.DataFrame(
            [scores(w, seed) | realised(w, noise) for seed, w in enumerate(worlds)]
        )
        print(f"\n{name}, {len(table)} seeds\n" + table.mean().round(3).to_string())
        print(f"slowest cpu {table.cpu.max():.2f}", flush=True)
    code = (
        "import time; t, c = time.process_time(), time.perf_counter(); import sys; sys.path[:0] = sys.argv[1:];"
        "from known_truth_mmm import draw_world; from playbook.methods.baseline import baseline_design;"
        "from playbook.methods.response import fit_response; w = draw_world(0);"
        "d = baseline_design(len(w.y), controls=w.control);"
        "fit_response(w.y, w.spend, channels='abcd', design=d);"
        "print(f'cpu {time.process_time() - t:.2f} s, wall {time.perf_counter() - c:.2f} s')"
    )
    cold = subprocess.run(
        [sys.executable, "-c", code, *sys.path[:2]], capture_output=True, text=True, check=True
    )
    print("one fit in a fresh process, import included:", cold.stdout.strip())


def confounding(seeds=40):
    kinds = {
        "clean": {},
        "hidden demand, budgets blind": {"demand": 0.06},
        "budgets follow half": {"demand": 0.06, "chase": 0.5},
        "budgets follow closely": {"demand": 0.08, "chase": 0.7},
    }
    for name, kind in kinds.items():
        flags, plain, told = [], [], []
        for seed in range(seeds):
            w = draw_world(seed, **kind)
            fit = fit_response(w.y, w.spend, channels=NAMES, design=design(w), seed=seed, steps=400)
            flags.append(follows_demand(w.y, fit, design=design(w)).is_flagged)
            if kind.get("chase") != 0.7:
                continue
            c, rng = int(np.argmax(w.spend.sum(0))), np.random.default_rng(seed)
            measured = w.roi[c] * (1 + 0.15 * rng.standard_normal())
            days = pd.date_range("2024-01-01", periods=len(w.y), freq="7D")
            frame = pd.DataFrame(
                {"week_on": days, "response": w.y, "control": w.control, "reason": ""}
            )
            weeks = MediaWeeks(frame, pd.DataFrame(w.spend, columns=NAMES), ("control",))
            result = GeoResult(NAMES[c], measured, 0.15 * w.roi[c], 0, len(w.y) - 1)
            tested = fit_media(weeks, tests=[result], steps=400).fit
            for draws, kept in ((fit.roi[:, c], plain), (tested.roi[:, c], told)):
                low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95])
                kept.append((low < w.roi[c] < high, abs(middle / w.roi[c] - 1)))
        print(f"{name}: flagged {np.mean(flags):.1%} of {seeds}")
        if plain:
            for label, kept in (("without a test", plain), ("with one geo test (se 15 %)", told)):
                covered, error = np.mean(kept, axis=0)
                print(
                    f"  tested channel {label}: true ROI inside the 90 % interval {covered:.1%}, error {error:.1%}"
                )


def timed(work):
    clock, cpu = time.perf_counter(), time.process_time()
    answer = work()
    return answer, time.perf_counter() - clock, time.process_time() - cpu


def credits():
    shared = os.environ.get("PLAYBOOK_SHARED")
    if shared:
        paths = pd.read_csv(Path(shared) / "paths" / "paths.csv.gz")
        long = paths.assign(no=paths.index, channel=paths.path.str.split(" > ")).explode("channel")
        long["touch_no"] = long.groupby("no").cumcount()
        both = pd.concat(
            [
                pd.DataFrame(
                    {
                        "journey_id": kind + long.no.astype(str),
                        "touch_no": long.touch_no,
                        "channel": long.channel,
                        "is_conversion": won,
                        "n_journeys": long[column],
                    }
                )
                for kind, won, column in (
                    ("won", True, "total_conversions"),
                    ("lost", False, "total_null"),
                )
            ]
        )
        steps = transition_counts(ibis.memtable(both)).to_pandas()
        markov = markov_removal(steps)
        off = rule_credits(steps).join(markov[["markov"]]).sum() - 19_785
        print("public paths, conversions off 19,785 by", off.abs().max())
        apart = np.abs(markov.removal_share - independent_removal(steps)).max()
        print("removal effects off those of chains solved without the channel by", apart)
    rng = np.random.default_rng(0)
    length = rng.geometric(0.4, 1_000_000).clip(1, 12)
    journey = np.repeat(np.arange(len(length)), length)
    frame = pd.DataFrame(
        {
            "journey_id": pd.Series(journey).map("j{}".format),
            "touch_no": np.arange(len(journey)) - np.repeat(np.cumsum(length) - length, length),
            "channel": np.array([f"channel {i}" for i in range(8)])[
                rng.integers(0, 8, len(journey))
            ],
            "is_conversion": np.repeat(rng.random(len(length)) < 0.1, length),
        }
    )
    table = ibis.duckdb.connect().create_table("touchpoints", frame)
    for _ in range(3):
        _, wall, cpu = timed(lambda: markov_removal(transition_counts(table).to_pandas()))
        print(f"1,000,000 journeys, {len(frame):,} touches: wall {wall:.2f} s, cpu {cpu:.2f} s")


def geo():
    shared = Path(os.environ["PLAYBOOK_SHARED"]) / "geolift"
    test = pd.read_csv(shared / "GeoLift_Test.csv.gz").pivot(
        index="date", columns="location", values="Y"
    )
    who = test.columns.isin(["chicago", "portland"])
    for _ in range(5):
        read, wall, cpu = timed(lambda: compare(test.to_numpy(float), who, 90))
    print(
        f"att {read.att:.3f} ({read.low:.1f} to {read.high:.1f}), lift {read.lift:.2%}, total {read.total:.0f}, "
        f"p conformal {read.p_conformal:.3f}, p placebo {read.p_placebo:.3f}; wall {wall:.3f} s, cpu {cpu:.3f} s"
    )
    days = pd.read_csv(shared / "GeoLift_PreTest.csv.gz")
    panel = days.pivot(index="date", columns="location", values="Y").to_numpy(float)
    rng, alarms = np.random.default_rng(0), []
    for _ in range(1000):
        start = int(rng.integers(45, len(panel) - 15))
        pair = np.isin(np.arange(panel.shape[1]), rng.choice(panel.shape[1], 2, replace=False))
        alarms.append(compare(panel[: start + 15], pair, start).p_conformal <= 0.1)
    print(f"A/A on 1,000 pairs of cities: {np.mean(alarms):.1%} at a level of 10 %")
    lifts = np.array([0, 0.02, 0.04, 0.054, 0.08, 0.12])
    power = detectable(panel, who, 15, lifts)
    print(
        "power of 15 days in chicago and portland:",
        dict(zip(lifts.tolist(), power.round(2).tolist(), strict=True)),
    )


def public():
    shared = Path(os.environ["PLAYBOOK_SHARED"])
    for name, file in MEDIA_TABLES.items():
        mapping = yaml.safe_load(
            (HERE.parents[2] / "data" / "mappings" / f"{name}.yaml").read_text(encoding="utf-8")
        )
        weeks = weekly_media(pd.read_csv(shared / file), mapping)
        model, wall, cpu = timed(lambda weeks=weeks: fit_media(weeks))
        print(
            f"{name}: {len(weeks.frame)} weeks, wall {wall:.1f} s, cpu {cpu:.1f} s, follows demand: "
            f"{model.chase.is_flagged}, R-hat up to {model.fit.mixing.max():.2f}"
        )
        print(
            response_table(model)[
                [
                    "channel",
                    "average_return",
                    "average_low",
                    "average_high",
                    "marginal_return",
                    "carry_over",
                    "verdict",
                ]
            ]
            .round(3)
            .to_string(index=False)
        )


def main():
    chosen = sys.argv[1:] or ["response", "confounding", "credits", "geo", "public"]
    for name in chosen:
        print(f"\n== {name}")
        {
            "response": response,
            "confounding": confounding,
            "credits": credits,
            "geo": geo,
            "public": public,
        }[name]()


if __name__ == "__main__":
    main()
