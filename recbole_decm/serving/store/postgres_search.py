"""Search inside PostgreSQL, over the vectors that pgvector holds: for who wants no catalogue in memory.

Without an index every vector is compared, and what is found is what brute force finds. With one (HNSW), the nearest
are fetched, more than are wanted, and filtered; where too few pass, every vector is compared after all.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import numpy as np

from recbole_decm.serving.filters import Filter
from recbole_decm.serving.store.postgres_filter import condition
from recbole_decm.serving.store.scan import Hits

_FURTHEST = 1_000
"""The most that pgvector's HNSW looks for."""


class _Base(Protocol):
    """A connection of psycopg that knows vectors."""

    def execute(self, query: str, values: Any = None, *, binary: bool = False) -> Any: ...

    def transaction(self) -> Any: ...


def index_name(number: int) -> str:
    """Of the index over the vectors of a version's number."""
    return f"decm_vectors_{int(number)}"


def add_index(base: _Base, number: int, dim: int) -> None:
    """Build an HNSW index over the vectors of a version, if there is none; writers wait meanwhile."""
    base.execute(
        f"CREATE INDEX IF NOT EXISTS {index_name(number)} ON decm_vectors "
        f"USING hnsw ((content::vector({int(dim)})) vector_ip_ops) WHERE version = {int(number)}"
    )
    base.execute("ANALYZE decm_vectors")  # else the planner takes the table for a small one


def search(
    base: _Base,
    number: int,
    kinds: dict[str, str],
    query: np.ndarray,
    k: int,
    where: Filter | None,
    exclude: Collection[str],
    effort: int,
) -> Hits:
    """The k tracks of largest product with an (E,) query, of equal ones the one that changed first.

    Args:
        effort: tracks that an index looks at, from 1 to 1,000.

    Raises:
        ConfigError: the filter does not fit the columns.
    """
    dim, wanted = len(query), np.asarray(query, np.float32)
    has_index = base.execute("SELECT to_regclass(%s) IS NOT NULL", [index_name(number)]).fetchone()[0]
    text, values = ("true", []) if where is None else condition(where, kinds)
    product = f"content::vector({dim}) <#> %s"
    of_version = f"FROM decm_vectors WHERE version = {int(number)}"
    rest = f"JOIN decm_tracks t USING (seq) WHERE {text} AND t.id <> ALL(%s::text[]) ORDER BY far, seq LIMIT %s"
    given = [*values, list(exclude), k]
    rows: list[Any] = []
    if has_index:
        count = min(_FURTHEST, max(effort, 2 * (k + len(exclude)))) if where is None else _FURTHEST
        near = f"(SELECT seq, content, {product} AS far {of_version} ORDER BY {product} LIMIT {count}) near"
        with base.transaction():
            base.execute(f"SET LOCAL hnsw.ef_search = {count}")
            query_text = f"SELECT t.id, far, t.metadata, content FROM {near} {rest}"
            rows = base.execute(query_text, [wanted, wanted, *given], binary=True).fetchall()
    if len(rows) < k:
        every = f"(SELECT seq, content, ({product}) + 0 AS far {of_version}) every"  # + 0: of no use to an index
        rows = base.execute(
            f"SELECT t.id, far, t.metadata, content FROM {every} {rest}", [wanted, *given], binary=True
        ).fetchall()
    vectors = np.array([row[3].to_numpy() for row in rows], np.float32).reshape(-1, dim)
    scores = np.array([-row[1] for row in rows], np.float32)
    return Hits([row[0] for row in rows], scores, vectors, [row[2].encode() for row in rows])
