"""An artefact whose score is a match and a part for each genre, in numpy: what a service answers can be computed."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd

from recbole_decm.errors import ConfigError

GENRES = ("g0", "g1", "g2")
VISUAL, ACOUSTIC, DIM = 5, 6, 4
SIDES = (("video_fields", "visual", VISUAL), ("track_fields", "acoustic", ACOUSTIC))
WEIGHT = 0.5  # of the genre's part


class GenreArtefact:
    """Query [v, l(p)], track [z, WEIGHT * genres]; l(p) is the centred logarithm of p."""

    def __init__(self, name: str, seed: int, own: SimpleNamespace | None = None, **changed):
        draw = np.random.default_rng(seed)
        visual, acoustic = (changed.get(side, {name: dim})[name] for side, name, dim in SIDES)
        self.visual = draw.standard_normal((visual, DIM)).astype(np.float32)
        self.acoustic = draw.standard_normal((acoustic, DIM)).astype(np.float32)
        values = dict(
            id=name, model="Fake", format_version=1, settings={}, genres=GENRES, features=None, dim=DIM + len(GENRES),
            video_fields={"visual": VISUAL}, track_fields={"acoustic": ACOUSTIC}, priors=(0.6, 0.3, 0.1),
            ranks_by_uploader=True, why_no_prior_changes=None, additive=True, inference_prior="uploader",
            takes_priors=True, files={},
        )  # fmt: skip
        self.dim = DIM + len(GENRES)
        self.manifest, self.name, self.seed = SimpleNamespace(**(values | changed)), name, seed
        self.tracks = own if own is not None else tracks([])
        self.vectors = self.track_vectors(self.tracks.features, self.tracks.metadata.get("genre", []))

    def priors(self, choice, count, rows=None):
        if isinstance(choice, dict):
            if set(choice) - set(GENRES):
                raise ConfigError("prior: expected the genres of the model, found others.")
            found = np.array([choice.get(name, 0.0) for name in GENRES])
        else:
            found = np.full(3, 1 / 3) if choice == "neutral" else np.array(self.manifest.priors)
        return np.tile(found.astype(np.float32), (count, 1))

    def history_prior(self, genres):
        counts = np.array([sum(name in track for track in genres) for name in GENRES]) + 0.1
        return (counts / counts.sum()).astype(np.float32)

    def query_vectors(self, features, priors=None):
        logs = np.log(np.maximum(priors, 1e-6))
        return np.concatenate(
            [features["visual"] @ self.visual, logs - logs.mean(axis=1, keepdims=True)], axis=1
        ).astype(np.float32)

    def track_vectors(self, features, genres):
        member = np.array([[name in track for name in GENRES] for track in genres], np.float32).reshape(-1, 3)
        return np.concatenate([features["acoustic"] @ self.acoustic, WEIGHT * member], axis=1).astype(np.float32)

    def parts(self, queries, vectors):
        match = queries[:, :DIM] @ vectors[:, :DIM].T
        return match, queries[:, None, DIM:] * vectors[None, :, DIM:]

    def encoder_files(self):
        return {"name.json": json.dumps([self.name, self.seed]).encode()}


def tracks(ids, seed: int = 1) -> SimpleNamespace:
    """Tracks with random features, one genre each by turns, an artist and a duration."""
    draw, count = np.random.default_rng(seed), len(ids)
    metadata = pd.DataFrame(
        {
            "genre": [[GENRES[at % 3]] for at in range(count)],
            "artist": [f"a{at % 4}" for at in range(count)],
            "duration": [float(20 + 10 * (at % 6)) for at in range(count)],
            "popularity": [float(at) for at in range(count)],
        }
    )
    features = draw.standard_normal((count, ACOUSTIC)).astype(np.float32)
    return SimpleNamespace(ids=np.array(ids, dtype=object), features={"acoustic": features}, metadata=metadata)


def opened(store, version: str) -> GenreArtefact:
    """A version of a store, as it was published."""
    name, seed = json.loads(store.files(version)["name.json"])
    return GenreArtefact(name, seed)
