"""The demonstration over seeds: how near DecCMPlus comes, from bytes, to what can be reached, and to CMVAE.

    python benchmarks/demo.py [--seeds 1,2,3] [--out build/demo] [--videos 2000] [--music 150]

Each seed is a simulation of its own: files, features, models. What is done in --out is not done again, so the command
goes on where it was stopped, and several can share the work by their --seeds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from tabulate import tabulate

from recbole_decm.cli.demo import MODELS, Demo
from recbole_decm.cli.options import seeds_option
from recbole_decm.io.write import write_text
from recbole_decm.metrics.paired import seeds_interval


def measure(demo: Demo, arguments: list[str]) -> dict[str, Any]:
    """The figures of both models, from the notes of an earlier run where there are any."""
    note = demo.out / "figures" / f"{demo.name}.json"
    if not note.is_file():
        demo.prepare(workers=None)
        found = {model: demo.figures(demo.trained(model, arguments)) for model in MODELS}
        write_text(note, json.dumps({**found, "true share": demo.true_share()}, indent=2) + "\n")
    return json.loads(note.read_text(encoding="utf-8"))


def report(rows: dict[int, dict[str, Any]]) -> str:
    """The table over seeds, and what it says in three lines."""
    ours, other = MODELS
    headers = ["seed", *(f"{model} do-recall@10" for model in MODELS), f"{ours} of the ceiling"]
    headers += [f"{name} share" for name in (*MODELS, "true")]
    cells = []
    for seed, row in rows.items():
        recalls = [row[ours]["recall"], row[other]["recall"], row[ours]["of_ceiling"]]
        cells.append([seed, *recalls, row[ours]["share"], row[other]["share"], row["true share"]])
    gains = np.array([row[ours]["recall"] - row[other]["recall"] for row in rows.values()])
    ceiling = np.mean([row[ours]["of_ceiling"] for row in rows.values()])
    off = {model: np.mean([abs(row[model]["share"] - row["true share"]) for row in rows.values()]) for model in MODELS}
    lines = [f"{ours} reaches {ceiling:.1%} of the ceiling's true do-recall@10, mean over {len(rows)} seeds."]
    if len(rows) > 1:
        low, high = seeds_interval(gains)
        lines.append(f"{ours} less {other}: {gains.mean():+.3f}, 95 % interval {low:+.3f} to {high:+.3f}, over seeds.")
    lines.append(
        f"Share of the largest genre, distance to the truth: {off[ours]:.3f} ({ours}), {off[other]:.3f} ({other})."
    )
    return "\n".join(["", tabulate(cells, headers, floatfmt=("d", *[".3f"] * 6)), "", *lines])


@click.command()
@seeds_option
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="build/demo", show_default=True)
@click.option("--videos", type=int, default=2000, show_default=True)
@click.option("--music", type=int, default=150, show_default=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(seeds: list[int], out: Path, videos: int, music: int, arguments: tuple[str, ...]) -> None:
    """Print the table of all seeds."""
    rows = {seed: measure(Demo(out, videos, music, seed), list(arguments)) for seed in seeds}
    click.echo(report(rows))


if __name__ == "__main__":
    main()
