"""The one error a person sees: what is wrong, where, how many rows, and what to do about it."""

from __future__ import annotations

from typing import Any

from playbook.hidden import hidden
from playbook.messages import forms, label, language

__all__ = ["Blocked", "EngineFailed", "PlaybookError"]


class PlaybookError(Exception):
    """A refusal with its reason. The command line prints it without a traceback and
    exits with status 1.

    `message` is an id of `playbook.messages`, `room.name`, whose entry also says what
    the reader can do next. `file`, `table`, `column`, `rule` and `rows` among the values
    say where; every value may be named in the entry's sentences.
    """

    def __init__(self, message: str, /, **values: Any) -> None:
        super().__init__(message)
        self.id, self.values = message, values
        self.file = values.get("file")
        self.table: str | None = values.get("table")
        self.column: str | None = values.get("column")
        self.rule: str | None = values.get("rule") or self._form("rule_") or None
        self.rows: int | None = values.get("rows")
        self.message = self._form("")
        self.do = self._form("do_")

    def __reduce__(self) -> tuple:
        """Errors cross the border of a process with their values."""
        return _again, (type(self), self.id, self.values)

    def __str__(self) -> str:
        """The message, then the places, then what to do, on one paragraph."""
        places = {name: getattr(self, name) for name in ("file", "table", "column", "rule", "rows")}
        where = [f"{label('places', n)} {v}" for n, v in places.items() if v is not None]
        text = self.message.rstrip(".。") + (f" ({', '.join(where)})" if where else "") + "."
        text += f" {label('places', 'do')}: {self.do.rstrip('.。')}." if self.do else ""
        return hidden(text, is_error=True)

    def _form(self, kind: str) -> str:
        told = forms(self.id).get(f"{kind}{language()}", "").format(**self.values)
        return hidden(told, is_error=True)


class Blocked(PlaybookError):
    """A notebook ends here: its shop lacks what the rest is about. No failure: a run keeps
    what was found so far and names what is missing.
    """

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence, without the way here."""
        return [str(self)]


class EngineFailed(PlaybookError):
    """The engine met a limit of the machine or the server. It is no section's matter: a
    chapter that meets it fails, and does not go on without the section.
    """


def _again(kind: type[PlaybookError], message: str, values: dict[str, Any]) -> PlaybookError:
    return kind(message, **values)
