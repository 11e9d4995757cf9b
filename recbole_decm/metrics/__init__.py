"""Metrics and tests as pure functions of lists, hits and weights: numpy and scipy alone."""

from recbole_decm.metrics.genres import genre_counts, genre_kl, genre_share, genre_shares, majority_genre
from recbole_decm.metrics.ranking import ipw_ndcg, ipw_recall, list_recall, top_lists

__all__ = [
    "genre_counts",
    "genre_kl",
    "genre_share",
    "genre_shares",
    "ipw_ndcg",
    "ipw_recall",
    "list_recall",
    "majority_genre",
    "top_lists",
]
