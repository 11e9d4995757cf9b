"""Reading many files: in this process, or by the workers of a Dask cluster; with the same bits, whoever reads what."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from threadpoolctl import threadpool_limits

from recbole_decm.errors import ConfigError
from recbole_decm.media.cards import Card, as_values, from_values
from recbole_decm.media.clips import Shard, extract_clips, extract_texts
from recbole_decm.media.extractor import Extractor
from recbole_decm.media.extractors import reopen
from recbole_decm.media.portions import Portion
from recbole_decm.media.sandbox import Reader
from recbole_decm.parallel.cluster import Cluster

Engine = Callable[[Sequence[Portion]], Iterator[tuple[Portion, Shard]]]
"""Reads portions, and gives each with its features, in any order."""


class _Worker:
    """Reads one portion after another, with one thread: several would add numbers in another order."""

    def __init__(self, extractors: Mapping[str, Extractor]) -> None:
        self._extractors, self._reader = extractors, Reader()

    def read(self, portion: Portion) -> Shard:
        wanted = {field: self._extractors[field] for field in portion.fields}
        with threadpool_limits(limits=1):
            if all(extractor.want is None for extractor in wanted.values()):
                shard = extract_texts(portion.files, wanted)
                named = (replace(failure, source=portion.files[int(failure.source)]) for failure in shard.failures)
                return replace(shard, failures=tuple(named))
            return extract_clips(portion.files, wanted, self._reader)

    def close(self) -> None:
        self._reader.close()


@contextmanager
def here(extractors: Mapping[str, Extractor]) -> Iterator[Engine]:
    """This process as an engine."""
    worker = _Worker(extractors)
    try:
        yield lambda portions: ((portion, worker.read(portion)) for portion in portions)
    finally:
        worker.close()


@contextmanager
def on_cluster(address: str, cards: Mapping[str, Card], device: str) -> Iterator[Engine]:
    """The workers of a Dask scheduler as an engine; each of their threads opens the extractors by their cards once.

    Raises:
        ConfigError: no scheduler there, no worker, no ``distributed``; other weights or no such file on a worker.
    """
    run, given = uuid.uuid4().hex, as_values(cards)
    with Cluster(address) as cluster:

        def work(portions: Sequence[Portion]) -> Iterator[tuple[Portion, Shard]]:
            left, at_work = iter(portions), dict[Future, Portion]()
            while True:
                while len(at_work) < 2 * cluster.slots() and (portion := next(left, None)):
                    of_files = any(cards[field].sampling for field in portion.fields)
                    seen = [of_files and os.path.exists(file) for file in portion.files]
                    future = cluster.submit(_perform, run, given, device, portion.files, portion.fields, seen)
                    at_work[future] = portion
                if not at_work:
                    return
                for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                    yield at_work.pop(future), future.result()

        try:
            yield work
        finally:
            cluster.cancel()
            cluster.run(_end, run)


_WORKERS: dict[tuple[str, int], _Worker] = {}


def _perform(
    run: str, cards: dict[str, Any], device: str, files: Sequence[str], fields: Sequence[str], seen: Sequence[bool]
) -> Shard:
    """What a worker of the cluster does: read a portion.

    Args:
        seen: which of the files the machine sees that asks for them.
    """
    for file, there in zip(files, seen, strict=True):
        if there and not os.path.exists(file):
            raise ConfigError(
                f"{file}: expected a file that the worker on {socket.gethostname()} sees too, found none. All machines "
                "have to see the files under the same paths."
            )
    key = run, threading.get_ident()
    if key not in _WORKERS:
        opened = {field: reopen(card, device) for field, card in from_values(cards, "the cards of a run").items()}
        _WORKERS[key] = _Worker(opened)
    return _WORKERS[key].read(Portion(tuple(files), tuple(fields)))


def _end(run: str) -> None:
    """End what a worker keeps open for a run."""
    for key in [key for key in _WORKERS if key[0] == run]:
        _WORKERS.pop(key).close()
