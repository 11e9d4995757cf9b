"""How often each caller may ask: a bucket of tokens for each, filled at a steady rate."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_CALLERS = 10_000


class Buckets:
    """A token bucket for each caller, of as many tokens as are filled in a second, and at least one.

    Args:
        rate: tokens a second; 0 for as many as are asked for.
        clock: seconds.

    Examples:
        >>> buckets = Buckets(2, clock=lambda: 0.0)
        >>> [buckets.wait("a"), buckets.wait("a"), buckets.wait("a"), buckets.wait("b")]
        [0.0, 0.0, 0.5, 0.0]
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.size, self._clock = rate, max(1.0, rate), clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Take a token: 0, or the seconds until there is one."""
        if not self.rate:
            return 0.0
        now = self._clock()
        tokens, before = self._left.pop(caller, (self.size, now))
        tokens = min(self.size, tokens + (now - before) * self.rate)
        enough = tokens >= 1
        self._left[caller] = tokens - 1 if enough else tokens, now
        if len(self._left) > _MOST_CALLERS:
            self._left.popitem(last=False)
        return 0.0 if enough else (1 - tokens) / self.rate
