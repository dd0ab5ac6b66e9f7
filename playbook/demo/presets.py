"""What can be asked of the demo shop: sizes, difficulties, incidents, and which tables
an incident cannot reach. The lists stand in `presets.yaml`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from playbook.errors import PlaybookError
from playbook.messages import read_yaml

SEED = 20261031
FIRST_YEAR, LAST_YEAR = 1990, 2200  # of the last month: what every date type can hold
HERE = Path(__file__).parent
# Files no drawn number depends on.
_NO_LAWS = ("oracle.py", "shop.py", "__init__.py", "messages.yaml")


def _laws() -> str:
    """A fingerprint of the laws' own text: a cached shop is made anew when what it was
    drawn from changes.
    """
    files = sorted(f for f in HERE.iterdir() if f.suffix in (".py", ".yaml"))
    text = b"".join(f.read_bytes() for f in files if f.name not in _NO_LAWS)
    return hashlib.sha256(text).hexdigest()[:10]


VERSION = _laws()


@dataclass(frozen=True)
class Preset:
    """One kind of shop. Sizes are expectations; `confounding` is how strongly spend
    follows demand.
    """

    name: str
    about: str
    customers: int = 50_000
    months: int = 36
    skus: int = 400
    confounding: float = 1.0
    events_months: int = 3
    futures: int = 200
    has_orders: bool = True
    has_costs: bool = True
    has_incidents: bool = True
    is_orders_only: bool = False
    in_chunks: bool = False


class Asked(TypedDict, total=False):
    """What a shop can be asked for: the arguments of `plan`."""

    preset: str
    customers: int | None
    months: int | None
    skus: int | None
    until: str
    seed: int
    switches: Mapping[str, bool] | None


_STATED = read_yaml(HERE / "presets.yaml")
PRESETS = {name: Preset(name, **facts) for name, facts in _STATED["presets"].items()}
DIFFICULTIES: dict[str, str] = _STATED["difficulties"]
INCIDENTS: dict[str, dict] = _STATED["incidents"]
#: incidents that only a switch plants, on days and in sizes drawn by the seed
PLANTED: dict[str, dict] = _STATED["planted"]
COSTS: dict[str, list[str]] = _STATED["costs"]
_GROUPS = {name: tables.split() for name, tables in _STATED["tables"].items()}


def _unreached(incident: dict) -> tuple[str, ...]:
    reached = {table for name in incident["reaches"] for table in _GROUPS.get(name, [name])}
    every = [*_GROUPS["buying"], *_GROUPS["other"]]
    return tuple(table for table in every if table not in reached)


UNREACHED = {name: _unreached(incident) for name, incident in (INCIDENTS | PLANTED).items()}


def month_start(text: str) -> dt.date:
    """The first day of a month written YYYY-MM."""
    try:
        return dt.datetime.strptime(text, "%Y-%m").date()
    except (TypeError, ValueError):
        raise PlaybookError("demo.no_month", value=text) from None


def add_months(day: dt.date, n: int) -> dt.date:
    """The first day of the month `n` months after `day`'s."""
    count = day.year * 12 + day.month - 1 + n
    return dt.date(count // 12, count % 12 + 1, 1)


def incident_days(last_month: dt.date) -> dict[str, tuple[dt.date, dt.date]]:
    """Incident -> first and last day, counted back from the last month of the history."""
    days = {}
    for name, incident in INCIDENTS.items():
        back, first, length = incident["when"]
        month = add_months(last_month, -back)
        start = month.replace(day=first)
        close = add_months(month, 1) - dt.timedelta(days=1)
        days[name] = start, min(start + dt.timedelta(days=length - 1), close)
    return days


def plan(
    preset: str = "demo",
    *,
    customers: int | None = None,
    months: int | None = None,
    skus: int | None = None,
    until: str = "2026-10",
    seed: int = SEED,
    switches: Mapping[str, bool] | None = None,
) -> tuple[Preset, dt.date, dict[str, bool]]:
    """The preset with its sizes, the first day of its last month, every switch on or
    off; refuses what cannot be.

    `switches` names difficulties and incidents (`{"checkout_fault": False}`); `{"all":
    False, "season": True}` turns one on alone. PlaybookError for an unknown preset or
    switch and for impossible sizes.
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        raise PlaybookError("demo.no_preset", value=preset, choices=", ".join(PRESETS))
    last = month_start(until)
    if not FIRST_YEAR <= last.year <= LAST_YEAR:
        raise PlaybookError("demo.no_such_end", until=until, least=FIRST_YEAR, most=LAST_YEAR)
    asked = {"customers": customers, "months": months, "skus": skus}
    sizes = {name: size for name, size in asked.items() if size is not None}
    for name, size in sizes.items():
        least, most = _STATED["sizes"][name]
        if not _is_whole(size) or not least <= size <= most:
            raise PlaybookError("demo.no_size", value=size, name=name, least=least, most=most)
    if not _is_whole(seed) or not 0 <= seed < 2**64:
        raise PlaybookError("demo.no_seed", value=seed)
    chosen = PRESETS[preset]
    return replace(chosen, **sizes), last, _switched(chosen, {} if switches is None else switches)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _switched(preset: Preset, switches: Mapping[str, bool]) -> dict[str, bool]:
    """Every difficulty and incident, on or off."""
    is_given = isinstance(switches, Mapping)
    if not is_given or not all(isinstance(value, bool) for value in switches.values()):
        raise PlaybookError("demo.no_switches", value=switches)
    asked = dict(switches)
    known = dict.fromkeys([*DIFFICULTIES, *INCIDENTS], asked.pop("all", True))
    known |= dict.fromkeys(PLANTED, False)
    if "incidents" in asked or not preset.has_incidents:
        has_incidents = asked.pop("incidents", False) and preset.has_incidents
        known.update(dict.fromkeys(INCIDENTS, has_incidents))
    if unknown := sorted(set(asked) - set(known)):
        raise PlaybookError("demo.no_switch", name=unknown[0], choices=", ".join(known))
    return known | asked
