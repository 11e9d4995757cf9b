"""Explicit tables of what this package adds to RecBole; RecBole's own models stay reachable by name."""

from __future__ import annotations

import importlib
import operator
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import recbole
import recbole.evaluator.register as recbole_metrics
from recbole.utils import ModelType, get_model

from recbole_decm.config.typed_keys import RECBOLE_PROPERTIES
from recbole_decm.errors import ConfigError, suggest
from recbole_decm.io.shipped import shipped
from recbole_decm.model.base import is_recommender

BASELINES = {
    "Ridge": "recbole_decm.model.baselines.fitted",
    "CCA": "recbole_decm.model.baselines.fitted",
    "Cosine": "recbole_decm.model.baselines.fitted",
    "NearestVideos": "recbole_decm.model.baselines.fitted",
    "IPW": "recbole_decm.model.baselines.debiased",
    "PDA": "recbole_decm.model.baselines.debiased",
    "DecRS": "recbole_decm.model.baselines.debiased",
    "ContrastiveTowers": "recbole_decm.model.baselines.rivals",
    "VMNet": "recbole_decm.model.baselines.rivals",
    "ControlMVR": "recbole_decm.model.baselines.rivals",
    "GenreBalanced": "recbole_decm.model.baselines.rivals",
    "UploaderOffset": "recbole_decm.model.baselines.rivals",
}
MODELS = {
    "DecCM": "recbole_decm.model.decm",
    "DecCMPlus": "recbole_decm.model.decm",
    "DecCMTeacher": "recbole_decm.model.cmvae",
    "CMVAE": "recbole_decm.model.cmvae",
    **BASELINES,
}
METRICS = {
    "IPWRecall": "recbole_decm.config.metrics",
    "IPWNDCG": "recbole_decm.config.metrics",
    "GenreKL": "recbole_decm.config.metrics",
    "MajorityShare": "recbole_decm.config.metrics",
    "DoRecall": "recbole_decm.config.metrics",
    "DoNDCG": "recbole_decm.config.metrics",
    "DoMRR": "recbole_decm.config.metrics",
}


_NOT_HERE = {
    ModelType.SEQUENTIAL: "predicts what follows in a history of tracks; here a video has one track and no history",
    ModelType.KNOWLEDGE: "learns from a knowledge graph (.kg and .link), which this package does not read",
    ModelType.DECISIONTREE: "is trained and evaluated in ways of its own, on labels, which this package does not have",
}


def refuse_family(name: str, family: ModelType) -> None:
    """Raise :class:`ConfigError` for a model of a kind that cannot run on these data, with the reason."""
    if family in _NOT_HERE:
        raise ConfigError(
            f"model: {name} {_NOT_HERE[family]}. Choose one of {', '.join(MODELS)}, or a general or "
            "context-aware model of RecBole."
        )


def _lookup(table: dict[str, str], name: str) -> Any:
    return getattr(importlib.import_module(table[name]), name)


def recbole_model_names() -> list[str]:
    """Names of RecBole's models, in lower case as their modules are named; nothing is imported for it."""
    families = ("general", "context_aware", "sequential", "knowledge_aware", "exlib")
    folder = Path(recbole.__file__).parent / "model"
    paths = [str(folder / f"{family}_recommender") for family in families]
    return [module.name for module in pkgutil.iter_modules(paths)]


def model_class(name: str) -> Any:
    """The class of a model by its name, ours first; ``package.module:Class`` is imported, which runs its code.

    Raises:
        ConfigError: no model has this name (the message names the nearest), it cannot be imported, or is no model.
    """
    if name in MODELS:
        return _lookup(MODELS, name)
    if is_outside(name):
        return _imported(name)
    if name in ("XGBoost", "LightGBM"):  # to import one, RecBole imports the packages of both
        refuse_family(name, ModelType.DECISIONTREE)
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


def is_outside(name: str) -> bool:
    """Whether a name is that of a class of other people, ``package.module:Class``."""
    return ":" in name


def name_of(kind: type) -> str:
    """The name by which :func:`model_class` finds a class."""
    name = kind.__name__
    try:
        known = model_class(name)
    except ConfigError:
        known = None
    return name if known is kind else f"{kind.__module__}:{kind.__qualname__}"


def _imported(name: str) -> Any:
    module, _, path = name.partition(":")
    try:
        found = operator.attrgetter(path)(importlib.import_module(module))
    except (Exception, SystemExit) as error:  # a module may raise anything
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise ConfigError(
            f"model: expected package.module:Class that can be imported, found {name} ({reason}). "
            "Install its package, or set PYTHONPATH to the folder that holds it."
        ) from error
    if not is_recommender(found):
        raise ConfigError(f"model: expected a class on one of RecBole's recommenders, found {name}, which is none.")
    return found


def settings_files(name: str, kind: type) -> list[Path]:
    """The YAML files of a model that are there, later ones win: RecBole's and ours.

    Those of a class of other people are its bases', and ``Class.yaml`` beside its module.
    """
    names, own = [name], []
    if is_outside(name):
        bases = reversed(kind.__mro__[1:])
        names = [base.__name__ for base in bases if base.__module__.startswith(("recbole.", "recbole_decm."))]
        source = getattr(sys.modules.get(kind.__module__), "__file__", None)
        own = [Path(source).with_name(f"{kind.__name__}.yaml")] if source else []
    folders = (RECBOLE_PROPERTIES / "model", shipped("properties") / "model")
    files = [folder / f"{known}.yaml" for known in names for folder in folders]
    return [file for file in files + own if file.is_file()]


def outside_sources(kind: type) -> list[Path]:
    """The files of the modules that a class of other people and its bases are from, RecBole's and ours left out."""
    names = {base.__module__ for base in kind.__mro__}
    names = {name for name in names if name.partition(".")[0] not in ("recbole", "recbole_decm", "torch", "builtins")}
    files = (getattr(sys.modules.get(name), "__file__", None) for name in sorted(names))
    return [Path(file) for file in files if file]


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
