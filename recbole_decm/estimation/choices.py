"""Choices as numbers: what describes videos and tracks, and how an uploader's preference reaches a track."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

LOG_FLOOR = 0.01
"""Added to a preference before its logarithm, so that a genre that an uploader never takes costs a finite amount."""
WHOLE_CATALOGUE = 2_000
"""Tracks up to which a normaliser is summed over the whole catalogue; over a uniform sample of as many beyond."""


@dataclass(frozen=True)
class Tracks:
    """The catalogue, as a choice model sees it.

    Attributes:
        described: (M, Y) float32.
        kind: (M,) int64, tracks of the same genres are of one kind; membership: (T, K) the genres of each kind.
        sample: (S,) int64 tracks over which normalisers are summed, all M or a uniform sample.
    """

    described: np.ndarray
    kind: np.ndarray
    membership: np.ndarray
    sample: np.ndarray

    @classmethod
    def of(cls, components: np.ndarray, membership: np.ndarray, seed: int = 0, whole: int = WHOLE_CATALOGUE) -> Tracks:
        """From (M, C) components of their features and (M, K) genres, each row a distribution or zeros."""
        kinds, kind = np.unique(membership, axis=0, return_inverse=True)
        count = len(membership)
        sample = np.arange(count)
        if count > whole:
            sample = np.sort(np.random.default_rng(seed).choice(count, whole, replace=False))
        described = np.concatenate([components, membership], axis=1).astype(np.float32)
        return cls(described, kind.reshape(-1).astype(np.int64), kinds.astype(np.float64), sample)

    @property
    def is_whole(self) -> bool:
        """Whether normalisers are summed over all tracks."""
        return len(self.sample) == len(self.kind)

    def drawn(self, number: int) -> Tracks:
        """The same with a sample of its own for each number; all tracks where there are no more."""
        if self.is_whole:
            return self
        rng = np.random.default_rng([number, len(self.kind)])
        sample = rng.choice(len(self.kind), len(self.sample), replace=False, shuffle=False)
        return replace(self, sample=np.sort(sample))

    @property
    def columns(self) -> np.ndarray:
        """(M, Y + T) float32: the description, and which kind a track is."""
        return np.concatenate([self.described, np.eye(len(self.membership), dtype=np.float32)[self.kind]], axis=1)


@dataclass(frozen=True)
class Choices:
    """Rows: a video, the uploader's preference, and the track chosen.

    Attributes:
        described: (n, F) float32, a column of ones first.
        taste: (n, T) float32, log-preference for each kind, of mean 0 in every row.
        chosen: (n,) int64 tracks.
    """

    described: np.ndarray
    taste: np.ndarray
    chosen: np.ndarray

    @classmethod
    def of(cls, components: np.ndarray, preference: np.ndarray, chosen: np.ndarray, tracks: Tracks) -> Choices:
        """From (n, C) components of the videos' features, (n, K) preferences and (n,) tracks."""
        ones = np.ones((len(components), 1), dtype=np.float32)
        return cls(np.concatenate([ones, components], axis=1), log_preference(preference, tracks.membership), chosen)

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, rows: np.ndarray) -> Choices:
        """Some of the rows."""
        return replace(self, described=self.described[rows], taste=self.taste[rows], chosen=self.chosen[rows])


def log_preference(preference: np.ndarray, membership: np.ndarray) -> np.ndarray:
    """Logarithm of each row's preference for each kind of track, of mean 0 in every row.

    A track of several genres counts with the mean of their preferences, one of none with that of all genres.

    Args:
        preference: (n, K), rows sum to 1; membership: (T, K).

    Returns:
        (n, T) float32.
    """
    known = membership.sum(axis=1, keepdims=True) > 0
    weights = np.where(known, membership, 1 / membership.shape[1])
    values = np.log(preference.astype(np.float64) @ weights.T + LOG_FLOOR)
    return (values - values.mean(axis=1, keepdims=True)).astype(np.float32)
