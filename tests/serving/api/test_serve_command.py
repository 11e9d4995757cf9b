"""``recbole-decm serve`` in a process of its own: versions come and go while it is asked, and it ends in peace."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import closing

import pytest
from helpers.planted_artefact import planted_artefact

from recbole_decm.cli.main import main
from recbole_decm.serving.api.running import open_catalogue
from recbole_decm.serving.artefact.manifest import read_manifest

ASK = json.dumps({"videos": [{"features": {"visual": [0.5] * 12}}], "k": 3}).encode()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two artefacts of one catalogue."""
    place = tmp_path_factory.mktemp("artefacts")
    for name, seed in (("one", 1), ("two", 2)):
        planted_artefact(place, place / name, seed)
    return place


@pytest.fixture
def server(folders, tmp_path):
    """(process, port, folder) over a copy of the first artefact."""
    shutil.copytree(folders / "one", tmp_path / "now")
    command = [sys.executable, "-m", "recbole_decm", "serve", str(tmp_path / "now"), "--port", "0", "--rate", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        said = process.stderr.readline()
        yield process, int(said.split("127.0.0.1:")[1].split("/")[0]), tmp_path / "now"
        process.terminate()


def ask(port, path="/v1/recommendations", body=ASK):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def listed(answer):
    return [track["track_id"] for track in answer["results"][0]["tracks"]]


def replace(folder, other):
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def test_an_artefact_is_taken_up_and_put_back_without_an_answer_that_fails(folders, server):
    _, port, folder = server
    ids = {name: read_manifest(folders / name).id for name in ("one", "two")}
    lists = {ids["one"]: listed(ask(port)[1])}
    stop, found = threading.Event(), []

    def asking():
        while not stop.is_set():
            found.append(ask(port))

    threads = [threading.Thread(target=asking) for _ in range(2)]
    for thread in threads:
        thread.start()
    for name, other in (("two", "one"), ("one", "two")):
        replace(folder, folders / name)
        status, answer = ask(port, "/v1/artefact:reload", b"")
        assert (status, answer) == (200, {"artefact": ids[name], "before": ids[other], "changed": True})
        lists.setdefault(ids[name], listed(ask(port)[1]))
    (folder / "query.onnx").write_bytes(b"no model")
    status, answer = ask(port, "/v1/artefact:reload", b"")
    assert status == 409 and "query.onnx: expected what was written" in answer["detail"]
    assert ask(port)[1]["artefact"] == ids["one"]
    stop.set()
    for thread in threads:
        thread.join()
    assert lists[ids["one"]] != lists[ids["two"]]
    assert len(found) > 10 and {status for status, _ in found} == {200}
    assert all(listed(answer) == lists[answer["artefact"]] for _, answer in found)


def test_sigterm_ends_it_when_what_is_being_asked_has_been_answered(server):
    process, port, _ = server
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        head = f"POST /v1/recommendations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(ASK)}\r\n"
        line.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + ASK[:5])
        ask(port)  # by now the other request has come to its handler
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        with pytest.raises(OSError):
            ask(port)
        line.sendall(ASK[5:])
        answer = line.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200") and b'"rank":3' in answer
    assert process.wait(30) == 0 and process.stderr.read() == ""


def test_a_server_that_is_started_again_takes_no_switch_back(folders, tmp_path, caplog):
    url, ids = f"sqlite:///{tmp_path}/shared.db", {name: read_manifest(folders / name).id for name in ("one", "two")}

    def answers(folder, url=url):
        live = open_catalogue(folder, url)
        live.close()
        return live.version

    assert answers(folders / "one") == ids["one"]
    assert main(["publish", str(folders / "two"), "--to", url]) == 0
    assert answers(folders / "one") == answers(folders / "two") == ids["two"]
    assert f"{ids['two']} answers, not {ids['one']}" in caplog.text
    (tmp_path / "own").mkdir()
    for name in ("one", "two", "one"):  # with a store of its own, the folder says what answers
        replace(tmp_path / "own", folders / name)
        assert answers(tmp_path / "own", None) == ids[name]


def test_others_are_not_served_without_keys(folders, capsys):
    assert main(["serve", str(folders / "one"), "--host", "0.0.0.0", "--port", "0"]) == 2
    assert "--host: expected a loopback address" in capsys.readouterr().err
