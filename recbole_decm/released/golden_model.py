"""Our model on the batch of a golden file: what it computes there, by the names the file uses.

The model is :class:`~recbole_decm.model.decm.DecCM` itself under ``objective: released``, built on a data set of one
batch, with the file's weights, and the file's teacher attached as in training; only the sampling noise is 0, as in the
golden files. Everything is computed in float64, so that the error that is left is the golden file's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_decm.config.values import read_yaml
from recbole_decm.data.features import FeatureMatrix
from recbole_decm.data.inputs import ModelInputs
from recbole_decm.io.shipped import shipped
from recbole_decm.metrics.ranking import ipw_ndcg, ipw_recall
from recbole_decm.model.cmvae import DecCMTeacher
from recbole_decm.model.decm import DecCM, DeconfoundedLossTerms
from recbole_decm.model.objectives import OBJECTIVES
from recbole_decm.model.settings import DecCMSettings
from recbole_decm.model.teachers import ComputedPosteriors
from recbole_decm.released.golden import METRIC, METRIC_INPUTS, Golden, candidates_fit
from recbole_decm.released.names import released_entries, to_ours
from recbole_decm.training.checkpoint import load_weights
from recbole_decm.training.teacher import teacher_view


class _ExactMatrix(FeatureMatrix):
    """Features that are looked up in their own precision."""

    def lookup(self, ids: Tensor) -> Tensor:
        return self.values[self.row_of_id[ids]]


def _inputs(golden: Golden) -> ModelInputs:
    """The batch of a golden file: pair i is video i + 1 and track i + 1."""
    rows = torch.arange(golden.batch + 1).sub(1).clamp(min=0)  # id 0 is RecBole's padding
    prior = golden.tensor("in.prior")
    return ModelInputs.of_features(
        _ExactMatrix("visual", golden.tensor("in.video"), rows),
        _ExactMatrix("acoustic", golden.tensor("in.music"), rows),
        priors=torch.cat([torch.zeros_like(prior[:1]), prior]),
        prior_mean=prior.mean(dim=0),
        popularity=np.ones(golden.batch + 1, dtype=np.int64),
    )


def build_model(golden: Golden) -> tuple[DecCM, DecCMTeacher | None]:
    """Our model with the file's weights, settings, batch and teacher, and the teacher, where the file has one.

    Raises:
        CheckpointError: weights whose names or shapes are not those of the released code.
    """
    values = {**read_yaml(shipped("properties") / "model" / "DecCM.yaml"), "objective": "released"}
    values |= {**OBJECTIVES["released"], **golden.settings, "dropout_prob": 0.0, "sampling_noise": 0.0}
    model = DecCM(DecCMSettings.from_config(values), _inputs(golden), "cpu").double()
    load_state(model, golden)
    if not golden.teacher_state:
        return model, None
    weights = to_ours(golden.teacher_state, replace(golden.sizes, groups=None), golden.path, "state.t_net.")
    teacher = teacher_view(model, values, weights, golden.path)
    model.attach_teacher(ComputedPosteriors(teacher))
    return model, teacher


def load_state(model: DecCM, golden: Golden) -> None:
    """Give the model the file's weights; training mode has changed its running statistics since."""
    weights = to_ours(golden.student_state, golden.sizes, golden.path, "state.")
    load_weights(model, {**weights, "prior_mean": model.prior_mean}, golden.path)


# --- what the model computes --------------------------------------------------------------------------------------
def batch_quantities(model: DecCM, golden: Golden, mode: str) -> dict[str, np.ndarray]:
    """Tensors, loss terms and gradients of the batch in ``train`` or ``eval`` mode, by their golden names."""
    load_state(model, golden)
    model.train(mode == "train")
    ids = torch.arange(1, golden.batch + 1)
    found = _tensors(model, ids) | _terms(model, ids)
    loss = torch.stack(model.calculate_loss({model.USER_ID: ids, model.ITEM_ID: ids})).sum()
    model.zero_grad(set_to_none=True)
    loss.backward()
    found["loss"] = loss
    parameters = dict(model.named_parameters())
    for name, entry in released_entries(golden.sizes).items():
        parameter = parameters.get(entry.ours or "")
        if parameter is not None and parameter.grad is not None:
            found[f"grad.{name}"] = parameter.grad
    return {f"{mode}.{name}": value.detach().numpy() for name, value in found.items()}


def _tensors(model: DecCM, ids: Tensor) -> dict[str, Tensor]:
    q_video = model.encode("visual", model.visual.lookup(ids))
    q_music = model.encode("acoustic", model.acoustic.lookup(ids))
    z_video = q_video.sample(model.settings.sampling_noise)
    z_music = model.decoding_latent(q_music.sample(model.settings.sampling_noise), ids)
    found = {
        "mu_video": q_video.mean,
        "logvar_video": q_video.logvar,
        "mu_music": q_music.mean,
        "logvar_music": q_music.logvar,
        "z_video": z_video,
        "z_music": z_music,
        "video_from_music": model.decoders["visual"](z_music),
        "music_from_video": model.decoders["acoustic"](z_video),
    }
    for name, guide in zip(("video", "music"), model.teacher.of_all() if model.teacher.present else (), strict=False):
        found |= {f"teacher_mu_{name}": guide.mean[ids], f"teacher_logvar_{name}": guide.logvar[ids]}
    return found


def _terms(model: DecCM, ids: Tensor) -> dict[str, Tensor]:
    """Loss terms without their weights, by asking the model for its loss with all weights at 1."""
    released = _unweighted(model, ids, "released")
    found = {
        "video_match": -released.matching,
        "kl_video": released.kl_video,
        "kl_music": released.kl_music,
        "reconstruction": released.reconstruction_visual + released.reconstruction_acoustic,
    }
    if model.teacher.present:
        textbook = _unweighted(model, ids, "kl")
        found["teacher_kl_released"] = released.teacher_video + released.teacher_music
        found["teacher_kl_textbook"] = textbook.teacher_video + textbook.teacher_music
    return found


def _unweighted(model: DecCM, ids: Tensor, teacher_kl: Any) -> DeconfoundedLossTerms:
    weighted = model.settings
    ones: dict[str, Any] = {"kl_weight": 1.0, "reconstruction_weight": 1.0, "teacher_weight": 1.0}
    try:  # without the music-anchored direction the matching term is the video-anchored one
        model.settings = replace(weighted, **ones, music_loss_factor=0.0, teacher_kl=teacher_kl)
        return DeconfoundedLossTerms(*model.calculate_loss({model.USER_ID: ids, model.ITEM_ID: ids}))
    finally:
        model.settings = weighted


@torch.no_grad()
def metric_quantities(model: DecCM, golden: Golden) -> dict[str, np.ndarray]:
    """Scores of the batch under its mean prior, and the weighted metrics of the file's candidates."""
    load_state(model, golden)
    model.eval()
    ids = torch.arange(1, golden.batch + 1)
    scores = (model.video_vectors(ids) @ model.music_vectors()[ids].T).numpy()
    found = {"metric.scores": scores}
    if any(name not in golden.arrays for name in METRIC_INPUTS) or not candidates_fit(golden):
        return found
    candidates, weights = (golden.arrays[name] for name in METRIC_INPUTS)
    ranked = np.take_along_axis(scores, candidates, axis=1)
    ranks = (ranked[:, 1:] > ranked[:, :1]).sum(axis=1)
    cuts = [int(match.group(2)) for match in map(METRIC.fullmatch, golden.arrays) if match]
    hits = ranks[:, None] == np.arange(max(cuts, default=1))
    for kind, function in (("recall", ipw_recall), ("ndcg", ipw_ndcg)):
        for cut, value in enumerate(function(hits, weights), start=1):
            found[f"metric.weighted_{kind}@{cut}"] = value
    return found
