"""Exact top-k against a full stable sort."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_decm.serving import search
from recbole_decm.serving.search import RunningTopK, top_k


def naive(scores, k):
    """Full stable sort of each row, padded with -inf and -1."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    short = ((0, 0), (0, k - order.shape[1]))
    return np.pad(best, short, constant_values=-np.inf), np.pad(order, short, constant_values=-1)


def check(found, scores, k):
    expected = naive(scores, k)
    assert np.array_equal(found[0].numpy(), expected[0]) and np.array_equal(found[1].numpy(), expected[1])


def whole_numbers(rows, dim, high, seed):
    """Integer vectors, whose products are exact in any order of summation: equal scores are equal bit for bit."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-high, high + 1, (rows, dim), generator=generator).float()


@settings(max_examples=60, deadline=None)
@given(
    videos=st.integers(1, 9),
    music=st.integers(1, 400),
    k=st.integers(1, 30),
    high=st.sampled_from([0, 1, 2, 50]),
    blocks=st.tuples(st.integers(1, 10), st.integers(1, 450)),
    seed=st.integers(0, 10),
)
def test_ties_short_catalogues_and_blocks_of_any_size(videos, music, k, high, blocks, seed):
    """Few distinct values: most scores are ties, all of them for ``high`` 0."""
    v, m = whole_numbers(videos, 3, high, seed), whole_numbers(music, 3, high, seed + 99)
    check(top_k(v, m, k, *blocks), (v @ m.T).numpy(), k)


@pytest.mark.parametrize("order", ["drawn", "rising", "falling"])
def test_many_music_in_any_order(order):
    """Rising scores are the worst case: each block beats all before it."""
    v, m = whole_numbers(40, 16, 30, 1), whole_numbers(5_000, 16, 30, 2)
    rank = (m @ v[0]).argsort(descending=order == "falling")
    m = m if order == "drawn" else m[rank]
    check(top_k(v, m, 10, 16, 700), (v @ m.T).numpy(), 10)


def test_candidates_beyond_the_budget_are_taken_row_by_row(monkeypatch):
    monkeypatch.setattr(search, "_CANDIDATES", 64)
    v, m = whole_numbers(11, 2, 1, 3), whole_numbers(2_000, 2, 1, 4)
    check(top_k(v, m, 7, 5, 512), (v @ m.T).numpy(), 7)


def test_real_numbers_agree_with_torch():
    v, m = torch.randn(30, 24).double(), torch.randn(3_000, 24).double()
    scores, indices = top_k(v, m, 5, 8, 999)
    expected = (v @ m.T).topk(5)
    assert torch.equal(indices, expected.indices) and torch.allclose(scores, expected.values)
    assert scores.dtype == torch.float64


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_mapped_files_and_iterables_of_blocks(tmp_path, kind):
    v, m = whole_numbers(6, 8, 9, 5), whole_numbers(1_000, 8, 9, 6)
    np.save(tmp_path / "music.npy", m.numpy().astype(kind))
    mapped = np.load(tmp_path / "music.npy", mmap_mode="r")
    expected = (v @ m.T).numpy()
    check(top_k(v, mapped, 10, music_block=300), expected, 10)
    check(top_k(v, (mapped[i : i + 170] for i in range(0, 1_000, 170)), 10, music_block=100), expected, 10)
    check(top_k(v.half(), m.half(), 10), expected, 10)


def test_no_number_is_never_chosen():
    scores = torch.tensor([[1.0, torch.nan, 3.0, -torch.inf]])
    best = RunningTopK(1, 3, scores)
    best.update(scores, 0)
    assert best.indices.tolist() == [[2, 0, -1]] and best.scores[0, :2].tolist() == [3.0, 1.0]


def test_a_nan_does_not_hide_its_group():
    scores = torch.zeros(1, 640)
    scores[0, 5], scores[0, 25], scores[0, 45] = torch.nan, 7.0, 6.0
    best = RunningTopK(1, 2, scores)
    best.update(scores, 0)
    assert best.indices.tolist() == [[25, 45]]


def test_nothing_to_rank():
    assert top_k(torch.ones(2, 3), torch.ones(0, 3), 4)[1].tolist() == [[-1] * 4] * 2
    assert top_k(torch.ones(0, 3), torch.ones(5, 3), 4)[1].shape == (0, 4)


@pytest.mark.parametrize(("arguments", "message"), [((0,), "at least 1"), ((3, 0), "at least 1"), ((3,), "length 3")])
def test_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        top_k(torch.ones(2, 3), torch.ones(5, 3 if "1" in message else 4), *arguments)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    v, m = whole_numbers(40, 16, 30, 1), whole_numbers(5_000, 16, 30, 2)
    scores, indices = top_k(v.cuda(), m.numpy(), 10, 16, 700)
    check((scores.cpu(), indices.cpu()), (v @ m.T).numpy(), 10)
