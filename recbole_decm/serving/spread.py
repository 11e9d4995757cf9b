"""Recommendations for many videos by the workers of a Dask cluster, in the order of the videos."""

from __future__ import annotations

import socket
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_decm.errors import ConfigError
from recbole_decm.parallel.cluster import Cluster
from recbole_decm.serving.entry import open_with_videos
from recbole_decm.serving.recommender import Recommender
from recbole_decm.serving.videos import VideoChoice, Videos

PORTION = 16
"""Blocks of videos that a worker ranks at a time."""


@dataclass(frozen=True)
class Asked:
    """What to recommend, as a worker can open it itself: all machines see the files under the same paths.

    Attributes:
        path: of the checkpoint or artefact; arguments: further values for a checkpoint.
        k, block: tracks of a list; videos that are ranked at a time.
        exclude, where: as of :meth:`Lists.allowed`.
    """

    path: Path
    choice: VideoChoice
    arguments: tuple[str, ...] = ()
    k: int = 10
    block: int = 1024
    exclude: tuple[str, ...] = ()
    where: str | None = None


class Opened:
    """A recommender and its videos, ready to rank any rows."""

    def __init__(self, asked: Asked):
        self.asked, self._kept = asked, ExitStack()
        self.lists, self.videos = open_with_videos(asked.path, asked.choice, asked.arguments)
        if asked.choice.prior is not None:
            if not isinstance(self.lists, Recommender):
                raise ConfigError("--prior: expected a model that ranks under priors of the genres, found another.")
            self._kept.enter_context(self.lists.ranking_under(asked.choice.prior))
        self.allowed = self.lists.allowed(asked.exclude, asked.where)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[pd.DataFrame]:
        """The recommendations of the videos ``start:stop``, a block at a time."""
        part = _Part(self.videos, start, len(self.videos) if stop is None else stop)
        return self.lists.frames(part, self.asked.k, self.asked.block, self.allowed)


class _Part(Videos):
    """Some consecutive videos."""

    def __init__(self, whole: Videos, start: int, stop: int):
        self._whole, self._start, self._stop, self.label = whole, start, stop, whole.label

    def __len__(self) -> int:
        return self._stop - self._start

    def take(self, places: np.ndarray) -> Any:
        return self._whole.take(places + self._start)


def spread(asked: Asked, count: int, address: str) -> Iterator[pd.DataFrame]:
    """The recommendations of ``count`` videos, as one machine would give them, from a cluster.

    Raises:
        ConfigError: no scheduler there, no worker, no ``distributed``; a worker that does not see the files.
        DecCMError: what opening or ranking raises.
    """
    run, step = uuid.uuid4().hex, asked.block * PORTION
    choice = replace(asked.choice, file=_absolute(asked.choice.file), uploaders=_absolute(asked.choice.uploaders))
    asked = replace(asked, path=asked.path.absolute(), choice=choice)
    starts = iter(range(0, count, step))
    with Cluster(address) as cluster:
        waiting: deque[Future] = deque()
        try:
            while True:
                while len(waiting) < 2 * cluster.slots() and (start := next(starts, None)) is not None:
                    waiting.append(cluster.submit(_ranked, run, asked, start, min(start + step, count)))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            cluster.cancel()
            cluster.run(_end, run)


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()


_OPEN: dict[str, Opened] = {}


def _ranked(run: str, asked: Asked, start: int, stop: int) -> list[pd.DataFrame]:
    """What a worker does."""
    for path in (asked.path, asked.choice.file, asked.choice.uploaders):
        if path is not None and not path.exists():
            raise ConfigError(
                f"{path}: expected a file that the worker on {socket.gethostname()} sees too, found none. All machines "
                "have to see the files under the same paths."
            )
    if run not in _OPEN:
        _OPEN[run] = Opened(asked)
    return list(_OPEN[run].frames(start, stop))


def _end(run: str) -> None:
    """Close what a worker keeps open for a run."""
    _OPEN.pop(run, None)
