"""The journey chapter on a store (the demo shop), measured: `python
tests/benchmarks/bench_journey.py [store]`.
"""

from __future__ import annotations

import sys
import time

import numpy as np


def main() -> None:
    """One line per function: what it read, and its seconds; first calls, imports
    included.
    """
    from playbook.chapters.customer_journey.aftersales import payments, returns, service
    from playbook.chapters.customer_journey.journey import funnel, leaks
    from playbook.chapters.customer_journey.parcels import delivery
    from playbook.chapters.customer_journey.verdicts import read_tests
    from playbook.chapters.customer_journey.visits import event_steps, traffic_steps
    from playbook.methods.experiment import compare_means
    from playbook.store import open_store

    shop = open_store(sys.argv[1] if len(sys.argv) > 1 else "demo")
    day, orders = shop.as_of, shop.sales_orders
    orders.count().to_pandas(), shop.booked_refunds.count().to_pandas()
    daily = traffic_steps(shop.traffic, as_of=day).daily
    work = {
        "traffic_steps": lambda: traffic_steps(shop.traffic, as_of=day).daily,
        "event_steps": lambda: event_steps(shop.events, as_of=day).daily,
        "funnel": lambda: funnel(daily, as_of=day),
        "leaks": lambda: leaks(daily, as_of=day, orders=orders),
        "delivery": lambda: delivery(shop.orders, as_of=day, reviews=shop.reviews),
        "returns": lambda: returns(shop.sales_lines, shop.booked_refunds, as_of=day),
        "service": lambda: service(shop.tickets, as_of=day),
        "payments": lambda: payments(shop.orders, as_of=day),
        "read_tests": lambda: read_tests(shop.experiments, as_of=day),
    }
    for name, run in work.items():
        wall, cpu = time.perf_counter(), time.process_time()
        found = run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"{name:14s} {len(found):7,} rows {wall:7.2f} s wall {cpu:7.2f} s CPU")
    rng, called, n = np.random.default_rng(1), 0, 2_000
    cpu = time.process_time()
    for _ in range(n):
        bought = rng.binomial(5_000, 0.05, 2)
        sides = [
            {"n": 5_000, "mean": k / 5_000, "var": k * (5_000 - k) / 5_000 / 4_999} for k in bought
        ]
        called += compare_means(*sides)["p"] < 0.05
    each = (time.process_time() - cpu) / n * 1e3
    print(
        f"compare_means  {n:7,} tests of nothing: {called / n:.2%} called, {each:.2f} ms CPU each"
    )


if __name__ == "__main__":
    main()
