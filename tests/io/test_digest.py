"""Digests that files carry: known values, which files of version 0.1 hold, and what changes them."""

from __future__ import annotations

import pytest
import torch

from recbole_decm.io.digest import of_files, of_values
from recbole_decm.io.weights import of_tensors

WEIGHTS = {"b.weight": torch.arange(6.0).reshape(2, 3), "a": torch.tensor(3)}


def test_of_values_is_what_names_a_cached_teacher():
    assert of_values(["0.1.0", {"b": 2, "a": [1, None]}]) == "af188ae6805ab133"
    assert of_values(["0.1.0", {"a": [1, None], "b": 2}]) == "af188ae6805ab133"
    assert of_values({"a": 1}) != of_values({"a": "1"})


def test_of_files_goes_by_their_order(tmp_path):
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_text(path.name)
    assert of_files(paths) != of_files(paths[::-1])


def test_of_tensors_is_what_an_index_belongs_to():
    assert of_tensors(WEIGHTS, b"start") == "1c8ac033a6b8b1c0"
    assert of_tensors(dict(reversed(WEIGHTS.items())), b"start") == "1c8ac033a6b8b1c0"
    assert of_tensors({**WEIGHTS, "b.weight": WEIGHTS["b.weight"].T.contiguous().T}, b"start") == "1c8ac033a6b8b1c0"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int64, torch.bool])
def test_of_tensors_sees_every_bit_of_every_type(dtype):
    values = torch.tensor([0.0, -0.0, 1.0]).to(dtype)
    other = values.clone()
    other.view(torch.uint8)[0] ^= 1
    assert of_tensors({"a": values}) != of_tensors({"a": other})
    assert of_tensors({"a": values}) == of_tensors({"a": values.clone().requires_grad_(dtype.is_floating_point)})


def test_of_tensors_takes_an_empty_one_and_tells_names_apart():
    assert len({of_tensors({}), of_tensors({"a": torch.zeros(0, 3)}), of_tensors({"b": torch.zeros(0, 3)})}) == 3
