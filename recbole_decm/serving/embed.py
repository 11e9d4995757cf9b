"""The vectors of tracks and videos as files, for search elsewhere: dot products rank as the model does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from recbole_decm.errors import ConfigError
from recbole_decm.io.npy import write_blocks
from recbole_decm.io.resources import require_disk
from recbole_decm.io.write import replacing_folders
from recbole_decm.serving.index import as_array
from recbole_decm.serving.recommender import Recommender
from recbole_decm.serving.videos import VIDEO_BLOCK, Videos

FORMAT_VERSION = 1
_TYPE = np.dtype(np.float32)


def write_embeddings(
    recommender: Recommender,
    videos: Videos | None,
    folder: Path,
    overwrite: bool = False,
    on_rows: Callable[[int], object] = lambda rows: None,
) -> None:
    """Write ``tracks.npy`` with ``tracks.txt``, ``videos.npy`` with ``videos.txt``, and ``embeddings.json``.

    A matrix is (rows, E) float32; line i of the text file is the id of row i. A video's dot products with the tracks
    are the model's scores, up to one number for each video. Everything is streamed in blocks, and the folder appears
    whole or not at all.

    Args:
        videos: None for the tracks alone.
        on_rows: told the number of rows that were just written.

    Raises:
        ConfigError: the model's ranking is that of no dot product; the folder exists and ``overwrite`` is not set.
        ResourceError: not enough disk, or the place cannot be written to.
    """
    if recommender.why_no_dot_product:
        raise ConfigError(
            f"embed: expected a model whose score is a dot product, but {recommender.why_no_dot_product}."
        )
    count, dim = len(recommender.tokens), recommender.dim
    require_disk(folder, 4 * dim * (count + (len(videos) if videos else 0)), "the embeddings")
    with replacing_folders([folder], overwrite) as (place,):
        place.mkdir()
        tracks = (as_array(block) for block in recommender.vectors)
        write_blocks(place / "tracks.npy", tracks, (count, dim), _TYPE, on_rows)
        _write_lines(place / "tracks.txt", [recommender.tokens])
        if videos is not None:
            parts = videos.blocks(VIDEO_BLOCK)
            labels: list[np.ndarray] = []

            def vectors() -> Iterable[np.ndarray]:
                for part in parts:
                    labels.append(part.labels)
                    yield recommender.query_vectors(part)

            write_blocks(place / "videos.npy", vectors(), (len(videos), dim), _TYPE, on_rows)
            _write_lines(place / "videos.txt", labels)
        note = {
            "format_version": FORMAT_VERSION,
            **recommender.owner(),
            "dimension": dim,
            "tracks": count,
            "videos": None if videos is None else {"count": len(videos), "id": videos.label},
        }
        (place / "embeddings.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")


def _write_lines(path: Path, parts: Iterable[np.ndarray]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for part in parts:
            file.writelines(f"{label}\n" for label in part.tolist())
