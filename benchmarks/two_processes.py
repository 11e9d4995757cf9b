"""What several processes cost: pairs per second of one process with N threads against N processes with one thread.

The processes alternate, a round each, so that a machine that is busy for a while slows both. Features have the paper's
sizes; the model is DecCM with its defaults, without a teacher, whose frozen posteriors cost either way the same.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import torch
import torch.distributed as dist
from speed import ACOUSTIC, BATCH, VISUAL, config_for, write_data
from tabulate import tabulate

from recbole_decm.parallel.launch import in_processes
from recbole_decm.parallel.processes import Processes
from recbole_decm.training.run import build
from recbole_decm.training.trainers import trainer_class


def trained_pairs(folder: Path, threads: int, epochs: int, **values) -> dict:
    """Pairs per second of the epochs after the first, and the seconds a step takes."""
    torch.set_num_threads(threads)
    config = config_for("DecCM", "paper", folder, teacher="none", **values)
    model, splits = build(config)
    train, test = splits.train, splits.test
    trainer = trainer_class(config)(config, model)
    trainer.eval_collector.data_collect(train)
    seconds, pairs = [], train.pairs.shape[1]
    for epoch in range(epochs + 1):
        start = time.perf_counter()
        trainer._train_epoch(train, epoch)
        seconds.append(time.perf_counter() - start)
    best = min(seconds[1:])
    start = time.perf_counter()
    trainer.evaluate(test, load_best_model=False)
    return {
        "pairs_per_second": pairs / best,
        "ms_per_step": 1e3 * best / len(train),
        "test": time.perf_counter() - start,
    }


def as_one_of_several(local_rank: int, folder: Path, epochs: int) -> dict:
    """The same in one of several processes, with the time its collectives take alone."""
    found = trained_pairs(folder, 1, epochs, local_rank=local_rank)
    rows, latent = BATCH // dist.get_world_size(), 128
    sizes = {"moments of the visual features": 2 * VISUAL + 1, "latent vectors": rows * 2 * latent}
    sizes["gradients"] = 3 * latent * (VISUAL + ACOUSTIC)
    for name, size in sizes.items():
        values = torch.zeros(size)
        times = []
        for _ in range(20):
            dist.barrier()
            start = time.perf_counter()
            dist.all_reduce(values)
            times.append(time.perf_counter() - start)
        found[f"{name} ({size * 4 / 1e6:.1f} MB), ms"] = 1e3 * float(np.median(times))
    return found


@click.command()
@click.option("--videos", default=20_000, show_default=True)
@click.option("--processes", default=2, show_default=True)
@click.option("--epochs", default=2, show_default=True, help="Epochs a round, of which the fastest counts.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rounds here.")
def main(videos: int, processes: int, epochs: int, rounds: int, json_path: Path | None) -> None:
    """One process with N threads against N processes with one thread."""
    found: dict[str, list[dict]] = {"one process": [], f"{processes} processes": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        write_data(folder, "paper", videos, 1000, text=False)
        for _ in range(rounds):
            found["one process"].append(trained_pairs(folder, processes, epochs))
            split = Processes(processes, processes)
            found[f"{processes} processes"].append(in_processes(as_one_of_several, (folder, epochs), split))
    best = {label: max(runs, key=lambda run: run["pairs_per_second"]) for label, runs in found.items()}
    click.echo("The fastest round of each:")
    click.echo(tabulate([{"": label} | run for label, run in best.items()], headers="keys", floatfmt=".3g"))
    one, many = ([run["pairs_per_second"] for run in runs] for runs in found.values())
    ratios = ", ".join(f"{ours / alone:.2f}" for ours, alone in zip(many, one, strict=True))
    click.echo(f"ratio of pairs per second: {max(many) / max(one):.2f} of the fastest; by round {ratios}")
    if json_path:
        json_path.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
