"""Who may do what: bearer tokens from a file, and groups of operations.

    header --Access.caller--> Caller --require(group)--> goes on, Unauthenticated or PermissionDenied

The file is TOML, read again when it changes; only its owner may read or write it:

    [ada]
    token = "..."
    groups = ["health", "metadata", "inference"]

With a file, what no token is needed for is listed (`PUBLIC`); everything else is refused.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import PermissionDenied, Unauthenticated

GROUPS = (
    "health",
    "metadata",
    "inference",
    "shared-memory",
    "model-config",
    "model-repository",
    "statistics",
    "trace",
    "logging",
    "metrics",
    "reflection",
)
"""Groups of operations. Every operation belongs to one."""
PUBLIC = frozenset({"health"})
"""What needs no token where there are tokens."""
MIN_TOKEN = 16
"""Characters of a token at least."""

_log = logging.getLogger("pipectl")


class AccessError(ValueError):
    """A token file that can not be used; the message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as far as the server knows."""

    name: str
    groups: frozenset[str]
    known: bool = True
    """It showed a token, or none is needed."""

    def require(self, group: str) -> None:
        """Unauthenticated or PermissionDenied unless it may use this group of operations."""
        if group in self.groups:
            return
        if not self.known:
            raise Unauthenticated(f"a bearer token for `{group}` is needed")
        raise PermissionDenied(f"the token of `{self.name}` is not for `{group}`")


ANYONE = Caller("anyone", frozenset(GROUPS))
"""Every caller of a server without tokens."""
STRANGER = Caller("stranger", PUBLIC, known=False)
"""A caller without a token of a server that has some."""


class Access:
    """The tokens of a server; none without a file."""

    def __init__(self, path: Path | None = None) -> None:
        """AccessError if the file can not be used."""
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._callers: Mapping[bytes, Caller] = {}
        if path is not None:
            self._seen = _stamp(path)
            self._callers = _read(path)

    @property
    def open(self) -> bool:
        """Nobody needs a token."""
        return self._path is None

    def caller(self, authorization: str | None) -> Caller:
        """Who sends this `Authorization` header. Unauthenticated for a token that is not known."""
        if self._path is None:
            return ANYONE
        self._renew(self._path)
        if not authorization:
            return STRANGER
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("the authorization is no bearer token")
        digest = _digest(token.strip())
        found = None
        for known, caller in self._callers.items():  # all of them: how long it takes says nothing about a token
            if hmac.compare_digest(known, digest):
                found = caller
        if found is None:
            raise Unauthenticated("the bearer token is not known")
        return found

    def _renew(self, path: Path) -> None:
        """Read the file again if it changed. A file with a mistake leaves the tokens as they were."""
        try:
            stamp = _stamp(path)
            if stamp == self._seen:
                return
            self._seen = stamp
            self._callers = _read(path)
        except (AccessError, OSError) as error:
            _log.error("tokens are as before: %s", error)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise AccessError(f"{path}: {error.strerror}") from None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _read(path: Path) -> dict[bytes, Caller]:
    if path.stat().st_mode & 0o077:
        raise AccessError(f"{path}: others than its owner may read or write it; chmod 600 it")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AccessError(f"{path}: no TOML: {error}") from None
    callers: dict[bytes, Caller] = {}
    for name, table in tables.items():
        token, caller = _entry(path, name, table)
        if _digest(token) in callers:
            raise AccessError(f"{path}: [{name}] has the token of another entry")
        callers[_digest(token)] = caller
    return callers


def _entry(path: Path, name: str, table: object) -> tuple[str, Caller]:
    if not isinstance(table, dict) or set(table) != {"token", "groups"}:
        raise AccessError(f'{path}: [{name}] takes token = "..." and groups = [".."], both and nothing else')
    token, groups = table["token"], table["groups"]
    if not isinstance(token, str) or len(token) < MIN_TOKEN or token != token.strip():
        raise AccessError(f"{path}: [{name}] needs a token of at least {MIN_TOKEN} characters, no space around it")
    unknown = [g for g in groups if g not in GROUPS] if isinstance(groups, list) else [groups]
    if unknown:
        raise AccessError(f"{path}: [{name}] has the group {unknown[0]!r}; groups: {', '.join(GROUPS)}")
    return token, Caller(name, frozenset(groups) | PUBLIC)
