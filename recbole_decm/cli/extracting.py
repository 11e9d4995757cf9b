"""What commands share that read videos and music: the engine, the progress bar, and what is said of failures."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_decm.data.importers.collection import Rows
from recbole_decm.errors import DataError
from recbole_decm.io.csv_text import csv_text
from recbole_decm.io.npy import missing_rows
from recbole_decm.media import cards as cards_of
from recbole_decm.media.cards import Card
from recbole_decm.media.extract import Extracted, extract_files
from recbole_decm.media.extractor import Extractor
from recbole_decm.media.extractors import EXTRACTORS
from recbole_decm.media.failures import Failure
from recbole_decm.media.portions import SIZE
from recbole_decm.media.work import Engine, here, on_cluster
from recbole_decm.parallel.cluster import is_installed, workers_here
from recbole_decm.parallel.processes import cores

FAILURES = "failures.csv"


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes:
        workers: processes on this machine; None for one a core, where the package for it is installed.
        scheduler: of a Dask cluster, whose workers read instead.
        device: where networks compute.
        strict: whether the first file that cannot be read is an error.
    """

    workers: int | None = None
    scheduler: str | None = None
    device: str = "cpu"
    strict: bool = False

    @contextmanager
    def engine(self, extractors: Mapping[str, Extractor], files: int) -> Iterator[Engine]:
        """What reads, for so many files."""
        cards = {field: extractor.card for field, extractor in extractors.items()}
        workers = self.workers or (cores() if is_installed() else 1)
        workers = max(1, min(workers, files // SIZE))  # a whole portion for each
        if self.scheduler is not None:
            with on_cluster(self.scheduler, cards, self.device) as engine:
                yield engine
        elif workers > 1:
            with workers_here(workers) as address, on_cluster(address, cards, self.device) as engine:
                yield engine
        else:
            with here(extractors) as engine:
                yield engine

    def read(self, wanted: Mapping[str, Sequence[str]], extractors: Mapping[str, Extractor], folder: Path) -> Extracted:
        """The features of files, with a progress bar, but those that ``folder`` holds from a run that was stopped.

        Args:
            wanted: absolute path -> the fields that the file is read for.
        """
        from tqdm import tqdm

        cards = {field: extractor.card for field, extractor in extractors.items()}
        failed = 0
        with (
            self.engine(extractors, len(wanted)) as engine,
            tqdm(total=len(wanted), unit="file", desc="Extract", file=sys.stderr, disable=None) as bar,
        ):

            def on_files(files: int, bad: int, now: bool) -> None:
                nonlocal failed
                failed += bad
                if not now and not bar.disable:
                    bar.initial += files  # what was there does not count for the rate
                bar.set_postfix(failed=failed, refresh=False)
                bar.update(files)

            try:
                return extract_files(wanted, cards, folder, engine, strict=self.strict, on_files=on_files)
            except KeyboardInterrupt as stop:
                stop.args = (f"what was read is kept in {folder}; the same command goes on from there",)
                raise


def rows_of(
    files: Sequence[str] | np.ndarray, fields: Sequence[str], found: Extracted, place: str, required: bool = True
) -> dict[str, Rows]:
    """The vectors of some files, by field.

    Raises:
        DataError: ``required``, and none of the files has a field.
    """
    features = {}
    for field in fields:
        rows = Rows(found.matrices[field], np.array([found.rows[field][file] for file in files]), place)
        if required and missing_rows(rows.matrix, field, place)[rows.rows].all():
            bad = next(failure for failure in found.failures if failure.field == field and failure.source in set(files))
            raise DataError(
                f"{place}: expected at least one file with '{field}', found none of {len(files):,}; the first, "
                f"{bad.source}, is {bad.reason.value}: {bad.detail}."
            )
        features[field] = rows
    return features


def failures_text(failures: Sequence[Failure], base: Path) -> str:
    """``failures.csv``: file (as seen from ``base``), field, reason, detail."""
    rows = [(_shown(failure.source, base), failure.field, failure.reason.value, failure.detail) for failure in failures]
    return csv_text(pd.DataFrame(rows, columns=["file", "field", "reason", "detail"]))


def _shown(source: str, base: Path) -> str:
    path = Path(source)
    return str(path.relative_to(base)) if path.is_relative_to(base) else source


def told(files: int, failures: Sequence[Failure], place: Path) -> str:
    """How many files were read, how many not, and why, in a line for people."""
    bad = len({failure.source for failure in failures})
    if not bad:
        return f"{files:,} files read"
    reasons = Counter(failure.reason.value for failure in {(f.source, f.reason): f for f in failures}.values())
    why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    return f"{files:,} files; {bad:,} could not be read, or not for all fields ({why}): {place}"


def takes(extractor: str) -> str:
    """What an extractor takes: picture, sound or text; nothing for one that is not known, which opening it refuses."""
    entry = EXTRACTORS.get(extractor.partition(":")[0])
    return entry.takes if entry else ""


def cards_text(cards: Mapping[str, Card]) -> str:
    """The text of ``features.json``."""
    return json.dumps(cards_of.as_values(cards), indent=2) + "\n"
