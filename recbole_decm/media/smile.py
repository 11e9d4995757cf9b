"""Functionals of openSMILE, the paper's features of sound. Their licence admits no commercial use."""

from __future__ import annotations

from typing import Any

import numpy as np

from recbole_decm.errors import ConfigError, suggest
from recbole_decm.media.cards import Card
from recbole_decm.media.extractor import Extractor
from recbole_decm.media.optional import require
from recbole_decm.media.pooling import Moments, Windows
from recbole_decm.media.wants import Sound

_RATE, _WINDOW, _LEAST = 44100, 30, 1  # samples a second; seconds of a window, and of a last one that counts


def open_opensmile(source: str) -> Extractor:
    """A feature set, such as ``eGeMAPSv02`` or ``ComParE_2016``: the mean of its functionals over windows of 30 s."""
    opensmile = require("opensmile", "media-opensmile")
    names = [entry.name for entry in opensmile.FeatureSet]
    if source not in names:
        raise ConfigError(
            f"opensmile:{source}: expected one of {', '.join(names)}, found {source}.{suggest(source, names)}"
        )
    smile = opensmile.Smile(opensmile.FeatureSet[source], opensmile.FeatureLevel.Functionals)
    card = Card(
        extractor="opensmile",
        source=source,
        version=1,
        weights=f"{source} of openSMILE {opensmile.__version__}",
        sampling={"rate": _RATE},
        window=f"mean over windows of {_WINDOW} s",
        dimension=smile.num_features,
        licence="audEERING Research License: no commercial use",
    )
    return Extractor(card, Sound(_RATE), lambda: _Reader(smile, card.dimension))


class _Reader:
    def __init__(self, smile: Any, dimension: int) -> None:
        self._smile, self._moments = smile, Moments(dimension)
        self._windows = Windows(_WINDOW * _RATE, _LEAST * _RATE, self._take)

    def add(self, samples: np.ndarray) -> None:
        self._windows.add(samples)

    def vector(self) -> np.ndarray:
        self._windows.end()
        return self._moments.mean.astype(np.float32)

    def _take(self, window: np.ndarray) -> None:
        window = np.pad(window, (0, max(0, _LEAST * _RATE - len(window))))
        found = self._smile.process_signal(window, _RATE).to_numpy(np.float64)[0]
        self._moments.add(np.nan_to_num(found))  # what has no meaning in silence is 0
