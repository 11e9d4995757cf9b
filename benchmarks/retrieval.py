"""Top-k music over catalogues of growing size: exact by blocks, and with faiss indexes (time, memory, recall).

The vectors are those of a DecCM with its defaults, trained on a small simulation and applied to a catalogue drawn from
the same causal model; ``--vectors gaussian`` draws isotropic unit vectors instead, in which no direction is more likely
than another: the hardest case for an index, and nothing a model makes.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import psutil
import torch
from tabulate import tabulate
from tqdm import tqdm

from recbole_decm.config.config import DecCMConfig
from recbole_decm.serving import index as indexes
from recbole_decm.serving.search import MUSIC_BLOCK, top_k
from recbole_decm.simulation.causal import SimulationConfig, World, draw_catalogue, features, simulate
from recbole_decm.simulation.files import write_simulation
from recbole_decm.training.run import fit

SIZES = (10_000, 100_000, 1_000_000)
K = 10
_INDEX_QUERIES = 400


class PeakMemory:
    """Bytes of resident memory at the peak, beyond what there was at the start; looked at every few milliseconds."""

    def __enter__(self):
        self._process, self._done = psutil.Process(), threading.Event()
        self._start = self.peak = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self):
        while not self._done.wait(0.005):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        self.bytes = max(self.peak, self._process.memory_info().rss) - self._start


def trained_model(videos: int = 5_000, epochs: int = 10):
    """(DecCM with its defaults but no teacher, trained on a simulation; the simulation)."""
    simulation = simulate(SimulationConfig(videos=videos, uploaders=videos // 5, pgc_videos=100))
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # RecBole writes its logs to the current folder
        try:
            write_simulation(simulation, Path(folder), "small")
            values = {"data_path": folder, "epochs": epochs, "teacher": "none"}
            values |= {"state": "ERROR", "show_progress": False}
            return fit(DecCMConfig("DecCM", "small", config_dict=values), saved=False).model.eval(), simulation
        finally:
            os.chdir(here)


@torch.no_grad()
def model_vectors(model, simulation, count: int, videos: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(videos, D) queries and (count, D) music vectors of new draws from a simulation's world."""
    config, world, rng = simulation.config, simulation.world, np.random.default_rng(1)
    latent = rng.normal(size=(videos, config.latent_dim)).astype(np.float32)
    seen = np.concatenate(list(features(latent, world.visual_projection, config.visual_noise, rng)))
    queries = model.query_vectors(torch.from_numpy(seen))
    return queries, _music(model, config, world, count, rng)


def _music(model, config: SimulationConfig, world: World, count: int, rng: np.random.Generator) -> torch.Tensor:
    catalogue = draw_catalogue(config, world, count, rng)
    music, start = torch.empty(count, model.music_vectors().shape[1]), 0
    for heard in features(catalogue.latent, world.acoustic_projection, config.acoustic_noise, rng):
        latent = model.encode("acoustic", torch.from_numpy(heard)).mean
        music[start : start + len(heard)] = model.adjustment.key(latent, torch.arange(start, start + len(heard)))
        start += len(heard)
    return music


def gaussian_vectors(count: int, videos: int, dim: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """(videos, D) and (count, D) isotropic unit vectors."""
    generator = torch.Generator().manual_seed(1)
    drawn = (torch.randn(rows, dim, generator=generator) for rows in (videos, count))
    queries, music = (torch.nn.functional.normalize(values, dim=1) for values in drawn)
    return queries, music


def plain_top_k(videos: torch.Tensor, music: torch.Tensor, k: int) -> torch.Tensor:
    """What :func:`top_k` is compared with: every block through torch's topk, then the merged lists once more."""
    scores, indices = videos.new_empty(len(videos), 0), torch.empty(len(videos), 0, dtype=torch.int64)
    for start in range(0, len(music), MUSIC_BLOCK):
        best = (videos @ music[start : start + MUSIC_BLOCK].T).topk(min(k, len(music) - start), dim=1)
        scores, place = torch.cat([scores, best.values], 1).topk(k, dim=1)
        indices = torch.cat([indices, best.indices + start], 1).gather(1, place)
    return indices


@contextmanager
def _timed(row: dict, name: str):
    start = time.perf_counter()
    yield
    row[name] = time.perf_counter() - start


def measure_exact(queries: torch.Tensor, music: torch.Tensor) -> dict:
    """Seconds and peak memory of exact search, and the seconds that torch's topk takes."""
    row = {"music": len(music), "dim": music.shape[1], "videos": len(queries), "search": "exact"}
    with PeakMemory() as memory, _timed(row, "seconds"):
        top_k(queries, music, K)
    row |= {"peak_bytes": memory.bytes, "ms_per_query": 1e3 * row["seconds"] / len(queries), "recall": 1.0}
    with _timed(row, "torch_topk_seconds"):
        plain_top_k(queries, music, K)
    return row


def measure_index(queries: torch.Tensor, music: torch.Tensor, options: indexes.IndexOptions, target: float) -> dict:
    """Build time, peak memory, recall, and milliseconds a query: one at a time, one thread."""
    row = {"music": len(music), "dim": music.shape[1], "search": options.kind}
    with PeakMemory() as memory, _timed(row, "build_seconds"):
        index = indexes.build_index(music.split(MUSIC_BLOCK), *music.shape, options)
    queries = queries[:_INDEX_QUERIES]
    exact, asked = top_k(queries, music, K)[1].numpy(), queries.numpy()
    indexes.calibrate(index, asked[::2], exact[::2], target)
    library, threads = indexes.faiss(), indexes.faiss().omp_get_max_threads()
    library.omp_set_num_threads(1)
    found = []
    with _timed(row, "seconds"):
        for query in asked[1::2]:
            found.append(index.search(query[None], K)[1])
    library.omp_set_num_threads(threads)
    row |= {"peak_bytes": memory.bytes, "ms_per_query": 1e3 * row["seconds"] / len(found), "videos": len(found)}
    return row | {"recall": indexes.recall(np.concatenate(found), exact[1::2]), "effort": index.effort}


def measure(
    sizes: Sequence[int] = SIZES,
    videos: int = 1_000,
    kinds: Sequence[str] = (),
    vectors: str = "model",
    target: float = 0.95,
    on_step: Callable[[str], object] = lambda step: None,
) -> list[dict]:
    """Measure exact search, and the indexes ``kinds``, over catalogues of some sizes.

    Args:
        vectors: ``model`` or ``gaussian``.
        target: recall that an index's effort is chosen for.
        on_step: told what is about to be measured.

    Returns:
        One row for each size and way of searching: ``music, search, seconds, ms_per_query, peak_bytes, recall``, and
        ``torch_topk_seconds`` or ``build_seconds`` and ``effort``.
    """
    rows = []
    on_step("model")
    made = trained_model() if vectors == "model" else None
    for size in sizes:
        queries, music = model_vectors(*made, size, videos) if made else gaussian_vectors(size, videos)
        on_step(f"exact, {size:,}")
        top_k(queries[:8], music[:1_000], K)  # the first product starts the threads
        rows.append(measure_exact(queries, music))
        for kind in kinds:
            on_step(f"{kind}, {size:,}")
            rows.append(measure_index(queries, music, indexes.IndexOptions(kind), target))
    return [{**row, "vectors": vectors} for row in rows]


def _line(row: dict) -> list[str]:
    extra = [f"{row[key]:.1f}" if key in row else "" for key in ("torch_topk_seconds", "build_seconds")]
    costs = [
        f"{row['seconds']:.2f}",
        f"{row['ms_per_query']:.3f}",
        extra[0],
        extra[1],
        f"{row['peak_bytes'] / 1e6:.0f}",
    ]
    return [f"{row['music']:,}", row["search"], *costs, f"{row['recall']:.4f}", str(row.get("effort", ""))]


def table(rows: list[dict]) -> str:
    """Rows of :func:`measure` as text."""
    heads = ["music", "search", "seconds", "ms/query", "torch.topk s", "build s", "peak MB", "recall@10", "effort"]
    return tabulate([_line(row) for row in rows], headers=heads, disable_numparse=True)


@click.command()
@click.option("--sizes", default=",".join(map(str, SIZES)), show_default=True, help="Music, comma-separated.")
@click.option("--videos", default=1_000, show_default=True, help="Queries of exact search.")
@click.option("--index", "kinds", default="", help="Indexes to measure, too: flat, hnsw, ivf, comma-separated.")
@click.option("--vectors", default="model", show_default=True, type=click.Choice(["model", "gaussian"]))
@click.option("--recall", default=0.95, show_default=True, help="Recall an index is to reach.")
@click.option("--threads", default=os.cpu_count(), show_default=True, help="Threads of exact search and of building.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures to this file.")
def main(sizes: str, videos: int, kinds: str, vectors: str, recall: float, threads: int, out: Path | None) -> None:
    """Time, memory and recall of top-10 search over growing catalogues."""
    torch.set_num_threads(threads)
    wanted = [kind for kind in kinds.split(",") if kind]
    if wanted:
        indexes.faiss().omp_set_num_threads(threads)
    load = os.getloadavg()[0]
    with tqdm(total=1 + len(sizes.split(",")) * (1 + len(wanted))) as bar:

        def on_step(step: str) -> None:
            bar.set_description(step)
            bar.update()

        rows = measure([int(size) for size in sizes.split(",")], videos, wanted, vectors, recall, on_step)
    print(f"{rows[0]['dim']} dimensions, vectors: {vectors}, {threads} threads, load {load:.1f} before the start")
    print(table(rows))
    if out:
        out.write_text(json.dumps({"threads": threads, "load": load, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
