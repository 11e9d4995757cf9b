"""Leave-groups-out cross-validation inside the training split: what generalises to new artists, without its test split.

    python benchmarks/cross_validation.py --dataset muvi0 --data-path DIR --groups clips.csv [-- --key=value ...]

Where validation has few artists, it ranks settings at random. Here the training pairs are split into folds of whole
groups (artists); each fold is ranked by a model of the others, against its own music and 100 others, and has no genre,
as new music has none. The epoch is chosen on the validation split as ever; the test split is not read. What the
professional pairs hold of a left-out artist cannot be told in the released layout, so that every way of using them
looks better than it is, and the more the more it leans on them. Where several splits of the same songs are at hand,
choose on each by itself: the training split of one holds test songs of another.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import pandas as pd
from pooling import pool
from tabulate import tabulate
from tqdm import tqdm

from recbole_decm.config import DecCMConfig
from recbole_decm.data.atomic import read_columns, write_atomic
from recbole_decm.quick_start import run_config
from recbole_decm.teacher import find_or_train

CANDIDATES = 100
WAYS = ("alone", "teacher", "pooled")
QUIET = {"topk": [10], "metrics": ["Recall", "NDCG"], "valid_metric": "NDCG@10"}
QUIET |= {"state": "ERROR", "show_progress": False}


def folds_of(groups: np.ndarray, folds: int) -> np.ndarray:
    """(n,) fold of each pair: groups stay whole, the largest first, each into the fold with the fewest pairs."""
    names, member, counts = np.unique(groups, return_inverse=True, return_counts=True)
    fold, load = np.empty(len(names), dtype=np.int64), np.zeros(folds)
    for group in np.argsort(-counts, kind="stable"):
        fold[group] = load.argmin()
        load[fold[group]] += counts[group]
    return fold[member]


def write_fold(folder: Path, name: str, left_out: np.ndarray, out: Path, fold: int) -> str:
    """Write ``out/NAME-fold``, whose test split is the pairs (n,) left out of the training split, and its PGC data."""
    new, source = f"{name}-{fold}", folder / name
    target = out / new
    target.mkdir()
    for ending in ("user", "visual.npy", "acoustic.npy", "valid.candidates"):
        (target / f"{new}.{ending}").symlink_to((source / f"{name}.{ending}").resolve())
    fields = ["video_id", "music_id"]
    pairs = {split: read_columns(source / f"{name}.{split}.inter", fields).astype(str) for split in ("train", "valid")}
    items = read_columns(source / f"{name}.item", ["music_id", "genre"]).astype(str)
    test = pairs["train"][left_out]
    splits = {"train": pairs["train"][~left_out], "valid": pairs["valid"], "test": test}
    for split, rows in splits.items():
        columns = {f"{field}:token": rows[field].tolist() for field in fields}
        write_atomic(target / f"{new}.{split}.inter", columns)
    rng, catalogue = np.random.default_rng(fold), items["music_id"].to_numpy()
    count = min(CANDIDATES, len(catalogue) - 1)
    others = [rng.choice(catalogue[catalogue != own], count, replace=False).tolist() for own in test["music_id"]]
    candidates = {"video_id:token": test["video_id"].tolist(), "music_id:token_seq": others}
    write_atomic(target / f"{new}.test.candidates", candidates)
    known = ~items["music_id"].isin(set(test["music_id"]))
    genres = [cell.split() if seen else [] for cell, seen in zip(items["genre"], known, strict=True)]
    write_atomic(target / f"{new}.item", {"music_id:token": catalogue.tolist(), "genre:token_seq": genres})
    (target / f"{new}.yaml").write_text((source / f"{name}.yaml").read_text().replace(f"{name}.", f"{new}."))
    professional = out / f"{new}-pgc"
    professional.mkdir()
    for file in (folder / f"{name}-pgc").glob(f"{name}-pgc.*"):
        copy = professional / file.name.replace(f"{name}-pgc.", f"{new}-pgc.")
        if file.suffix == ".yaml":
            copy.write_text(file.read_text().replace(f"{name}-pgc.", f"{new}-pgc."))
        else:
            copy.symlink_to(file.resolve())
    return new


@click.command()
@click.option("--dataset", required=True, help="As import-released writes it, with its -pgc beside it.")
@click.option("--data-path", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--groups", type=click.Path(exists=True, path_type=Path), required=True, help="CSV of videos' groups.")
@click.option("--columns", default="video,artist", show_default=True, help="Its columns of videos and groups.")
@click.option("--folds", default=5, show_default=True)
@click.option("--seeds", default="1", show_default=True)
@click.option("--model", default="DecCMPlus", show_default=True)
@click.option("--ways", default="teacher", show_default=True, help=f"Some of {','.join(WAYS)}.")
@click.argument("arguments", nargs=-1)
def main(
    dataset: str,
    data_path: Path,
    groups: Path,
    columns: str,
    folds: int,
    seeds: str,
    model: str,
    ways: str,
    arguments: tuple[str, ...],
) -> None:
    """Print recall@10 and ndcg@10 of left-out groups, mean ± standard deviation over the folds of all seeds."""
    video, group = columns.split(",")
    table = pd.read_csv(groups, dtype=str)
    group_of = dict(zip(table[video], table[group], strict=True))
    train = read_columns(data_path / dataset / f"{dataset}.train.inter", ["video_id"])["video_id"].astype(str)
    fold_of = folds_of(np.array([group_of[token] for token in train]), folds)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways.split(",")}
    with TemporaryDirectory() as scratch:
        work = Path(scratch)
        jobs = [(int(seed), way, fold) for seed in seeds.split(",") for way in found for fold in range(folds)]
        made: dict[tuple[str, int], str] = {}
        for seed, way, fold in tqdm(jobs, unit="run", file=sys.stderr, disable=None):
            if ("fold", fold) not in made:
                made["fold", fold] = write_fold(data_path, dataset, fold_of == fold, work, fold)
            if way == "pooled" and (way, fold) not in made:
                made[way, fold] = pool(work, made["fold", fold], work)
            values = QUIET | {"seed": seed, "checkpoint_dir": scratch}
            whole = DecCMConfig(model, dataset, config_dict=values | {"data_path": str(data_path)}, arguments=arguments)
            teacher = str(find_or_train(whole) or "none") if way == "teacher" else "none"
            name = made[way if way == "pooled" else "fold", fold]
            values |= {"data_path": scratch, "teacher": teacher}
            found[way].append(run_config(DecCMConfig(model, name, config_dict=values, arguments=arguments))[1])
    metrics = ["recall@10", "ndcg@10"]
    rows = [
        [way, *(f"{np.mean([r[m] for r in runs]):.4f} ± {np.std([r[m] for r in runs], ddof=1):.4f}" for m in metrics)]
        for way, runs in found.items()
    ]
    click.echo(f"{model} on {folds} folds of {dataset}, seeds {seeds} {' '.join(arguments)}")
    click.echo(tabulate(rows, headers=["training data", *metrics], tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
