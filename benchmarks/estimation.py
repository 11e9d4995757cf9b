"""Are the estimates right where the truth is known? Estimated metrics and diagnosis on simulations.

    python benchmarks/estimation.py --out docs/results/estimation.md
    python benchmarks/estimation.py --what diagnosis --worlds log --videos 3000 --confounding 0,0.5 --style 0,0.5

Three kinds of world. ``log``: the preference acts through its logarithm, as the choice model has it. ``linear``: it
acts through itself, scaled to the same deviation. ``taste``: beside the log-preference each uploader has a taste for
tracks that nothing observed tells. The last two are outside the choice model's family; nothing is tuned on them. The
truth is the expected recall under the known chances without habit, not one draw. Finished cells are kept in ``--work``,
and so are data and lists: without its notes, a cell of other estimates trains nothing.
"""

from __future__ import annotations

import json
import logging
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations, product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from deviations import write_between_markers
from scipy.special import softmax
from tabulate import tabulate
from tqdm import tqdm

from recbole_decm.cli.options import numbers
from recbole_decm.config.config import DecCMConfig
from recbole_decm.data.loaders import Splits
from recbole_decm.diagnosis.run import diagnose
from recbole_decm.estimation.lists import estimate_of_lists
from recbole_decm.io.write import write_text
from recbole_decm.metrics.ranking import top_lists
from recbole_decm.simulation import causal
from recbole_decm.simulation.files import write_simulation
from recbole_decm.training.estimates import estimates
from recbole_decm.training.run import Trained, evaluations, fit, load

K = 10
TASTE = 0.3
"""Deviation of the unmeasured taste along each latent direction of the tracks."""
MODELS = "Ridge,CCA,NearestVideos,DecCMPlus,DecCMPlus+uploader,Pop"
APART = 0.02
"""Models whose true recalls are nearer than this are as good as tied."""
SEEDS = ",".join(map(str, range(1, 21)))
LEARNED = {"protocol": "default", "teacher": "none", "epochs": 15, "eval_step": 0}
"""A matcher trained briefly: what is judged is the estimate, which has to hold for any lists."""


@dataclass(frozen=True)
class Cell:
    """One world, and what is measured there. Its files lie in ``work``."""

    what: str
    kind: str
    videos: int
    confounding: float
    style: float
    seed: int
    models: tuple[str, ...]
    work: Path

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.videos}-{self.confounding:g}-{self.style:g}-{self.seed}"

    @property
    def note(self) -> Path:
        """Where the rows of a finished cell are kept."""
        return self.work / self.what / f"{self.name}.json"

    @property
    def data(self) -> Path:
        """The folder of the world; written unless it is there."""
        if not (self.work / "data" / self.name).is_dir():
            world = simulate(self.kind, self.videos, self.confounding, self.seed, self.style)
            write_simulation(world, self.work / "data", self.name)
        return self.work / "data" / self.name

    def row(self, **values: Any) -> dict[str, Any]:
        """A row of the results: which world it is of, and some values."""
        keys = {"world": self.kind, "videos": self.videos, "confounding": self.confounding, "style": self.style}
        return keys | {"seed": self.seed} | values


def simulate(kind: str, videos: int, confounding: float, seed: int, style: float = 0.0) -> causal.Simulation:
    """A simulation whose observed choices are those of a kind of world; of professional videos the fewest."""
    config = causal.SimulationConfig.of(
        videos=videos, music=600, confounding=confounding, style=style, seed=seed, pgc_videos=10, pgc_music=6
    )
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


def estimates_cell(cell: Cell) -> list[dict]:
    """Observed, estimated and true values of each model's lists in one world; the data are read, and weighed, once."""
    folder = cell.data
    values = {"data_path": str(folder.parent), "state": "ERROR", "show_progress": False, "topk": [K], "seed": cell.seed}
    values |= {"checkpoint_dir": str(cell.work / "checkpoints"), "valid_metric": f"Recall@{K}", "extra_tests": None}
    weighed = {"metrics": ["Recall", "DoRecall", "MajorityShare"]}
    splits = load(DecCMConfig("DecCMPlus", folder.name, config_dict=values | weighed | LEARNED))
    loader, truth = splits.test, np.load(folder / f"{folder.name}.truth.npz")
    match = truth["video_latent"][loader.users - 1] @ truth["music_latent"].T
    chances, largest = softmax(match, axis=1), truth["genre"] == np.bincount(truth["genre"]).argmax()
    plain = DecCMConfig("Ridge", folder.name, config_dict=values)
    share = estimates(plain, None, loader)["chosen_majority_share"]
    chosen, known, found = loader.positives.ids, loader.intervention, []
    for model, listed in {"oracle": top_lists(match, K) + 1, **lists_of(cell, splits, values)}.items():
        hits = listed == chosen[:, None]
        table = np.column_stack([known.chances(0, listed - 1), known.weight, known.overlap])
        value, low, high = (float(part[-1]) for part in estimate_of_lists("dorecall", hits, table, cell.seed))
        true = float(np.take_along_axis(chances, listed - 1, axis=1).sum(axis=1).mean())
        spread = 1.96 * float(hits.any(axis=1).std()) / len(hits) ** 0.5
        observed = float(hits.any(axis=1).mean())
        row = cell.row(model=model, true=true, estimated=value, low=low, high=high, covered=low <= true <= high)
        row |= {"observed": observed, "observed_covered": abs(observed - true) <= spread}
        row |= {"strength": known.model.mixing.strength, "share_true": float(chances[:, largest].sum(axis=1).mean())}
        found.append(row | {"share_estimated": share["estimated"], "share_observed": share["observed"]})
    return found


def lists_of(cell: Cell, splits: Splits, values: dict) -> dict[str, np.ndarray]:
    """(n, K) ids of each model's lists for the test videos; kept, as another estimate needs no training.

    ``MODEL+PRIOR`` is the same trained model, ranking under that ``inference_prior``.
    """
    files = {model: cell.work / "lists" / f"{cell.name}-{model}.npy" for model in cell.models}
    trained: dict[str, Trained] = {}
    for model, file in files.items():
        if file.is_file():
            continue
        kind, _, prior = model.partition("+")
        if kind not in trained:
            own = values | {"metrics": ["Recall"]} | (LEARNED if kind == "DecCMPlus" else {})
            config = DecCMConfig(kind, splits.config["dataset"], config_dict=own)
            trained[kind] = fit(config, saved=False, splits=splits)
        if hasattr(trained[kind].model, "rank_under"):
            trained[kind].model.rank_under(prior or trained[kind].model.settings.inference_prior)
        next(evaluations(trained[kind], saved=False))
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, trained[kind].trainer.eval_collector.kept.get("rec.items").numpy())
    return {model: np.load(file) for model, file in files.items()}


def diagnosis_cell(cell: Cell) -> list[dict]:
    """The test and the strength of one world, with the preference given and counted."""
    folder, rows = cell.data, []
    for preference in ("read", "train"):
        found = diagnose(folder.name, [f"--data_path={folder.parent}", f"--uploader_prior={preference}"])
        rows.append(cell.row(preference=preference, p=found["p_value"], **found["strength"]))
        rows[-1]["detectable"] = found["detectable"]
    return rows


CELLS = {"estimates": estimates_cell, "diagnosis": diagnosis_cell}


def run_cell(cell: Cell) -> list[dict]:
    """The rows of a cell, from the notes of an earlier run where there are any."""
    torch.set_num_threads(1)
    logging.getLogger().setLevel(logging.ERROR)
    if not cell.note.is_file():
        write_text(cell.note, json.dumps(CELLS[cell.what](cell)))
    return json.loads(cell.note.read_text())


def estimates_table(rows: list[dict]) -> str:
    """One line a world and strength: error, coverage and order of the models' recall, and the chosen share's error."""
    lines = []
    for (kind, videos, confounding), group in grouped(rows, "world", "videos", "confounding"):
        models = [row for row in group if row["model"] != "oracle"]
        oracle = [row for row in group if row["model"] == "oracle"]
        line = [kind, videos, f"{confounding:g}", len(oracle)]
        for name, covered in (("observed", "observed_covered"), ("estimated", "covered")):
            line += [f"{error(models, name):.3f}", f"{mean(models, covered):.2f}"]
            line += [f"{order(models, name):.2f}, {order(models, name, APART):.2f}"]
        line += [f"{np.mean([row['estimated'] - row['true'] for row in oracle]):+.3f}"]
        line += [f"{error(oracle, f'share_{name}', 'share_true'):.3f}" for name in ("observed", "estimated")]
        lines.append([*line, f"{mean(oracle, 'strength'):.2f}"])
    heads = ["world", "videos", "confounding", "seeds", "observed: error", "covers", "tau"]
    heads += ["estimated: error", "covers", "tau", "oracle: bias", "chosen share, observed: error", "estimated: error"]
    return tabulate(lines, [*heads, "strength found"], tablefmt="github", disable_numparse=True)


def diagnosis_table(rows: list[dict]) -> str:
    """One line a strength and kind of preference: how often the test rejects, what is found, how often near the truth.

    Found is the coefficient of a given preference, near where it is within 0.15 or 20 %, or the deviation of tastes.
    """
    lines = []
    keys = ("world", "videos", "confounding", "style", "preference")
    for (kind, videos, confounding, style, preference), group in grouped(rows, *keys):
        given, values = preference == "read", [row["value"] for row in group]
        line = [kind, videos, f"{confounding:g}", f"{style:g}", "given" if given else "counted"]
        line += [f"{sum(row['p'] < 0.05 for row in group)} of {len(group)}"]
        line += [f"{np.mean(values):.2f} ± {np.std(values):.2f}"]
        near = sum(abs(value - confounding) <= max(0.15, 0.2 * confounding) for value in values)
        lines.append([*line, f"{near} of {len(group)}" if given else "-", f"{mean(group, 'detectable'):.2f}"])
    heads = ["world", "videos", "confounding", "style", "preference", "rejected at 0.05", "found", "near"]
    return tabulate(lines, [*heads, "detectable"], tablefmt="github", disable_numparse=True)


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


def order(rows: list[dict], key: str, apart: float = 0.0) -> float:
    """Mean over the seeds of Kendall's tau between the models' order and the true one.

    Args:
        apart: leave out pairs of models whose true values are nearer than this.
    """
    taus = []
    for _, group in grouped(rows, "seed"):
        pairs = [(a["true"] - b["true"], a[key] - b[key]) for a, b in combinations(group, 2)]
        taus.append(np.mean([np.sign(true * found) for true, found in pairs if abs(true) >= apart]))
    return float(np.mean(taus))


@click.command()
@click.option("--what", type=click.Choice(list(CELLS)), default="estimates", show_default=True)
@click.option(
    "--seeds", default=SEEDS, show_default=True, callback=numbers(int, "integers"), help="Seeds, comma-separated."
)
@click.option("--confounding", default="0,0.75,1.5,2", show_default=True, callback=numbers(float, "numbers"))
@click.option("--worlds", default="log,linear,taste", show_default=True, help="Kinds of world, comma-separated.")
@click.option("--style", default="0", show_default=True, callback=numbers(float, "numbers"))
@click.option("--videos", default=12_000, show_default=True, type=click.IntRange(min=100))
@click.option(
    "--models",
    default=MODELS,
    show_default=True,
    help="Registered models, comma-separated; MODEL+PRIOR ranks under PRIOR.",
)
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Processes.")
@click.option("--work", default="saved/estimation", show_default=True, type=click.Path(path_type=Path))
@click.option("--finished", is_flag=True, help="Measure nothing: the table of what is finished.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Markdown to write the table into.")
def main(
    what: str,
    seeds: list[float],
    confounding: list[float],
    style: list[float],
    worlds: str,
    videos: int,
    models: str,
    jobs: int,
    work: Path,
    finished: bool,
    out: Path | None,
) -> None:
    """Set observed and estimated metrics, or diagnoses, beside the truth of simulations."""
    cells = [
        Cell(what, kind, videos, strength, leak, int(seed), tuple(models.split(",")), work)
        for kind, strength, leak, seed in product(worlds.split(","), confounding, style, seeds)
    ]
    cells = [cell for cell in cells if cell.note.is_file() or not finished]
    rows: list[dict] = []
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        done = (map if finished else pool.map)(run_cell, cells)
        for part in tqdm(done, total=len(cells), unit="world", file=sys.stderr, disable=None):
            rows += part
    text = TABLES[what](rows)
    click.echo(text)
    if out is not None:
        write_between_markers(out, text, what)


if __name__ == "__main__":
    main()
