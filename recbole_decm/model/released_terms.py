"""The terms of the released DecCM code as pure functions, with its departures from what the method means.

They are here to reproduce published numbers; docs/deviations.md tells what each departure does. All other terms
(divergence from N(0, I), cross-generation error) agree with :mod:`recbole_decm.model.losses`.

Shapes: B pairs in a batch, D latent dimensions. Scores are (B, B), video i in row i, track j in column j, matched pairs
on the diagonal.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_decm.model.towers import Posterior


def released_direction(scores: Tensor, same_music: Tensor, margin: float, num_negatives: int) -> Tensor:
    """How well the anchors in the rows are satisfied: the mean of the ``num_negatives`` largest
    max(0, s_ii - s_ij - margin) of every row.

    The released code maximises it. So it rewards the easiest pairs, those that keep the margin already, and a pair
    that violates the margin has no gradient: an inverted hinge.

    Args:
        scores: (B, B) float, the anchors' own matches on the diagonal.
        same_music: (B, B) bool, pairs to leave out of the comparison (they count as 0); the diagonal alone in the
            released code.
        margin: at least 0.
        num_negatives: entries a row, all of them in a smaller batch.

    Returns:
        () float, at least 0.
    """
    slack = (scores.diagonal().unsqueeze(1) - scores - margin).clamp(min=0).masked_fill(same_music, 0)
    return slack.topk(min(num_negatives, len(scores)), dim=1, sorted=False).values.mean()


def released_matching(
    scores: Tensor, same_music: Tensor, margin: float, num_negatives: int, music_loss_factor: float
) -> Tensor:
    """The matching term that the released code minimises: minus the video-anchored direction, minus
    ``music_loss_factor`` times the music-anchored one. See :func:`released_direction`.

    Returns:
        () float, at most 0.
    """
    video_anchored = released_direction(scores, same_music, margin, num_negatives)
    music_anchored = released_direction(scores.T, same_music, margin, num_negatives)
    return -(video_anchored + music_loss_factor * music_anchored)


def released_teacher_kl(p: Posterior, q: Posterior) -> Tensor:
    """What the released code has in place of KL(p || q): 0.5 * (sum_d [log s_q - log s_p - s_p / s_q - d^2 / s_q] - 1)
    with variances s and the difference d of the means, averaged over the batch.

    Trace and distance carry the wrong sign, and 1 is taken off once, not D times. For unit variances and 16 dimensions
    a difference of 0, 1, 2 gives -8.5, -16.5, -40.5 where the divergence is 0, 8, 32: minimising it drives the student
    away from the teacher.

    Args:
        p, q: posteriors of student and teacher, mean and logvar of shape (B, D).

    Returns:
        () float.
    """
    variance_ratio = (p.logvar - q.logvar).exp()
    distance = (p.mean - q.mean).square() * (-q.logvar).exp()
    return 0.5 * torch.sum(q.logvar - p.logvar - variance_ratio - distance, dim=1).sub(1).mean()
