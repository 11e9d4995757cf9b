"""Keys of callers: a file that holds their digests, and a role for each.

A key is 256 random bits, so that one pass of SHA-256 keeps it from being guessed: slow digests are for passwords that
people choose.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from logging import getLogger
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from recbole_decm.errors import ConfigError
from recbole_decm.io.typed import Strict, complaint
from recbole_decm.io.write import write_text

FORMAT_VERSION = 1
Role = Literal["read", "write", "admin"]
ROLES: tuple[Role, ...] = ("read", "write", "admin")
"""Each may do what those before it may."""
_LOOK_AGAIN = 1.0  # seconds


class Entry(Strict):
    """A key: who has it, what it may do, and the SHA-256 of it in hexadecimal digits."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    role: Role
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _File(Strict):
    format_version: int
    keys: list[Entry]


class Keys:
    """The keys of a file, which is read again when it changes: a key that is taken out is refused within a second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries, self._mark, self._looked = _by_digest(path), _mark(path), time.monotonic()

    def find(self, key: str) -> Entry | None:
        """Whose key this is."""
        now = time.monotonic()
        if now - self._looked > _LOOK_AGAIN:
            self._looked, mark = now, _mark(self.path)
            if mark != self._mark:
                self._mark = mark
                try:
                    self._entries = _by_digest(self.path)
                except ConfigError as error:  # nobody is let in by a file that cannot be read
                    self._entries = {}
                    getLogger(__name__).error("no key is accepted: %s", error)
        return self._entries.get(_digest(key))


def add_key(path: Path, name: str, role: Role) -> str:
    """Add a key to a file, which is made where there is none, and give the key, which is kept nowhere.

    Raises:
        ConfigError: somebody of that name has a key, or the file cannot be read.
    """
    entries = read_keys(path) if path.exists() else []
    if any(entry.name == name for entry in entries):
        raise ConfigError(f"{path}: expected no key of '{name}', found one. Remove it first: --remove.")
    key = secrets.token_urlsafe(32)
    try:
        entry = Entry(name=name, role=role, sha256=_digest(key))
    except ValidationError as error:
        raise ConfigError(f"{path}: {complaint(error)}") from error
    _write(path, [*entries, entry])
    return key


def remove_key(path: Path, name: str) -> None:
    """Take a key out of a file.

    Raises:
        ConfigError: nobody of that name has one.
    """
    entries = read_keys(path)
    kept = [entry for entry in entries if entry.name != name]
    if len(kept) == len(entries):
        raise ConfigError(f"{path}: expected a key of '{name}', found {', '.join(e.name for e in entries) or 'none'}.")
    _write(path, kept)


def read_keys(path: Path) -> list[Entry]:
    """The keys of a file.

    Raises:
        ConfigError: no such file, or not of this form.
    """
    try:
        file = _File.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{path}: {complaint(error)}") from error
    except OSError as error:
        raise ConfigError(
            f"{path}: expected a file of keys, but {error.strerror}. Make one: recbole-decm api-key."
        ) from error
    if file.format_version != FORMAT_VERSION:
        raise ConfigError(f"{path}: expected format_version {FORMAT_VERSION}, found {file.format_version}.")
    return file.keys


def _write(path: Path, entries: list[Entry]) -> None:
    values = {"format_version": FORMAT_VERSION, "keys": [entry.model_dump() for entry in entries]}
    write_text(path, json.dumps(values, indent=2) + "\n")


def _by_digest(path: Path) -> dict[str, Entry]:
    return {entry.sha256: entry for entry in read_keys(path)}


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def _mark(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return status.st_mtime_ns, status.st_ino
