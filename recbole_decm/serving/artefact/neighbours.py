"""``neighbours.npz``: training videos and the tracks that they used, to show beside a list. Optional, since personal.

The manifest has its digest, which finds damage, not forgery.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np

from recbole_decm.errors import DataError
from recbole_decm.serving.artefact.files import regular, require_size, require_whole
from recbole_decm.serving.artefact.manifest import NEIGHBOURS
from recbole_decm.serving.artefact.opened import Artefact

FORMAT_VERSION = 1
SHOWN = 3
LARGEST = 1 << 33
"""Bytes of the file."""


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


class Neighbours:
    """Training videos, N of them: vectors (N, E) of length 1 under the neutral prior, their ids and tracks, and the
    genres of the tracks.
    """

    def __init__(
        self, vectors: np.ndarray, videos: Sequence[str], tracks: Sequence[str], genres: Sequence[str]
    ) -> None:
        self._vectors, self._videos = vectors, videos
        self._by_track, self._by_genre = _places(tracks), _places(genres, split=True)

    def near(self, query: np.ndarray, track: str, genres: Sequence[str]) -> list[dict[str, Any]]:
        """The videos nearest to a query that used a track, or, where none did, one of its genres.

        Args:
            query: (E,) of length 1, of a video where no genre is preferred.

        Returns:
            at most :data:`SHOWN`: ``video_id``, ``similarity`` (the cosine), ``used`` (``track`` or ``genre``).
        """
        rows, used = self._by_track.get(track), "track"
        if rows is None:
            found = [self._by_genre[name] for name in genres if name in self._by_genre]
            rows, used = np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64), "genre"
        alike = self._vectors[rows] @ query
        best = np.argsort(-alike, kind="stable")[:SHOWN]
        return [
            {"video_id": self._videos[rows[at]], "similarity": float(alike[at]), "used": used} for at in best.tolist()
        ]


def _places(names: Sequence[str], split: bool = False) -> dict[str, np.ndarray]:
    found: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        for part in name.split("\x1f") if split else [name]:
            if part:
                found.setdefault(part, []).append(row)
    return {name: np.array(rows, np.int64) for name, rows in found.items()}


def write_neighbours(
    file: Any, vectors: np.ndarray, videos: Sequence[str], tracks: Sequence[str], genres: Sequence[str]
) -> None:
    """Write to an open file; ``genres`` of each video's track are joined by the unit separator."""
    np.savez(
        file,
        format_version=np.int64(FORMAT_VERSION),
        vectors=vectors,
        videos=np.array(videos, dtype=np.str_),
        tracks=np.array(tracks, dtype=np.str_),
        genres=np.array(genres, dtype=np.str_),
    )


def open_neighbours(folder: Path, artefact: Artefact) -> Neighbours | None:
    """The neighbours of an artefact, from its folder; None where it has none.

    Raises:
        DataError: missing, damaged, of a newer version, or of another artefact.
    """
    digest = artefact.manifest.files.get(NEIGHBOURS)
    if digest is None:
        return None
    require_size(path := regular(folder, NEIGHBOURS), LARGEST)
    require_whole(path, digest)
    try:
        with ZipFile(path) as archive:
            if any(part.compress_type != ZIP_STORED for part in archive.infolist()):
                raise ValueError("its parts are compressed, and could unpack to any size")
        with np.load(path, allow_pickle=False) as file:
            version = int(file["format_version"])
            vectors = np.asarray(file["vectors"], np.float32)
            texts = [file[name].astype(str).tolist() for name in ("videos", "tracks", "genres")]
    except (OSError, ValueError, KeyError, TypeError, BadZipFile, EOFError, MemoryError, NotImplementedError) as error:
        raise DataError(f"{path}: expected neighbours, as export --neighbours writes them, but {error}.") from error
    if version > FORMAT_VERSION:
        raise DataError(f"{path}: expected format_version {FORMAT_VERSION}, found {version}. Update recbole-decm.")
    if vectors.shape != (len(texts[0]), artefact.dim) or len({len(part) for part in texts}) != 1:
        raise DataError(f"{path}: expected {len(texts[0])} vectors of {artefact.dim} numbers, found {vectors.shape}.")
    if not np.isfinite(vectors).all():
        raise DataError(f"{path}: expected finite numbers, found others.")
    return Neighbours(vectors, *texts)
