"""Which frames of a video are taken, and how each becomes an upright square of pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter

from recbole_decm.media.failures import Reason, Unreadable
from recbole_decm.media.wants import Limits, Picture

# Codecs whose frames that no other refers to can be left out without a trace in the rest.
_SKIPS = {"h264"}
_BICUBIC, _ACCURATE, _BITEXACT = 0x4, 0x40000, 0x80000  # swscale: the same bits whatever the processor has
_LONGEST_SIDE = 16  # of a picture, in sizes: what is narrower is refused


class Frames:
    """Which frames are on screen at the times that are wanted, scaled and upright. No other frame is converted.

    The times of all frames are read beforehand, without decoding (8 bytes a frame). So the length of a video is what
    its frames say, and frames that neither are wanted nor referred to need not be decoded.
    """

    def __init__(self, stream: Any, times: np.ndarray, end: int, wants: dict[int, Picture], limits: Limits) -> None:
        self.stream, self.limits, self.taken = stream, limits, 0
        self.scalers = {want: _Scaler(want, stream) for want in wants.values()}
        base = float(stream.time_base)
        length = (end - times[0]) * base if len(times) else 0.0
        if length > limits.duration:
            raise Unreadable(Reason.TOO_LONG, f"{length:.0f} s")
        self.due: list[tuple[int, int]] = []  # (time of a frame, place of the want), by time
        for place, want in wants.items():
            if len(times):
                moments = _moments(want, length) / base + float(times[0]) + 0.01  # of a tick, for what division loses
                shown = times[np.maximum(0, np.searchsorted(times, moments, side="right") - 1)]
                self.due += [(int(time), place) for time in shown]
        self.due.sort(reverse=True)
        self.places = wants
        self.sampled = {time for time, _ in self.due}
        self.skips = stream.codec_context.name in _SKIPS
        self.last: Any = None

    def prepare(self, packet: Any) -> None:
        if self.skips:
            wanted = packet.pts is None or packet.pts in self.sampled
            self.stream.codec_context.skip_frame = "NONE" if wanted else "NONREF"

    def take(self, frame: Any) -> Iterator[tuple[int, np.ndarray]]:
        self.last, self.taken = frame, self.taken + 1
        if frame.width * frame.height > self.limits.pixels:
            raise Unreadable(Reason.TOO_LARGE, f"{frame.width} x {frame.height} pixels")
        if frame.pts is not None:
            yield from self._emit(frame, frame.pts)

    def rest(self) -> Iterator[tuple[int, np.ndarray]]:
        """What is still due shows the last frame."""
        if self.last is not None and self.due:
            yield from self._emit(self.last, self.due[0][0])

    def _emit(self, frame: Any, until: int) -> Iterator[tuple[int, np.ndarray]]:
        done: dict[Picture, np.ndarray] = {}
        while self.due and self.due[-1][0] <= until:
            place = self.due.pop()[1]
            want = self.places[place]
            if want not in done:
                done[want] = self.scalers[want].scaled(frame)
            yield place, done[want]


def _moments(want: Picture, length: float) -> np.ndarray:
    """When frames are taken, in seconds from the first one."""
    if want.frames is not None:
        return (np.arange(want.frames) + 0.5) * length / want.frames
    return np.arange(max(1, int(np.ceil(length * want.fps - 1e-6)))) / want.fps


class _Scaler:
    """Frames of one stream at one size."""

    def __init__(self, want: Picture, stream: Any) -> None:
        self.want, self.reformatter = want, VideoReformatter()
        self.aspect = float(stream.sample_aspect_ratio or 1) or 1.0

    def scaled(self, frame: Any) -> np.ndarray:
        size = self.want.size
        width, height = size, size
        if self.want.fit == "crop":
            ratio = frame.width * self.aspect / frame.height
            width, height = max(size, round(size * ratio)), max(size, round(size / ratio))
            if max(width, height) > _LONGEST_SIDE * size:
                raise Unreadable(Reason.TOO_LARGE, f"sides of {frame.width} and {frame.height} pixels")
        small = self.reformatter.reformat(
            frame, width, height, "rgb24", interpolation=_BICUBIC | _ACCURATE | _BITEXACT, threads=1
        )
        left, top = (width - size) // 2, (height - size) // 2
        return np.ascontiguousarray(_upright(small.to_ndarray()[top : top + size, left : left + size], frame))


def _upright(pixels: np.ndarray, frame: Any) -> np.ndarray:
    """Turned and mirrored as the display matrix of the video says; angles between are left as stored."""
    if "DISPLAYMATRIX" not in {str(side.type.name) for side in frame.side_data}:
        return pixels
    a, b, _, c, d, *_ = np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), np.int32).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):  # x and y change places
        pixels = pixels.transpose(1, 0, 2)
        a, d = c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
