"""Uploader priors P(k): distributions over the genre groups, the confounder of DecCM."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from recbole_decm.errors import DataError

SUM_TOLERANCE = 1e-3


def are_probabilities(rows: np.ndarray) -> np.ndarray:
    """Whether each row is non-negative and sums to 1: (V, K) -> (V,) bool."""
    return (rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1, dtype=np.float64) - 1) <= SUM_TOLERANCE)


def check_probabilities(rows: np.ndarray, place: Callable[[int], str], what: str = "") -> None:
    """Refuse the first row of (V, K) that is negative or does not sum to 1.

    Args:
        place: names the file and the line of a row.
        what: the field, for the message.

    Raises:
        DataError: see above.
    """
    bad = np.flatnonzero(~are_probabilities(rows))
    if bad.size:
        row = int(bad[0])
        lowest, total = rows[row].min(), rows[row].sum(dtype=np.float64)
        found = f"{lowest:.6g}" if lowest < 0 else f"a sum of {total:.6g}"
        raise DataError(f"{place(row)}: expected probabilities that sum to 1{what and f' in {what!r}'}, found {found}.")


def genre_vocabulary(genres: Iterable[Sequence[str]]) -> list[str]:
    """The genre groups in natural order (g2 before g10); entry k is column k of the priors."""

    def natural(token: str) -> list:
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", token) if part]

    return sorted({genre for row in genres for genre in row}, key=natural)


def known_genres(found: Sequence[str], trained: Sequence[str], place: object) -> list[str]:
    """The genre groups in the order of a trained model's columns, or as found where there is none.

    Args:
        found: of a data set, natural order.
        trained: names of the model's columns; empty for a new model, or one whose checkpoint does not say.
        place: the file, for the message.

    Raises:
        DataError: a genre that the model was not trained with.
    """
    unknown = [genre for genre in found if genre not in trained] if trained else []
    if unknown:
        raise DataError(
            f"{place}: expected the genres that the checkpoint was trained with ({', '.join(trained)}), found "
            f"'{unknown[0]}'. What it learned of a genre is found by its name: use that name, or train anew."
        )
    return list(trained or found)


def genre_membership(genres: Sequence[Sequence[str]], vocabulary: Sequence[str]) -> np.ndarray:
    """(M, K) float32: the genres of each track as a distribution; a track without genre is a row of zeros."""
    column = {genre: k for k, genre in enumerate(vocabulary)}
    rows = np.repeat(np.arange(len(genres)), [len(row) for row in genres])
    columns = np.array([column[genre] for row in genres for genre in row], dtype=np.int64)
    membership = np.zeros((len(genres), len(vocabulary)), dtype=np.float32)
    membership[rows, columns] = 1
    return membership / np.maximum(membership.sum(axis=1, keepdims=True), 1)


def priors_from_training(
    uploader_of_video: np.ndarray,
    train_videos: np.ndarray,
    train_music: np.ndarray,
    membership: np.ndarray,
    smoothing: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Priors from the training interactions alone: the smoothed mean genre of the music an uploader chose.

    A training video's own choice is what a model learns to foresee: with it, a prior tells more of it than a prior
    can tell of a new video, and the model trusts priors too much. The second table leaves it out.

    Args:
        uploader_of_video: (V,) int64 uploader of every video.
        train_videos, train_music: (n,) int64 rows of the training interactions.
        membership: (M, K) genre distribution of each track.
        smoothing: pseudo-count each genre starts with (Laplace); > 0, so that an unseen uploader is uniform.

    Returns:
        (V, K) float32 of all training pairs, and (V, K) without those of the video itself; rows sum to 1.
    """
    counts = np.full((int(uploader_of_video.max()) + 1, membership.shape[1]), smoothing, dtype=np.float64)
    np.add.at(counts, uploader_of_video[train_videos], membership[train_music])
    own = np.zeros((len(uploader_of_video), membership.shape[1]))
    np.add.at(own, train_videos, membership[train_music])
    known = counts[uploader_of_video]
    both = (rows / rows.sum(axis=1, keepdims=True) for rows in (known, np.maximum(known - own, smoothing)))
    full, others = (rows.astype(np.float32) for rows in both)
    return full, others


def number_uploaders(uploaders: Sequence[str] | np.ndarray) -> np.ndarray:
    """(V,) int64 numbers from 0 on; each empty name is an unknown uploader, and so one of its own."""
    cells = np.asarray(uploaders, dtype=object)
    numbers, names = pd.factorize(cells)
    empty = cells == ""
    numbers[empty] = len(names) + np.arange(empty.sum())
    return numbers
