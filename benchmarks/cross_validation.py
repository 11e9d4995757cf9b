"""Leave-groups-out cross-validation inside the training split: what generalises to new artists, without its test split.

    python benchmarks/cross_validation.py --dataset muvi0 --data-path DIR --groups clips.csv [-- --key=value ...]

Where validation has few artists, it ranks settings at random. Here the training pairs are split into folds of whole
groups (artists); each fold is ranked by a model of the others, against its own music and 100 others, and has no genre,
as new music has none. The epoch is chosen on the validation split as ever; the test split is not read. What the
professional pairs hold of a left-out artist cannot be told in the released layout, so that every way of using them
looks better than it is, and the more the more it leans on them.

    ... --other-split muvi1 --with-valid -- --eval_step=0

A second split of the same clips by artist solves both: what either split tests is left out everywhere, and so is
professional music that only one of them holds. With the validation pairs, for settings that choose no epoch, there are
then groups of which the professional pairs hold nothing, since they leave out whatever validation or test hold: these
are the second figure.
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

from recbole_decm.cli.options import names, seeds_option
from recbole_decm.config.config import DecCMConfig
from recbole_decm.io.atomic import read_columns, write_atomic
from recbole_decm.training.run import find_or_train_teacher, run_config

CANDIDATES = 100
WAYS = ("alone", "teacher", "pooled")
PAIR = ["video_id", "music_id"]
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


def pairs_of(folder: Path, name: str, *splits: str) -> pd.DataFrame:
    """Pairs of some splits of ``folder/NAME``, with columns video_id and music_id."""
    return pd.concat([read_columns(folder / name / f"{name}.{split}.inter", PAIR) for split in splits]).astype(str)


def write_pairs(path: Path, pairs: pd.DataFrame) -> None:
    write_atomic(path, {f"{field}:token": pairs[field].tolist() for field in PAIR})


def link(source: Path, target: Path, *without: str) -> None:
    """Links in ``target`` to the files of ``source``; not to those that end in one of ``without``."""
    target.mkdir(parents=True)
    for file in source.iterdir():
        if not file.name.endswith(without):
            (target / file.name).symlink_to(file.resolve())


def write_unseen(folder: Path, name: str, other: str | None, with_valid: bool, out: Path) -> None:
    """Write ``out/NAME`` and its -pgc: training pairs (and validation pairs) without what the split ``other`` tests,
    and professional pairs whose music, told by its content vector, ``other`` has as well.
    """
    link(folder / name, out / name, ".train.inter")
    link(folder / f"{name}-pgc", out / f"{name}-pgc", ".train.inter", ".valid.inter")
    pairs = pairs_of(folder, name, "train", *(["valid"] if with_valid else []))
    professional = {split: pairs_of(folder, f"{name}-pgc", split) for split in ("train", "valid")}
    if other is not None:
        pairs = pairs[~pairs["music_id"].isin(set(pairs_of(folder, other, "test")["music_id"]))]
        vectors = {n: np.load(folder / f"{n}-pgc" / f"{n}-pgc.acoustic.npy") for n in (name, other)}
        both = {row.tobytes() for row in vectors[other]}
        music = read_columns(folder / f"{name}-pgc" / f"{name}-pgc.item", ["music_id"])["music_id"].astype(str)
        shared = set(music[[row.tobytes() in both for row in vectors[name]]])
        professional = {split: rows[rows["music_id"].isin(shared)] for split, rows in professional.items()}
    write_pairs(out / name / f"{name}.train.inter", pairs)
    for split, rows in professional.items():
        write_pairs(out / f"{name}-pgc" / f"{name}-pgc.{split}.inter", rows)


def write_fold(folder: Path, name: str, left_out: np.ndarray, out: Path, fold: int, unseen: np.ndarray) -> str:
    """Write ``out/NAME-fold``, whose test split is the pairs (n,) left out of the training split, and its PGC data.

    Args:
        unseen: (n,) the pairs whose group professional pairs leave out; those left out are the test set ``unseen``.
    """
    new, source = f"{name}-{fold}", folder / name
    target = out / new
    target.mkdir()
    for ending in ("user", "visual.npy", "acoustic.npy", "valid.candidates"):
        (target / f"{new}.{ending}").symlink_to((source / f"{name}.{ending}").resolve())
    train = pairs_of(folder, name, "train")
    items = read_columns(source / f"{name}.item", ["music_id", "genre"]).astype(str)
    test = train[left_out]
    splits = {"train": train[~left_out], "valid": pairs_of(folder, name, "valid"), "test": test}
    if unseen[left_out].any():
        splits["unseen"] = train[left_out & unseen]
    for split, rows in splits.items():
        write_pairs(target / f"{new}.{split}.inter", rows)
    rng, catalogue = np.random.default_rng(fold), items["music_id"].to_numpy()
    count = min(CANDIDATES, len(catalogue) - 1)
    others = [rng.choice(catalogue[catalogue != own], count, replace=False).tolist() for own in test["music_id"]]
    candidates = {"video_id:token": test["video_id"].tolist(), "music_id:token_seq": others}
    for split in {"test", "unseen"} & set(splits):
        write_atomic(target / f"{new}.{split}.candidates", candidates)
    known = ~items["music_id"].isin(set(test["music_id"]))
    genres = [cell.split() if seen else [] for cell, seen in zip(items["genre"], known, strict=True)]
    write_atomic(target / f"{new}.item", {"music_id:token": catalogue.tolist(), "genre:token_seq": genres})
    yaml = (source / f"{name}.yaml").read_text().replace(f"{name}.", f"{new}.")
    (target / f"{new}.yaml").write_text(yaml + ("extra_tests: [unseen]\n" if "unseen" in splits else ""))
    professional = out / f"{new}-pgc"
    professional.mkdir()
    for file in (folder / f"{name}-pgc").glob(f"{name}-pgc.*"):
        copy = professional / file.name.replace(f"{name}-pgc.", f"{new}-pgc.")
        if file.suffix == ".yaml":
            copy.write_text(file.read_text().replace(f"{name}-pgc.", f"{new}-pgc."))
        else:
            copy.symlink_to(file.resolve())
    return new


def groups_of(table: Path, columns: str, videos: pd.Series) -> np.ndarray:
    """(n,) group of each video, from a CSV whose two ``columns`` are videos and groups."""
    cells = pd.read_csv(table, dtype=str)
    named = names(None, None, columns)
    if len(named) != 2 or not set(named) <= set(cells):
        raise click.BadParameter(f"expected two columns of {table}, found '{columns}'", param_hint="--columns")
    group_of = dict(zip(cells[named[0]], cells[named[1]], strict=True))
    missing = sorted(set(videos) - set(group_of))
    if missing:
        raise click.ClickException(f"{table}: expected a row for every video, found none for '{missing[0]}'.")
    return np.array([group_of[video] for video in videos])


def chosen_ways(ctx: object, param: object, value: str) -> list[str]:
    ways = names(ctx, param, value)
    if not ways or not set(ways) <= set(WAYS):
        raise click.BadParameter(f"expected some of {', '.join(WAYS)}, found '{value}'")
    return ways


@click.command()
@click.option("--dataset", required=True, help="As import-released writes it, with its -pgc beside it.")
@click.option("--data-path", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--groups", type=click.Path(exists=True, path_type=Path), required=True, help="CSV of videos' groups.")
@click.option("--columns", default="video,artist", show_default=True, help="Its columns of videos and groups.")
@click.option("--other-split", help="Another split of the same clips, beside it: what it tests is left out, too.")
@click.option("--with-valid", is_flag=True, help="Validation pairs join the training pairs; only with --eval_step=0.")
@click.option("--folds", default=5, show_default=True, type=click.IntRange(min=2))
@seeds_option
@click.option("--model", default="DecCMPlus", show_default=True)
@click.option("--ways", default="teacher", show_default=True, callback=chosen_ways, help=f"Some of {','.join(WAYS)}.")
@click.argument("arguments", nargs=-1)
def main(
    dataset: str,
    data_path: Path,
    groups: Path,
    columns: str,
    other_split: str | None,
    with_valid: bool,
    folds: int,
    seeds: list[int],
    model: str,
    ways: list[str],
    arguments: tuple[str, ...],
) -> None:
    """Print recall@10 and ndcg@10 of left-out groups: mean over their pairs ± standard deviation between the folds."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with TemporaryDirectory() as scratch:
        source, work = Path(scratch) / "source", Path(scratch) / "folds"
        work.mkdir()
        write_unseen(data_path, dataset, other_split, with_valid, source)
        train = pairs_of(source, dataset, "train")
        group = groups_of(groups, columns, train["video_id"])
        held_out = [(dataset, "valid")] if with_valid else []
        held_out += [(other_split, "valid"), (other_split, "test")] if other_split else []
        their_groups = [groups_of(groups, columns, pairs_of(data_path, *part)["video_id"]) for part in held_out]
        unseen = np.isin(group, np.concatenate([[""], *their_groups]))
        fold_of = folds_of(group, folds)
        jobs = [(seed, way, fold) for seed in seeds for way in ways for fold in range(folds)]
        made: dict[tuple[str, int], str] = {}
        for seed, way, fold in tqdm(jobs, unit="run", file=sys.stderr, disable=None):
            if ("fold", fold) not in made:
                made["fold", fold] = write_fold(source, dataset, fold_of == fold, work, fold, unseen)
            if way == "pooled" and (way, fold) not in made:
                made[way, fold] = pool(work, made["fold", fold], work)
            values = QUIET | {"seed": seed, "checkpoint_dir": scratch}
            whole = DecCMConfig(model, dataset, config_dict=values | {"data_path": str(source)}, arguments=arguments)
            if with_valid and whole["eval_step"] != 0:
                raise click.ClickException(
                    "--with-valid: the epoch would be chosen on training pairs; add --eval_step=0."
                )
            teacher = str(find_or_train_teacher(whole) or "none") if way == "teacher" else "none"
            name = made[way if way == "pooled" else "fold", fold]
            values |= {"data_path": str(work), "teacher": teacher}
            trained, test = run_config(DecCMConfig(model, name, config_dict=values, arguments=arguments))
            more = trained.extra_results.get("test_unseen", {})
            found[way].append((test or {}) | {f"{metric}, unseen": value for metric, value in more.items()})
    sizes = {"": np.bincount(fold_of, minlength=folds), ", unseen": np.bincount(fold_of[unseen], minlength=folds)}
    columns_shown = [(metric, part) for part in sizes for metric in ("recall@10", "ndcg@10") if sizes[part].any()]

    def over_runs(runs: list[dict[str, float]], metric: str, part: str) -> str:
        """Over the pairs, and the spread between the folds; not every fold has an unseen group."""
        values = np.array([run.get(metric + part, np.nan) for run in runs])
        weights = np.tile(sizes[part], len(runs) // folds)[~np.isnan(values)]
        values = values[~np.isnan(values)]
        mean = np.average(values, weights=weights)
        return f"{mean:.4f} ± {np.sqrt(np.average((values - mean) ** 2, weights=weights)):.4f}"

    rows = [[way, *(over_runs(runs, *column) for column in columns_shown)] for way, runs in found.items()]
    pairs = f"{len(group)} pairs of {train['music_id'].nunique()} music, {len(set(group))} groups"
    pairs += f"; {unseen.sum()} of {len(set(group[unseen]))} unseen"
    click.echo(
        f"{model} on {folds} folds of {dataset}, {pairs}; seeds {', '.join(map(str, seeds))} {' '.join(arguments)}"
    )
    click.echo(
        tabulate(
            rows, headers=["training data", *map("".join, columns_shown)], tablefmt="github", disable_numparse=True
        )
    )


if __name__ == "__main__":
    main()
