"""What a run shows: a bar on a terminal, and a line for every cell that ends, there and in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


class Progress:
    """Counts cells and trials of searches.

    Args:
        show: whether anything is shown at all; the bar itself is for terminals alone.
    """

    def __init__(self, show: bool = False):
        self.show, self.trials, self._drawn = show, 0, 0.0
        self.outcome: Any = None
        self._bar = tqdm(disable=True)

    def start(self, outcome: Any, trials: int) -> None:
        """Work begins.

        Args:
            outcome: of the run, which counts on; trials: of the searches, to be run before cells.
        """
        self.outcome = outcome
        ended = outcome.done + len(outcome.failed)
        hidden = None if self.show else True
        self._bar = tqdm(
            total=outcome.total + trials, initial=ended, unit="run", file=sys.stderr, disable=hidden, mininterval=0
        )
        if outcome.before:
            self.say(f"{outcome.before} of {outcome.total} cells are done already")

    def over(self, items: Sequence[T], what: str) -> Iterable[T]:
        """The items, shown as they are worked through."""
        return tqdm(items, desc=what, file=sys.stderr, disable=None if self.show else True) if items else items

    def tick(self, running: Sequence[str]) -> None:
        """Several times a second, with the names of the tasks that run."""
        if self._bar.disable or time.monotonic() - self._drawn < 1:
            return
        first = running[0] + (f" and {len(running) - 1} more" if len(running) > 1 else "") if running else ""
        counts = f"{self.outcome.done} done, {len(running)} running, {len(self.outcome.failed)} failed"
        self._bar.set_postfix_str(f"{counts}: {first}")
        self._drawn = time.monotonic()

    def say(self, text: str) -> None:
        """A line that stays."""
        if self.show and self.outcome is None:
            tqdm.write(text, file=sys.stderr)
        elif self.show:
            ended = self.outcome.done + len(self.outcome.failed)
            tqdm.write(f"[{ended}/{self.outcome.total}] {text}", file=sys.stderr)

    def trial_done(self) -> None:
        """A trial of a search ended."""
        self.trials += 1
        self.refresh()

    def refresh(self) -> None:
        """The outcome changed."""
        self._bar.update(self.outcome.done + len(self.outcome.failed) + self.trials - self._bar.n)

    def close(self) -> None:
        """Work ended."""
        self._bar.close()
