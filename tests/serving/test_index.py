"""The faiss indexes against exact search, and their files."""

from __future__ import annotations

import errno
import json
import os
import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recbole_decm.errors import ConfigError, DataError, ResourceError
from recbole_decm.io import resources
from recbole_decm.serving import index as index_module
from recbole_decm.serving import index_file
from recbole_decm.serving.index import KINDS, IndexOptions, build_index, calibrate, recall
from recbole_decm.serving.index_file import load_index, save_index
from recbole_decm.serving.search import top_k

faiss = pytest.importorskip("faiss")
OWNER = {"checkpoint": "abc", "catalogue": "def"}


@pytest.fixture(autouse=True)
def _one_thread():
    faiss.omp_set_num_threads(1)


def vectors(count=3_000, dim=16, seed=0, videos=40):
    """Music of very different norms, which a search by angle or by distance would rank wrongly."""
    rng = np.random.default_rng(seed)
    music = rng.normal(size=(count, dim)) * rng.uniform(0.2, 3, size=(count, 1))
    return rng.normal(size=(videos, dim)).astype(np.float32), music.astype(np.float32)


def built(kind, music, **options):
    blocks = [music[start : start + 700] for start in range(0, len(music), 700)]
    return build_index(blocks, *music.shape, IndexOptions(kind, **options))


def exact(videos, music, k=10):
    scores, indices = top_k(torch.from_numpy(videos), music, k)
    return scores.numpy(), indices.numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_at_full_effort_an_index_is_exact(kind):
    videos, music = vectors()
    index = built(kind, music)
    index.effort = len(music)
    scores, indices = index.search(videos, 10)
    expected = exact(videos, music)
    assert recall(indices, expected[1]) > 0.999
    assert np.allclose(scores, expected[0], atol=1e-4)
    assert (len(index), index.dim) == music.shape


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_calibration_takes_the_least_effort_that_reaches_the_target(kind):
    videos, music = vectors()
    index, expected = built(kind, music), exact(videos, music)[1]
    reached = calibrate(index, videos, expected, 0.9)
    assert reached >= 0.9 and reached == recall(index.search(videos, 10)[1], expected)
    efforts = index_module.EFFORTS
    if index.effort > efforts[0]:
        index.effort = efforts[efforts.index(index.effort) - 1]
        assert recall(index.search(videos, 10)[1], expected) < 0.9
    assert calibrate(index, videos, np.full_like(expected, len(music)), 0.9) == 0  # music that is not there
    assert index.effort == efforts[-1]


def test_recall_counts_rows_apart_and_ignores_padding():
    exact_lists = np.array([[1, 2, 3], [4, 5, -1]])
    assert recall(np.array([[3, 9, 1], [1, 5, -1]]), exact_lists) == pytest.approx(3 / 5)


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_music_than_asked_for(kind):
    videos, music = vectors(count=6)
    index = built(kind, music)
    scores, indices = index.search(videos, 9)
    assert (indices[:, 6:] == -1).all() and np.isneginf(scores[:, 6:]).all()
    assert (np.sort(indices[:, :6]) == np.arange(6)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_index_answers_as_before_and_its_size_is_as_estimated(kind, tmp_path):
    videos, music = vectors()
    index = built(kind, music)
    index.effort = 37
    save_index(index, tmp_path / "deep" / "music.index", OWNER)
    again = load_index(tmp_path / "deep" / "music.index", OWNER, *music.shape)
    assert again.effort == 37 and again.options == index.options
    for one, two in zip(index.search(videos, 10), again.search(videos, 10), strict=True):
        assert np.array_equal(one, two)
    size = (tmp_path / "deep" / "music.index").stat().st_size
    assert size == pytest.approx(index.options.size(*music.shape), rel=0.03)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["music.index"]
    assert faiss.read_index(str(tmp_path / "deep" / "music.index")).ntotal == len(music)


def test_an_index_of_something_else_is_refused(tmp_path):
    _, music = vectors(count=100)
    save_index(built("flat", music), tmp_path / "i", OWNER)
    with pytest.raises(DataError, match="whose catalogue is xyz, found def"):
        load_index(tmp_path / "i", {**OWNER, "catalogue": "xyz"}, *music.shape)
    with pytest.raises(DataError, match="whose count is 99, found 100"):
        load_index(tmp_path / "i", OWNER, 99, 16)


@pytest.mark.parametrize("damage", ["cut", "head", "empty", "foreign", "header", "missing", "version"])
def test_damaged_files_are_refused(tmp_path, damage):
    _, music = vectors(count=100)
    path = tmp_path / "i"
    save_index(built("flat", music), path, OWNER)
    content = path.read_bytes()
    damaged = {
        "cut": content[:-7],
        "head": content[200:],
        "empty": b"",
        "foreign": b"x" * 400,
        "header": content.replace(b'{"format_version"', b'["format_version"'),
        "version": content.replace(b'"format_version": 1', b'"format_version": 9'),
    }
    path.unlink() if damage == "missing" else path.write_bytes(damaged[damage])
    with pytest.raises(DataError, match=r"i: expected (an |a whole )?index"):
        load_index(path, OWNER, *music.shape)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_bit_that_changed_is_found(tmp_path, share):
    _, music = vectors(count=100)
    path = tmp_path / "i"
    save_index(built("flat", music), path, OWNER)
    content = bytearray(path.read_bytes())
    content[int(share * index_file.read_index_header(path)["bytes"])] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="i: expected a whole index, found a damaged one"):
        load_index(path, OWNER, *music.shape)


def test_an_index_without_a_digest_is_read(tmp_path):
    """As earlier versions wrote them."""
    query, music = vectors(count=100)
    path = tmp_path / "i"
    index = built("flat", music)
    save_index(index, path, OWNER)
    header = index_file.read_index_header(path)
    old = json.dumps({key: value for key, value in header.items() if key not in ("digest", "bytes")}).encode()
    path.write_bytes(path.read_bytes()[: header["bytes"]] + old + struct.pack("<Q", len(old)) + b"recbole-decm-index")
    again = load_index(path, OWNER, *music.shape)
    assert np.array_equal(again.search(query, 3)[1], index.search(query, 3)[1])


@pytest.mark.parametrize("part", ["options", "radius", "effort", "count", "dim", "belongs_to"])
def test_a_damaged_header_is_refused_by_its_part(tmp_path, part):
    _, music = vectors(count=100)
    path = tmp_path / "i"
    save_index(built("flat", music), path, OWNER)
    content = path.read_bytes()
    header = index_file.read_index_header(path)
    before = json.dumps(header).encode()
    for wrong in (None, "x", [1], {"kind": {}}, {"other": 1}):
        if part == "belongs_to" and isinstance(wrong, dict):
            continue
        damaged = {key: value for key, value in header.items() if key != part} | (
            {} if wrong is None else {part: wrong}
        )
        text = json.dumps(damaged).encode()
        start = content.index(before)
        path.write_bytes(content[:start] + text + struct.pack("<Q", len(text)) + content[start + len(before) + 8 :])
        with pytest.raises(
            DataError, match=rf"i: expected an index of recbole-decm, found a damaged header \({part}: "
        ):
            load_index(path, OWNER, *music.shape)


def test_without_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r'pip install "recbole-decm\[index\]"'):
        built("flat", vectors()[1])


def test_without_memory(monkeypatch):
    monkeypatch.setattr(resources.psutil, "virtual_memory", lambda: SimpleNamespace(available=100_000))
    with pytest.raises(ResourceError, match=r"hnsw of 3000 music: expected 1.2 MB of free memory, found 0.1 MB"):
        built("hnsw", vectors()[1])


def test_without_disk_the_old_file_stays(monkeypatch, tmp_path):
    path = tmp_path / "i"
    path.write_text("old")
    index = built("flat", vectors()[1])
    with monkeypatch.context() as patch:
        patch.setattr(resources.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000))
        with pytest.raises(ResourceError, match=r"i: expected 0.2 MB of free disk for the index, found 0.0 MB"):
            save_index(index, path, OWNER)

    def fill(block):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = faiss.PyCallbackIOWriter
    monkeypatch.setattr(faiss, "PyCallbackIOWriter", lambda write: writer(fill))
    with pytest.raises(ResourceError, match="i: expected to write the file, but No space left on device"):
        save_index(index, path, OWNER)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "tree"}, "index: expected flat, hnsw, ivf, found 'tree'"),
        ({"neighbours": 1}, "neighbours: expected a number of at least 2"),
        ({"clusters": 0}, "clusters: expected a number of at least 1"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ConfigError, match=message):
        IndexOptions(**options)
