"""Weighted metrics against double loops, against RecBole's, and against golden values where they are at hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_decm.metrics.ranking import ipw_ndcg, ipw_recall, tie_order


def naive(ranks, weights, k):
    """Weighted recall and NDCG from 0-based ranks, by loops."""
    total, recall, ndcg = sum(weights), 0.0, 0.0
    for rank, weight in zip(ranks, weights, strict=True):
        if rank < k:
            recall += weight / total
            ndcg += weight / total / math.log2(rank + 2)
    return recall, ndcg


def hits_of(ranks, depth):
    return np.array([[rank == column for column in range(depth)] for rank in ranks])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.floats(0.01, 10)), min_size=1, max_size=8))
def test_weighted_metrics_are_those_of_a_loop(rows):
    ranks, weights = [rank for rank, _ in rows], [weight for _, weight in rows]
    hits = hits_of(ranks, 10)
    for k in range(1, 11):
        recall, ndcg = naive(ranks, weights, k)
        assert ipw_recall(hits, np.array(weights))[k - 1] == pytest.approx(recall)
        assert ipw_ndcg(hits, np.array(weights))[k - 1] == pytest.approx(ndcg)


def test_a_rare_music_counts_more():
    hits = hits_of([0, 5], 2)  # the first positive is found, the second is not
    assert ipw_recall(hits, np.array([1.0, 3.0]))[1] == pytest.approx(0.25)
    assert ipw_recall(hits, np.array([3.0, 1.0]))[1] == pytest.approx(0.75)


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -1.0]])
def test_weights_that_cannot_be_normalised_are_refused(weights):
    with pytest.raises(ValueError, match="non-negative"):
        ipw_recall(hits_of([0, 1], 2), np.array(weights))


@pytest.mark.parametrize("file", ["released_small.npz", "released_alpha.npz"])
def test_weighted_metrics_are_the_released_ones(shared_data, file):
    golden = np.load(shared_data / "golden" / file)
    candidates, weights = golden["metric.candidates"], golden["metric.weights"]
    scores = np.take_along_axis(golden["metric.scores"], candidates, axis=1)
    ranks = (scores[:, 1:] > scores[:, :1]).sum(axis=1)
    hits = hits_of(ranks, 10)
    for k in (1, 5, 10):
        assert ipw_recall(hits, weights)[k - 1] == pytest.approx(float(golden[f"metric.weighted_recall@{k}"]), abs=1e-9)
        assert ipw_ndcg(hits, weights)[k - 1] == pytest.approx(float(golden[f"metric.weighted_ndcg@{k}"]), abs=1e-9)


def test_equal_scores_are_ordered_at_random_by_seed_video_and_track_alone():
    videos, tracks = np.arange(400)[:, None], np.arange(500)[None]
    order = tie_order(7, videos, tracks)
    assert order.shape == (400, 500) and order.min() >= 0 and order.max() < 1
    assert np.array_equal(tie_order(7, videos[30:40], tracks[:, ::7]), order[30:40, ::7])
    firsts = np.bincount(order.argmax(axis=1), minlength=500)
    assert firsts.max() < 8 and order.mean() == pytest.approx(0.5, abs=0.005)  # each video has an order of its own
    assert abs(np.corrcoef(order[:, :-1].ravel(), order[:, 1:].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(order.ravel(), tie_order(8, videos, tracks).ravel())[0, 1]) < 0.01
