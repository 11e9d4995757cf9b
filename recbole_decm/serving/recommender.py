"""The top tracks for many videos, from a checkpoint: exact, or with an index whose recall is measured first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from recbole_decm.data.catalogue import Catalogue
from recbole_decm.errors import ConfigError
from recbole_decm.io.weights import of_tensors
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.serving import index as indexes
from recbole_decm.serving.index import IndexOptions, VectorIndex, build_index
from recbole_decm.serving.index_file import load_index, save_index
from recbole_decm.serving.lists import Lists
from recbole_decm.serving.tracks import ReadColumns
from recbole_decm.serving.vectors import CatalogueVectors, exact_top_k, query_vectors
from recbole_decm.serving.videos import VideoBlock, Videos, by_genre, video_dims, videos_in_memory

RECALL_SAMPLE = 512
_Progress = Callable[[int], object]


def _ignore(count: int) -> None:
    return None


class Recommender(Lists):
    """A model in evaluation mode, its catalogue, and an index if one is used.

    Attributes:
        music: the catalogue's vectors; tokens: (M,) str, the ids of its rows.
        genres: what the columns of the uploaders' preferences are called; empty where the checkpoint does not say.
        recall: recall@k of the index against exact search, on videos that its effort was not chosen by.
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
        self.music = CatalogueVectors(model)
        self._weights = weights
        self.index: VectorIndex | None = None

    def top(self, videos: VideoBlock, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """As of :class:`Lists`. With an index the search is approximate, unless some tracks are not allowed."""
        if self.index is not None and allowed is None:
            return self.index.search(self.query_vectors(videos), k)
        chosen = None if allowed is None else torch.from_numpy(allowed).to(self.model.device)
        scores, rows = exact_top_k(self.model, self.music, videos.visual, videos.uploaders, k, chosen)
        return scores.cpu().numpy(), rows.cpu().numpy()

    def query_vectors(self, videos: VideoBlock) -> np.ndarray:
        """(B, E) float32 of a block of videos, whose dot products with :attr:`music` rank as the model does."""
        return query_vectors(self.model, videos.visual, videos.uploaders).float().cpu().numpy()

    def check_preferences(self, what: str) -> None:
        """Raise ConfigError unless the uploaders' preferences, given under the name ``what``, change a ranking."""
        if self.model.adjustment.needs_uploaders:
            return
        name = type(self.model).__name__
        if not self.model.adjustment.confounded:
            raise ConfigError(f"{what}: expected none, since {name} as trained here has no uploader prior.")
        raise ConfigError(
            f"{what}: expected inference_prior: uploader, under which {name} ranks by them, found "
            f"{self.model.settings.inference_prior}. Add --inference_prior=uploader, or leave them out."  # type: ignore[attr-defined]
        )

    def recommend(
        self,
        visual: Any,
        k: int = 10,
        uploaders: Any = None,
        exclude: Iterable[str] = (),
        filter: str | None = None,
    ) -> pd.DataFrame:
        """The top tracks for some videos, from their features in memory.

        Args:
            visual: (B, F) finite floats, of the extractor that the model was trained with; of several fields a
                dictionary, with a row of NaN where one is missing.
            k: length of each list; at most the tracks of the catalogue.
            uploaders: (B, K) genre preferences, rows sum to 1; only for a model that ranks under them. A pandas
                DataFrame with a column for each genre, in any order, or a matrix with columns in the order of
                :attr:`genres`.
            exclude: ids of tracks to leave out.
            filter: on the tracks' metadata, such as ``genre = 'pop' and duration < 60``
                (:mod:`recbole_decm.serving.filters`). Lists are shorter where fewer than k tracks are left.

        Returns:
            One line for each video and rank: ``row`` (of ``visual``, from 0), ``rank`` (from 1), ``music_id`` and
            ``score``.

        Raises:
            DataError: features or preferences of another shape or type, or no finite numbers.
            ConfigError: ``k`` is below 1 or above the size of the catalogue; preferences are needed and not given, or
                given and not used; a filter that cannot be read.
        """
        self.check_length(k)
        if uploaders is not None:
            self.check_preferences("uploaders")
        if isinstance(uploaders, pd.DataFrame):
            uploaders = by_genre(uploaders, self.genres, "uploaders")
        videos = videos_in_memory(visual, video_dims(self.model), uploaders, self.model.num_groups)
        return pd.concat(self.frames(videos, k, allowed=self.allowed(exclude, filter)), ignore_index=True)

    def use_index(
        self,
        options: IndexOptions,
        videos: Videos,
        k: int,
        target: float = 0.95,
        file: Path | None = None,
        on_rows: _Progress = _ignore,
    ) -> None:
        """Search with an index from now on, at the least effort that reaches a recall.

        Effort and :attr:`recall` come from two halves of a sample of ``videos``, compared with exact search.

        Args:
            target: of recall@k.
            file: where the index is kept: read where it exists, written where it does not.

        Raises:
            ConfigError: the model's ranking is that of no dot product; faiss is not installed.
            DataError: the file is damaged, or belongs to another model or catalogue.
            ResourceError: not enough memory or disk.
        """
        if self.model.why_no_dot_product:
            raise ConfigError(f"--index: expected exact, since {self.model.why_no_dot_product}, found {options.kind}.")
        index = self._obtain_index(options, file, on_rows)
        sample = videos.sample(RECALL_SAMPLE)
        queries = self.query_vectors(sample)
        exact = exact_top_k(self.model, self.music, sample.visual, sample.uploaders, k)[1].cpu().numpy()
        indexes.calibrate(index, queries[::2], exact[::2], target)
        held_out = slice(1, None, 2) if len(queries) > 1 else slice(None)
        self.recall = indexes.recall(index.search(queries[held_out], k)[1], exact[held_out])
        self.index = index
        self.music.release()

    def _obtain_index(self, options: IndexOptions, file: Path | None, on_rows: _Progress) -> VectorIndex:
        count, dim = self.music.count, self.music.dim
        if file is None:
            return build_index(self.music, count, dim, options, on_rows)
        owner = {**self.owner(), "kind": options.kind}
        if file.exists():
            return load_index(file, owner, count, dim)
        index = build_index(self.music, count, dim, options, on_rows)
        save_index(index, file, owner)
        return index

    def owner(self) -> dict[str, str]:
        """What the catalogue's vectors depend on."""
        settings = asdict(self.model.settings)
        if not self.model.adjustment.tracks_hold_prior:
            settings.pop("inference_prior", None)  # it is on the video's side
        return {
            "model": type(self.model).__name__,
            "checkpoint": of_tensors(self._weights, repr(sorted(settings.items())).encode()),
            "catalogue": self.catalogue.digest(),
        }
