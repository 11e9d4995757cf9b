"""What an audit measures, against loops, closed forms and cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from recbole_decm.audit.agreement import kl_per_dimension, ranking_agreement
from recbole_decm.audit.measures import (
    batch_prior_variance,
    changed_lists,
    explained_share,
    replaced_share,
    uneven_shift,
)
from recbole_decm.metrics.genres import genre_shares
from recbole_decm.metrics.ranking import top_lists
from recbole_decm.model.losses import kl_divergence
from recbole_decm.model.towers import Posterior

RNG = np.random.default_rng(0)


def test_top_lists_are_those_of_a_sort():
    scores = RNG.normal(size=(6, 9))
    assert (top_lists(scores, 4) == np.argsort(-scores, axis=1)[:, :4]).all()


def test_changes_are_counted_against_a_sort():
    one, two = RNG.normal(size=(2, 200, 9))
    lists = top_lists(one, 3)
    again = np.argsort(-two, axis=1)[:, :3]
    assert (changed_lists(lists, two) == (lists != again).any(axis=1)).all()
    expected = [np.mean([entry not in row for entry in given]) for given, row in zip(lists, again, strict=True)]
    assert np.allclose(replaced_share(lists, two), expected)
    assert not changed_lists(lists, one).any() and not replaced_share(lists, one).any()


def test_rounding_and_ties_are_no_change():
    one = np.array([[1.0, 1.0, 0.5, 0.2]])
    lists = top_lists(one, 2)
    assert not changed_lists(lists, one + np.array([[0.0, 1e-13, 0.0, 0.0]])).any()
    assert not changed_lists(lists[:, ::-1], one).any()
    assert changed_lists(lists, one[:, ::-1]).all() and changed_lists(lists, np.array([[0.9, 1.0, 1.1, 0.0]])).all()


def test_the_same_number_for_every_music_is_no_uneven_shift():
    scores = RNG.normal(size=(20, 30))
    assert uneven_shift(scores, scores + RNG.normal(size=(20, 1))) == pytest.approx(0, abs=1e-15)
    assert uneven_shift(scores, 3 * scores) == pytest.approx(2)


def test_explained_share_of_planted_parts():
    match = RNG.normal(size=(400, 300))
    video, both = 2 * RNG.normal(size=(400, 1)), 0.5 * RNG.normal(size=(400, 300))
    everything, within = explained_share(match + video, match)
    assert everything == pytest.approx(4 / 5, abs=0.05) and within == pytest.approx(0, abs=1e-12)
    everything, within = explained_share(match + both, match)
    assert everything == pytest.approx(0.25 / 1.25, abs=0.01) and within == pytest.approx(0.25 / 1.25, abs=0.01)


def test_variance_of_a_batch_mean_is_that_of_sampling_without_replacement():
    priors = RNG.dirichlet([2.0, 1.0, 0.5], size=500)
    rows = batch_prior_variance(priors, (5, 100, 500, 1_000), np.random.default_rng(1), draws=2_000)
    assert [row["size"] for row in rows] == [5, 100, 500]
    for row in rows[:2]:
        assert row["measured"] == pytest.approx(row["expected"], rel=0.1)
    assert rows[0]["expected"] == pytest.approx(priors.var(axis=0).sum() / 5 * 495 / 499)
    assert rows[2]["measured"] == pytest.approx(0, abs=1e-25) and rows[2]["expected"] == 0


def test_genre_shares_leave_unknown_music_out():
    assert genre_shares(np.array([[1, 0], [0.5, 0.5], [0, 0]])).tolist() == [0.75, 0.25]


def test_kl_by_dimension_sums_to_the_teacher_term():
    torch.manual_seed(0)
    p, q = (Posterior(torch.randn(8, 5), torch.randn(8, 5)) for _ in range(2))
    assert kl_per_dimension(p, q).sum().item() == pytest.approx(kl_divergence(p, q).item(), rel=1e-5)
    shifted = Posterior(q.mean + torch.tensor([0.0, 0, 2, 0, 0]), q.logvar)
    expected = 2 * (-q.logvar).exp()[:, 2].mean()
    assert torch.allclose(kl_per_dimension(shifted, q), expected * torch.tensor([0.0, 0, 1, 0, 0]), atol=1e-5)


def test_agreement_of_rankings():
    one, two = RNG.normal(size=(2, 30, 12))
    same = ranking_agreement(one, np.exp(one), 5)
    assert same == pytest.approx({"overlap": 1, "spearman": 1, "kendall": 1})
    assert ranking_agreement(one, -one, 6) == pytest.approx({"overlap": 0, "spearman": -1, "kendall": -1})
    found = ranking_agreement(one, two, 4)
    expected = np.mean([spearmanr(*pair)[0] for pair in zip(one, two, strict=True)])
    assert found["spearman"] == pytest.approx(expected) and 0 < found["overlap"] < 0.7
