"""Artefacts to measure a server with: a small model that is trained for one epoch, over a catalogue of any size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from recbole_decm.cli.main import main as command

_BLOCK = 100_000


def _run(*words: str) -> None:
    status = command(list(words))
    if status:
        raise RuntimeError(f"recbole-decm {' '.join(words)} ended with {status}")


def _checkpoint(folder: Path, data: Path, name: str, *more: str) -> str:
    result = folder / f"{name}.json"
    fixed = [
        "--epochs=1",
        "--state=ERROR",
        "--show_progress=False",
        f"--checkpoint_dir={folder / 'saved'}",
    ]
    _run("run", "--model=CMVAE", f"--dataset={name}", f"--data_path={data}", f"--result_file={result}", *fixed, *more)
    return json.loads(result.read_text(encoding="utf-8"))["checkpoint"]


def large(folder: Path, tracks: int, dim: int) -> Path:
    """An artefact of ``tracks`` vectors of ``dim`` numbers, from features of as many numbers.

    The matcher is trained on a small simulation. The catalogue is drawn: random features, a genre, a duration.
    """
    out = folder / f"artefact-{tracks}-{dim}"
    if out.is_dir():
        return out
    data = folder / "data"
    if not (data / "small").is_dir():
        sizes = ["--videos", "300", "--music", "100", "--visual-dim", str(dim), "--acoustic-dim", str(dim)]
        _run("simulate", "--out", str(data), "--name", "small", *sizes)
    checkpoint = _checkpoint(folder, data, "small", f"--latent_dimension={dim}")
    name = f"catalogue-{tracks}"
    place = data / name
    place.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(1)
    matrix = np.lib.format.open_memmap(place / f"{name}.acoustic.npy", "w+", np.float32, (tracks, dim))
    for start in range(0, tracks, _BLOCK):
        part = matrix[start : start + _BLOCK]
        part[:] = draw.standard_normal(part.shape, dtype=np.float32)
    matrix.flush()
    with (place / f"{name}.item").open("w", encoding="utf-8") as file:
        file.write("music_id:token\tgenre:token_seq\tduration:float\n")
        genres, seconds = draw.integers(6, size=tracks).tolist(), draw.integers(10, 300, size=tracks).tolist()
        lines = zip(range(tracks), genres, seconds, strict=True)
        file.writelines(f"m{row}\tg{genre}\t{duration}\n" for row, genre, duration in lines)
    (place / f"{name}.yaml").write_text(f"feature_files: {{acoustic: {name}.acoustic.npy}}\n", encoding="utf-8")
    _run("export", checkpoint, "--out", str(out), f"--dataset={name}", f"--data_path={data}")
    return out


def of_clips(folder: Path) -> Path:
    """An artefact whose features the weight-free extractors make, over the tracks of a small simulation of files."""
    out = folder / "artefact-clips"
    if out.is_dir():
        return out
    files, data = folder / "files", folder / "data"
    if not (files / "clips").is_dir():
        sizes = ["--videos", "60", "--music", "20", "--pgc-videos", "20", "--pgc-music", "10"]
        _run("simulate", "--media", "--out", str(files), "--name", "clips", *sizes)
    if not (data / "clips").is_dir():
        pairs = ["--pairs", str(files / "clips" / "pairs.csv")]
        _run("extract", *pairs, "--out", str(data), "--name", "clips", "--workers", "1")
    _run("export", _checkpoint(folder, data, "clips"), "--out", str(out), f"--data_path={data}")
    return out


def clip(folder: Path, seconds: int = 15, width: int = 1280, height: int = 720, fps: int = 30) -> Path:
    """A clip of moving shapes with noise and a sound, in H.264 and AAC, as phones make them."""
    import av

    path = folder / f"clip-{seconds}s-{height}p.mp4"
    if path.is_file():
        return path
    draw = np.random.default_rng(1)
    noise = draw.integers(0, 40, (height + 64, width + 64, 3), dtype=np.uint8)
    ramp = np.linspace(0, 180, width, dtype=np.uint8)[None, :, None]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"preset": "veryfast", "crf": "23"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", rate=44_100, layout="mono")
        for number in range(seconds * fps):
            at = number % 64
            picture = noise[at : at + height, at : at + width] + np.roll(ramp, 7 * number, axis=1)
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(video.encode(None))
        sound = (0.3 * np.sin(np.arange(seconds * 44_100) * 0.06)).astype(np.float32)
        for start in range(0, len(sound), 1024):
            frame = av.AudioFrame.from_ndarray(sound[None, start : start + 1024].copy(), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44_100, start
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path
