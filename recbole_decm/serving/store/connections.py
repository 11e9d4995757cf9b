"""Connections to PostgreSQL: kept while they are whole, opened anew when the server was away."""

from __future__ import annotations

import importlib
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, LifoQueue
from typing import Any

from recbole_decm.errors import ConfigError, DataError, StoreUnavailable

_OPTIONS = {
    "connect_timeout": 5,
    "application_name": "recbole-decm",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_SESSION = "SET synchronous_commit = on; SET lock_timeout = '20s'; SET client_encoding = 'UTF8'"


class Connections:
    """Connections of one database; as many as there are callers at a time.

    Raises:
        ConfigError: psycopg or pgvector is not installed here.
    """

    def __init__(self, url: str):
        try:
            self._driver: Any = importlib.import_module("psycopg")
            self._vectors: Any = importlib.import_module("pgvector.psycopg")
        except ImportError as error:
            raise ConfigError(
                "--store: expected psycopg and pgvector for PostgreSQL, which are not installed. "
                'Install them with: pip install "recbole-decm[postgres]".'
            ) from error
        self._url, self._idle, self._closed = url, LifoQueue[Any](), False
        self._used: dict[int, Any] = {}  # by thread

    @contextmanager
    def one(self) -> Iterator[Any]:
        """A connection in autocommit.

        Raises:
            StoreUnavailable: the server cannot be reached, or went away meanwhile.
            ConfigError: the address is no address, the user may not do this.
        """
        driver = self._driver
        try:
            base = self._whole() or self._opened()
            self._used[threading.get_ident()] = base
            try:
                yield base
            except BaseException:
                if base.closed or base.broken or base.info.transaction_status != 0:
                    with suppress(Exception):
                        base.close()
                raise
            finally:
                self._used.pop(threading.get_ident(), None)
                if not base.closed:
                    self._idle.put(base)
        except (driver.OperationalError, driver.InterfaceError) as error:
            raise StoreUnavailable(f"store: expected to reach PostgreSQL, but {_line(error)}. Try again.") from error
        except driver.errors.InsufficientPrivilege as error:
            raise ConfigError(f"store: expected a user who may write the tables, but {_line(error)}.") from error
        except driver.ProgrammingError as error:
            raise ConfigError(f"store: expected a store in PostgreSQL, but {_line(error)}.") from error
        except driver.Error as error:
            raise DataError(f"store: expected PostgreSQL to take it, but {_line(error)}.") from error

    def _whole(self) -> Any:
        """An idle connection that its server has not closed: there is nothing to read from it."""
        while True:
            try:
                base = self._idle.get_nowait()
            except Empty:
                return None
            with suppress(OSError, ValueError, self._driver.Error):
                if not base.closed and not select.select([base.fileno()], [], [], 0)[0]:
                    return base
            with suppress(Exception):
                base.close()

    def _opened(self) -> Any:
        if self._closed:
            raise StoreUnavailable("store: expected an open store, found a closed one.")
        base = self._driver.connect(self._url, autocommit=True, **_OPTIONS)
        try:
            base.execute(_SESSION)
            self._learn_vectors(base)
        except BaseException:
            base.close()
            raise
        return base

    def _learn_vectors(self, base: Any) -> None:
        with suppress(self._driver.ProgrammingError):  # the type is not there yet
            self._vectors.register_vector(base)

    def need_vectors(self, base: Any) -> None:
        """Have the type of vectors in the database.

        Raises:
            ConfigError: the server has no pgvector, or the user may not make it known.
        """
        errors = self._driver.errors
        try:
            base.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (errors.UndefinedFile, errors.FeatureNotSupported, errors.InsufficientPrivilege) as error:
            raise ConfigError(
                f"store: expected PostgreSQL with the extension pgvector, but {_line(error)}. "
                "Install it there, and have its administrator run: CREATE EXTENSION vector."
            ) from error
        self._learn_vectors(base)

    @staticmethod
    def check_format(found: int, known: int) -> None:
        """Raise DataError for tables of a later format."""
        if found > known:
            raise DataError(f"store: expected tables of format {known} or older, found {found}. Update recbole-decm.")

    def interrupt(self, thread: int) -> None:
        """End the connection that a thread waits for: a server that hangs keeps a healthy line open."""
        base = self._used.get(thread)
        if base is None:
            return
        with suppress(OSError, self._driver.Error), socket.socket(fileno=os.dup(base.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close all that are idle; those in use close when they come back."""
        self._closed = True
        while True:
            try:
                base = self._idle.get_nowait()
            except Empty:
                return
            with suppress(Exception):
                base.close()


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:300] or type(error).__name__
