"""Files to play: what was in the folder at the start, and nothing else."""

from __future__ import annotations

import pytest
from helpers.service import served

from recbole_decm.errors import ConfigError
from recbole_decm.serving.api.players import open_players


@pytest.fixture
def folder(tmp_path):
    for name in ("media/music/t1.mp3", "media/t2.wav", "media/videos/v1.mp4", "media/videos/v2.mp4", "secret.mp3"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 100)
    (tmp_path / "media" / "t3.txt").write_text("no sound")
    (tmp_path / "media" / "t4.mp3").symlink_to(tmp_path / "secret.mp3")
    (tmp_path / "media" / "pairs.csv").write_text(
        "video,music,uploader_id,split\nvideos/v0.mp4,music/t5.mp3,u1,train\nvideos/v9.mp4,music/t6.mp3,u1,train\n"
        "videos/v1.mp4,music/t1.mp3,u2,test\nvideos/v2.mp4,music/t1.mp3,u1,test\nvideos/v2.mp4,music/t5.mp3,u1,test_do\n"
    )
    return tmp_path / "media"


def test_files_belong_to_tracks_by_name_and_test_videos_know_their_uploaders_tracks(folder):
    found = open_players(folder)
    assert set(found.tracks) == {"t1", "t2"}
    assert {name: demo.history for name, demo in found.videos.items()} == {"v2": ("t5", "t6"), "v1": ()}
    (folder / "pairs.csv").unlink()
    assert {name: demo.history for name, demo in open_players(folder).videos.items()} == {"v1": (), "v2": ()}
    with pytest.raises(ConfigError, match="--media"):
        open_players(folder / "nothing")


def test_players_get_files_by_parts_and_no_path_leads_elsewhere(folder, tmp_path):
    with served(tmp_path, media=folder) as (client, _):
        found = client.get("/v1/media").json()
        assert found["tracks"] and [video["name"] for video in found["videos"]] == ["v2", "v1"]
        whole = client.get("/v1/media/tracks/t1")
        assert whole.content == (folder / "music" / "t1.mp3").read_bytes()
        assert whole.headers["content-type"] == "audio/mpeg"
        part = client.get("/v1/media/videos/v1", headers={"range": "bytes=5-9"})
        assert part.status_code == 206 and part.content == (folder / "videos" / "v1.mp4").read_bytes()[5:10]
        for name in ("t3", "t4", "..%2F..%2Fsecret", "%2e%2e/secret", "/etc/passwd", "t1.mp3"):
            assert client.get(f"/v1/media/tracks/{name}").status_code == 404, name
        for name in ("..%2Fapp.py", "index.html", "..%2F..%2Fapp.py"):
            assert client.get(f"/page/{name}").status_code == 404, name
