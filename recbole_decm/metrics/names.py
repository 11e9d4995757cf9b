"""Metrics by name: how each is written, and whether less of it is better. RecBole's and ours, without RecBole."""

from __future__ import annotations

_TITLES = (
    *("AUC", "AveragePopularity", "GAUC", "GiniIndex", "Hit", "ItemCoverage", "LogLoss", "MAE", "MAP", "MRR", "NDCG"),
    *("Precision", "RMSE", "Recall", "ShannonEntropy", "TailPercentage"),
    *("IPWRecall", "IPWNDCG", "GenreKL", "MajorityShare", "DoRecall", "DoNDCG", "DoMRR"),
)
TITLES = {title.lower(): title for title in _TITLES}
"""Name in lower case, as results have it -> as it is written."""
SMALLER = frozenset({"averagepopularity", "giniindex", "logloss", "mae", "rmse", "genrekl", "majorityshare"})
"""Names of the metrics of which less is better."""


def smaller_is_better(metric: str) -> bool:
    """Whether less is better; ``metric`` with or without its cut-off.

    >>> smaller_is_better("GenreKL@10"), smaller_is_better("ndcg@10")
    (True, False)
    """
    return metric.partition("@")[0].lower() in SMALLER


def metric_title(metric: str) -> str:
    """A metric as it is written; an unknown name stays as it is.

    >>> metric_title("ndcg@10"), metric_title("own@5")
    ('NDCG@10', 'own@5')
    """
    name, at, k = metric.partition("@")
    return TITLES.get(name.lower(), name) + at + k
