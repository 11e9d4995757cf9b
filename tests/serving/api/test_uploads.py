"""Videos and sounds that are sent: decoded elsewhere, made to the features of extract, refused with a reason."""

from __future__ import annotations

import json
import os
import tempfile
import threading

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install 'recbole-decm[media]'")

from helpers.clip_artefact import clip_artefact
from helpers.media_files import COLOURS, plain, tone, write_clip
from helpers.service import served

from recbole_decm.media.clips import extract_clips
from recbole_decm.media.extractors import open_extractor
from recbole_decm.media.sandbox import Reader
from recbole_decm.serving.api.options import Limits


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    frames = [*plain(COLOURS[0], 10), *plain(COLOURS[1], 10)]
    return [
        write_clip(folder / "a.mp4", frames, sound=tone(440, 2, 8000), rate=8000),
        write_clip(folder / "b.mkv", plain(COLOURS[2], 20)),
        write_clip(folder / "sound.wav", sound=tone(440, 2, 8000), rate=8000, sound_codec="pcm_s16le"),
    ]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with served(tmp_path_factory.mktemp("uploads"), artefact=clip_artefact(), limits=Limits(upload=1 << 20)) as found:
        yield found[0]


def files(*paths, name="video"):
    return [(name, (f"../../{path.name}", path.read_bytes())) for path in paths]


def test_an_uploaded_video_is_ranked_by_the_features_that_extract_makes(client, clips):
    with Reader() as reader:
        shard = extract_clips(clips[:2], {"visual": open_extractor("appearance-motion")}, reader)
    videos = [{"features": {"visual": row.tolist()}} for row in shard.features["visual"]]
    options = {"k": 5, "prior": {"g0": 0.1, "g1": 0.1, "g2": 0.8}, "filter": "not genre = 'g1'"}
    by_features = client.post("/v1/recommendations", json={"videos": videos, **options}).json()
    by_files = client.post("/v1/recommendations", files=files(*clips[:2]), data={"options": json.dumps(options)}).json()
    assert by_files == by_features and len(by_files["results"]) == 2
    assert client.post("/v1/features", files=files(*clips[:2])).json() == {"artefact": "clips", "videos": videos}


def test_each_file_may_have_its_uploaders_preferences(client, clips):
    options = {
        "videos": [{"uploader_prior": [1, 0, 0]}, {"uploader_prior": [0, 0, 1]}],
        "prior": "uploader",
        "explain": True,
    }
    found = client.post("/v1/recommendations", files=files(*clips[:2]), data={"options": json.dumps(options)}).json()
    assert [result["habit"]["g0"] for result in found["results"]] == [1, 0]
    answer = client.post("/v1/recommendations", files=files(clips[0]), data={"options": json.dumps(options)})
    assert answer.status_code == 422 and "expected 1 entries" in answer.json()["detail"]


def test_a_track_is_added_by_its_sound(client, clips):
    sent = {"files": files(clips[2], name="audio"), "data": {"options": json.dumps({"metadata": {"genre": "g2"}})}}
    assert client.put("/v1/tracks/sung", **sent).status_code == 200
    with Reader() as reader:
        shard = extract_clips([clips[2]], {"acoustic": open_extractor("descriptors")}, reader)
    stored = client.get("/v1/tracks/sung").json()
    np.testing.assert_array_equal(np.float32(stored["features"]["acoustic"]), shard.features["acoustic"][0])
    assert stored["metadata"] == {"genre": "g2"}
    client.delete("/v1/tracks/sung")


@pytest.mark.parametrize(
    "content", [b"", b"no video", b"#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", bytes(1000)]
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(client, content):
    answer = client.post("/v1/recommendations", files={"video": ("a.mp4", content)})
    assert answer.status_code == 422 and "found corrupt" in answer.json()["detail"], answer.text


def test_half_a_file_and_sound_alone_are_refused_and_the_next_one_is_read(client, clips):
    half = clips[0].read_bytes()[: clips[0].stat().st_size // 2]
    assert client.post("/v1/recommendations", files={"video": ("a.mp4", half)}).status_code == 422
    answer = client.post("/v1/recommendations", files=files(clips[2]))
    assert answer.status_code == 422 and "no-picture" in answer.json()["detail"]
    assert client.post("/v1/recommendations", files=files(clips[0])).status_code == 200


@pytest.mark.parametrize(
    "content, status",
    [
        (b"", 400),
        (b"--x\r\n\r\nnothing", 400),
        (b'--x\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\nabc', 422),
        (b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\nabc\r\n--x--\r\n', 422),
        (b'--x\r\nContent-Disposition: form-data; name="video"\r\n\r\nabc\r\n--x--\r\n', 422),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n", 400),
        (b"--x\r\n" * 20_000, 400),
    ],
)
def test_forms_that_are_none_are_refused(client, content, status):
    kind = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/recommendations", content=content, headers=kind)
    assert answer.status_code in (400, 422), (status, answer.text)
    assert (
        client.post("/v1/recommendations", content=b"x", headers={"content-type": "multipart/form-data"}).status_code
        == 400
    )


def test_too_much_is_refused_and_nothing_is_left_on_the_disk(client, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    large = {"video": ("a.mp4", os.urandom(2 << 20))}
    assert client.post("/v1/recommendations", files=large).status_code == 413
    many = [("video", ("a.mp4", b"x"))] * 9
    assert client.post("/v1/recommendations", files=many).status_code == 400
    assert client.post("/v1/recommendations", files=files(clips[0])).status_code == 200
    assert client.post("/v1/recommendations", files={"video": ("../a", b"x" * (900 << 10))}).status_code == 422
    assert list(tmp_path.iterdir()) == []
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    assert client.post("/v1/recommendations", content=b"\x1f\x8b", headers=packed).status_code == 415


def test_a_clip_longer_than_allowed_is_refused(tmp_path, clips):
    with served(tmp_path, artefact=clip_artefact(), limits=Limits(clip_seconds=0.5)) as (client, _):
        answer = client.post("/v1/recommendations", files=files(clips[0]))
        assert answer.status_code == 422 and "too-long" in answer.json()["detail"]


def test_an_upload_that_takes_too_long_is_503(tmp_path, clips, monkeypatch):
    with served(tmp_path, artefact=clip_artefact(), limits=Limits(seconds=0.3)) as (client, service):
        slow = threading.Event()
        monkeypatch.setattr(type(service._decoders), "_one", lambda *given: slow.wait(10))
        answer = client.post("/v1/recommendations", files=[("video", ("a.mp4", clips[0].read_bytes()))])
        slow.set()
    assert answer.status_code == 503 and "expected files decoded within 0.3 s" in answer.json()["detail"]


def test_an_artefact_that_does_not_say_how_its_features_were_made_takes_no_files(tmp_path, clips):
    with served(tmp_path) as (client, _):
        answer = client.post("/v1/recommendations", files=files(clips[0]))
        assert answer.status_code == 422 and "Send features" in answer.json()["detail"]
        assert "Send features" in client.get("/v1/artefact").json()["why_no_uploads"]
