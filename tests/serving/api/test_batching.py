"""Requests that come together: one call for all of them, each with its own answer, error and patience."""

from __future__ import annotations

import asyncio
import threading

import pytest

from recbole_decm.serving.api.batching import Batcher
from recbole_decm.serving.api.problems import Problem


def test_what_comes_while_the_thread_works_is_done_in_one_call():
    sizes, go = [], threading.Event()

    def work(batch):
        sizes.append(len(batch))
        go.wait(5)
        return [ValueError("odd") if number % 2 else 10 * number for number in batch]

    async def main():
        batcher = Batcher(work, size=4, waiting=100)
        first = asyncio.create_task(batcher.ask(0, 5))
        await asyncio.sleep(0.05)
        rest = [asyncio.create_task(batcher.ask(number, 5)) for number in range(1, 7)]
        await asyncio.sleep(0.05)
        go.set()
        found = await asyncio.gather(first, *rest, return_exceptions=True)
        batcher.close()
        return found

    found = asyncio.run(main())
    assert sizes == [1, 4, 2]
    assert found[::2] == [0, 20, 40, 60] and all(isinstance(error, ValueError) for error in found[1::2])


def test_an_error_of_the_whole_call_is_everybodys_and_the_next_call_goes_on():
    calls = []

    def work(batch):
        calls.append(list(batch))
        if len(calls) == 1:
            raise RuntimeError("broken")
        return batch

    async def main():
        batcher = Batcher(work, size=8, waiting=8)
        with pytest.raises(RuntimeError, match="broken"):
            await batcher.ask(1, 5)
        found = await batcher.ask(2, 5)
        batcher.close()
        return found

    assert asyncio.run(main()) == 2


def test_who_waits_too_long_or_comes_as_one_too_many_is_told_to_come_again():
    go = threading.Event()

    def work(batch):
        go.wait(5)
        return batch

    async def main():
        batcher = Batcher(work, size=1, waiting=2)
        first = asyncio.create_task(batcher.ask(1, 0.2))
        await asyncio.sleep(0.02)
        rest = [asyncio.create_task(batcher.ask(number, 5)) for number in (2, 3, 4)]
        found = await asyncio.gather(first, rest[2], return_exceptions=True)
        go.set()
        found += await asyncio.gather(*rest[:2])
        batcher.close()
        return found

    late, many, *rest = asyncio.run(main())
    assert isinstance(late, Problem) and isinstance(many, Problem) and rest == [2, 3]
    assert late.status == many.status == 503 and many.retry_after == 1
