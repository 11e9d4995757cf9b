"""The trainer of our models as one of several processes: same epochs, same files, same metrics as alone."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from recbole_decm.errors import DistributedError
from recbole_decm.io.weights import of_tensors
from recbole_decm.parallel.batch_norm import normalise_globally
from recbole_decm.parallel.share import Share
from recbole_decm.training.collector import MatchingCollector
from recbole_decm.training.trainer import DecCMTrainer


class _Loss(nn.Module):
    """The loss terms of a model as a module's forward, which is what DistributedDataParallel wraps."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, interaction):
        return tuple(self.model.calculate_loss(interaction))


def averaging_gradients(model, device: torch.device) -> DistributedDataParallel:
    """A callable that returns a model's loss terms, after which ``backward`` averages gradients over the processes.

    Weights and buffers become those of rank 0 first.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # broadcast_buffers has another name from torch 2.12 on
        return DistributedDataParallel(
            _Loss(model),
            device_ids=[device.index] if device.type == "cuda" else None,
            broadcast_buffers=False,  # they stay the same: every process computes them from the same moments
            static_graph=True,  # the same terms in every step; decoders without reconstruction are in none
        )


class DistributedTrainer(DecCMTrainer):
    """Trains its share of every batch, evaluates its part of the videos; rank 0 alone writes files.

    RecBole's own way (``single_spec: False``) is not taken: it needs CUDA, averages metrics by batches, and gives each
    process batches of its own, so that negatives, prior and batch norm would be those of smaller batches.
    """

    def __init__(self, config, model):
        self.share: Share = config.share
        self.model = model
        normalise_globally(model)
        model.share = self.share
        super().__init__(config, model)
        self.eval_collector = _GatheringCollector(config, self.share)
        self.evaluator = _FirstEvaluates(self.evaluator, self.share)
        self.parallel_loss = averaging_gradients(model, config["device"])

    def _take_file(self):
        return _from_first(super()._take_file() if self.share.rank == 0 else None)

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        # Each process needs noise and dropout of its own, and a resumed run the same again.
        seed = np.random.SeedSequence([self.config["seed"], epoch_idx, self.share.rank])
        torch.manual_seed(int(seed.generate_state(1)[0]))
        losses = super()._train_epoch(train_data, epoch_idx, loss_func or self.parallel_loss, show_progress)
        self._check_agreement(epoch_idx)
        return losses

    def _check_agreement(self, epoch: int) -> None:
        digests: list = [None] * self.share.size
        dist.all_gather_object(digests, of_tensors(self.model.state_dict()))
        for rank, found in enumerate(digests):
            if found != digests[0]:
                raise DistributedError(
                    f"epoch {epoch}: expected the weights of rank {rank} to be those of rank 0, bit by bit, found "
                    "others. Do all machines have the same processors, package versions and data?"
                )

    def _write(self, epoch):
        if self.share.rank == 0:
            super()._write(epoch)

    def load_best(self, path):
        if self.share.rank == 0:
            super().load_best(path)
        for value in self.model.state_dict().values():
            dist.broadcast(value, 0)

    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        if eval_data:
            eval_data = copy.copy(eval_data)
            eval_data.part = (self.share.rank, self.share.size)
        return super().evaluate(eval_data, load_best_model, model_file, show_progress)


class _GatheringCollector(MatchingCollector):
    """A collector that hands rank 0 the rows of all processes, in the order one process has them."""

    def __init__(self, config, share: Share):
        super().__init__(config)
        self.share = share

    def get_data_struct(self):
        struct = super().get_data_struct()
        values = struct._data_dict
        own = {key: values[key] for key in values if key.startswith("rec.") or key == "data.label"}
        parts = [None] * self.share.size if self.share.rank == 0 else None
        dist.gather_object(own, parts)
        for key in {key for part in parts or () for key in part}:
            struct.set(key, torch.cat([part[key] for part in parts if key in part]))
        return struct


class _FirstEvaluates:
    """RecBole's evaluator on rank 0, whose metrics all processes take: they stop and choose epochs by them."""

    def __init__(self, evaluator, share: Share):
        self.evaluator, self.share = evaluator, share

    def evaluate(self, struct):
        return _from_first(self.evaluator.evaluate(struct) if self.share.rank == 0 else None)


def _from_first(value):
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]
