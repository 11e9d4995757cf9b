"""A folder of new videos' features, as ``extract --videos`` writes it: a ``FIELD.npy`` each, ``ids.csv``, the cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_decm.errors import DataError
from recbole_decm.io.csv_text import label_of
from recbole_decm.media.cards import FILE, Card, read_cards, require_equal
from recbole_decm.serving.recommender import Recommender
from recbole_decm.serving.videos import FileVideos, VideoChoice, open_videos

IDS = "ids.csv"


def ids_of(folder: Path) -> np.ndarray | None:
    """(N,) str, the ``video_id`` of each row of the folder's matrices; None where it has no ``ids.csv``.

    Raises:
        DataError: no such table, or without that column.
    """
    path = folder / IDS
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a table, but {' '.join(str(error).split())[:200]}.") from error
    if "video_id" not in table:
        raise DataError(f"{path}: expected a column 'video_id', found {', '.join(map(str, table.columns))}.")
    return np.array([label_of(cell) for cell in table["video_id"]], dtype=object)


def named(videos: FileVideos, ids: np.ndarray | None, folder: Path) -> FileVideos:
    """The videos of a folder under their ids.

    Raises:
        DataError: another number of ids.
    """
    if ids is None:
        return videos
    if len(ids) != len(videos):
        raise DataError(f"{folder / IDS}: expected {len(videos)} rows, as the features have, found {len(ids)}.")
    return replace(videos, ids=ids, label="video_id")


def require_made_for(cards: Mapping[str, Card], folder: Path, fields: Iterable[str]) -> None:
    """Refuse features that were not made as those of a model's videos, where both say how.

    Args:
        cards: of the model, by field.
        fields: of the model's videos.

    Raises:
        DataError: another extractor, other weights or another sampling.
    """
    needed = {field: card for field, card in cards.items() if field in fields}
    if needed and (folder / FILE).is_file():
        require_equal(needed, read_cards(folder / FILE), str(folder / FILE))


def open_folder_or_file(recommender: Recommender, cards: Mapping[str, Card], choice: VideoChoice) -> FileVideos:
    """The videos of ``choice.file`` for a recommender.

    Args:
        cards: what made the features that the model knows, by field.

    Raises:
        ConfigError: preferences that the recommender does not rank under.
        DataError: features that do not fit.
    """
    assert choice.file is not None
    ids = None
    if choice.uploaders is not None and choice.prior != "uploader":
        recommender.check_preferences("--uploaders")
    if choice.file.is_dir():
        require_made_for(cards, choice.file, recommender.fields)
        ids = ids_of(choice.file)
    groups = recommender.genres or recommender.groups
    return named(open_videos(choice.file, recommender.fields, choice.uploaders, groups, ids), ids, choice.file)
