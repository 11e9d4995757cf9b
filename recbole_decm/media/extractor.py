"""What an extractor promises: a card, what it asks of the decoder, and one vector for each clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from recbole_decm.errors import ConfigError
from recbole_decm.media.cards import Card
from recbole_decm.media.wants import Picture, Sound


class ClipReader(Protocol):
    """Makes one vector of one clip. Each clip has its own reader, so a vector depends on its clip alone."""

    def add(self, block: Any) -> None:
        """Take the next frame (size, size, 3) of uint8, samples (n,) of float32 from -1 to 1, or a text."""

    def vector(self) -> np.ndarray:
        """(D,) of float32, after at least one block."""


@dataclass(frozen=True)
class Extractor:
    """An extractor that is open.

    Attributes:
        card: what its numbers depend on.
        want: what it asks of the decoder; None for text.
        new_reader: for one clip.
        column: of the table that holds the texts; empty for what reads files.
    """

    card: Card
    want: Picture | Sound | None
    new_reader: Callable[[], ClipReader]
    column: str = ""


@dataclass(frozen=True)
class Sampling:
    """Frames a second, or so many frames of each video; neither is the extractor's own choice, 1 a second."""

    fps: float | None = None
    frames: int | None = None

    def __post_init__(self) -> None:
        if self.fps is not None and self.frames is not None:
            raise ConfigError("--fps, --frames: expected one of them, found both.")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise ConfigError(f"--fps: expected a number above 0 and up to 1000, found {self.fps}.")
        if self.frames is not None and self.frames < 1:
            raise ConfigError(f"--frames: expected a number of at least 1, found {self.frames}.")

    def picture(self, size: int, fit: Literal["stretch", "crop"]) -> Picture:
        """What to ask of the decoder for pictures of a size."""
        return Picture(size, self.fps or 1.0, self.frames, fit)


def sampled(want: Picture | Sound | None) -> dict[str, float | int | str]:
    """A want, as it stands on a card."""
    if isinstance(want, Picture):
        times = {"frames": want.frames} if want.frames is not None else {"fps": want.fps}
        return {**times, "size": want.size, "fit": want.fit}
    return {"rate": want.rate} if isinstance(want, Sound) else {}
