"""Servers to start, and who asks them: wrk as fast as it can, a clock at a steady rate, and updates beside them."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

_SCRIPT = """
local lines, n = {}, 0
for line in io.lines("%s") do lines[#lines + 1] = line end
request = function()
  n = n + 1
  local line = lines[n %% #lines + 1]
  if line:sub(1, 1) == "/" then return wrk.format("GET", line) end
  return wrk.format("POST", "/v1/recommendations", {["Content-Type"] = "application/json"}, line)
end
local wrong = 0
response = function(status) if status ~= 200 then wrong = wrong + 1 end end
"""


def free_port() -> int:
    """A port nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as line:
        return line.getsockname()[1]


@dataclass
class Server:
    """A server in a process of its own.

    Attributes:
        seconds: from its start to its first answer.
    """

    process: subprocess.Popen
    port: int
    seconds: float = 0.0

    def ask(self, method: str, path: str, body: Any = None, timeout: float = 60) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def memory(self) -> int:
        """Bytes that it has to itself."""
        return psutil.Process(self.process.pid).memory_full_info().uss


@contextmanager
def running(command: Sequence[str], port: int, first: dict | str) -> Iterator[Server]:
    """A server, from its first answer to the request ``first`` on: a form for a list, or a path."""
    asked = ("GET", first) if isinstance(first, str) else ("POST", "/v1/recommendations", first)
    started = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    server = Server(process, port)
    try:
        while True:
            with suppress(OSError, http.client.HTTPException):
                if server.ask(*asked)[0] == 200:
                    break
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} ended: {process.stderr and process.stderr.read()[-2000:]}")
            time.sleep(0.01)
        server.seconds = time.perf_counter() - started
        yield server
    finally:
        process.terminate()
        process.wait(timeout=60)


def serve_command(artefact: Path, port: int, *more: str) -> list[str]:
    """``recbole-decm serve`` by this Python."""
    return [sys.executable, "-m", "recbole_decm", "serve", str(artefact), "--port", str(port), "--rate", "0", *more]


def queries(width: int, field_name: str = "visual", count: int = 64, **options: Any) -> list[dict[str, Any]]:
    """Requests with random features."""
    values = np.random.default_rng(1).standard_normal((count, width)).round(5)
    return [{"videos": [{"features": {field_name: row.tolist()}}], **options} for row in values]


class Rate(NamedTuple):
    """How fast a server is.

    Attributes:
        per_second: requests.
        p50, p99: milliseconds that half of them, and all but one in a hundred, took at most.
        cpu: milliseconds of the server's processor a request, which a busy machine changes least.
        wrong: answers other than 200.
    """

    per_second: float
    p50: float
    p99: float
    cpu: float
    wrong: float


def wrk(server: Server, requests: Sequence[dict | str], clients: int, seconds: int, folder: Path) -> Rate:
    """Ask as fast as ``clients`` can, each after its last answer; for lists by forms, or for paths."""
    bodies, script = folder / "bodies.txt", folder / "wrk.lua"
    lines = [one if isinstance(one, str) else json.dumps(one, separators=(",", ":")) for one in requests]
    bodies.write_text("\n".join(lines))
    script.write_text(_SCRIPT % bodies)
    command = [
        "wrk",
        "-t1",
        f"-c{clients}",
        f"-d{seconds}s",
        "--latency",
        "-s",
        str(script),
        f"http://127.0.0.1:{server.port}",
    ]
    process = psutil.Process(server.process.pid)
    before = process.cpu_times()
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = process.cpu_times()
    used = 1e3 * (after.user + after.system - before.user - before.system)
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found, said
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    count = re.search(r"(\d+) requests in", said)
    assert count, said
    percentiles = _milliseconds(said, "50%"), _milliseconds(said, "99%")
    return Rate(float(found[1]), *percentiles, used / int(count[1]), float(wrong[1]) if wrong else 0.0)


def _milliseconds(said: str, name: str) -> float:
    found = re.search(rf"{name}\s+([\d.]+)(us|ms|s)\b", said)
    assert found, said
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]


def steady(server: Server, requests: Sequence[dict], rate: float, seconds: float) -> np.ndarray:
    """Milliseconds of each of ``rate`` requests a second, from when each was due, whatever the last one took."""
    took: list[float] = []
    count, start = int(rate * seconds), time.perf_counter() + 0.2

    def one(number: int) -> None:
        due = start + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        status, _ = server.ask("POST", "/v1/recommendations", requests[number % len(requests)])
        assert status == 200, status
        took.append(1e3 * (time.perf_counter() - due))

    def lane(first: int, lanes: int) -> None:
        for number in range(first, count, lanes):
            one(number)

    threads = [threading.Thread(target=lane, args=(at, 16)) for at in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == count, f"{count - len(took)} requests failed"
    return np.array(took)


@dataclass
class Watched:
    """What happened to a server under load with updates.

    Attributes:
        delays: seconds from the acknowledgement of each change to the first list that showed it.
        memory: bytes, over time.
    """

    requests: int = 0
    errors: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def under_load(server: Server, requests: Sequence[dict], track: dict[str, list[float]], seconds: float) -> Watched:
    """Ask without a pause by four clients, and change tracks meanwhile, looking for each change in a list."""
    found, end, lock = Watched(), time.monotonic() + seconds, threading.Lock()

    def note(words: str) -> None:
        with lock:
            found.errors.append(words)

    def asking(lane: int) -> None:
        number = lane
        while time.monotonic() < end:
            number += 4
            try:
                status, answer = server.ask("POST", "/v1/recommendations", requests[number % len(requests)])
            except OSError as error:
                note(repr(error))
                continue
            if status != 200 or not answer["results"][0]["tracks"]:
                note(f"{status}: {answer}")
            with lock:
                found.requests += 1

    def changing() -> None:
        number = 0
        while time.monotonic() < end:
            number += 1
            name, probe = f"probe-{number % 50}", float(number)
            try:
                form = {"features": track, "metadata": {"probe": probe, "genre": "g0"}}
                status, answer = server.ask("PUT", f"/v1/tracks/{name}", form)
                if status != 200:
                    note(f"PUT: {status}: {answer}")
                _seen(server, requests[0], f"probe = {probe:g}", [name], found, note)
                if number % 3 == 0:
                    status, _ = server.ask("DELETE", f"/v1/tracks/{name}")
                    if status != 204:
                        note(f"DELETE: {status}")
                    _seen(server, requests[0], f"probe = {probe:g}", [], found, note)
            except OSError as error:
                note(repr(error))
            time.sleep(0.15)

    threads = [threading.Thread(target=asking, args=(lane,)) for lane in range(4)] + [threading.Thread(target=changing)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found.memory.append(server.memory())
        time.sleep(min(2.0, max(0.1, seconds / 40)))
    return found


def _seen(server: Server, request: dict, where: str, expected: list[str], found: Watched, note: Any) -> None:
    """Ask until a list shows a change, for a second."""
    acknowledged = time.perf_counter()
    while True:
        status, answer = server.ask("POST", "/v1/recommendations", request | {"filter": where})
        took = time.perf_counter() - acknowledged
        shown = [] if status != 200 else [entry["track_id"] for entry in answer["results"][0]["tracks"]]
        if status == 200 and shown == expected:
            found.delays.append(took)
            return
        if status != 200 or took > 1:
            note(f"{where}: {status}, {shown} for {expected} after {took:.2f} s")
            return
