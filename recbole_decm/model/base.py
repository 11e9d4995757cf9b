"""The doorway between RecBole and our models: a model takes settings, numbers and a device, and RecBole finds its own
:class:`ContextRecommender` with the methods that it calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from recbole.model.abstract_recommender import AbstractRecommender, ContextRecommender
from torch import Tensor

from recbole_decm.data.features import joined
from recbole_decm.data.inputs import ModelInputs
from recbole_decm.model.scores import DotProductScores
from recbole_decm.model.settings import Settings


def is_recommender(kind: Any) -> bool:
    """Whether something is a class that RecBole can train: on one of its recommenders."""
    return isinstance(kind, type) and issubclass(kind, AbstractRecommender) and hasattr(kind, "type")


class ContentModel(DotProductScores, ContextRecommender):
    """A model that looks at the content of videos and tracks; batches hold ids alone.

    Args:
        settings: of the class ``settings_class``.
        inputs: the numbers of a data set, the training split's.
        device: where the model computes.

    Attributes:
        uses_uploader_prior, uses_genre: what a data set has to bring for it.
        uses_uploader: whether it learns of who uploaded a video.
        samples_by_genre: whether training pairs are drawn by the genres of their tracks (``balance_power``).
        takes_teacher: whether a teacher can guide its training.
        fitted_once: whether it is fitted in one step (:meth:`fit_once`) instead of epochs of gradients.
        ranks_new_videos: whether it has vectors for videos that no data set holds.
    """

    uses_content: ClassVar[bool] = True
    uses_uploader_prior: ClassVar[bool] = False
    uses_genre: ClassVar[bool] = False
    uses_uploader: ClassVar[bool] = False
    samples_by_genre: ClassVar[bool] = False
    takes_teacher: ClassVar[bool] = False
    fitted_once: ClassVar[bool] = False
    ranks_new_videos: ClassVar[bool] = False
    settings_class: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: Any, inputs: ModelInputs, device: torch.device | str):
        # Not ContextRecommender's own __init__: it builds an embedding table for every token field, video ids included.
        super(ContextRecommender, self).__init__()
        self.settings = settings
        self.device = torch.device(device)
        self.USER_ID, self.ITEM_ID = inputs.id_fields
        self.visual, self.acoustic = joined(inputs.video), joined(inputs.music)
        self.n_users, self.n_items = len(self.visual), len(self.acoustic)
        self._track_table: Tensor | None = None

    @classmethod
    def needs_genre(cls, settings: Any) -> bool:
        """Whether a model of these settings reads the genres of the tracks."""
        return cls.uses_genre

    @classmethod
    def ranks_by_popularity(cls, settings: Any) -> bool:
        """Whether a model of these settings ranks by the training pairs of each track, too."""
        return False

    def take_shapes(self, weights: Mapping[str, Tensor]) -> None:
        """Take over the sizes of those of a checkpoint's parameters that the data set tells; here there are none."""

    def catalogue_vectors(self) -> Tensor:
        """(n_tracks, E) vectors of all tracks."""
        raise NotImplementedError

    def music_vectors(self) -> Tensor:
        """:meth:`catalogue_vectors`, computed once per evaluation."""
        if self._track_table is None or self.training:
            self._track_table = self.catalogue_vectors()
        return self._track_table

    def train(self, mode: bool = True) -> ContentModel:
        self._track_table = None  # what the vectors are made of is about to change, or has changed
        return super().train(mode)
