"""The service beside a bare FastAPI route, uploads, catalogues by size, and load with updates; each figure in one run.

    python benchmarks/serving.py [--short] [--parts speed,uploads,large,load] [--cornac PYTHON]

The load comes from the same machine. Nothing else should run: where the cores are idle at the start, the figures are
held to what the service is to reach. What is built in --out is used again.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np
import psutil
import serving_artefacts as artefacts
from serving_load import Rate, Watched, free_port, queries, running, serve_command, steady, under_load, wrk
from tabulate import tabulate

from recbole_decm.serving.api.window import MOST_LISTS

CLIENTS, RATE, MOST_GROWTH = 16, 20.0, 0.05
IDLE = psutil.getloadavg()[0] < 1
_LITTLE = 100
LEAST_TIMES, LEAST_RATE, MOST_P99 = 1.4, 300, 60.0
"""Of speed: requests a second beside the route's, and alone; the 99th percentile in milliseconds."""
MOST_UPLOAD = 1.5
"""Seconds from an upload to its list."""
LARGE, MOST_START, MOST_MEMORY, MOST_LARGE_P99 = 1_000_000, 15.0, 1.5, 150.0
"""Tracks from which on large is held: seconds to the first answer, memory in vectors, 99th percentile in ms."""
_BARE, _CORNAC = (Path(__file__).with_name(f"{name}_route.py") for name in ("bare", "cornac"))


def hold(words: str, *reached: bool) -> None:
    """Raise where a figure is not reached on cores that were idle.

    Raises:
        ClickException: see above; ``words`` has the figures.
    """
    if IDLE and not all(reached):
        raise click.ClickException(f"expected other figures: {words}")


def speed(out: Path, tracks: int, dim: int, seconds: int, cornac: str | None = None, rounds: int = 2) -> str:
    """Requests a second and percentiles, all servers by turns while all are up.

    Args:
        cornac: a Python that has cornac and flask; None to leave it out.
    """
    if shutil.which("wrk") is None:
        return "Skipped: wrk is not installed (apt-get install wrk)."
    ports, forms = [free_port() for _ in range(3)], queries(dim, k=10)
    servers: dict[str, tuple[list[str], Sequence[dict | str]]] = {
        "recbole-decm serve": (serve_command(artefacts.large(out, tracks, dim), ports[0]), forms),
        "a bare FastAPI route": ([sys.executable, str(_BARE), str(tracks), str(dim), str(ports[1])], forms),
    }
    if cornac is not None:
        command = [cornac, str(_CORNAC), str(tracks), str(dim), str(ports[2]), str(out)]
        servers["Cornac's REST serving"] = command, [f"/recommend?uid=u{user}&k=10" for user in range(64)]
    found: dict[str, list[Rate]] = {name: [] for name in servers}
    with ExitStack() as stack:
        up = [
            (name, stack.enter_context(running(command, port, asked[0])), asked)
            for (name, (command, asked)), port in zip(servers.items(), ports, strict=False)
        ]
        for _ in range(rounds):
            for name, server, asked in up:
                wrk(server, asked, CLIENTS, 2, out)
                found[name].append(wrk(server, asked, CLIENTS, seconds, out))
    best = {name: Rate(*np.mean(rates, axis=0).tolist()) for name, rates in found.items()}
    one, other = list(best.values())[:2]
    lines = [
        f"{tracks:,} tracks, {dim} dimensions, k = 10, {CLIENTS} clients, {rounds} turns of {seconds} s each:",
        tabulate(
            [[name, *rate] for name, rate in best.items()],
            ["", "requests/s", "p50 ms", "p99 ms", "CPU ms a request", "not 200"],
            floatfmt=("", ".0f", ".1f", ".1f", ".2f", ".0f"),
            tablefmt="github",
        ),
        f"{one.per_second / other.per_second:.2f} times the requests a second of the route, "
        f"{one.p99 / other.p99:.2f} of its p99.",
        "Cornac knows users of its training data by their ids, and takes no features."
        if cornac
        else "Cornac's REST serving: skipped; --cornac names a Python that has cornac and flask.",
    ]
    text, times = "\n".join(lines), one.per_second / other.per_second
    hold(text, times >= LEAST_TIMES, one.per_second >= LEAST_RATE, one.p99 < MOST_P99, one.wrong == 0)
    return text


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
    text = (
        f"{count} uploads of 15 s in 720p ({clip.stat().st_size / 1e6:.1f} MB), one after another: "
        f"first {took[0]:.2f} s, median {np.median(took):.2f} s, longest {max(took):.2f} s."
    )
    hold(text, max(took) < MOST_UPLOAD)
    return text


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
        row = [tracks, server.seconds, more / 1e6, more / (4 * tracks * dim), *np.percentile(took, [50, 99])]
        rows.append(row)
    names = ["tracks", "first answer, s", f"MB beyond {_LITTLE} tracks", "of the vectors", "p50 ms", "p99 ms"]
    formats = (",", ".1f", ".0f", ".2f", ".1f", ".1f")
    table = tabulate(rows, names, floatfmt=formats, tablefmt="github")
    text = f"{dim} dimensions, {RATE:g} requests a second for {seconds:g} s:\n{table}"
    for tracks, start, _, memory, _, p99 in rows:
        if tracks >= LARGE:
            hold(text, start < MOST_START, memory < MOST_MEMORY, p99 < MOST_LARGE_P99)
    return text


def load(out: Path, tracks: int, dim: int, seconds: float) -> str:
    """Load with updates; raises where an answer is wrong or late, or memory grows."""
    artefact, port = artefacts.large(out, tracks, dim), free_port()
    copy = out / "load.db"
    copy.unlink(missing_ok=True)
    asked = queries(dim, k=10)
    with running(serve_command(artefact, port, "--store", f"sqlite:///{copy}"), port, asked[0]) as server:
        track = {"acoustic": asked[0]["videos"][0]["features"]["visual"]}
        filled = 0
        while filled < MOST_LISTS:  # what fills once: caches, the window of the gauges
            filled += under_load(server, asked, track, 5.0).requests
        found = under_load(server, asked, track, seconds)
    return verdict(found, seconds)


def verdict(found: Watched, seconds: float) -> str:
    """What load with updates has shown.

    Raises:
        ClickException: a request failed, an answer missed a change that was acknowledged a second before, memory grew
            by :data:`MOST_GROWTH`, or nothing was changed.
    """
    part = max(1, len(found.memory) // 10)
    growth = np.mean(found.memory[-part:]) / np.mean(found.memory[:part]) - 1
    line = (
        f"{seconds / 60:.1f} minutes: {found.requests:,} lists and {len(found.delays):,} changes, "
        f"{len(found.errors)} errors; "
        f"a change shows after {max(found.delays, default=np.nan):.3f} s at most; memory grew by {growth:.1%}."
    )
    if found.errors or growth >= MOST_GROWTH or not found.delays:
        raise click.ClickException(f"{line} First errors: {json.dumps(found.errors[:3])}")
    return line


@click.command()
@click.option("--parts", default="speed,uploads,large,load", show_default=True)
@click.option("--short", is_flag=True, help="A minute in all, without the last of the sizes.")
@click.option("--tracks", default=100_000, show_default=True)
@click.option("--sizes", default="10000,100000,1000000", show_default=True, help="Tracks of large, a row each.")
@click.option("--dim", default=64, show_default=True)
@click.option("--minutes", default=10.0, show_default=True, help="Of load with updates.")
@click.option("--cornac", metavar="PYTHON", help="A Python that has cornac and flask, to measure its serving, too.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="build/serving", show_default=True)
def main(
    parts: str, short: bool, tracks: int, sizes: str, dim: int, minutes: float, cornac: str | None, out: Path
) -> None:
    """Print each part's figures."""
    out.mkdir(parents=True, exist_ok=True)
    out = out.resolve()
    work: dict[str, Callable[[], str]] = {
        "speed": lambda: speed(out, tracks, dim, 5 if short else 20, cornac),
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
