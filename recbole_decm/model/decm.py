"""DecCM as a RecBole model: backdoor adjustment and teacher on top of the matcher. It reads like the paper's algorithm.

Reference:
    Jing Yi and Zhenzhong Chen. "Deconfounded Cross-modal Matching for Content-based Micro-video Background Music
    Recommendation." ACM Transactions on Intelligent Systems and Technology 15(3), 2024.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recbole_decm.errors import ConfigError
from recbole_decm.model.backdoor import ConfounderFusion, adjusted_log_softmax, batch_prior, inference_priors
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.model.fusions import FUSIONS, fused_scores, group_scores
from recbole_decm.model.objectives import TEACHER_KLS
from recbole_decm.model.settings import DecCMSettings
from recbole_decm.model.towers import GaussianEncoder, Posterior


class DeconfoundedLossTerms(NamedTuple):
    """The weighted terms of DecCM: the matcher's, and the divergence from the teacher's posteriors."""

    matching: Tensor
    kl_video: Tensor
    kl_music: Tensor
    reconstruction_visual: Tensor
    reconstruction_acoustic: Tensor
    teacher_video: Tensor
    teacher_music: Tensor


class DecCM(CMVAE):
    """Deconfounded cross-modal matching: backdoor adjustment over uploaders' genre preferences, guided by a teacher."""

    uses_uploader_prior = True
    settings_class = DecCMSettings
    loss_names = DeconfoundedLossTerms._fields
    settings: DecCMSettings

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.validating = False
        s = self.settings
        self.uploader_prior = dataset.uploader_prior.to(self.device)
        self.register_buffer("prior_mean", dataset.prior_mean.clone())
        self.num_groups = len(dataset.prior_mean)
        if isinstance(s.inference_prior, tuple) and len(s.inference_prior) != self.num_groups:
            raise ConfigError(
                f"inference_prior: expected {self.num_groups} probabilities, one for each genre group, "
                f"found {len(s.inference_prior)}."
            )
        self.genres: Tensor | None = None
        if s.backdoor != "none" and s.confounder_fusion == "genre":
            self.genres = torch.from_numpy(dataset.genre_membership).to(self.device)
        if s.backdoor != "none":
            start = {"near_identity": s.initial_weights == "adapted"} if s.confounder_fusion == "linear" else {}
            self.fusion = FUSIONS[s.confounder_fusion](self.num_groups, self.latent_size, **start)
        if s.decode_from == "fused" and not (s.backdoor == "none" or self.folds_prior):
            raise ConfigError(
                "decode_from: expected latent, since only backdoor: batch or population with confounder_fusion: linear "
                "fuses music into one vector to decode from, found fused."
            )
        self.teacher: tuple[Posterior, Posterior] | None = None
        if self.guided:
            towers = {"visual": self.visual.dim, "acoustic": self.acoustic.dim}
            self.guide = torch.nn.ModuleDict(
                {name: GaussianEncoder(dim, s.latent_dimension, 0.0, None) for name, dim in towers.items()}
            ).requires_grad_(False)

    @property
    def guided(self) -> bool:
        """Whether the teacher's own match counts beside the student's: its frozen encoders are part of the model."""
        return self.settings.teacher_score_weight > 0 and self.settings.teacher != "none"

    @property
    def latent_size(self):
        return self.settings.latent_dimension * (2 if self.guided else 1)

    def encode(self, modality, features):
        """As the matcher does; with a guide, its latent vector beside the student's, so that their matches add up."""
        own = super().encode(modality, features)
        if not self.guided:
            return own
        with torch.no_grad():
            guide = self._of_unit_length(self.guide[modality](features))
        weight = self.settings.teacher_score_weight**0.5
        return Posterior(torch.cat([own.mean, weight * guide.mean], 1), torch.cat([own.logvar, guide.logvar], 1))

    def learned_part(self, q):
        own = self.settings.latent_dimension
        return Posterior(q.mean[:, :own], q.logvar[:, :own])

    def train(self, mode: bool = True):
        super().train(mode)
        if self.guided:
            self.guide.eval()
        return self

    @property
    def folds_prior(self) -> bool:
        """Whether music vectors hold the prior, as in the paper: one prior for all videos and the linear fusion.

        Otherwise the video's side of the score holds it; see :mod:`recbole_decm.model.fusions`.
        """
        s = self.settings
        one_prior = s.backdoor in ("batch", "population") and self.prior_choice != "uploader"
        return one_prior and isinstance(self.fusion, ConfounderFusion)

    def attach_teacher(self, teacher: CMVAE) -> None:
        """Take a teacher that looks at this model's features: its posteriors of all videos and music, computed once."""
        with torch.no_grad():
            self.teacher = (
                teacher.posteriors("visual").to(self.device),
                teacher.posteriors("acoustic").to(self.device),
            )
        if self.guided:
            self.guide.load_state_dict(teacher.encoders.state_dict())

    def set_validating(self, validating: bool) -> None:
        """Rank under ``validation_prior`` while an epoch is chosen, under ``inference_prior`` otherwise."""
        self.validating = validating
        self._music_table = None

    @property
    def prior_choice(self) -> str | tuple[float, ...]:
        """P(k) that rankings are made under now: a name of :func:`inference_priors`, or K probabilities."""
        s = self.settings
        return s.validation_prior if self.validating and s.validation_prior != "inference" else s.inference_prior

    # --- the adjustment -------------------------------------------------------------------------------------------
    def represent_music(self, latent, prior):
        if self.settings.backdoor == "none":
            return latent
        return self.fusion(latent, prior) if self.folds_prior else self.fusion.key(latent, self.genres)

    def decoding_latent(self, latent, prior):
        return self.represent_music(latent, prior) if self.settings.decode_from == "fused" else latent

    def training_prior(self, videos):
        if self.settings.backdoor == "none":
            return None
        return batch_prior(self.uploader_prior[videos]) if self.settings.backdoor == "batch" else self.prior_mean

    def evaluation_prior(self):
        if self.settings.backdoor == "none" or self.prior_choice == "uploader":
            return None
        return inference_priors(self.prior_choice, self.prior_mean, self.uploader_prior[:1])[0]

    def training_scores(self, video, tune, videos, music):
        """(B, B) scores: under one prior for all rows; under each row's own (conditional); or summed over groups."""
        if self.settings.backdoor == "none" or self.folds_prior:
            return super().training_scores(video, tune, videos, music)
        genres = None if self.genres is None else self.genres[music]
        if self.settings.backdoor == "conditional":
            return fused_scores(self.fusion, video, tune, self.uploader_prior[videos], genres)
        priors = self.training_prior(videos).expand(len(videos), -1)
        if self.settings.backdoor == "exact":
            return self._summed_over_groups(video, self.fusion.key(tune, genres), priors, first=0)
        return fused_scores(self.fusion, video, tune, priors, genres)

    def scores_under(self, video: Tensor, music: Tensor, priors: Tensor, ids: Tensor) -> Tensor:
        """Scores of latent vectors under any P(k): what an audit compares.

        Args:
            video: (B, D); music: (N, D) of the music ``ids`` (N,); priors: (B, K). All of the fusion's dtype.

        Returns:
            (B, N).
        """
        if self.settings.backdoor == "none":
            return video @ music.T
        genres = None if self.genres is None else self.genres[ids].to(music.dtype)
        if self.settings.backdoor == "exact":
            return self._summed_over_groups(video, self.fusion.key(music, genres), priors, first=0)
        return fused_scores(self.fusion, video, music, priors, genres)

    def _summed_over_groups(self, video, key, priors, first):
        scores = group_scores(self.fusion, video, key, self.num_groups)
        return adjusted_log_softmax(scores, priors, self.settings.backdoor_temperature, first)

    def video_vectors(self, videos):
        video = super().video_vectors(videos)
        if self.settings.backdoor in ("none", "exact") or self.folds_prior:
            return video
        return self.fusion.query(video, self._evaluation_priors(videos))

    def _evaluation_priors(self, videos):
        return inference_priors(self.prior_choice, self.prior_mean, self.uploader_prior[videos])

    def score_matrix(self, videos):
        if self.settings.backdoor != "exact":
            return super().score_matrix(videos)
        priors = self._evaluation_priors(videos)
        return self._summed_over_groups(self.video_vectors(videos), self.music_vectors(), priors, first=1)

    def predict(self, interaction):
        if self.settings.backdoor != "exact":
            return super().predict(interaction)
        videos, index = torch.unique(interaction[self.USER_ID], return_inverse=True)
        return self.score_matrix(videos)[index, interaction[self.ITEM_ID]]

    # --- the teacher ----------------------------------------------------------------------------------------------
    def _terms(self, videos, music, visual, acoustic, q_video, q_music):
        matcher = super()._terms(videos, music, visual, acoustic, q_video, q_music)
        if self.teacher is None:
            return DeconfoundedLossTerms(*matcher, matcher.matching.new_zeros(()), matcher.matching.new_zeros(()))
        weight = self.settings.teacher_weight
        rows = (self.share.own(videos), self.share.own(music))
        guides = (Posterior(q.mean[ids], q.logvar[ids]) for q, ids in zip(self.teacher, rows, strict=True))
        teacher_kl = TEACHER_KLS[self.settings.teacher_kl]
        own = (self.learned_part(q_video), self.learned_part(q_music))
        divergences = [weight * teacher_kl(q, guide) for q, guide in zip(own, guides, strict=True)]
        return DeconfoundedLossTerms(*matcher, *divergences)


class DecCMPlus(DecCM):
    """DecCM with what measurably helps: softmax matching, conditional training, and the teacher's own match beside the
    student's. It differs from :class:`DecCM` in ``properties/model/DecCMPlus.yaml`` alone; docs/results/decmplus.md has
    the reasons.
    """
