"""Genre metrics against loops, closed forms and lists whose calibration is known."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_decm.metrics import genres
from recbole_decm.metrics.genres import genre_kl, genre_share, genre_totals, majority_genre


def naive_kl(rows, membership, preference, k):
    """Steck's calibration by loops over lists, music and genres."""
    total = []
    for row, wanted in zip(rows, preference, strict=True):
        counts = [sum(membership[m][g] for m in row[:k]) for g in range(len(wanted))]
        if sum(counts) == 0:
            continue
        shares = [count / sum(counts) for count in counts]
        mixed = [0.99 * q + 0.01 * p for q, p in zip(shares, wanted, strict=True)]
        total.append(sum(p * math.log(p / q) for p, q in zip(wanted, mixed, strict=True) if p > 0))
    return sum(total) / len(total) if total else math.nan


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), groups=st.integers(1, 4))
def test_metrics_are_those_of_loops(seed, groups):
    rng = np.random.default_rng(seed)
    membership = np.eye(groups)[rng.integers(groups, size=9)]
    membership[0] = 1 / groups  # a music of every genre
    membership[1] = 0  # and one of none
    lists = np.array([rng.permutation(9)[:5] for _ in range(4)])
    preference = rng.dirichlet(np.ones(groups), size=4)
    preference[0] = np.eye(groups)[0]
    for k in range(1, 6):
        expected = naive_kl(lists.tolist(), membership.tolist(), preference.tolist(), k)
        assert genre_kl(lists, membership, preference)[k - 1] == pytest.approx(expected, nan_ok=True)
        share = np.mean([np.mean([membership[m][0] for m in row[:k]]) for row in lists])
        assert genre_share(lists, membership, 0)[k - 1] == pytest.approx(share)


def test_a_list_that_mirrors_the_preference_is_calibrated():
    listed = np.array([[0, 1, 2, 3]]), np.eye(2)[[0, 0, 0, 1]]
    assert genre_kl(*listed, np.array([[0.75, 0.25]]))[3] == pytest.approx(0, abs=1e-12)
    assert genre_kl(*listed, np.array([[0.25, 0.75]]))[3] > 0.3


def test_a_missing_genre_costs_the_logarithm_of_the_smoothing():
    assert genre_kl(np.array([[0]]), np.eye(2)[[0]], np.array([[0.0, 1.0]]))[0] == pytest.approx(math.log(100))


def test_lists_without_a_known_genre_are_left_out():
    membership = np.array([[0.0, 0.0], [1.0, 0.0]])
    preference = np.array([[0.5, 0.5], [1.0, 0.0]])
    lists = np.array([[0], [1]])
    assert genre_kl(lists, membership, preference)[0] == pytest.approx(0)
    assert np.isnan(genre_kl(lists[:1], membership, preference[:1])[0])
    assert genre_share(lists, membership, 0)[0] == pytest.approx(0.5)


def test_memory_does_not_grow_with_lists_times_genres(monkeypatch):
    """And the numbers are those of all lists at once, bit for bit."""
    rng = np.random.default_rng(0)
    lists, membership = rng.integers(500, size=(5_000, 20)), np.eye(20)[rng.integers(20, size=500)]
    preference = rng.dirichlet(np.ones(20), size=len(lists))
    tracemalloc.start()
    found = genre_kl(lists, membership, preference), genre_totals(lists, membership), genre_share(lists, membership, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 15e6  # one (5,000, 20, 20) array of float64 has 16 MB, and 7 of them were made
    monkeypatch.setattr(genres, "_BLOCK_CELLS", lists.size * 20)
    assert all(
        np.array_equal(one, other)
        for one, other in zip(
            found, (genre_kl(lists, membership, preference), genre_totals(lists, membership), found[2]), strict=True
        )
    )
    assert np.array_equal(found[1], membership[lists].sum(axis=1))


def test_the_majority_is_the_largest_group_of_the_catalogue():
    assert majority_genre(np.eye(3)[[2, 1, 2]]) == 2
    assert majority_genre(np.eye(3)[[1, 0]]) == 0  # a tie: the first
