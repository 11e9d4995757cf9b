"""The training videos nearest to a query: known answers, and files that are refused."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest

from recbole_decm.errors import DataError
from recbole_decm.io.digest import of_files
from recbole_decm.serving.artefact.manifest import NEIGHBOURS as FILE
from recbole_decm.serving.artefact.neighbours import Neighbours, open_neighbours, unit, write_neighbours

ANGLES = np.deg2rad([0, 30, 60, 90, 180])
VECTORS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)
VIDEOS, TRACKS = ["v0", "v30", "v60", "v90", "v180"], ["a", "b", "a", "a", "a"]
GENRES = ["pop", "pop\x1frock", "pop", "pop", "pop"]


def owner(folder):
    """An artefact whose manifest has the digest of what is in the folder now."""
    files = {FILE: of_files([folder / FILE])}
    return SimpleNamespace(manifest=SimpleNamespace(files=files), dim=2)


def near(degrees, track, genres):
    query = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], np.float32)
    return Neighbours(VECTORS, VIDEOS, TRACKS, GENRES).near(query, track, genres)


def test_those_that_used_the_track_come_by_their_angle():
    found = near(50, "a", ["pop"])
    assert [entry["video_id"] for entry in found] == ["v60", "v90", "v0"]  # 10, 40 and 50 degrees away; v30 used b
    assert [entry["similarity"] for entry in found] == pytest.approx(np.cos(np.deg2rad([10, 40, 50])))
    assert {entry["used"] for entry in found} == {"track"}
    assert [entry["video_id"] for entry in near(50, "b", ["pop"])] == ["v30"]


def test_of_a_track_that_none_used_those_of_its_genres_once_each():
    found = near(31, "new", ["rock", "pop"])
    assert [entry["video_id"] for entry in found] == ["v30", "v60", "v0"]
    assert {entry["used"] for entry in found} == {"genre"}
    assert [entry["video_id"] for entry in near(31, "new", ["rock"])] == ["v30"]
    assert near(31, "new", ["polka"]) == [] == near(31, "new", [])


def test_rows_of_length_one():
    assert unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [pytest.approx([0.6, 0.8]), [0, 0]]


@pytest.fixture
def folder(tmp_path):
    with (tmp_path / FILE).open("wb") as file:
        write_neighbours(file, VECTORS, VIDEOS, TRACKS, GENRES)
    return tmp_path


def test_what_was_written_is_read(folder):
    found = open_neighbours(folder, owner(folder))
    assert found.near(VECTORS[3], "a", [])[0] == {"video_id": "v90", "similarity": pytest.approx(1), "used": "track"}
    assert open_neighbours(folder, SimpleNamespace(manifest=SimpleNamespace(files={}), dim=2)) is None


def test_what_is_missing_or_damaged_is_refused(folder):
    written, content = owner(folder), bytearray((folder / FILE).read_bytes())
    content[content.index(VECTORS.tobytes()) + 3] ^= 1
    for changed in (content, content[:300]):
        (folder / FILE).write_bytes(changed)
        with pytest.raises(DataError, match=r"neighbours\.npz: expected what was written, found other bytes"):
            open_neighbours(folder, written)
        with pytest.raises(DataError, match=r"neighbours\.npz: expected neighbours"):
            open_neighbours(folder, owner(folder))  # under a digest that somebody has made anew
    (folder / FILE).unlink()
    with pytest.raises(DataError, match=r"neighbours\.npz: expected a file of the artefact"):
        open_neighbours(folder, written)


def parts(**changed):
    texts = {"videos": np.array(VIDEOS), "tracks": np.array(TRACKS), "genres": np.array(GENRES)}
    return {"format_version": np.int64(1), "vectors": VECTORS, **texts, **changed}


def test_archives_that_were_made_to_do_harm_are_refused(folder):
    np.savez_compressed(folder / FILE, **parts(vectors=np.zeros((4_000_000, 2), np.float32)))
    assert (folder / FILE).stat().st_size < 100_000
    with pytest.raises(DataError, match="its parts are compressed"):
        open_neighbours(folder, owner(folder))
    for changed, message in (
        ({"vectors": VECTORS * np.nan}, "expected finite numbers"),
        ({"vectors": np.array([print] * 5, dtype=object)}, "allow_pickle"),
        ({"vectors": VECTORS[:3]}, "expected 5 vectors of 2 numbers"),
        ({"format_version": np.int64(2)}, "expected format_version 1, found 2"),
        ({"format_version": np.arange(3)}, "expected neighbours, as export --neighbours writes them"),
    ):
        np.savez(folder / FILE, **parts(**changed))
        with pytest.raises(DataError, match=message):
            open_neighbours(folder, owner(folder))
    written = owner(folder)
    (folder / FILE).rename(folder.parent / "outside.npz")
    (folder / FILE).symlink_to(folder.parent / "outside.npz")
    with pytest.raises(DataError, match="found a link that leaves it"):
        open_neighbours(folder, written)
    (folder / FILE).unlink()
    os.mkfifo(folder / FILE)
    with pytest.raises(DataError, match="expected a plain file"):
        open_neighbours(folder, written)
