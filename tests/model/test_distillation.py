"""The teacher's rankings of professional music as a term of the student's objective."""

from __future__ import annotations

import math

import pytest
import torch

from recbole_decm.data.features import FeatureMatrix
from recbole_decm.model.distillation import ProfessionalPairs, first_of_each, ranking_divergence
from recbole_decm.model.towers import Posterior


def test_the_divergence_in_closed_form():
    """The teacher's odds are 3 to 1, the student's even."""
    teacher, student = torch.tensor([[math.log(3.0), 0.0]]), torch.zeros(1, 2)
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert ranking_divergence(student, teacher).item() == pytest.approx(expected, rel=1e-6)


def test_the_divergence_is_a_mean_and_zero_for_equal_rankings():
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 7, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    assert ranking_divergence(student, teacher).item() > 0.1
    rows = [ranking_divergence(s[None], t[None]).item() for s, t in zip(student, teacher, strict=True)]
    assert ranking_divergence(student, teacher).item() == pytest.approx(sum(rows) / 5)
    assert ranking_divergence(teacher + 3.0, teacher).item() == pytest.approx(0.0, abs=1e-12)


def test_the_gradient_is_the_difference_of_probabilities_and_the_students_alone():
    torch.manual_seed(0)
    student, teacher = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6, requires_grad=True)
    ranking_divergence(student, teacher).backward()
    torch.testing.assert_close(student.grad, (student.softmax(1) - teacher.softmax(1)).detach() / 4)
    assert teacher.grad is None


def test_every_music_stands_once():
    music = torch.tensor([7, 3, 7, 9, 3, 1])
    where = first_of_each(music)
    assert sorted(where.tolist()) == [0, 1, 3, 5]
    assert music[where].tolist() == [1, 3, 7, 9]


def pairs(seed: int) -> ProfessionalPairs:
    torch.manual_seed(0)
    matrices = [
        FeatureMatrix(name, torch.randn(n, 3), torch.arange(n)) for name, n in (("visual", 30), ("acoustic", 9))
    ]
    posteriors = tuple(Posterior(torch.randn(n, 4), torch.zeros(n, 4)) for n in (30, 9))
    return ProfessionalPairs(*matrices, torch.arange(1, 30), torch.arange(1, 30) % 8 + 1, posteriors, seed)


def test_an_epoch_has_its_own_draws_whenever_it_is_trained():
    one, other = pairs(seed=1), pairs(seed=1)
    first = [one.draw(50) for _ in range(2)]
    one.set_epoch(1)
    second = one.draw(50)
    other.set_epoch(1)  # as in a run resumed after epoch 0
    assert torch.equal(torch.stack(other.draw(50)), torch.stack(second))
    assert not torch.equal(first[0][0], second[0]) and not torch.equal(first[0][0], first[1][0])
    assert not torch.equal(pairs(seed=2).draw(50)[0], first[0][0])


def test_pairs_are_drawn_together_and_leave_the_global_generator_alone():
    drawn = pairs(seed=3)
    state = torch.get_rng_state()
    videos, music = drawn.draw(2000)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(music, videos % 8 + 1)
    assert set(videos.tolist()) == set(range(1, 30))


def test_the_teachers_scores_are_its_match():
    drawn = pairs(seed=1)
    scores = drawn.teacher_scores(torch.tensor([4, 2]), torch.tensor([1, 5, 8]))
    assert scores.shape == (2, 3)
    assert scores[1, 2].item() == pytest.approx(float(drawn.teacher_video[2] @ drawn.teacher_music[8]))
