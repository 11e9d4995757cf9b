"""Other ways of debiasing our matcher, as RecBole models: IPW, PDA and a DecRS-style confounder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recbole_decm.data.inputs import ModelInputs
from recbole_decm.errors import ConfigError
from recbole_decm.model.adjustment import Adjustment
from recbole_decm.model.backdoor import inference_priors
from recbole_decm.model.baselines.debiasing import elu_plus_one, inverse_propensity_weights, popularity_factor
from recbole_decm.model.baselines.group_fm import GroupInteraction
from recbole_decm.model.baselines.settings import DecRSSettings, IPWSettings, PDASettings
from recbole_decm.model.cmvae import CMVAE


class IPW(CMVAE):
    """Inverse propensity weighting: a training pair weighs the clipped inverse of its music's popularity to a power.

    The matching term of a batch is sum_i w_i l_i / sum_i w_i, with l_i the softmax matching term of pair i. Ranking is
    the matcher's.

    Reference:
        Schnabel et al. "Recommendations as treatments: debiasing learning and evaluation." ICML 2016.
    """

    settings_class = IPWSettings
    settings: IPWSettings
    music_weight: Tensor

    def __init__(self, settings: Any, inputs: ModelInputs, device: torch.device | str):
        super().__init__(settings, inputs, device)
        s = self.settings
        if s.matching != "softmax":
            raise ConfigError(f"matching: expected softmax, whose pairs IPW can weigh, found {s.matching}.")
        counts = torch.from_numpy(inputs.popularity)
        weights = torch.ones(self.n_items)
        weights[1:] = inverse_propensity_weights(counts[1:], s.propensity_power, s.largest_weight)
        self.register_buffer("music_weight", weights, persistent=False)  # of the training split, as popularity is

    def pair_weights(self, music: Tensor) -> Tensor:
        """(B,) track ids -> (B,) weights of the pairs in the matching term."""
        return self.music_weight[music]


class PDA(CMVAE):
    """Popularity-bias deconfounding and adjusting: popularity is a factor of the score in training.

    In training, s(v, m) = ELU'(z_v . z_m) * p_m^gamma with the popularity p_m relative to the mean. At inference
    ``pd`` ranks by ELU'(z_v . z_m), that is by the match alone, and ``pda`` by ELU'(z_v . z_m) * p_m^gamma', which
    brings a wanted amount of popularity back. In both cases P(C | v, do(m)) is what is estimated.

    Departures: there are no stages of time, so popularity is that of the whole training split, also the one predicted
    for inference; the objective is the matching term over the music of the batch, not BPR with one drawn negative.

    Reference:
        Zhang et al. "Causal Intervention for Leveraging Popularity Bias in Recommendation." SIGIR 2021.
    """

    settings_class = PDASettings
    settings: PDASettings
    training_factor: Tensor
    inference_factor: Tensor

    def __init__(self, settings: Any, inputs: ModelInputs, device: torch.device | str):
        super().__init__(settings, inputs, device)
        s = self.settings
        counts = torch.from_numpy(inputs.popularity)[1:]
        powers = {"training": s.popularity_power, "inference": s.inference_popularity_power}
        for name, power in powers.items():
            factor = torch.ones(self.n_items)
            factor[1:] = popularity_factor(counts, power)
            self.register_buffer(f"{name}_factor", factor, persistent=False)

    @classmethod
    def ranks_by_popularity(cls, settings: PDASettings) -> bool:
        return settings.inference == "pda"

    @property
    def why_no_dot_product(self) -> str | None:
        return "inference: pda multiplies the match by popularity" if self.ranks_by_popularity(self.settings) else None

    def scores_of(self, products: Tensor, tracks: Tensor) -> Tensor:
        """Matches with tracks of (n,) ids, (B, n) -> what they are ranked by, likewise.

        ELU' rises, so under ``pd`` the ranking is that of the match.
        """
        if not self.ranks_by_popularity(self.settings):
            return products
        return elu_plus_one(products) * self.inference_factor[tracks]

    def training_scores(self, video: Tensor, tune: Tensor, videos: Tensor, music: Tensor) -> Tensor:
        """(B, B) scores of a batch, each track's times its popularity."""
        match = super().training_scores(video, tune, videos, music)
        return elu_plus_one(match) * self.training_factor[music]

    def score_matrix(self, videos: Tensor) -> Tensor:
        """Scores of (B,) video ids with the whole catalogue, (B, n_tracks)."""
        return self.scores_of(super().score_matrix(videos), torch.arange(self.n_items, device=self.device))

    def predict(self, interaction: Any) -> Tensor:
        """Scores of given (video, track) pairs, (B,)."""
        return self.scores_of(super().predict(interaction), interaction[self.ITEM_ID])


class DecRS(CMVAE):
    """A DecRS-style confounder: the uploaders' distribution over genres, adjusted at its expectation.

    The backdoor adjustment sum_d P(d) f(v, m, M(d, v)) is approximated by f(v, m, M(sum_d P(d) d, v)): the group-level
    representation M of the mean distribution of the training pairs, in training as at inference, enters a factorisation
    machine with the video, the music and the music's genres (:class:`GroupInteraction`).

    Departures: the user is the video, known by its content alone, so the user representation is z_v, while the
    distribution is its uploader's; f has our towers for embeddings; the paper's second model without adjustment, mixed
    in by how far a user's interest drifts, is left out, since neither videos nor uploaders have a history in time here.

    Since the mean distribution is one constant, M is z_v with each dimension scaled by a learned number: what the
    adjustment can change in training is limited to that. ``inference_prior`` ranks under another distribution.

    Reference:
        Wang et al. "Deconfounded Recommendation for Alleviating Bias Amplification." KDD 2021.
    """

    uses_uploader_prior = True
    uses_genre = True
    settings_class = DecRSSettings
    settings: DecRSSettings
    prior_mean: Tensor
    uploader_prior: Tensor
    genres: Tensor

    def __init__(self, settings: Any, inputs: ModelInputs, device: torch.device | str):
        super().__init__(settings, inputs, device)
        assert inputs.priors is not None and inputs.prior_mean is not None and inputs.genres is not None
        self.register_buffer("uploader_prior", inputs.priors, persistent=False)  # of the data, not of the checkpoint
        self.register_buffer("prior_mean", inputs.prior_mean.clone())
        self.num_groups, choice = len(inputs.prior_mean), self.settings.inference_prior
        if isinstance(choice, tuple) and len(choice) != self.num_groups:
            raise ConfigError(
                f"inference_prior: expected {self.num_groups} probabilities, one for each genre group, found "
                f"{len(choice)}."
            )
        self.register_buffer("genres", torch.from_numpy(inputs.genres), persistent=False)
        self.interaction = GroupInteraction(self.num_groups, self.latent_size)
        self.rank_under(choice)

    def rank_under(self, prior: str | tuple[float, ...]) -> None:
        """Rank under this distribution from now on: ``mean``, ``uniform``, ``uploader``, or K probabilities."""
        self.adjustment = ExpectedGroup(self, prior)

    def uploaders_of(self, videos: Tensor) -> Tensor:
        """(B, K) preferences of the uploaders of (B,) video ids."""
        return self.uploader_prior[videos]


class ExpectedGroup(Adjustment):
    """DecRS's way: the group-level representation of one distribution, on the video's side.

    Args:
        model: where the parameters and priors are.
        choice: the distribution that rankings are made under, as of :func:`inference_priors`.
    """

    confounded = True
    fuses = False

    def __init__(self, model: DecRS, choice: str | tuple[float, ...]):
        self._model, self._choice = model, choice
        self.needs_uploaders = choice == "uploader"

    def priors(self, videos: int, uploaders: Tensor | None) -> Tensor:
        """The distribution of each of some videos, (videos, K)."""
        mean = self._model.prior_mean
        return inference_priors(self._choice, mean, mean.expand(videos, -1) if uploaders is None else uploaders)

    def training_scores(self, video: Tensor, track: Tensor, videos: Tensor, tracks: Tensor) -> Tensor:
        """(B, B) scores under the mean distribution of the training pairs."""
        return self._model.interaction.query(video, self._model.prior_mean) @ self.key(track, tracks).T

    def key(self, track: Tensor, tracks: Tensor) -> Tensor:
        """The track's side of the score, (N, D) -> (N, D + 1)."""
        return self.key_of(track, self._model.genres[tracks])

    def key_of(self, track: Tensor, genres: Tensor | None) -> Tensor:
        """The same of tracks of any catalogue, (N, D) and (N, K) genres -> (N, D + 1)."""
        assert genres is not None
        return self._model.interaction.key(track, genres)

    def query(self, video: Tensor, uploaders: Tensor | None) -> Tensor:
        """The video's side of the score, (B, D) -> (B, D + 1)."""
        return self._model.interaction.query(video, self.priors(len(video), uploaders))

    def scores_under(self, video: Tensor, track: Tensor, priors: Tensor, tracks: Tensor) -> Tensor:
        """(B, N) scores of latent vectors under any distributions (B, K)."""
        return self._model.interaction.query(video, priors) @ self.key(track, tracks).T
