"""Explicit tables of what this package adds to RecBole; RecBole's own models stay reachable by name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path

import recbole
import recbole.evaluator.register as recbole_metrics
from recbole.utils import get_model, get_trainer

from recbole_decm.errors import ConfigError

BASELINES = {
    "Ridge": "recbole_decm.model.baselines.fitted",
    "CCA": "recbole_decm.model.baselines.fitted",
    "Cosine": "recbole_decm.model.baselines.fitted",
    "NearestVideos": "recbole_decm.model.baselines.fitted",
    "IPW": "recbole_decm.model.baselines.debiased",
    "PDA": "recbole_decm.model.baselines.debiased",
    "DecRS": "recbole_decm.model.baselines.debiased",
}
MODELS = {
    "DecCM": "recbole_decm.model.decm",
    "DecCMPlus": "recbole_decm.model.decm",
    "DecCMTeacher": "recbole_decm.model.cmvae",
    "CMVAE": "recbole_decm.model.cmvae",
    **BASELINES,
}
METRICS = {
    "IPWRecall": "recbole_decm.evaluation.adapters",
    "IPWNDCG": "recbole_decm.evaluation.adapters",
    "GenreKL": "recbole_decm.evaluation.adapters",
    "MajorityShare": "recbole_decm.evaluation.adapters",
}


def _lookup(table: dict[str, str], name: str) -> type:
    return getattr(importlib.import_module(table[name]), name)


def recbole_model_names() -> list[str]:
    """Names of RecBole's models, in lower case as their modules are named; nothing is imported for it."""
    families = ("general", "context_aware", "sequential", "knowledge_aware", "exlib")
    folder = Path(recbole.__file__).parent / "model"
    paths = [str(folder / f"{family}_recommender") for family in families]
    return [module.name for module in pkgutil.iter_modules(paths)]


def suggest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the nearest known name, or nothing."""
    by_lower = {entry.lower(): entry for entry in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean '{by_lower[near[0]]}'?" if near else ""


def model_class(name: str) -> type:
    """The class of a model by its name, ours first.

    Raises:
        ConfigError: no model has this name; the message names the nearest.
    """
    if name in MODELS:
        return _lookup(MODELS, name)
    try:
        return get_model(name)
    except (ValueError, AttributeError, ImportError) as error:
        if isinstance(error, ImportError) and name.lower() in recbole_model_names():
            raise ConfigError(f"model: {name} needs a package that is not installed ({error}).") from error
        known = [*MODELS, "Pop", "Random", "BPR", "LightGCN", "MultiVAE", "FM", "DeepFM", "DSSM"]
        hint = suggest(name, known) or suggest(name, recbole_model_names())
        raise ConfigError(
            f"model: expected {', '.join(MODELS)} or a model of RecBole (exact case), found '{name}'.{hint}"
        ) from error


def trainer_class(config) -> type:
    """The trainer of a model: ours for our models, RecBole's with our checkpoints for the others."""
    from recbole_decm.fit_once import FitOnceTrainer
    from recbole_decm.trainer import DecCMTrainer, with_checkpoints

    if config["model"] in MODELS and config.share.size > 1:
        from recbole_decm.distributed.trainer import DistributedTrainer

        return DistributedTrainer
    if config["model"] in MODELS:
        return FitOnceTrainer if hasattr(model_class(config["model"]), "fit_once") else DecCMTrainer
    return with_checkpoints(get_trainer(config["MODEL_TYPE"], config["model"]))


def resources_of(metrics: str | Iterable[str]) -> set[str]:
    """What some metrics need, such as ``rec.prior``, by RecBole's table; an unknown metric needs nothing."""
    names = [metrics] if isinstance(metrics, str) else metrics
    return {need for name in names for need in recbole_metrics.metric_information.get(str(name).lower(), ())}


def register_metrics() -> None:
    """Add our metrics to RecBole's four tables; calling it again changes nothing."""
    for name in METRICS:
        metric = _lookup(METRICS, name)
        key = name.lower()
        recbole_metrics.metrics_dict[key] = metric
        recbole_metrics.metric_information[key] = metric.metric_need
        recbole_metrics.metric_types[key] = metric.metric_type
        if metric.smaller and key not in recbole_metrics.smaller_metrics:
            recbole_metrics.smaller_metrics.append(key)
