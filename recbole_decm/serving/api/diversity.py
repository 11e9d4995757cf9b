"""Lists that are less alike inside: maximal marginal relevance, and at most so many tracks with one value.

Reference:
    Jaime Carbonell, Jade Goldstein. "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
    Summaries." SIGIR 1998. Their lambda is 1 - ``diversity`` here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

POOL, LEAST_POOL, MOST_POOL = 10, 100, 2_000
"""Candidates for each place of a list; at least and at most so many, but for longer lists."""


def pool_size(k: int) -> int:
    """Candidates that a list of ``k`` is chosen from."""
    return max(LEAST_POOL, min(POOL * k, MOST_POOL), k)


def choose(
    scores: np.ndarray,
    vectors: np.ndarray | None,
    k: int,
    diversity: float = 0.0,
    most: Mapping[str, int] | None = None,
    metadata: Sequence[Mapping[str, Any]] = (),
) -> list[int]:
    """Places of the k candidates of a list, in its order.

    The next track is the one of largest (1 - d) r_i - d max_j cos(z_i, z_j) over the tracks j chosen before it, where
    r_i is the score between 0 and 1 (the least and the largest of the candidates') and z the tracks' vectors. Before
    the first one is chosen the second part is 0, so the first track is the best one. Of equal tracks the one that
    scores higher wins.

    Args:
        scores: (n,), falling.
        vectors: (n, E); None where ``diversity`` is 0.
        k: length of the list.
        diversity: d, from 0 (the ranking itself) to 1.
        most: column -> most tracks of the list that may share a value of it. A missing value shares nothing.
        metadata: of the n candidates, for ``most``.

    Returns:
        fewer than k places where ``most`` leaves no more of the candidates.

    Examples:
        >>> tracks = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> choose(np.array([3.0, 2.9, 1.0]), tracks, 2), choose(np.array([3.0, 2.9, 1.0]), tracks, 2, diversity=0.6)
        ([0, 1], [0, 2])
    """
    caps = _Caps(most or {}, metadata)
    if not diversity or vectors is None:
        return _in_order(len(scores), k, caps)
    spread = float(scores[0] - scores[-1]) if len(scores) else 0.0
    relevance = (scores - scores[-1]) / spread if spread > 0 else np.zeros(len(scores))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    nearest, left, found = np.full(len(scores), -np.inf), np.ones(len(scores), dtype=bool), list[int]()
    while len(found) < k and left.any():
        alike = nearest if found else np.zeros(len(scores))
        value = np.where(left, (1 - diversity) * relevance - diversity * alike, -np.inf)
        place = int(value.argmax())
        left[place] = False
        if caps.takes(place):
            found.append(place)
            nearest = np.maximum(nearest, unit @ unit[place])
    return found


def _in_order(count: int, k: int, caps: _Caps) -> list[int]:
    found: list[int] = []
    for place in range(count):
        if len(found) == k:
            break
        if caps.takes(place):
            found.append(place)
    return found


class _Caps:
    """How many tracks of each value are in the list."""

    def __init__(self, most: Mapping[str, int], metadata: Sequence[Mapping[str, Any]]) -> None:
        self.most, self.metadata = most, metadata
        self.counts: dict[str, Counter] = {column: Counter() for column in most}

    def takes(self, place: int) -> bool:
        """Count a candidate, unless one of its values is there often enough."""
        values = {column: values_of(self.metadata[place].get(column)) for column in self.most}
        if any(self.counts[column][value] >= self.most[column] for column in self.most for value in values[column]):
            return False
        for column, found in values.items():
            self.counts[column].update(found)
        return True


def values_of(cell: Any) -> list[str]:
    """The values of a cell of the metadata, as texts; none where it is missing.

    Examples:
        >>> values_of(["a", "b"]), values_of(None), values_of(2)
        (['a', 'b'], [], ['2'])
    """
    cells = list(cell) if isinstance(cell, (list, tuple, np.ndarray)) else [cell]
    return [str(value) for value in cells if value is not None and value == value and value != ""]
