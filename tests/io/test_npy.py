"""Vectors that stay on disk take no memory and read the same."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.running import make_config

from recbole_decm.data import features
from recbole_decm.data.features import FeatureMatrix, open_npy, place
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.npy import open_matrix
from recbole_decm.training.run import fit


def resident_bytes(path: Path) -> int:
    """Bytes of a mapped file that are in this process's memory (those of libraries come as code is first used)."""
    found, named = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):  # the heading of a mapping
            named = rest[-1] == str(path)
        elif named and first == "Rss:":
            found += 1024 * int(rest[0])
    return found


def on_file(path: Path, values: np.ndarray) -> FeatureMatrix:
    np.save(path, values)
    mapped, reader = open_npy(path, "visual", len(values), path)
    return FeatureMatrix("visual", mapped, torch.arange(len(values)), reader)


@pytest.mark.skipif(sys.platform != "linux", reason="counts resident pages in /proc")
@pytest.mark.parametrize(("residency", "most"), [("host", 132e6), ("disk", 5e6)])
def test_vectors_on_disk_take_no_memory(tmp_path, residency, most):
    values = np.random.default_rng(0).random((16_000, 2_048), dtype=np.float32)  # 131 MB
    matrix = place(on_file(tmp_path / "v.npy", values), residency, torch.device("cpu"))
    for batch in torch.randperm(16_000).split(4_000):
        assert torch.equal(matrix.lookup(batch), torch.from_numpy(values[batch.numpy()]))
    taken = resident_bytes(tmp_path / "v.npy")
    assert taken < most
    assert (taken > 120e6) == (residency == "host")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_are_those_of_the_file(tmp_path, dtype, order):
    values = np.asarray(np.random.default_rng(1).normal(size=(9, 5)), dtype=dtype, order=order)
    matrix = place(on_file(tmp_path / "v.npy", values), "disk", torch.device("cpu"))
    assert matrix.lookup(torch.zeros(0, dtype=torch.int64)).shape == (0, 5)
    rows = torch.tensor([8, 0, 8, 3])
    assert torch.equal(matrix.lookup(rows), torch.from_numpy(values[rows.numpy()].astype(np.float32)))


def test_auto_maps_small_files_and_reads_large_ones(tmp_path, monkeypatch):
    matrix = on_file(tmp_path / "v.npy", np.zeros((4, 3), np.float32))
    assert place(matrix, "auto", torch.device("cpu")).file is None
    monkeypatch.setattr(features, "LARGEST_MAP", 47)
    assert place(matrix, "auto", torch.device("cpu")).file is not None
    assert place(matrix, "host", torch.device("cpu")).file is None


def test_a_file_cut_while_it_is_read(tmp_path):
    matrix = place(on_file(tmp_path / "v.npy", np.ones((10, 3), np.float32)), "disk", torch.device("cpu"))
    with (tmp_path / "v.npy").open("r+b") as file:
        file.truncate(200)
    with pytest.raises(DataError, match="the file was cut"):
        matrix.lookup(torch.tensor([9]))


def test_training_is_the_same_wherever_vectors_stay(own_planted):
    """The teacher too: its posteriors come from a table, or batch by batch where vectors stay on disk."""
    folder = own_planted / "planted"
    files = {}
    for field, suffix in (("visual", "user"), ("acoustic", "item")):
        _to_npy(folder / f"planted.{suffix}", field, folder / f"planted.{field}.npy")
        files[field] = f"planted.{field}.npy"
    found = {}
    for residency in ("host", "disk"):
        config = make_config("DecCM", own_planted, feature_files=files, feature_residency=residency, epochs=3)
        found[residency] = fit(config).model.state_dict()
    assert found["host"].keys() == found["disk"].keys()
    for name, value in found["host"].items():
        assert torch.allclose(value, found["disk"][name], atol=1e-5), name


def _to_npy(path: Path, field: str, target: Path) -> None:
    """Move a float_seq column of an atomic file into a .npy file."""
    head, *lines = path.read_text().splitlines()
    names = head.split("\t")
    column = names.index(f"{field}:float_seq")
    rows = [line.split("\t") for line in lines]
    np.save(target, np.array([row[column].split() for row in rows], dtype=np.float32))
    kept = [[cell for i, cell in enumerate(row) if i != column] for row in [names, *rows]]
    path.write_text("\n".join("\t".join(row) for row in kept) + "\n")


def test_unknown_residency(planted):
    with pytest.raises(ConfigError, match="feature_residency: expected auto, device, disk, host, found 'gpu'"):
        fit(make_config("DecCM", planted, feature_residency="gpu"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 3), dtype=">f4"), r"this machine's byte order, found >f4"),
        (np.zeros((2, 3), dtype=np.longdouble), r"expected float16, float32 or float64.*found <f16"),
        (
            np.array([[1.0, 2.0], [1e300, 0.0]]),
            r"row 1: expected numbers that float32 holds.*found 1e\+300",
        ),
        (np.zeros((2, 0), dtype=np.float32), r"expected at least one column"),
        (np.zeros(2, dtype=np.float32), r"expected a 2-D matrix of floats"),
        (np.zeros((2, 3), dtype=np.int64), r"expected a 2-D matrix of floats"),
        (np.array([[{}]]), r"Python objects in dtype"),
    ],
)
def test_a_matrix_that_cannot_be_read_as_floats(tmp_path, values, message):
    np.save(tmp_path / "visual.npy", values)
    with pytest.raises(DataError, match=rf"visual\.npy.*{message}"):
        open_npy(tmp_path / "visual.npy", "visual", len(values), tmp_path / "a.user")


@pytest.mark.parametrize("damage", [slice(8, 12), slice(20, 60), slice(0, 6)])
def test_a_damaged_header_is_one_line(tmp_path, damage):
    np.save(tmp_path / "visual.npy", np.ones((4, 3), dtype=np.float32))
    content = bytearray((tmp_path / "visual.npy").read_bytes())
    content[damage] = b"\xff" * (damage.stop - damage.start)
    (tmp_path / "visual.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"visual\.npy: expected a \.npy file") as found:
        open_npy(tmp_path / "visual.npy", "visual", 4, tmp_path / "a.user")
    assert "\n" not in str(found.value)


def _opened(path: Path, content: bytes) -> bool:
    """Whether a file is taken; refused, it is in one line that names it."""
    path.write_bytes(content)
    try:
        open_matrix(path, "visual")
    except DataError as error:
        assert str(error).startswith(f"{path}: expected") and "\n" not in str(error)
        return False
    return True


def test_any_byte_of_a_header_may_be_another(tmp_path):
    np.save(tmp_path / "v.npy", np.arange(12, dtype=np.float32).reshape(4, 3))
    whole = (tmp_path / "v.npy").read_bytes()
    taken = [
        _opened(tmp_path / "v.npy", whole[:at] + bytes([sign]) + whole[at + 1 :])
        for at in range(70)  # spaces follow
        for sign in b"\x00('9\n\\"
    ]
    assert 0 < sum(taken) < len(taken) / 8


@pytest.mark.parametrize("shape", ["(-4, 3)", "(99999999999999999999, 3)", "(4611686018427387904, 4)", "('4', 3)", "4"])
@pytest.mark.parametrize("dtype", ["<f4", "<c8", "|O", "f4f4", "<f99", ""])
def test_headers_that_promise_what_cannot_be(tmp_path, shape, dtype):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    assert not _opened(tmp_path / "v.npy", b"\x93NUMPY\x01\x00v\x00" + text.encode() + bytes(48))
