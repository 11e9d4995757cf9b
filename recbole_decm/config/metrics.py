"""Our metrics as classes of RecBole: thin adapters of :mod:`recbole_decm.metrics`."""

from __future__ import annotations

import numpy as np
from recbole.evaluator.base_metric import AbstractMetric
from recbole.utils import EvaluatorType

from recbole_decm.estimation.lists import estimate_of_lists
from recbole_decm.metrics import genres, ranking


class _WeightedMetric(AbstractMetric):
    metric_type = EvaluatorType.RANKING
    metric_need = ("rec.positives",)
    function = staticmethod(ranking.ipw_recall)

    def __init__(self, config):
        super().__init__(config)
        self.topk = config["topk"]

    def calculate_metric(self, dataobject):
        table = dataobject.get("rec.positives").numpy()
        values = self.function(table[:, :-1].astype(bool), table[:, -1])
        name = type(self).__name__.lower()
        return {f"{name}@{k}": round(float(values[k - 1]), self.decimal_place) for k in self.topk}


class IPWRecall(_WeightedMetric):
    """Inverse-popularity-weighted recall; see :func:`recbole_decm.metrics.ranking.ipw_recall`."""


class IPWNDCG(_WeightedMetric):
    """Inverse-popularity-weighted NDCG; see :func:`recbole_decm.metrics.ranking.ipw_ndcg`."""

    function = staticmethod(ranking.ipw_ndcg)


class _GenreMetric(AbstractMetric):
    metric_type = EvaluatorType.RANKING
    metric_need: tuple[str, ...] = ("rec.items", "data.genre_membership")

    def __init__(self, config):
        super().__init__(config)
        self.topk = config["topk"]

    def values(self, lists, membership, dataobject):
        """(k,) the metric at every cut-off."""
        raise NotImplementedError

    def calculate_metric(self, dataobject):
        membership = dataobject.get("data.genre_membership").numpy()
        values = self.values(dataobject.get("rec.items").numpy(), membership, dataobject)
        name = type(self).__name__.lower()
        return {f"{name}@{k}": round(float(values[k - 1]), self.decimal_place) for k in self.topk}


class GenreKL(_GenreMetric):
    """Miscalibration to the uploader's preference; see :func:`recbole_decm.metrics.genres.genre_kl`."""

    metric_need = ("rec.items", "data.genre_membership", "rec.prior")
    smaller = True

    def values(self, lists, membership, dataobject):
        return genres.genre_kl(lists, membership, dataobject.get("rec.prior").numpy())


class MajorityShare(_GenreMetric):
    """Share of the lists from the largest genre of the catalogue; see
    :func:`recbole_decm.metrics.genres.genre_share`. Smaller is better only where the majority is pushed."""

    smaller = True

    def values(self, lists, membership, dataobject):
        return genres.genre_share(lists, membership, genres.majority_genre(membership))


class _EstimatedMetric(AbstractMetric):
    metric_type = EvaluatorType.RANKING
    metric_need = ("rec.positives", "rec.chances")

    def __init__(self, config):
        super().__init__(config)
        self.topk = config["topk"]
        self.seed = config["seed"]

    def estimate(self, dataobject):
        """{"dorecall@10": (value, low, high), ...}, rounded; empty for rows whose choices are not weighed."""
        chances = dataobject.get("rec.chances").numpy()
        if np.isnan(chances).any():
            return {}
        name = type(self).__name__.lower()
        hits = dataobject.get("rec.positives").numpy()[:, :-1]
        found = estimate_of_lists(name, hits.astype(bool), chances, self.seed)
        return {
            f"{name}@{k}": tuple(round(float(part[k - 1]), self.decimal_place) for part in found) for k in self.topk
        }

    def calculate_metric(self, dataobject):
        return {name: value for name, (value, _, _) in self.estimate(dataobject).items()}


class DoRecall(_EstimatedMetric):
    """Recall as it would be without the uploaders' habits; see :func:`recbole_decm.estimation.lists.estimate_of_lists`.

    Estimated from observed choices; recall on choices under intervention (``test_do``) is the true one.
    """


class DoNDCG(_EstimatedMetric):
    """Gain 1 / log2(rank + 1) of the chosen track, estimated as :class:`DoRecall`."""


class DoMRR(_EstimatedMetric):
    """Reciprocal rank of the chosen track, estimated as :class:`DoRecall`."""
