"""Are the estimates right where the truth is known? Estimated metrics and diagnosis on simulations.

    python benchmarks/estimation.py --what estimates --out docs/results/estimation.md
    python benchmarks/estimation.py --what diagnosis --videos 3000 --confounding 0,0.5

Three kinds of world. ``log``: the preference acts through its logarithm, as the choice model has it. ``linear``: it
acts through itself, scaled to the same deviation. ``taste``: beside the log-preference each uploader has a taste for
tracks that nothing observed tells. The last two are outside the choice model's family; nothing is tuned on them. The
truth is the expected recall under the known chances without habit, not one draw. Finished cells are kept in ``--work``.
"""

from __future__ import annotations

import json
import logging
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np
import torch
from confounding import numbers
from deviations import write_between_markers
from scipy.special import softmax
from scipy.stats import kendalltau
from tabulate import tabulate
from tqdm import tqdm

from recbole_decm.config.config import DecCMConfig
from recbole_decm.diagnosis.run import diagnose
from recbole_decm.estimation.lists import estimate_of_lists
from recbole_decm.io.write import write_text
from recbole_decm.metrics.ranking import top_lists
from recbole_decm.simulation import causal
from recbole_decm.simulation.files import write_simulation
from recbole_decm.training.estimates import estimates
from recbole_decm.training.run import evaluations, fit, load

K = 10
TASTE = 0.3
"""Deviation of the unmeasured taste along each latent direction of the tracks."""
MODELS = "Ridge,CCA,NearestVideos,DecRS,DecCMPlus,Pop"


def simulate(kind: str, videos: int, confounding: float, seed: int) -> causal.Simulation:
    """A simulation whose observed choices are those of a kind of world."""
    config = causal.SimulationConfig.of(videos=videos, music=600, confounding=confounding, seed=seed)
    drawn = causal.simulate(config)
    if kind == "log":
        return drawn
    rng = np.random.default_rng([seed, 7])
    uploads, tracks = drawn.uploads, drawn.catalogue
    usual = causal.confounder(config, uploads, tracks)
    if kind == "linear":
        scale = confounding * np.log(uploads.preferences + 0.01).std() / uploads.preferences.std()
        linear = (scale * uploads.preferences).astype(np.float32)

        def offset(rows: slice) -> np.ndarray:
            return linear[uploads.uploader[rows]][:, tracks.genre]

    else:
        taste = rng.normal(0, TASTE, (len(uploads.preferences), config.latent_dim)).astype(np.float32)

        def offset(rows: slice) -> np.ndarray:
            return usual(rows) + taste[uploads.uploader[rows]] @ tracks.latent.T

    return replace(drawn, observed=causal.choose(uploads.latent, tracks, rng, offset=offset))


def estimates_cell(kind: str, videos: int, confounding: float, seed: int, models: list[str], work: Path) -> list[dict]:
    """Observed, estimated and true values of each model's lists in one world."""
    folder = written(kind, videos, confounding, seed, work)
    values = {"data_path": str(folder.parent), "state": "ERROR", "show_progress": False, "topk": [K], "seed": seed}
    values |= {"checkpoint_dir": str(work / "checkpoints"), "valid_metric": f"Recall@{K}", "extra_tests": None}
    metrics = {"metrics": ["Recall", "DoRecall", "MajorityShare"]}
    weighed = load(DecCMConfig("Ridge", folder.name, config_dict=values | metrics))
    loader, truth = weighed.test, np.load(folder / f"{folder.name}.truth.npz")
    match = truth["video_latent"][loader.users - 1] @ truth["music_latent"].T
    chances, largest = softmax(match, axis=1), truth["genre"] == np.bincount(truth["genre"]).argmax()
    lists = {"oracle": top_lists(match, K) + 1}
    for model in models:
        trained = fit(DecCMConfig(model, folder.name, config_dict=values | {"metrics": ["Recall"]}), saved=False)
        for name, _, _ in evaluations(trained, saved=False):
            lists |= {model: trained.trainer.eval_collector.kept.get("rec.items").numpy()} if name == "test" else {}
    chosen, found = loader.positives.ids, []
    share = estimates(DecCMConfig("Ridge", folder.name, config_dict=values), None, loader)["chosen_majority_share"]
    known = loader.intervention
    for model, listed in lists.items():
        hits = listed == chosen[:, None]
        table = np.column_stack([known.chances(0, listed - 1), known.weight, known.overlap])
        value, low, high = (float(part[-1]) for part in estimate_of_lists("dorecall", hits, table, seed))
        true = float(np.take_along_axis(chances, listed - 1, axis=1).sum(axis=1).mean())
        spread = 1.96 * float(hits.any(axis=1).std()) / len(hits) ** 0.5
        observed = float(hits.any(axis=1).mean())
        row = {"world": kind, "videos": videos, "confounding": confounding, "seed": seed, "model": model}
        row |= {"true": true, "estimated": value, "covered": low <= true <= high, "observed": observed}
        row |= {"observed_covered": abs(observed - true) <= spread, "strength": known.model.mixing.strength}
        row |= {"share_true": float(chances[:, largest].sum(axis=1).mean()), "share_estimated": share["estimated"]}
        found.append(row | {"share_observed": share["observed"]})
    return found


def diagnosis_cell(kind: str, videos: int, confounding: float, seed: int, models: list[str], work: Path) -> list[dict]:
    """The test and the strength of one world, with the preference given and counted."""
    folder = written(kind, videos, confounding, seed, work)
    rows = []
    for preference in ("read", "train"):
        found = diagnose(folder.name, [f"--data_path={folder.parent}", f"--uploader_prior={preference}"])
        row = {"world": kind, "videos": videos, "confounding": confounding, "seed": seed, "preference": preference}
        rows.append(row | {"p": found["p_value"], **found["strength"], "detectable": found["detectable"]})
    return rows


CELLS = {"estimates": estimates_cell, "diagnosis": diagnosis_cell}


def written(kind: str, videos: int, confounding: float, seed: int, work: Path) -> Path:
    """The folder of a world; written unless it is there."""
    name = f"{kind}-{videos}-{confounding:g}-{seed}"
    if not (work / "data" / name).is_dir():
        write_simulation(simulate(kind, videos, confounding, seed), work / "data", name)
    return work / "data" / name


def run_cell(what: str, kind: str, videos: int, confounding: float, seed: int, models: list[str], work: Path) -> list:
    """The rows of a cell, from the notes of an earlier run where there are any."""
    torch.set_num_threads(1)
    logging.getLogger().setLevel(logging.ERROR)
    named = "-".join(models) if what == "estimates" else "all"
    note = work / what / f"{kind}-{videos}-{confounding:g}-{seed}-{named}.json"
    if not note.is_file():
        write_text(note, json.dumps(CELLS[what](kind, videos, confounding, seed, models, work)))
    return json.loads(note.read_text())


def estimates_table(rows: list[dict]) -> str:
    """One line a world and strength: error, coverage and order of the models' recall, and the chosen share's error."""
    lines = []
    for (kind, videos, confounding), group in grouped(rows, "world", "videos", "confounding"):
        models = [row for row in group if row["model"] != "oracle"]
        oracle = [row for row in group if row["model"] == "oracle"]
        line = [kind, videos, f"{confounding:g}", len(oracle)]
        for name, covered in (("observed", "observed_covered"), ("estimated", "covered")):
            line += [f"{error(models, name):.3f}", f"{mean(models, covered):.2f}", f"{order(models, name):.2f}"]
        line += [f"{np.mean([row['estimated'] - row['true'] for row in oracle]):+.3f}"]
        line += [f"{error(oracle, f'share_{name}', 'share_true'):.3f}" for name in ("observed", "estimated")]
        lines.append([*line, f"{mean(oracle, 'strength'):.2f}"])
    heads = ["world", "videos", "confounding", "seeds", "observed: error", "covers", "tau"]
    heads += ["estimated: error", "covers", "tau", "oracle: bias", "chosen share, observed: error", "estimated: error"]
    return tabulate(lines, [*heads, "strength found"], tablefmt="github", disable_numparse=True)


def diagnosis_table(rows: list[dict]) -> str:
    """One line a strength and kind of preference: how often the test rejects, and the strength found."""
    lines = []
    for (kind, videos, confounding, preference), group in grouped(rows, "world", "videos", "confounding", "preference"):
        values = [row["value"] for row in group]
        words = {"read": "given", "train": "counted"}[preference]
        rejected = sum(row["p"] < 0.05 for row in group)
        line = [kind, videos, f"{confounding:g}", words, f"{rejected} of {len(group)}"]
        lines.append([*line, f"{np.mean(values):.2f} ± {np.std(values):.2f}", f"{mean(group, 'detectable'):.2f}"])
    heads = ["world", "videos", "confounding", "preference", "rejected at 0.05", "strength", "detectable"]
    return tabulate(lines, heads, tablefmt="github", disable_numparse=True)


TABLES = {"estimates": estimates_table, "diagnosis": diagnosis_table}


def grouped(rows: list[dict], *keys: str):
    """Rows by the values of some keys, in their order."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups.items()


def mean(rows: list[dict], key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


def error(rows: list[dict], key: str, true: str = "true") -> float:
    """Mean absolute error."""
    return float(np.mean([abs(row[key] - row[true]) for row in rows]))


def order(rows: list[dict], key: str) -> float:
    """Mean over the seeds of Kendall's tau between the models' order and the true one."""
    taus = [
        kendalltau([row[key] for row in group], [row["true"] for row in group])[0] for _, group in grouped(rows, "seed")
    ]
    return float(np.mean(taus))


@click.command()
@click.option("--what", type=click.Choice(list(CELLS)), default="estimates", show_default=True)
@click.option("--seeds", default="1,2,3,4,5", show_default=True, callback=numbers, help="Seeds, comma-separated.")
@click.option("--confounding", default="0,0.75,1.5,2", show_default=True, callback=numbers)
@click.option("--worlds", default="log,linear,taste", show_default=True, help="Kinds of world, comma-separated.")
@click.option("--videos", default=12_000, show_default=True, type=click.IntRange(min=100))
@click.option("--models", default=MODELS, show_default=True, help="Registered models, comma-separated.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Processes.")
@click.option("--work", default="saved/estimation", show_default=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Markdown to write the table into.")
def main(
    what: str,
    seeds: list[float],
    confounding: list[float],
    worlds: str,
    videos: int,
    models: str,
    jobs: int,
    work: Path,
    out: Path | None,
) -> None:
    """Set observed and estimated metrics, or diagnoses, beside the truth of simulations."""
    cells = [
        (what, kind, videos, strength, int(seed), models.split(","), work)
        for kind, strength, seed in product(worlds.split(","), confounding, seeds)
    ]
    rows: list[dict] = []
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        done = pool.map(run_cell, *zip(*cells, strict=True))
        for part in tqdm(done, total=len(cells), unit="world", file=sys.stderr, disable=None):
            rows += part
    text = TABLES[what](rows)
    click.echo(text)
    if out is not None:
        write_between_markers(out, text)


if __name__ == "__main__":
    main()
