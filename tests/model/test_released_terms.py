"""The released terms: known values, a double loop, and the departures that docs/deviations.md describes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_decm.model.released_terms import released_direction, released_matching, released_teacher_kl
from recbole_decm.model.towers import Posterior


@pytest.mark.parametrize(("difference", "expected"), [(0, -8.5), (1, -16.5), (2, -40.5)])
def test_teacher_term_of_unit_variances(difference, expected):
    student = Posterior(torch.full((4, 16), float(difference)), torch.zeros(4, 16))
    assert released_teacher_kl(student, Posterior(torch.zeros(4, 16), torch.zeros(4, 16))).item() == expected


def test_teacher_term_pushes_the_student_away():
    mean = torch.ones(1, 3, requires_grad=True)
    released_teacher_kl(Posterior(mean, torch.zeros(1, 3)), Posterior(torch.zeros(1, 3), torch.zeros(1, 3))).backward()
    assert (mean.grad < 0).all()  # a descent step raises the mean, away from the teacher's 0


def naive_direction(scores, left_out, margin, most):
    total = 0.0
    for i, row in enumerate(scores):
        slack = [0.0 if left_out[i][j] else max(0.0, row[i] - s - margin) for j, s in enumerate(row)]
        best = sorted(slack, reverse=True)[:most]
        total += sum(best) / len(best)
    return total / len(scores)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 8),
    tunes=st.integers(1, 8),
    margin=st.floats(0, 2),
    most=st.integers(1, 10),
    factor=st.floats(0, 2),
)
def test_matching_is_that_of_a_double_loop(seed, batch, tunes, margin, most, factor):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(batch, batch, generator=generator, dtype=torch.float64)
    music = torch.randint(tunes, (batch,), generator=generator)
    same = music[:, None] == music[None]
    expected = naive_direction(scores.tolist(), same.tolist(), margin, most)
    assert released_direction(scores, same, margin, most).item() == pytest.approx(expected, abs=1e-12)
    expected += factor * naive_direction(scores.T.tolist(), same.tolist(), margin, most)
    assert released_matching(scores, same, margin, most, factor).item() == pytest.approx(-expected, abs=1e-12)


def test_the_diagonal_counts_for_nothing():
    scores = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    none, own = torch.zeros(6, 6, dtype=torch.bool), torch.eye(6, dtype=torch.bool)
    assert released_direction(scores, none, 0.1, 3) == released_direction(scores, own, 0.1, 3)


def test_a_violating_pair_has_no_gradient_and_an_easy_one_is_rewarded():
    scores = torch.tensor([[1.0, 0.99], [-5.0, 1.0]], requires_grad=True)
    released_matching(
        scores, torch.eye(2, dtype=torch.bool), margin=0.2, num_negatives=2, music_loss_factor=1.0
    ).backward()
    assert scores.grad[0, 1] == 0  # it violates the margin in both directions: nothing pushes it down
    assert scores.grad[1, 0] > 0  # the easy pair is pushed down further
