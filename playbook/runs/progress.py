"""What a run says while it works: one line per notebook on a terminal, plain lines in a
log.
"""

from __future__ import annotations

import threading
import time
from typing import Any

__all__ = ["Progress"]


class Progress:
    """Names each notebook, its cell and the time left. Seconds of the last run, where
    known, make the estimate.
    """

    def __init__(
        self, console: Any, title: str, notebooks: list[str], expected: dict[str, float], jobs: int
    ) -> None:
        self.console, self.title, self.jobs = console, title, max(jobs, 1)
        self.expected = {name: expected.get(name, 0.0) for name in notebooks}
        self.state: dict[str, dict[str, Any]] = {
            name: {"is": "waiting", "share": 0.0} for name in notebooks
        }
        self.lock, self.live = threading.Lock(), None

    def __enter__(self) -> Progress:
        if self.console is not None and self.console.is_terminal:
            from rich.live import Live

            self.live = Live(
                get_renderable=self._table,
                console=self.console,
                refresh_per_second=4,
                transient=True,
            )
            self.live.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        if self.live is not None:
            self.live.__exit__(*problem)

    def cell(self, notebook: str, index: int, count: int, section: str) -> None:
        """A cell of `notebook` starts."""
        with self.lock:
            row = self.state[notebook]
            row.setdefault("began", time.monotonic())
            row |= {"is": f"cell {index + 1} of {count}: {section}", "share": index / max(count, 1)}

    def done(self, notebook: str, status: str, seconds: float) -> None:
        """`notebook` ended as `status`; said at once in a log, and kept in the table on
        a terminal.
        """
        with self.lock:
            self.state[notebook] |= {"is": status, "share": 1.0, "took": seconds}
            ended = sum(row["share"] == 1.0 for row in self.state.values())
        if self.console is not None:
            left = self.seconds_left()
            rest = f", about {left:.0f} s left" if left and not self.live else ""
            mark = {"done": "✓", "kept": "=", "failed": "✗"}.get(status, " ")
            self.console.print(
                f"  {mark} {notebook:<26} {status:<7} {seconds:6.1f} s   "
                f"[{ended}/{len(self.state)}{rest}]",
                highlight=False,
                markup=False,
            )

    def seconds_left(self) -> float | None:
        """Seconds until the last notebook ends, from earlier runs or from the mean of
        those that have ended.
        """
        took = [row["took"] for row in self.state.values() if row.get("took")]
        usual = sum(took) / len(took) if took else None
        left = 0.0
        for name, row in self.state.items():
            whole = self.expected[name] or usual
            if row["share"] < 1.0:
                if whole is None:
                    return None
                left += whole * (1.0 - row["share"])
        return left / self.jobs

    def _table(self) -> Any:
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        left = self.seconds_left()
        table.add_row(self.title, f"about {left:.0f} s left" if left else "")
        with self.lock:
            rows = [(name, dict(row)) for name, row in self.state.items()]
        for name, row in rows:
            if row["is"].startswith("cell"):
                bar = "█" * round(row["share"] * 12)
                table.add_row(
                    f"  {name}",
                    f"{bar:<12} {row['is']}",
                    f"{time.monotonic() - row['began']:.0f} s",
                )
        return table
