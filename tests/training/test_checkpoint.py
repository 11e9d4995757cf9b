"""Checkpoint files: what they hold, and every way in which they can be wrong."""

from __future__ import annotations

import random

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recbole_decm.errors import CheckpointError
from recbole_decm.training.checkpoint import (
    decode,
    encode,
    load_weights,
    random_states,
    read_checkpoint,
    restore_random_states,
    write_checkpoint,
)


def test_values_of_any_model_survive(tmp_path):
    values = {
        "tensor": torch.arange(3),
        "array": np.arange(4.0).reshape(2, 2),
        "matrix": np.asmatrix([[1, 2]]),
        "sparse": sp.csc_matrix(np.eye(3)),
        "nested": [(np.float64(0.5), None), {"a": True, "b": "text"}],
    }
    write_checkpoint(tmp_path / "c.pth", values)
    found = decode(read_checkpoint(tmp_path / "c.pth"))
    assert torch.equal(found["tensor"], values["tensor"])
    assert np.array_equal(found["array"], values["array"]) and isinstance(found["matrix"], np.matrix)
    assert found["sparse"].format == "csc" and (found["sparse"] != values["sparse"]).nnz == 0
    assert found["nested"] == [(0.5, None), {"a": True, "b": "text"}]
    assert type(found["nested"][0][0]) is float


def test_objects_are_not_saved():
    with pytest.raises(CheckpointError, match=r"state\.x: expected tensors, arrays and plain values, found a object"):
        encode({"x": object()}, "state")


def test_random_states_repeat_every_source():
    generator = torch.Generator().manual_seed(3)

    def draw():
        return [random.random(), np.random.rand(), torch.rand(1).item(), torch.rand(1, generator=generator).item()]

    np.random.normal()  # leaves a cached normal behind
    states = random_states(generator)
    first = draw()
    restore_random_states(states, generator)
    assert draw() == first


class Payload:
    def __reduce__(self):
        return (open, ("carried-out", "w"))


@pytest.mark.parametrize("kind", ["code", "truncated", "text", "foreign", "tensor", "newer", "missing", "recbole"])
def test_bad_files_are_refused_and_run_nothing(tmp_path, kind):
    path = tmp_path / "c.pth"
    write_checkpoint(path, {"model": "DecCM"})
    whole = path.read_bytes()
    if kind == "code":
        torch.save({"format": "recbole-decm", "version": 1, "x": Payload()}, path)
    elif kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "text":
        path.write_text("not a checkpoint")
    elif kind == "foreign":
        torch.save({"state_dict": {}}, path)
    elif kind == "tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "newer":
        torch.save({"format": "recbole-decm", "version": 99}, path)
    elif kind == "recbole":
        torch.save({"config": random.Random(), "state_dict": {}}, path)  # a pickled object beside the weights
    else:
        path.unlink()
    with pytest.raises(CheckpointError, match=r"c\.pth: expected"):
        read_checkpoint(path)
    assert not (tmp_path / "carried-out").exists()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "c.pth"
    write_checkpoint(path, {"n": 1})
    with pytest.raises(CheckpointError):
        write_checkpoint(path, {"n": object()})
    assert read_checkpoint(path)["n"] == 1 and len(list(tmp_path.iterdir())) == 1


def test_weights_that_do_not_fit_are_named():
    model = torch.nn.Linear(3, 2)
    with pytest.raises(CheckpointError, match=r"weight has shape \(2, 4\), expected \(2, 3\)"):
        load_weights(model, torch.nn.Linear(4, 2).state_dict(), "c.pth")
    with pytest.raises(CheckpointError, match="bias is missing; other is not expected"):
        load_weights(model, {"weight": model.weight, "other": model.bias}, "c.pth")
