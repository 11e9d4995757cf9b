"""Why a clip has no features: a reason that a program can count, and words that a person can act on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reason(str, Enum):
    """The kinds of failures, as they stand in ``failures.csv``."""

    NOT_FOUND = "not-found"
    NOT_A_FILE = "not-a-file"
    REFUSED_FORMAT = "refused-format"
    NAMES_OTHER_FILES = "names-other-files"
    CORRUPT = "corrupt"
    NO_DECODER = "no-decoder"
    NO_PICTURE = "no-picture"
    NO_SOUND = "no-sound"
    NO_TEXT = "no-text"
    TOO_LARGE = "too-large"
    TOO_LONG = "too-long"
    OUT_OF_TIME = "out-of-time"
    OUT_OF_MEMORY = "out-of-memory"
    CRASHED = "crashed"


class Unreadable(Exception):
    """A clip that cannot be read: a :class:`Reason`, and what was found. It never leaves this package."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Failure:
    """A feature that could not be made.

    Attributes:
        source: the file, or the text's place in its list.
        field: of the feature that is missing.
        reason: as in ``failures.csv``.
        detail: what was found, in one line.
    """

    source: str
    field: str
    reason: Reason
    detail: str
