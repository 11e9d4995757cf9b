"""Time and peak memory of a diagnosis of data of the paper's size, each in a process of its own.

    python benchmarks/diagnosis.py [--videos 150000] [--folder FOLDER]

From 1 GB of features on they are held to two minutes, where no other work keeps the cores busy, and to 1.5 times the
bytes of the features. The simulation is kept in ``--folder``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from tabulate import tabulate

from recbole_decm.diagnosis.run import diagnose
from recbole_decm.experiments.cell import peak_memory
from recbole_decm.simulation.causal import SimulationConfig, simulate
from recbole_decm.simulation.files import write_simulation

SECONDS, TIMES_FEATURES = 120, 1.5
PREFERENCES = {"read": "given", "train": "counted"}


def written(folder: Path, videos: int, music: int, visual_dim: int) -> Path:
    """The folder of a simulation with a habit of strength 1; written unless it is there."""
    name = f"v{videos}-{music}-{visual_dim}"
    if not (folder / name).is_dir():
        config = SimulationConfig.of(videos=videos, music=music, visual_dim=visual_dim, confounding=1.0)
        write_simulation(simulate(config), folder, name)
    return folder / name


def measure_here(data: Path, prior: str) -> dict:
    """Seconds on the clock and of the processors, and the peak of this process."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    found = diagnose(data.name, [f"--data_path={data.parent}", f"--uploader_prior={prior}"])
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "busy": busy, "peak": peak_memory() * 2**20, "verdict": found["verdict"]}


def measure(data: Path, prior: str, threads: int) -> dict:
    """:func:`measure_here` in a process of its own."""
    command = [sys.executable, __file__, "--row", str(data), prior]
    given = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=given)
    if done.returncode:
        raise click.ClickException(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


@click.command()
@click.option("--videos", default=150_000, show_default=True)
@click.option("--music", default=3_003, show_default=True)
@click.option("--visual-dim", default=2_048, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the data are kept; by default nowhere.")
@click.option("--row", nargs=2, help="Measure in this process: DATA PRIOR.")
def main(videos: int, music: int, visual_dim: int, threads: int, folder: Path | None, row: tuple[str, str] | None):
    """Print a line for each kind of preference."""
    if row:
        print(json.dumps(measure_here(Path(row[0]), row[1])))
        return
    with tempfile.TemporaryDirectory() as scratch:
        data = written((folder or Path(scratch)).resolve(), videos, music, visual_dim)
        size = 4 * videos * visual_dim
        rows = {words: measure(data, prior, threads) for prior, words in PREFERENCES.items()}
    load = os.getloadavg()[0]
    print(f"{videos:,} videos x {visual_dim}, {music:,} tracks, {threads} threads, load {load:.1f}")
    lines = [
        [words, f"{one['seconds']:.0f}", f"{one['busy']:.0f}", f"{one['peak'] / 1e6:,.0f}", f"{one['peak'] / size:.2f}"]
        for words, one in rows.items()
    ]
    heads = ["preference", "seconds", "of processors", "peak MB", "/ features"]
    print(tabulate(lines, heads, "github", disable_numparse=True))
    for words, one in rows.items() if size > 1e9 else ():
        assert load > (os.cpu_count() or 1) or one["seconds"] < SECONDS, f"{words}: more than {SECONDS} s"
        assert one["peak"] < TIMES_FEATURES * size, f"{words}: more than {TIMES_FEATURES} times the features"


if __name__ == "__main__":
    main()
