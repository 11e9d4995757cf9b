"""DecCM: backdoor adjustment and teacher on top of the matcher. It reads like the paper's algorithm.

Reference:
    Jing Yi and Zhenzhong Chen. "Deconfounded Cross-modal Matching for Content-based Micro-video Background Music
    Recommendation." ACM Transactions on Intelligent Systems and Technology 15(3), 2024.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from recbole_decm.data.inputs import ModelInputs
from recbole_decm.errors import ConfigError
from recbole_decm.model.adjustment import adjustment
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.model.distillation import ProfessionalPairs, first_of_each, ranking_divergence
from recbole_decm.model.fusions import READS_GENRES, make_fusion
from recbole_decm.model.objectives import TEACHER_KLS
from recbole_decm.model.settings import DecCMPlusSettings, DecCMSettings
from recbole_decm.model.teachers import NoTeacher
from recbole_decm.model.towers import Posterior, make_encoder, take_standardisation

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
    """Deconfounded cross-modal matching: backdoor adjustment over uploaders' genre preferences, guided by a teacher.

    The adjustment is :attr:`adjustment`, one of :mod:`recbole_decm.model.adjustment`; the teacher is :attr:`teacher`,
    one of :mod:`recbole_decm.model.teachers`. Shapes are those of :class:`CMVAE`.
    """

    uses_uploader_prior = True
    takes_teacher = True
    settings_class: ClassVar[type[DecCMSettings]] = DecCMSettings
    loss_names = DeconfoundedLossTerms._fields
    settings: DecCMSettings
    uploader_prior: Tensor
    training_prior: Tensor
    prior_mean: Tensor
    genres: Tensor | None

    def __init__(self, settings: DecCMSettings, inputs: ModelInputs, device: torch.device | str):
        super().__init__(settings, inputs, device)
        s = self.settings
        assert inputs.priors is not None and inputs.prior_mean is not None
        self.register_buffer("uploader_prior", inputs.priors, persistent=False)  # of the data, not of the checkpoint
        training = inputs.priors if inputs.training_priors is None else inputs.training_priors
        self.register_buffer("training_prior", training, persistent=False)
        self.register_buffer("prior_mean", inputs.prior_mean.clone())
        self.num_groups = len(inputs.prior_mean)
        if isinstance(s.inference_prior, tuple) and len(s.inference_prior) != self.num_groups:
            raise ConfigError(
                f"inference_prior: expected {self.num_groups} probabilities, one for each genre group, "
                f"found {len(s.inference_prior)}."
            )
        genres = inputs.genres if self.needs_genre(s) else None
        self.register_buffer("genres", None if genres is None else torch.from_numpy(genres), persistent=False)
        if s.backdoor != "none":
            adapted = s.initial_weights == "adapted"
            self.fusion = make_fusion(s.confounder_fusion, self.num_groups, self.latent_size, near_identity=adapted)
        self.rank_under(s.inference_prior)
        if s.decode_from == "fused" and not self.adjustment.fuses:
            raise ConfigError(
                "decode_from: expected latent, since only backdoor: batch or population with confounder_fusion: linear "
                "fuses music into one vector to decode from, found fused."
            )
        self.teacher = NoTeacher()
        self.professional: ProfessionalPairs | None = None
        if self.guided:
            towers = {"visual": self.visual, "acoustic": self.acoustic}
            self.guide = torch.nn.ModuleDict(
                {name: make_encoder(side, s.latent_dimension, 0.0, None) for name, side in towers.items()}
            ).requires_grad_(False)

    @classmethod
    def needs_genre(cls, settings: DecCMSettings) -> bool:
        return settings.backdoor != "none" and settings.confounder_fusion in READS_GENRES

    def rank_under(self, prior: str | tuple[float, ...]) -> None:
        """Rank under this P(k) from now on: ``mean``, ``uniform``, ``uploader``, or K probabilities."""
        s = self.settings
        while_validating = prior if s.validation_prior == "inference" else s.validation_prior
        self._adjustments = {
            validating: adjustment(s.backdoor, choice, s.backdoor_temperature, self)
            for validating, choice in ((False, prior), (True, while_validating))
        }
        self.set_validating(False)

    @property
    def guided(self) -> bool:
        """Whether the teacher's own match counts beside the student's: its frozen encoders are part of the model."""
        return self.settings.teacher_score_weight > 0 and self.settings.teacher != "none"

    @property
    def latent_size(self) -> int:
        """D of what :meth:`encode` returns: the guide's dimensions beside the student's."""
        return self.settings.latent_dimension * (2 if self.guided else 1)

    def encode(self, modality: str, features: Tensor) -> Posterior:
        """(B, F) features -> (B, D) posterior, with a guide's beside the student's, so that their matches add up."""
        own = super().encode(modality, features)
        if not self.guided:
            return own
        with torch.no_grad():
            guide = self._of_unit_length(self.guide[modality](features))
        weight = self.settings.teacher_score_weight**0.5
        return Posterior(torch.cat([own.mean, weight * guide.mean], 1), torch.cat([own.logvar, guide.logvar], 1))

    def learned_part(self, q: Posterior) -> Posterior:
        """The student's part of a posterior (B, D), without the guide's."""
        own = self.settings.latent_dimension
        return Posterior(q.mean[:, :own], q.logvar[:, :own])

    def train(self, mode: bool = True) -> DecCM:
        """As RecBole's; a guide is never in training mode."""
        super().train(mode)
        if self.guided:
            self.guide.eval()
        return self

    def attach_teacher(self, teacher: NoTeacher) -> None:
        """Take a teacher that looks at this model's features."""
        self.teacher = teacher
        if self.guided:
            assert teacher.encoders is not None
            weights = teacher.encoders.state_dict()
            take_standardisation(self.guide, weights)
            self.guide.load_state_dict(weights)

    def attach_professional(self, pairs: ProfessionalPairs) -> None:
        """Take the professional pairs that ``distillation_weight`` is for."""
        self.professional = pairs

    def set_epoch(self, epoch: int) -> None:
        """Tell the schedules, and the draws of professional pairs, which epoch (0-based) is being trained."""
        super().set_epoch(epoch)
        if self.professional is not None:
            self.professional.set_epoch(epoch)

    def set_validating(self, validating: bool) -> None:
        """Rank under ``validation_prior`` while an epoch is chosen, under ``inference_prior`` otherwise."""
        self.adjustment = self._adjustments[validating]
        self._track_table = None

    # --- the adjustment -------------------------------------------------------------------------------------------
    def decoding_latent(self, latent: Tensor, videos: Tensor) -> Tensor:
        """What videos are generated from: (n, D) latent vectors of this process's tracks, or what they are fused to."""
        return self.adjustment.fused(latent, videos) if self.settings.decode_from == "fused" else latent

    def uploaders_of(self, videos: Tensor) -> Tensor:
        """(B, K) preferences of the uploaders of (B,) video ids."""
        return self.uploader_prior[videos]

    def score_matrix(self, videos: Tensor) -> Tensor:
        """Scores of (B,) video ids with the whole catalogue, (B, n_tracks)."""
        return self.adjustment.scores(self.video_vectors(videos), self.music_vectors(), self.uploaders_of(videos))

    def predict(self, interaction: Any) -> Tensor:
        """Scores of given (video, track) pairs, (B,); an exact sum needs a video's with the whole catalogue."""
        if self.adjustment.scores_by_dot_product:
            return super().predict(interaction)
        videos, index = torch.unique(interaction[self.USER_ID], return_inverse=True)
        scores = self.prior_mean.new_empty(len(index))
        step = max(1, _EXACT_CELLS // self.n_items)
        for start in range(0, len(videos), step):
            mine = (index >= start) & (index < start + step)
            block = self.score_matrix(videos[start : start + step])
            scores[mine] = block[index[mine] - start, interaction[self.ITEM_ID][mine]]
        return scores

    # --- the teacher ----------------------------------------------------------------------------------------------
    def _terms(
        self,
        videos: Tensor,
        music: Tensor,
        visual: Tensor,
        acoustic: Tensor,
        q_video: Posterior,
        q_music: Posterior,
    ) -> Any:
        """The matcher's terms, and the teacher's: () float each; arguments as of :class:`CMVAE`."""
        matcher = super()._terms(videos, music, visual, acoustic, q_video, q_music)
        kl_video = kl_music = distillation = matcher.matching.new_zeros(())
        weight = self.settings.teacher_weight
        if self.teacher.present and weight > 0:
            guides = self.teacher.of_batch(self.share.own(videos), self.share.own(music), visual, acoustic)
            teacher_kl = TEACHER_KLS[self.settings.teacher_kl]
            own = (self.learned_part(q_video), self.learned_part(q_music))
            kl_video, kl_music = (weight * teacher_kl(q, guide) for q, guide in zip(own, guides, strict=True))
        if self.professional is not None:
            distillation = self.settings.distillation_weight * self._distillation(self.professional, len(videos))
        return DeconfoundedLossTerms(
            **matcher._asdict(), teacher_video=kl_video, teacher_music=kl_music, distillation=distillation
        )

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


class DecCMPlus(DecCM):
    """DecCM with what measurably helps: softmax matching, conditional training, and the teacher's own match beside the
    student's. It differs from :class:`DecCM` in ``properties/model/DecCMPlus.yaml`` alone; docs/results/ablation.md has
    the reasons.
    """

    settings_class = DecCMPlusSettings
