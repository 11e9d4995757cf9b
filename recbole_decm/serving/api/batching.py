"""Requests that arrive together are answered together: one product of matrices for many videos."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from recbole_decm.serving.api.problems import Problem

Asked = TypeVar("Asked")
Given = TypeVar("Given")


@dataclass(frozen=True)
class _Waiting(Generic[Asked, Given]):
    asked: Asked
    given: asyncio.Future[Given]


class Batcher(Generic[Asked, Given]):
    """Hands what has come to one thread, and while it works collects what comes. Nobody waits for company.

    Args:
        work: called in that thread with at most ``size`` requests; one answer, or one error, for each.
        size: most at a time.
        waiting: most that wait.
    """

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Given | Exception]], size: int, waiting: int) -> None:
        self._work, self._size, self._most = work, size, waiting
        self._waiting: list[_Waiting[Asked, Given]] = []
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "search")

    async def ask(self, asked: Asked, seconds: float) -> Given:
        """The answer.

        Raises:
            Problem: 503, too many wait or it takes more than ``seconds``.
        """
        if len(self._waiting) >= self._most:
            raise Problem(503, f"expected at most {self._most} requests at a time, found more. Come again.", 1)
        loop = asyncio.get_running_loop()
        one = _Waiting(asked, loop.create_future())
        self._waiting.append(one)
        if self._task is None:
            self._task = loop.create_task(self._run())
        timer = loop.call_later(seconds, _give_up, one.given, seconds)
        try:
            return await one.given
        finally:
            timer.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            part, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
            part = [one for one in part if not one.given.done()]  # whoever gave up, or went away
            if not part:
                continue
            try:
                answers = await loop.run_in_executor(self._thread, self._work, [one.asked for one in part])
            except Exception as error:
                answers = [error] * len(part)
            for one, answer in zip(part, answers, strict=True):
                if not one.given.done():
                    if isinstance(answer, Exception):
                        one.given.set_exception(answer)
                    else:
                        one.given.set_result(answer)
        self._task = None

    def close(self) -> None:
        """End the thread after what it is at."""
        self._thread.shutdown(wait=True)


def _give_up(given: asyncio.Future, seconds: float) -> None:
    if not given.done():
        given.set_exception(Problem(503, f"expected an answer within {seconds:g} s, found too much to do.", 1))
