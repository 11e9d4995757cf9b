"""The command ``serve`` over a real artefact, in a process of its own: start, reload, end; no torch, no RecBole."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'recbole-decm[export]'")

from recbole_decm import open_recommender, run
from recbole_decm.cli.main import main
from recbole_decm.serving.artefact import open_artefact
from recbole_decm.serving.artefact.neighbours import neutral_queries

FAST = {"epochs": 1, "state": "ERROR", "show_progress": False, "teacher": "none"}
PROJECT = Path(__file__).parents[3]
SIM = PROJECT / "dataset_atomic" / "sim"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    here = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("trained"))
    try:
        run("DecCMPlus", "sim", config_dict=FAST)
        (found,) = Path("saved").glob("*.pth")
        return found.resolve()
    finally:
        os.chdir(here)


@pytest.fixture(scope="module")
def artefact(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "artefact"
    assert main(["export", str(checkpoint), "--out", str(out), "--neighbours"]) == 0
    return out


def started(artefact, *more):
    """A server, and its port."""
    command = [sys.executable, "-m", "recbole_decm", "serve", str(artefact), "--port", "0", *more]
    env = os.environ | {"PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
    line = process.stderr.readline()
    found = re.search(r"at http://127\.0\.0\.1:(\d+)/", line)
    assert found, line + process.stderr.read()
    return process, int(found[1])


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        content = None if body is None else json.dumps(body).encode()
        connection.request(method, path, content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def request_of(visual, **options):
    return {"videos": [{"features": {"visual": row.tolist()}} for row in visual], **options}


def test_a_server_answers_as_the_model_reloads_without_a_failure_and_ends_when_it_has_answered(
    artefact, checkpoint, tmp_path
):
    store = f"sqlite:///{tmp_path}/catalogue.db"
    visual = np.random.default_rng(1).standard_normal((3, 128)).astype(np.float32)
    process, port = started(artefact, "--store", store)
    try:
        # As the model ranks, and without what it was trained with.
        status, found = ask(port, "POST", "/v1/recommendations", request_of(visual, k=7))
        lists = [[track["track_id"] for track in result["tracks"]] for result in found["results"]]
        expected = open_recommender(checkpoint).recommend(visual, k=7)
        assert status == 200 and lists == [part["music_id"].tolist() for _, part in expected.groupby("row")]
        _check_neighbours(port, artefact)
        if sys.platform == "linux":
            assert "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text()
        # A new artefact is taken up while requests go on.
        before, answers, going = found["artefact"], [], threading.Event()

        def asking():
            while not going.is_set():
                answers.append(ask(port, "POST", "/v1/recommendations", request_of(visual, k=3)))

        thread = threading.Thread(target=asking)
        thread.start()
        assert main(["export", str(checkpoint), "--out", str(artefact), "--overwrite", "--inference_prior=mean"]) == 0
        status, changed = ask(port, "POST", "/v1/artefact:reload")
        time.sleep(0.1)
        going.set()
        thread.join()
        assert status == 200 and changed["before"] == before != changed["artefact"] and changed["changed"]
        assert {status for status, _ in answers} == {200} and answers[-1][1]["artefact"] == changed["artefact"]
        assert ask(port, "POST", "/v1/artefact:reload")[1]["changed"] is False
        # What is not an artefact leaves the old one at work.
        (artefact / "manifest.json").rename(artefact / "manifest.bak")
        status, problem = ask(port, "POST", "/v1/artefact:reload")
        assert status == 409 and "manifest.json" in problem["detail"]
        (artefact / "manifest.bak").rename(artefact / "manifest.json")
        assert ask(port, "POST", "/v1/recommendations", request_of(visual, k=3))[0] == 200
        # Half of a request is here when the server is told to end.
        body = json.dumps(request_of(visual, k=3)).encode()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
            head = "POST /v1/recommendations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:50])
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            line.sendall(body[50:])
            assert line.makefile("rb").readline().split()[1] == b"200"
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()


def _check_neighbours(port, folder):
    """Training videos near a query that used each track: those of the data set's pairs, the nearest by the cosine."""
    pairs = [line.split("\t") for line in (SIM / "sim.train.inter").read_text().splitlines()[1:]]
    rows = [line.split("\t") for line in (SIM / "sim.user").read_text().splitlines()]
    column = next(place for place, name in enumerate(rows[0]) if name.startswith("visual"))
    visual = {row[0]: np.float32(row[column].split()) for row in rows[1:]}
    own, track = pairs[7]
    body = request_of(visual[own][None], k=600, explain=True)
    shown = ask(port, "POST", "/v1/recommendations", body)[1]["results"][0]["tracks"]
    near = {entry["track_id"]: entry["explanation"]["neighbours"] for entry in shown}
    assert near[track][0]["video_id"] == own and near[track][0]["similarity"] == pytest.approx(1, abs=1e-5)
    videos = [video for video, _ in pairs]
    artefact = open_artefact(folder)
    vectors = neutral_queries(artefact, {"visual": np.stack([visual[video] for video in videos])})
    alike = vectors @ neutral_queries(artefact, {"visual": visual[own][None]})[0]
    for name in list(near)[:20]:
        found = [row for row, (_, used) in enumerate(pairs) if used == name]
        best = sorted((-alike[row], row) for row in found)[:3]
        if found:
            assert [entry["video_id"] for entry in near[name]] == [videos[row] for _, row in best]
            assert {entry["used"] for entry in near[name]} == {"track"}
        else:
            assert {entry["used"] for entry in near[name]} == {"genre"}


def test_what_was_changed_is_there_after_the_next_start(artefact, tmp_path):
    store = f"sqlite:///{tmp_path}/catalogue.db"
    width = json.loads((artefact / "manifest.json").read_text())["track_fields"]["acoustic"]
    for number in range(2):
        process, port = started(artefact, "--store", store)
        try:
            if number == 0:
                form = {"features": {"acoustic": [0.1] * width}, "metadata": {"genre": ["g0"]}}
                assert ask(port, "PUT", "/v1/tracks/kept", form)[0] == 200
                process.kill()
            else:
                assert ask(port, "GET", "/v1/tracks/kept")[1]["metadata"] == {"genre": ["g0"]}
        finally:
            process.kill()
            process.wait()


def test_what_cannot_be_served_is_said_in_one_line(artefact, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as line:
        taken = str(line.getsockname()[1])
        cases = {
            "--api-keys FILE": [str(artefact), "--host", "0.0.0.0"],
            "expected a free address": [str(artefact), "--port", taken],
            "expected an artefact": [str(tmp_path), "--port", "0"],
            "--store": [str(artefact), "--port", "0", "--store", "mysql://x"],
            "--media": [str(artefact), "--port", "0", "--store", f"sqlite:///{tmp_path}/a.db", "--media", "nowhere"],
            "--max-k: expected": [str(artefact), "--port", "0", "--max-k", "0"],
        }
        for words, arguments in cases.items():
            assert main(["serve", *arguments]) == 2
            said = capsys.readouterr().err
            assert words in said and said.count("\n") == 1, said
