"""Objectives by name: the terms an objective may be put together from, and named sets of choices.

``objective: released`` is a set of values for the keys of ``properties/model/<Model>.yaml``. The set stands above the
model's and the data set's YAML and below config files, config dict and command line, so that a part given beside it
wins: an ablation walks from the released code to ours one part at a time (``properties/ablation/released-*.yaml``).
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from recbole_decm.model.losses import hard_negative_hinge, kl_divergence, log_inclusion, softmax_contrastive
from recbole_decm.model.released_terms import released_matching, released_teacher_kl
from recbole_decm.model.towers import Posterior

if TYPE_CHECKING:
    from recbole_decm.model.settings import MatcherSettings


class MatchedPairs(NamedTuple):
    """What a matching term may look at: a batch of B matched pairs, video i in row i, track j in column j.

    Attributes:
        scores: (B, B) float, matched pairs on the diagonal.
        same_music: (B, B) bool, pairs that are no negatives of each other (the diagonal included).
        temperature: () float above 0, what a difference of scores counts as one nat.
        popularity: (B,) float, training pairs of each track, of ``train_pairs`` in all.
        weights: (B,) float, what each pair counts in ``softmax``; None for all alike.
    """

    scores: Tensor
    same_music: Tensor
    temperature: Tensor
    popularity: Tensor
    train_pairs: int
    weights: Tensor | None = None


def _hinge(pairs: MatchedPairs, s: MatcherSettings) -> Tensor:
    return hard_negative_hinge(pairs.scores, pairs.same_music, s.margin, s.num_negatives)


def _released(pairs: MatchedPairs, s: MatcherSettings) -> Tensor:
    return released_matching(pairs.scores, pairs.same_music, s.margin, s.num_negatives, s.music_loss_factor)


def _softmax(pairs: MatchedPairs, s: MatcherSettings) -> Tensor:
    chance = None
    if s.popularity_correction:
        chance = log_inclusion(pairs.popularity, len(pairs.scores) - 1, pairs.train_pairs - 1)
    logits = pairs.scores / pairs.temperature
    return softmax_contrastive(logits, pairs.same_music, chance, s.both_directions, pairs.weights)


# matching: NAME -> f(pairs, settings) -> () float. A further one is one more line.
MATCHINGS: dict[str, Callable[[MatchedPairs, Any], Tensor]] = {
    "hinge": _hinge,
    "softmax": _softmax,
    "released": _released,
}

# teacher_kl: NAME -> f(student, teacher) -> () float.
TEACHER_KLS: dict[str, Callable[[Posterior, Posterior], Tensor]] = {
    "kl": kl_divergence,
    "released": released_teacher_kl,
}

# objective: NAME -> values that differ from what the model's YAML says.
OBJECTIVES: dict[str, MappingProxyType[str, Any]] = {
    "ours": MappingProxyType({}),
    "released": MappingProxyType(
        {
            "matching": "released",
            "match_on": "sample",
            "mask_same_music": False,
            "margin": 0.05,
            "num_negatives": 40,
            "music_loss_factor": 1.0,
            "backdoor": "batch",
            "confounder_fusion": "linear",
            "inference_prior": "mean",
            "teacher_kl": "released",
            "teacher_weight": 5e-5,
            "teacher_score_weight": 0.0,
            "distillation_weight": 0.0,
            "validation_prior": "inference",
            "normalize_mean": True,
            "normalize_logvar": True,
            "sampling_noise": 1.0,
            "kl_weight": 1.0,
            "kl_anneal_epochs": 0,
            "reconstruction_weight": 1.0,
            "decode_from": "fused",
            "standardize_features": False,
            "decoder_relu": True,
            "initial_weights": "torch",
            "dropout_prob": 0.2,
            "music_dropout_prob": None,
        }
    ),
}
