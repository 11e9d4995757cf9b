"""What tests run inside each of two real processes: imported there, so it lies outside the test files."""

from __future__ import annotations

import copy
import os
import signal
import time
from pathlib import Path

import torch
from helpers.running import make_config
from torch import nn

from recbole_decm.io.weights import of_tensors
from recbole_decm.parallel import group
from recbole_decm.parallel.batch_norm import GlobalBatchNorm, normalise_globally
from recbole_decm.parallel.share import global_moments
from recbole_decm.training import run, teacher
from recbole_decm.training.distributed import averaging_gradients
from recbole_decm.training.run import find_or_train_teacher

BATCHES = ((0, 60), (60, 107), (107, 109))  # even, uneven, and one of two pairs
# Noise and dropout differ between processes by design; without them everything else must be the same.
STILL = {"dropout_prob": 0.0, "music_dropout_prob": 0.0, "sampling_noise": 0.0, "num_negatives": 20}
LEARNS = {"initial_weights": "torch", "kl_weight": 0.1, "kl_anneal_epochs": 0, "reconstruction_weight": 1.0}
SETTINGS: dict[str, dict] = {
    "CMVAE": {"model": "CMVAE", **LEARNS},
    "DecCM": {"model": "DecCM", "teacher": "auto", "teacher_weight": 1.0, **LEARNS},
    "DecCM, fused decoding": {"model": "DecCM", "teacher": "none", "decode_from": "fused", **LEARNS},
    "DecCM, released": {"model": "DecCM", "teacher": "auto", "objective": "released"} | LEARNS,
    "DecCM, exact": {"model": "DecCM", "teacher": "none", "backdoor": "exact", "confounder_fusion": "bilinear"},
    "DecCMPlus": {"model": "DecCMPlus", "teacher": "auto", "teacher_weight": 1.0, "initial_weights": "torch"},
    "VMNet": {"model": "VMNet", "structure_weight": 1.0, **LEARNS},
    "ControlMVR": {"model": "ControlMVR", **LEARNS},
    "UploaderOffset": {"model": "UploaderOffset", **LEARNS},
    "DecCMPlus, all terms": {"model": "DecCMPlus", "teacher": "auto", "both_directions": True, **LEARNS}
    | {"teacher_weight": 1.0, "distillation_weight": 0.5, "distillation_temperature": 0.1},
}


def steps_of(name: str, folder, size: int) -> dict:
    """Losses, gradients and the final state of three steps of plain gradient descent, in one process or in ``size``."""
    values = {"teacher_config": {"epochs": 1}} if SETTINGS[name].get("teacher") == "auto" else {}
    config = make_config(folder=folder, train_batch_size=60, **STILL, **SETTINGS[name], **values)
    model, splits = run.build(config)
    train = splits.train
    if values:
        path = find_or_train_teacher(config)
        teacher.attach(model, config, path)
        if model.settings.distillation_weight > 0:
            teacher.attach_professional(model, config, path)
    loss_terms = model.calculate_loss
    if size > 1:
        normalise_globally(model)
        model.share = group.share()
        loss_terms = averaging_gradients(model, config["device"])
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    found: dict = {"losses": [], "gradients": []}
    for start, stop in BATCHES:
        videos, music = train.pairs[:, start:stop]
        optimizer.zero_grad()
        terms = loss_terms({model.USER_ID: videos, model.ITEM_ID: music})
        sum(terms).backward()
        found["losses"].append([term.item() for term in terms])
        found["gradients"].append(
            {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
        )
        optimizer.step()
    return found | {"state": {name: value.clone() for name, value in model.state_dict().items()}}


def all_steps(local_rank: int, folder, names: list[str]) -> dict:
    return {name: steps_of(name, folder, group.share().size) for name in names}


def normalised(norm: nn.BatchNorm1d, rows: torch.Tensor, target: torch.Tensor) -> dict:
    rows = rows.clone().requires_grad_()
    output = norm(rows)
    (output * target).sum().backward()
    return {"output": output.detach(), "rows": rows.grad, "weight": norm.weight.grad, "bias": norm.bias.grad}


def batch_norm(local_rank: int, norm: nn.BatchNorm1d, batches: list) -> list[dict]:
    """A process's rows of every batch through a layer of the whole batch; each batch comes as (rows, target) twice."""
    layer = GlobalBatchNorm(copy.deepcopy(norm))  # tensors passed to processes are in memory they share
    found = []
    for parts in batches:
        layer.zero_grad()
        found.append(normalised(layer, *parts[local_rank]) | {"moments": tuple(global_moments(parts[local_rank][0]))})
    gathered: list = [None, None]
    torch.distributed.all_gather_object(gathered, found)
    return [gathered, {name: value.clone() for name, value in layer.named_buffers()}]


def one_dies(local_rank: int, how: str) -> None:
    """Rank 1 ends in some way while rank 0 waits for it in a collective."""
    if local_rank == 1 and how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if local_rank == 1 and how == "raises":
        raise ZeroDivisionError("of no batch")
    if local_rank == 1 and how == "exits":
        os._exit(7)
    torch.distributed.barrier()


def first_takes_its_time(local_rank: int) -> list:
    """Rank 0 works longer than a collective may take."""
    share = group.share()
    first = group.first_alone(share, lambda: time.sleep(2) or {"rank": share.rank})
    second = group.first_alone(share, lambda: share.rank + 10)
    found: list = [None, None]
    torch.distributed.all_gather_object(found, (first, second))
    return found


def whole_and_resumed(local_rank: int, folder: str) -> list[str]:
    """Hashes of the weights after three epochs in one go, and after one epoch and two more from its checkpoint."""
    values = {"teacher": "none", "dropout_prob": 0.3, "match_on": "sample", "num_negatives": 40, "stopping_step": 9}

    def weights(checkpoint_dir: str, **more) -> str:
        given = values | {"checkpoint_dir": checkpoint_dir, "local_rank": local_rank} | more
        trained, _ = run.run_config(make_config("DecCM", Path(folder), **given))
        return of_tensors(trained.model.state_dict())

    whole = weights("whole", epochs=3)
    weights("cut", epochs=1)
    (path,) = Path("cut").glob("*.pth")
    return [whole, weights("cut", epochs=3, checkpoint=str(path))]
