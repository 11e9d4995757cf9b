"""Thin RecBole adapters of the metrics in :mod:`recbole_decm.evaluation.metrics`, and the collector that feeds them."""

from __future__ import annotations

import torch
from recbole.evaluator.base_metric import AbstractMetric
from recbole.evaluator.collector import Collector
from recbole.utils import EvaluatorType

from recbole_decm.evaluation import metrics


class MatchingCollector(Collector):
    """RecBole's collector that also keeps, for each positive, where it ranks and what it weighs (``rec.positives``)."""

    def start(self, loader) -> None:
        """Note the loader whose batches are about to come, for the weights of its rows."""
        self._loader, self._next_video = loader, 0

    def eval_batch_collect(self, scores_tensor, interaction, positive_u, positive_i):
        super().eval_batch_collect(scores_tensor, interaction, positive_u, positive_i)
        if not self.register.need("rec.positives"):
            return
        stop = self._next_video + len(scores_tensor)
        weights = self._loader.positive_weights(self._next_video, stop)
        self._next_video = stop
        top = torch.topk(scores_tensor, max(self.topk), dim=-1).indices.cpu()
        hits = top[positive_u.cpu()] == positive_i.cpu().unsqueeze(1)
        self.data_struct.update_tensor("rec.positives", torch.cat([hits.double(), weights.unsqueeze(1)], dim=1))


class _WeightedMetric(AbstractMetric):
    metric_type = EvaluatorType.RANKING
    metric_need = ("rec.positives",)
    function = staticmethod(metrics.ipw_recall)

    def __init__(self, config):
        super().__init__(config)
        self.topk = config["topk"]

    def calculate_metric(self, dataobject):
        table = dataobject.get("rec.positives").numpy()
        values = self.function(table[:, :-1].astype(bool), table[:, -1])
        name = type(self).__name__.lower()
        return {f"{name}@{k}": round(float(values[k - 1]), self.decimal_place) for k in self.topk}


class IPWRecall(_WeightedMetric):
    """Inverse-popularity-weighted recall; see :func:`recbole_decm.evaluation.metrics.ipw_recall`."""


class IPWNDCG(_WeightedMetric):
    """Inverse-popularity-weighted NDCG; see :func:`recbole_decm.evaluation.metrics.ipw_ndcg`."""

    function = staticmethod(metrics.ipw_ndcg)
