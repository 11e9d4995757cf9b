"""How uploads spread over uploaders and genres, and how much of the data overlaps: pure functions."""

from __future__ import annotations

from typing import Any

import numpy as np

RARE = 0.01
"""A chance below which a genre is as good as never chosen."""
MANY_UPLOADS = 5


def concentration(uploader: np.ndarray, genres: np.ndarray, content: np.ndarray) -> dict[str, Any]:
    """How few uploaders have the videos, and how alike the genres of one uploader are.

    Args:
        uploader: (n,) numbers; genres: (n, K) of the chosen tracks; content: (n, K) expected from what the videos show.

    Returns:
        ``uploaders``; ``videos_each``: median and most; ``top_tenth``: share of the videos that the tenth of the
        uploaders with the most has; ``same_genre``: chance that two videos have one genre, of ``one_uploader``, of
        ``any_two``, and of one uploader by ``content`` alone (None where nobody has two videos).
    """
    counts = np.sort(np.bincount(uploader))[::-1]
    counts = counts[counts > 0]
    shares = genres.mean(axis=0)
    return {
        "uploaders": len(counts),
        "videos_each": {"median": float(np.median(counts)), "most": int(counts[0])},
        "top_tenth": float(counts[: max(1, len(counts) // 10)].sum() / counts.sum()),
        "same_genre": {
            "one_uploader": _pairs(uploader, genres),
            "content": _pairs(uploader, content),
            "any_two": float(np.square(shares).sum()),
        },
    }


def _pairs(uploader: np.ndarray, genres: np.ndarray) -> float | None:
    """Mean inner product of the genres of two different rows of one uploader."""
    size = int(uploader.max()) + 1
    sums = np.stack([np.bincount(uploader, column, size) for column in genres.T], axis=1)
    own = np.bincount(uploader, np.square(genres).sum(axis=1), size)
    counts = np.bincount(uploader, minlength=size)
    pairs = float((counts * (counts - 1)).sum())
    return float((np.square(sums).sum(axis=1) - own).sum() / pairs) if pairs else None


def never_chosen(uploader: np.ndarray, genres: np.ndarray, content: np.ndarray) -> list[dict[str, Any]]:
    """For each genre the share of the uploaders with at least :data:`MANY_UPLOADS` videos that never chose it.

    Args:
        content: (n, K) the chance that the chosen track is of a genre, among others perhaps, by what the video shows.

    Returns:
        K entries: ``observed``, and ``content``: the share that is expected from what the videos show alone; None
        where no uploader has as many.
    """
    size = int(uploader.max()) + 1
    many = np.bincount(uploader, minlength=size) >= MANY_UPLOADS
    if not many.any():
        return [{"observed": None, "content": None} for _ in genres.T]
    found = []
    for column, chance in zip(genres.T, content.T, strict=True):
        never = np.bincount(uploader, column, size) == 0
        expected = np.exp(np.bincount(uploader, np.log1p(-np.minimum(chance, 1 - 1e-9)), size))
        found.append({"observed": float(never[many].mean()), "content": float(expected[many].mean())})
    return found


def overlap(content: np.ndarray, chances: np.ndarray, kind: np.ndarray) -> dict[str, Any]:
    """How far weights carry from the observed choices to those without habit.

    Args:
        content: (n, T) chances of each kind without habit, q; chances: (n, T) with it, P; kind: (n,) chosen.

    Returns:
        ``rare``: for each kind the share of the rows where P is below :data:`RARE` while q is above;
        ``effective_share``: of the rows, of weights q / P; ``overlap_weighted``: the same with the overlap factor.
    """
    rows = np.arange(len(kind))
    ratio = content / np.maximum(chances, 1e-12)
    weight = ratio[rows, kind]
    factor = 1 / (content * ratio).sum(axis=1)

    def share(weights: np.ndarray) -> float:
        return float(weights.sum() ** 2 / np.square(weights).sum() / len(weights))

    return {
        "rare": ((chances < RARE) & (content >= RARE)).mean(axis=0).tolist(),
        "effective_share": share(weight),
        "overlap_weighted": share(weight * factor),
    }
