"""From clips to features: the same bits for a clip, wherever it is read and beside whatever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_decm.media.extractor import ClipReader, Extractor
from recbole_decm.media.failures import Failure, Reason, Unreadable
from recbole_decm.media.sandbox import Block, Reader, Started
from recbole_decm.media.wants import Picture


@dataclass(frozen=True)
class Shard:
    """The features of some clips or texts.

    Attributes:
        features: for each field (N, D) of float32, in the order of the clips; a row of NaN where it is missing.
        failures: what is missing and why, in the order of the clips, then of the fields.
    """

    features: dict[str, np.ndarray]
    failures: tuple[Failure, ...]


def extract_clips(clips: Sequence[Path | str], extractors: Mapping[str, Extractor], reader: Reader) -> Shard:
    """The features of clips, each decoded once for all fields.

    Args:
        clips: paths, as they are to stand in failures.
        extractors: of pictures and sound, by field.
        reader: decodes ahead of the extractors.
    """
    wants = list(dict.fromkeys(extractor.want for extractor in extractors.values() if extractor.want is not None))
    takers = [[field for field, extractor in extractors.items() if extractor.want == want] for want in wants]
    features = _empty(len(clips), extractors)
    failures: list[Failure] = []
    readers: dict[str, ClipReader] = {}
    seen: set[str] = set()
    for event in reader.read((Path(clip), wants) for clip in clips):
        if isinstance(event, Started):
            readers, seen = {field: extractor.new_reader() for field, extractor in extractors.items()}, set()
        elif isinstance(event, Block):
            for field in takers[event.want]:
                readers[field].add(event.values)
                seen.add(field)
        else:
            for field, extractor in extractors.items():
                failure = event.failure or (None if field in seen else _nothing(extractor))
                if failure is None:
                    features[field][event.clip] = readers[field].vector()
                else:
                    failures.append(Failure(str(clips[event.clip]), field, failure.reason, failure.detail))
    return Shard(features, tuple(failures))


def extract_texts(texts: Sequence[str], extractors: Mapping[str, Extractor]) -> Shard:
    """The features of texts, such as titles and captions. An empty text has none.

    Args:
        extractors: of text, by field.
    """
    features = _empty(len(texts), extractors)
    failures = []
    for place, text in enumerate(texts):
        for field, extractor in extractors.items():
            if text.strip():
                reader = extractor.new_reader()
                reader.add(text)
                features[field][place] = reader.vector()
            else:
                failures.append(no_text(str(place), field))
    return Shard(features, tuple(failures))


def no_text(source: str, field: str) -> Failure:
    """What is said of an empty text."""
    return Failure(source, field, Reason.NO_TEXT, "an empty text")


def _empty(count: int, extractors: Mapping[str, Extractor]) -> dict[str, np.ndarray]:
    return {
        field: np.full((count, extractor.card.dimension), np.nan, np.float32) for field, extractor in extractors.items()
    }


def _nothing(extractor: Extractor) -> Unreadable:
    if isinstance(extractor.want, Picture):
        return Unreadable(Reason.NO_PICTURE, "a clip without moving pictures")
    return Unreadable(Reason.NO_SOUND, "a clip without sound")
