"""Clips per second, decoded and made into weight-free features, beside plain ffmpeg on the same files in the same run.

    python benchmarks/media.py [--clips 20] [--rounds 3] [--long 7200]
    python benchmarks/media.py --network=efficientnet-lite0 [--clips 20] [--rounds 3]
    python benchmarks/media.py --first

ffmpeg is Debian's: it decodes every frame and the sound with all cores, and scales one frame a second to the same size.
Ours is measured twice: one reader with a thread a core, and a reader with one thread on each core.

--network sets what extract's workers reach with a network beside what these cores allow: the processor seconds of
decoding alone and of the network alone, each on all cores at once, in the same run. The workers have started, and have
opened the network, before their time counts. --first takes the time from the command's start to the first portion that
is written.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import click
import numpy as np
from threadpoolctl import threadpool_limits

from recbole_decm.media.clips import extract_clips
from recbole_decm.media.extractors import DEFAULTS, open_extractor
from recbole_decm.media.portions import Portion, portions_of
from recbole_decm.media.sandbox import Block, Event, Reader
from recbole_decm.media.wants import Picture, Sound
from recbole_decm.media.work import Engine, on_cluster
from recbole_decm.parallel.cluster import workers_here

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


def beside_ffmpeg(files: list[Path], rounds: int) -> None:
    """Print the clips a second of each way of reading, and their share of ffmpeg's."""
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
    base = median(walls["ffmpeg, all cores"])
    print(f"{len(files)} clips of 15 s at 1280 x 720, {CORES} cores, median of {rounds}")
    for name, found in walls.items():
        rate, share, cpu = len(files) / median(found), base / median(found), median(work[name]) / len(files)
        print(f"{name:<36} {rate:6.2f} clips/s  {share:6.0%} of ffmpeg  {cpu:6.2f} CPU s a clip")


def peak_memory(clip: Path) -> tuple[float, float]:
    """Of a worker on one clip: the most memory that its decoder's process held, and its own, in MB."""

    def held(process: int | str) -> float:
        return int(Path(f"/proc/{process}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

    class Watched(Reader):
        peak = 0.0

        def read(self, clips: Iterable) -> Iterator[Event]:
            for event in super().read(clips):
                if isinstance(event, Block) and self._child is not None:
                    self.peak = held(self._child.process.pid)
                yield event

    with Watched() as reader:
        extract_clips([clip], {name: open_extractor(name) for name in DEFAULTS.values()}, reader)
        return reader.peak, held("self")


def decoding_alone(name: str, clips: list[Path]) -> float:
    """CPU seconds of decoding what an extractor asks for."""
    want = open_extractor(name).want
    before = child_seconds()
    with Reader() as reader:
        for _ in reader.read((clip, [want]) for clip in clips):
            pass
    return child_seconds() - before


def network_alone(name: str, clips: list[Path]) -> float:
    """CPU seconds of an extractor on the blocks of clips that are decoded already."""
    extractor, blocks = open_extractor(name), dict[Path, list[np.ndarray]]()
    with Reader() as reader:
        for clip in {path.resolve() for path in clips}:
            events = reader.read([(clip, [extractor.want])])
            blocks[clip] = [event.values for event in events if isinstance(event, Block)]
    before = child_seconds()
    with threadpool_limits(limits=1):
        for clip in clips:
            clip_reader = extractor.new_reader()
            for block in blocks[clip.resolve()]:
                clip_reader.add(block)
            clip_reader.vector()
    return child_seconds() - before


def on_all_cores(work: Callable[[str, list[Path]], float], name: str, clips: list[Path]) -> float:
    """CPU seconds a clip, with a process a core at work at once."""
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as pool:
        parts = [pool.submit(work, name, clips[start::CORES]) for start in range(CORES)]
        return sum(part.result() for part in parts) / len(clips)


def extracted(engine: Engine, portions: list[Portion]) -> float:
    """Seconds until all portions are read."""
    start = time.perf_counter()
    for _, shard in engine(portions):
        if shard.failures:
            raise click.ClickException(str(shard.failures[0]))
    return time.perf_counter() - start


def beside_the_network(name: str, files: list[Path], rounds: int) -> None:
    """Print the clips a second of the workers of ``extract``, and those that decoding and network alone allow."""
    portions = portions_of({str(file): ["field"] for file in files})
    decoding, network, seconds = [], [], []
    with workers_here(CORES) as address, on_cluster(address, {"field": open_extractor(name).card}, "cpu") as engine:
        extracted(engine, [Portion((str(file),), ("field",)) for file in files[: 4 * CORES]])  # all open the network
        for _ in range(rounds):
            decoding.append(on_all_cores(decoding_alone, name, files))
            network.append(on_all_cores(network_alone, name, files))
            seconds.append(extracted(engine, portions))
    rate, cpu = len(files) / median(seconds), (median(decoding), median(network))
    allowed = CORES / sum(cpu)
    print(f"{len(files)} clips of 15 s at 1280 x 720, {name}, {CORES} workers on {CORES} cores, median of {rounds}")
    print(f"CPU s a clip, alone: decoding {cpu[0]:.2f}, network {cpu[1]:.2f}, which allow {allowed:.2f} clips/s")
    print(f"extract {rate:.2f} clips/s, {rate / allowed:.0%} of that")


def first_result(files: list[Path], options: list[str]) -> float:
    """Seconds from the start of ``recbole-decm extract`` to the first portion on the disk; the run is then stopped."""
    folder = files[0].parent
    (folder / "pairs.csv").write_text("\n".join(["video,music", *(f"{file.name}," for file in files)]))
    out = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, "-m", "recbole_decm", "extract", f"--pairs={folder / 'pairs.csv'}", f"--out={out}"]
    start = time.perf_counter()
    with subprocess.Popen([*command, "--name=first", *options], stderr=subprocess.PIPE, text=True) as running:
        while not list(out.glob(".extract-first/*.npz")):
            if running.poll() is not None:
                raise click.ClickException(running.communicate()[1])
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        running.send_signal(signal.SIGINT)
    return seconds


@click.command(help=__doc__)
@click.option("--clips", default=20, help="Number of clips of 15 s at 1280 x 720.")
@click.option("--rounds", default=3, help="Each way takes turns so often; the median counts.")
@click.option("--long", default=0, help="Seconds of a 1920 x 1080 file whose memory is measured; 0 leaves it out.")
@click.option("--network", help="An extractor of pictures with a network, beside what the cores allow.")
@click.option("--first", is_flag=True, help="Seconds to the first result, import included.")
def main(clips: int, rounds: int, long: int, network: str | None, first: bool) -> None:
    if shutil.which("ffmpeg") is None:
        sys.exit("ffmpeg is not installed: apt-get install ffmpeg")
    with tempfile.TemporaryDirectory() as folder:
        made = [make_clip(Path(folder) / f"{seed}.mp4", 15, "1280x720", seed) for seed in range(min(clips, 3))]
        files = [Path(folder) / f"clip-{place}.mp4" for place in range(clips)]
        for place, file in enumerate(files):
            file.symlink_to(made[place % len(made)])
        if network or first:
            if network:
                beside_the_network(network, files, rounds)
            for options in ([], ["--video=visual=efficientnet-lite0"]) if first else ():
                found = [first_result(files, options) for _ in range(rounds)]
                print(f"first result of extract {' '.join(options)}: {median(found):.1f} s, median of {rounds}")
            return
        beside_ffmpeg(files, rounds)
        if long:
            minute = make_clip(Path(folder) / "minute.mp4", 60, "1920x1080")
            repeated = Path(folder) / "long.mp4"
            command = ["ffmpeg", "-v", "error", "-stream_loop", str(max(0, long // 60 - 1)), "-i", str(minute)]
            subprocess.run([*command, "-c", "copy", str(repeated)], check=True)
            start = time.perf_counter()
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                decoder, worker = pool.submit(peak_memory, repeated).result()
            words = f"{decoder:.0f} MB in the decoder's process, {worker:.0f} MB in the worker's own"
            print(f"{long} s at 1920 x 1080: {words}, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
