"""Addresses of stores on servers, kept out of everything that is said or written.

Whoever meets an address tells `keep_secret`; from then on `hidden` takes its user,
password, host and path out of texts of this process. Nothing is forgotten: an address
that was refused must not come out of its refusal either.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["HIDDEN", "hidden", "is_address", "keep_secret", "name_of"]

HIDDEN = "…"
#: an address, as a connection's own name for itself
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# what an address's query may hold that is nobody's business
PRIVATE = ("pass", "pwd", "token", "secret", "key", "user", "host", "path", "account", "cred")
LEAST_HIDDEN = 4  # shorter texts stand in too many words to be taken out of a page
# how drivers name a person and a machine where they show a connection
SHOWN = re.compile(r"\b(user|host|hostaddr|port|password|dsn|conninfo)=[^\s)&;]+")
# and how in the sentences of their errors
SPOKEN = (
    r"(?<=user )(\"[^\"]*\"|'[^']*')",
    r"(?<=role )(\"[^\"]*\"|'[^']*')",
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b",
    r"(?<=at )\"[^\"]*\"",
    r"(?<=host )(\"[^\"]*\"|'[^']*')",
    r"(?<=host name )(\"[^\"]*\"|'[^']*')",
    r"(?<=port )\d+",
)

_whole: set[str] = set()  # texts that name nothing but a secret, wherever they stand
_words: set[str] = set()  # a user, a host: hidden as words of an error


def is_address(where: str) -> bool:
    """Is it the address of a server, or `$NAME`, an environment variable that holds one?"""
    return where.startswith("$") or bool(ADDRESS.match(where))


def keep_secret(address: str) -> None:
    """From here on the parts of this address are hidden."""
    parts = urlsplit(address)
    rest = address.partition("://")[2]
    # a password with a / or a # in it parts an address elsewhere than its writer meant
    before, at, _after = rest.rpartition("@")
    login = before if at else ""
    user, _colon, password = login.partition(":")
    query = [value for name, value in parse_qsl(parts.query) if _is_private(name)]
    host = parts.netloc.rpartition("@")[2]
    whole = {address, login, password, parts.password or "", *query}
    whole |= {text for text in (rest, parts.netloc) if "@" in text}
    whole |= {text for text in (rest, parts.path) if text.startswith("/") and text.count("/") > 1}
    words = {user, parts.username or "", host, parts.hostname or ""}
    whole |= {text for text in (host, parts.hostname or "") if "." in text}
    told = {"", name_of(address)}
    for kept, found in ((_whole, whole), (_words, words)):
        kept |= {text for each in found for text in (each, unquote(each))} - told


def name_of(address: str) -> str:
    """What a store at this address is called: the last part of its path, the database; for
    an address without one, `shop`.
    """
    parts = urlsplit(address)
    last = parts.path.rstrip("/").rpartition("/")[2]
    return last or ("" if "@" in parts.netloc or ":" in parts.netloc else parts.netloc) or "shop"


def _is_private(name: str) -> bool:
    return any(part in name.lower() for part in PRIVATE)


def hidden(text: str, *, is_error: bool = False) -> str:
    """The text without any address told so far. An error is searched more strictly: it
    may name the user or the machine in words of its own.
    """
    least = 1 if is_error else LEAST_HIDDEN
    for secret in sorted(_whole, key=len, reverse=True):
        if len(secret) >= LEAST_HIDDEN:
            text = text.replace(secret, HIDDEN)
    text = SHOWN.sub(rf"\1={HIDDEN}", text) if _whole else text
    if not is_error:
        return text
    for secret in sorted(_whole | _words, key=len, reverse=True):
        if len(secret) >= least:
            text = re.sub(
                rf"(?<![\w.-]){re.escape(secret)}(?![\w.-])",
                HIDDEN,
                text,
            )
    if _whole:
        for pattern in SPOKEN:
            text = re.sub(pattern, HIDDEN, text)
    return text
