"""The tables of names and directions are RecBole's and ours, as they are registered."""

from __future__ import annotations

import recbole.evaluator.register as recbole_metrics

from recbole_decm.config.registry import register_metrics
from recbole_decm.metrics.names import SMALLER, TITLES, metric_title, smaller_is_better


def test_the_tables_are_those_that_are_registered():
    register_metrics()
    assert {name: metric.__name__ for name, metric in recbole_metrics.metrics_dict.items()} == TITLES
    assert set(recbole_metrics.smaller_metrics) == SMALLER


def test_names_with_and_without_a_cut_off():
    assert smaller_is_better("genrekl@10") and smaller_is_better("MajorityShare@5") and not smaller_is_better("ndcg@10")
    assert metric_title("ndcg@10") == "NDCG@10" and metric_title("genrekl") == "GenreKL"
    assert metric_title("own@5") == "own@5"
