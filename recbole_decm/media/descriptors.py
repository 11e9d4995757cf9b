"""Sound without weights: spectrum, chroma, rhythm and dynamics of windows of five seconds, their mean and spread.

The parts are the usual ones (Müller, Fundamentals of Music Processing, 2015): mel bands, spectral shape, chroma from
the short-time spectrum, and tempo from the autocorrelation of the onset strength. No matrix product is left to a BLAS,
whose bits may depend on the number of its threads.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import fft, sparse

from recbole_decm.media.pooling import Moments, Windows

RATE, WINDOW, LEAST = 22050, 5.0, 1.0  # samples a second; seconds of a window, and of a last one that counts
_FRAME, _HOP, _BANDS = 2048, 512, 40
_FLOOR = 1e-8  # of power: -80 dB
_PITCHES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_TEMPI = np.geomspace(40, 240, 16)  # beats a minute at which the pulse is measured
_PARTS = (
    *(f"band {band}" for band in range(_BANDS)),
    *("centroid", "bandwidth", "rolloff", "flatness", "flux", "crossings"),
    *(f"chroma {pitch}" for pitch in _PITCHES),
    *(f"pulse {tempo:.0f}" for tempo in _TEMPI),
    *("tempo", "pulse", "onsets"),
    *("level", "level spread", "level range", "crest", "quiet"),
)
NAMES = tuple(f"{part} {moment}" for moment in ("mean", "spread") for part in _PARTS)


class SoundReader:
    """The descriptors of one clip, from its samples as they come."""

    def __init__(self) -> None:
        self._moments = Moments(len(_PARTS))
        self._windows = Windows(
            int(WINDOW * RATE), int(LEAST * RATE), lambda window: self._moments.add(describe(window))
        )

    def add(self, samples: np.ndarray) -> None:
        """Take samples, (n,) from -1 to 1, at ``RATE``."""
        self._windows.add(samples)

    def vector(self) -> np.ndarray:
        """(D,), as ``NAMES`` says."""
        self._windows.end()
        return self._moments.vector().astype(np.float32)


def describe(samples: np.ndarray) -> np.ndarray:
    """The descriptors of one window.

    Args:
        samples: (n,), n at least 1; shorter than a frame (93 ms), it is filled up with silence.

    Returns:
        one number for each of the parts. In silence levels are -80 dB; all that has no meaning there, from the
        centroid to the tempo, is 0.
    """
    samples = np.asarray(samples, np.float64)
    frames = _framed(samples)
    power = np.abs(fft.rfft(frames * _hann(), axis=1)) ** 2 / (_hann() ** 2).sum() / _FRAME * 2
    loud = power.sum(axis=1) > _FLOOR
    bands = 10 * np.log10(np.maximum((_mel() @ power.T).T, _FLOOR))
    return np.concatenate(
        [bands.mean(axis=0), _shape(power, frames, loud), _chroma(power, loud), _rhythm(bands), _dynamics(frames)]
    )


def _framed(samples: np.ndarray) -> np.ndarray:
    short = max(0, _FRAME - len(samples))
    samples = np.pad(samples, (0, short))
    return np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]


@cache
def _hann() -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FRAME) / _FRAME)


@cache
def _frequencies() -> np.ndarray:
    return fft.rfftfreq(_FRAME, 1 / RATE)


@cache
def _mel() -> sparse.csr_array:
    """(bands, bins): triangles of equal width on the mel scale of O'Shaughnessy (1987), from 30 Hz to half the rate."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (30.0, RATE / 2))
    edges = 700 * (10 ** (np.linspace(low, high, _BANDS + 2) / 2595) - 1)
    rising = (_frequencies() - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - _frequencies()) / np.diff(edges)[1:, None]
    return sparse.csr_array(np.maximum(0, np.minimum(rising, falling)))


def _shape(power: np.ndarray, frames: np.ndarray, loud: np.ndarray) -> np.ndarray:
    """Centroid, bandwidth and roll-off in octaves above 30 Hz, flatness, flux and zero crossings of the loud frames."""
    if not loud.any():
        return np.zeros(6)
    power, frames = power[loud, 1:], frames[loud]
    octaves = np.maximum(0, np.log2(_frequencies()[1:] / 30))
    share = power / power.sum(axis=1, keepdims=True)
    centroid = (share * octaves).sum(axis=1)
    bandwidth = np.sqrt(np.maximum(0, (share * octaves**2).sum(axis=1) - centroid**2))
    rolloff = octaves[(np.cumsum(share, axis=1) < 0.85).sum(axis=1).clip(max=len(octaves) - 1)]
    flatness = np.exp(np.log(share + 1e-12).mean(axis=1)) * share.shape[1]
    flux = np.abs(np.diff(share, axis=0)).sum(axis=1).mean() / 2 if len(share) > 1 else 0.0
    crossings = (np.diff(np.signbit(frames), axis=1)).mean()
    return np.array([centroid.mean(), bandwidth.mean(), rolloff.mean(), flatness.mean(), flux, crossings])


@cache
def _pitches() -> sparse.csr_array:
    """(12, bins): which bins between 55 Hz and 5 kHz sound which pitch, A at 440 Hz, each spread over a semitone."""
    hertz = _frequencies()
    inside = (hertz >= 55) & (hertz <= 5000)
    semitones = 69 + 12 * np.log2(np.maximum(hertz, 1) / 440)
    away = (semitones - np.arange(12)[:, None] + 6) % 12 - 6
    weights = np.exp(-0.5 * (away / 0.5) ** 2)
    return sparse.csr_array(np.where(inside & (weights > 1e-3), weights, 0))


def _chroma(power: np.ndarray, loud: np.ndarray) -> np.ndarray:
    """Shares of the twelve pitches, from C to B, in the loud frames: of magnitudes, so that chords count."""
    strength = (_pitches() @ np.sqrt(power[loud]).T).T
    total = strength.sum(axis=1, keepdims=True)
    return (strength / np.maximum(total, 1e-12)).mean(axis=0) if len(strength) else np.zeros(12)


def _rhythm(bands: np.ndarray) -> np.ndarray:
    """How strongly onsets repeat at each of the tempi, the strongest tempo, its strength, and onsets a second."""
    onset = np.maximum(0, np.diff(bands, axis=0)).mean(axis=1)
    if len(onset) < 8 or onset.max() <= 0.1:  # dB: nothing begins
        return np.zeros(len(_TEMPI) + 3)
    peaks = (onset[1:-1] > onset[:-2]) & (onset[1:-1] >= onset[2:]) & (onset[1:-1] > onset.mean() + onset.std())
    per_second = RATE / _HOP
    centred = onset - onset.mean()
    spectrum = fft.rfft(centred, 2 * len(onset))
    repeats = fft.irfft(np.abs(spectrum) ** 2)[: len(onset)]
    repeats = repeats / np.maximum(repeats[0], 1e-12)
    lags = np.arange(len(repeats))
    pulse = np.interp(60 * per_second / _TEMPI, lags, repeats, right=0)
    # The strongest lag between 40 and 240 beats a minute, with the usual preference for tempi near 120.
    first, last = int(60 * per_second / 240), min(len(repeats) - 2, int(60 * per_second / 40))
    if last <= first:
        return np.concatenate([pulse, [0, 0, peaks.sum() / (len(onset) / per_second)]])
    inside = lags[first : last + 1]
    preference = np.exp(-0.5 * np.log2(60 * per_second / inside / 120) ** 2)
    best = inside[np.argmax(repeats[inside] * preference)]
    left, middle, right = repeats[best - 1 : best + 2]
    bend = left - 2 * middle + right
    exact = best + (0.5 * (left - right) / bend if bend < 0 else 0)
    strength = max(middle, 0.0)
    tempo = 60 * per_second / exact if strength > 0 else 0.0
    return np.concatenate([pulse, [tempo, strength, peaks.sum() / (len(onset) / per_second)]])


def _dynamics(frames: np.ndarray) -> np.ndarray:
    """Mean level in dB, its spread, the range from the tenth to the ninth part, the crest in dB, the share of quiet."""
    energy = (frames**2).mean(axis=1)
    level = 10 * np.log10(np.maximum(energy, _FLOOR))
    low, high = np.percentile(level, [10, 90])
    total = energy.mean()
    crest = 10 * np.log10((frames**2).max() / total) if total > _FLOOR else 0.0
    return np.array([level.mean(), level.std(), high - low, crest, (level < -60).mean()])
