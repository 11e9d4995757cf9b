"""Nearest rows and votes against loops that do the same one by one."""

from __future__ import annotations

import pytest
import torch

from recbole_decm.model.baselines.neighbours import music_votes, nearest


@pytest.mark.parametrize("rows", [1, 7, 100])
@pytest.mark.parametrize("k", [1, 5, 100, 500])
def test_nearest_rows_over_blocks(rows, k):
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(6, 4, generator=generator)
    memory = torch.randn(100, 4, generator=generator)
    found, places = nearest(queries, memory.split(rows), k)
    for query, values, indices in zip(queries, found, places, strict=True):
        products = sorted(((float(query @ row), i) for i, row in enumerate(memory)), reverse=True)[:k]
        assert indices.tolist() == [i for _, i in products]
        assert values.tolist() == pytest.approx([value for value, _ in products], abs=1e-5)


@pytest.mark.parametrize("power", [0.0, 1.0, 3.0])
def test_votes_are_those_of_a_loop(power):
    generator = torch.Generator().manual_seed(0)
    similarity = torch.rand(5, 20, generator=generator) * 2 - 1
    music = torch.randint(1, 7, (5, 20), generator=generator)
    expected = torch.zeros(5, 8)
    for row in range(5):
        for s, m in zip(similarity[row].tolist(), music[row].tolist(), strict=True):
            expected[row, m] += s**power if s > 0 else 0.0
    found = music_votes(similarity, music, 8, power)
    assert torch.allclose(found, expected, atol=1e-5)
    assert (found[:, [0, 7]] == 0).all()  # nobody has these
