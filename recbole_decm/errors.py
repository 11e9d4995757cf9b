"""The errors a user can meet. Each message says what was expected, what was found, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DecCMError(Exception):
    """Base of every error this package raises on purpose; command-line tools print it and exit with 2."""


class ConfigError(DecCMError):
    """A key, value or command-line argument that cannot be used."""


class DataError(DecCMError):
    """An atomic file, feature matrix or candidate list that is missing, malformed or inconsistent."""


class CheckpointError(DecCMError):
    """A checkpoint that is corrupt, foreign, or does not fit the model or the data."""


class ResourceError(DecCMError):
    """Not enough free memory or disk for what was asked; nothing was written."""


class DistributedError(DecCMError):
    """A process of a run that died, could not be reached, or no longer agrees with the others."""


class DivergedError(DecCMError):
    """A training whose loss is no number any more."""


class StoreUnavailable(DecCMError):
    """The store of a served catalogue cannot be reached for now; what it acknowledged is kept. Try again."""


def suggest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the nearest known name, or nothing.

    Examples:
        >>> suggest("epoch", ["epochs", "seed"])
        " Did you mean 'epochs'?"
    """
    by_lower = {entry.lower(): entry for entry in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean '{by_lower[near[0]]}'?" if near else ""
