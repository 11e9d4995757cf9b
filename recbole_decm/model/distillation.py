"""Distillation: the teacher's rankings of professional music for professional videos, as a term of the objective."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_decm.data.features import Features
from recbole_decm.model.towers import Posterior


class ProfessionalPairs:
    """Professional pairs with the teacher's posterior means of them, drawn from beside every training batch.

    Args:
        visual, acoustic: features of the professional videos and music, by id.
        videos, music: (n,) ids of the pairs.
        teacher: its posteriors of all professional videos and of all professional music, (n_ids, D) each.
        seed: of the draws.
    """

    def __init__(
        self,
        visual: Features,
        acoustic: Features,
        videos: Tensor,
        music: Tensor,
        teacher: tuple[Posterior, Posterior],
        seed: int,
    ):
        self.visual, self.acoustic = visual, acoustic
        self.videos, self.music = videos, music
        self.teacher_video, self.teacher_music = teacher[0].mean, teacher[1].mean
        self.seed = seed
        self.generator = torch.Generator()
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Start the draws of an epoch: the same ones in every process, and in a run that is resumed."""
        self.generator.manual_seed(self.seed * 1_000_003 + epoch)

    @torch.compiler.disable  # a generator's state cannot be traced
    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Ids of the videos and music of ``count`` pairs, (count,) each, drawn with replacement."""
        rows = torch.randint(len(self.videos), (count,), generator=self.generator)
        return self.videos[rows], self.music[rows]

    def teacher_scores(self, videos: Tensor, music: Tensor) -> Tensor:
        """The teacher's scores of (B,) videos and (N,) music, (B, N)."""
        return self.teacher_video[videos] @ self.teacher_music[music].T


def first_of_each(music: Tensor) -> Tensor:
    """Where each distinct track id of a batch first stands: (B,) ids -> (N,) positions.

    Examples:
        >>> first_of_each(torch.tensor([7, 3, 7, 5])).tolist()
        [1, 3, 0]
    """
    distinct, index = torch.unique(music, return_inverse=True)
    position = torch.arange(len(music), device=music.device)
    return position.new_full((len(distinct),), len(music)).scatter_reduce(0, index, position, "amin")


def ranking_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) of the softmax over a video's candidates, mean over the videos (Hinton, Vinyals and Dean,
    "Distilling the knowledge in a neural network", 2015, without their factor T²).

    Args:
        student, teacher: (B, N) scores over their temperatures; the teacher gets no gradient.

    Returns:
        () float, at least 0 and 0 only for equal probabilities.

    Examples:
        >>> scores = torch.tensor([[2.0, 1.0, 0.0]])
        >>> abs(ranking_divergence(scores, scores).item()) < 1e-6, ranking_divergence(-scores, scores).item() > 1
        (True, True)
    """
    wanted, found = teacher.detach().log_softmax(dim=1), student.log_softmax(dim=1)
    return torch.nn.functional.kl_div(found, wanted, reduction="batchmean", log_target=True)
