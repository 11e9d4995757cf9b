"""A real PostgreSQL with pgvector in a scratch folder, from the binaries that the wheel ``pgserver`` brings."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_SETTINGS = ("shared_buffers=32MB", "max_connections=40", "listen_addresses=", "jit=off")


def binaries() -> Path:
    """The folder of ``initdb`` and ``postgres``.

    Raises:
        RuntimeError: they are not there, or nobody but root may run them.
    """
    found = importlib.util.find_spec("pgserver")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("pgserver is not installed")
    return Path(found.submodule_search_locations[0], "pginstall", "bin")


class Postgres:
    """A server that listens on a socket in its own folder alone; PostgreSQL refuses root, so root starts it as nobody.

    Args:
        fsync: have each commit on the disk, as outside of tests.

    Raises:
        RuntimeError: it does not start; why.
    """

    def __init__(self, fsync: bool = False) -> None:
        self._bin, self._process = binaries(), None
        self._settings = (*_SETTINGS, f"fsync={'on' if fsync else 'off'}")
        self.folder = Path(tempfile.mkdtemp(prefix="decm-pg-"))
        self._as = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        try:
            made = subprocess.run(
                [self._bin / "initdb", "-D", self.folder / "data", "-U", "decm", "-A", "trust", "-E", "UTF8", "-N"],
                capture_output=True, text=True, cwd=self.folder, **self._as,
            )  # fmt: skip
            if made.returncode:
                raise RuntimeError(f"initdb: {made.stderr.strip()[-200:]}")
            self.start()
        except (OSError, RuntimeError) as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise RuntimeError(str(error)) from error

    def start(self) -> None:
        settings = [
            part for setting in (*_SETTINGS, f"unix_socket_directories={self.folder}") for part in ("-c", setting)
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self.folder / "data", *settings],
                stdout=log, stderr=log, cwd=self.folder, **self._as,
            )  # fmt: skip
        import psycopg

        end = time.monotonic() + 20
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError(f"postgres: {error}") from error
                time.sleep(0.03)

    def stop(self, how: int = signal.SIGQUIT) -> None:
        """End it: SIGQUIT at once, without a checkpoint, as in a crash; SIGINT in good order."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def url(self, schema: str | None = None) -> str:
        """Of its database; with a schema, of tables of their own."""
        path = f"&options=-csearch_path%3D{schema},public" if schema else ""
        return f"postgresql://decm@/postgres?host={self.folder}{path}"

    def new_schema(self, name: str) -> str:
        """Make a schema; the URL of a store in it."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as base:
            base.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
            base.execute(f"CREATE SCHEMA {name}")
        return self.url(name)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def started() -> Iterator[Postgres]:
    """A server for a fixture; the test is skipped where a package or the binaries are missing."""
    for name in ("psycopg", "pgvector"):
        pytest.importorskip(name)
    try:
        server = Postgres()
    except RuntimeError as error:
        pytest.skip(f"no PostgreSQL: {error}")
    yield server
    server.close()
