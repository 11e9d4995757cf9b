"""Checkpoint files: what they hold, and every way in which they can be wrong."""

from __future__ import annotations

import random
import tracemalloc
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recbole_decm.errors import CheckpointError
from recbole_decm.training.checkpoint import (
    counters,
    decode,
    encode,
    load_counters,
    load_values,
    load_weights,
    random_states,
    read_checkpoint,
    restore_random_states,
    write_checkpoint,
)

WHOLE = {"model": "DecCM", "dataset": "sim", "config": {"data_path": "d/sim"}, "epoch": 0, "other_parameter": {}}
WHOLE |= {"state_dict": {"w": torch.arange(50.0)}}
TRAINING = {"epoch": 0, "cur_step": 0, "best_valid_score": 0.5, "best_valid_result": {}, "finished": False}
TRAINING |= {"train_loss": {}, "history": [], "state_dict": {}, "counters": {}, "other_parameter": {}}
TRAINING |= {"optimizer": {}, "random": {}}


def test_values_of_any_model_survive(tmp_path):
    values = {
        "tensor": torch.arange(3),
        "array": np.arange(4.0).reshape(2, 2),
        "matrix": np.asmatrix([[1, 2]]),
        "sparse": sp.csc_matrix(np.eye(3)),
        "nested": [(np.float64(0.5), None), {"a": True, "b": "text"}],
    }
    write_checkpoint(tmp_path / "c.pth", WHOLE | values)
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


@pytest.mark.parametrize("part", [*WHOLE, *(f"training.{name}" for name in TRAINING), "config.data_path"])
def test_an_incomplete_file_is_refused_by_what_it_lacks(tmp_path, part):
    for wrong, message in ((None, f"without its part '{part}'"), ((), f"as its part '{part}', found a tuple")):
        content = {**WHOLE, "training": dict(TRAINING), "config": dict(WHOLE["config"])}
        where, _, name = part.rpartition(".")
        owner = content[where] if where else content
        del owner[name]
        if wrong is not None:
            owner[name] = wrong
        torch.save({"format": "recbole-decm", "format_version": 1, **content}, tmp_path / "c.pth")
        with pytest.raises(CheckpointError, match=rf"c\.pth: expected .*{message}"):
            read_checkpoint(tmp_path / "c.pth")


def test_no_flipped_byte_goes_unnoticed(tmp_path):
    """Each byte of the file: it is refused, or it is padding."""
    path = tmp_path / "c.pth"
    write_checkpoint(path, WHOLE)
    whole, expected, refused = path.read_bytes(), read_checkpoint(path), 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            found = read_checkpoint(path)
        except CheckpointError:
            refused += 1
        else:
            assert torch.equal(found["state_dict"]["w"], WHOLE["state_dict"]["w"])
            assert all(found[key] == expected[key] for key in WHOLE if key != "state_dict")
    assert refused > 100


def test_weights_marked_as_a_folder_are_refused(tmp_path):
    """The mark stands in the table of contents, where no checksum is over it; torch would read nothing."""
    write_checkpoint(tmp_path / "c.pth", WHOLE)
    whole = bytearray((tmp_path / "c.pth").read_bytes())
    whole[whole.rindex(b"archive/data/0") - 8] ^= 0x10
    (tmp_path / "c.pth").write_bytes(whole)
    with pytest.raises(CheckpointError, match="found other bytes in its part 'archive/data/0'"):
        read_checkpoint(tmp_path / "c.pth")


def test_the_weights_of_a_flipped_byte_are_named(tmp_path):
    write_checkpoint(tmp_path / "c.pth", WHOLE)
    whole = bytearray((tmp_path / "c.pth").read_bytes())
    whole[whole.index(WHOLE["state_dict"]["w"].numpy().tobytes()) + 30] ^= 1
    (tmp_path / "c.pth").write_bytes(whole)
    with pytest.raises(CheckpointError, match=r"found other bytes in its part 'archive/data/0'. The file is damaged"):
        read_checkpoint(tmp_path / "c.pth")


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "c.pth"
    torch.save({"format": "recbole-decm", "format_version": 1, "x": torch.zeros(2_500_000)}, path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in archive.namelist():
            packed.writestr(name, archive.read(name))
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=r"b\.pth: expected parts as large as the file, .* unpack to 10,0"):
        read_checkpoint(tmp_path / "b.pth")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_an_empty_file_says_what_it_is(tmp_path):
    (tmp_path / "c.pth").touch()
    with pytest.raises(CheckpointError, match="found an empty file: the run that took its name was killed"):
        read_checkpoint(tmp_path / "c.pth")


class Counting:
    """What a RecBole model keeps beside its weights."""

    def __init__(self):
        self.n_items, self.update, self.similarity = 5, 0, np.zeros((2, 2))
        self.popularity = None

    def other_parameter(self):
        return {"similarity": self.similarity, "popularity": self.popularity}

    def load_other_parameter(self, values):
        vars(self).update(values)

    def forward(self):
        return "forward"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forward": 1}, r"what the model keeps beside its weights \(similarity, popularity\), found .*forward"),
        ({"similarity": torch.zeros(2, 2)}, r"other_parameter.similarity to be a ndarray of shape \(2, 2\)"),
        ({"similarity": np.zeros((9, 2))}, r"found a ndarray of shape \(9, 2\)"),
        ({"similarity": {"__encoded__": "ndarray"}}, "a part 'other_parameter' that fits the model"),
    ],
)
def test_only_what_a_model_keeps_is_given_to_it(change, message):
    model = Counting()
    with pytest.raises(CheckpointError, match=message):
        load_values(model, encode({"similarity": np.ones((2, 2)), "popularity": torch.ones(3), **change}), "c.pth")
    assert model.forward() == "forward" and not model.similarity.any()
    load_values(model, encode({"similarity": np.ones((2, 2)), "popularity": torch.ones(3)}), "c.pth")
    assert model.similarity.all() and model.popularity.shape == (3,)


@pytest.mark.parametrize("found", [{"forward": 1}, {"update": "x"}, {"update": True}, {"n_items": 10**9}])
def test_only_what_a_model_counts_is_set(found):
    model = Counting()
    with pytest.raises(CheckpointError, match=rf"in its part 'training.counters' .*, found {next(iter(found))}: "):
        load_counters(model, found, "c.pth")
    load_counters(model, {"update": 7, "n_items": 5}, "c.pth")
    assert counters(model) == {"n_items": 5, "update": 7} and model.forward() == "forward"


@pytest.mark.parametrize("kind", ["code", "truncated", "text", "foreign", "tensor", "newer", "missing", "recbole"])
def test_bad_files_are_refused_and_run_nothing(tmp_path, kind):
    path = tmp_path / "c.pth"
    write_checkpoint(path, WHOLE)
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
    write_checkpoint(path, {**WHOLE, "n": 1})
    with pytest.raises(CheckpointError):
        write_checkpoint(path, {"n": object()})
    assert read_checkpoint(path)["n"] == 1 and len(list(tmp_path.iterdir())) == 1


def test_weights_that_do_not_fit_are_named():
    model = torch.nn.Linear(3, 2)
    with pytest.raises(CheckpointError, match=r"weight has shape \(2, 4\), expected \(2, 3\)"):
        load_weights(model, torch.nn.Linear(4, 2).state_dict(), "c.pth")
    with pytest.raises(CheckpointError, match="bias is missing; other is not expected"):
        load_weights(model, {"weight": model.weight, "other": model.bias}, "c.pth")
