"""What recommended lists hold, genre by genre, as pure functions of the lists; no framework, no config.

Reference:
    Harald Steck. "Calibrated Recommendations." RecSys 2018, equations 2 to 6.
"""

from __future__ import annotations

import numpy as np

SMOOTHING = 0.01


def genre_counts(lists: np.ndarray, membership: np.ndarray) -> np.ndarray:
    """Music of each genre among the first 1, 2, ..., k of every list.

    Args:
        lists: (V, k) int64, rows of ``membership``, best first.
        membership: (M, K) genre distribution of each track; a row of zeros where the genre is not known.

    Returns:
        (V, k, K) float64; a track of several genres counts in parts that sum to 1.
    """
    return membership.astype(np.float64)[lists].cumsum(axis=1)


def genre_kl(counts: np.ndarray, preference: np.ndarray, smoothing: float = SMOOTHING) -> np.ndarray:
    """Calibration: KL(preference || genres of the list) in nats, mean over the lists, at every cut-off.

    The list's distribution q is mixed with the preference p before the logarithm, so that a genre that a list does
    not hold costs a finite amount: KL(p || (1 - smoothing) q + smoothing p), Steck's equation 6 with his 0.01. Music
    without a known genre is left out of q, and a list with no known genre at all out of the mean.

    Args:
        counts: (V, k, K) from :func:`genre_counts`.
        preference: (V, K), rows sum to 1.

    Returns:
        (k,) float64 of at least 0; 0 only where every list mirrors its preference; NaN where no list has a genre.
    """
    known = counts.sum(axis=2, keepdims=True)
    wanted = preference[:, None, :].astype(np.float64)
    found = (1 - smoothing) * counts / np.where(known > 0, known, 1) + smoothing * wanted
    ratio = np.divide(wanted, found, out=np.ones_like(found), where=wanted > 0)
    divergence = (wanted * np.log(ratio)).sum(axis=2)
    listed = known[..., 0] > 0
    total = np.where(listed, divergence, 0).sum(axis=0)
    return np.divide(total, listed.sum(axis=0), out=np.full(len(total), np.nan), where=listed.any(axis=0))


def majority_genre(membership: np.ndarray) -> int:
    """The largest genre group of a catalogue, the first of those that tie: (M, K) -> its column."""
    return int(membership.sum(axis=0, dtype=np.float64).argmax())


def genre_share(counts: np.ndarray, genre: int) -> np.ndarray:
    """Share of the lists that belongs to one genre, mean over the lists, at every cut-off.

    Args:
        counts: (V, k, K) from :func:`genre_counts`.
        genre: column of K.

    Returns:
        (k,) float64 between 0 and 1; music without a known genre belongs to none.
    """
    return counts[..., genre].mean(axis=0) / np.arange(1, counts.shape[1] + 1)


def genre_shares(membership: np.ndarray) -> np.ndarray:
    """Share of each genre among some tracks, (n, K) -> (K,); tracks without a known genre are left out."""
    total = membership.sum(axis=0, dtype=np.float64)
    return total / max(total.sum(), np.finfo(np.float64).tiny)
