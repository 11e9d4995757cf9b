"""From a list of files to a matrix for each field, going on where a run was stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.npy import open_matrix, write_blocks
from recbole_decm.io.write import held
from recbole_decm.media.cards import Card
from recbole_decm.media.failures import Failure
from recbole_decm.media.portions import Kept, portions_of
from recbole_decm.media.work import Engine


@dataclass(frozen=True)
class Extracted:
    """The features of files.

    Attributes:
        matrices: field -> (R, D) float32, on the disk; a row of NaN where a file has none.
        rows: field -> the row of each file.
        failures: what is missing and why, in the order of the files.
    """

    matrices: Mapping[str, np.ndarray]
    rows: Mapping[str, Mapping[str, int]]
    failures: tuple[Failure, ...]


@contextmanager
def work_folder(place: Path) -> Iterator[Path]:
    """A folder for what is done so far, which one run at a time may use. It stays until the work is through.

    Raises:
        ConfigError: another run is at work in it.
    """
    place.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(held(place))
        except BlockingIOError as error:
            raise ConfigError(f"{place}: expected no other run at work here, found one. Wait for its end.") from error
        except OSError:  # a file system without locks
            pass
        yield place
        shutil.rmtree(place)


def extract_files(
    wanted: Mapping[str, Sequence[str]],
    cards: Mapping[str, Card],
    folder: Path,
    engine: Engine,
    *,
    strict: bool = False,
    on_files: Callable[[int, int, bool], object] = lambda files, failed, now: None,
) -> Extracted:
    """Make the features of files, but those that ``folder`` holds from a run that was stopped.

    Args:
        wanted: absolute path -> the fields that the file is read for.
        strict: whether the first file that cannot be read is an error.
        on_files: told of each portion how many files it has, how many of them failed, and whether it was read now.

    Raises:
        DataError: ``strict``, and a file cannot be read.
    """
    kept = Kept(folder, cards)
    portions = portions_of(wanted)
    places = {portion: kept.place(portion) for portion in portions}

    def done(files: int, failures: Sequence[Failure], now: bool) -> None:
        if strict and failures:
            bad = failures[0]
            raise DataError(
                f"{bad.source}: expected a file that can be read for '{bad.field}', found {bad.reason.value}: "
                f"{bad.detail}. Leave --strict out to go on without it."
            )
        on_files(files, len({failure.source for failure in failures}), now)

    left = []
    for portion, place in places.items():
        if place.exists():
            done(len(portion.files), kept.read(place).failures, False)
        else:
            left.append(portion)
    for portion, shard in engine(left):
        kept.write(places[portion], shard)
        done(len(portion.files), shard.failures, True)
    order = {file: place for place, file in enumerate(wanted)}
    failures = [failure for place in places.values() for failure in kept.read(place).failures]
    failures.sort(key=lambda failure: order[failure.source])
    matrices, rows = {}, {}
    for field, card in cards.items():
        with_field = [portion for portion in portions if field in portion.fields]
        if with_field:
            rows[field] = {file: row for row, file in enumerate(file for part in with_field for file in part.files)}
            path = folder / f"{field}.npy"
            blocks = (kept.read(places[portion]).features[field] for portion in with_field)
            write_blocks(path, blocks, (len(rows[field]), card.dimension), np.dtype(np.float32))
            matrices[field] = open_matrix(path, f"'{field}' vectors")
    return Extracted(matrices, rows, tuple(failures))
