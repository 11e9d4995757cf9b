"""A catalogue in one SQLite file: no server to start, every change on the disk when it is acknowledged.

Write-ahead log with ``synchronous = FULL``: a commit returns when the disk has it, readers do not wait for writers, and
a process that is killed leaves nothing half-written. Several processes of one machine may share the file.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from recbole_decm.errors import DataError, ResourceError, StoreUnavailable
from recbole_decm.serving.store.contract import FORMAT_VERSION, PAGE, Changes, Track, Version
from recbole_decm.serving.store.kept import Kept
from recbole_decm.serving.store.rows import Rows, unpacked
from recbole_decm.serving.store.versions import Encoders

_WAIT = 20.0
"""Seconds that a writer waits for another process."""
_APPLICATION = 0x44656343
_SCHEMA = """
CREATE TABLE state (only INTEGER PRIMARY KEY CHECK (only = 1), seq INTEGER NOT NULL, active INTEGER);
INSERT INTO state VALUES (1, 0, NULL);
CREATE TABLE versions (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, published REAL NOT NULL, fields TEXT NOT NULL);
CREATE TABLE files (version INTEGER, name TEXT, content BLOB NOT NULL, PRIMARY KEY (version, name));
CREATE TABLE kinds (name TEXT PRIMARY KEY, kind TEXT NOT NULL);
CREATE TABLE layouts (number INTEGER PRIMARY KEY, fields TEXT UNIQUE NOT NULL);
CREATE TABLE tracks (seq INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, metadata TEXT);
CREATE TABLE features (seq INTEGER PRIMARY KEY, layout INTEGER NOT NULL, content BLOB NOT NULL);
CREATE TABLE vectors (version INTEGER, seq INTEGER, content BLOB NOT NULL, PRIMARY KEY (version, seq)) WITHOUT ROWID;
"""


class SQLiteStore(Kept):
    """A :class:`~recbole_decm.serving.store.contract.Store` in a file.

    Args:
        path: made where it is missing.

    Raises:
        DataError: the file is no store of tracks, damaged, or written by a later version.
        ResourceError: the file cannot be made.
    """

    def __init__(self, path: Path):
        self.path, self._lock = path, threading.RLock()
        if path.is_dir():
            raise DataError(f"{path}: expected a file of SQLite, found a folder.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.OperationalError) as error:
            raise ResourceError(f"{path}: expected to open a file there, but {error}.") from error
        try:
            with self._told():
                self._check()  # before anything is written
                self._base.execute("PRAGMA synchronous = FULL")
                self._base.execute("PRAGMA journal_mode = WAL")
                self._base.execute("PRAGMA trusted_schema = OFF")
                with self._writing():
                    if self._check():
                        self._make()
        except BaseException:
            self._base.close()
            raise

    def _check(self) -> bool:
        """Whether nothing is there yet; raises for what is no store that this version reads."""
        version = self._value("PRAGMA user_version")
        if version == 0 and not self._value("SELECT count(*) FROM sqlite_master"):
            return True
        if self._value("PRAGMA application_id") != _APPLICATION:
            raise DataError(f"{self.path}: expected a store of tracks, found another database.")
        if version > FORMAT_VERSION:
            raise DataError(
                f"{self.path}: expected a store of format {FORMAT_VERSION} or older, found {version}. "
                "Update recbole-decm."
            )
        return False

    def _make(self) -> None:
        for statement in _SCHEMA.split(";\n"):
            self._base.execute(statement)
        self._base.execute(f"PRAGMA application_id = {_APPLICATION}")
        self._base.execute(f"PRAGMA user_version = {FORMAT_VERSION}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Alone on the connection; what SQLite has to say becomes an error of ours."""
        with self._lock:
            try:
                yield
            except sqlite3.OperationalError as error:
                if "full" in str(error) or "readonly" in str(error):
                    raise ResourceError(f"{self.path}: expected to write to it, but {error}.") from error
                raise StoreUnavailable(f"{self.path}: expected to reach the store, but {error}. Try again.") from error
            except sqlite3.ProgrammingError as error:
                raise StoreUnavailable(f"{self.path}: expected an open store, but {error}") from error
            except sqlite3.DatabaseError as error:
                raise DataError(f"{self.path}: expected a whole store of tracks, but {error}.") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._told():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    def _all(self, query: str, *values: Any) -> list[Any]:
        with self._told():
            return self._base.execute(query, values).fetchall()

    def _value(self, query: str, *values: Any) -> Any:
        found = self._all(query, *values)
        return found[0][0] if found else None

    # --- writing ----------------------------------------------------------------------------------------------------
    def _next(self, count: int) -> int:
        return int(self._value("UPDATE state SET seq = seq + ? RETURNING seq", count))

    def _seqs(self, ids: Sequence[str]) -> dict[str, tuple[int, bool]]:
        query = "SELECT id, seq, metadata IS NOT NULL FROM tracks WHERE id IN (SELECT value FROM json_each(?))"
        return {track: (seq, bool(here)) for track, seq, here in self._all(query, json.dumps(list(ids)))}

    def _remove(self, seqs: Sequence[int]) -> None:
        gone = json.dumps(list(seqs))
        for table in ("tracks", "features"):
            self._base.execute(f"DELETE FROM {table} WHERE seq IN (SELECT value FROM json_each(?))", (gone,))
        self._base.execute(
            "DELETE FROM vectors WHERE version IN (SELECT number FROM versions) "
            "AND seq IN (SELECT value FROM json_each(?))",
            (gone,),
        )

    def _insert(self, seqs: Sequence[int], rows: Rows, vectors: tuple[int, np.ndarray] | None) -> None:
        self._base.execute("INSERT OR IGNORE INTO layouts (fields) VALUES (?)", (rows.layout,))
        layout = self._value("SELECT number FROM layouts WHERE fields = ?", rows.layout)
        many = self._base.executemany
        many("INSERT INTO tracks VALUES (?, ?, ?)", zip(seqs, rows.ids, rows.metadata, strict=True))
        many(f"INSERT INTO features VALUES (?, {int(layout)}, ?)", zip(seqs, rows.features, strict=True))
        if vectors is not None:
            self._insert_vectors(vectors[0], seqs, vectors[1])

    def _insert_vectors(self, number: int, seqs: Sequence[int], vectors: np.ndarray) -> None:
        content, size = np.ascontiguousarray(vectors, np.float32).tobytes(), 4 * vectors.shape[1]
        parts = [content[at * size : (at + 1) * size] for at in range(len(vectors))]
        self._base.executemany(
            f"INSERT OR REPLACE INTO vectors VALUES ({int(number)}, ?, ?)", zip(seqs, parts, strict=True)
        )

    def _insert_deleted(self, seqs: Sequence[int], ids: Sequence[str]) -> None:
        self._base.executemany("INSERT INTO tracks VALUES (?, ?, NULL)", zip(seqs, ids, strict=True))

    def _kinds(self) -> dict[str, str]:
        return dict(self._all("SELECT name, kind FROM kinds ORDER BY rowid"))

    def _add_kinds(self, kinds: Mapping[str, str]) -> None:
        self._base.executemany("INSERT INTO kinds VALUES (?, ?)", kinds.items())

    def _here(self) -> list[str]:
        return [track for (track,) in self._all("SELECT id FROM tracks WHERE metadata IS NOT NULL")]

    def _layouts(self) -> list[str]:
        query = "SELECT fields FROM layouts WHERE number IN (SELECT DISTINCT layout FROM features)"
        return [layout for (layout,) in self._all(query)]

    def keep_vectors(self, version: str, seqs: np.ndarray, vectors: np.ndarray) -> None:
        with self._writing():
            number = self._number(version)
            query = "SELECT seq FROM features WHERE seq IN (SELECT value FROM json_each(?))"
            there = np.isin(seqs, [seq for (seq,) in self._all(query, json.dumps(seqs.tolist()))])
            self._insert_vectors(number, seqs[there].tolist(), vectors[there])

    # --- versions ---------------------------------------------------------------------------------------------------
    def _write_version(self, encoders: Encoders, published: float) -> int:
        number = self._value(
            "INSERT INTO versions (id, published, fields) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET published = excluded.published RETURNING number",
            *(encoders.id, published, json.dumps(encoders.fields)),
        )
        self._base.execute("DELETE FROM files WHERE version = ?", (number,))
        files = ((number, name, content) for name, content in encoders.files.items())
        self._base.executemany("INSERT INTO files VALUES (?, ?, ?)", files)
        return int(number)

    def _fields(self, number: int) -> dict[str, dict[str, Any]]:
        return json.loads(self._value("SELECT fields FROM versions WHERE number = ?", number))

    def _numbered(self) -> dict[str, tuple[int, Version]]:
        query = "SELECT id, number, published, number IS (SELECT active FROM state) FROM versions ORDER BY number"
        return {name: (number, Version(name, at, bool(active))) for name, number, at, active in self._all(query)}

    def _set_active(self, number: int) -> None:
        self._base.execute("UPDATE state SET active = ?", (number,))

    def _drop_version(self, number: int) -> None:
        for table, column in (("vectors", "version"), ("files", "version"), ("versions", "number")):
            self._base.execute(f"DELETE FROM {table} WHERE {column} = ?", (number,))

    # --- reading ----------------------------------------------------------------------------------------------------
    def files(self, version: str) -> dict[str, bytes]:
        with self._told():
            return dict(self._all("SELECT name, content FROM files WHERE version = ?", self._number(version)))

    def count(self) -> int:
        return int(self._value("SELECT count(*) FROM tracks WHERE metadata IS NOT NULL"))

    def get(self, track: str) -> Track | None:
        query = "SELECT seq, metadata, fields, content FROM tracks JOIN features USING (seq) JOIN layouts ON number = "
        found = self._all(f"{query} layout WHERE id = ?", track)
        if not found:
            return None
        seq, metadata, layout, content = found[0]
        features = {name: values[0] for name, values in unpacked([layout], [content]).items()}
        return Track(track, features, json.loads(metadata), seq)

    def state(self) -> tuple[int, str | None]:
        return self._all("SELECT seq, (SELECT id FROM versions WHERE number = active) FROM state")[0]

    def changes(self, since: int, version: str | None = None, limit: int = PAGE) -> Changes:
        with self._told():
            self._base.execute("BEGIN")  # one state of the whole
            try:
                last, active = self.state()
                rows: list[Any] = []
                if last > since:
                    number = -1 if version is None else self._number(version)
                    rows = self._all(
                        "SELECT t.id, t.seq, t.metadata, v.content FROM tracks t LEFT JOIN vectors v "
                        "ON v.version = ? AND v.seq = t.seq WHERE t.seq > ? ORDER BY t.seq LIMIT ?",
                        *(number, since, limit),
                    )
                kinds = self._kinds() if rows else {}
            finally:
                self._base.execute("COMMIT")
        return Changes.page(rows, (since, last), limit, active, kinds)

    def features(self, seqs: Sequence[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        query = (
            "SELECT seq, fields, content FROM features JOIN layouts ON number = layout "
            "WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq"
        )
        rows = self._all(query, json.dumps([int(seq) for seq in seqs]))
        found = np.array([seq for seq, _, _ in rows], np.int64)
        return found, unpacked([layout for _, layout, _ in rows], [content for _, _, content in rows])

    def close(self) -> None:
        with self._lock:
            self._base.close()
