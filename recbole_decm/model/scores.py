"""Scores that are dot products of a video's vector with a track's, as RecBole's trainers ask for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PAIR_CELLS = 2**24
"""Numbers in memory at a time where pairs are scored one by one."""


class DotProductScores:
    """Mixed into a model that has ``video_vectors`` (B,) -> (B, D) and ``music_vectors`` () -> (n_music, D)."""

    USER_ID: str
    ITEM_ID: str

    def score_matrix(self, videos: Tensor) -> Tensor:
        """Scores of (B,) video ids with the whole catalogue as one matrix product, (B, n_music)."""
        return self.video_vectors(videos) @ self.music_vectors().T

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Scores of videos with the whole catalogue, flat: (B * n_music,)."""
        return self.score_matrix(interaction[self.USER_ID]).view(-1)

    def predict(self, interaction: Any) -> Tensor:
        """Scores of given (video, music) pairs, (B,); each distinct video is encoded once."""
        videos, index = torch.unique(interaction[self.USER_ID], return_inverse=True)
        video, music = self.video_vectors(videos), self.music_vectors()
        step = max(1, PAIR_CELLS // video.shape[1])
        blocks = zip(index.split(step), interaction[self.ITEM_ID].split(step), strict=True)
        return torch.cat([(video[rows] * music[ids]).sum(dim=1) for rows, ids in blocks])

    def video_vectors(self, videos: Tensor) -> Tensor:
        raise NotImplementedError

    def music_vectors(self) -> Tensor:
        raise NotImplementedError
