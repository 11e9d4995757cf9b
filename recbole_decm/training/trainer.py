"""The trainers of our models: epochs with schedules and named loss terms, or one step."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property

import torch
from recbole.trainer import Trainer
from recbole.utils import set_color

from recbole_decm.training.checkpointing import CheckpointMixin


class DecCMTrainer(CheckpointMixin, Trainer):
    """Trainer of our models: tells them the epoch, and names each loss term in the log and in TensorBoard."""

    def _build_optimizer(self, **kwargs):
        """RecBole's optimizer; its Adam as one pass over the weights instead of a dozen."""
        optimizer = super()._build_optimizer(**kwargs)
        if type(optimizer) is not torch.optim.Adam:
            return optimizer
        group = optimizer.param_groups[0]
        return torch.optim.Adam(group["params"], group["lr"], weight_decay=group["weight_decay"], fused=True)

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        self._batches = len(train_data)
        self.model.set_epoch(epoch_idx)
        if self.config["learning_rate_decay"]:
            for group in self.optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * (1 - epoch_idx / self.epochs)
        with self._precision():
            return super()._train_epoch(train_data, epoch_idx, loss_func or self._loss, show_progress)

    @cached_property
    def _loss(self):
        """The model's loss; compiled where ``compile`` says so."""
        if not self.config["compile"]:
            return self.model.calculate_loss
        return torch.compile(self.model.calculate_loss, dynamic=True)

    @contextmanager
    def _precision(self):
        """bfloat16 as the type of mixed precision on every device, unless gradients are scaled for float16."""
        kind, before = self.device.type, torch.get_autocast_dtype(self.device.type)
        torch.set_autocast_dtype(kind, before if self.enable_scaler else torch.bfloat16)
        try:
            yield
        finally:
            torch.set_autocast_dtype(kind, before)

    @contextmanager
    def choosing_epoch(self):
        self.model.set_validating(True)
        try:
            yield
        finally:
            self.model.set_validating(False)

    def _valid_epoch(self, valid_data, show_progress=False):
        with self.choosing_epoch():
            return super()._valid_epoch(valid_data, show_progress)

    def _named(self, losses) -> dict[str, float]:
        return {name: value / self._batches for name, value in zip(self.model.loss_names, losses, strict=True)}

    def _mean_terms(self, losses, batches):
        terms = self._named(losses)
        return {"loss": sum(terms.values()), **terms}

    def _epoch_losses(self, epoch):
        return self.epoch_terms[-1]

    def _generate_train_loss_output(self, epoch_idx, s_time, e_time, losses):
        terms = self._named(losses)
        places = self.config["loss_decimal_place"]
        shown = ", ".join(f"{set_color(name, 'blue')}: {value:.{places}f}" for name, value in terms.items())
        head = (
            f"{set_color(f'epoch {epoch_idx} training', 'green')} [{set_color('time', 'blue')}: {e_time - s_time:.2f}s"
        )
        return f"{head}, {set_color('loss', 'blue')}: {sum(terms.values()):.{places}f} = {shown}]"

    def _add_train_loss_to_tensorboard(self, epoch_idx, losses, tag="Loss/Train"):
        terms = self._named(losses)
        self.tensorboard.add_scalar(tag, sum(terms.values()), epoch_idx)
        for name, value in terms.items():
            self.tensorboard.add_scalar(f"Loss/{name}", value, epoch_idx)


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

    def _take_up_rates(self, saved):
        """There are none."""

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        return self.model.fit_once(show_progress)
