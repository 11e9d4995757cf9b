"""The effect of the teacher by its weight, on validation data: the same model trained at several weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np
from tabulate import tabulate

from recbole_decm.config.values import parse_arguments
from recbole_decm.errors import ConfigError
from recbole_decm.experiments.cells import QUIET, one_cell
from recbole_decm.experiments.runner import run_here
from recbole_decm.metrics.paired import ALPHA, harm_test


@dataclass(frozen=True)
class Effect:
    """What a weight of the teacher does to the validation score, over seeds.

    Attributes:
        weight: of KL(student || teacher).
        seeds: how many.
        score: mean over the seeds; spread: their standard deviation, 0 for one seed.
        gain: mean difference to the same seeds without the teacher, positive where the teacher helps.
        error: standard error of the gain, 0 for one seed.
        p: of "the teacher does not harm", corrected over the weights; NaN for one seed, and for weight 0.
    """

    weight: float
    seeds: int
    score: float
    spread: float
    gain: float
    error: float
    p: float

    @property
    def worse(self) -> bool:
        """Whether the teacher makes validation worse, beyond what chance does to one sweep in twenty."""
        return self.p < ALPHA


def effects(scores: dict[tuple[float, int], float], bigger: bool = True) -> list[Effect]:
    """Paired effects of every weight.

    Args:
        scores: (weight, seed) -> validation score; a seed that has none at weight 0 is left out.
        bigger: whether a bigger score is better.
    """
    own: dict[float, list[float]] = {}
    gains: dict[float, list[float]] = {}
    for weight, seed in sorted(key for key in scores if (0.0, key[1]) in scores):
        own.setdefault(weight, []).append(scores[weight, seed])
        gains.setdefault(weight, []).append((scores[weight, seed] - scores[0.0, seed]) * (1 if bigger else -1))
    tested = [weight for weight in gains if weight != 0]
    p = dict(zip(tested, harm_test([np.array(gains[weight]) for weight in tested]), strict=True))
    found = []
    for weight, values in own.items():
        spread, error = (stdev(values), stdev(gains[weight])) if len(values) > 1 else (0.0, 0.0)
        error /= len(values) ** 0.5
        gain, harm = mean(gains[weight]), float(p.get(weight, np.nan))
        found.append(Effect(weight, len(values), mean(values), spread, gain, error, harm))
    return found


def sweep(
    model: str,
    dataset: str,
    weights: Sequence[float],
    seeds: Sequence[int],
    arguments: Sequence[str] = (),
    on_start: Callable[[float, int], None] = lambda weight, seed: None,
) -> Iterator[dict]:
    """Train the model with each weight and seed; yields their best validation ``score`` by ``metric``, or the ``error``
    of a training that failed.

    Raises:
        ConfigError: the model has no teacher, is told to train without, or validates no epoch.
    """
    values = {**QUIET, **parse_arguments(list(arguments))}
    cells = [
        one_cell(model, dataset, {**values, "teacher_weight": weight, "seed": seed})
        for weight in sorted({0.0, *weights})
        for seed in seeds
    ]
    config = cells[0].config
    if config["teacher"] is None or config["teacher"] == "none":
        raise ConfigError("teacher: expected auto or a checkpoint to weigh, found none.")
    if config["eval_step"] == 0:
        raise ConfigError("eval_step: expected at least 1, to compare the teacher's weights by validation, found 0.")
    how = {"metric": config["valid_metric"], "bigger": config["valid_metric_bigger"]}
    for cell, content in run_here(cells, lambda cell: on_start(cell.values["teacher_weight"], cell.seed), tested=False):
        found = {"weight": cell.values["teacher_weight"], "seed": cell.seed, "error": content["error"]}
        if content["error"] is None:
            found["score"] = content["metrics"]["valid"][config["valid_metric"].lower()]
        yield found | how


def format_effects(found: Sequence[Effect], metric: str) -> str:
    """The table of a sweep, and a warning for each weight at which the teacher makes validation worse."""
    lines = [
        [f"{effect.weight:g}", f"{effect.score:.4f} ± {effect.spread:.4f}", f"{effect.gain:+.4f} ± {effect.error:.4f}"]
        for effect in found
    ]
    headers = ["teacher_weight", f"valid {metric}", "gain over no teacher"]
    table = tabulate(lines, headers=headers, disable_numparse=True)
    warnings = [
        f"warning: at teacher_weight {effect.weight:g} the teacher makes validation worse, "
        f"by {-effect.gain:.4f} ± {effect.error:.4f} (p = {effect.p:.3f}, t-test over seeds, Holm over weights). "
        "Lower the weight, or train with --teacher=none."
        for effect in found
        if effect.worse
    ]
    if any(effect.weight != 0 and effect.seeds == 1 for effect in found):
        warnings.append("One seed cannot tell what the teacher does from chance: give several with --seeds.")
    return "\n".join([table, *warnings])
