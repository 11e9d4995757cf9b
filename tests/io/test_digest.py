"""Digests stand in the names of cached teachers and in index files: their values must not change."""

from __future__ import annotations

import pytest
import torch

from recbole_decm.io.digest import of_data, of_tensors, of_values


def test_values():
    assert of_values(["0.2.0", {"b": [1, 0.5], "a": None}]) == "c3ad563a4bb8d7b9"
    assert of_values(["0.2.0", {"a": None, "b": [1, 0.5]}]) == "c3ad563a4bb8d7b9"
    assert of_values(["0.2.0", {"a": None, "b": [0.5, 1]}]) != "c3ad563a4bb8d7b9"


def test_data_is_what_results_depend_on(tmp_path):
    (tmp_path / "a.inter").write_text("v:token\n1\n")
    (tmp_path / "b.item").write_text("x")
    (tmp_path / "a.yaml").write_text("left out")
    assert of_data(tmp_path) == "2f00a0b67ea03699"
    (tmp_path / "b.item").rename(tmp_path / "c.item")
    assert of_data(tmp_path) != "2f00a0b67ea03699"


def test_tensors_bit_by_bit():
    tensors = {
        "w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]).T,
        "n": torch.tensor(7),
        "h": torch.tensor([0.5], dtype=torch.bfloat16),
    }
    assert of_tensors(tensors) == "e80e404c2f773a937655b3e7bc315d15"


@pytest.mark.parametrize("other", [{"w": torch.tensor([-0.0])}, {"v": torch.tensor([0.0])}, {}])
def test_other_tensors(other):
    assert of_tensors(other) != of_tensors({"w": torch.tensor([0.0])})
