"""Requests that arrive together are answered together: one product of matrices for many videos."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from recbole_decm.serving.api.problems import Problem

Asked = TypeVar("Asked")
Given = TypeVar("Given")


@dataclass(frozen=True)
class _Waiting(Generic[Asked, Given]):
    asked: Asked
    given: asyncio.Future[Given]
    loop: asyncio.AbstractEventLoop


class Batcher(Generic[Asked, Given]):
    """One thread that takes what has come, and works on it while more comes. Nobody waits for company.

    The thread takes from the queue by itself: it never waits for the loop, which has requests to read by then.

    Args:
        work: called in that thread with at most ``size`` requests; one answer, or one error, for each.
        size: most at a time.
        waiting: most that wait.
    """

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Given | Exception]], size: int, waiting: int) -> None:
        self._work, self._size, self._most = work, size, waiting
        self._waiting: SimpleQueue[_Waiting[Asked, Given] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="search", daemon=True)
        self._thread.start()

    async def ask(self, asked: Asked, seconds: float) -> Given:
        """The answer.

        Raises:
            Problem: 503, too many wait or it takes more than ``seconds``.
        """
        if self._waiting.qsize() >= self._most:
            raise Problem(503, f"expected at most {self._most} requests at a time, found more. Come again.", 1)
        loop = asyncio.get_running_loop()
        given: asyncio.Future[Given] = loop.create_future()
        self._waiting.put(_Waiting(asked, given, loop))
        timer = loop.call_later(seconds, _give_up, given, seconds)
        try:
            return await given
        finally:
            timer.cancel()

    def _run(self) -> None:
        while True:
            part = [self._waiting.get()]
            with suppress(Empty):
                while len(part) < self._size:
                    part.append(self._waiting.get_nowait())
            still = [one for one in part if one is not None and not one.given.done()]  # others gave up, or went away
            if still:
                self._answer(still)
            if None in part:
                return

    def _answer(self, part: Sequence[_Waiting[Asked, Given]]) -> None:
        answers: Sequence[Given | Exception]
        try:
            answers = self._work([one.asked for one in part])
        except Exception as error:
            answers = [error] * len(part)
        with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            part[0].loop.call_soon_threadsafe(_give, part, answers)

    def close(self) -> None:
        """End the thread after what has come."""
        self._waiting.put(None)
        self._thread.join()


def _give(part: Sequence[_Waiting], answers: Sequence[object]) -> None:
    for one, answer in zip(part, answers, strict=True):
        if one.given.done():
            continue
        if isinstance(answer, Exception):
            one.given.set_exception(answer)
        else:
            one.given.set_result(answer)


def _give_up(given: asyncio.Future, seconds: float) -> None:
    if not given.done():
        given.set_exception(Problem(503, f"expected an answer within {seconds:g} s, found too much to do.", 1))
