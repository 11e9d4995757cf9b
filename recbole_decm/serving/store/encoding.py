"""The vectors of tracks: those that a store keeps for a version, and those that are computed and then kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole_decm.errors import DataError
from recbole_decm.serving.store.contract import Changes, Store
from recbole_decm.serving.store.rows import genres_of

if TYPE_CHECKING:
    from recbole_decm.serving.artefact import Artefact


def encoded(artefact: Artefact, features: Mapping[str, np.ndarray], records: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(n, E) vectors of tracks.

    Args:
        records: their metadata.

    Raises:
        DataError: the artefact cannot encode these features, or makes vectors of them that are not finite.
    """
    own = {
        name: features[name] if name in features else np.full((len(records), width), np.nan, np.float32)
        for name, width in artefact.manifest.track_fields.items()
    }
    vectors = np.asarray(artefact.track_vectors(own, [genres_of(record) for record in records]), np.float32)
    if not np.isfinite(vectors).all():
        raise DataError("tracks: expected features whose vectors are finite, found others.")
    return vectors


def completed(store: Store, artefact: Artefact, version: str, page: Changes) -> tuple[list[int], np.ndarray]:
    """The vectors of a page of changes; what the store lacked is computed and kept there.

    Returns:
        places in the page, without rows that have changed since, which a later page has; and (n, E) their vectors, of
        no meaning for deleted tracks.
    """
    vectors, there = _as_matrix(page.vectors, artefact.dim)
    lacking = np.flatnonzero(np.array([text is not None for text in page.metadata], bool) & ~there)
    gone: set[int] = set()
    if len(lacking):
        seqs, features = store.features(page.seqs[lacking].tolist())
        found = lacking[np.isin(page.seqs[lacking], seqs)]
        gone = set(lacking.tolist()) - set(found.tolist())
        if len(found):
            records = [json.loads(page.metadata[at] or "{}") for at in found.tolist()]
            vectors[found] = encoded(artefact, features, records)
            store.keep_vectors(version, page.seqs[found], vectors[found])
    kept = [at for at in range(len(page.ids)) if at not in gone]
    return kept, vectors[kept] if gone else vectors


def encode_all(store: Store, artefact: Artefact, on_rows: Callable[[int], object] = lambda rows: None) -> None:
    """Compute and keep the vectors that a published artefact gives all tracks that have none of it yet.

    Args:
        on_rows: told the number of rows that were just looked at.
    """
    seen, more = 0, True
    while more:
        page = store.changes(seen, artefact.manifest.id)
        completed(store, artefact, artefact.manifest.id, page)
        seen, more = page.seq, page.more
        on_rows(len(page.ids))


def _as_matrix(vectors: Sequence[bytes | None], dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors that came as bytes: (n, E) float32, and (n,) bool which were there."""
    there = np.array([part is not None for part in vectors], dtype=bool)
    matrix = np.zeros((len(vectors), dim), np.float32)
    content = b"".join([part for part in vectors if part is not None])
    if len(content) != 4 * dim * int(there.sum()):
        raise DataError(f"store: expected vectors of {dim} numbers, found others. Publish the artefact again.")
    matrix[there] = np.frombuffer(content, np.float32).reshape(-1, dim)
    return matrix, there
