"""Lists that are less alike: against the definition taken word for word, and caps by value."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recbole_decm.serving.api.diversity import choose, pool_size


def word_for_word(scores, vectors, k, weight):
    """Carbonell and Goldstein's definition with loops."""
    relevance = [(s - min(scores)) / (max(scores) - min(scores)) for s in scores]
    chosen: list[int] = []
    while len(chosen) < k:
        best, value = -1, -np.inf
        for i in range(len(scores)):
            if i in chosen:
                continue
            alike = [vectors[i] @ vectors[j] / np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[j]) for j in chosen]
            found = (1 - weight) * relevance[i] - weight * max(alike, default=0.0)
            if found > value:
                best, value = i, found
        chosen.append(best)
    return chosen


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.9, 1.0])
def test_the_list_is_that_of_the_definition(weight):
    draw = np.random.default_rng(1)
    scores, vectors = -np.sort(-draw.standard_normal(40)), draw.standard_normal((40, 5))
    assert choose(scores, vectors, 8, weight) == word_for_word(scores, vectors, 8, weight)


def test_no_diversity_is_the_ranking_and_equal_scores_do_not_divide_by_zero():
    scores, vectors = np.ones(5), np.eye(5)
    assert choose(scores, vectors, 3, 0.0) == [0, 1, 2]
    assert choose(scores, vectors, 3, 0.5) == [0, 1, 2]
    assert choose(np.zeros(0), np.zeros((0, 5)), 3, 0.5) == []


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_no_value_comes_more_often_than_it_may_and_a_missing_one_counts_nothing(weight):
    draw = np.random.default_rng(2)
    metadata = [{"artist": [["a"], ["a", "b"], None, "c"][at % 4]} for at in range(40)]
    found = choose(-np.arange(40.0), draw.standard_normal((40, 3)), 12, weight, {"artist": 2}, metadata)
    counts = Counter(value for at in found for value in (metadata[at]["artist"] or ()))
    assert len(found) == 12 and max(counts.values()) == 2
    assert sum(metadata[at]["artist"] is None for at in found) >= 8


def test_a_list_is_shorter_where_the_cap_leaves_no_more():
    assert choose(-np.arange(6.0), None, 4, 0.0, {"artist": 1}, [{"artist": "a"}] * 6) == [0]
    assert pool_size(5) == 100 and pool_size(50) == 500
