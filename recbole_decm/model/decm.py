"""DecCM and its relatives as RecBole models: the paper's algorithm on top of towers, backdoor and losses.

Reference:
    Jing Yi and Zhenzhong Chen. "Deconfounded Cross-modal Matching for Content-based Micro-video Background Music
    Recommendation." ACM Transactions on Intelligent Systems and Technology 15(3), 2024.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from recbole.model.abstract_recommender import ContextRecommender
from torch import Tensor

from recbole_decm.errors import ConfigError
from recbole_decm.model.backdoor import ConfounderFusion, adjusted_log_softmax, batch_prior, inference_priors
from recbole_decm.model.fusions import FUSIONS, fused_scores, group_scores
from recbole_decm.model.losses import kl_annealing, kl_to_standard_normal, reconstruction_error
from recbole_decm.model.objectives import MATCHINGS, TEACHER_KLS, MatchedPairs
from recbole_decm.model.settings import DecCMSettings, MatcherSettings
from recbole_decm.model.towers import FeatureDecoder, GaussianEncoder, Posterior

_ENCODE_ROWS = 8_192


class LossTerms(NamedTuple):
    """The weighted terms of the matcher's objective, each () float; their sum is minimised."""

    matching: Tensor
    kl_video: Tensor
    kl_music: Tensor
    reconstruction_visual: Tensor
    reconstruction_acoustic: Tensor


class DeconfoundedLossTerms(NamedTuple):
    """The weighted terms of DecCM: the matcher's, and the divergence from the teacher's posteriors."""

    matching: Tensor
    kl_video: Tensor
    kl_music: Tensor
    reconstruction_visual: Tensor
    reconstruction_acoustic: Tensor
    teacher_video: Tensor
    teacher_music: Tensor


class CMVAE(ContextRecommender):
    """The variational cross-modal matcher, without teacher and without deconfounding.

    Batches hold ids alone; content vectors are looked up here. The score of a video and a music is the dot product of
    their posterior means.

    Args:
        config: values of ``properties/model/<Model>.yaml``.
        dataset: a built :class:`~recbole_decm.data.dataset.DecCMDataset`, the training split.
    """

    uses_content = True
    uses_uploader_prior = False
    settings_class: type[MatcherSettings] = MatcherSettings
    loss_names: tuple[str, ...] = LossTerms._fields

    def __init__(self, config, dataset):
        # Not ContextRecommender's own __init__: it builds an embedding table for every token field, video ids included.
        super(ContextRecommender, self).__init__()
        self.settings = self.settings_class.from_config(config)
        self.device = config["device"]
        self.USER_ID, self.ITEM_ID = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self.n_users, self.n_items = dataset.num(self.USER_ID), dataset.num(self.ITEM_ID)
        self.visual, self.acoustic = dataset.features[dataset.visual_field], dataset.features[dataset.acoustic_field]
        self.epoch = 0
        self._music_table: Tensor | None = None

        s = self.settings
        popularity = torch.from_numpy(dataset.popularity).float().clamp(min=1)
        self.register_buffer("log_popularity", (popularity / popularity.sum()).log(), persistent=False)
        if s.matching == "softmax":
            self.log_temperature = torch.nn.Parameter(torch.tensor(math.log(s.temperature)))
        towers = {"visual": self.visual.dim, "acoustic": self.acoustic.dim}
        dropout = {"visual": s.dropout_prob, "acoustic": s.music_dropout_prob}
        logvar = s.initial_logvar if s.initial_weights == "adapted" else None
        self.encoders = torch.nn.ModuleDict(
            {name: GaussianEncoder(dim, s.latent_dimension, dropout[name], logvar) for name, dim in towers.items()}
        )
        self.decoders = torch.nn.ModuleDict(
            {
                name: FeatureDecoder(self.latent_size, dim, s.dropout_prob, s.decoder_relu)
                for name, dim in towers.items()
            }
        )

    @property
    def latent_size(self) -> int:
        """Dimensions of what :meth:`encode` returns."""
        return self.settings.latent_dimension

    # --- the method -----------------------------------------------------------------------------------------------
    def encode(self, modality: str, features: Tensor) -> Posterior:
        """Posterior of ``visual`` or ``acoustic`` features, (B, F) -> (B, D); of unit length where so set."""
        return self._of_unit_length(self.encoders[modality](features))

    def _of_unit_length(self, q: Posterior) -> Posterior:
        unit = torch.nn.functional.normalize
        return Posterior(
            unit(q.mean, dim=1) if self.settings.normalize_mean else q.mean,
            unit(q.logvar, dim=1) if self.settings.normalize_logvar else q.logvar,
        )

    def learned_part(self, q: Posterior) -> Posterior:
        """The part of a posterior that training shapes: all of it, unless a frozen teacher's stands beside it."""
        return q

    def represent_music(self, latent: Tensor, prior: Tensor | None) -> Tensor:
        """What a video is matched with; here the latent vector (N, D) itself. DecCM fuses the confounder into it."""
        return latent

    def decoding_latent(self, latent: Tensor, prior: Tensor | None) -> Tensor:
        """What the video is generated from, given the music's latent vector (B, D); here the vector itself."""
        return latent

    def calculate_loss(self, interaction) -> tuple[Tensor, ...]:
        """Weighted loss terms of a batch of matched pairs; RecBole's trainer minimises their sum."""
        videos, music = interaction[self.USER_ID], interaction[self.ITEM_ID]
        visual = self.visual.lookup(videos).to(self.device)
        acoustic = self.acoustic.lookup(music).to(self.device)
        q_video, q_music = self.encode("visual", visual), self.encode("acoustic", acoustic)
        return self._terms(videos, music, visual, acoustic, q_video, q_music)

    def _terms(self, videos, music, visual, acoustic, q_video, q_music) -> tuple[Tensor, ...]:
        s = self.settings
        decodes = s.reconstruction_weight > 0
        if decodes or s.match_on == "sample":
            z_video, z_music = q_video.sample(s.sampling_noise), q_music.sample(s.sampling_noise)
        video, tune = (z_video, z_music) if s.match_on == "sample" else (q_video.mean, q_music.mean)
        scores = self.training_scores(video, tune, videos, music)
        same_music = music.unsqueeze(1) == music.unsqueeze(0)
        same_pair = torch.eye(len(music), dtype=torch.bool, device=music.device)
        pairs = MatchedPairs(
            scores, same_music if s.mask_same_music else same_pair, self.temperature, self.log_popularity[music]
        )
        kl_weight = s.kl_weight * kl_annealing(self.epoch, s.kl_anneal_epochs)
        visual_error = acoustic_error = scores.new_zeros(())
        if decodes:
            video_source = self.decoding_latent(z_music, self.training_prior(videos))
            visual_error = reconstruction_error(self.decoders["visual"](video_source), visual)
            acoustic_error = reconstruction_error(self.decoders["acoustic"](z_video), acoustic)
        return LossTerms(
            matching=MATCHINGS[s.matching](pairs, s),
            kl_video=kl_weight * kl_to_standard_normal(self.learned_part(q_video)),
            kl_music=kl_weight * kl_to_standard_normal(self.learned_part(q_music)),
            reconstruction_visual=s.reconstruction_weight * visual_error,
            reconstruction_acoustic=s.reconstruction_weight * acoustic_error,
        )

    @property
    def temperature(self) -> Tensor:
        """What a difference of scores counts as one nat in ``matching: softmax``, () float; learned there."""
        learned = getattr(self, "log_temperature", None)
        return torch.tensor(self.settings.temperature) if learned is None else learned.exp()

    def training_scores(self, video: Tensor, tune: Tensor, videos: Tensor, music: Tensor) -> Tensor:
        """Scores of a training batch, (B, B): video i in row i, music j in column j.

        Args:
            video, tune: (B, D) latent vectors of both sides.
            videos, music: (B,) their ids.
        """
        return video @ self.represent_music(tune, self.training_prior(videos)).T

    def training_prior(self, videos: Tensor) -> Tensor | None:
        """P(k) of a training batch, (K,); None for a model without confounder."""
        return None

    def evaluation_prior(self) -> Tensor | None:
        """P(k) at evaluation, (K,); None for a model without confounder."""
        return None

    # --- scores ---------------------------------------------------------------------------------------------------
    def train(self, mode: bool = True):
        self._music_table = None  # the weights are about to change, or have changed
        return super().train(mode)

    def set_validating(self, validating: bool) -> None:
        """Tell whether rankings serve to choose an epoch; the matcher ranks the same in any case."""

    def set_epoch(self, epoch: int) -> None:
        """Tell the schedules which epoch (0-based) is being trained."""
        self.epoch = epoch

    def posteriors(self, modality: str) -> Posterior:
        """Posteriors of all ids of a modality in evaluation mode: mean and logvar of shape (n_ids, D)."""
        matrix = self.visual if modality == "visual" else self.acoustic
        blocks = torch.arange(len(matrix)).split(_ENCODE_ROWS)
        encoded = [self.encode(modality, matrix.lookup(ids).to(self.device)) for ids in blocks]
        return Posterior(torch.cat([q.mean for q in encoded]), torch.cat([q.logvar for q in encoded]))

    def video_vectors(self, videos: Tensor) -> Tensor:
        """(B,) video ids -> (B, D) vectors whose dot products with :meth:`music_vectors` are the scores."""
        return self.encode("visual", self.visual.lookup(videos).to(self.device)).mean

    def music_vectors(self) -> Tensor:
        """(n_music, D) vectors of the catalogue under the evaluation prior; computed once per evaluation."""
        if self._music_table is None or self.training:
            self._music_table = self.represent_music(self.posteriors("acoustic").mean, self.evaluation_prior())
        return self._music_table

    def score_matrix(self, videos: Tensor) -> Tensor:
        """Scores of (B,) video ids with the whole catalogue as one matrix product, (B, n_music)."""
        return self.video_vectors(videos) @ self.music_vectors().T

    def full_sort_predict(self, interaction) -> Tensor:
        """Scores of videos with the whole catalogue, flat: (B * n_music,)."""
        return self.score_matrix(interaction[self.USER_ID]).view(-1)

    def predict(self, interaction) -> Tensor:
        """Scores of given (video, music) pairs, (B,); each distinct video is encoded once."""
        videos, index = torch.unique(interaction[self.USER_ID], return_inverse=True)
        pairs = self.video_vectors(videos)[index] * self.music_vectors()[interaction[self.ITEM_ID]]
        return pairs.sum(dim=1)


class DecCMTeacher(CMVAE):
    """The teacher alone: the matcher trained on professional music videos (PGC)."""


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
        guides = (Posterior(q.mean[ids], q.logvar[ids]) for q, ids in zip(self.teacher, (videos, music), strict=True))
        teacher_kl = TEACHER_KLS[self.settings.teacher_kl]
        own = (self.learned_part(q_video), self.learned_part(q_music))
        divergences = [weight * teacher_kl(q, guide) for q, guide in zip(own, guides, strict=True)]
        return DeconfoundedLossTerms(*matcher, *divergences)


class DecCMPlus(DecCM):
    """DecCM with what measurably helps: softmax matching, conditional training, and the teacher's own match beside the
    student's. It differs from :class:`DecCM` in ``properties/model/DecCMPlus.yaml`` alone; docs/results/decmplus.md has
    the reasons.
    """
