"""Import a generated data set of the paper's size in the released layout, and measure time and memory.

    python benchmarks/import_released.py [--videos 150000] [--dir FOLDER] [--keep]

The data set is written in blocks into a temporary folder, imported by ``recbole-decm import-released`` in a process of
its own, and deleted. Memory is the peak of that process: anonymous memory, which is what the import holds beyond the
mapped feature files, and the whole resident set.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

MUSIC, GROUPS, NEGATIVES = 3_003, 6, 100
BLOCK_ROWS = 8_192


def write_matrix(path: Path, rows: int, columns: int, rng: np.random.Generator) -> None:
    """A float32 matrix, block by block; rows repeat the first block with a shift, which is enough for an import."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = rng.standard_normal((min(rows, BLOCK_ROWS), columns), dtype=np.float32)
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(block.dtype), "fortran_order": False, "shape": (rows, columns)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, rows, BLOCK_ROWS):
            (block[: rows - start] + np.float32(start / rows)).tofile(file)


def write_layout(folder: Path, videos: int, dim: int, music: int = MUSIC, seed: int = 0) -> tuple[Path, Path]:
    """Write ``data_matching`` (80/10/10 split, 100 negatives a row, object arrays) and a ``data_pgc`` of a tenth."""
    rng = np.random.default_rng(seed)
    ugc, pgc = folder / "data_matching", folder / "data_pgc"
    write_matrix(ugc / "visual_features_resnet_V.npy", videos, dim, rng)
    write_matrix(ugc / "music_features.npy", music, 128, rng)
    write_matrix(ugc / "new_music_smile_features_norm.npy", music, 128, rng)
    choice, genre = rng.integers(music, size=videos), rng.integers(GROUPS, size=music)
    prior = rng.dirichlet(np.ones(GROUPS), size=videos)
    cuts = [0, videos * 8 // 10, videos * 9 // 10, videos]
    train = np.empty((cuts[1], 5), dtype=object)
    for row in range(cuts[1]):
        tune = int(choice[row])
        train[row] = (row, tune, f"[{genre[tune]}]", prior[row].tolist(), 1.0)
    np.save(ugc / "train.npy", train, allow_pickle=True)
    (ugc / "100neg").mkdir()
    for name, start, stop in (("val", cuts[1], cuts[2]), ("test", cuts[2], cuts[3])):
        rows = np.empty((stop - start, 3), dtype=object)
        for row, video in enumerate(range(start, stop)):
            shift = 1 + rng.choice(music - 1, NEGATIVES, replace=False)
            rows[row, 0], rows[row, 1] = video, int(choice[video])
            rows[row, 2] = (choice[video] + shift) % music
        np.save(ugc / "100neg" / f"{name}.npy", rows, allow_pickle=True)
        np.save(ugc / f"video_popularity_{name}.npy", np.full(len(rows), 1 / len(rows)))
    write_matrix(pgc / "mv_video_resnet_features.npy", videos // 10, dim, rng)
    write_matrix(pgc / "vggish_features.npy", music, 128, rng)
    write_matrix(pgc / "opensmile_features_norm.npy", music, 128, rng)
    pairs = np.stack([np.arange(videos // 10), rng.integers(music, size=videos // 10)], axis=1)
    np.save(pgc / "train.npy", pairs[: len(pairs) * 9 // 10])
    np.save(pgc / "val.npy", pairs[len(pairs) * 9 // 10 :])
    return ugc, pgc


def watch(process: subprocess.Popen) -> dict[str, int]:
    """Peak resident memory of a process in MB until it ends: anonymous, and all. Linux only."""
    peaks = {"RssAnon": 0, "VmRSS": 0}
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            lines = []
        for name, _, value in (line.partition(":") for line in lines):
            if name in peaks:
                peaks[name] = max(peaks[name], int(value.split()[0]) // 1024)
        time.sleep(0.02)
    return peaks


@click.command()
@click.option("--videos", default=150_000, show_default=True, help="Videos; 80 % of them are training rows.")
@click.option("--dim", default=2_048, show_default=True, help="Length of a visual vector.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Where the temporary folder goes.")
@click.option("--keep", is_flag=True, help="Keep the generated and the imported data.")
def main(videos: int, dim: int, folder: Path | None, keep: bool) -> None:
    """Generate, import, measure, delete."""
    work = Path(tempfile.mkdtemp(prefix="import-released-", dir=folder))
    try:
        start = time.perf_counter()
        ugc, pgc = write_layout(work / "released", videos, dim)
        click.echo(f"generated {videos} videos x {dim} in {time.perf_counter() - start:.0f} s: {work}")
        argv = [sys.executable, "-c", "import sys; from recbole_decm.cli.main import main; sys.exit(main())"]
        argv += ["import-released", f"--ugc={ugc}", f"--pgc={pgc}", "--name=big", f"--out={work / 'out'}"]
        start = time.perf_counter()
        process = subprocess.Popen(argv)
        peaks = watch(process)
        if process.returncode:
            raise click.ClickException(f"the import failed with status {process.returncode}")
        seconds = time.perf_counter() - start
        click.echo(
            f"import: {seconds:.1f} s, peak {peaks['RssAnon']} MB beyond mapped files, {peaks['VmRSS']} MB in all"
        )
    finally:
        if not keep:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
