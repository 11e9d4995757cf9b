"""Small media files, made with PyAV by the tests that read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIDE = 64
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (255, 255, 0)]


def plain(colour: Sequence[int], count: int = 1, side: int = SIDE) -> list[np.ndarray]:
    """Frames of one colour."""
    return [np.full((side, side, 3), colour, np.uint8)] * count


def quadrants(side: int = SIDE) -> np.ndarray:
    """A frame whose corners are red, green (right), blue (below) and white, so that any turn shows."""
    frame = np.empty((side, side, 3), np.uint8)
    half = side // 2
    frame[:half, :half], frame[:half, half:], frame[half:, :half], frame[half:, half:] = COLOURS[:4]
    return frame


def tone(hertz: float, seconds: float, rate: int, level: float = 0.5) -> np.ndarray:
    """A sine."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write_clip(
    path: Path,
    frames: Iterable[np.ndarray] = (),
    fps: int = 10,
    times: Sequence[int] | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    sound: np.ndarray | None = None,
    rate: int = 44100,
    sound_codec: str = "aac",
    layout: str = "mono",
) -> Path:
    """Write frames and sound.

    Args:
        times: of the frames, in units of 1 / fps; one after another if not given.
        sound: (n,) for one channel or (channels, n).
    """
    frames = list(frames)
    with av.open(str(path), "w") as container:
        video = audio = None
        if frames:
            video = container.add_stream(codec, rate=fps, options=options or {})
            video.height, video.width, video.pix_fmt = *frames[0].shape[:2], pixels
            video.time_base = video.codec_context.time_base = Fraction(1, fps)
        if sound is not None:
            audio = container.add_stream(sound_codec, rate=rate, layout=layout)
        for place, pixels_ in enumerate(frames):
            kind = "rgba" if pixels_.shape[2] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(pixels_, format=kind)
            frame.pts, frame.time_base = (times[place] if times else place), Fraction(1, fps)
            container.mux(video.encode(frame))
        if video is not None:
            container.mux(video.encode(None))
        if audio is not None:
            samples = np.atleast_2d(sound).astype(np.float32)
            for start in range(0, samples.shape[1], 1024):
                block = np.ascontiguousarray(samples[:, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
                frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def turned(path: Path, matrix: Sequence[int]) -> Path:
    """Give the picture of an mp4 another display matrix: (a, b, c, d), each -1, 0 or 1."""
    content = path.read_bytes()
    identity = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    a, b, c, d = (value << 16 for value in matrix)
    other = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    track = content.index(b"tkhd")
    place = content.index(identity, track)
    path.write_bytes(content[:place] + other + content[place + len(identity) :])
    return path
