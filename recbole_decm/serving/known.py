"""Lists for videos of a data set by the model's own ``full_sort_predict``: any model, ours or RecBole's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from recbole_decm.model.cmvae import CMVAE
from recbole_decm.serving.lists import Lists
from recbole_decm.serving.search import RunningTopK
from recbole_decm.serving.tracks import ReadColumns
from recbole_decm.serving.videos import VideoBlock, Videos


@dataclass(frozen=True)
class DatasetVideos(Videos):
    """Videos of a data set with their features.

    Attributes:
        ids: (N,) int64 internal ids; tokens: (n_videos,) what they are called in the files.
    """

    model: CMVAE
    ids: np.ndarray
    tokens: np.ndarray
    label: str = "video_id"

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: np.ndarray) -> VideoBlock:
        ids = torch.from_numpy(self.ids[places])
        uploaders = self.model.uploaders_of(ids)
        visual = self.model.visual.lookup(ids).cpu().numpy()
        return VideoBlock(self.tokens[ids.numpy()], visual, None if uploaders is None else uploaders.cpu().numpy())


class KnownBlock(NamedTuple):
    """Some videos of a data set: labels (B,) and internal ids (B,) int64."""

    labels: np.ndarray
    ids: np.ndarray


@dataclass(frozen=True)
class KnownVideos(Videos):
    """Videos of a data set by their ids alone.

    Attributes:
        ids: (N,) int64 internal ids; tokens: (n_videos,) what they are called in the files.
    """

    ids: np.ndarray
    tokens: np.ndarray
    label: str = "video_id"

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: np.ndarray) -> KnownBlock:
        ids = self.ids[places]
        return KnownBlock(self.tokens[ids], ids)


class KnownLists(Lists):
    """A model that ranks the tracks of its data set for the videos of its data set.

    Args:
        trainer: of the model, with its weights loaded; dataset: of the training split.
    """

    def __init__(self, trainer: Any, dataset: Any, read_columns: ReadColumns):
        super().__init__(dataset.field2id_token[dataset.iid_field][1:], read_columns)
        self._trainer, self._dataset = trainer, dataset
        self._step = max(1, trainer.config["eval_batch_size"] // dataset.item_num)

    def top(self, videos: KnownBlock, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """As of :class:`Lists`; of equal scores the track that comes first wins."""
        found = []
        for ids in torch.from_numpy(videos.ids).split(self._step):
            scores = self._trainer.scores_of_videos(self._dataset, ids)[:, 1:]
            if allowed is not None:
                scores[:, torch.from_numpy(~allowed).to(scores.device)] = -torch.inf
            best = RunningTopK(len(scores), k, scores)
            best.update(scores, 0)
            found.append((best.scores.cpu().numpy(), best.indices.cpu().numpy()))
        scores_of, rows_of = zip(*found, strict=True)
        return np.concatenate(scores_of), np.concatenate(rows_of)
