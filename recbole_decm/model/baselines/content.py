"""What the baselines that are fitted in one step have in common: blocks of training features, and scores."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from recbole.model.abstract_recommender import ContextRecommender
from torch import Tensor
from tqdm import tqdm

from recbole_decm.model.scores import DotProductScores
from recbole_decm.model.settings import Settings

BLOCK_ROWS = 8_192
"""Rows of features that are in memory at a time."""


class ContentBaseline(DotProductScores, ContextRecommender):
    """A model that is fitted to the features of the training pairs in one step, without gradients.

    What it learns are buffers, so that checkpoints and evaluation are those of every other model. Subclasses give
    vectors of both sides, whose dot products are the scores.

    Args:
        config: values of ``properties/model/<Model>.yaml``.
        dataset: a built :class:`~recbole_decm.data.dataset.DecCMDataset`, the training split.
    """

    uses_content = True
    settings_class: type[Settings]

    def __init__(self, config, dataset):
        super(ContextRecommender, self).__init__()  # ContextRecommender's builds embedding tables for every token field
        self.settings = self.settings_class.from_config(config)
        self.device = config["device"]
        self.USER_ID, self.ITEM_ID = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self.n_users, self.n_items = dataset.num(self.USER_ID), dataset.num(self.ITEM_ID)
        self.visual, self.acoustic = dataset.features[dataset.visual_field], dataset.features[dataset.acoustic_field]
        self.train_videos, self.train_music = (dataset.inter_feat[field] for field in (self.USER_ID, self.ITEM_ID))
        self._music_table: Tensor | None = None

    def fit_once(self, show_progress: bool) -> float:
        """Fit to the training pairs; returns what is logged as the training loss."""
        raise NotImplementedError

    def video_vectors(self, videos: Tensor) -> Tensor:
        """(B,) video ids -> (B, E)."""
        raise NotImplementedError

    def catalogue_vectors(self) -> Tensor:
        """(n_music, E) vectors of all music."""
        raise NotImplementedError

    def music_vectors(self) -> Tensor:
        """(n_music, E) vectors of all music; computed once per evaluation."""
        if self._music_table is None or self.training:
            self._music_table = self.catalogue_vectors()
        return self._music_table

    def train(self, mode: bool = True):
        self._music_table = None  # the buffers are about to change, or have changed
        return super().train(mode)

    # --- blocks of the training pairs -----------------------------------------------------------------------------
    def pair_blocks(self, show_progress: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Features of the training pairs, ((n, F_v), (n, F_m)) a block."""
        for rows in self._row_blocks(show_progress):
            yield self.visual_of(self.train_videos[rows]), self.acoustic_of(self.train_music[rows])

    def video_blocks(self, show_progress: bool = False) -> Iterator[Tensor]:
        """Features of the videos of the training pairs, (n, F_v) a block."""
        for rows in self._row_blocks(show_progress):
            yield self.visual_of(self.train_videos[rows])

    def _row_blocks(self, show_progress: bool):
        blocks = torch.arange(len(self.train_videos)).split(BLOCK_ROWS)
        return tqdm(blocks, desc=f"Fitting {type(self).__name__}", ncols=100) if show_progress else blocks

    def visual_of(self, videos: Tensor) -> Tensor:
        """(B,) video ids -> (B, F_v) float32 on the model's device."""
        return self.visual.lookup(videos).to(self.device)

    def acoustic_of(self, music: Tensor) -> Tensor:
        """(N,) music ids -> (N, F_m) float32 on the model's device."""
        return self.acoustic.lookup(music).to(self.device)
