"""The ways a teacher guides a student: by posteriors computed once, by a model beside the student, or not at all."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from recbole_decm.errors import ConfigError
from recbole_decm.model.towers import Posterior

Posteriors = tuple[Posterior, Posterior]
"""Of videos and of tracks."""


class TeacherModel(Protocol):
    """What a teacher has to be able to do; :class:`recbole_decm.model.cmvae.CMVAE` is one."""

    encoders: nn.ModuleDict

    def encode(self, modality: str, features: Tensor) -> Posterior:
        """(B, F) features of ``visual`` or ``acoustic`` -> (B, D)."""

    def posteriors(self, modality: str) -> Posterior:
        """Of all ids of a modality, (n_ids, D)."""


class NoTeacher:
    """Nothing guides the student."""

    present = False
    encoders: nn.ModuleDict | None = None

    def of_batch(self, videos: Tensor, tracks: Tensor, visual: Tensor, acoustic: Tensor) -> Posteriors:
        """The teacher's posteriors of a batch.

        Args:
            videos, tracks: (B,) ids; visual, acoustic: (B, F) their features.
        """
        return self.of_all()

    def of_all(self) -> Posteriors:
        """The teacher's posteriors of all videos and of all tracks, (n_ids, D) each."""
        raise ConfigError("teacher: expected a teacher to be attached, found none.")


class ComputedPosteriors(NoTeacher):
    """The posteriors of all ids, computed once: no step of the student runs the teacher.

    Args:
        teacher: over the student's features, in evaluation mode.
    """

    present = True

    @torch.no_grad()
    def __init__(self, teacher: TeacherModel):
        self.encoders = teacher.encoders
        self._tables = (teacher.posteriors("visual"), teacher.posteriors("acoustic"))

    def of_batch(self, videos: Tensor, tracks: Tensor, visual: Tensor, acoustic: Tensor) -> Posteriors:
        pairs = zip(self._tables, (videos, tracks), strict=True)
        video, track = (Posterior(q.mean.index_select(0, ids), q.logvar.index_select(0, ids)) for q, ids in pairs)
        return video, track

    def of_all(self) -> Posteriors:
        return self._tables


class TeacherBeside(NoTeacher):
    """A model beside the student, asked batch by batch: for features on disk, since the posteriors may be as many.

    It is no part of the student or of its checkpoint.

    Args:
        teacher: over the student's features, in evaluation mode.
    """

    present = True

    def __init__(self, teacher: TeacherModel):
        self.encoders, self._teacher = teacher.encoders, teacher

    @torch.no_grad()
    def of_batch(self, videos: Tensor, tracks: Tensor, visual: Tensor, acoustic: Tensor) -> Posteriors:
        return self._teacher.encode("visual", visual), self._teacher.encode("acoustic", acoustic)

    def of_all(self) -> Posteriors:
        return self._teacher.posteriors("visual"), self._teacher.posteriors("acoustic")
