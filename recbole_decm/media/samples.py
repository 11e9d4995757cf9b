"""Sound as one channel, at any number of rates, from frames of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from recbole_decm.media.failures import Reason, Unreadable
from recbole_decm.media.wants import Limits, Sound


class Samples:
    """Sound as one channel at the rates that are wanted, in whole seconds."""

    def __init__(self, wants: dict[int, Sound], limits: Limits) -> None:
        self.limits, self.taken = limits, 0
        self.channels = {place: _Channel(want.rate) for place, want in wants.items()}

    def prepare(self, packet: Any) -> None:
        pass

    def take(self, frame: Any) -> Iterator[tuple[int, np.ndarray]]:
        self.taken += 1
        for place, channel in self.channels.items():
            channel.add(frame)
            if channel.count > self.limits.duration * channel.rate:
                raise Unreadable(Reason.TOO_LONG, f"more than {self.limits.duration:.0f} s of sound")
            while len(block := channel.cut(channel.rate)) == channel.rate:
                yield place, block

    def rest(self) -> Iterator[tuple[int, np.ndarray]]:
        for place, channel in self.channels.items():
            channel.add(None)
            while len(block := channel.cut(0)):
                yield place, block


class _Channel:
    def __init__(self, rate: int) -> None:
        self.rate, self.count = rate, 0
        self.kind: Any = None
        self.resampler: Any = None
        self.waiting: list[np.ndarray] = []

    def add(self, frame: Any) -> None:
        """Take a frame, or None at the end. Where the sound changes its rate or channels, a new resampler begins."""
        kind = None if frame is None else (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self.kind:
            if self.kind is not None:
                self._keep(self.resampler.resample(None))
            # Of 32-bit integers: only then are channels averaged, and not added up to beyond full scale.
            self.resampler = av.AudioResampler("s32", "mono", self.rate)
            self.kind = kind
        if frame is not None:
            self._keep(self.resampler.resample(frame))

    def _keep(self, frames: Any) -> None:
        for frame in frames:
            if frame is not None:
                samples = frame.to_ndarray()[0]
                self.count += len(samples)
                self.waiting.append(samples.astype(np.float32) / np.float32(2**31))

    def cut(self, least: int) -> np.ndarray:
        """The next second, or what there is of it; nothing where that is fewer samples than ``least``."""
        if sum(map(len, self.waiting)) < max(least, 1):
            return np.empty(0, np.float32)
        samples = np.concatenate(self.waiting)
        self.waiting = [samples[self.rate :]]
        return samples[: self.rate]
