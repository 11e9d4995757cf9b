"""Lists of tracks for videos as tables, whatever ranks them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from logging import getLogger
from typing import Any

import numpy as np
import pandas as pd

from recbole_decm.errors import ConfigError
from recbole_decm.serving.index import IndexOptions
from recbole_decm.serving.tracks import ReadColumns, allowed_tracks
from recbole_decm.serving.videos import VIDEO_BLOCK, Videos


class Lists:
    """What ranks a catalogue for videos, and makes tables of it.

    Args:
        tokens: (M,) str, the ids of the tracks, in the order of the rows that :meth:`top` gives.
        read_columns: reads the tracks' metadata, for filters.

    Attributes:
        recall: recall@k of an index against exact search; None without one.
    """

    recall: float | None = None

    def __init__(self, tokens: np.ndarray, read_columns: ReadColumns):
        self.tokens, self._read_columns = tokens, read_columns

    def top(self, videos: Any, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Scores and catalogue rows of a block of videos, (B, k) each, best first; -inf and -1 where there are fewer.

        Args:
            allowed: (M,) bool, the tracks to choose from, as of :meth:`allowed`; None for all.
        """
        raise NotImplementedError

    def use_index(self, options: IndexOptions, *how: Any) -> None:
        """Search with an index from now on, where the tracks have vectors (:meth:`Recommender.use_index`)."""
        raise ConfigError(f"--index: expected exact, since this model has no vectors of tracks, found {options.kind}.")

    def allowed(self, exclude: Iterable[str] = (), where: str | None = None) -> np.ndarray | None:
        """The tracks that lists may hold: :func:`~recbole_decm.serving.tracks.allowed_tracks` of this catalogue."""
        return allowed_tracks(self.tokens, self._read_columns, exclude, where)

    def check_length(self, k: Any, what: str = "k") -> None:
        """Raise ConfigError unless ``k`` is a whole number from 1 to the number of tracks."""
        whole = isinstance(k, (int, np.integer)) and not isinstance(k, bool)
        if not whole or not 1 <= k <= len(self.tokens):
            raise ConfigError(f"{what}: expected a whole number from 1 to {len(self.tokens)}, the tracks, found {k!r}.")

    def frames(
        self, videos: Videos, k: int, block: int = VIDEO_BLOCK, allowed: np.ndarray | None = None
    ) -> Iterator[pd.DataFrame]:
        """The recommendations of all videos, ``block`` at a time.

        Args:
            allowed: as of :meth:`top`. Where fewer than k tracks are allowed, the lists are shorter.

        Yields:
            Tables of ``row`` or ``video_id``, ``rank`` (from 1), ``music_id`` and ``score``.
        """
        alike = 0
        for part in videos.blocks(block):
            scores, rows = self.top(part, k, allowed)
            alike += int(((scores[:, 0] == scores[:, -1]) & (rows[:, -1] >= 0)).sum()) if k > 1 else 0
            table = {
                videos.label: np.repeat(part.labels, k),
                "rank": np.tile(np.arange(1, k + 1), len(part.labels)),
                "music_id": self.tokens[rows.reshape(-1)],
                "score": scores.reshape(-1),
            }
            yield pd.DataFrame(table)[rows.reshape(-1) >= 0]
        if alike:
            getLogger().warning(
                f"{alike} of {len(videos)} videos score all {k} tracks of their lists the same: what they get is the "
                "order of the catalogue. Has the model learned anything?"
            )
