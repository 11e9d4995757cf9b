"""A first look at what the adjustment does: two models and the most popular tracks on data whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from recbole_decm.errors import ConfigError, DecCMError
from recbole_decm.experiments.cells import QUIET, one_cell
from recbole_decm.experiments.compare import arguments_for
from recbole_decm.experiments.runner import run_here
from recbole_decm.report.first_look import FirstLook, Look

MODELS = ("DecCMPlus", "CMVAE", "Pop")
TEST = "do"
"""The test set of choices without confounding."""


def first_look(
    dataset: str = "sim",
    models: Sequence[str] = MODELS,
    k: int = 10,
    values: dict | None = None,
    on_model: Callable[[str], object] = lambda model: None,
) -> FirstLook:
    """Train some models and look at their lists for the videos of ``NAME.do.inter``.

    Args:
        dataset: its YAML names ``do`` among ``extra_tests``; its tracks have genres.
        models: names; the first two are compared in words.
        k: length of the lists.
        values: of the config, for every model.
        on_model: told each model before it is trained.

    Raises:
        ConfigError: the data set has no choices without confounding.
    """
    own = {"topk": [k], "metrics": ["NDCG", "Recall", "MajorityShare"], "valid_metric": f"NDCG@{k}"}
    cells = []
    for model in models:  # each with the keys it knows
        given = arguments_for(model, dataset, {"protocol": "default", **(values or {})})
        cells.append(one_cell(model, dataset, {**QUIET, **own, **given}))
        if TEST not in (cells[-1].config["extra_tests"] or []):
            raise ConfigError(f"{dataset}: expected choices without confounding, '{TEST}' of extra_tests, found none.")
    looks: list[Look] = []
    for cell, found in run_here(cells, lambda cell: on_model(cell.model)):
        if found["error"]:
            raise DecCMError(f"{cell.model}: {found['error']}")
        do, genres = found["metrics"][f"test_{TEST}"], found["genres"]
        looks.append(Look(cell.model, do[f"ndcg@{k}"], do[f"recall@{k}"], tuple(genres["lists_do"])))
    return FirstLook(dataset, k, tuple(genres["names"]), tuple(genres["truth"]), tuple(looks))
