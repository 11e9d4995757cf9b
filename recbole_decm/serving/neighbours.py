"""The training videos of a checkpoint, written beside its artefact for explanations: ``export --neighbours``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recbole_decm.io.write import replacing
from recbole_decm.serving.artefact import open_artefact
from recbole_decm.serving.artefact.neighbours import FILE, neutral_queries, write_neighbours
from recbole_decm.serving.opening import training_videos

_BLOCK = 1024


def add_neighbours(checkpoint: Path | str, folder: Path, arguments: Sequence[str] = ()) -> int:
    """Write ``neighbours.npz`` into the folder of an artefact that ``checkpoint`` was exported to.

    Args:
        arguments: as of :func:`recbole_decm.serving.export.export`.

    Returns:
        how many pairs of a training video and its track there are.

    Raises:
        DecCMError: bad checkpoint, data or artefact.
        ResourceError: the place cannot be written to.
    """
    artefact = open_artefact(folder)
    videos, tracks = training_videos(checkpoint, arguments)
    fields, parts = artefact.manifest.video_fields, []
    cuts = np.cumsum([0, *fields.values()])
    for part in videos.blocks(_BLOCK):
        features = {name: part.visual[:, start:end] for name, start, end in zip(fields, cuts, cuts[1:], strict=False)}
        parts.append(neutral_queries(artefact, features))
    genre_of: dict[str, str] = {}
    if "genre" in artefact.metadata:
        genre_of = dict(zip(artefact.ids.tolist(), map("\x1f".join, artefact.metadata["genre"]), strict=True))
    labels = [str(name) for part in videos.blocks(_BLOCK) for name in part.labels]
    with replacing(folder / FILE) as place, place.open("wb") as file:
        genres = [genre_of.get(track, "") for track in tracks]
        write_neighbours(file, artefact.manifest.id, np.concatenate(parts), labels, tracks, genres)
    return len(labels)
