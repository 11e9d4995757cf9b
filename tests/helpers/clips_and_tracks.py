"""A folder of small videos and tracks with a table of pairs, for what reads media from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

VIDEOS, TRACKS = 10, 4


def write_clips(folder: Path) -> Path:
    """Write ``videos/v0.mp4`` ... with a tone each, ``music/m0.m4a`` ..., and ``pairs.csv``, which is returned."""
    from helpers.media_files import tone, write_clip  # here, since it imports PyAV, which not everybody has

    rng = np.random.default_rng(0)
    for kind in ("videos", "music"):
        (folder / kind).mkdir(parents=True)
    for number in range(TRACKS):
        write_clip(folder / "music" / f"m{number}.m4a", sound=tone(200 * (number + 1), 0.5, 16000), rate=16000)
    for number in range(VIDEOS):
        frames = [np.kron(rng.integers(0, 256, (4, 4, 3), np.uint8), np.ones((8, 8, 1), np.uint8))] * 2
        sound = tone(300 + 50 * number, 0.3, 16000)
        write_clip(folder / "videos" / f"v{number}.mp4", frames, fps=1, sound=sound, rate=16000)
    table = pd.DataFrame({"video": [f"videos/v{i}.mp4" for i in range(VIDEOS)]})
    table["music"] = [f"music/m{i % TRACKS}.m4a" for i in range(VIDEOS)]
    table["uploader_id"] = [f"u{i % 3}" for i in range(VIDEOS)]
    table["genre"] = [f"g{i % TRACKS % 2}" for i in range(VIDEOS)]
    table["title"] = [f"song {i % TRACKS}" for i in range(VIDEOS)]
    table["caption"] = [f"clip {i}" for i in range(VIDEOS)]
    table["split"] = ["train"] * 6 + ["valid"] * 2 + ["test"] * 2
    table.to_csv(folder / "pairs.csv", index=False)
    return folder / "pairs.csv"
