"""The trainer of models that are fitted in one step, without gradients."""

from __future__ import annotations

import torch
from recbole.trainer import Trainer

from recbole_decm.training.trainer import CheckpointMixin


class FitOnceTrainer(CheckpointMixin, Trainer):
    """One epoch whatever ``epochs`` says, in which the model fits itself; then validation and checkpoint as for others.

    The model has ``fit_once(show_progress)``, which returns what is logged as the training loss. RecBole's trainer for
    such models goes through batches and back-propagates a constant.
    """

    def __init__(self, config, model):
        super().__init__(config, model)
        self.epochs = 1
        self.eval_step = min(self.eval_step, 1)

    def _build_optimizer(self, **kwargs):
        """One that moves nothing: RecBole and the checkpoint expect its state."""
        return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        return self.model.fit_once(show_progress)
