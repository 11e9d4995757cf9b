"""From the pieces of a clip to one vector, one piece after another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class Moments:
    """Running mean and standard deviation (Welford 1962), in double precision.

    Args:
        size: of the vectors.
    """

    def __init__(self, size: int) -> None:
        self.count, self.mean, self._squares = 0, np.zeros(size), np.zeros(size)

    def add(self, vector: np.ndarray) -> None:
        """Take one more, (size,)."""
        self.count += 1
        before = vector - self.mean
        self.mean = self.mean + before / self.count
        self._squares = self._squares + before * (vector - self.mean)

    def vector(self) -> np.ndarray:
        """(2 size,): the mean, then the standard deviation, which is 0 for a single vector."""
        return np.concatenate([self.mean, np.sqrt(self._squares / max(self.count, 1))])


class Windows:
    """Cuts sound into windows of a length. A shorter last one counts if it has the least length, or is the only one.

    Args:
        length: of a window, in samples.
        least: of the last one beside others, in samples.
        take: called with each window, (length,) or shorter.
    """

    def __init__(self, length: int, least: int, take: Callable[[np.ndarray], None]) -> None:
        self.length, self.least, self.take = length, least, take
        self._waiting: list[np.ndarray] = []
        self._count, self._taken = 0, False

    def add(self, samples: np.ndarray) -> None:
        """Take samples, (n,)."""
        self._waiting.append(samples)
        self._count += len(samples)
        while self._count >= self.length:
            joined = np.concatenate(self._waiting)
            self._waiting, self._count = [joined[self.length :]], self._count - self.length
            self._taken = True
            self.take(joined[: self.length])

    def end(self) -> None:
        """What is left is the last window."""
        if self._count >= self.least or (self._count and not self._taken):
            self.take(np.concatenate(self._waiting))
