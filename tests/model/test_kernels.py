"""Each kernel against the plain formula beside it, and its gradient against finite differences."""

from __future__ import annotations

import pytest
import torch

from recbole_decm.model import kernels

DOUBLE = torch.float64


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_kernel_stands_beside_its_formula():
    plain = {name for name in vars(kernels) if name.startswith("plain_")}
    assert plain and all(callable(getattr(kernels, name.removeprefix("plain_"))) for name in plain)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("num_negatives", [1, 3, 50])
def test_hinge_and_its_gradient_are_the_formulas(dtype, ties, num_negatives):
    """With ties, the gradients of the matched pairs and the sum of all are."""
    generator = seeded(num_negatives)
    scores = torch.randn(30, 30, generator=generator, dtype=dtype)
    scores = (scores * 2).round() / 2 if ties else scores
    music = torch.randint(12, (30,), generator=generator)
    same = music[:, None] == music[None]
    leaves = [scores.clone().requires_grad_() for _ in range(2)]
    losses = [
        function(leaf, same, 0.7, num_negatives)
        for function, leaf in zip((kernels.hinge, kernels.plain_hinge), leaves, strict=True)
    ]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-6)
    for loss in losses:
        (3 * loss).backward()
    found, expected = leaves[0].grad, leaves[1].grad
    assert torch.allclose(found.diagonal(), expected.diagonal(), atol=1e-6)
    assert torch.allclose(found.sum(), expected.sum(), atol=1e-6)
    if not ties:
        assert torch.allclose(found, expected, atol=1e-7)
    assert (found[same].reshape(-1) <= 0).all()  # music of the same id is never pushed away


def test_hinge_gradient_by_differences():
    scores = torch.randn(7, 7, generator=seeded(), dtype=DOUBLE, requires_grad=True)
    music = torch.tensor([0, 1, 0, 2, 3, 4, 5])
    same = music[:, None] == music[None]
    assert torch.autograd.gradcheck(lambda s: kernels.hinge(s, same, 0.5, 3), (scores,))


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("shift", [-9.0, 0.0, 9.0])  # all negative, of both signs, all positive
@pytest.mark.parametrize("k", [1, 4, 20, 99])
def test_highest_are_those_of_topk_with_the_least_first(dtype, shift, k):
    scores = torch.randn(15, 20, generator=seeded(), dtype=dtype) + shift
    scores[0, :18] = float("-inf")
    expected = kernels.plain_highest(scores, k)
    found = kernels.highest(scores.clone(), k)
    assert torch.equal(found[:, 0], expected[:, 0])
    assert torch.equal(found.sort(dim=1).values, expected)


@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_linear_error_and_its_gradient_are_the_formulas(offset):
    generator = seeded()
    hidden, weight = torch.randn(40, 6, generator=generator), torch.randn(50, 6, generator=generator)
    bias, features = torch.randn(50, generator=generator), torch.randn(40, 50, generator=generator) + offset
    leaves = [[part.clone().requires_grad_() for part in (hidden, weight, bias)] for _ in range(2)]
    found, expected = kernels.linear_error(*leaves[0], features), kernels.plain_linear_error(*leaves[1], features)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    (2 * found).backward()
    (2 * expected).backward()
    for ours, plain in zip(*leaves, strict=True):
        assert torch.allclose(ours.grad, plain.grad, rtol=1e-4, atol=1e-6)


def test_linear_error_gradient_by_differences():
    parts = [
        torch.randn(shape, generator=seeded(), dtype=DOUBLE, requires_grad=True) for shape in ((5, 3), (4, 3), (4,))
    ]
    features = torch.arange(20, dtype=DOUBLE).reshape(5, 4).sin()
    assert torch.autograd.gradcheck(lambda *p: kernels.linear_error(*p, features), parts)


def test_linear_error_of_no_rows_is_zero():
    """A process's share of a batch can be empty."""
    hidden = torch.zeros(0, 3, requires_grad=True)
    weight = torch.ones(4, 3, requires_grad=True)
    error = kernels.linear_error(hidden, weight, torch.zeros(4), torch.zeros(0, 4))
    error.backward()
    assert error.item() == 0 and torch.equal(weight.grad, torch.zeros(4, 3))


def test_reconstruction_error_is_the_mean_square():
    error = kernels.reconstruction_error(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 1.0]]))
    assert error.item() == pytest.approx(2.5)


@pytest.mark.parametrize("mask", [kernels.keep_mask, kernels.plain_keep_mask])
def test_masks_drop_their_share_with_independent_decisions(mask):
    torch.manual_seed(0)
    keep, scale = mask(torch.ones(1000, 777), 0.2)
    dropped = 1 - 1 / scale
    assert dropped == pytest.approx(0.2, abs=1 / 512) and keep.unique().tolist() == [0, 1]
    assert (keep == 0).float().mean().item() == pytest.approx(dropped, abs=2e-3)
    columns = (keep == 0).float().mean(dim=0)  # decisions of one random word are independent
    assert columns.std().item() == pytest.approx((dropped * (1 - dropped) / 1000) ** 0.5, rel=0.1)
    side_by_side = (1 - keep)[:, ::2][:, :388] * (1 - keep)[:, 1::2]
    assert side_by_side.mean().item() == pytest.approx(dropped**2, abs=2e-3)


def test_a_mask_has_the_shape_and_type_of_the_values():
    keep, _ = kernels.keep_mask(torch.ones(3, 5, 7, dtype=DOUBLE), 0.5)
    assert keep.shape == (3, 5, 7) and keep.dtype == DOUBLE
