"""All speed measurements in one run: ratios to RecBole's DSSM and to the arithmetic floor, growth with videos and batch
size, top-k over growing catalogues. ``make bench`` runs it; figures go to a JSON file and a plot.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from statistics import median

import click
import growth
import matplotlib
import numpy as np
import retrieval
import speed
import torch

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def plot(found: dict, path: Path) -> None:
    """Four panels: ratios, epoch time and memory by videos, exact top-k by catalogue."""
    figure, ((ratios, epochs), (memory, search)) = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    rates = found["speed"]["rates"]
    others = [name for name in rates if name != speed.OURS]
    places = np.arange(len(others))
    for shift, key, label in ((-0.2, "pairs_per_second", "training"), (0.2, "videos_per_second", "evaluation")):
        values = [median(speed.times_faster(rates, name, key)) for name in others]
        bars = ratios.bar(places + shift, values, 0.4, label=label)
        ratios.bar_label(bars, [f"{value:.1f}" for value in values])
    ratios.set(yscale="log", ylabel="times as fast", title="DecCM against RecBole's DSSM")
    ratios.set_xticks(places, [name.replace(", 1 + 100", "").replace(", ", ",\n") for name in others])
    ratios.legend()
    rows = [row for row in found["growth"] if row["batch"] == 1_024]
    for residency in ("auto", "host", "disk"):
        line = [row for row in rows if row["residency"] == residency]
        videos = [row["videos"] for row in line]
        epochs.plot(videos, [row["epoch_seconds"] for row in line], marker="o", label=residency)
        memory.plot(videos, [row["peak_bytes"] / 1e9 for row in line], marker="o", label=residency)
    features = [row for row in rows if row["residency"] == "auto"]
    memory.plot(
        [row["videos"] for row in features], [row["feature_bytes"] / 1e9 for row in features], "k:", label="features"
    )
    epochs.set(xlabel="videos", ylabel="seconds", title="An epoch of training", xlim=(0, None), ylim=(0, None))
    memory.set(xlabel="videos", ylabel="GB", title="Peak memory of training", xlim=(0, None), ylim=(0, None))
    epochs.legend(title="feature_residency")
    memory.legend(title="feature_residency")
    exact = [row for row in found["retrieval"] if row["search"] == "exact"]
    search.plot([row["music"] for row in exact], [row["seconds"] for row in exact], marker="o")
    search.set(xscale="log", yscale="log", xlabel="music", ylabel="seconds", title="Exact top-10 for 1,000 videos")
    for axes in (ratios, epochs, memory, search):
        axes.grid(alpha=0.3)
    figure.savefig(path)


@click.command()
@click.option("--threads", default=os.cpu_count(), show_default=True, help="Threads of torch.")
@click.option("--index", "kinds", default="", help="Indexes to measure, too: flat, hnsw, ivf, comma-separated.")
@click.option("--out", default="bench.json", show_default=True, type=click.Path(path_type=Path), help="Figures.")
@click.option("--plot", "picture", default="bench.svg", show_default=True, type=click.Path(path_type=Path))
def main(threads: int, kinds: str, out: Path, picture: Path) -> None:
    """Speed, growth and retrieval in one run."""
    print(f"{platform.processor() or platform.machine()}, {threads} threads, torch {torch.__version__}\n")
    found: dict = {"threads": threads, "torch": torch.__version__}
    print(f"{speed.VISUAL} + {speed.ACOUSTIC} dimensions, batch {speed.BATCH}, {speed.VIDEOS} videos, 3003 music")
    found["speed"] = speed.measure(speed.VIDEOS, 3_003, speed.ROUNDS, threads)
    print(speed.report(found["speed"]) + "\n")
    found["growth"] = growth.rows(list(growth.VIDEOS), list(growth.BATCHES), threads)
    print(growth.table(found["growth"]) + "\n")
    indexes = [kind for kind in kinds.split(",") if kind]
    found["retrieval"] = retrieval.measure(retrieval.SIZES, 1_000, indexes)
    print(retrieval.table(found["retrieval"]))
    out.write_text(json.dumps(found, indent=2) + "\n")
    plot(found, picture)
    print(f"\nWrote {out} and {picture}")


if __name__ == "__main__":
    main()
