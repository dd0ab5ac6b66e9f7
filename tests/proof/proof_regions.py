"""Media by region against the truth: the fit over eight regions beside the national one, and the
national one on worlds of its own.

`python tests/proof/proof_regions.py [regions|national] [first seed] [how many]` adds to
proof/regions.jsonl what is not there yet and prints the summary. Seeds 701 and up were tuned on, 801
and up are reported. Error of a channel: root mean square over weeks of the median contribution less
the true one, over its mean; intervals are 90 % ones of weekly contributions and of returns.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
FILE, NAMES = ROOT / "proof" / "regions.jsonl", ["a", "b", "c", "d"]


def main() -> None:
    """Run what was asked for, or all, then print what the file holds."""
    part, first, many = (sys.argv[1:] + ["", "801", "20"][len(sys.argv) - 1 :])[:3]
    known = {(row["part"], row["seed"]) for row in rows()}
    for seed in range(int(first), int(first) + int(many)):
        for name, run in (("regions", regions), ("national", national)):
            if part in ("", name) and (name, seed) not in known:
                FILE.parent.mkdir(exist_ok=True)
                with FILE.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"part": name, "seed": seed, **run(seed)}) + "\n")
    found = pd.DataFrame(rows())
    for (name, reported), some in found.groupby(["part", found.seed > 800]):
        label = "reported" if reported else "tuned on"
        figures = some.drop(columns=["part", "seed"]).dropna(axis=1, how="all")
        print(name, label, len(some), "seeds", figures.mean().round(3).to_dict())


def rows() -> list[dict]:
    """What is already proven."""
    lines = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []
    return [json.loads(line) for line in lines]


def scored(fit: object, caused: np.ndarray, prefix: str) -> dict:
    """Errors and coverage of a fit; `caused` weeks x channels."""
    drawn = fit.contributions(min(400, len(fit.roi)))
    middle = np.median(drawn, axis=0).T
    error = np.sqrt(((middle - caused) ** 2).mean(axis=0)) / caused.mean(axis=0)
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    inside = (caused >= low.T) & (caused <= high.T)
    roi = caused.sum(axis=0) / fit.spend.sum(axis=0)
    ends = np.quantile(fit.roi, [0.05, 0.95], axis=0)
    return {
        f"{prefix}_error": float(error.mean()),
        f"{prefix}_weeks_held": float(inside.mean()),
        f"{prefix}_roi_held": float(((ends[0] <= roi) & (roi <= ends[1])).mean()),
    }


def regions(seed: int) -> dict:
    """One country of eight regions and three years, by region and as one."""
    from known_truth_regions import draw_regions

    from playbook.methods.baseline import baseline_design
    from playbook.methods.regional import can_compare, fit_regions
    from playbook.methods.response import fit_response

    world = draw_regions(seed)
    design = baseline_design(len(world.y), controls=world.control)
    started = time.process_time()
    fit = fit_regions(world.y, world.spend, channels=NAMES, design=design, seed=seed)
    seconds = time.process_time() - started
    one = fit_response(
        world.y.sum(axis=1),
        world.spend.sum(axis=1),
        channels=NAMES,
        design=design,
        steps=400,
        seed=seed,
    )
    told = scored(fit, world.caused, "regions") | scored(one, world.caused, "national")
    return told | {"seconds": seconds, "can_compare": can_compare(world.y, world.spend)}


def national(seed: int) -> dict:
    """One national world of the former generator: the figures must not be worse than before."""
    from known_truth_mmm import draw_world

    from playbook.methods.baseline import baseline_design
    from playbook.methods.response import fit_response

    world = draw_world(seed)
    design = baseline_design(len(world.y), controls=world.control)
    fit = fit_response(world.y, world.spend, channels=NAMES, design=design, steps=400, seed=seed)
    return scored(fit, world.caused, "national")


if __name__ == "__main__":
    main()
