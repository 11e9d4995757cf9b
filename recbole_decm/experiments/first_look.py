"""A first look at what the adjustment does: two models and the most popular tracks on data whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from recbole_decm.config.config import DecCMConfig
from recbole_decm.errors import ConfigError
from recbole_decm.experiments.compare import arguments_for
from recbole_decm.metrics.genres import genre_counts
from recbole_decm.report.first_look import FirstLook, Look
from recbole_decm.training.run import fit, start_logging

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
    given = {name: arguments_for(name, dataset, values or {}) for name in models}  # each model, the keys it knows
    looks: list[Look] = []
    names: tuple[str, ...] = ()
    truth = np.zeros(0)
    for model in models:
        on_model(model)
        own = {"topk": [k], "metrics": ["NDCG", "Recall", "MajorityShare"], "valid_metric": f"NDCG@{k}"}
        quiet = {"state": "WARNING", "show_progress": False}
        config = DecCMConfig(model, dataset, config_dict={**quiet, **own, **given[model]})
        if TEST not in (config["extra_tests"] or []):
            raise ConfigError(f"{dataset}: expected choices without confounding, '{TEST}' of extra_tests, found none.")
        start_logging(config)
        trained = fit(config)
        data, loader = trained.splits.dataset, trained.splits.extra[TEST]
        collector = trained.trainer.eval_collector
        collector.keep("rec.items")
        found = trained.trainer.evaluate(loader)
        lists = collector.kept.get("rec.items").numpy()
        shares = genre_counts(lists, data.genre_membership)[:, -1].sum(axis=0) / lists.size
        looks.append(Look(model, float(found[f"ndcg@{k}"]), float(found[f"recall@{k}"]), tuple(shares.tolist())))
        names = tuple(data.genre_vocabulary)
        truth = data.genre_membership[loader.positives.ids].mean(axis=0, dtype=np.float64)
    return FirstLook(dataset, k, names, tuple(truth.tolist()), tuple(looks))
