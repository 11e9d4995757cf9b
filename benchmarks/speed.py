"""Training and evaluation speed of DecCM against RecBole's DSSM, in one run, at the paper's feature sizes.

DSSM runs twice: through RecBole's own data path, which carries the raw vectors as float_seq columns, and as this
package runs it, on PCA-reduced vectors. Ratios of one run can be compared between machines; absolute rates cannot.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import click
import floor
import numpy as np
import torch
from recbole.config import Config
from recbole.data import data_preparation
from recbole.data.dataset import Dataset
from recbole.evaluator import Collector
from recbole.utils import init_seed
from tabulate import tabulate
from tqdm import tqdm

from recbole_decm import registry, teacher
from recbole_decm.config import DecCMConfig
from recbole_decm.data.atomic import write_atomic
from recbole_decm.quick_start import build

VISUAL, ACOUSTIC, BATCH = 2048, 256, 1024
OURS = "DecCM, whole catalogue"
RAW_DSSM = "DSSM, raw vectors, RecBole's loaders, 1 + 100"


class RecBoleEvaluationConfig(DecCMConfig):
    """Our config with RecBole's own sampling of evaluation negatives."""

    _set_eval_neg_sample_args = Config._set_eval_neg_sample_args


def write_data(folder: Path, name: str, videos: int, music: int, text: bool, prefix: str = "") -> None:
    """Random vectors and choices: speed does not depend on what they say."""
    rng = np.random.default_rng(0)
    target = folder / name
    target.mkdir(parents=True)
    video_ids, music_ids = [f"{prefix}v{i}" for i in range(videos)], [f"{prefix}m{i}" for i in range(music)]
    user = {"video_id:token": video_ids, "uploader_genre:float_seq": rng.dirichlet(np.ones(6), size=videos)}
    item = {"music_id:token": music_ids, "genre:token_seq": [[f"g{i % 6}"] for i in range(music)]}
    vectors = {"visual": (videos, VISUAL), "acoustic": (music, ACOUSTIC)}
    lines = ["benchmark_filename: [train, valid, test]", "eval_args: {mode: full}"]
    for (field, shape), columns in zip(vectors.items(), (user, item), strict=True):
        values = rng.standard_normal(shape, dtype=np.float32)
        if text:
            columns[f"{field}:float_seq"] = values
        else:
            np.save(target / f"{name}.{field}.npy", values)
    if not text:
        lines.append(f"feature_files: {{visual: {name}.visual.npy, acoustic: {name}.acoustic.npy}}")
    write_atomic(target / f"{name}.user", user)
    write_atomic(target / f"{name}.item", item)
    choice = rng.integers(music, size=videos)
    cuts = [0, int(videos * 0.8), int(videos * 0.9), videos]
    for split, start, stop in zip(("train", "valid", "test"), cuts, cuts[1:], strict=False):
        pairs = {"video_id:token": video_ids[start:stop], "music_id:token": [music_ids[i] for i in choice[start:stop]]}
        write_atomic(target / f"{name}.{split}.inter", pairs)
    (target / f"{name}.yaml").write_text("\n".join(lines) + "\n")


def config_for(model: str, dataset: str, folder: Path, kind: type = DecCMConfig, **values) -> DecCMConfig:
    quiet = {"state": "ERROR", "show_progress": False, "train_batch_size": BATCH, "metrics": ["Recall", "NDCG"]}
    places = {"data_path": str(folder), "checkpoint_dir": str(folder / "saved")}
    return kind(model, dataset, config_dict={**quiet, **places, **values})


def with_our_data(model: str, dataset: str, folder: Path, **values):
    """(trainer, train loader, test loader) as :func:`recbole_decm.quick_start.fit` builds them."""
    config = config_for(model, dataset, folder, **values)
    network, (train, _, test) = build(config, {})
    if hasattr(network, "attach_teacher"):
        teacher.attach(network, teacher.find_or_train(config))
    return registry.trainer_class(config)(config, network), train, test


def with_recboles_data(model: str, dataset: str, folder: Path, **values):
    """The same through RecBole's Dataset, loaders and samplers."""
    sampled = {"eval_args": {"mode": "uni100"}}
    config = config_for(model, dataset, folder, RecBoleEvaluationConfig, **sampled, **values)
    init_seed(config["seed"], config["reproducibility"])
    train, _, test = data_preparation(config, Dataset(config))
    network = registry.model_class(model)(config, train._dataset).to(config["device"])
    trainer = registry.trainer_class(config)(config, network)
    trainer.eval_collector = Collector(config)
    return trainer, train, test


def rates(trainer, train, test, repeats: int) -> tuple[float, float]:
    """(training pairs a second, evaluated videos a second): the best of some epochs and evaluations."""
    pairs, videos = len(train._dataset), len(set(test.dataset.inter_feat["video_id"].tolist()))
    trainer._train_data = train
    trainer.eval_collector.data_collect(train)
    training, evaluation = [], []
    for epoch in range(repeats):
        start = time.perf_counter()
        trainer._train_epoch(train, epoch)
        training.append(time.perf_counter() - start)
        start = time.perf_counter()
        evaluate(trainer, test)
        evaluation.append(time.perf_counter() - start)
    return pairs / min(training), videos / min(evaluation)


def evaluate(trainer, loader) -> None:
    if hasattr(loader, "positive_weights"):
        trainer.evaluate(loader, load_best_model=False)
    else:  # RecBole's loader: RecBole's evaluation
        super(type(trainer).__mro__[1], trainer).evaluate(loader, load_best_model=False)


def measure(videos: int, raw_videos: int, music: int, repeats: int, threads: int) -> dict:
    """Rates of DecCM and of DSSM on both data paths, and DecCM's step against the arithmetic floor."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder, here = Path(scratch), Path.cwd()
        os.chdir(folder)  # RecBole writes its logs to the current folder
        try:
            write_data(folder, "speed", videos, music, text=False)
            write_data(folder, "speed-pgc", 2_000, music, text=False, prefix="p")
            write_data(folder, "raw", raw_videos, music, text=True)
            ours = with_our_data("DecCM", "speed", folder, teacher_config={"epochs": 1})
            makers = {
                OURS: lambda: ours,
                "DSSM, raw vectors, RecBole's loaders, 1 + 100": lambda: with_recboles_data(
                    "DSSM", "raw", folder, **RAW
                ),
                "DSSM, reduced vectors, 1 + 100": lambda: with_our_data("DSSM", "speed", folder, **SAMPLED),
            }
            found = {}
            for name, make in (bar := tqdm(makers.items(), unit="model", disable=None)):
                bar.set_description(name)
                training, evaluation = rates(*make(), repeats)
                found[name] = {"pairs_per_second": training, "videos_per_second": evaluation}
            against_floor = floor.measure(*ours[:2])
        finally:
            os.chdir(here)
    return {"rates": found, "floor": against_floor}


def report(found: dict) -> str:
    """Rates, ratios and the floor as text."""
    ours = found["rates"][OURS]
    rows = [
        [name]
        + [f"{row[key]:,.0f}" for key in ("pairs_per_second", "videos_per_second")]
        + [f"{ours[key] / row[key]:.1f}" for key in ("pairs_per_second", "videos_per_second")]
        for name, row in found["rates"].items()
    ]
    heads = ["model", "pairs/s", "videos/s", "DecCM trains x faster", "DecCM evaluates x faster"]
    at = found["floor"]
    return (
        tabulate(rows, headers=heads, disable_numparse=True)
        + f"\n\nA step: {at['operations'] / 1e9:.2f} GFLOP of matrix products, {1e3 * at['floor_seconds']:.1f} ms at "
        f"this machine's {at['operations_per_second'] / 1e9:.0f} GFLOP/s; it takes {1e3 * at['step_seconds']:.1f} ms: "
        f"{100 * at['share_of_floor']:.0f} % of the floor"
    )


@click.command()
@click.option("--videos", default=20_000, show_default=True, help="Videos of DecCM and of the reduced DSSM.")
@click.option("--raw-videos", default=2_500, show_default=True, help="Videos of the DSSM on raw vectors.")
@click.option("--music", default=3_003, show_default=True, help="Music in the catalogue.")
@click.option("--repeats", default=3, show_default=True, help="Epochs and evaluations; the best counts.")
@click.option("--threads", default=os.cpu_count(), show_default=True, help="Threads of torch.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the figures as JSON to this file.")
def main(videos: int, raw_videos: int, music: int, repeats: int, threads: int, out: Path | None) -> None:
    """Pairs a second in training, videos a second in evaluation, DecCM's ratios to RecBole's DSSM and to the floor."""
    print(f"{VISUAL} + {ACOUSTIC} dimensions, batch {BATCH}, {music} music, {threads} threads, best of {repeats}")
    found = measure(videos, raw_videos, music, repeats, threads)
    print(report(found))
    if out:
        out.write_text(json.dumps(found, indent=2) + "\n")


SAMPLED = {"eval_args": {"mode": "uni100"}}
_COLUMNS = {"inter": ["video_id", "music_id"], "user": ["video_id", "visual"], "item": ["music_id", "acoustic"]}
RAW = {"load_col": _COLUMNS, "numerical_features": ["visual", "acoustic"]}

if __name__ == "__main__":
    main()
