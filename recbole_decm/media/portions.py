"""Files in portions: what is read, written and gone on with as one; a portion is on the disk whole or not at all."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from recbole_decm.errors import DataError
from recbole_decm.io.digest import of_values
from recbole_decm.io.write import replacing
from recbole_decm.media.cards import Card
from recbole_decm.media.clips import Shard
from recbole_decm.media.failures import Failure, Reason
from recbole_decm.media.wants import Limits

SIZE = 8
"""Files of a portion: what a stop costs a worker at most."""
FIRST, EARLY = 2, 4
"""Files of each of the first portions, which the first result waits for, and how many of these there are."""
_FORMAT = 1


@dataclass(frozen=True)
class Portion:
    """Some files that are read for the same fields.

    Attributes:
        files: absolute paths, or the texts themselves where the fields are made of texts.
        fields: the features that are made of each.
    """

    files: tuple[str, ...]
    fields: tuple[str, ...]


def portions_of(wanted: Mapping[str, Sequence[str]]) -> list[Portion]:
    """The files with the fields that each is read for, in portions; each file is read once for all of its fields.

    Examples:
        >>> [portion.files for portion in portions_of({"a": ["visual"], "b": ["acoustic"], "c": ["visual"]})]
        [('a', 'c'), ('b',)]
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for file, fields in wanted.items():
        alike.setdefault(tuple(fields), []).append(file)
    early = min(FIRST, SIZE)
    starts = [early * number for number in range(EARLY)]
    found = []
    for fields, files in alike.items():
        cuts = [*starts, *range(early * EARLY, len(files), SIZE), len(files)]
        found += [Portion(tuple(files[a:b]), fields) for a, b in pairwise(cuts) if files[a:b]]
    return found


@dataclass(frozen=True)
class Kept:
    """The portions that are done, in a folder; another file, extractor or limit is another portion.

    Attributes:
        folder: where they are.
        cards: of the extractors, by field.
    """

    folder: Path
    cards: Mapping[str, Card]

    def place(self, portion: Portion) -> Path:
        """Where a portion is, once it is done. Its name holds all that its numbers depend on."""
        cards = {field: self.cards[field].model_dump(exclude={"source", "licence", "side"}) for field in portion.fields}
        files = [(file, *_state(file)) for file in portion.files]
        return self.folder / f"{of_values([_FORMAT, asdict(Limits()), cards, files])}.npz"

    def write(self, place: Path, shard: Shard) -> None:
        """Keep a portion, whole or not at all."""
        rows = [(found.source, found.field, found.reason.value, found.detail) for found in shard.failures]
        values = {f"of {field}": matrix for field, matrix in shard.features.items()}
        with replacing(place) as name, name.open("wb") as file:
            np.savez(file, allow_pickle=False, failures=np.array(json.dumps(rows)), **values)

    def read(self, place: Path) -> Shard:
        """What :meth:`write` kept.

        Raises:
            DataError: the file is damaged.
        """
        try:
            with np.load(place, allow_pickle=False) as found:
                features = {name[3:]: found[name] for name in found.files if name.startswith("of ")}
                rows = json.loads(str(found["failures"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{place}: expected the features of some files, but {error}. Delete it, and run again."
            ) from error
        return Shard(features, tuple(Failure(row[0], row[1], Reason(row[2]), row[3]) for row in rows))


def _state(file: str) -> tuple[int, int] | tuple[()]:
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return ()
    return found.st_size, found.st_mtime_ns
