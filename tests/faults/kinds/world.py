"""The commands of short runs, and the small world that they run in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from helpers.planted import write_planted
from helpers.released_layout import write_released

QUIET = ("--state=ERROR", "--show_progress=False")
DATA = ("--dataset=tiny", "--data_path=data")
SHORT = ("--epochs=1", "--train_batch_size=32", "--eval_batch_size=4096")
Change = Callable[[Path], None]


def run(*more: str, model: str = "CMVAE") -> tuple[str, ...]:
    """A short run; later values of a key stand for earlier ones."""
    given = {part.partition("=")[0]: part for part in (f"--model={model}", *DATA, *SHORT, *QUIET, *more)}
    return "run", *given.values()


def make_world(folder: Path) -> Path:
    """Two small data sets, one with vectors in .npy files, a checkpoint, queries, specifications and a raw layout."""
    from recbole_decm.cli.main import main

    sizes = {"videos": 60, "music": 12, "uploaders": 6, "visual": 6, "acoustic": 4}
    write_planted(folder / "data", "tiny", **sizes)
    write_planted(folder / "data", "vectors", npy=True, pgc=False, **sizes)
    write_released(folder / "raw", videos=24, music=28, negatives=5)
    result = folder / "world.json"
    place = {"data_path": f"--data_path={folder / 'data'}", "checkpoint_dir": f"--checkpoint_dir={folder / 'made'}"}
    assert main(run(*place.values(), f"--result_file={result}")) == 0
    Path(json.loads(result.read_text())["checkpoint"]).rename(folder / "model.pth")
    (folder / "made").rmdir()
    result.unlink()
    rng = np.random.default_rng(0)
    np.save(folder / "videos.npy", rng.normal(size=(5, 6)).astype(np.float32))
    np.save(folder / "uploaders.npy", rng.dirichlet(np.ones(3), size=5).astype(np.float32))
    spec = {"models": ["Pop"], "datasets": [{"tiny": {"dataset": "tiny", "data_path": "data"}}], "seeds": [1]}
    spec |= {"config": {"epochs": 1, "topk": [5], "valid_metric": "NDCG@5"}, "main_metric": "ndcg@5"}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    (folder / "space.yaml").write_text("learning_rate: {loguniform: [1.0e-4, 1.0e-2]}\n")
    (folder / "precious.txt").write_text("not to be lost")
    return folder
