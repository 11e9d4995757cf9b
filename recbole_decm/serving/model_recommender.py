"""A recommender over a checkpoint's model, in torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from recbole_decm.data.catalogue import Catalogue
from recbole_decm.errors import ConfigError
from recbole_decm.io.weights import of_tensors
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.serving.recommender import Recommender
from recbole_decm.serving.tracks import ReadColumns
from recbole_decm.serving.vectors import CatalogueVectors, exact_top_k, query_vectors
from recbole_decm.serving.videos import VideoBlock


class ModelRecommender(Recommender):
    """A model in evaluation mode, its catalogue, and an index if one is used.

    Args:
        weights: of the checkpoint, by name.
        genres: names of the preferences' columns, where the checkpoint says.
    """

    def __init__(
        self,
        model: CMVAE,
        catalogue: Catalogue,
        weights: Mapping[str, torch.Tensor],
        read_columns: ReadColumns,
        genres: tuple[str, ...] = (),
    ):
        super().__init__(catalogue.tokens, read_columns)
        self.model, self.catalogue, self.genres = model, catalogue, genres
        self.groups = model.num_groups
        self.fields = {name: matrix.dim for name, matrix in model.visual.fields.items()}
        self.music = CatalogueVectors(model)
        self._weights = weights

    @property
    def vectors(self) -> CatalogueVectors:
        return self.music

    @property
    def count(self) -> int:  # type: ignore[override]
        return self.music.count

    @property
    def dim(self) -> int:  # type: ignore[override]
        return self.music.dim

    @property
    def why_no_dot_product(self) -> str | None:
        return self.model.why_no_dot_product

    def exact(self, videos: VideoBlock, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        chosen = None if allowed is None else torch.from_numpy(allowed).to(self.model.device)
        scores, rows = exact_top_k(self.model, self.music, *_tensors(videos), k, chosen)
        return scores.cpu().numpy(), rows.cpu().numpy()

    def query_vectors(self, videos: VideoBlock) -> np.ndarray:
        return query_vectors(self.model, *_tensors(videos)).float().cpu().numpy()

    @contextmanager
    def ranking_under(self, prior: Any) -> Iterator[None]:
        if prior is None:
            yield
            return
        model: Any = self.model
        if not model.adjustment.confounded:
            name = type(model).__name__
            raise ConfigError(f"prior: expected none, since {name} as trained here has no uploader prior.")
        choice = self._choice(prior)
        if self.index is not None and model.adjustment.tracks_hold_prior:
            raise ConfigError("prior: expected none, since the index holds tracks under the model's own.")
        before, music = model.settings.inference_prior, self.music
        held = model.adjustment.tracks_hold_prior
        model.rank_under(choice)
        self.music = CatalogueVectors(model) if held or model.adjustment.tracks_hold_prior else music
        try:
            yield
        finally:
            model.rank_under(before)
            self.music = music

    def _choice(self, prior: Any) -> str | tuple[float, ...]:
        """A prior by the name that the model knows it by."""
        if isinstance(prior, Mapping):
            unknown = [name for name in prior if name not in self.genres]
            if unknown or abs(sum(prior.values()) - 1) > 1e-3 or min(prior.values()) < 0:
                known = ", ".join(self.genres) or "none, since the checkpoint does not name them"
                raise ConfigError(f"prior: expected probabilities of the genres {known}, found {dict(prior)!r:.120}.")
            return tuple(float(prior.get(name, 0.0)) for name in self.genres)
        names = {"neutral": "uniform", "mean": "mean", "uploader": "uploader"}
        if not isinstance(prior, str) or prior not in names:
            raise ConfigError(
                f"prior: expected neutral, mean, uploader or probabilities by genre, found {prior!r:.120}."
            )
        return names[prior]

    def check_preferences(self, what: str) -> None:
        if self.model.adjustment.needs_uploaders:
            return
        name = type(self.model).__name__
        if not self.model.adjustment.confounded:
            raise ConfigError(f"{what}: expected none, since {name} as trained here has no uploader prior.")
        raise ConfigError(
            f"{what}: expected inference_prior: uploader, under which {name} ranks by them, found "
            f"{self.model.settings.inference_prior}. Add --inference_prior=uploader, or leave them out."  # type: ignore[attr-defined]
        )

    def release(self) -> None:
        self.music.release()

    def owner(self) -> dict[str, str]:
        settings = asdict(self.model.settings)
        if not self.model.adjustment.tracks_hold_prior:
            settings.pop("inference_prior", None)  # it is on the video's side
        return {
            "model": type(self.model).__name__,
            "checkpoint": of_tensors(self._weights, repr(sorted(settings.items())).encode()),
            "catalogue": self.catalogue.digest(),
        }


def _tensors(videos: VideoBlock) -> tuple[torch.Tensor, torch.Tensor | None]:
    uploaders = None if videos.uploaders is None else torch.from_numpy(videos.uploaders)
    return torch.from_numpy(videos.visual), uploaders
