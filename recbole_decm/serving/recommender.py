"""The top music for many videos, from a checkpoint: exact, or with an index whose recall is measured first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from recbole_decm.data.catalogue import Catalogue
from recbole_decm.errors import ConfigError
from recbole_decm.io.digest import of_tensors
from recbole_decm.io.write import replacing
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.serving import index as indexes
from recbole_decm.serving.index import IndexOptions, VectorIndex, build_index
from recbole_decm.serving.index_file import load_index, save_index
from recbole_decm.serving.search import VIDEO_BLOCK
from recbole_decm.serving.vectors import CatalogueVectors, exact_top_k, query_vectors
from recbole_decm.serving.videos import VideoBlock, Videos, videos_in_memory

RECALL_SAMPLE = 512
_Progress = Callable[[int], object]


def _ignore(count: int) -> None:
    return None


class Recommender:
    """A model in evaluation mode, its catalogue, and an index if one is used.

    Attributes:
        music: the catalogue's vectors; tokens: (M,) str, the ids of its rows.
        recall: recall@k of the index against exact search, on videos that its effort was not chosen by.

    Raises:
        ConfigError: the model's ranking is not told by vectors alone.
    """

    def __init__(self, model: CMVAE, catalogue: Catalogue, weights: Mapping[str, torch.Tensor]):
        if model.why_not_served:
            raise ConfigError(f"recommend: {model.why_not_served}.")
        self.model, self.catalogue, self.tokens = model, catalogue, catalogue.tokens
        self.music = CatalogueVectors(model)
        self._weights = weights
        self.index: VectorIndex | None = None
        self.recall: float | None = None

    def top(self, videos: VideoBlock, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and catalogue rows of some videos, (B, k) each, best first; -inf and -1 where an index finds fewer."""
        if self.index is not None:
            return self.index.search(self._queries(videos), k)
        scores, rows = exact_top_k(self.model, self.music, videos.visual, videos.uploaders, k)
        return scores.cpu().numpy(), rows.cpu().numpy()

    def _queries(self, videos: VideoBlock) -> np.ndarray:
        return query_vectors(self.model, videos.visual, videos.uploaders).float().cpu().numpy()

    def recommend(self, visual: Any, k: int = 10, uploaders: Any = None) -> pd.DataFrame:
        """The top tracks for some videos, from their features in memory.

        Args:
            visual: (B, F) finite floats, of the extractor that the model was trained with.
            k: length of each list; at most the tracks of the catalogue.
            uploaders: (B, K) genre preferences, rows sum to 1; only for a model that ranks under them.

        Returns:
            One line for each video and rank: ``row`` (of ``visual``, from 0), ``rank`` (from 1), ``music_id`` and
            ``score``.

        Raises:
            DataError: features or preferences of another shape, or no finite numbers.
            ConfigError: ``k`` is below 1 or above the size of the catalogue; preferences are needed and not given.
        """
        if not 1 <= k <= self.music.count:
            raise ConfigError(f"k: expected a number from 1 to {self.music.count}, the tracks, found {k}.")
        videos = videos_in_memory(visual, self.model.visual.dim, uploaders, self.model.num_groups)
        return pd.concat(self.frames(videos, k), ignore_index=True)

    def frames(self, videos: Videos, k: int, block: int = VIDEO_BLOCK) -> Iterator[pd.DataFrame]:
        """The recommendations of all videos, ``block`` at a time.

        Yields:
            Tables of ``row`` or ``video_id``, ``rank`` (from 1), ``music_id`` and ``score``.
        """
        for part in videos.blocks(block):
            scores, rows = self.top(part, k)
            table = {
                videos.label: np.repeat(part.labels, k),
                "rank": np.tile(np.arange(1, k + 1), len(part.labels)),
                "music_id": self.tokens[rows.reshape(-1)],
                "score": scores.reshape(-1),
            }
            yield pd.DataFrame(table)[rows.reshape(-1) >= 0]

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
        if not self.model.adjustment.ranks_by_dot_product:
            raise ConfigError(
                "--index: expected exact, since backdoor: exact with this confounder_fusion sums probabilities over "
                f"the groups and is no dot product, found {options.kind}."
            )
        index = self._obtain_index(options, file, on_rows)
        sample = videos.sample(RECALL_SAMPLE)
        queries = self._queries(sample)
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
        owner = {**self._owner(), "kind": options.kind}
        if file.exists():
            return load_index(file, owner, count, dim)
        index = build_index(self.music, count, dim, options, on_rows)
        save_index(index, file, owner)
        return index

    def _owner(self) -> dict[str, str]:
        """What the catalogue's vectors depend on."""
        settings = asdict(self.model.settings)
        if not self.model.adjustment.tracks_hold_prior:
            settings.pop("inference_prior", None)  # it is on the video's side
        return {
            "model": type(self.model).__name__,
            "checkpoint": of_tensors(self._weights, repr(sorted(settings.items())).encode()),
            "catalogue": self.catalogue.digest(),
        }


def write_tables(frames: Iterable[pd.DataFrame], path: Path, on_videos: _Progress = _ignore) -> int:
    """Write tables one after the other as one CSV file, whole or not at all.

    Args:
        on_videos: told the number of videos of each table.

    Returns:
        Number of lines below the header.

    Raises:
        ResourceError: the disk is full or the folder cannot be written to.
    """
    lines = 0
    with replacing(path) as name, name.open("w", encoding="utf-8", newline="") as file:
        for frame in frames:
            frame.to_csv(file, index=False, header=not lines, float_format="%.7g", lineterminator="\n")
            lines += len(frame)
            on_videos(int((frame["rank"] == 1).sum()))
    return lines
