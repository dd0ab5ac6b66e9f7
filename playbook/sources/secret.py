"""The salt under which people are hashed: kept in the user's configuration folder,
never beside the tables.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from playbook.errors import PlaybookError


def config_folder() -> Path:
    """Where the user's own settings lie: `PLAYBOOK_CONFIG`, else the system's folder
    for them.
    """
    chosen = os.environ.get("PLAYBOOK_CONFIG", "").strip()
    if chosen:
        return Path(chosen).expanduser()
    if os.name == "nt" and os.environ.get("APPDATA"):
        return Path(os.environ["APPDATA"]) / "ecommerce-playbook"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "ecommerce-playbook"


def fingerprint(salt: bytes) -> str:
    """Sixteen hex digits that tell one salt from another and give nothing of it away."""
    return hmac.new(salt, b"fingerprint of the salt", hashlib.sha256).hexdigest()[:16]


def person_key(text: str, salt: bytes) -> str:
    """The key of a person: HMAC-SHA256 of the trimmed, lower-cased text, 32 hex digits.
    As the engine computes it.
    """
    return hmac.new(salt, text.strip().lower().encode(), hashlib.sha256).hexdigest()[:32]


class Salt:
    """The shop's salt, asked for when the first contact column turns up; refuses one
    that differs from the store's.
    """

    def __init__(
        self, known: str | None, *, given: bytes | None = None, may_create: bool = True
    ) -> None:
        self._known, self._value, self._may_create = known, given, may_create
        self.fingerprint: str | None = known
        self.is_new = False

    def __call__(self) -> bytes:
        """The salt; raises PlaybookError if the store was written with another one."""
        value = self._value or self._read()
        self._value = value
        mark = fingerprint(value)
        if self._known and mark != self._known:
            raise PlaybookError("sources.other_salt", known=self._known, mark=mark)
        self.fingerprint = mark
        return value

    def _read(self) -> bytes:
        given = os.environ.get("PLAYBOOK_SALT", "")
        if given:
            if len(given) < 8:
                raise PlaybookError("sources.salt_too_short")
            return given.encode()
        path = config_folder() / "salt"
        if path.exists():
            return path.read_text(encoding="utf-8").strip().encode()
        if self._known or not self._may_create:
            raise PlaybookError("sources.salt_missing", file="salt")
        path.parent.mkdir(parents=True, exist_ok=True)
        new = secrets.token_hex(32)
        try:
            with open(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
            ) as handle:
                handle.write(new + "\n")
        except FileExistsError:  # a second import was faster
            return path.read_text(encoding="utf-8").strip().encode()
        self.is_new = True
        return new.encode()
