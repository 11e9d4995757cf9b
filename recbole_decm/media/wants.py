"""What can be asked of the decoder, and how much one clip may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Picture:
    """Frames to take of a video, as (size, size, 3) of uint8, upright.

    Attributes:
        size: side of the square, in pixels.
        fps: frames a second of the video: frame k is the one on screen at k / fps seconds, from 0 on.
        frames: so many instead, however long the video is: those on screen in the middle of as many equal parts.
        fit: ``stretch`` the whole picture, or ``crop`` the middle of it.
    """

    size: int
    fps: float = 1.0
    frames: int | None = None
    fit: Literal["stretch", "crop"] = "stretch"


@dataclass(frozen=True)
class Sound:
    """The sound as one channel, in blocks of a second as (rate,) of float32 from -1 to 1; the last is shorter.

    Attributes:
        rate: samples a second.
    """

    rate: int


Want = Picture | Sound


@dataclass(frozen=True)
class Limits:
    """What reading one clip may take.

    Attributes:
        pixels: of a frame as it is stored.
        duration: seconds of the clip.
        seconds: of work on it.
        memory: bytes beyond those of the program itself.
    """

    pixels: int = 4320 * 7680
    duration: float = 4 * 3600.0
    seconds: float = 3600.0
    memory: int = 2 << 30
