"""Fields made of texts, such as titles: their column in a table, and their vectors beside those of the files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from recbole_decm.cli.extracting import Reading, rows_of
from recbole_decm.data.importers.collection import Rows
from recbole_decm.media.clips import no_text
from recbole_decm.media.extract import Extracted
from recbole_decm.media.extractor import Extractor
from recbole_decm.media.failures import Failure

Texts = Mapping[str, np.ndarray]
"""Field -> the text of each video, or of each track; empty where it has none."""


def read_texts(texts: Iterable[Texts], extractors: Mapping[str, Extractor], reading: Reading, work: Path) -> Extracted:
    """The features of texts, each text once, but those that ``work`` holds from a run that was stopped."""
    fields: dict[str, tuple[str, ...]] = {}
    for side in texts:
        for field, found in side.items():
            for text in found:
                fields[text] = tuple(dict.fromkeys([*fields.get(text, ()), field]))
    of_texts = {field: extractor for field, extractor in extractors.items() if extractor.column}
    return reading.read(fields, of_texts, work) if of_texts else Extracted({}, {}, ())


def rows_of_side(
    files: Sequence[str],
    of_files: Extracted,
    texts: Texts,
    of_texts: Extracted,
    fields: Sequence[str],
    place: str,
    required: bool = True,
) -> dict[str, Rows]:
    """The vectors of the videos, or of the tracks, by field, in the order of ``fields``.

    Args:
        required: whether at least one has each field of texts.

    Raises:
        DataError: a field that none has.
    """
    found = rows_of(files, [field for field in fields if field not in texts], of_files, place)
    for field, cells in texts.items():
        found |= rows_of(cells, [field], of_texts, place, required)
    return {field: found[field] for field in fields}


def empty_texts(files: Sequence[str], texts: Texts) -> list[Failure]:
    """What ``failures.csv`` says of texts that are empty."""
    return [
        no_text(file, field)
        for field, cells in texts.items()
        for file, cell in zip(files, cells, strict=True)
        if not cell
    ]
