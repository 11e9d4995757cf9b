"""Loading, time of an epoch and peak memory as the number of videos and the batch size grow. Every row is measured in a
process of its own, since a peak of memory cannot be taken back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import torch
from speed import ACOUSTIC, VISUAL, config_for, write_data
from tabulate import tabulate
from tqdm import tqdm

from recbole_decm.experiments.cell import peak_memory
from recbole_decm.training import teacher
from recbole_decm.training.run import build, find_or_train_teacher, load, timed
from recbole_decm.training.trainers import trainer_class

MUSIC, PGC = 3_003, 2_000
VIDEOS = (15_000, 50_000, 150_000)
BATCHES = (256, 1_024, 4_096)
RESIDENCIES = ("auto", "host", "disk")


def read_raw(folder: Path) -> float:
    """Seconds to read the bytes of a data set's files, and nothing else."""
    start = time.perf_counter()
    for path in folder.iterdir():
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass
    return time.perf_counter() - start


def measure_here(folder: Path, name: str, batch: int, residency: str) -> dict[str, float]:
    """Load a data set, attach its teacher, train an epoch; what that takes of time and memory."""
    before = _peak()
    raw = read_raw(folder / name)
    values = {"train_batch_size": batch, "feature_residency": residency, "teacher_config": {"epochs": 1}}
    config, taken = config_for("DecCM", name, folder, **values), {}
    with timed(taken, "load"):
        splits = load(config)
    model, _ = build(config, splits)
    train = splits.train
    teacher.attach(model, config, find_or_train_teacher(config))
    trainer = trainer_class(config)(config, model)
    trainer._train_data = train
    seconds = []
    for epoch in range(2):
        start = time.perf_counter()
        trainer._train_epoch(train, epoch)
        seconds.append(time.perf_counter() - start)
    size = sum((folder / name / file).stat().st_size for file in config["feature_files"].values())
    return {
        "raw_seconds": raw,
        "load_seconds": taken["load"],
        "epoch_seconds": min(seconds),
        "pairs": len(train.dataset),
        "feature_bytes": size,
        "start_bytes": before,
        "peak_bytes": _peak(),
    }


def _peak() -> int:
    return int(peak_memory() * 2**20)


def measure(folder: Path, name: str, batch: int, residency: str, threads: int) -> dict[str, float]:
    """:func:`measure_here` in a process of its own."""
    arguments = [str(folder), name, str(batch), residency, str(threads)]
    done = subprocess.run([sys.executable, __file__, "--row", *arguments], capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise click.ClickException(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def rows(videos: list[int], batches: list[int], threads: int, residencies: Sequence[str] = RESIDENCIES) -> list[dict]:
    """A row for each number of videos and each place of the vectors (batch 1,024), and for each batch size."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cells = [(count, 1_024, residency) for count in videos for residency in residencies]
        cells += [(videos[0], batch, residencies[0]) for batch in batches if batch != 1_024]
        for count, batch, residency in tqdm(cells, unit="row", desc="growth", disable=None):
            name = f"v{count}"
            if not (folder / name).is_dir():
                write_data(folder, name, count, MUSIC, text=False)
                write_data(folder, f"{name}-pgc", PGC, MUSIC, text=False, prefix="p")
            row = measure(folder, name, batch, residency, threads)
            found.append({"videos": count, "batch": batch, "residency": residency, **row})
    return found


def table(found: list[dict]) -> str:
    """Rows as text: seconds, ratios and megabytes."""
    lines = [
        [
            f"{row['videos']:,}",
            row["batch"],
            row["residency"],
            f"{row['load_seconds']:.1f}",
            f"{row['load_seconds'] / row['raw_seconds']:.1f}",
            f"{row['epoch_seconds']:.1f}",
            f"{1e6 * row['epoch_seconds'] / row['pairs']:.0f}",
            f"{row['peak_bytes'] / 1e6:,.0f}",
            f"{row['peak_bytes'] / row['feature_bytes']:.2f}",
        ]
        for row in found
    ]
    heads = ["videos", "batch", "vectors", "load s", "/ raw read", "epoch s", "us a pair", "peak MB", "/ features"]
    return tabulate(lines, headers=heads, disable_numparse=True)


def _numbers(_ctx, _param, value: str) -> list[int]:
    return [int(part) for part in value.split(",")]


@click.command()
@click.option("--videos", default=",".join(map(str, VIDEOS)), show_default=True, callback=_numbers)
@click.option("--batches", default=",".join(map(str, BATCHES)), show_default=True, callback=_numbers)
@click.option("--threads", default=os.cpu_count(), show_default=True, help="Threads of torch.")
@click.option("--row", nargs=5, help="Measure one row in this process: DIR NAME BATCH RESIDENCY THREADS.")
def main(videos: list[int], batches: list[int], threads: int, row: tuple[str, ...] | None) -> None:
    """Growth of loading, time and memory with videos and batch size."""
    if row:
        torch.set_num_threads(int(row[4]))
        print(json.dumps(measure_here(Path(row[0]), row[1], int(row[2]), row[3])))
        return
    print(f"DecCM with teacher, {VISUAL} + {ACOUSTIC} dimensions in float32, {MUSIC} music, {threads} threads")
    print(table(rows(videos, batches, threads)))


if __name__ == "__main__":
    main()
