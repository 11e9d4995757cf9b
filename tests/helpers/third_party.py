"""Models as other people write them: on RecBole's own base class, built from a config and a data set."""

from __future__ import annotations

import torch
from recbole.model.abstract_recommender import ContextRecommender
from recbole.utils import InputType


class TwoLinear(ContextRecommender):
    """Looks content vectors up by id, as this package's models do; its own constructor, loss and scores."""

    input_type = InputType.POINTWISE
    uses_content = True

    def __init__(self, config, dataset):
        super(ContextRecommender, self).__init__()
        self.USER_ID, self.ITEM_ID = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self.n_items = dataset.item_num
        self.visual, self.acoustic = (dataset.features[name] for name in ("visual", "acoustic"))
        self.video = torch.nn.Linear(self.visual.dim, 8)
        self.music = torch.nn.Linear(self.acoustic.dim, 8)

    def _scores(self, videos: torch.Tensor, music: torch.Tensor) -> torch.Tensor:
        return self.video(self.visual.lookup(videos)) @ self.music(self.acoustic.lookup(music)).T

    def calculate_loss(self, interaction):
        scores = self._scores(interaction[self.USER_ID], interaction[self.ITEM_ID])
        return torch.nn.functional.cross_entropy(scores, torch.arange(len(scores)))

    def predict(self, interaction):
        videos, music = interaction[self.USER_ID], interaction[self.ITEM_ID]
        return (self.video(self.visual.lookup(videos)) * self.music(self.acoustic.lookup(music))).sum(dim=1)

    def full_sort_predict(self, interaction):
        return self._scores(interaction[self.USER_ID], torch.arange(self.n_items)).view(-1)


class Blended(TwoLinear):
    """The same, with its loss in named terms and schedules, so that this package's trainer trains it."""

    loss_names = ("match", "size")

    def set_epoch(self, epoch):
        self.epoch = epoch

    def set_validating(self, validating):
        self.validating = validating

    def calculate_loss(self, interaction):
        return super().calculate_loss(interaction), 1e-4 * self.video.weight.square().sum()
