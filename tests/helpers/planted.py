"""A planted data set: each video's features point at its one right music, so the right answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recbole_decm.io.atomic import write_atomic


def write_planted(
    folder: Path,
    name: str = "planted",
    *,
    videos: int = 600,
    music: int = 40,
    uploaders: int = 30,
    groups: int = 3,
    visual: int = 12,
    acoustic: int = 8,
    noise: float = 0.05,
    npy: bool = False,
    pgc: bool = True,
    split: bool = True,
    seed: int = 0,
) -> Path:
    """Write ``folder/name`` (and ``name-pgc``); every music is equally popular, so popularity cannot find the match."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(music, 6))
    to_visual, to_acoustic = rng.normal(size=(6, visual)), rng.normal(size=(6, acoustic))
    _write_part(
        folder / name, name, rng, latent, to_visual, to_acoustic, videos, uploaders, groups, noise, npy, split, ""
    )
    if pgc:
        part = folder / f"{name}-pgc"
        _write_part(part, f"{name}-pgc", rng, latent, to_visual, to_acoustic, videos, 0, groups, noise, npy, split, "p")
    return folder / name


def _write_part(
    folder, name, rng, latent, to_visual, to_acoustic, videos, uploaders, groups, noise, npy, split, prefix
):
    music = len(latent)
    choice = rng.permutation(np.arange(videos) % music)
    seen = latent[choice] + noise * rng.normal(size=(videos, latent.shape[1]))
    vectors = {"visual": seen @ to_visual, "acoustic": latent @ to_acoustic}
    video_ids = [f"{prefix}v{i}" for i in range(videos)]
    music_ids = [f"{prefix}m{i}" for i in range(music)]
    user, item = {"video_id:token": video_ids}, {"music_id:token": music_ids}
    if uploaders:
        owner = rng.integers(uploaders, size=videos)
        taste = rng.dirichlet(np.ones(groups), size=uploaders)
        user |= {"uploader_id:token": [f"u{i}" for i in owner], "uploader_genre:float_seq": taste[owner]}
    item |= {"genre:token_seq": [[f"g{i % groups}"] for i in range(music)]}
    yaml = ["eval_args: {mode: full}", "topk: [1, 10]", "valid_metric: NDCG@10", "metrics: [Recall, NDCG]"]
    folder.mkdir(parents=True, exist_ok=True)
    if npy:
        for field, values in vectors.items():
            np.save(folder / f"{name}.{field}.npy", values.astype(np.float32))
        yaml.append(f"feature_files: {{visual: {name}.visual.npy, acoustic: {name}.acoustic.npy}}")
    else:
        user["visual:float_seq"], item["acoustic:float_seq"] = vectors["visual"], vectors["acoustic"]
    write_atomic(folder / f"{name}.user", user, decimals=7)
    write_atomic(folder / f"{name}.item", item, decimals=7)
    pairs = {"video_id:token": video_ids, "music_id:token": [music_ids[i] for i in choice]}
    if split:
        cuts = [0, int(videos * 0.7), int(videos * 0.85), videos]
        for part, start, stop in zip(("train", "valid", "test"), cuts[:-1], cuts[1:], strict=True):
            write_atomic(
                folder / f"{name}.{part}.inter", {field: values[start:stop] for field, values in pairs.items()}
            )
        yaml.append("benchmark_filename: [train, valid, test]")
    else:
        write_atomic(folder / f"{name}.inter", pairs)
    (folder / f"{name}.yaml").write_text("\n".join(yaml) + "\n")
