"""How far a student follows its teacher: pure functions of posteriors and scores."""

from __future__ import annotations

import numpy as np
from scipy.stats import kendalltau, rankdata
from torch import Tensor

from recbole_decm.metrics.ranking import top_lists
from recbole_decm.model.losses import kl_terms
from recbole_decm.model.towers import Posterior


def kl_per_dimension(student: Posterior, teacher: Posterior) -> Tensor:
    """KL(student || teacher) of each latent dimension, mean over the rows; its sum is the teacher term of the loss.

    Args:
        student, teacher: posteriors with mean and logvar of shape (B, D).

    Returns:
        (D,) float, at least 0.
    """
    return kl_terms(student, teacher).mean(dim=0)


def ranking_agreement(student: np.ndarray, teacher: np.ndarray, k: int) -> dict[str, float]:
    """Agreement of two rankings of the same music, mean over the videos.

    Args:
        student, teacher: (V, M) scores.

    Returns:
        ``overlap``: share of the first k in common; ``spearman`` and ``kendall`` (tau-b) rank correlations over all M.
    """
    first, second = top_lists(student, k), top_lists(teacher, k)
    overlap = (first[:, :, None] == second[:, None, :]).any(axis=2).mean()
    ranks = [rankdata(scores, axis=1) for scores in (student, teacher)]
    centred = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    norms = [np.sqrt((rank**2).sum(axis=1)) for rank in centred]
    spearman = (centred[0] * centred[1]).sum(axis=1) / np.maximum(norms[0] * norms[1], 1e-300)
    kendall = np.mean([kendalltau(*pair)[0] for pair in zip(student, teacher, strict=True)])
    return {"overlap": float(overlap), "spearman": float(spearman.mean()), "kendall": float(kendall)}
