"""Which trainer trains a model."""

from __future__ import annotations

from recbole.utils import get_trainer

from recbole_decm.config.config import DecCMConfig
from recbole_decm.training.checkpointing import with_checkpoints
from recbole_decm.training.distributed import DistributedTrainer
from recbole_decm.training.trainer import DecCMTrainer, FitOnceTrainer


def trainer_class(config: DecCMConfig) -> type:
    """The trainer of a model: ours where it names its loss terms, RecBole's with our checkpoints for the others."""
    if getattr(config.model_class, "fitted_once", False):
        return FitOnceTrainer
    if not hasattr(config.model_class, "loss_names"):
        return with_checkpoints(get_trainer(config["MODEL_TYPE"], config["model"]))
    return DistributedTrainer if config.share.size > 1 else DecCMTrainer
