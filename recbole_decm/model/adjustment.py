"""The ways of adjusting for the confounder, each with what training, ranking, serving and the audit need of it.

=================== ============================================== =========================================
way                 score of video v and track m                   where P(k) stands
=================== ============================================== =========================================
:class:`Adjustment` v . z_m                                        nowhere: there is no confounder
:class:`FoldedPrior` v . Linear([sum_k P(k) e_k ; z_m])            in the track's vector, one P for all
:class:`QueryPrior` query(v, P_v) . key(m)                         in the video's vector, one P for each video
:class:`ExactSum`   t log sum_k P_v(k) softmax_m(f(v, m, k) / t)   outside; the score is no dot product
=================== ============================================== =========================================

Shapes: B videos, N tracks, D latent, E of a vector that is ranked by, K genre groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from recbole_decm.model.backdoor import ConfounderFusion, adjusted_log_softmax, batch_prior, inference_priors
from recbole_decm.model.fusions import WHY_NO_RANK_CHANGES, Fusion, fused_scores, group_scores


class Confounder(Protocol):
    """What a model knows of the confounder.

    Attributes:
        fusion: f(v, m, k) as two sides of a dot product.
        prior_mean: (K,) P(k) of the training population.
        training_prior: (n_videos, K) each uploader's own, as training sees it.
        genres: (n_tracks, K), or None where the fusion reads none.
    """

    fusion: Any
    prior_mean: Tensor
    training_prior: Tensor
    genres: Tensor | None


TrainingPriors = Callable[[Confounder, Tensor], Tensor]
"""(B,) ids of a batch -> (B, K) P(k) that each row is trained under."""


class GroupQueries(NamedTuple):
    """The video's side of an exact sum: vectors under each pure group (K, B, E), P(k) (B, K), temperature t > 0."""

    queries: Tensor
    priors: Tensor
    temperature: float


class Adjustment:
    """No adjustment: the score is the match. The other ways change what they do otherwise."""

    confounded = False
    """Whether there is a P(k) to change."""
    tracks_hold_prior = False
    """Whether the tracks' vectors depend on P(k), so that another prior means other vectors."""
    fuses = True
    """Whether :meth:`fused` gives one vector for each track."""
    needs_uploaders = False
    """Whether a video is ranked under its own uploader's preference."""
    scores_by_dot_product = True
    """Whether the score is the dot product of :meth:`query` and :meth:`key`."""

    @property
    def ranks_by_dot_product(self) -> bool:
        """Whether the dot product of :meth:`ranking_query` and :meth:`key` ranks a video's tracks as the score does."""
        return True

    # --- training -------------------------------------------------------------------------------------------------
    def training_scores(self, video: Tensor, track: Tensor, videos: Tensor, tracks: Tensor) -> Tensor:
        """(B, D) latent vectors of both sides of a batch, and their (B,) ids -> (B, B) scores."""
        return video @ track.T

    def fused(self, track: Tensor, videos: Tensor) -> Tensor:
        """One vector for each track that holds the batch's confounder: (n, D) latent -> (n, D).

        Args:
            videos: (B,) ids of the whole batch.
        """
        return track

    # --- ranking and serving --------------------------------------------------------------------------------------
    def key(self, track: Tensor, tracks: Tensor) -> Tensor:
        """The track's side of the score: (N, D) latent vectors and (N,) ids -> (N, E)."""
        return self.key_of(track, None)

    def key_of(self, track: Tensor, genres: Tensor | None) -> Tensor:
        """The same of tracks of any catalogue: (N, D) latent vectors, (N, K) genres where they are read -> (N, E)."""
        return track

    def query(self, video: Tensor, uploaders: Tensor | None) -> Tensor:
        """The video's side of the score: (B, D) latent vectors, (B, K) preferences or None -> (B, E)."""
        return video

    def ranking_query(self, video: Tensor, uploaders: Tensor | None) -> Tensor:
        """As :meth:`query`, for a ranking: the score may be off by a constant for each video."""
        return self.query(video, uploaders)

    def group_queries(self, video: Tensor, uploaders: Tensor | None) -> GroupQueries:
        """The video's side of a score that no dot product ranks by."""
        raise NotImplementedError

    def scores(self, query: Tensor, key: Tensor, uploaders: Tensor | None) -> Tensor:
        """Scores with the whole catalogue, padding first: (B, E) and (n_tracks, E) -> (B, n_tracks)."""
        return query @ key.T

    # --- audit ----------------------------------------------------------------------------------------------------
    def scores_under(self, video: Tensor, track: Tensor, priors: Tensor, tracks: Tensor) -> Tensor:
        """Scores of (B, D) and (N, D) latent vectors under any P(k), (B, K), of one dtype -> (B, N)."""
        return video @ track.T

    def priors(self, videos: int, uploaders: Tensor | None) -> Tensor | None:
        """P(k) that each of some videos is ranked under, (videos, K); None without confounder."""
        return None

    @property
    def why_no_rank_changes(self) -> str | None:
        """Why no prior can change a ranking, where that follows from the form of the score."""
        return None


class _Adjusted(Adjustment):
    """What the ways with a confounder share.

    Args:
        confounder: where the parameters and priors are; they are looked up at each use, since they move and change.
        choice: P(k) of rankings: a name of :func:`inference_priors`, or K probabilities.
        training_priors: (B,) ids of a batch -> (B, K) P(k) that each row is trained under.
    """

    confounded = True

    def __init__(
        self,
        confounder: Confounder,
        choice: str | Sequence[float],
        training_priors: TrainingPriors,
    ):
        self._confounder, self._choice, self._training_priors = confounder, choice, training_priors
        self.needs_uploaders = choice == "uploader"

    @property
    def _fusion(self) -> Fusion:
        return self._confounder.fusion

    @property
    def _is_linear(self) -> bool:
        return isinstance(self._fusion, ConfounderFusion)

    @property
    def why_no_rank_changes(self) -> str | None:
        return WHY_NO_RANK_CHANGES.get(type(self._fusion))

    def _genres(self, tracks: Tensor) -> Tensor | None:
        return None if self._confounder.genres is None else self._confounder.genres[tracks]

    def key(self, track: Tensor, tracks: Tensor) -> Tensor:
        return self.key_of(track, self._genres(tracks))

    def priors(self, videos: int, uploaders: Tensor | None) -> Tensor:
        mean = self._confounder.prior_mean
        return inference_priors(self._choice, mean, mean.expand(videos, -1) if uploaders is None else uploaders)

    def training_scores(self, video: Tensor, track: Tensor, videos: Tensor, tracks: Tensor) -> Tensor:
        priors = self._training_priors(self._confounder, videos)
        return fused_scores(self._fusion, video, track, priors, self._genres(tracks))

    def scores_under(self, video: Tensor, track: Tensor, priors: Tensor, tracks: Tensor) -> Tensor:
        return fused_scores(self._fusion, video, track, priors, self._genres(tracks))


class FoldedPrior(_Adjusted):
    """The paper's: one prior for all videos, added to the track vectors by the linear fusion."""

    tracks_hold_prior = True

    def training_scores(self, video: Tensor, track: Tensor, videos: Tensor, tracks: Tensor) -> Tensor:
        return video @ self.fused(track, videos).T

    def fused(self, track: Tensor, videos: Tensor) -> Tensor:
        return self._confounder.fusion(track, self._training_priors(self._confounder, videos)[0])

    def key_of(self, track: Tensor, genres: Tensor | None) -> Tensor:
        return self._confounder.fusion(track, self.priors(1, None)[0])

    def query(self, video: Tensor, uploaders: Tensor | None) -> Tensor:
        return video


class QueryPrior(_Adjusted):
    """A prior for each video, on the video's side; one set of track vectors serves every prior and uploader."""

    fuses = False

    def key_of(self, track: Tensor, genres: Tensor | None) -> Tensor:
        return self._fusion.key(track, genres)

    def query(self, video: Tensor, uploaders: Tensor | None) -> Tensor:
        return self._fusion.query(video, self.priors(len(video), uploaders))


class ExactSum(QueryPrior):
    """The sum over the groups outside the softmax over the tracks: P(choice | v, do(m shown)) to the letter.

    Its ranking is that of a dot product in two cases: the linear fusion, which adds the same number to every track
    under every group, and a prior that knows the group.
    """

    scores_by_dot_product = False

    def __init__(
        self, confounder: Confounder, choice: str | Sequence[float], training_priors: TrainingPriors, temperature: float
    ):
        super().__init__(confounder, choice, training_priors)
        self._temperature = temperature

    @property
    def ranks_by_dot_product(self) -> bool:
        known = not isinstance(self._choice, str) and max(self._choice) == 1
        return known or self._is_linear

    def _summed(self, video: Tensor, key: Tensor, priors: Tensor, first: int) -> Tensor:
        scores = group_scores(self._fusion, video, key, priors.shape[1])
        return adjusted_log_softmax(scores, priors, self._temperature, first)

    def training_scores(self, video: Tensor, track: Tensor, videos: Tensor, tracks: Tensor) -> Tensor:
        priors = self._training_priors(self._confounder, videos)
        return self._summed(video, self.key(track, tracks), priors, first=0)

    def query(self, video: Tensor, uploaders: Tensor | None) -> Tensor:
        return video

    def ranking_query(self, video: Tensor, uploaders: Tensor | None) -> Tensor:
        return super().query(video, uploaders)

    def group_queries(self, video: Tensor, uploaders: Tensor | None) -> GroupQueries:
        priors = self.priors(len(video), uploaders)
        groups = torch.eye(priors.shape[1], dtype=video.dtype, device=video.device)
        queries = torch.stack([self._fusion.query(video, group.expand(len(video), -1)) for group in groups])
        return GroupQueries(queries, priors, self._temperature)

    def scores(self, query: Tensor, key: Tensor, uploaders: Tensor | None) -> Tensor:
        return self._summed(query, key, self.priors(len(query), uploaders), first=1)

    def scores_under(self, video: Tensor, track: Tensor, priors: Tensor, tracks: Tensor) -> Tensor:
        return self._summed(video, self.key(track, tracks), priors, first=0)


def _of_batch(confounder: Confounder, videos: Tensor) -> Tensor:
    return batch_prior(confounder.training_prior.index_select(0, videos)).expand(len(videos), -1)


def _of_population(confounder: Confounder, videos: Tensor) -> Tensor:
    return confounder.prior_mean.expand(len(videos), -1)


def _of_uploaders(confounder: Confounder, videos: Tensor) -> Tensor:
    return confounder.training_prior[videos]


# backdoor: NAME -> P(k) that each row of a batch is trained under.
TRAINING_PRIORS: dict[str, TrainingPriors] = {
    "batch": _of_batch,
    "population": _of_population,
    "exact": _of_population,
    "conditional": _of_uploaders,
}


def adjustment(backdoor: str, choice: str | Sequence[float], temperature: float, confounder: Confounder) -> Adjustment:
    """The way that the settings ask for.

    Args:
        backdoor: ``none`` or a name of :data:`TRAINING_PRIORS`.
        choice: P(k) of rankings.
        temperature: of ``exact``.
        confounder: not looked at for ``none``.
    """
    if backdoor == "none":
        return Adjustment()
    priors = TRAINING_PRIORS[backdoor]
    if backdoor == "exact":
        return ExactSum(confounder, choice, priors, temperature)
    one_prior = backdoor != "conditional" and choice != "uploader"
    kind = FoldedPrior if one_prior and isinstance(confounder.fusion, ConfounderFusion) else QueryPrior
    return kind(confounder, choice, priors)
