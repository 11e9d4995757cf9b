"""embed: files whose dot products are the model's ranking, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.running import make_config

from recbole_decm.cli.main import main
from recbole_decm.training.run import fit


@pytest.fixture(scope="module")
def trained(planted, tmp_path_factory):
    folder, paths = tmp_path_factory.mktemp("checkpoints"), {}
    kinds = {
        "genre": ("DecCM", {"teacher": "none", "backdoor": "conditional", "confounder_fusion": "genre"}),
        "exact": ("DecCM", {"teacher": "none", "backdoor": "exact", "confounder_fusion": "gated"}),
        "PDA": ("PDA", {"inference": "pda"}),
        "Pop": ("Pop", {}),
    }
    for name, (model, values) in kinds.items():
        config = make_config(model, planted, checkpoint_dir=str(folder / name), **values | {"epochs": 1})
        paths[name] = str(fit(config).trainer.saved_model_file)
    return paths


def test_dot_products_are_the_scores(trained, monkeypatch, capsys):
    monkeypatch.setattr("recbole_decm.model.cmvae._ENCODE_ROWS", 7)  # blocks of tracks
    monkeypatch.setattr("recbole_decm.serving.embed.VIDEO_BLOCK", 64)  # and of videos
    assert main(["embed", trained["genre"], "--out=kept/e", "--split=test"]) == 0
    assert main(["recommend", trained["genre"], "--split=test", "--k=40", "--out=lists.csv"]) == 0
    tracks, videos = np.load("kept/e/tracks.npy"), np.load("kept/e/videos.npy")
    assert tracks.dtype == videos.dtype == np.float32 and len(tracks) == 40 and len(videos) == 90
    names = {side: Path(f"kept/e/{side}.txt").read_text().splitlines() for side in ("tracks", "videos")}
    scores = pd.DataFrame(videos @ tracks.T, names["videos"], names["tracks"]).stack()
    lists = pd.read_csv("lists.csv").set_index(["video_id", "music_id"])["score"]
    assert len(lists) == 3_600 and np.abs(scores.reindex(lists.index) - lists).max() < 1e-4
    note = json.loads(Path("kept/e/embeddings.json").read_text())
    assert note["format_version"] == 1 and note["model"] == "DecCM" and note["dimension"] == tracks.shape[1]
    assert note["tracks"] == 40 and note["videos"] == {"count": 90, "id": "video_id"}


def test_tracks_alone_and_a_file_of_videos(trained, planted, capsys):
    assert main(["embed", trained["genre"], "--out=tracks"]) == 0
    assert sorted(path.name for path in Path("tracks").iterdir()) == ["embeddings.json", "tracks.npy", "tracks.txt"]
    np.save("today.npy", np.ones((3, 12), dtype=np.float32))
    assert main(["embed", trained["genre"], "--out=tracks", "--videos=today.npy"]) == 2
    assert "--out: expected a new folder, found tracks" in capsys.readouterr().err
    assert not Path("tracks/videos.npy").exists()
    assert main(["embed", trained["genre"], "--out=tracks", "--videos=today.npy", "--overwrite"]) == 0
    assert Path("tracks/videos.txt").read_text() == "0\n1\n2\n" and np.load("tracks/videos.npy").shape[0] == 3


def test_a_failed_write_leaves_the_old_folder(trained, monkeypatch, capsys):
    assert main(["embed", trained["genre"], "--out=e"]) == 0

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recbole_decm.serving.embed._write_lines", full)
    assert main(["embed", trained["genre"], "--out=e", "--split=test", "--overwrite"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert sorted(path.name for path in Path("e").iterdir()) == ["embeddings.json", "tracks.npy", "tracks.txt"]
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("name", "argv", "message"),
    [
        ("exact", [], "embed: expected a model whose score is a dot product, but backdoor: exact"),
        ("PDA", [], "but inference: pda multiplies the match by popularity"),
        ("Pop", ["--split=test"], "which rank tracks for new videos, found one of Pop"),
        ("genre", ["--uploaders=u.npy"], "--uploaders: expected --videos beside it"),
        ("genre", ["--videos=a.npy", "--split=all"], "expected either --videos or --split, found both"),
    ],
)
def test_what_has_no_vectors_is_refused(name, argv, message, trained, capsys):
    assert main(["embed", trained[name], "--out=e", *argv]) == 2
    assert message in capsys.readouterr().err and not Path("e").exists()
