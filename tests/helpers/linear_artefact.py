"""An artefact whose encoders are one matrix: what a store and a live catalogue must answer can be computed by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

GENRES = ("pop", "jazz", "rock")


@dataclass
class LinearTracks:
    ids: np.ndarray
    features: dict[str, np.ndarray]
    metadata: Any


def tracks(ids, seed: int = 0, width: int = 6, metadata: Any = None) -> LinearTracks:
    """Tracks with random features, and a genre, a number and a text of metadata unless others are given."""
    ids = np.array(ids, dtype=object)
    draw = np.random.default_rng(seed)
    if metadata is None:
        genre = [[GENRES[at] for at in draw.permutation(3)[: draw.integers(3)]] for _ in ids]
        bpm = np.where(draw.random(len(ids)) < 0.2, np.nan, draw.integers(60, 180, len(ids)))
        artist = [["Ann", "Bob", ""][at] for at in draw.integers(3, size=len(ids))]
        metadata = pd.DataFrame({"genre": genre, "bpm": bpm, "artist": artist})
    return LinearTracks(ids, {"acoustic": draw.standard_normal((len(ids), width), dtype=np.float32)}, metadata)


class LinearArtefact:
    """Vectors are features times a matrix, plus one number for each genre that the track has."""

    def __init__(self, weights: np.ndarray, name: str, own: LinearTracks | None = None):
        self.weights = weights.astype(np.float32)
        self.manifest = SimpleNamespace(id=name, track_fields={"acoustic": len(weights)}, features=None)
        self.dim = weights.shape[1]
        self.tracks = own if own is not None else tracks([])
        self.vectors = self.track_vectors(self.tracks.features, [list(cell) for cell in self._genres()])
        self.encoded = 0

    def _genres(self):
        return self.tracks.metadata["genre"] if "genre" in self.tracks.metadata else [[]] * len(self.tracks.ids)

    def track_vectors(self, features, genres) -> np.ndarray:
        self.encoded = getattr(self, "encoded", 0) + len(genres)
        shift = np.array([[0.1 * len(part)] for part in genres], np.float32).reshape(-1, 1)
        return features["acoustic"] @ self.weights + shift

    def encoder_files(self) -> dict[str, bytes]:
        return {"name.json": json.dumps(self.manifest.id).encode(), "weights.bin": self.weights.tobytes()}


def artefact(
    name: str = "one", seed: int = 0, count: int = 0, width: int = 6, dim: int = 4, own=None
) -> LinearArtefact:
    """An artefact of random weights, with ``count`` tracks t0, t1, ..."""
    weights = np.random.default_rng(seed).standard_normal((width, dim))
    return LinearArtefact(weights, name, own or tracks([f"t{at}" for at in range(count)], seed + 1, width))


def opened(store, version: str) -> LinearArtefact:
    """A version of a store, as :func:`artefact` made it."""
    files = store.files(version)
    weights = np.frombuffer(files["weights.bin"], np.float32).reshape(6, -1)
    return LinearArtefact(weights, json.loads(files["name.json"]))
