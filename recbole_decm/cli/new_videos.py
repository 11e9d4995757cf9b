"""The features of new videos, made as those of a model were, for ``extract --videos``, ``recommend`` and ``embed``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import pandas as pd

from recbole_decm.cli.extracting import FAILURES, Reading, failures_text, takes, told
from recbole_decm.cli.text_fields import empty_texts, read_texts, rows_of_side
from recbole_decm.data.importers.collection import write_features
from recbole_decm.data.importers.files import FILE, column_of_texts, read_files
from recbole_decm.errors import ConfigError
from recbole_decm.io.csv_text import csv_text
from recbole_decm.io.npy import missing_rows
from recbole_decm.io.write import replacing_folders, require_free, write_text
from recbole_decm.media import cards as cards_of
from recbole_decm.media.cards import Card
from recbole_decm.media.extract import work_folder
from recbole_decm.media.extractors import reopen
from recbole_decm.serving.artefact import manifest as manifest_of


def extract_videos(videos: Path, cards: Mapping[str, Card], out: Path, overwrite: bool, reading: Reading) -> list[str]:
    """Write the features of new videos as those of a model were made: ``FIELD.npy`` and ``ids.csv`` with a row for each
    video that has at least one field, ``failures.csv`` and ``features.json``.

    Args:
        videos: a folder, or a table of :func:`~recbole_decm.data.importers.files.read_files`.
        cards: of the model, by field.

    Returns:
        What was done, in lines for people.

    Raises:
        ConfigError: another extractor opens than the cards', or ``out`` exists.
        DataError: no videos, or none that can be read.
    """
    require_free([out], overwrite)
    table = read_files(videos)
    extractors = {field: reopen(card, reading.device) for field, card in cards.items()}
    of_files = {field: extractor for field, extractor in extractors.items() if not extractor.column}
    texts = {field: _texts(table, each.column, videos) for field, each in extractors.items() if each.column}
    with work_folder(out.parent / f".extract-{out.name}") as work:
        files = table[FILE].tolist()
        found = reading.read(dict.fromkeys(files, tuple(of_files)) if of_files else {}, of_files, work)
        said = read_texts([texts], extractors, reading, work)
        features = rows_of_side(files, found, texts, said, tuple(cards), str(videos), required=False)
        failures = [*found.failures, *empty_texts(files, texts)]
        missing = [missing_rows(rows.matrix, field, rows.place)[rows.rows] for field, rows in features.items()]
        there = ~np.logical_and.reduce(missing)
        base = Path(videos if videos.is_dir() else videos.parent).absolute()
        with replacing_folders([out], overwrite) as (folder,):
            folder.mkdir()
            for field, rows in features.items():
                write_features(folder / f"{field}.npy", rows._replace(rows=rows.rows[there]))
            write_text(folder / "ids.csv", csv_text(table.drop(columns=FILE)[there]))
            write_text(folder / FAILURES, failures_text(failures, base))
            cards_of.write_cards(folder / cards_of.FILE, cards)
    return [told(len(table), failures, out / FAILURES), f"{there.sum():,} videos with {', '.join(cards)}"]


@contextmanager
def clips_as_features(videos: Path, checkpoint: Path) -> Iterator[Path]:
    """A folder of the features of clips, as a checkpoint's were made; what cannot be read is said on standard error."""
    with tempfile.TemporaryDirectory(prefix="recbole-decm-") as scratch:
        folder = Path(scratch, "videos")
        extract_videos(videos, video_cards(checkpoint), folder, False, Reading(workers=1))
        for row in pd.read_csv(folder / FAILURES, dtype=str, keep_default_na=False).itertuples():
            click.echo(f"warning: {row.file} is left out: {row.field}: {row.reason}: {row.detail}", err=True)
        yield folder


def video_cards(path: Path) -> dict[str, Card]:
    """What made the features of the videos of a model or of a data set.

    Args:
        path: a checkpoint, an artefact, the folder of a data set, or a ``features.json``.

    Raises:
        ConfigError: it does not say how its features were made.
    """
    if (path / manifest_of.FILE).is_file():
        values = manifest_of.read_manifest(path).features
        if not values:
            raise ConfigError(f"{path}: expected an artefact that says how its features were made, found none of that.")
        found = cards_of.from_values(values, path / manifest_of.FILE)
    elif path.is_dir():
        found = cards_of.read_cards(path / cards_of.FILE)
    elif path.suffix == ".json":
        found = cards_of.read_cards(path)
    else:
        from recbole_decm.training.checkpoint import read_checkpoint

        values = read_checkpoint(path).get("features")
        if not values:
            raise ConfigError(
                f"{path}: expected a checkpoint that says how its features were made, found none of that. It was "
                "trained on features without a features.json. Give features as .npy, or the folder of a data set."
            )
        found = cards_of.from_values(values, path)
    of_videos = {
        field: card for field, card in found.items() if takes(card.extractor) == "picture" or card.side == "video"
    }
    if not of_videos:
        raise ConfigError(f"{path}: expected a field of the videos, found {', '.join(found)}.")
    return of_videos


def _texts(table: pd.DataFrame, column: str, videos: Path) -> np.ndarray:
    """The texts of new videos; files alone have none."""
    return np.full(len(table), "", dtype=object) if videos.is_dir() else column_of_texts(table, column, str(videos))
