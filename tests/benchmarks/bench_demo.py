"""Seconds and memory to make each preset of the demo shop, and to play one month of the
closed loop.

    python tests/benchmarks/bench_demo.py [preset ...]        (default: demo tiny; large takes minutes)

Each preset is made in a process of its own, so that peak memory is its own.
"""

import json
import subprocess
import sys
import tempfile

CODE = """
import json, resource, sys, time
wall, cpu = time.time(), time.process_time()
from playbook.demo.make import make_demo
from playbook.demo.shop import Shop
if sys.argv[1] == "month":
    shop = Shop(preset="tiny")
    wall, cpu = time.time(), time.process_time()
    shop.advance()
else:
    make_demo(sys.argv[2] + "/shop", preset=sys.argv[1])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(json.dumps([time.time() - wall, time.process_time() - cpu, peak]))
"""


def main() -> None:
    """Prints a row per preset: wall and CPU seconds, peak GB."""
    print(f"{'preset':<12}{'wall s':>9}{'cpu s':>9}{'peak GB':>9}")
    for preset in [*(sys.argv[1:] or ["demo", "tiny"]), "month"]:
        with tempfile.TemporaryDirectory() as scratch:
            run = subprocess.run(
                [sys.executable, "-c", CODE, preset, scratch],
                capture_output=True,
                text=True,
                check=True,
            )
        wall, cpu, peak = json.loads(run.stdout.splitlines()[-1])
        print(f"{preset:<12}{wall:>9.1f}{cpu:>9.1f}{peak:>9.2f}", flush=True)


if __name__ == "__main__":
    main()
