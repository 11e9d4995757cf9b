from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from recbole_decm.errors import DataError
from recbole_decm.released.unpickle import load_array


def test_plain_arrays_are_mapped(tmp_path):
    values = np.arange(6, dtype=np.float16).reshape(2, 3)
    np.save(tmp_path / "a.npy", values)
    loaded = load_array(tmp_path / "a.npy")
    assert isinstance(loaded, np.memmap) and np.array_equal(loaded, values)


def test_object_rows_of_the_released_layout(tmp_path):
    rows = np.empty((2, 4), dtype=object)
    rows[0] = [1, "[3]", [0.5, 0.5], np.arange(3)]
    rows[1] = [np.int64(2), "[1, 2]", [np.float64(1.0), 0.0], np.array([1.5], dtype=np.float32)]
    np.save(tmp_path / "a.npy", rows, allow_pickle=True)
    loaded = load_array(tmp_path / "a.npy")
    assert loaded.shape == (2, 4) and loaded[0, 1] == "[3]" and loaded[1, 2] == [1.0, 0.0]
    assert loaded[0, 3].tolist() == [0, 1, 2] and loaded[1, 3].dtype == np.float32


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_of_plain_rows(tmp_path, protocol):
    rows = np.array([[1, "[3]", [0.5]]], dtype=object)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(rows))
        pickle.dump(rows, file, protocol=protocol)
    assert load_array(tmp_path / "a.npy").tolist() == [[1, "[3]", [0.5]]]


class Attack:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch carried-out",), "system"),
        (eval, ("open('carried-out', 'w')",), "eval"),
        (open, ("carried-out", "w"), "open"),
        (np.save, ("carried-out", 1), "save"),
        (np.load, ("x.npy", None, True), "load"),
        (getattr, ("text", "upper"), "getattr"),
    ],
)
def test_a_pickle_that_imports_anything_else_is_refused_and_not_run(tmp_path, function, arguments, name):
    rows = np.empty(1, dtype=object)
    rows[0] = Attack(function, *arguments)
    np.save(tmp_path / "a.npy", rows, allow_pickle=True)
    with pytest.raises(DataError, match=rf"a\.npy: .*imports \S+\.{name}\b.*carries code"):
        load_array(tmp_path / "a.npy")
    assert not any(tmp_path.glob("carried-out*"))


def test_damaged_files(tmp_path):
    rows = np.array([["x", [1]]], dtype=object)
    np.save(tmp_path / "a.npy", rows, allow_pickle=True)
    whole = (tmp_path / "a.npy").read_bytes()
    for content in (b"", b"hello", whole[:50], whole[:-3]):
        (tmp_path / "b.npy").write_bytes(content)
        with pytest.raises(DataError, match=r"b\.npy: expected a whole \.npy file"):
            load_array(tmp_path / "b.npy")
    with pytest.raises(DataError, match="found none"):
        load_array(tmp_path / "none.npy")
    (tmp_path / "b.npy").write_bytes(whole.replace(b"(1, 2)", b"(1, 3)"))
    with pytest.raises(DataError, match=r"expected an array of shape \(1, 3\)"):
        load_array(tmp_path / "b.npy")
