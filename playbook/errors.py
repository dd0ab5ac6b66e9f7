"""The one error a person sees: what is wrong, where, how many rows, and what to do
about it.
"""

from __future__ import annotations

__all__ = ["PlaybookError"]


class PlaybookError(Exception):
    """A refusal with its reason. The command line prints it without a traceback and
    exits with status 1.

    `table`, `column`, `rule`, `file` and `rows` say where; `do` says what the reader
    can do next.
    """

    def __init__(
        self,
        message: str,
        *,
        table: str | None = None,
        column: str | None = None,
        rule: str | None = None,
        file: object = None,
        rows: int | None = None,
        do: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.table, self.column, self.rule = message, table, column, rule
        self.file, self.rows, self.do = file, rows, do

    def __str__(self) -> str:
        """The message, then the places, then what to do, on one paragraph."""
        where = [
            f"{name} {value}"
            for name, value in (
                ("file", self.file),
                ("table", self.table),
                ("column", self.column),
                ("rule", self.rule),
                ("rows", self.rows),
            )
            if value is not None
        ]
        text = self.message.rstrip(".") + (f" ({', '.join(where)})" if where else "") + "."
        return text + (f" What to do: {self.do.rstrip('.')}." if self.do else "")
