"""What an artefact keeps of the training pairs: counts of each track for the gauges, and the videos where asked."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from helpers.planted import write_planted
from helpers.running import make_config
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from recbole_decm.cli.main import main
from recbole_decm.errors import DataError
from recbole_decm.serving.api.app import create_app
from recbole_decm.serving.api.options import ServeOptions
from recbole_decm.serving.api.running import open_catalogue
from recbole_decm.serving.api.service import Service
from recbole_decm.serving.artefact import open_artefact
from recbole_decm.serving.artefact.neighbours import open_neighbours, unit
from recbole_decm.training.run import fit


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with data, a checkpoint of them, and its artefact with neighbours."""
    place = tmp_path_factory.mktemp("made")
    write_planted(place, videos=90, music=30)
    values = {"teacher": "none", "epochs": 1, "latent_dimension": 8, "checkpoint_dir": str(place / "saved")}
    checkpoint = fit(make_config("DecCM", place, **values)).trainer.saved_model_file
    assert main(["export", str(checkpoint), "--out", str(place / "artefact"), "--neighbours"]) == 0
    return place, str(checkpoint)


def training_rows(place):
    return pd.read_csv(place / "planted" / "planted.train.inter", sep="\t", dtype=str)


def test_each_track_has_its_number_of_training_pairs(made):
    place, _ = made
    counts, artefact = training_rows(place)["music_id:token"].value_counts(), open_artefact(place / "artefact")
    assert artefact.metadata["popularity"].tolist() == [counts.get(track, 0) for track in artefact.ids]
    assert 0 < artefact.metadata["popularity"].sum() < 90


def test_the_gauge_is_the_mean_of_the_lists_tracks(made, tmp_path):
    place, _ = made
    artefact = shutil.copytree(place / "artefact", tmp_path / "artefact")
    service = Service(open_catalogue(artefact, f"sqlite:///{tmp_path}/a.db"), artefact, ServeOptions())
    with TestClient(create_app(service), base_url="http://127.0.0.1:8000") as client:
        form = {"videos": [{"features": {"visual": [1.0] * 12}}], "k": 5, "prior": "neutral", "explain": True}
        tracks = client.post("/v1/recommendations", json=form).json()["results"][0]["tracks"]
        families = text_string_to_metric_families(client.get("/metrics").text)
        gauge = next(family for family in families if family.name == "decm_served_popularity")
    assert gauge.samples[0].value == np.mean([track["metadata"]["popularity"] for track in tracks]) > 0
    near = [(len(track["explanation"]["neighbours"]), track["metadata"]["popularity"]) for track in tracks]
    assert all(found == min(3, count) for found, count in near if count), near


def test_neighbours_are_the_training_videos_and_a_damaged_file_is_refused(made, tmp_path):
    place, _ = made
    folder = shutil.copytree(place / "artefact", tmp_path / "artefact")
    artefact, rows = open_artefact(folder), training_rows(place)
    near = open_neighbours(folder, artefact)
    assert sorted(near._videos) == sorted(rows["video_id:token"])
    video, track = rows.iloc[7]
    table = pd.read_csv(place / "planted" / "planted.user", sep="\t", dtype=str).set_index("video_id:token")
    visual = np.array([table.loc[video, "visual:float_seq"].split(" ")], np.float32)
    query = unit(artefact.query_vectors({"visual": visual}, artefact.priors("neutral", 1)))[0]
    first = near.near(query, track, [])[0]
    assert (first["video_id"], first["similarity"]) == (video, pytest.approx(1, abs=1e-5))
    content = bytearray((folder / "neighbours.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "neighbours.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"neighbours\.npz: expected what was written, found other bytes"):
        Service(open_catalogue(folder, f"sqlite:///{tmp_path}/a.db"), folder, ServeOptions())


def test_without_the_training_data_as_they_were_there_are_no_counts(made, tmp_path):
    place, checkpoint = made
    data = shutil.copytree(place / "planted", tmp_path / "data" / "planted")
    assert main(["export", checkpoint, "--out", "same", f"--data_path={tmp_path / 'data'}"]) == 0
    assert "popularity" in open_artefact("same").metadata
    with (data / "planted.train.inter").open("a") as file:
        file.write("v0\tm1\n")
    assert main(["export", checkpoint, "--out", "other", f"--data_path={tmp_path / 'data'}"]) == 0
    assert "popularity" not in open_artefact("other").metadata
    for path in data.glob("*.inter"):
        path.unlink()
    assert main(["export", checkpoint, "--out", "none", f"--data_path={tmp_path / 'data'}"]) == 0
    assert "popularity" not in open_artefact("none").metadata
