"""Real artefacts, from the folder to answers: what is published answers as the artefact itself."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.linear_artefact import tracks
from helpers.planted_artefact import planted_artefact

from recbole_decm.cli.main import main
from recbole_decm.errors import DataError
from recbole_decm.serving.artefact import exact_top_k, open_artefact
from recbole_decm.serving.store import Live, open_store
from recbole_decm.serving.store.postgres import PostgresStore


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two artefacts of one catalogue."""
    place = tmp_path_factory.mktemp("artefacts")
    for name, seed in (("one", 1), ("two", 2)):
        planted_artefact(place, place / "made" / name, seed)
    return place / "made"


def asked(artefact, count: int = 7) -> np.ndarray:
    draw = np.random.default_rng(2)
    fields = artefact.manifest.video_fields
    return artefact.query_vectors({name: draw.standard_normal((count, width)) for name, width in fields.items()})


def assert_answers_as(live, artefact) -> None:
    queries = asked(artefact)
    scores, rows = exact_top_k(queries, artefact.vectors, 10)
    for hits, score, row in zip(live.search(asked(live.artefact), 10), scores, rows, strict=True):
        np.testing.assert_allclose(hits.scores, score, rtol=1e-5, atol=1e-6)
        assert hits.ids == artefact.ids[row].tolist()
        assert hits.metadata[0].get("genre", []) == artefact.metadata["genre"][row[0]]


def test_what_is_published_answers_as_the_artefact_and_the_next_takes_over(folders, url, capsys):
    one, two = (open_artefact(folders / name) for name in ("one", "two"))
    assert main(["publish", str(folders / "one"), "--to", url]) == 0
    assert capsys.readouterr().out == f"Published {one.manifest.id}, which answers: 40 tracks\n"
    live = Live(open_store(url), poll=0.02)
    assert_answers_as(live, one)
    assert main(["publish", str(folders / "two"), "--to", url, "--no-activate"]) == 0
    assert "does not answer yet" in capsys.readouterr().out and live.version == one.manifest.id
    live.switch(two.manifest.id)
    assert_answers_as(live, two)
    assert main(["publish", str(folders / "one"), "--to", url]) == 0  # back
    live.close()
    live = Live(open_store(url))
    assert live.version == one.manifest.id
    assert_answers_as(live, one)
    given = tracks(["own"], width=one.manifest.track_fields["acoustic"], metadata=[{"genre": [one.manifest.genres[0]]}])
    live.put(given)
    np.testing.assert_allclose(
        live.vectors_of(["own"]), one.track_vectors(given.features, [[one.manifest.genres[0]]]), rtol=1e-5
    )
    with pytest.raises(DataError, match="expected at least one row of"):
        live.put(tracks(["wide"], width=3))
    live.close()


def test_versions_that_are_damaged_are_refused(folders, url):
    store = open_store(url)
    artefact = open_artefact(folders / "one")
    store.publish(artefact)
    files = store.files(artefact.manifest.id)
    for name, content, message in (
        ("query.onnx", files["query.onnx"][:-3] + b"\0\0\0", "other bytes: damaged"),
        ("query.onnx", None, "expected the file query.onnx, found none"),
    ):
        change(store, {key: value for key, value in {**files, name: content}.items() if value is not None})
        with pytest.raises(DataError, match=message):
            Live(store)
    store.close()


def change(store, files) -> None:
    """Write other files for the one version, as who can write to the database could."""
    table, place = ("decm_files", "%s") if isinstance(store, PostgresStore) else ("files", "?")
    with store._writing():
        execute = store._do if isinstance(store, PostgresStore) else lambda q, *v: store._base.execute(q, v)
        execute(f"DELETE FROM {table}")
        for name, content in files.items():
            execute(f"INSERT INTO {table} VALUES (1, {place}, {place})", name, content)


@pytest.mark.parametrize(
    ("folder", "to", "message"),
    [
        ("nowhere", "sqlite:///a.db", "expected an artefact"),
        ("one", "mysql://x", "--store: expected sqlite:///FILE or postgresql://"),
        ("one", "sqlite:///", "--store: expected sqlite:///FILE or postgresql://"),
        ("one", "sqlite:///text.txt", "expected a whole store of tracks, but file is not a database"),
        ("one", "sqlite:///other.db", "expected a store of tracks, found another database"),
        ("one", "sqlite:////proc/nowhere/a.db", "expected to open a file there"),
    ],
)
def test_publish_says_in_one_line_what_is_wrong(folders, folder, to, message, tmp_path, capsys):
    import sqlite3

    (tmp_path / "text.txt").write_text("hello, this is no database at all\n" * 50)
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE x (y)")
    other.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["publish", str(folders / folder), "--to", to]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_versions_are_listed_switched_and_forgotten(folders, tmp_path, capsys):
    url = f"sqlite:///{tmp_path}/a.db"
    ids = [open_artefact(folders / name).manifest.id for name in ("one", "two")]
    for name in ("one", "two"):
        assert main(["publish", str(folders / name), "--to", url]) == 0
    capsys.readouterr()

    def listed(*more):
        assert main(["versions", url, *more]) == 0
        return [(line.split()[0], line.endswith("answers")) for line in capsys.readouterr().out.splitlines()]

    assert listed() == [(ids[0], False), (ids[1], True)]
    assert listed("--activate", ids[0]) == [(ids[0], True), (ids[1], False)]
    assert main(["versions", url, "--forget", ids[0]]) == 2 and "does not answer" in capsys.readouterr().err
    assert listed("--forget", ids[1]) == [(ids[0], True)]
    assert main(["versions", f"sqlite:///{tmp_path}/slip.db"]) == 2 and "found no file" in capsys.readouterr().err
    assert not (tmp_path / "slip.db").exists()
