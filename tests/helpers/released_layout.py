"""Small folders in the released layout, with random content of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_released(
    folder: Path,
    *,
    videos: int = 60,
    music: int = 30,
    visual: int = 8,
    acoustic: tuple[int, int] = (5, 3),
    groups: int = 4,
    dtype=np.float16,
    negatives: int = 25,
    seed: int = 0,
) -> tuple[Path, Path]:
    """Write ``folder/data_matching`` and ``folder/data_pgc``; returns both."""
    rng = np.random.default_rng(seed)
    ugc, pgc = folder / "data_matching", folder / "data_pgc"
    (ugc / "100neg").mkdir(parents=True)
    pgc.mkdir()
    np.save(ugc / "visual_features_resnet_V.npy", rng.normal(size=(videos, visual)).astype(dtype))
    np.save(ugc / "music_features.npy", rng.normal(size=(music, acoustic[0])).astype(np.float32))
    np.save(ugc / "new_music_smile_features_norm.npy", rng.normal(size=(music, acoustic[1])).astype(np.float32))
    choice = rng.integers(music, size=videos)
    genre = rng.integers(groups, size=music)
    cuts = {
        "train": range(videos // 2),
        "val": range(videos // 2, 3 * videos // 4),
        "test": range(3 * videos // 4, videos),
    }
    train = [
        [video, int(choice[video]), f"[{genre[choice[video]]}]", rng.dirichlet(np.ones(groups)).tolist(), 1.0]
        for video in cuts["train"]
    ]
    save_rows(ugc / "train.npy", train)
    for split in ("val", "test"):
        rows = []
        for video in cuts[split]:
            others = np.setdiff1d(np.arange(music), choice[video])
            rows.append([video, int(choice[video]), rng.choice(others, negatives, replace=False)])
        save_rows(ugc / "100neg" / f"{split}.npy", rows)
        np.save(ugc / f"video_popularity_{split}.npy", rng.dirichlet(np.ones(len(rows))))
    np.save(ugc / "user_prior_mean.npy", np.mean([row[3] for row in train], axis=0))
    np.save(pgc / "mv_video_resnet_features.npy", rng.normal(size=(40, visual)).astype(dtype))
    np.save(pgc / "vggish_features.npy", rng.normal(size=(30, acoustic[0])).astype(np.float32))
    np.save(pgc / "opensmile_features_norm.npy", rng.normal(size=(30, acoustic[1])).astype(np.float32))
    pairs = np.stack([np.arange(40), rng.integers(30, size=40)], axis=1)
    np.save(pgc / "train.npy", pairs[:30])
    np.save(pgc / "val.npy", pairs[30:])
    return ugc, pgc


def save_rows(path: Path, rows: list[list]) -> None:
    """Save rows of mixed content as the released files do: an object array."""
    array = np.empty((len(rows), len(rows[0])), dtype=object)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            array[i, j] = cell
    np.save(path, array, allow_pickle=True)
