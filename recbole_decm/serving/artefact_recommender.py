"""A recommender over an artefact, without torch and RecBole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from recbole_decm.errors import ConfigError
from recbole_decm.media.cards import from_values
from recbole_decm.serving.artefact import Artefact, exact_top_k, open_artefact
from recbole_decm.serving.filters import Column
from recbole_decm.serving.recommender import Recommender
from recbole_decm.serving.uploads import open_folder_or_file
from recbole_decm.serving.videos import FileVideos, VideoBlock, VideoChoice

_ROWS = 16_384


def is_artefact(path: Path | str) -> bool:
    """Whether a path is that of an artefact rather than of a checkpoint: a folder."""
    return Path(path).is_dir()


class ArtefactRecommender(Recommender):
    """The tracks of an artefact, ranked for any videos.

    Args:
        folder: which ``recbole-decm export`` wrote.

    Raises:
        DataError: no artefact, damaged, or of a newer version.
    """

    def __init__(self, folder: Path | str):
        self.artefact: Artefact = open_artefact(folder)
        super().__init__(self.artefact.ids, self._columns)
        manifest = self.artefact.manifest
        self.genres, self.fields = tuple(manifest.genres), dict(manifest.video_fields)
        self.groups = len(self.genres) or None
        self.count, self.dim = manifest.tracks, manifest.dim
        self._prior: Any = "uploader" if manifest.ranks_by_uploader else None

    @classmethod
    def of(cls, folder: Path | str, arguments: Sequence[str] = ()) -> ArtefactRecommender:
        """Open a folder; there are no values to change.

        Raises:
            ConfigError: values are given.
        """
        if arguments:
            raise ConfigError(
                f"{folder}: expected no further values, since an artefact is as it was exported, found {arguments[0]}."
            )
        return cls(folder)

    def _columns(self, tokens: np.ndarray, names: Iterable[str]) -> dict[str, Column]:
        metadata, wanted = self.artefact.metadata, set(names)
        return {name: Column.of(metadata[name].to_numpy()) for name in metadata if name in wanted}

    @property
    def vectors(self) -> Iterable[np.ndarray]:
        whole = self.artefact.vectors
        return [whole[start : start + _ROWS] for start in range(0, len(whole), _ROWS)]

    def exact(self, videos: VideoBlock, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        return exact_top_k(self.query_vectors(videos), self.artefact.vectors, k, allowed)

    def query_vectors(self, videos: VideoBlock) -> np.ndarray:
        ends = np.cumsum(list(self.fields.values()))[:-1]
        features = dict(zip(self.fields, np.split(videos.visual, ends, axis=1), strict=True))
        return self.artefact.query_vectors(features, self._priors(len(videos.labels), videos.uploaders))

    def _priors(self, count: int, uploaders: np.ndarray | None) -> np.ndarray | None:
        if not self.artefact.manifest.takes_priors:
            return None
        if self._prior == "uploader":
            if uploaders is None:
                raise ConfigError(
                    "prior: expected neutral, mean or probabilities where the uploaders' preferences are not given, "
                    "found uploader. Give them with --uploaders, or rank under another prior: --prior=neutral."
                )
            return uploaders
        return self.artefact.priors(self._prior, count)

    @contextmanager
    def ranking_under(self, prior: Any) -> Iterator[None]:
        manifest, before = self.artefact.manifest, self._prior
        if prior is not None:
            if not manifest.takes_priors:
                raise ConfigError(f"prior: expected none. {manifest.why_no_prior_changes}")
            if prior != "uploader":
                self.artefact.priors(prior, 1)
            self._prior = dict(prior) if isinstance(prior, Mapping) else prior
        try:
            yield
        finally:
            self._prior = before

    def check_preferences(self, what: str) -> None:
        if self._prior == "uploader":
            return
        name = self.artefact.manifest.model
        if not self.artefact.manifest.takes_priors:
            raise ConfigError(f"{what}: expected none. {self.artefact.manifest.why_no_prior_changes}")
        raise ConfigError(
            f"{what}: expected the prior uploader, under which {name} ranks by them, found "
            f"{self._prior or self.artefact.manifest.inference_prior}. Add --prior=uploader, or leave them out."
        )

    def owner(self) -> dict[str, str]:
        return {"artefact": self.artefact.manifest.id}


def open_artefact_with_videos(
    folder: Path | str, choice: VideoChoice, arguments: Sequence[str] = ()
) -> tuple[ArtefactRecommender, FileVideos]:
    """An artefact, and the videos of a file to recommend for.

    Raises:
        ConfigError: no file of videos.
        DecCMError: a bad artefact, or features that do not fit.
    """
    if choice.file is None:
        raise ConfigError("--videos: expected features of videos, since an artefact has no data set, found none.")
    recommender = ArtefactRecommender.of(folder, arguments)
    cards = recommender.artefact.manifest.features
    known = from_values(cards, f"{folder}, features") if cards else {}
    return recommender, open_folder_or_file(recommender, known, choice)
