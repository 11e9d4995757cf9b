"""Stores of a changing catalogue, side by side: publish, start, change, search, memory and disk.

    python benchmarks/store.py --tracks 100000

The catalogue is drawn: 128 features, 64 dimensions, a list of genres, a duration and a title each. SQLite, and
PostgreSQL where ``pgserver`` brings one, hold it with the live catalogue in memory before them. Beside them stand
Parquet files that are written anew, or beside the old ones, at each change, and LanceDB where it is installed, which
search on their own.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import psutil
from tabulate import tabulate

from recbole_decm.serving.store import Live, open_store

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
WIDTH, DIM, K = 128, 64, 10
GENRES = [f"g{at}" for at in range(20)]
FILTER = "genre in ['g1', 'g2'] and duration < 120"


class Drawn:
    """An artefact of drawn tracks, whose track side is one matrix: what encoders cost is not the store's."""

    def __init__(self, count: int, name: str = "drawn"):
        draw = np.random.default_rng(1)
        self.weights = draw.standard_normal((WIDTH, DIM), dtype=np.float32) / WIDTH**0.5
        self.manifest, self.dim = SimpleNamespace(id=name, track_fields={"acoustic": WIDTH}, features=None), DIM
        self.tracks = drawn([f"track-{at}" for at in range(count)], 2)
        self.vectors = self.track_vectors(self.tracks.features, None)

    def track_vectors(self, features, genres):
        return features["acoustic"] @ self.weights

    def encoder_files(self):
        return {"name.json": json.dumps(self.manifest.id).encode()}


def drawn(ids, seed: int):
    """Tracks with features and metadata."""
    draw = np.random.default_rng(seed)
    features = {"acoustic": draw.standard_normal((len(ids), WIDTH), dtype=np.float32)}
    genres = [[GENRES[at] for at in pair] for pair in draw.integers(len(GENRES), size=(len(ids), 2)).tolist()]
    lengths = draw.integers(10, 300, len(ids)).tolist()
    metadata = [
        {"genre": genre, "duration": length, "title": f"title {name}"}
        for name, genre, length in zip(ids, genres, lengths, strict=True)
    ]
    return SimpleNamespace(ids=np.array(ids, object), features=features, metadata=metadata)


def opener(store, version):
    return Drawn(0, version)


def seconds(work: Callable[[], object], times: int) -> str:
    """The median and the 99th percentile of some calls, in milliseconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(1e3 * (time.perf_counter() - start))
    return f"{np.median(taken):.2f} / {np.percentile(taken, 99):.2f}"


def size_of(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def measure_live(url: str, artefact: Drawn, place: Path | None, hnsw: bool) -> dict[str, str]:
    """A store with the live catalogue before it."""
    found: dict[str, str] = {}
    count, draw = len(artefact.tracks.ids), np.random.default_rng(3)
    store = open_store(url)
    start = time.perf_counter()
    store.publish(artefact)
    found["publish, s"] = f"{time.perf_counter() - start:.1f}"
    store.close()
    found["disk, MB"] = f"{size_of(place) / 1e6:.0f}" if place else ""
    started = json.loads(
        subprocess.run(
            [sys.executable, __file__, "--start", url], check=True, capture_output=True, text=True
        ).stdout.splitlines()[-1]
    )
    found["start, s (of them busy)"] = f"{started['seconds']:.2f} ({started['busy']:.2f})"
    found["memory beyond an empty one's, x vectors"] = f"{started['bytes'] / (4 * DIM * count):.2f}"
    live = Live(open_store(url), opener)
    number = iter(range(10**9))
    one = drawn(["one"], 4)
    names = [f"track-{at}" for at in draw.integers(count, size=1000)]
    found["put one, ms"] = seconds(lambda: live.put(drawn([names[next(number) % 1000]], 5)), 200)
    hundred = drawn(list(dict.fromkeys(names))[:100], 6)
    found["put 100, ms"] = seconds(lambda: live.put(hundred), 20)
    found["delete and put again, ms"] = seconds(lambda: (live.delete(["one"]), live.put(one)), 50)
    queries = draw.standard_normal((16, DIM), dtype=np.float32)
    found["search, ms"] = seconds(lambda: live.search(queries[:1], K), 300)
    found["16 searches at once, ms"] = seconds(lambda: live.search(queries, K), 50)
    found["with a filter, ms"] = seconds(lambda: live.search(queries[:1], K, FILTER), 100)
    found["after a change, with a filter, ms"] = seconds(
        lambda: (live.view().table.now.masks.clear(), live.search(queries[:1], K, FILTER)), 100
    )
    if url.startswith("postgresql"):
        measure_database(live, queries, found, hnsw)
    live.close()
    return found


def measure_database(live: Live, queries: np.ndarray, found: dict[str, str], hnsw: bool) -> None:
    """Search inside PostgreSQL, and what its index finds."""
    store, version = live.store, live.version
    found["search in the database, ms"] = seconds(lambda: store.search(version, queries[:1], K), 10)
    found["the same with a filter, ms"] = seconds(lambda: store.search(version, queries[:1], K, FILTER), 10)
    if not hnsw:
        return
    start = time.perf_counter()
    store.index(version, DIM)
    found["index, s"] = f"{time.perf_counter() - start:.0f}"
    for name, where in (("with its index", None), ("with its index and a filter", FILTER)):
        pairs = zip(store.search(version, queries, K, where), live.search(queries, K, where), strict=True)
        recall = np.mean([len({*one.ids} & {*other.ids}) / K for one, other in pairs])
        taken = seconds(lambda where=where: store.search(version, queries[:1], K, where), 100)
        found[f"search {name}, ms (recall)"] = f"{taken} ({recall:.3f})"


def started(url: str) -> None:
    """Print what a process that starts over a store takes; a process of its own, so that it starts empty."""
    with tempfile.TemporaryDirectory() as place:  # what an empty server takes is taken before
        empty = open_store(f"sqlite:///{place}/empty.db")
        empty.publish(Drawn(0))
        live = Live(empty, opener)
        live.put(drawn(["one"], 1))
        live.search(np.ones((1, DIM), np.float32), K, FILTER)
        live.close()
    if url.startswith("postgresql"):
        open_store(url).close()
    process = psutil.Process()
    gc.collect()
    before, start, busy = process.memory_info().rss, time.perf_counter(), time.process_time()
    live = Live(open_store(url), opener)
    live.search(np.ones((1, DIM), np.float32), K)
    taken, busy = time.perf_counter() - start, time.process_time() - busy
    gc.collect()
    print(json.dumps({"seconds": taken, "busy": busy, "bytes": process.memory_info().rss - before}))
    live.close()


def measure_parquet(artefact: Drawn, place: Path) -> dict[str, str]:
    """Parquet files: all written anew at each change, and a part beside the others at each change."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def table(tracks, vectors):
        values = {"id": list(tracks.ids), "features": list(tracks.features["acoustic"]), "vector": list(vectors)}
        return pa.table({**values, "metadata": [json.dumps(record) for record in tracks.metadata]})

    def write(part, name):
        with (place / name).open("wb") as file:
            pq.write_table(part, file)
            file.flush()
            os.fsync(file.fileno())

    whole, one = table(artefact.tracks, artefact.vectors), drawn(["one"], 4)
    start = time.perf_counter()
    write(whole, "all.parquet")
    found = {"publish, s": f"{time.perf_counter() - start:.1f}", "disk, MB": f"{size_of(place) / 1e6:.0f}"}
    found["put one, ms"] = seconds(lambda: write(whole, "all.parquet"), 3)
    number = iter(range(10**9))
    part = table(one, artefact.track_vectors(one.features, None))
    found["put one as a file, ms"] = seconds(lambda: write(part, f"{next(number)}.parquet"), 200)
    start = time.perf_counter()
    for path in place.glob("*.parquet"):
        pq.read_table(path)
    found["start, s (of them busy)"] = f"{time.perf_counter() - start:.2f} after 200 such"
    return found


def measure_lance(artefact: Drawn, place: Path) -> dict[str, str]:
    """LanceDB, which searches its own files."""
    import lancedb

    def rows(tracks, vectors):
        columns = zip(tracks.ids, vectors, tracks.features["acoustic"], tracks.metadata, strict=True)
        return [{"id": i, "vector": v, "features": f, **m} for i, v, f, m in columns]

    start = time.perf_counter()
    table = lancedb.connect(place).create_table("tracks", rows(artefact.tracks, artefact.vectors))
    found = {"publish, s": f"{time.perf_counter() - start:.1f}", "disk, MB": f"{size_of(place) / 1e6:.0f}"}
    one = drawn(["one"], 4)
    row = rows(one, artefact.track_vectors(one.features, None))
    put = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    found["put one, ms"] = seconds(lambda: put.execute(row), 30)
    query = np.random.default_rng(3).standard_normal(DIM, dtype=np.float32)
    found["search, ms"] = seconds(lambda: table.search(query).metric("dot").limit(K).to_list(), 30)
    where = "array_has_any(genre, ['g1', 'g2']) AND duration < 120"
    filtered = lambda: table.search(query).metric("dot").where(where, prefilter=True).limit(K).to_list()  # noqa: E731
    found["with a filter, ms"] = seconds(filtered, 20)
    return found


@click.command()
@click.option("--tracks", default=100_000, show_default=True)
@click.option("--skip", multiple=True, type=click.Choice(["sqlite", "postgres", "parquet", "lancedb"]))
@click.option("--hnsw", is_flag=True, help="Build pgvector's index, too.")
@click.option("--start", hidden=True)
def main(tracks: int, skip: tuple[str, ...], hnsw: bool, start: str | None) -> None:
    """Print one table of all stores."""
    if start:
        started(start)
        return
    artefact, found = Drawn(tracks), {}
    with tempfile.TemporaryDirectory(prefix="store-bench-") as folder:
        place = Path(folder)
        if "sqlite" not in skip:
            (place / "sqlite").mkdir()
            found["SQLite + memory"] = measure_live(f"sqlite:///{place}/sqlite/a.db", artefact, place / "sqlite", hnsw)
        if "postgres" not in skip and importlib.util.find_spec("pgserver"):
            from helpers.postgres import Postgres

            server = Postgres(fsync=True)
            try:
                found["PostgreSQL + memory"] = measure_live(server.new_schema("bench"), artefact, None, hnsw)
            finally:
                server.close()
        for name, title, work in (
            ("parquet", "Parquet", measure_parquet), ("lancedb", "LanceDB", measure_lance)
        ):  # fmt: skip
            if name not in skip and importlib.util.find_spec(name.replace("parquet", "pyarrow")):
                (place / name).mkdir()
                found[title] = work(artefact, place / name)
                shutil.rmtree(place / name)
    names = list(dict.fromkeys(key for column in found.values() for key in column))
    print(f"{tracks} tracks, {WIDTH} features, {DIM} dimensions; of calls: median / 99th percentile")
    print(
        tabulate(
            [[name, *(column.get(name, "") for column in found.values())] for name in names], ["", *found], "github"
        )
    )


if __name__ == "__main__":
    main()
