"""Folders that were made to do harm are refused before they cost time, memory or other files."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recbole_decm.errors import DataError
from recbole_decm.io.digest import of_files, of_values
from recbole_decm.serving.artefact import open_artefact
from recbole_decm.serving.artefact.table import Table

TRACKS, DIM = 5, 4


def side(path, name):
    """A side of one matrix: vectors are the features."""
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", [name, "weights"], ["vector"])],
        "side",
        [onnx.helper.make_tensor_value_info(name, kind, ["rows", DIM])],
        [onnx.helper.make_tensor_value_info("vector", kind, ["rows", DIM])],
        [onnx.numpy_helper.from_array(np.eye(DIM, dtype=np.float32), "weights")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def sign(folder, **changed):
    """A manifest whose digests fit: what a forger would write."""
    names = [path.name for path in folder.iterdir() if path.name != "manifest.json"]
    values = {
        "format": "recbole-decm artefact",
        "format_version": 1,
        "package": "0",
        "model": "CMVAE",
        "settings": {},
        "genres": [],
        "video_fields": {"visual": DIM},
        "track_fields": {"acoustic": DIM},
        "dim": DIM,
        "match_dim": DIM,
        "takes_priors": False,
        "reads_genres": False,
        "additive": False,
        "ranks_by_uploader": False,
        "smoothing": 1.0,
        "tracks": TRACKS,
        "checkpoint": "0",
        "files": {name: of_files([folder / name]) for name in names},
    } | changed
    (folder / "manifest.json").write_text(json.dumps({"id": of_values(values), **values}))


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "artefact"
    place.mkdir()
    side(place / "query.onnx", "visual")
    side(place / "track.onnx", "acoustic")
    vectors = np.arange(TRACKS * DIM, dtype=np.float32).reshape(TRACKS, DIM)
    for name in ("vectors.npy", "features.acoustic.npy"):
        np.save(place / name, vectors)
    pq.write_table(pa.table({"track_id": list("abcde"), "genre": [["x"]] * TRACKS}), place / "tracks.parquet")
    sign(place)
    return place


@pytest.fixture(autouse=True)
def _cheap():
    """Refused with hardly any work, whatever the headers promise."""
    start = time.process_time()
    yield
    assert time.process_time() - start < 2


def test_the_folder_itself_is_fine(folder):
    artefact = open_artefact(folder)
    assert artefact.ids.tolist() == list("abcde") and artefact.metadata["genre"].tolist() == [["x"]] * TRACKS
    assert artefact.query_vectors({"visual": np.ones((1, DIM))}) @ artefact.vectors[1] == pytest.approx(4 + 5 + 6 + 7)


def test_more_tracks_than_there_are_bytes(folder):
    sign(folder, tracks=10**9)
    with pytest.raises(DataError, match=r"vectors\.npy: expected a header and 16,000,000,000 bytes"):
        open_artefact(folder)
    sign(folder, dim=10**15)
    with pytest.raises(DataError, match=r"vectors\.npy: expected a header and"):
        open_artefact(folder)
    sign(folder, track_fields={"acoustic": 10**15})
    with pytest.raises(DataError, match=r"features\.acoustic\.npy: expected a header and"):
        open_artefact(folder).tracks  # noqa: B018


@pytest.mark.parametrize("name", ["vectors.npy", "query.onnx", "manifest.json"])
def test_a_file_of_holes_is_not_read(folder, name):
    os.truncate(folder / name, 1 << 40)
    with pytest.raises(DataError, match=r"expected .* bytes.*, found 1,099,511,627,776"):
        open_artefact(folder)


def test_headers_that_promise_more_or_other_things(folder):
    size = (folder / "vectors.npy").stat().st_size
    for shape, version, message in (
        ((10**9, DIM), 1, "mmap length is greater than file size"),
        ((DIM, TRACKS), 1, r"expected float32 of the shape \(5, 4\)"),
        ((TRACKS, DIM), 2, "expected a .npy file of plain numbers"),
    ):
        with (folder / "vectors.npy").open("r+b") as file:
            if version == 1:
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            else:  # a header of 4 GB, it says
                file.write(b"\x93NUMPY\x02\x00" + b"\xff" * 4)
        assert (folder / "vectors.npy").stat().st_size == size
        sign(folder)
        with pytest.raises(DataError, match=message):
            open_artefact(folder).vectors  # noqa: B018


@pytest.mark.parametrize("name", ["vectors.npy", "query.onnx", "tracks.parquet", "manifest.json"])
def test_links_that_leave_the_folder(folder, name):
    outside = folder.parent / "outside"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    with pytest.raises(DataError, match=rf"{name}: expected a file in the artefact's folder, found a link that leaves"):
        open_artefact(folder)
    (folder / name).unlink()
    (folder / name).symlink_to(name)
    with pytest.raises(DataError, match=name):
        open_artefact(folder)


def test_a_link_within_the_folder_and_to_the_folder_is_followed(folder):
    (folder / "versions").mkdir()
    (folder / "vectors.npy").rename(folder / "versions" / "vectors.npy")
    (folder / "vectors.npy").symlink_to("versions/vectors.npy")
    (folder.parent / "current").symlink_to(folder)
    assert open_artefact(folder.parent / "current").vectors.shape == (TRACKS, DIM)


@pytest.mark.parametrize("name", ["vectors.npy", "track.onnx", "tracks.parquet", "manifest.json"])
def test_a_pipe_is_not_waited_for(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(DataError, match=f"{name}: expected a plain file"):
        open_artefact(folder)


def table(folder, columns, **options):
    pq.write_table(pa.table(columns), folder / "tracks.parquet", **options)
    sign(folder)
    assert (folder / "tracks.parquet").stat().st_size < 5_000_000
    return open_artefact(folder)


def test_other_rows_than_tracks(folder):
    million = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3_000_000, np.int32)), pa.array(["m"]))
    with pytest.raises(DataError, match=r"tracks\.parquet: expected 5 tracks, found 3000000"):
        table(folder, {"track_id": million}).ids  # noqa: B018


def test_texts_that_unpack_to_far_more(folder):
    ids = [str(row) for row in range(300)]
    np.save(folder / "vectors.npy", np.zeros((300, DIM), np.float32))
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(300, np.int32)), pa.array(["x" * 1_000_000]))
    lists = pa.ListArray.from_arrays(np.arange(301, dtype=np.int32), long)
    options = {"dictionary_pagesize_limit": 1 << 30, "compression": "zstd", "store_schema": False}
    for column in (long, lists):
        pq.write_table(pa.table({"track_id": ids, "note": column}), folder / "tracks.parquet", **options)
        sign(folder, tracks=300)
        artefact = open_artefact(folder)
        assert artefact.ids.tolist() == ids
        with pytest.raises(DataError, match=r"note: expected at most 72,024,064 bytes, found 300,000,000"):
            artefact.metadata  # noqa: B018


def test_lists_and_bytes_without_end(folder):
    values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_100_000, np.int32)), pa.array(["m"]))
    lists = pa.ListArray.from_arrays(np.array([0, 1, 2, 3, 4, 1_100_000], np.int32), values)
    with pytest.raises(DataError, match=r"genre.*: expected at most 1,053,696 values, found 1,100,000"):
        table(folder, {"track_id": list("abcde"), "genre": lists}).ids  # noqa: B018
    wide = pa.array([b"x" * 100_000] * TRACKS, pa.binary(100_000))
    with pytest.raises(DataError, match=r"wide: expected at most 64 bytes of a value, found 100,000"):
        table(folder, {"track_id": list("abcde"), "wide": wide}).ids  # noqa: B018


def test_ids_that_are_none(folder):
    with pytest.raises(DataError, match="track_id: expected texts, found others"):
        table(folder, {"track_id": ["a", "b", None, "d", "e"]}).ids  # noqa: B018
    with pytest.raises(DataError, match="expected the column track_id, found name"):
        table(folder, {"name": list("abcde")}).ids  # noqa: B018


def test_a_table_cut_in_the_middle(folder):
    path = folder / "tracks.parquet"
    content = bytearray(path.read_bytes())
    content[8:40] = bytes(32)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"tracks\.parquet, track_id: expected values in Parquet"):
        Table(path, TRACKS).column("track_id")
