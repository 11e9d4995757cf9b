"""Broken folders in the released layout, file by file: exit status 2, one message with the file, nothing written."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from helpers.released_layout import save_rows, write_released

from recbole_decm.cli.main import main
from recbole_decm.released.layout import PGC_FEATURES, PGC_ROWS, UGC_FEATURES, UGC_ROWS

FILES = [f"data_matching/{name}" for name in (*UGC_FEATURES, *UGC_ROWS)]
FILES += [f"data_pgc/{name}" for name in (*PGC_FEATURES, *PGC_ROWS)]
OPTIONAL = ["data_matching/video_popularity_val.npy", "data_matching/user_prior_mean.npy"]


@pytest.fixture
def root(tmp_path):
    write_released(tmp_path / "released")
    return tmp_path / "released"


def refusal(root, capsys) -> str:
    out = root.parent / "out"
    argv = ["import-released", f"--ugc={root / 'data_matching'}", f"--pgc={root / 'data_pgc'}", "--name=rel"]
    assert main([*argv, f"--out={out}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "Traceback" not in error
    assert not out.exists() or not any(out.iterdir())
    return error


class Attack:
    def __reduce__(self):
        return os.system, ("touch carried-out",)


def attack(path):
    rows = np.empty((3, 5), dtype=object)
    rows[:] = 0
    rows[1, 1] = Attack()
    np.save(path, rows, allow_pickle=True)


def bare_pickle(path):
    path.write_bytes(pickle.dumps(Attack()))


def structured(path):
    np.save(path, np.zeros(4, dtype=[("a", "f4"), ("b", "i4")]))


BREAKAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "cut in the header": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "empty": lambda path: path.write_bytes(b""),
    "no npy": lambda path: path.write_text("video,music\n1,2\n"),
    "text": lambda path: np.save(path, np.array([["a", "b"], ["c", "d"]])),
    "complex": lambda path: np.save(path, np.ones((4, 5), dtype=complex)),
    "scalar": lambda path: np.save(path, np.float32(3)),
    "no rows": lambda path: np.save(path, np.zeros((0, 5), dtype=np.float32)),
    "structured": structured,
    "a pickle with code": attack,
    "a bare pickle": bare_pickle,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
@pytest.mark.parametrize("file", [*FILES, *OPTIONAL])
def test_every_file_in_every_way(root, capsys, file, breakage):
    if breakage == "a folder" and file in OPTIONAL:
        pytest.skip("an optional file that is no file is absent")
    BREAKAGES[breakage](root / file)
    assert file.rsplit("/", 1)[1] in refusal(root, capsys)
    assert not os.path.exists("carried-out")


def test_pickles_that_import_are_named(root, capsys):
    attack(root / "data_matching" / "train.npy")
    assert "pickle that imports posix.system" in refusal(root, capsys).replace("nt.system", "posix.system")


def test_all_missing_files_are_listed_at_once(root, capsys):
    for file in FILES[1::2]:
        (root / file).unlink()
    error = refusal(root, capsys)
    assert f"missing {len(FILES[1::2])} files" in error and all(f"{root / file}" in error for file in FILES[1::2])


@pytest.mark.parametrize(
    "cell", [None, "7", 3.5, {}, ["a"], [None], np.array("x"), 10**400], ids=lambda cell: f"{cell}"[:9]
)
@pytest.mark.parametrize(
    ("file", "column"), [("train.npy", c) for c in range(4)] + [("100neg/val.npy", c) for c in range(3)]
)
def test_cells_of_any_kind(root, capsys, file, column, cell):
    """Whatever stands in a cell, the message names the file and the row."""
    path = root / "data_matching" / file
    rows = np.load(path, allow_pickle=True)
    rows[4, column] = cell
    save_rows(path, rows.tolist())
    error = refusal(root, capsys)
    assert str(path) in error and "row 4" in error
