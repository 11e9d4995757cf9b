"""The top tracks for many videos, from a checkpoint or an artefact: exact, or with an index of measured recall."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from recbole_decm.errors import ConfigError
from recbole_decm.serving import index as indexes
from recbole_decm.serving.index import IndexOptions, VectorIndex, build_index
from recbole_decm.serving.index_file import load_index, save_index
from recbole_decm.serving.lists import Lists
from recbole_decm.serving.videos import VideoBlock, Videos, by_genre, videos_in_memory

RECALL_SAMPLE = 512
_Progress = Callable[[int], object]


def _ignore(count: int) -> None:
    return None


class Recommender(Lists):
    """What ranks a catalogue for any videos by their features.

    Attributes:
        genres: what the columns of the uploaders' preferences are called; empty where nobody says.
        groups: K, of a model that looks at preferences; else None.
        fields: field -> F, of the videos.
        vectors: the catalogue's, which can be iterated over in blocks (n, E).
        count, dim: M and E.
        recall: recall@k of the index against exact search, on videos that its effort was not chosen by.
    """

    genres: tuple[str, ...]
    groups: int | None
    fields: Mapping[str, int]
    count: int
    dim: int
    index: VectorIndex | None = None
    kind: ClassVar[str]

    @property
    def vectors(self) -> Iterable[Any]:
        raise NotImplementedError

    def top(self, videos: VideoBlock, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """As of :class:`Lists`. With an index the search is approximate, unless some tracks are not allowed."""
        if self.index is not None and allowed is None:
            return self.index.search(self.query_vectors(videos), k)
        return self.exact(videos, k, allowed)

    def exact(self, videos: VideoBlock, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`top`, without an index."""
        raise NotImplementedError

    def query_vectors(self, videos: VideoBlock) -> np.ndarray:
        """(B, E) float32 of a block of videos, whose dot products with :attr:`vectors` rank the tracks."""
        raise NotImplementedError

    def ranking_under(self, prior: Any) -> AbstractContextManager[None]:
        """Rank under another prior for a while.

        Args:
            prior: ``neutral`` (every genre alike), ``mean`` (of the training uploaders), ``uploader`` (each video's
                own, which is given beside it), or genre -> probability; None for the model's own.

        Raises:
            ConfigError: the model has no prior, or not this one.
        """
        raise NotImplementedError

    def check_preferences(self, what: str) -> None:
        """Raise ConfigError unless the uploaders' preferences, given under the name ``what``, change a ranking."""
        raise NotImplementedError

    @property
    def why_no_dot_product(self) -> str | None:
        """Why no dot product ranks; None where one does."""
        return None

    def recommend(
        self,
        features: Any,
        k: int = 10,
        uploaders: Any = None,
        exclude: Iterable[str] = (),
        filter: str | None = None,
        prior: Any = None,
    ) -> pd.DataFrame:
        """The top tracks for some videos, from their features in memory.

        Args:
            features: (B, F) finite floats, of the extractor that the model was trained with; of several fields a
                dictionary, with a row of NaN where one is missing.
            k: length of each list; at most the tracks of the catalogue.
            uploaders: (B, K) genre preferences, rows sum to 1; only where they are ranked under. A pandas DataFrame
                with a column for each genre, in any order, or a matrix with columns in the order of :attr:`genres`.
            exclude: ids of tracks to leave out.
            filter: on the tracks' metadata, such as ``genre = 'pop' and duration < 60``
                (:mod:`recbole_decm.serving.filters`). Lists are shorter where fewer than k tracks are left.
            prior: as of :meth:`ranking_under`.

        Returns:
            One line for each video and rank: ``row`` (of ``features``, from 0), ``rank`` (from 1), ``music_id`` and
            ``score``.

        Raises:
            DataError: features or preferences of another shape or type, or no finite numbers.
            ConfigError: ``k`` is below 1 or above the size of the catalogue; preferences or a prior that are needed
                and not given, or given and not used; a filter that cannot be read.
        """
        self.check_length(k)
        with self.ranking_under(prior):
            if uploaders is not None:
                self.check_preferences("uploaders")
            if isinstance(uploaders, pd.DataFrame):
                uploaders = by_genre(uploaders, self.genres, "uploaders")
            videos = videos_in_memory(features, self.fields, uploaders, self.groups)
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
        if self.why_no_dot_product:
            raise ConfigError(f"--index: expected exact, since {self.why_no_dot_product}, found {options.kind}.")
        index = self._obtain_index(options, file, on_rows)
        sample = videos.sample(RECALL_SAMPLE)
        queries, exact = self.query_vectors(sample), self.exact(sample, k)[1]
        indexes.calibrate(index, queries[::2], exact[::2], target)
        held_out = slice(1, None, 2) if len(queries) > 1 else slice(None)
        self.recall = indexes.recall(index.search(queries[held_out], k)[1], exact[held_out])
        self.index = index
        self.release()

    def release(self) -> None:
        """Give back the memory of vectors that an index has, too."""

    def _obtain_index(self, options: IndexOptions, file: Path | None, on_rows: _Progress) -> VectorIndex:
        if file is None:
            return build_index(self.vectors, self.count, self.dim, options, on_rows)
        owner = {**self.owner(), "kind": options.kind}
        if file.exists():
            return load_index(file, owner, self.count, self.dim)
        index = build_index(self.vectors, self.count, self.dim, options, on_rows)
        save_index(index, file, owner)
        return index

    def owner(self) -> dict[str, str]:
        """What the catalogue's vectors depend on."""
        raise NotImplementedError
