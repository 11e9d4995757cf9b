"""Clips per second, decoded and made into weight-free features, beside plain ffmpeg on the same files in the same run.

    python benchmarks/media.py [--clips 20] [--rounds 3] [--long 7200]

ffmpeg is Debian's: it decodes every frame and the sound with all cores, and scales one frame a second to the same size.
Ours is measured twice: one reader with a thread a core, and a reader with one thread on each core.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click

from recbole_decm.media.clips import extract_clips
from recbole_decm.media.extractors import DEFAULTS, open_extractor
from recbole_decm.media.sandbox import Block, Reader
from recbole_decm.media.wants import Picture, Sound

SIZE = 96
CORES = len(os.sched_getaffinity(0))


def make_clip(path: Path, seconds: float, size: str, seed: int = 0) -> Path:
    """A moving, noisy picture with sound, coded as phones do: H.264 with B-frames, AAC."""
    picture = f"testsrc2=s={size}:r=30,hue=h={20 * seed},noise=alls=8:allf=t:all_seed={seed}"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=f=440:r=44100"]
    command += ["-t", str(seconds), "-c:v", "libx264", "-preset", "medium", "-crf", "26", "-pix_fmt", "yuv420p"]
    subprocess.run([*command, "-c:a", "aac", "-ac", "2", str(path)], check=True)
    return path


def ffmpeg(clips: list[Path]) -> None:
    """Decode all, keep one frame a second at our size."""
    for clip in clips:
        command = ["ffmpeg", "-v", "error", "-i", str(clip), "-vf", f"fps=1,scale={SIZE}:{SIZE}", "-f", "null", "-"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def decoded(clips: list[Path], threads: int) -> None:
    """Decode with our reader, and throw away what comes."""
    with Reader(threads=threads) as reader:
        for _ in reader.read((clip, [Picture(SIZE), Sound(22050)]) for clip in clips):
            pass


def features(clips: list[Path], threads: int) -> None:
    """Decode and extract with the default extractors."""
    extractors = {name: open_extractor(name) for name in DEFAULTS.values()}
    with Reader(threads=threads) as reader:
        shard = extract_clips(clips, extractors, reader)
    if shard.failures:
        raise click.ClickException(str(shard.failures[0]))


def workers(clips: list[Path]) -> None:
    """Decode and extract with a worker a core, one thread each."""
    with ProcessPoolExecutor(CORES) as pool:
        for done in [pool.submit(features, clips[start::CORES], 1) for start in range(CORES)]:
            done.result()


def child_seconds() -> float:
    """CPU seconds of this process and of the children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def peak_memory(clip: Path) -> tuple[float, float]:
    """Of a reader's child on one clip: the most memory it held, in MB, and seconds."""
    start, peak = time.perf_counter(), 0.0
    with Reader() as reader:
        for event in reader.read([(clip, [Picture(SIZE), Sound(22050)])]):
            if isinstance(event, Block) and reader._child is not None:
                status = Path(f"/proc/{reader._child.process.pid}/status").read_text()
                peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return peak, time.perf_counter() - start


@click.command(help=__doc__)
@click.option("--clips", default=20, help="Number of clips of 15 s at 1280 x 720.")
@click.option("--rounds", default=3, help="Each way takes turns so often; the median counts.")
@click.option("--long", default=0, help="Seconds of a 1920 x 1080 file whose memory is measured; 0 leaves it out.")
def main(clips: int, rounds: int, long: int) -> None:
    if shutil.which("ffmpeg") is None:
        sys.exit("ffmpeg is not installed: apt-get install ffmpeg")
    with tempfile.TemporaryDirectory() as folder:
        files = [make_clip(Path(folder) / f"{seed}.mp4", 15, "1280x720", seed) for seed in range(min(clips, 3))]
        files = [files[place % len(files)] for place in range(clips)]
        ways = {
            "ffmpeg, all cores": lambda: ffmpeg(files),
            f"decoding, {CORES} threads": lambda: decoded(files, CORES),
            f"features, {CORES} threads": lambda: features(files, CORES),
            "features, 1 worker of 1 thread": lambda: features(files, 1),
            f"features, {CORES} workers of 1 thread": lambda: workers(files),
        }
        walls: dict[str, list[float]] = {name: [] for name in ways}
        work: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                start, before = time.perf_counter(), child_seconds()
                way()
                walls[name].append(time.perf_counter() - start)
                work[name].append(child_seconds() - before)
        middle = {name: sorted(found)[len(found) // 2] for name, found in walls.items()}
        base = middle["ffmpeg, all cores"]
        print(f"{clips} clips of 15 s at 1280 x 720, {CORES} cores, median of {rounds}")
        for name, wall in middle.items():
            cpu = sorted(work[name])[len(work[name]) // 2]
            rate, share = clips / wall, base / wall
            print(f"{name:<36} {rate:6.2f} clips/s  {share:6.0%} of ffmpeg  {cpu / clips:6.2f} CPU s a clip")
        if long:
            minute = make_clip(Path(folder) / "minute.mp4", 60, "1920x1080")
            repeated = Path(folder) / "long.mp4"
            command = ["ffmpeg", "-v", "error", "-stream_loop", str(max(0, long // 60 - 1)), "-i", str(minute)]
            subprocess.run([*command, "-c", "copy", str(repeated)], check=True)
            peak, seconds = peak_memory(repeated)
            print(f"{long} s at 1920 x 1080: {peak:.0f} MB in the decoder's process, {seconds:.0f} s")


if __name__ == "__main__":
    main()
