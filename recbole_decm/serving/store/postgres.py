"""A catalogue in PostgreSQL with pgvector, for several servers over one: each sees what the others change.

Writers queue at one row, which gives out the numbers, so that numbers appear in the order in which they are committed
and a follower never skips one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from recbole_decm.serving.filters import Filter
from recbole_decm.serving.store.connections import Connections
from recbole_decm.serving.store.contract import FORMAT_VERSION, PAGE, Changes, Track, Version
from recbole_decm.serving.store.kept import Kept
from recbole_decm.serving.store.postgres_search import add_index, index_name, search
from recbole_decm.serving.store.rows import Rows, cells_of, unpacked
from recbole_decm.serving.store.scan import Hits
from recbole_decm.serving.store.versions import Encoders

_SCHEMA = f"""
CREATE TABLE decm_state (one integer PRIMARY KEY CHECK (one = 1), format integer, seq bigint, active integer);
INSERT INTO decm_state VALUES (1, {FORMAT_VERSION}, 0, NULL);
CREATE TABLE decm_versions (
    number serial PRIMARY KEY, id text UNIQUE NOT NULL, published float8 NOT NULL, fields text NOT NULL);
CREATE TABLE decm_files (version integer, name text, content bytea NOT NULL, PRIMARY KEY (version, name));
CREATE TABLE decm_kinds (place serial PRIMARY KEY, name text UNIQUE NOT NULL, kind text NOT NULL);
CREATE TABLE decm_layouts (number serial PRIMARY KEY, fields text UNIQUE NOT NULL);
CREATE TABLE decm_tracks (seq bigint PRIMARY KEY, id text COLLATE "C" UNIQUE NOT NULL, metadata text, cells jsonb);
CREATE TABLE decm_features (seq bigint PRIMARY KEY, layout integer NOT NULL, content bytea NOT NULL);
CREATE TABLE decm_vectors (version integer, seq bigint, content vector NOT NULL, PRIMARY KEY (version, seq));
ALTER TABLE decm_vectors ALTER content SET STORAGE PLAIN
"""
_KEY = 0x44656343
"""Of the lock under which the tables are made."""


class PostgresStore(Kept):
    """A :class:`~recbole_decm.serving.store.contract.Store` in tables ``decm_...`` of the first schema of the path.

    Args:
        url: as libpq takes it.

    Raises:
        ConfigError: psycopg or pgvector is not installed.
        DataError: the tables were written by a later version.
        StoreUnavailable: the database cannot be reached.
    """

    def __init__(self, url: str):
        self._connections, self._own = Connections(url), threading.local()
        self._prepare()

    def _prepare(self) -> None:
        with self._transaction():
            self._do("SELECT pg_advisory_xact_lock(%s)", _KEY)
            if self._value("SELECT to_regclass('decm_state') IS NULL"):
                self._connections.need_vectors(self._own.base)
                for statement in _SCHEMA.split(";\n"):
                    self._do(statement)
            self._connections.check_format(self._value("SELECT format FROM decm_state"), FORMAT_VERSION)

    # --- connections ------------------------------------------------------------------------------------------------
    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._connections.one() as base, base.transaction():
            self._own.base = base
            try:
                yield
            finally:
                self._own.base = None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._transaction():
            self._do("SELECT FROM decm_state FOR UPDATE")
            yield

    def _all(self, query: str, *values: Any) -> list[Any]:
        base = getattr(self._own, "base", None)
        if base is not None:
            return base.execute(query, values, binary=True).fetchall()
        with self._connections.one() as base:
            return base.execute(query, values, binary=True).fetchall()

    def _value(self, query: str, *values: Any) -> Any:
        found = self._all(query, *values)
        return found[0][0] if found else None

    def _do(self, query: str, *values: Any) -> None:
        self._own.base.execute(query, values or None)

    def _copy(self, target: str, types: Sequence[str], rows: Iterator[tuple]) -> None:
        with self._own.base.cursor().copy(f"COPY {target} FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    # --- writing ----------------------------------------------------------------------------------------------------
    def _next(self, count: int) -> int:
        return int(self._value("UPDATE decm_state SET seq = seq + %s RETURNING seq", count))

    def _seqs(self, ids: Sequence[str]) -> dict[str, tuple[int, bool]]:
        query = "SELECT id, seq, metadata IS NOT NULL FROM decm_tracks WHERE id = ANY(%s::text[])"
        return {track: (seq, here) for track, seq, here in self._all(query, list(ids))}

    def _remove(self, seqs: Sequence[int]) -> None:
        if not seqs:
            return
        gone = list(seqs)
        for table in ("decm_tracks", "decm_features"):
            self._do(f"DELETE FROM {table} WHERE seq = ANY(%s::bigint[])", gone)
        query = "DELETE FROM decm_vectors WHERE version = ANY(SELECT number FROM decm_versions) AND seq = ANY"
        self._do(f"{query}(%s::bigint[])", gone)

    def _insert(self, seqs: Sequence[int], rows: Rows, vectors: tuple[int, np.ndarray] | None) -> None:
        self._do("INSERT INTO decm_layouts (fields) VALUES (%s) ON CONFLICT DO NOTHING", rows.layout)
        layout = self._value("SELECT number FROM decm_layouts WHERE fields = %s", rows.layout)
        kinds = self._kinds()
        cells = [cells_of(record, kinds) for record in rows.records]
        self._copy(
            "decm_tracks", ["int8", "text", "text", "jsonb"], zip(seqs, rows.ids, rows.metadata, cells, strict=True)
        )
        features = ((seq, layout, content) for seq, content in zip(seqs, rows.features, strict=True))
        self._copy("decm_features", ["int8", "int4", "bytea"], features)
        if vectors is not None:
            self._insert_vectors(vectors[0], seqs, vectors[1])

    def _insert_vectors(self, number: int, seqs: Sequence[int], vectors: np.ndarray) -> None:
        rows = ((number, seq, vector) for seq, vector in zip(seqs, vectors.astype(np.float32), strict=True))
        self._copy("decm_vectors", ["int4", "int8", "vector"], rows)

    def _insert_deleted(self, seqs: Sequence[int], ids: Sequence[str]) -> None:
        rows = ((seq, track) for seq, track in zip(seqs, ids, strict=True))
        self._copy("decm_tracks (seq, id)", ["int8", "text"], rows)

    def _kinds(self) -> dict[str, str]:
        return dict(self._all("SELECT name, kind FROM decm_kinds ORDER BY place"))

    def _add_kinds(self, kinds: Mapping[str, str]) -> None:
        for name, kind in kinds.items():
            self._do("INSERT INTO decm_kinds (name, kind) VALUES (%s, %s)", name, kind)

    def _here(self) -> list[str]:
        return [track for (track,) in self._all("SELECT id FROM decm_tracks WHERE metadata IS NOT NULL")]

    def _layouts(self) -> list[str]:
        query = "SELECT fields FROM decm_layouts WHERE number IN (SELECT DISTINCT layout FROM decm_features)"
        return [layout for (layout,) in self._all(query)]

    def keep_vectors(self, version: str, seqs: np.ndarray, vectors: np.ndarray) -> None:
        with self._writing():
            number, wanted = self._number(version), seqs.tolist()
            self._do("DELETE FROM decm_vectors WHERE version = %s AND seq = ANY(%s::bigint[])", number, wanted)
            found = self._all("SELECT seq FROM decm_features WHERE seq = ANY(%s::bigint[])", wanted)
            there = np.isin(seqs, [seq for (seq,) in found])
            self._insert_vectors(number, seqs[there].tolist(), vectors[there])

    # --- versions ---------------------------------------------------------------------------------------------------
    def _write_version(self, encoders: Encoders, published: float) -> int:
        number = self._value(
            "INSERT INTO decm_versions (id, published, fields) VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE "
            "SET published = excluded.published RETURNING number",
            *(encoders.id, published, json.dumps(encoders.fields)),
        )
        self._do("DELETE FROM decm_files WHERE version = %s", number)
        for name, content in encoders.files.items():
            self._do("INSERT INTO decm_files VALUES (%s, %s, %b)", number, name, content)
        return int(number)

    def _fields(self, number: int) -> dict[str, dict[str, Any]]:
        return json.loads(self._value("SELECT fields FROM decm_versions WHERE number = %s", number))

    def _numbered(self) -> dict[str, tuple[int, Version]]:
        query = (
            "SELECT id, number, published, number IS NOT DISTINCT FROM (SELECT active FROM decm_state) "
            "FROM decm_versions ORDER BY number"
        )
        return {name: (number, Version(name, at, active)) for name, number, at, active in self._all(query)}

    def _set_active(self, number: int) -> None:
        self._do("UPDATE decm_state SET active = %s", number)

    def _drop_version(self, number: int) -> None:
        self._do(f"DROP INDEX IF EXISTS {index_name(number)}")
        for table, column in (("vectors", "version"), ("files", "version"), ("versions", "number")):
            self._do(f"DELETE FROM decm_{table} WHERE {column} = %s", number)

    # --- reading ----------------------------------------------------------------------------------------------------
    def files(self, version: str) -> dict[str, bytes]:
        return dict(self._all("SELECT name, content FROM decm_files WHERE version = %s", self._number(version)))

    def count(self) -> int:
        return int(self._value("SELECT count(*) FROM decm_tracks WHERE metadata IS NOT NULL"))

    def get(self, track: str) -> Track | None:
        if "\0" in track:
            return None
        query = (
            "SELECT seq, metadata, fields, content FROM decm_tracks JOIN decm_features USING (seq) "
            "JOIN decm_layouts ON number = layout WHERE id = %s"
        )
        found = self._all(query, track)
        if not found:
            return None
        seq, metadata, layout, content = found[0]
        features = {name: values[0] for name, values in unpacked([layout], [content]).items()}
        return Track(track, features, json.loads(metadata), seq)

    def state(self) -> tuple[int, str | None]:
        query = "SELECT seq, (SELECT id FROM decm_versions WHERE number = active) FROM decm_state"
        return tuple(self._all(query)[0])

    def changes(self, since: int, version: str | None = None, limit: int = PAGE) -> Changes:
        last, active = self.state()
        rows: list[Any] = []
        if last > since:
            number = -1 if version is None else self._number(version)
            rows = self._all(
                "SELECT t.id, t.seq, t.metadata, vector_send(v.content) FROM decm_tracks t LEFT JOIN decm_vectors v "
                "ON v.version = %s AND v.seq = t.seq WHERE t.seq > %s AND t.seq <= %s ORDER BY t.seq LIMIT %s",
                *(number, since, last, limit),
            )
        kinds = self._kinds() if rows else {}
        rows = [(*row, _native(sent)) for *row, sent in rows]
        return Changes.page(rows, (since, last), limit, active, kinds)

    def features(self, seqs: Sequence[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        query = (
            "SELECT seq, fields, content FROM decm_features JOIN decm_layouts ON number = layout "
            "WHERE seq = ANY(%s::bigint[]) ORDER BY seq"
        )
        rows = self._all(query, [int(seq) for seq in seqs])
        found = np.array([seq for seq, _, _ in rows], np.int64)
        return found, unpacked([layout for _, layout, _ in rows], [content for _, _, content in rows])

    # --- search in the database ------------------------------------------------------------------------------------
    def index(self, version: str, dim: int) -> None:
        """Build an HNSW index over a version's (E,) vectors, for :meth:`search`; changes enter it by themselves.

        Raises:
            ConfigError: no such version.
        """
        with self._connections.one() as base:
            add_index(base, self._number(version), dim)

    def search(
        self,
        version: str,
        queries: np.ndarray,
        k: int,
        where: Filter | str | None = None,
        exclude: Collection[str] = (),
        effort: int = 400,
    ) -> list[Hits]:
        """The k best tracks for each of (B, E) queries, as a version ranks them, found by the database alone.

        Tracks whose vectors of this version nobody has computed are not found:
        :func:`~recbole_decm.serving.store.encoding.encode_all`.

        Args:
            effort: tracks that an index looks at, from 1 to 1,000, the most where there is a filter; more finds more.

        Raises:
            ConfigError: no such version, or the filter is not of the grammar or does not fit the columns.
        """
        chosen, number = Filter.parse(where) if isinstance(where, str) else where, self._number(version)
        kinds = {} if chosen is None else self._kinds()
        with self._connections.one() as base:
            return [search(base, number, kinds, query, k, chosen, exclude, effort) for query in queries]

    def interrupt(self, thread: int) -> None:
        self._connections.interrupt(thread)

    def close(self) -> None:
        self._connections.close()


def _native(sent: bytes | None) -> bytes | None:
    """A vector as this machine keeps float32, from how it is sent: two numbers of 16 bits, then those of 32."""
    return None if sent is None else np.frombuffer(sent, ">f4", offset=4).astype(np.float32).tobytes()
