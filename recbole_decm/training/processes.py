"""Whether a run suits several processes."""

from __future__ import annotations

from typing import Any

from recbole_decm.config import registry
from recbole_decm.errors import ConfigError
from recbole_decm.model.settings import lack_of_negatives
from recbole_decm.parallel.processes import Processes


def check(processes: Processes, config: Any) -> None:
    """Refuse a run that cannot be split among these processes, as far as its config tells.

    Raises:
        ConfigError: the model is not ours, the batch does not divide or is too small, or there are too few GPUs.
    """
    trained = [name for name in registry.MODELS if hasattr(registry.model_class(name), "loss_names")]
    if config["model"] not in trained:
        raise ConfigError(
            f"nproc, world_size: several processes train {', '.join(trained)}, found model "
            f"{config['model']}. Give --nproc=1."
        )
    batch = config["train_batch_size"]
    if isinstance(batch, int) and (batch % processes.total or batch < processes.total):
        lower = batch - batch % processes.total
        choice = f"{lower} or {lower + processes.total}" if lower else str(processes.total)
        raise ConfigError(
            f"train_batch_size: expected a multiple of the {processes.total} processes, which share each batch, found "
            f"{batch}. Choose {choice}."
        )
    if lack := lack_of_negatives(config):
        raise ConfigError(lack)
    if config["device"].type == "cuda" and len(config["gpu_id"].split(",")) < processes.here:
        raise ConfigError(
            f"gpu_id: expected a GPU for each of the {processes.here} processes here, found '{config['gpu_id']}'. Give "
            f"--gpu_id={','.join(map(str, range(processes.here)))}, or --gpu_id= to train on CPUs."
        )


def check_batches(batches: int, processes: int) -> None:
    """Refuse an epoch of fewer batches than there are processes; one process trains on none, too, as RecBole's does.

    Raises:
        ConfigError: see above.
    """
    if processes > 1 and batches < processes:
        raise ConfigError(
            f"nproc, world_size: expected at most as many processes as batches of an epoch ({batches}), found "
            f"{processes}. Lower train_batch_size, which is the batch of all processes together, or use fewer."
        )
