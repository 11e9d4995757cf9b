"""What recommended lists hold, genre by genre, as pure functions of the lists; no framework, no config.

Reference:
    Harald Steck. "Calibrated Recommendations." RecSys 2018, equations 2 to 6.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

SMOOTHING = 0.01
_BLOCK_CELLS = 1 << 18


def genre_kl(
    lists: np.ndarray, membership: np.ndarray, preference: np.ndarray, smoothing: float = SMOOTHING
) -> np.ndarray:
    """Calibration: KL(preference || genres of the list) in nats, mean over the lists, at every cut-off.

    The list's distribution q is mixed with the preference p before the logarithm, so that a genre that a list does
    not hold costs a finite amount: KL(p || (1 - smoothing) q + smoothing p), Steck's equation 6 with his 0.01. Music
    without a known genre is left out of q, and a list with no known genre at all out of the mean.

    Args:
        lists: (V, k) int64, rows of ``membership``, best first.
        membership: (M, K) genre distribution of each track; a row of zeros where the genre is not known. A track of
            several genres counts in parts that sum to 1.
        preference: (V, K), rows sum to 1.

    Returns:
        (k,) float64 of at least 0; 0 only where every list mirrors its preference; NaN where no list has a genre.
    """
    divergence, listed = np.empty(lists.shape), np.empty(lists.shape, dtype=bool)
    for rows, counts in _counted(lists, membership):
        known = counts.sum(axis=2, keepdims=True)
        wanted = preference[rows, None, :].astype(np.float64)
        found = (1 - smoothing) * counts / np.where(known > 0, known, 1) + smoothing * wanted
        ratio = np.divide(wanted, found, out=np.ones_like(found), where=wanted > 0)
        divergence[rows] = (wanted * np.log(ratio)).sum(axis=2)
        listed[rows] = known[..., 0] > 0
    total = np.where(listed, divergence, 0).sum(axis=0)
    return np.divide(total, listed.sum(axis=0), out=np.full(len(total), np.nan), where=listed.any(axis=0))


def _counted(lists: np.ndarray, membership: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of lists, each with the music of each genre among its first 1, 2, ..., k: (B, k, K) float64."""
    membership = membership.astype(np.float64)
    step = max(1, _BLOCK_CELLS // max(1, lists.shape[1] * membership.shape[1]))
    for start in range(0, len(lists), step):
        rows = slice(start, start + step)
        yield rows, membership[lists[rows]].cumsum(axis=1)


def genre_totals(lists: np.ndarray, membership: np.ndarray) -> np.ndarray:
    """Music of each genre in every list, as in :func:`genre_kl`: (V, k), (M, K) -> (V, K) float64."""
    totals = np.empty((len(lists), membership.shape[1]))
    for rows, counts in _counted(lists, membership):
        totals[rows] = counts[:, -1]
    return totals


def majority_genre(membership: np.ndarray) -> int:
    """The largest genre group of a catalogue, the first of those that tie: (M, K) -> its column."""
    return int(membership.sum(axis=0, dtype=np.float64).argmax())


def genre_share(lists: np.ndarray, membership: np.ndarray, genre: int) -> np.ndarray:
    """Share of the lists that belongs to one genre, mean over the lists, at every cut-off.

    Args:
        lists, membership: as in :func:`genre_kl`.
        genre: column of K.

    Returns:
        (k,) float64 between 0 and 1; music without a known genre belongs to none.
    """
    counts = membership[:, genre].astype(np.float64)[lists].cumsum(axis=1)
    return counts.mean(axis=0) / np.arange(1, lists.shape[1] + 1)


def genre_shares(membership: np.ndarray) -> np.ndarray:
    """Share of each genre among some tracks, (n, K) -> (K,); tracks without a known genre are left out."""
    total = membership.sum(axis=0, dtype=np.float64)
    return total / max(total.sum(), np.finfo(np.float64).tiny)
