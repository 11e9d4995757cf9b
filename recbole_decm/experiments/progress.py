"""What a run shows while it works: done, running, failed, time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


class Progress:
    """Silent; the base of :class:`Bar`."""

    def start(self, outcome: Any, trials: int) -> None:
        """Work begins.

        Args:
            outcome: of the run, which counts on; trials: of the searches, to be run before cells.
        """

    def over(self, items: Sequence[T], what: str) -> Iterable[T]:
        """The items, shown as they are worked through."""
        return items

    def tick(self, running: Sequence[Any]) -> None:
        """Several times a second, with the tasks that run."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def trial_done(self) -> None:
        """A trial of a search ended."""

    def refresh(self) -> None:
        """The outcome changed."""

    def close(self) -> None:
        """Work ended."""


class Bar(Progress):
    """A bar on a terminal, and a line for every cell that ends, there and in a log file."""

    def __init__(self) -> None:
        self.bar: tqdm | None = None
        self.trials = 0
        self.drawn = 0.0

    def start(self, outcome: Any, trials: int) -> None:
        self.outcome = outcome
        total = outcome.total + trials
        self.bar = tqdm(
            total=total,
            initial=outcome.done + len(outcome.failed),
            unit="run",
            file=sys.stderr,
            disable=None,
            mininterval=0,
        )
        if outcome.before:
            self.say(f"{outcome.before} of {outcome.total} cells are done already")

    def over(self, items: Sequence[T], what: str) -> Iterable[T]:
        return tqdm(items, desc=what, file=sys.stderr, disable=None) if items else items

    def tick(self, running: Sequence[Any]) -> None:
        if self.bar is None or self.bar.disable:
            return
        first = running[0].name + (f" and {len(running) - 1} more" if len(running) > 1 else "") if running else ""
        counts = f"{self.outcome.done} done, {len(running)} running, {len(self.outcome.failed)} failed"
        self.bar.set_postfix_str(f"{counts}: {first}", refresh=False)
        if time.monotonic() - self.drawn >= 1:
            self.bar.refresh()
            self.drawn = time.monotonic()

    def say(self, text: str) -> None:
        if self.bar is None:
            print(text, file=sys.stderr, flush=True)
            return
        done = self.outcome.done + len(self.outcome.failed)
        tqdm.write(f"[{done}/{self.outcome.total}] {text}", file=sys.stderr)

    def trial_done(self) -> None:
        self.trials += 1
        self.refresh()

    def refresh(self) -> None:
        if self.bar is not None:
            self.bar.update(self.outcome.done + len(self.outcome.failed) + self.trials - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
