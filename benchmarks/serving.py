"""The service beside a bare FastAPI route, uploads, catalogues by size, and load with updates; each figure in one run.

    python benchmarks/serving.py [--short] [--parts speed,uploads,large,load] [--out build/serving]

The load comes from the same machine. Nothing else should run. What is built in --out is used again.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import psutil
import serving_artefacts as artefacts
from serving_load import Rate, free_port, queries, running, serve_command, steady, under_load, wrk
from tabulate import tabulate

CLIENTS, RATE = 16, 20.0
_LITTLE = 100
_BARE = Path(__file__).with_name("bare_route.py")


def speed(out: Path, tracks: int, dim: int, seconds: int, rounds: int = 2) -> str:
    """Requests a second and percentiles, both servers by turns while both are up."""
    if shutil.which("wrk") is None:
        return "Skipped: wrk is not installed (apt-get install wrk)."
    artefact = artefacts.large(out, tracks, dim)
    asked = queries(dim, k=10)
    names, ports = ("recbole-decm serve", "a bare FastAPI route"), (free_port(), free_port())
    found: dict[str, list[Rate]] = {name: [] for name in names}
    commands = serve_command(artefact, ports[0]), [sys.executable, str(_BARE), str(tracks), str(dim), str(ports[1])]
    with ExitStack() as stack:
        servers = [
            stack.enter_context(running(command, port, asked[0])) for command, port in zip(commands, ports, strict=True)
        ]
        for _ in range(rounds):
            for name, server in zip(names, servers, strict=True):
                wrk(server, asked, CLIENTS, 2, out)
                found[name].append(wrk(server, asked, CLIENTS, seconds, out))
    best = {name: Rate(*np.mean(rates, axis=0).tolist()) for name, rates in found.items()}
    rows = [[name, *rate] for name, rate in best.items()]
    one, other = best.values()
    lines = [
        f"{tracks:,} tracks, {dim} dimensions, k = 10, {CLIENTS} clients, {rounds} turns of {seconds} s each:",
        tabulate(
            rows,
            ["", "requests/s", "p50 ms", "p99 ms", "CPU ms a request", "not 200"],
            floatfmt=("", ".0f", ".1f", ".1f", ".2f", ".0f"),
            tablefmt="github",
        ),
        f"{one.per_second / other.per_second:.2f} times the requests a second, {one.p99 / other.p99:.2f} of the p99.",
        _cornac(),
    ]
    return "\n".join(lines)


def _cornac() -> str:
    if find_spec("cornac") is None:
        return "Cornac's REST serving: skipped, cornac is not installed."
    return "Cornac's REST serving knows users of its training data by their ids and takes no features: not compared."


def uploads(out: Path, count: int) -> str:
    """Seconds from an upload of 15 s in 720p to its list, one at a time."""
    artefact, clip = artefacts.of_clips(out), artefacts.clip(out)
    port, boundary, took = free_port(), uuid.uuid4().hex, []
    start = f'--{boundary}\r\nContent-Disposition: form-data; name="video"; filename="clip.mp4"\r\n\r\n'
    body = start.encode() + clip.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    with running(serve_command(artefact, port), port, queries(146)[0]) as server:
        import http.client

        for _ in range(count):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            begun = time.perf_counter()
            connection.request(
                "POST", "/v1/recommendations", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
            )
            answer = connection.getresponse()
            text = answer.read()
            took.append(time.perf_counter() - begun)
            connection.close()
            assert answer.status == 200, text
    return (
        f"{count} uploads of 15 s in 720p ({clip.stat().st_size / 1e6:.1f} MB), one after another: "
        f"first {took[0]:.2f} s, median {np.median(took):.2f} s, longest {max(took):.2f} s."
    )


def large(out: Path, sizes: Sequence[int], dim: int, seconds: float) -> str:
    """Start, memory and latency of catalogues, a row each."""
    asked, port = queries(dim, k=10), free_port()
    with running(serve_command(artefacts.large(out, _LITTLE, dim), port), port, asked[0]) as server:
        little = server.memory()
    rows = []
    for tracks in sizes:
        command = serve_command(artefacts.large(out, tracks, dim), port)
        with running(command, port, asked[0]):
            pass  # the first start fills the store
        with running(command, port, asked[0]) as server:
            steady(server, asked, RATE, 2)
            took = steady(server, asked, RATE, seconds)
            more = server.memory() - little
        row = [f"{tracks:,}", server.seconds, more / 1e6, more / (4 * tracks * dim), *np.percentile(took, [50, 99])]
        rows.append(row)
    names = ["tracks", "first answer, s", f"MB beyond {_LITTLE} tracks", "of the vectors", "p50 ms", "p99 ms"]
    formats = ("", ".1f", ".0f", ".2f", ".1f", ".1f")
    table = tabulate(rows, names, floatfmt=formats, tablefmt="github")
    return f"{dim} dimensions, {RATE:g} requests a second for {seconds:g} s:\n{table}"


def load(out: Path, tracks: int, dim: int, seconds: float) -> str:
    """Load with updates; raises where an answer is wrong or late, or memory grows."""
    artefact, port = artefacts.large(out, tracks, dim), free_port()
    copy = out / "load.db"
    copy.unlink(missing_ok=True)
    asked = queries(dim, k=10)
    with running(serve_command(artefact, port, "--store", f"sqlite:///{copy}"), port, asked[0]) as server:
        track = {"acoustic": asked[0]["videos"][0]["features"]["visual"]}
        under_load(server, asked, track, min(20.0, seconds / 4))  # what fills once: caches, the window of the gauges
        found = under_load(server, asked, track, seconds)
    part = max(1, len(found.memory) // 10)
    growth = np.mean(found.memory[-part:]) / np.mean(found.memory[:part]) - 1
    line = (
        f"{seconds / 60:.1f} minutes: {found.requests:,} lists and {len(found.delays):,} changes, "
        f"{len(found.errors)} errors; "
        f"a change shows after {max(found.delays):.3f} s at most; memory grew by {growth:.1%}."
    )
    if found.errors or growth >= 0.05:
        raise click.ClickException(f"{line} First errors: {json.dumps(found.errors[:3])}")
    return line


@click.command()
@click.option("--parts", default="speed,uploads,large,load", show_default=True)
@click.option("--short", is_flag=True, help="A minute in all, without the last of the sizes.")
@click.option("--tracks", default=100_000, show_default=True)
@click.option("--sizes", default="10000,100000,1000000", show_default=True, help="Tracks of large, a row each.")
@click.option("--dim", default=64, show_default=True)
@click.option("--minutes", default=10.0, show_default=True, help="Of load with updates.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="build/serving", show_default=True)
def main(parts: str, short: bool, tracks: int, sizes: str, dim: int, minutes: float, out: Path) -> None:
    """Print each part's figures."""
    out.mkdir(parents=True, exist_ok=True)
    out = out.resolve()
    work: dict[str, Callable[[], str]] = {
        "speed": lambda: speed(out, tracks, dim, 5 if short else 20),
        "uploads": lambda: uploads(out, 5 if short else 20),
        "large": lambda: large(
            out, [int(part) for part in sizes.split(",")][: -1 if short else None], dim, 5 if short else 30
        ),
        "load": lambda: load(out, tracks, dim, 15 if short else 60 * minutes),
    }
    click.echo(f"{psutil.cpu_count()} cores, load average {psutil.getloadavg()[0]:.1f} before the start\n")
    for part in parts.split(","):
        if part not in work:
            raise click.BadParameter(f"--parts: expected some of {', '.join(work)}, found '{part}'.")
        click.echo(f"{work[part]()}\n")


if __name__ == "__main__":
    main()
