"""What the baselines that are fitted in one step have in common: blocks of training features, and scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from recbole_decm.data.features import training_mean
from recbole_decm.data.inputs import ModelInputs
from recbole_decm.model.base import ContentModel

BLOCK_ROWS = 8_192
"""Rows of features that are in memory at a time."""


class ContentBaseline(ContentModel):
    """A model that is fitted to the features of the training pairs in one step, without gradients.

    What it learns are buffers, so that checkpoints and evaluation are those of every other model. Subclasses give
    vectors of both sides, whose dot products are the scores.

    Args:
        settings, inputs, device: as of :class:`~recbole_decm.model.base.ContentModel`; the inputs have training pairs.
    """

    fitted_once = True

    def __init__(self, settings: Any, inputs: ModelInputs, device: torch.device | str):
        super().__init__(settings, inputs, device)
        assert inputs.pairs is not None
        self.train_videos, self.train_music = inputs.pairs
        # Where several fields make a side, one may be missing.
        self.usual_video = training_mean(self.visual, self.train_videos) if len(inputs.video) > 1 else None
        self.usual_track = training_mean(self.acoustic, self.train_music) if len(inputs.music) > 1 else None

    def fit_once(self, show_progress: bool) -> float:
        """Fit to the training pairs; returns what is logged as the training loss."""
        raise NotImplementedError

    def video_vectors(self, videos: Tensor) -> Tensor:
        """(B,) video ids -> (B, E)."""
        raise NotImplementedError

    # --- blocks of the training pairs -----------------------------------------------------------------------------
    def pair_blocks(self, show_progress: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Features of the training pairs, ((n, F_v), (n, F_m)) a block."""
        for rows in self._row_blocks(show_progress):
            yield self.visual_of(self.train_videos[rows]), self.acoustic_of(self.train_music[rows])

    def video_blocks(self, show_progress: bool = False) -> Iterator[Tensor]:
        """Features of the videos of the training pairs, (n, F_v) a block."""
        for rows in self._row_blocks(show_progress):
            yield self.visual_of(self.train_videos[rows])

    def _row_blocks(self, show_progress: bool) -> Any:
        blocks = torch.arange(len(self.train_videos)).split(BLOCK_ROWS)
        return tqdm(blocks, desc=f"Fitting {type(self).__name__}", ncols=100) if show_progress else blocks

    def visual_of(self, videos: Tensor) -> Tensor:
        """(B,) video ids -> (B, F_v) float32 on the model's device."""
        return _filled(self.visual.lookup(videos), self.usual_video).to(self.device)

    def acoustic_of(self, music: Tensor) -> Tensor:
        """(N,) music ids -> (N, F_m) float32 on the model's device."""
        return _filled(self.acoustic.lookup(music), self.usual_track).to(self.device)


def _filled(features: Tensor, usual: Tensor | None) -> Tensor:
    return features if usual is None else torch.where(features.isnan(), usual, features)
