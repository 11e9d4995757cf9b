"""The top music for many videos, from a checkpoint: exact, or with an index whose recall is measured first."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from recbole_decm.errors import ConfigError, ResourceError
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.serving import index as indexes
from recbole_decm.serving.catalogue import Catalogue, content_model, serving_model
from recbole_decm.serving.index import IndexOptions, VectorIndex, build_index
from recbole_decm.serving.index_file import load_index, save_index
from recbole_decm.serving.search import VIDEO_BLOCK
from recbole_decm.serving.vectors import CatalogueVectors, exact_top_k, query_vectors
from recbole_decm.serving.videos import DatasetVideos, VideoBlock, Videos, open_videos
from recbole_decm.training.checkpoint import load_weights, read_checkpoint
from recbole_decm.training.evaluate import restored_config
from recbole_decm.training.run import build

RECALL_SAMPLE = 512
_Progress = Callable[[int], object]


def _ignore(count: int) -> None:
    return None


class Recommender:
    """A model in evaluation mode, its catalogue, and an index if one is used.

    Attributes:
        music: the catalogue's vectors; tokens: (M,) str, the ids of its rows.
        recall: recall@k of the index against exact search, on videos that its effort was not chosen by.
    """

    def __init__(self, model: CMVAE, catalogue: Catalogue, weights: Mapping[str, torch.Tensor]):
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
        digest = hashlib.blake2b(repr(sorted(settings.items())).encode(), digest_size=8)
        for name in sorted(self._weights):
            digest.update(name.encode() + self._weights[name].cpu().numpy().tobytes())
        return {
            "model": type(self.model).__name__,
            "checkpoint": digest.hexdigest(),
            "catalogue": self.catalogue.digest(),
        }


@dataclass(frozen=True)
class VideoChoice:
    """Which videos to recommend for: a file of features, or else a split of the data set.

    Attributes:
        file: ``.npy`` (N, F); uploaders: ``.npy`` (N, K), for a model that ranks under the uploaders' preferences.
        split: ``test`` or ``all``.
    """

    file: Path | None = None
    uploaders: Path | None = None
    split: str = "test"


def open_recommender(
    checkpoint: Path | str, choice: VideoChoice, arguments: Sequence[str] = ()
) -> tuple[Recommender, Videos]:
    """Load a checkpoint, the catalogue, and the videos to recommend for.

    For a file of videos, neither the interactions nor the videos of the data set are read.

    Args:
        arguments: ``--key=value``, above the values the checkpoint was trained with; ``--dataset=NAME`` ranks the
            catalogue of another data set.

    Raises:
        DecCMError: bad checkpoint, config, data or file of videos.
    """
    content = read_checkpoint(checkpoint)
    content_model(content["model"])
    config = restored_config(content, arguments)
    if choice.file is not None:
        model, catalogue = serving_model(content, config, checkpoint)
        videos: Videos = open_videos(choice.file, model.visual.dim, choice.uploaders, model.num_groups)
        return Recommender(model, catalogue, content["state_dict"]), videos
    if choice.uploaders is not None:
        raise ConfigError("--uploaders: expected --videos beside it; the videos of a split have their uploaders.")
    return _of_dataset(content, config, checkpoint, choice.split)


def _of_dataset(content: dict, config: Any, checkpoint: Path | str, split: str) -> tuple[Recommender, Videos]:
    model, splits = build(config)
    load_weights(model, content["state_dict"], checkpoint)
    model.eval()
    dataset = splits.dataset
    ids = np.arange(1, dataset.user_num)
    if split == "test":
        if splits.test is None:
            raise ConfigError("--split: expected all, since the data set has no test split, found test.")
        ids = splits.test.users
    tokens = dataset.field2id_token[dataset.iid_field][1:]
    genres = dataset.genre_membership if model.needs_genre(model.settings) else None
    catalogue = Catalogue(tokens, model.acoustic, genres)
    videos = DatasetVideos(model, ids, dataset.field2id_token[dataset.uid_field])
    return Recommender(model, catalogue, content["state_dict"]), videos


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ResourceError(f"{path}: expected to write the file, but {error.strerror}.") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            for frame in frames:
                frame.to_csv(file, index=False, header=not lines, float_format="%.7g", lineterminator="\n")
                lines += len(frame)
                on_videos(int((frame["rank"] == 1).sum()))
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException as error:
        os.unlink(name)
        if isinstance(error, OSError):
            raise ResourceError(f"{path}: expected to write the file, but {error.strerror}.") from error
        raise
    return lines
