"""How much of what professional pairs know does the teacher bring over? DecCMPlus on user-generated pairs alone, with
its teacher, and with the professional pairs pooled into its training data; another model by ``--model``.

    python benchmarks/pooling.py --dataset muvi0 --data-path DIR --seeds 1,2,3,4,5

DIR/muvi0 and DIR/muvi0-pgc are as ``recbole-decm import-released`` writes them. The data set must have fixed
candidates: over a whole catalogue, pooling would also add music to rank.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.registry import model_class
from recbole_decm.io.atomic import parse_matrix, read_columns, read_header, write_atomic
from recbole_decm.model.decm import DecCM
from recbole_decm.training.run import run_config

PREFIX = "pgc-"


def pool(folder: Path, name: str, out: Path) -> str:
    """Write ``out/NAME-pooled``: the data set with the pairs of NAME-pgc added to its training rows.

    Professional videos have no uploader to be confounded by: their prior is uniform.
    """
    pooled, ugc, pgc = f"{name}-pooled", folder / name, folder / f"{name}-pgc"
    target = out / pooled
    target.mkdir(parents=True)

    def columns(path: Path, *fields: str) -> dict[str, list[str]]:
        known = [field for field in fields if field in read_header(path)]
        return {field: read_columns(path, known)[field].tolist() for field in known}

    user = columns(ugc / f"{name}.user", "video_id", "uploader_genre")
    item = columns(ugc / f"{name}.item", "music_id", "genre")
    more_videos = columns(pgc / f"{name}-pgc.user", "video_id")["video_id"]
    more_music = columns(pgc / f"{name}-pgc.item", "music_id")["music_id"]
    prior = parse_matrix(ugc / f"{name}.user", "uploader_genre", user["uploader_genre"])
    uniform = np.full((len(more_videos), prior.shape[1]), 1 / prior.shape[1], dtype=prior.dtype)
    write_atomic(
        target / f"{pooled}.user",
        {
            "video_id:token": user["video_id"] + [PREFIX + video for video in more_videos],
            "uploader_genre:float_seq": np.concatenate([prior, uniform]),
        },
    )
    write_atomic(
        target / f"{pooled}.item",
        {
            "music_id:token": item["music_id"] + [PREFIX + music for music in more_music],
            "genre:token_seq": [cell.split() for cell in item["genre"]] + [[]] * len(more_music),
        },
    )
    for field in ("visual", "acoustic"):
        parts = [np.load(source / f"{source.name}.{field}.npy") for source in (ugc, pgc)]
        np.save(target / f"{pooled}.{field}.npy", np.concatenate(parts))
    pairs = columns(ugc / f"{name}.train.inter", "video_id", "music_id")
    more = columns(pgc / f"{name}-pgc.train.inter", "video_id", "music_id")
    both = {f"{field}:token": pairs[field] + [PREFIX + token for token in more[field]] for field in pairs}
    write_atomic(target / f"{pooled}.train.inter", both)
    for split in ("valid", "test"):
        for kind in ("inter", "candidates"):
            shutil.copy(ugc / f"{name}.{split}.{kind}", target / f"{pooled}.{split}.{kind}")
    text = (ugc / f"{name}.yaml").read_text()
    (target / f"{pooled}.yaml").write_text(text.replace(f"{name}.", f"{pooled}."))
    return pooled


@click.command()
@click.option("--dataset", required=True)
@click.option("--data-path", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--seeds", default="1,2,3,4,5", show_default=True)
@click.option("--model", default="DecCMPlus", show_default=True)
@click.option("--valid-only", is_flag=True, help="Print validation metrics alone, for choices.")
@click.argument("arguments", nargs=-1)
def main(dataset: str, data_path: Path, seeds: str, model: str, valid_only: bool, arguments: tuple[str, ...]) -> None:
    """Print recall@10 and ndcg@10 of the three ways, and the share of the pooling gain that the teacher recovers."""
    chosen = [int(seed) for seed in seeds.split(",")]
    found: dict[str, list[dict[str, float]]] = {}
    with TemporaryDirectory() as work:
        pooled = pool(data_path, dataset, Path(work))
        ways = {
            "user-generated pairs alone": (dataset, data_path, "none"),
            "with the teacher": (dataset, data_path, "auto"),
            "professional pairs pooled": (pooled, Path(work), "none"),
        }
        taught = issubclass(model_class(model), DecCM)
        if not taught:
            del ways["with the teacher"]
        jobs = [(way, seed) for way in ways for seed in chosen]
        for way, seed in tqdm(jobs, unit="run", file=sys.stderr, disable=None):
            name, folder, teacher = ways[way]
            values = {"data_path": str(folder), "seed": seed, "checkpoint_dir": work}
            values |= {"teacher": teacher} if taught else {}
            values |= {"protocol": "default"} if model == "DecCMPlus" else {}
            config = DecCMConfig(
                model,
                name,
                config_dict={**values, "topk": [10], "metrics": ["Recall", "NDCG"], "valid_metric": "NDCG@10"}
                | {"state": "WARNING", "show_progress": False},
                arguments=arguments,
            )
            trained, test = run_config(config)
            result = {f"valid:{metric}": value for metric, value in (trained.valid_result or {}).items()}
            found.setdefault(way, []).append(result | ({} if valid_only else test or {}))
    metrics = list(next(iter(found.values()))[0])
    lines = [
        [way, *(f"{np.mean([r[m] for r in rows]):.4f} ± {np.std([r[m] for r in rows], ddof=1):.4f}" for m in metrics)]
        for way, rows in found.items()
    ]
    if taught:
        lines.append(share_of_the_gain(found, metrics))
    click.echo(f"{model} on {dataset}, seeds {', '.join(map(str, chosen))}")
    click.echo(tabulate(lines, headers=["training data", *metrics], tablefmt="github", disable_numparse=True))


def share_of_the_gain(found: dict[str, list[dict[str, float]]], metrics: list[str]) -> list[str]:
    """What the teacher brings of what pooling gains, a column a metric."""
    alone, taught, all_pairs = ({m: np.mean([r[m] for r in rows]) for m in metrics} for rows in found.values())
    gains = [(taught[m] - alone[m], all_pairs[m] - alone[m]) for m in metrics]
    shares = [f"{ours / pooling:.0%}" if pooling > 0 else "pooling gains nothing" for ours, pooling in gains]
    return ["share of the pooling gain", *shares]


if __name__ == "__main__":
    main()
