"""What do fixed candidates reward beside the match? Where the target is new and most others are training music, any
rule that tells the two apart gains, without matching better.

    python benchmarks/new_music.py --dataset muvi0 --data-path DIR --seeds 1,2,3 [--model NAME] [-- --key=value ...]

Prints how much of the test's candidates training pairs hold, what ranking by chance reaches with training music last,
and for the model recall@10 as it is and so reordered, and the AUC (share of a video's other candidates that its own
music is above; chance 0.5) over all candidates and over new music alone, which no such rule can raise.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch
from tabulate import tabulate
from tqdm import tqdm

from recbole_decm.cli.options import seeds_option
from recbole_decm.config.config import DecCMConfig
from recbole_decm.data.loaders import CandidateLoader
from recbole_decm.training.run import run_config

K = 10
QUIET = {"topk": [10], "metrics": ["Recall", "NDCG"], "valid_metric": "NDCG@10"}
QUIET |= {"state": "ERROR", "show_progress": False}


def ranked(scores: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of scores (n,) of candidates of ``rows`` (n,), a row's own music first: those above it, and those below, by row.

    Equal scores count half on either side.
    """
    own = np.unique(rows, return_index=True)[1]
    count = len(own)
    target = scores[own][rows]
    equal = (np.bincount(rows, weights=scores == target, minlength=count) - 1) / 2
    above, below = (np.bincount(rows, weights=side, minlength=count) for side in (scores > target, scores < target))
    return above + equal, below + equal


def measure(scores: np.ndarray, rows: np.ndarray, known: np.ndarray) -> dict[str, float]:
    """Recall@10 and AUC of candidates as in :func:`ranked`; ``known`` (n,) tells which of them training pairs hold.

    Where no candidate but its own is new to training, a video does not count for the AUC of new music.
    """
    last = np.where(known, scores - (scores.max() - scores.min() + 1), scores)
    above, below = ranked(scores, rows)
    new = ~known
    own = np.unique(rows, return_index=True)[1]
    comparable = np.isin(rows, np.flatnonzero(new[own])) & new  # rows whose own music is new
    kept = np.unique(rows[comparable], return_inverse=True)[1]
    above_new, below_new = ranked(scores[comparable], kept)
    others = above_new + below_new
    return {
        f"recall@{K}": float((above < K).mean()),
        f"recall@{K}, training music last": float((ranked(last, rows)[0] < K).mean()),
        "AUC": float((below / (above + below)).mean()),
        "AUC, new music": float(np.average(below_new / others.clip(min=1), weights=others > 0))
        if others.any()
        else np.nan,
    }


def by_chance(rows: np.ndarray, known: np.ndarray) -> dict[str, float]:
    """What no content reaches: expected recall@10 of a random order, and of one with training music last."""
    own = np.unique(rows, return_index=True)[1]
    size, new = np.bincount(rows), np.bincount(rows, weights=~known)
    last = np.where(known[own], (K - new) / (size - new).clip(min=1), K / new.clip(min=1))
    return {
        f"recall@{K}": float(np.minimum(1, K / size).mean()),
        f"recall@{K}, training music last": float(last.clip(0, 1).mean()),
        "AUC": 0.5,
        "AUC, new music": 0.5,
    }


def scored(trained) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, rows and ids of all candidates of the test; rows of different blocks are told apart."""
    parts, seen = [], 0
    trained.model.eval()
    with torch.no_grad():
        for pairs, rows, *_ in trained.splits.test:
            scores = trained.model.predict(pairs.to(trained.model.device)).cpu().numpy()
            parts.append((scores.astype(np.float64), rows.numpy() + seen, pairs[trained.model.ITEM_ID].numpy()))
            seen += int(rows.max()) + 1
    scores, rows, music = (np.concatenate(part) for part in zip(*parts, strict=True))
    return scores, rows, music


def over_seeds(values: list[float]) -> str:
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


@click.command()
@click.option("--dataset", required=True)
@click.option("--data-path", type=click.Path(exists=True, path_type=Path), required=True)
@seeds_option
@click.option("--model", default="DecCMPlus", show_default=True)
@click.argument("arguments", nargs=-1)
def main(dataset: str, data_path: Path, seeds: list[int], model: str, arguments: tuple[str, ...]) -> None:
    """Print what the fixed candidates of the test hold, and metrics that do and do not gain by it."""
    runs = []
    with TemporaryDirectory() as scratch:
        for seed in tqdm(seeds, unit="run", file=sys.stderr, disable=None):
            values = QUIET | {"data_path": str(data_path), "seed": seed, "checkpoint_dir": scratch}
            values |= {"protocol": "default"} if model == "DecCMPlus" else {}
            trained, _ = run_config(DecCMConfig(model, dataset, config_dict=values, arguments=arguments))
            if not isinstance(trained.splits.test, CandidateLoader):
                raise click.ClickException("eval_args: expected candidates (fixed, uniN, popN), found full.")
            if trained.splits.test.positives.counts().max() > 1:
                raise click.ClickException("test: expected one music for each video, found a video with several.")
            scores, rows, music = scored(trained)
            known = trained.splits.test.dataset.popularity[music] > 0
            runs.append(measure(scores, rows, known))
    chance, own = by_chance(rows, known), np.unique(rows, return_index=True)[1]
    others = np.delete(known, own)
    click.echo(f"{model} on {dataset}, seeds {', '.join(map(str, seeds))} {' '.join(arguments)}")
    click.echo(
        f"Training pairs hold {others.mean():.1%} of the other candidates and {known[own].mean():.1%} of the targets."
    )
    lines = [[name, f"{value:.3f}", over_seeds([run[name] for run in runs])] for name, value in chance.items()]
    click.echo(tabulate(lines, headers=["", "by chance", model], tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
