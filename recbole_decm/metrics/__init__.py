"""Metrics and tests as pure functions of lists, hits and weights: numpy and scipy alone."""

from recbole_decm.metrics.genres import genre_kl, genre_share, genre_shares, genre_totals, majority_genre
from recbole_decm.metrics.ranking import ipw_ndcg, ipw_recall, list_recall, top_lists

__all__ = [
    "genre_kl",
    "genre_share",
    "genre_shares",
    "genre_totals",
    "ipw_ndcg",
    "ipw_recall",
    "list_recall",
    "majority_genre",
    "top_lists",
]
