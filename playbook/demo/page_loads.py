"""How long the pages of a visit took to load, and which of them failed.

Visits are those of the events, a part of them measured. Whether a visit bought is settled before:
its loads are drawn as they fall in a shop where an error or a slow load prevents a known share of
purchases, given what became of the visit. Nothing else of the shop depends on them; their draws
have a stream of their own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray
from pandas import DataFrame

from playbook.demo.records import Record
from playbook.demo.streams import below, key, normal, uniform
from playbook.demo.world import DEVICES, World
from playbook.demo.writing import Clock, ids, pick
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("page_loads.yaml")))
PAGES = tuple(STATED.pages)
_N = len(DEVICES)
# planted on pages that many see: not the first, which most leave anyhow, nor on the rarest device
_PLACES = [(page, device) for page in (1, 2, 3) for device in (0, 1)]


def load_law(seed: int) -> DataFrame:
    """One row per page and device: error and slow (shares of loads), slow_times (as long),
    error_stops and slow_stops (share of purchases prevented), is_failing and is_slow (planted).
    """
    page, device = (part.ravel() for part in np.indices((len(PAGES), _N)))
    k = key(seed, "page", page * _N + device)
    which = key(seed, "planted pages", np.arange(1))
    failing = int(below(which, "failing", len(_PLACES))[0])
    # another page altogether
    others = [place for place in _PLACES if place[0] != _PLACES[failing][0]]
    slow = others[int(below(which, "slow", len(others))[0])]
    is_failing = (page == _PLACES[failing][0]) & (device == _PLACES[failing][1])
    is_slow = (page == slow[0]) & (device == slow[1])
    error = STATED.error * np.exp(STATED.error_spread * normal(k, "error"))
    share, times, stops = STATED.planted_slow
    return DataFrame(
        {
            "page": np.array(PAGES)[page],
            "device": np.array(DEVICES)[device],
            "error": np.where(is_failing, STATED.planted_error, error),
            "error_stops": STATED.error_stops,
            "slow": np.where(is_slow, share, 0.0),
            "slow_times": times,
            "slow_stops": stops,
            "is_failing": is_failing,
            "is_slow": is_slow,
        }
    )


def happened(
    keys: ndarray, name: str, law: tuple[float, float], bought: ndarray, rate: float
) -> ndarray:
    """Whether a thing befell each load that befalls a share of them and prevents a share of
    purchases (`law`), given whether the visit bought, as a share (`rate`) of such visits does.
    """
    share, stops = law
    left = 1 - share * stops
    if_bought = share * (1 - stops) / left
    if_not = share * (1 - rate / left * (1 - stops)) / max(1 - rate, 1e-9)
    return uniform(keys, name) < np.where(bought, if_bought, if_not)


def drawn_loads(
    seed: int, visits: ndarray, device: ndarray, depth: ndarray, bought: ndarray, rates: ndarray
) -> DataFrame:
    """The loads of visits (keys): row (of the visit), page (place), ms, is_error. A visit of
    `depth` steps has met the pages up to it; `rates` by device and page are the shares that buy.
    """
    law, parts = load_law(seed), []
    connection = STATED.connection * normal(visits, "connection") - STATED.buyers_faster * bought
    medians = np.array(list(STATED.pages.values()))
    slower = np.array([STATED.devices[name] for name in DEVICES])
    for page in range(len(PAGES)):
        for place in range(_N):
            row = np.flatnonzero((depth >= page) & (device == place))
            k, one = key(visits[row], page), law.iloc[page * _N + place]
            rate = rates[place, page]
            is_slow = happened(k, "slow", (one.slow, one.slow_stops), bought[row], rate)
            noise = connection[row] + STATED.load * normal(k, "load")
            ms = medians[page] * slower[place] * np.exp(noise)
            part = DataFrame({"row": row, "page": page})
            part["ms"] = np.round(ms * np.where(is_slow, one.slow_times, 1.0))
            part["is_error"] = happened(k, "error", (one.error, one.error_stops), bought[row], rate)
            parts.append(part)
    loads = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    return DataFrame(loads).sort_values(["row", "page"], ignore_index=True)


def page_loads(
    world: World, visits: Record, device: ndarray, start: ndarray, clock: Clock
) -> pa.Table:
    """The loads of a month's visits that are measured (`visits`: key, depth, bought), which
    begin at `start`, seconds.
    """
    at = np.flatnonzero(uniform(visits.key, "measured") < STATED.measured)
    keys = visits.key[at]
    rates = np.array([STATED.bought[name] for name in DEVICES])
    loads = drawn_loads(world.seed, keys, device[at], visits.depth[at], visits.bought[at], rates)
    row = loads.row.to_numpy()
    return clock.table(
        "page_loads",
        load_id=ids(key(keys[row], "load", loads.page.to_numpy()), 12, "L"),
        loaded_at=start[at][row] + 30 * loads.page.to_numpy(),
        session_id=ids(keys, 12, "S").take(pa.array(row)),
        page=pick(PAGES, loads.page),
        device=pick(DEVICES, device[at][row]),
        load_ms=loads.ms.to_numpy(),
        is_error=loads.is_error.to_numpy(),
    )
