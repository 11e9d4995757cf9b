"""The long form: ``python tests/faults/malformed.py --requests 1000``. Requests to a service, good and bad, counted.

A request that must be refused gets 4xx, or 503 with Retry-After; one that must be answered 2xx; there is no other 5xx.
The server goes on, and writes nowhere but into its own folder.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import os
import random
import socket
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults.http_kinds import KINDS, Sent, uploads
from helpers.media_files import COLOURS, plain, tone, write_clip

_SERVER = Path(__file__).parents[1] / "helpers" / "serve_clips.py"


class Server(NamedTuple):
    """A service in a process of its own.

    Attributes:
        port: it answers at; folder: its catalogue; elsewhere: where it should write nothing: its working folder, its
            home and the folder of temporary files.
    """

    process: subprocess.Popen
    port: int
    folder: Path
    elsewhere: Path

    def left(self) -> list[Path]:
        """Files outside of its own folder."""
        return [path for path in self.elsewhere.rglob("*") if path.is_file()]


@contextmanager
def serving(place: Path) -> Iterator[Server]:
    """A server over some tracks, whose extractors read clips."""
    folder, elsewhere = place / "own", place / "elsewhere"
    for made in (folder, elsewhere):
        made.mkdir()
    paths = os.pathsep.join([str(_SERVER.parents[1]), str(_SERVER.parents[2]), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {
        "HOME": str(elsewhere),
        "TMPDIR": str(elsewhere),
        "PYTHONPATH": paths,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    process = subprocess.Popen(
        [sys.executable, str(_SERVER), str(folder)], cwd=elsewhere, env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield Server(process, int(process.stdout.readline()), folder, elsewhere)
    finally:
        process.terminate()
        process.wait(timeout=30)


def send(port: int, sent: Sent) -> tuple[int, dict[str, str]]:
    """Status and headers of the answer; 0 where the connection ended without one."""
    if sent.raw is not None:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            with suppress(OSError):  # it may refuse before all has come
                line.sendall(sent.raw)
                line.shutdown(socket.SHUT_WR)
            try:
                with line.makefile("rb") as file:
                    words = file.readline().split()
            except ConnectionResetError:
                words = []
        return int(words[1]) if len(words) > 1 else 0, {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        own = "Host" in sent.headers
        connection.putrequest(sent.method, sent.path, skip_host=own, skip_accept_encoding=True)
        for name, value in {**sent.headers, "Content-Length": str(len(sent.body))}.items():
            connection.putheader(name, value)
        with suppress(BrokenPipeError, ConnectionResetError):  # it has refused before all of it was sent
            connection.endheaders(sent.body)
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    except (ConnectionResetError, http.client.RemoteDisconnected):
        return 0, {}
    finally:
        connection.close()


def wrong(sent: Sent, status: int, headers: dict[str, str]) -> bool:
    """Whether an answer is not what must come of a request."""
    answered, refused = 200 <= status < 300, 400 <= status < 500
    busy = status == 503 and "retry-after" in headers
    if status == 0:  # what cannot be read as HTTP, or is refused while it is still being sent
        return sent.must == "answer" or (sent.raw is None and len(sent.body) < 1 << 20)
    return not {"answer": answered or busy, "refuse": refused or busy, "either": answered or refused or busy}[sent.must]


def by_hand(server: Server, clip: bytes, count: int, draw: random.Random) -> dict[str, Counter]:
    """Send about ``count`` requests of all kinds; what came of them, by kind."""
    kinds = {**KINDS, "uploads": lambda draw: uploads(draw, clip)}
    found = {}
    for name, kind in kinds.items():
        counts: Counter = Counter()
        for sent in itertools.islice(kind(draw), -(-count // len(kinds))):
            status, headers = send(server.port, sent)
            counts[f"{status // 100}xx"] += 1
            counts["sent"] += 1
            if wrong(sent, status, headers) or server.process.poll() is not None:
                counts["wrong"] += 1
                print(f"wrong: {name}: {sent.title}: {status}", file=sys.stderr)
        found[name] = counts
    return found


def by_schema(server: Server, count: int, seed: int) -> Counter:
    """Send about ``count`` requests that schemathesis makes of the service's own description, good and bad."""
    import schemathesis.openapi
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from schemathesis import GenerationMode

    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    counts: Counter = Counter()
    each = max(1, count // (2 * len(operations)))
    for operation, mode in itertools.product(operations, (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)):
        limits = settings(
            max_examples=each,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        test = limits(seeded(seed)(given(operation.as_strategy(generation_mode=mode))(_asking(server, counts))))
        try:
            test()
        except Exception as error:  # there is nothing of this kind to make of an operation without parameters
            if type(error).__name__ not in ("Unsatisfiable", "NoExamples"):
                raise
    return counts


def _asking(server: Server, counts: Counter) -> Callable[[Any], None]:
    def ask(case: Any) -> None:
        answer = case.call()
        counts[f"{answer.status_code // 100}xx"] += 1
        counts["sent"] += 1
        fault = answer.status_code >= 500 and not (answer.status_code == 503 and "retry-after" in answer.headers)
        taken = _bad_body(case) and answer.status_code < 300
        if fault or taken or server.process.poll() is not None:
            counts["wrong"] += 1
            print(f"wrong: {case.method} {case.path}: {answer.status_code}", file=sys.stderr)

    return ask


def _bad_body(case: Any) -> bool:
    """Whether the body does not fit its description; what is odd elsewhere, such as more parameters, may pass."""
    from schemathesis import GenerationMode
    from schemathesis.core.parameters import ParameterLocation

    component = case.meta.components.get(ParameterLocation.BODY)
    return component is not None and component.mode == GenerationMode.NEGATIVE


def main() -> int:
    """Run a campaign and print its counts; 1 where anything is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place, serving(Path(place)) as server:
        clip = write_clip(
            Path(place) / "a.mp4", plain(COLOURS[0], 10), sound=tone(440, 1, 8000), rate=8000
        ).read_bytes()
        described = by_schema(server, given.requests // 2, given.seed)
        table = by_hand(server, clip, given.requests - described["sent"], random.Random(given.seed))
        table["of the description"] = described
        alive, left = server.process.poll() is None, server.left()
    names = ("sent", "2xx", "3xx", "4xx", "5xx", "0xx", "wrong")
    print("| kind | sent | 2xx | 3xx | 4xx | 503 | connection ended | wrong |\n" + "| --- " * 8 + "|")
    for name, counts in table.items():
        print(f"| {name} | " + " | ".join(str(counts[column]) for column in names) + " |")
    failed = sum(counts["wrong"] for counts in table.values())
    print(
        f"\n{sum(counts['sent'] for counts in table.values())} requests, {failed} wrong; the server is "
        f"{'up' if alive else 'down'}; {len(left)} files outside its folder"
    )
    return 1 if failed or left or not alive else 0


if __name__ == "__main__":
    raise SystemExit(main())
