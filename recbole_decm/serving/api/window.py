"""What was served of late, and the measures of an audit on it: whether bias comes back.

The measures are those of :mod:`recbole_decm.metrics`, on the lists of a sliding window.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic_core import from_json

from recbole_decm.metrics import genre_kl, genre_share
from recbole_decm.serving.api.diversity import values_of

MOST_LISTS, MOST_BYTES = 10_000, 64 << 20
"""Lists of a window, and bytes of their ids and metadata."""
_OVERHEAD = 90  # bytes of two small objects of Python


class Served(NamedTuple):
    """A list that was served.

    Attributes:
        tracks: ids, best first.
        metadata: of each track, as JSON.
        habit: (K,) the uploader's preferences, where they are known.
    """

    tracks: Sequence[str]
    metadata: Sequence[bytes]
    habit: np.ndarray | None


@dataclass(frozen=True)
class Measures:
    """Of the lists of a window; NaN where there is nothing to measure.

    Attributes:
        lists: how many.
        majority_share: of the lists' tracks that belong to the watched genre, in parts for tracks of several.
        calibration: KL(habit || genres of the list) in nats, of the lists whose uploader is known.
        calibrated: how many lists that is.
        coverage: share of the catalogue's tracks that are in a list.
        popularity: mean of the tracks in the lists.
    """

    lists: int
    majority_share: float
    calibration: float
    calibrated: int
    coverage: float
    popularity: float


class Window:
    """The lists of the last seconds, the latest of them: at most :data:`MOST_LISTS` and :data:`MOST_BYTES`.

    Args:
        seconds: how long a list counts.
        popularity: column of the metadata that says how popular a track is.
        clock: seconds.
    """

    def __init__(
        self, seconds: float, popularity: str = "popularity", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds, self.popularity, self._clock = seconds, popularity, clock
        self._lists: deque[tuple[float, int, Served]] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, served: Served) -> None:
        """Take a list that is being served."""
        size = sum(map(len, served.tracks)) + sum(map(len, served.metadata)) + _OVERHEAD * len(served.tracks)
        with self._lock:
            self._lists.append((self._clock(), size, served))
            self._bytes += size
            while len(self._lists) > MOST_LISTS or self._bytes > MOST_BYTES:
                self._drop()

    def _drop(self) -> None:
        self._bytes -= self._lists.popleft()[1]

    def measures(self, genres: Sequence[str], majority: str | None, size: int) -> Measures:
        """Measure what is in the window.

        Args:
            genres: names of the K groups.
            majority: the watched one.
            size: tracks of the catalogue.
        """
        since = self._clock() - self.seconds
        with self._lock:
            while self._lists and self._lists[0][0] < since:
                self._drop()
            lists = [served for _, _, served in self._lists if served.tracks]
        return _measured(lists, genres, majority, size, self.popularity)


def _measured(
    lists: Sequence[Served], genres: Sequence[str], majority: str | None, size: int, popularity: str
) -> Measures:
    if not lists:
        return Measures(0, np.nan, np.nan, 0, np.nan, np.nan)
    codes, names = pd.factorize(np.array([track for served in lists for track in served.tracks], dtype=object))
    _, first = np.unique(codes, return_index=True)
    texts = [text for served in lists for text in served.metadata]
    records = [from_json(texts[place]) for place in first.tolist()]
    membership = _membership(records, genres)
    popular = np.array([_number(record.get(popularity)) for record in records])[codes]
    lengths = np.array([len(served.tracks) for served in lists])
    starts = np.cumsum(lengths) - lengths
    shares, divergences, calibrated = 0.0, 0.0, 0
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        table = codes[starts[rows, None] + np.arange(length)]
        if majority is not None and majority in genres:
            shares += float(genre_share(table, membership, list(genres).index(majority))[-1]) * len(rows)
        known = [place for place, row in enumerate(rows.tolist()) if _of(lists[row], len(genres))]
        habits = [habit for place in known if (habit := lists[rows[place]].habit) is not None]
        if known and np.isfinite(divergence := float(genre_kl(table[known], membership, np.stack(habits))[-1])):
            divergences, calibrated = divergences + divergence * len(known), calibrated + len(known)
    return Measures(
        lists=len(lists),
        majority_share=shares / len(lists) if majority in genres else np.nan,
        calibration=divergences / calibrated if calibrated else np.nan,
        calibrated=calibrated,
        coverage=len(names) / size if size else np.nan,
        popularity=float(np.nanmean(popular)) if np.isfinite(popular).any() else np.nan,
    )


def _of(served: Served, groups: int) -> bool:
    """Whether the uploader is known, under an artefact of as many genres."""
    return served.habit is not None and len(served.habit) == groups


def _membership(records: Sequence[Mapping[str, Any]], genres: Sequence[str]) -> np.ndarray:
    """(U, K) shares of the genres in each track, zeros where none is known."""
    place = {name: at for at, name in enumerate(genres)}
    found = np.zeros((len(records), len(genres)))
    for row, record in enumerate(records):
        known = [place[name] for name in values_of(record.get("genre")) if name in place]
        for group in known:
            found[row, group] += 1 / len(known)
    return found


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")
