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
from recbole_decm.model.distillation import ProfessionalPairs, first_of_each, ranking_divergence
from recbole_decm.model.fusions import FUSIONS, fused_scores, group_scores
from recbole_decm.model.objectives import TEACHER_KLS
from recbole_decm.model.settings import DecCMSettings
from recbole_decm.model.towers import GaussianEncoder, Posterior

_EXACT_CELLS = 1 << 24  # scores under one group at a time


class DeconfoundedLossTerms(NamedTuple):
    """The weighted terms of DecCM: the matcher's, and the divergences from the teacher's posteriors and rankings."""

    matching: Tensor
    kl_video: Tensor
    kl_music: Tensor
    reconstruction_visual: Tensor
    reconstruction_acoustic: Tensor
    teacher_video: Tensor
    teacher_music: Tensor
    distillation: Tensor


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
        self.features_on_disk = config["feature_residency"] == "disk"
        self.teacher: tuple[Posterior, Posterior] | CMVAE | None = None
        self.professional: ProfessionalPairs | None = None
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
        """Take a teacher that looks at this model's features: its posteriors of all videos and music, computed once, or
        batch by batch where the vectors are to stay on disk, since the posteriors may be as many.
        """
        if self.features_on_disk:
            self.__dict__["teacher"] = teacher  # not a part of this model and of its checkpoint
        else:
            with torch.no_grad():
                self.teacher = (teacher.posteriors("visual"), teacher.posteriors("acoustic"))
        if self.guided:
            self.guide.load_state_dict(teacher.encoders.state_dict())

    def attach_professional(self, pairs: ProfessionalPairs) -> None:
        """Take the professional pairs that ``distillation_weight`` is for."""
        self.professional = pairs

    def set_epoch(self, epoch):
        super().set_epoch(epoch)
        if self.professional is not None:
            self.professional.set_epoch(epoch)

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
    def represent_music(self, latent, prior, music=None):
        if self.settings.backdoor == "none":
            return latent
        genres = self.genres if self.genres is None or music is None else self.genres[music]
        return self.fusion(latent, prior) if self.folds_prior else self.fusion.key(latent, genres)

    def decoding_latent(self, latent, videos):
        fuses = self.settings.decode_from == "fused"
        return self.represent_music(latent, self.training_prior(videos)) if fuses else latent

    def training_prior(self, videos):
        if self.settings.backdoor == "none":
            return None
        return (
            batch_prior(self.uploader_prior.index_select(0, videos))
            if self.settings.backdoor == "batch"
            else self.prior_mean
        )

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

    def query_vectors(self, visual, uploaders=None):
        video = super().query_vectors(visual)
        if self.settings.backdoor in ("none", "exact") or self.folds_prior:
            return video
        return self.fusion.query(video, self.evaluation_priors(len(visual), uploaders))

    def uploaders_of(self, videos):
        return self.uploader_prior[videos]

    def evaluation_priors(self, videos: int, uploaders: Tensor | None) -> Tensor:
        """P(k) that each of some videos is ranked under, (videos, K); only the choice ``uploader`` needs uploaders."""
        rows = self.prior_mean.expand(videos, -1) if uploaders is None else uploaders
        return inference_priors(self.prior_choice, self.prior_mean, rows)

    def score_matrix(self, videos):
        if self.settings.backdoor != "exact":
            return super().score_matrix(videos)
        priors = self.evaluation_priors(len(videos), self.uploaders_of(videos))
        return self._summed_over_groups(self.video_vectors(videos), self.music_vectors(), priors, first=1)

    def predict(self, interaction):
        if self.settings.backdoor != "exact":
            return super().predict(interaction)
        videos, index = torch.unique(interaction[self.USER_ID], return_inverse=True)
        scores = self.prior_mean.new_empty(len(index))
        step = max(1, _EXACT_CELLS // self.n_items)
        for start in range(0, len(videos), step):  # each needs its scores with the whole catalogue
            mine = (index >= start) & (index < start + step)
            block = self.score_matrix(videos[start : start + step])
            scores[mine] = block[index[mine] - start, interaction[self.ITEM_ID][mine]]
        return scores

    # --- the teacher ----------------------------------------------------------------------------------------------
    def _terms(self, videos, music, visual, acoustic, q_video, q_music):
        matcher = super()._terms(videos, music, visual, acoustic, q_video, q_music)
        kl_video = kl_music = distillation = matcher.matching.new_zeros(())
        weight = self.settings.teacher_weight
        if self.teacher is not None and weight > 0:
            guides = self._teacher_posteriors(self.share.own(videos), self.share.own(music), visual, acoustic)
            teacher_kl = TEACHER_KLS[self.settings.teacher_kl]
            own = (self.learned_part(q_video), self.learned_part(q_music))
            kl_video, kl_music = (weight * teacher_kl(q, guide) for q, guide in zip(own, guides, strict=True))
        if self.professional is not None:
            distillation = self.settings.distillation_weight * self._distillation(self.professional, len(videos))
        return DeconfoundedLossTerms(*matcher, kl_video, kl_music, distillation)

    def _distillation(self, pairs: ProfessionalPairs, count: int) -> Tensor:
        """Divergence from the teacher's rankings of the music of ``count`` professional pairs, for their videos.

        The student's scores are its content match, without confounder: no uploader's preference chose these pairs.
        """
        videos, music = pairs.draw(count)
        visual = pairs.visual.lookup_on(self.device, self.share.own(videos))
        acoustic = pairs.acoustic.lookup_on(self.device, self.share.own(music))
        own = (self.learned_part(self.encode("visual", visual)), self.learned_part(self.encode("acoustic", acoustic)))
        video, tune = self.share.gather(own[0].mean, own[1].mean, count)
        distinct = first_of_each(music)
        wanted = pairs.teacher_scores(videos, music[distinct]).to(video.device)
        with torch.autocast(video.device.type, enabled=False):
            scores = video.float() @ tune[distinct.to(tune.device)].float().T
            return ranking_divergence(scores / self.temperature, wanted / self.settings.distillation_temperature)

    @torch.no_grad()
    def _teacher_posteriors(self, videos, music, visual, acoustic):
        if isinstance(self.teacher, CMVAE):
            return self.teacher.encode("visual", visual), self.teacher.encode("acoustic", acoustic)
        tables = zip(self.teacher_posteriors(), (videos, music), strict=True)
        return [Posterior(q.mean.index_select(0, ids), q.logvar.index_select(0, ids)) for q, ids in tables]

    def teacher_posteriors(self) -> tuple[Posterior, Posterior]:
        """The teacher's posteriors of all videos and of all music, (n_ids, D) each."""
        if isinstance(self.teacher, CMVAE):
            return self.teacher.posteriors("visual"), self.teacher.posteriors("acoustic")
        if self.teacher is None:
            raise ConfigError("teacher: expected a teacher to be attached, found none.")
        return self.teacher


class DecCMPlus(DecCM):
    """DecCM with what measurably helps: softmax matching, conditional training, and the teacher's own match beside the
    student's. It differs from :class:`DecCM` in ``properties/model/DecCMPlus.yaml`` alone; docs/results/decmplus.md has
    the reasons.
    """
