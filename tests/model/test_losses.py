"""Loss terms against torch.distributions and naive loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_kl

from recbole_decm.model.losses import (
    hard_negative_hinge,
    kl_annealing,
    kl_divergence,
    kl_to_standard_normal,
    log_inclusion,
    softmax_contrastive,
)
from recbole_decm.model.towers import Posterior


def posterior(seed: int, rows: int = 5, dim: int = 7) -> Posterior:
    generator = torch.Generator().manual_seed(seed)
    return Posterior(torch.randn(rows, dim, generator=generator), torch.randn(rows, dim, generator=generator))


def normal(q: Posterior) -> Normal:
    return Normal(q.mean.double(), (0.5 * q.logvar.double()).exp())


@pytest.mark.parametrize("seed", range(3))
def test_kl_divergence_is_that_of_torch_distributions(seed):
    p, q = posterior(seed), posterior(seed + 10)
    expected = reference_kl(normal(p), normal(q)).sum(dim=1).mean()
    assert kl_divergence(p, q).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(("difference", "expected"), [(0, 0), (1, 8), (2, 32)])
def test_teacher_kl_has_the_right_sign(difference, expected):
    """16 dimensions of unit variance: the released code gives -8.5, -16.5, -40.5 here."""
    student = Posterior(torch.full((4, 16), float(difference)), torch.zeros(4, 16))
    teacher = Posterior(torch.zeros(4, 16), torch.zeros(4, 16))
    assert kl_divergence(student, teacher).item() == pytest.approx(expected)


def test_teacher_kl_pulls_the_student_towards_the_teacher():
    mean = torch.ones(1, 3, requires_grad=True)
    kl_divergence(Posterior(mean, torch.zeros(1, 3)), Posterior(torch.zeros(1, 3), torch.zeros(1, 3))).backward()
    assert (mean.grad > 0).all()  # a descent step lowers the mean, to the teacher's 0


@pytest.mark.parametrize("seed", range(3))
def test_kl_to_standard_normal(seed):
    p = posterior(seed)
    expected = reference_kl(normal(p), Normal(0.0, 1.0)).sum(dim=1).mean()
    assert kl_to_standard_normal(p).item() == pytest.approx(expected.item(), rel=1e-5)
    zero = Posterior(torch.zeros(2, 3), torch.zeros(2, 3))
    assert kl_to_standard_normal(zero).item() == 0


def test_divergences_of_no_rows_are_zero():
    """A process's share of a batch can be empty."""
    mean, logvar = torch.zeros(0, 3, requires_grad=True), torch.zeros(0, 3, requires_grad=True)
    nothing = Posterior(mean, logvar)
    assert kl_to_standard_normal(nothing).item() == 0 and kl_divergence(nothing, nothing).item() == 0


def test_kl_annealing_rises_linearly_to_one():
    assert [kl_annealing(epoch, 4) for epoch in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert kl_annealing(0, 0) == 1


def naive_hinge(scores, music, margin, num_negatives):
    """Double loop over anchors and candidates, both directions."""
    total = []
    for matrix in (scores.tolist(), scores.T.tolist()):
        for i, row in enumerate(matrix):
            negatives = sorted((s for j, s in enumerate(row) if music[j] != music[i]), reverse=True)[:num_negatives]
            violations = [max(0.0, margin + s - row[i]) for s in negatives]
            total.append(sum(violations) / max(1, len(violations)))
    return sum(total) / len(total)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 9),
    tunes=st.integers(1, 9),
    margin=st.floats(0, 2),
    num_negatives=st.integers(1, 12),
)
def test_hinge_is_that_of_a_double_loop(seed, batch, tunes, margin, num_negatives):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(batch, batch, generator=generator, dtype=torch.float64)
    music = torch.randint(tunes, (batch,), generator=generator)
    loss = hard_negative_hinge(scores, music[:, None] == music[None], margin, num_negatives)
    assert loss.item() == pytest.approx(naive_hinge(scores, music.tolist(), margin, num_negatives), abs=1e-12)


def test_hinge_pushes_violating_pairs_apart_and_leaves_satisfied_ones():
    scores = torch.tensor([[1.0, 0.9], [-5.0, 1.0]], requires_grad=True)
    hard_negative_hinge(scores, torch.eye(2, dtype=torch.bool), margin=0.2, num_negatives=1).backward()
    assert scores.grad[0, 0] < 0 < scores.grad[0, 1]  # the violating pair: positive up, negative down
    assert scores.grad[1, 0] == 0


def test_hinge_of_a_batch_of_one_music_is_zero_and_has_a_gradient():
    scores = torch.randn(3, 3, requires_grad=True)
    loss = hard_negative_hinge(scores, torch.ones(3, 3, dtype=torch.bool), margin=1.0, num_negatives=2)
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(scores.grad).all()


def naive_softmax(logits, music, popularity, both):
    """Loop over anchors: -log of the matched pair's share among the distinct music (or videos) of the batch."""
    total = []
    for video in range(len(music)):
        row = {music[j]: math.exp(logits[video, j]) for j in range(len(music)) if music[j] != music[video]}
        chance = {
            j: 1 if popularity is None else among(popularity[j], len(music) - 1, sum(popularity) - 1) for j in row
        }
        copies = {j: music.count(j) if popularity is None else 1 for j in row}
        matched = math.exp(logits[video, video])
        total.append(-math.log(matched / (matched + sum(copies[j] * row[j] / chance[j] for j in row))))
    for tune in range(len(music) if both else 0):
        rivals = [math.exp(logits[i, tune]) for i in range(len(music)) if music[i] != music[tune]]
        matched = math.exp(logits[tune, tune])
        total.append(-math.log(matched / (matched + sum(rivals))))
    return sum(total) / len(total)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("corrected", [False, True])
def test_softmax_contrastive_is_that_of_a_loop(both, corrected):
    generator = torch.Generator().manual_seed(3)
    music = torch.tensor([0, 1, 0, 2, 3, 3, 4])
    logits = torch.randn(7, 5, generator=generator, dtype=torch.float64)[:, music]
    counts = torch.tensor([300, 100, 200, 300, 100], dtype=torch.float64)
    chance = log_inclusion(counts[music], 6, 999) if corrected else None
    loss = softmax_contrastive(logits, music[:, None] == music[None], chance, both)
    expected = naive_softmax(logits, music.tolist(), counts.int().tolist() if corrected else None, both)
    assert loss.item() == pytest.approx(expected, abs=1e-4 if corrected else 1e-12)


def among(count, draws, pairs):
    """Chance that a track with ``count`` of ``pairs`` pairs is among ``draws`` of them, in whole numbers."""
    return 1 - math.comb(pairs - count, draws) / math.comb(pairs, draws)


@pytest.mark.parametrize(("pairs", "tolerance"), [(20, 0.004), (100, 3e-4), (2399, 1e-6)])
def test_inclusion_is_that_of_draws_without_replacement(pairs, tolerance):
    """Among the other pairs of a batch; with replacement, a track with one pair of `sim` would be in 0.347 of them."""
    counts = sorted({1, 2, 3, 7, pairs // 4, pairs // 2, pairs})
    for draws in sorted({1, 2, pairs // 4, 1023 * pairs // 2399, pairs - 1, pairs}):
        found = log_inclusion(torch.tensor(counts).float(), draws, pairs)
        assert found.tolist() == pytest.approx([math.log(among(n, draws, pairs)) for n in counts], abs=tolerance)
    assert log_inclusion(torch.tensor([1.0]), 1023, 2399).exp().item() == pytest.approx(1023 / 2399)


def test_inclusion_keeps_its_digits_for_many_pairs():
    found = log_inclusion(torch.tensor([1.0, 2.0]), 1023, 1_000_000_000)
    assert found.tolist() == pytest.approx([math.log(1023e-9), math.log(2046e-9)], abs=1e-5)


def test_the_popularity_correction_recovers_the_softmax_over_the_catalogue():
    """Choices from a softmax without features: the corrected loss is least at the true logits, the plain one is not."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.tensor([0.0, 1.0, 2.0])
    chosen = torch.multinomial(truth.softmax(0), 20_000, replacement=True, generator=generator)
    log_chance = log_inclusion(torch.bincount(chosen, minlength=3).float(), 99, 19_999)
    learned = {}
    for name, chance in (("corrected", log_chance), ("plain", None)):
        logits = torch.zeros(3, requires_grad=True)
        optimizer = torch.optim.Adam([logits], lr=0.05)
        for batch in chosen.split(100):
            rows = logits[batch].expand(len(batch), -1)
            same = batch[:, None] == batch[None]
            loss = softmax_contrastive(rows, same, None if chance is None else chance[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        learned[name] = (logits - logits[0]).detach()
    assert torch.allclose(learned["corrected"], truth, atol=0.3)
    assert not torch.allclose(learned["plain"], truth, atol=0.6)


def test_hinge_takes_half_precision_scores():
    scores = torch.randn(20, 20).bfloat16().requires_grad_()
    loss = hard_negative_hinge(scores, torch.eye(20, dtype=torch.bool), 0.2, 5)
    loss.backward()
    assert loss.dtype == torch.float32 and scores.grad.dtype == torch.bfloat16
