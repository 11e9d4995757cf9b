"""Folds of whole groups within the rows that a training may see, for choices that no test may enter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction

from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.loaders import FullRankingLoader, Splits, train_loader
from recbole_decm.data.splits import PARTS, Folding, leave_groups_out

FOLDS = 5
"""One is ranked, the next one is the validation set, and the others are for training."""


class PoolLoader(FullRankingLoader):
    """Every video against the tracks of a pool; the rest of the catalogue is not ranked.

    Args:
        pool: (m,) int64 ids of tracks, ascending, every positive among them.
    """

    def __init__(self, config: Any, dataset: DecCMDataset, pool: np.ndarray):
        super().__init__(config, dataset, [])
        self.pool = pool

    def table(self, scores: torch.Tensor, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One column a track of the pool."""
        tracks, positives = torch.from_numpy(self.pool), self._positives(start, stop)[1].numpy()
        places = torch.from_numpy(np.searchsorted(self.pool, positives))
        return scores[:, tracks.to(scores.device)], tracks.expand(len(scores), -1), places


class NestedRows:
    """The training and validation rows of a data set.

    Attributes:
        videos, tracks: (n,) int64 ids of the rows.
        groups: (n,) int64 group of each row: its uploader; where that is not known, the rows of the same uploader
            preference; where that is not known either, the rows of its track.
        pool: (m,) int64 ids of the tracks of these rows, ascending.
    """

    def __init__(self, train: DecCMDataset, valid: DecCMDataset):
        self.dataset = train
        parts = [split.inter_feat for split in (train, valid)]
        self.videos, self.tracks = (
            np.concatenate([part[field].numpy() for part in parts]) for field in (train.uid_field, train.iid_field)
        )
        self.groups = train.groups_of(self.videos, self.tracks)
        self.pool = np.unique(self.tracks)

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def group_count(self) -> int:
        """Number of the groups."""
        return len(np.unique(self.groups))

    def folds(self, config: Any, numbers: Sequence[int]) -> Iterator[Splits]:
        """The splits of some folds, whose test ranks the fold that is left out.

        What a data set derives from its training rows (popularity, preferences that training counts) comes from the
        training rows of each fold. Nothing is drawn: the groups alone say which rows a fold has.
        """
        for number in numbers:
            part = leave_groups_out(self.groups, Folding("", FOLDS, number))
            rows = {name: np.flatnonzero(part == name) for name in PARTS}
            train, valid, test = self.dataset.of_rows([self._interaction(rows[name]) for name in PARTS])
            yield Splits(
                config,
                train,
                train_loader(config, train, [train, valid, test]),
                PoolLoader(config, valid, self.pool),
                PoolLoader(config, test, self.pool),
            )

    def _interaction(self, rows: np.ndarray) -> Interaction:
        ids = {self.dataset.uid_field: self.videos[rows], self.dataset.iid_field: self.tracks[rows]}
        return Interaction({field: torch.from_numpy(values) for field, values in ids.items()})
