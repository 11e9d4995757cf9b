"""Lists as the JSON of an answer. The metadata are JSON already and are put in as they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic_core import to_json

from recbole_decm.serving.api.ranking import Listed, Lists


def encode(lists: Lists, explain: bool) -> bytes:
    """The object of :class:`~recbole_decm.serving.api.forms.Answer`."""
    parts = [b'{"artefact":', to_json(lists.artefact), b',"results":[']
    for place, video in enumerate(lists.videos):
        parts.append(b',{"tracks":[' if place else b'{"tracks":[')
        _tracks(parts, video)
        parts.append(b"]")
        if explain:
            for name, values in (("prior", video.prior), ("habit", video.habit)):
                parts.append(b',"%s":' % name.encode() + to_json(named(values, lists.genres)))
        parts.append(b"}")
    parts.append(b"]}")
    return b"".join(parts)


def _tracks(parts: list[bytes], video: Listed) -> None:
    rows = zip(video.ids, video.scores, video.metadata, strict=True)
    for place, (track, score, metadata) in enumerate(rows):
        start = b'{"track_id":' if place == 0 else b',{"track_id":'
        parts += (start, to_json(track), b',"rank":%d,"score":' % (place + 1), repr(score).encode(), b',"metadata":')
        parts.append(metadata)
        if video.explanations is not None:
            parts += (b',"explanation":', to_json(video.explanations[place]))
        parts.append(b"}")


def named(values: np.ndarray | None, genres: Sequence[str]) -> dict[str, float] | None:
    """Probabilities by the names of their genres."""
    return None if values is None else dict(zip(genres, values.tolist(), strict=True))
