"""Training and evaluation speed of DecCM against RecBole's DSSM, in one run, at the paper's feature sizes.

DSSM runs twice: through RecBole's own data path, which carries the raw vectors as float_seq columns, and as this
package runs it, on PCA-reduced vectors. Each model has a process of its own, as when it is run alone: what one leaves
in the C library's heap can make another half as fast again. The processes take turns, and a ratio is the median over
the rounds of the ratio within a round, since a shared machine is faster in some minutes than in others. Ratios of one
run can be compared between machines; absolute rates cannot.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import click
import floor
import numpy as np
import torch
from recbole.config import Config
from recbole.data import data_preparation
from recbole.data.dataset import Dataset
from recbole.utils import get_trainer, init_seed
from tabulate import tabulate
from tqdm import tqdm

from recbole_decm.config.config import DecCMConfig
from recbole_decm.io.atomic import write_atomic
from recbole_decm.training import teacher
from recbole_decm.training.run import build, find_or_train_teacher, make_model
from recbole_decm.training.trainers import trainer_class

VISUAL, ACOUSTIC, BATCH = 2048, 256, 1024
VIDEOS, ROUNDS = 6_400, 5  # five full batches for training
TURN = 2.0  # seconds
KEYS = ("pairs_per_second", "videos_per_second")
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
    """(trainer, train loader, test loader) as :func:`recbole_decm.training.run.fit` builds them."""
    config = config_for(model, dataset, folder, **values)
    network, splits = build(config)
    train, test = splits.train, splits.test
    if getattr(network, "takes_teacher", False):
        teacher.attach(network, config, find_or_train_teacher(config))
    return trainer_class(config)(config, network), train, test


def with_recboles_data(model: str, dataset: str, folder: Path, **values):
    """The same through RecBole's Dataset, loaders and samplers."""
    sampled = {"eval_args": {"mode": "uni100"}}
    config = config_for(model, dataset, folder, RecBoleEvaluationConfig, **sampled, **values)
    init_seed(config["seed"], config["reproducibility"])
    train, _, test = data_preparation(config, Dataset(config))
    network = make_model(config, train._dataset).to(config["device"])
    return get_trainer(config["MODEL_TYPE"], config["model"])(config, network), train, test


def rounds(
    folder: Path, repeats: int, threads: int, turn: float
) -> tuple[dict[str, dict[str, list[float]]], dict[str, float]]:
    """Rates of every model in every round, training and evaluation, and DecCM's step against the floor."""
    found: dict[str, dict[str, list[float]]] = {name: {key: [] for key in KEYS} for name in MODELS}
    with ExitStack() as stack:
        own = {"max_workers": 1, "mp_context": multiprocessing.get_context("spawn"), "initializer": _prepare}
        pools = {
            name: stack.enter_context(ProcessPoolExecutor(**own, initargs=(name, folder, threads))) for name in MODELS
        }
        turns = [(epoch, name) for epoch in range(repeats) for name in MODELS]
        for epoch, name in (bar := tqdm(turns, unit="turn", disable=None)):
            bar.set_description(name)
            for key, rate in zip(KEYS, pools[name].submit(_turn, epoch, turn).result(), strict=True):
                found[name][key].append(rate)
        return found, pools[OURS].submit(_against_floor).result()


def _prepare(name: str, folder: Path, threads: int) -> None:
    """Build a model in this process."""
    os.chdir(folder)  # RecBole writes its logs to the current folder
    torch.set_num_threads(threads)
    make, model, dataset, values = MODELS[name]
    _built.append(make(model, dataset, folder, **values))


_built: list[tuple] = []


def _turn(epoch: int, turn: float) -> tuple[float, float]:
    """Training pairs and evaluated videos a second of this process's model."""
    trainer, train, test = _built[0]
    trainer._train_data = train
    trainer.eval_collector.data_collect(train)
    pairs, videos = len(train.dataset), len(set(test.dataset.inter_feat["video_id"].tolist()))
    training = _seconds_a_call(lambda: trainer._train_epoch(train, epoch), turn)
    return pairs / training, videos / _seconds_a_call(lambda: trainer.evaluate(test, load_best_model=False), turn)


def _seconds_a_call(action: Callable[[], object], at_least: float) -> float:
    """Mean seconds of a call, called until some seconds are over, so that waking up counts little."""
    start = time.perf_counter()
    calls, spent = 0, 0.0
    while spent < at_least:
        action()
        calls, spent = calls + 1, time.perf_counter() - start
    return spent / calls


def _against_floor() -> dict[str, float]:
    return floor.measure(*_built[0][:2])


def times_faster(found: dict, name: str, key: str) -> list[float]:
    """How many times DecCM's rate another model's is, in every round, sorted."""
    return sorted(ours / theirs for ours, theirs in zip(found[OURS][key], found[name][key], strict=True))


def measure(videos: int, music: int, repeats: int, threads: int, turn: float = TURN) -> dict:
    """Rates of DecCM and of DSSM on both data paths, and DecCM's step against the arithmetic floor."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_data(folder, "speed", videos, music, text=False)
        write_data(folder, "speed-pgc", 2_000, music, text=False, prefix="p")
        write_data(folder, "raw", videos, music, text=True)
        rates, against_floor = rounds(folder, repeats, threads, turn)
    return {"rates": rates, "floor": against_floor}


def report(found: dict) -> str:
    """Best rates, median ratios with their range, and the floor as text."""
    rates, rows = found["rates"], []
    for name in rates:
        ratios = [times_faster(rates, name, key) for key in KEYS]
        rows.append(
            [name]
            + [f"{max(rates[name][key]):,.0f}" for key in KEYS]
            + [f"{median(ratio):.1f} ({ratio[0]:.1f} to {ratio[-1]:.1f})" for ratio in ratios]
        )
    heads = ["model", "pairs/s", "videos/s", "DecCM trains x faster", "DecCM evaluates x faster"]
    at = found["floor"]
    return (
        tabulate(rows, headers=heads, disable_numparse=True)
        + f"\n\nA step: {at['operations'] / 1e9:.2f} GFLOP of matrix products, {1e3 * at['floor_seconds']:.1f} ms at "
        f"this machine's {at['operations_per_second'] / 1e9:.0f} GFLOP/s; it takes {1e3 * at['step_seconds']:.1f} ms: "
        f"{100 * at['share_of_floor']:.0f} % of the floor"
    )


@click.command()
@click.option("--videos", default=VIDEOS, show_default=True, help="Videos; four fifths of them are trained on.")
@click.option("--music", default=3_003, show_default=True, help="Music in the catalogue.")
@click.option(
    "--repeats", default=ROUNDS, show_default=True, help="Rounds of an epoch and an evaluation of each model."
)
@click.option("--threads", default=os.cpu_count(), show_default=True, help="Threads of torch.")
@click.option("--turn", default=TURN, show_default=True, help="Seconds of training, and of evaluation, of a turn.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the figures as JSON to this file.")
def main(videos: int, music: int, repeats: int, threads: int, turn: float, out: Path | None) -> None:
    """Pairs a second in training, videos a second in evaluation, DecCM's ratios to RecBole's DSSM and to the floor."""
    print(f"{VISUAL} + {ACOUSTIC} dimensions, batch {BATCH}, {videos} videos, {music} music, {threads} threads")
    found = measure(videos, music, repeats, threads, turn)
    print(report(found))
    if out:
        out.write_text(json.dumps(found, indent=2) + "\n")


SAMPLED = {"eval_args": {"mode": "uni100"}}
_COLUMNS = {"inter": ["video_id", "music_id"], "user": ["video_id", "visual"], "item": ["music_id", "acoustic"]}
RAW = {"load_col": _COLUMNS, "numerical_features": ["visual", "acoustic"]}
MODELS = {
    OURS: (with_our_data, "DecCM", "speed", {"teacher_config": {"epochs": 1}}),
    RAW_DSSM: (with_recboles_data, "DSSM", "raw", RAW),
    "DSSM, reduced vectors, 1 + 100": (with_our_data, "DSSM", "speed", SAMPLED),
}

if __name__ == "__main__":
    main()
