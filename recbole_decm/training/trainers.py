"""Which trainer trains a model."""

from __future__ import annotations

from recbole.utils import get_trainer

from recbole_decm.config import registry
from recbole_decm.config.config import DecCMConfig
from recbole_decm.training.distributed import DistributedTrainer
from recbole_decm.training.fit_once import FitOnceTrainer
from recbole_decm.training.trainer import DecCMTrainer, with_checkpoints


def trainer_class(config: DecCMConfig) -> type:
    """The trainer of a model: ours for our models, RecBole's with our checkpoints for the others."""
    if config["model"] not in registry.MODELS:
        return with_checkpoints(get_trainer(config["MODEL_TYPE"], config["model"]))
    if config.share.size > 1:
        return DistributedTrainer
    return FitOnceTrainer if registry.model_class(config["model"]).fitted_once else DecCMTrainer
