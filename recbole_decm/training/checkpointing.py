"""Checkpoints of a run, mixed into any trainer of RecBole: written whole, resumed exactly."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from functools import cache
from itertools import count
from pathlib import Path

import torch
from recbole.data.interaction import Interaction
from recbole.utils import get_local_time

from recbole_decm.config.keys import Role, having
from recbole_decm.errors import CheckpointError, DecCMError
from recbole_decm.io.write import make_folder
from recbole_decm.training.checkpoint import (
    decode,
    encode,
    load_weights,
    random_states,
    read_checkpoint,
    restore_random_states,
    write_checkpoint,
)
from recbole_decm.training.collector import MatchingCollector


class CheckpointMixin:
    """One checkpoint file a run, written whole after every validated epoch, from which a run resumes exactly.

    Mixed into a RecBole trainer; overrides hooks only. RecBole saves at the best epochs, pickles the Config and
    restores neither random states nor the best result.
    """

    def __init__(self, config, model):
        make_folder(config["checkpoint_dir"], "checkpoint_dir")
        super().__init__(config, model)
        self.eval_collector = MatchingCollector(config)
        self._taken: Path | None = None
        self.history: list[dict] = []
        self.epoch_terms: list[dict[str, float]] = []  # loss by term, of each epoch that this process trained
        self.validations: list[dict[str, float]] = []  # metrics of each validation
        self._best: dict | None = None
        self._best_epoch = -1
        self._train_data = None
        self._finished = False
        self._resumed: dict | None = None

    def _take_file(self) -> str:
        """A file of this run's own: made here, so that no other run takes the same name."""
        stem = f"{self.config['model']}-{self.config['dataset']}-seed{self.config['seed']}-{get_local_time()}"
        for path in (Path(self.checkpoint_dir) / f"{stem}{f'-{n}' if n else ''}.pth" for n in count()):
            try:
                path.touch(exist_ok=False)
            except FileExistsError:
                continue
            self._taken = path
            return str(path)
        raise AssertionError("endless")

    # --- saving ---------------------------------------------------------------------------------------------------
    def fit(self, train_data, valid_data=None, verbose=True, saved=True, show_progress=False, callback_fn=None):
        self._train_data = train_data
        self._validates = bool(valid_data) and self.eval_step > 0
        if self._resumed is not None:
            restore_random_states(self._resumed["random"], self._generator)
            if self._finished:
                self.start_epoch = self.epochs

        def after_validation(epoch_idx, valid_score):
            self._finished = self.cur_step > self.stopping_step
            self.history.append({"epoch": epoch_idx, "valid": float(valid_score), **self._epoch_losses(epoch_idx)})
            if saved:
                self._write(epoch_idx)
            if callback_fn:
                callback_fn(epoch_idx, valid_score)

        if saved and self._resumed is None:
            self.saved_model_file = self._take_file()
        try:
            return super().fit(train_data, valid_data, verbose, saved, show_progress, after_validation)
        finally:
            self.tensorboard.close()  # RecBole leaves the writer open, and its thread at work
            if self._taken is not None and self._taken.is_file() and not self._taken.stat().st_size:
                self._taken.unlink()  # nothing was saved

    @property
    def _generator(self) -> torch.Generator:
        return self._train_data.generator

    def _save_checkpoint(self, epoch, verbose=True, **kwargs):
        """RecBole calls this at a new best epoch; the file follows once the validation is complete."""
        if epoch < 0 and self._resumed is not None:  # nothing left to train: the file is the resumed one
            return
        self._best = {
            "state_dict": {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()},
            "other_parameter": copy.deepcopy(encode(self.model.other_parameter(), "other_parameter")),
        }
        self._best_epoch = epoch
        if epoch < 0 or not self._validates:
            self._write(epoch)

    def _write(self, epoch: int) -> None:
        if self._best is None:  # not one validation score was a number
            raise DecCMError(
                f"{self.config['valid_metric']}: expected a number to choose the best epoch by, found none."
            )
        training = {
            "epoch": epoch,
            "cur_step": self.cur_step,
            "best_valid_score": float(self.best_valid_score),
            "best_valid_result": dict(self.best_valid_result or {}),
            "finished": self._finished,
            "train_loss": dict(self.train_loss_dict),
            "history": self.history,
            "state_dict": self.model.state_dict(),
            "other_parameter": self.model.other_parameter(),
            "counters": self._counters(),
            "optimizer": self.optimizer.state_dict(),
            "random": random_states(self._generator),
        }
        content = {
            "model": self.config["model"],
            "dataset": self.config["dataset"],
            "config": self.config.plain(),
            "epoch": self._best_epoch,
            **self._best,
            "training": training,
        }
        write_checkpoint(Path(self.saved_model_file), content)

    def _train_epoch(self, train_data, epoch_idx, *args, **kwargs):
        losses = super()._train_epoch(train_data, epoch_idx, *args, **kwargs)
        self.epoch_terms.append(self._mean_terms(losses, len(train_data)))
        return losses

    def _valid_epoch(self, valid_data, *args, **kwargs):
        score, result = super()._valid_epoch(valid_data, *args, **kwargs)
        self.validations.append({name: float(value) for name, value in result.items()})
        return score, result

    def _mean_terms(self, losses, batches: int) -> dict[str, float]:
        """An epoch's loss per batch; RecBole's models return a sum, or a tuple of terms without names."""
        return {"loss": float(sum(losses) if isinstance(losses, tuple) else losses) / max(1, batches)}

    def _epoch_losses(self, epoch: int) -> dict[str, float]:
        return {"loss": self.train_loss_dict[epoch]}

    def _counters(self) -> dict:
        """Numbers a model counts in plain attributes, such as the annealing step of RecBole's autoencoders."""
        return {name: value for name, value in vars(self.model).items() if type(value) in (int, float)}

    # --- loading --------------------------------------------------------------------------------------------------
    def resume_checkpoint(self, resume_file):
        """Continue a run from its last finished epoch; also the way to look at a finished one.

        Raises:
            CheckpointError: the file is no checkpoint, or of another model, data set or shape.
        """
        content = read_checkpoint(resume_file, self.device)
        for key in ("model", "dataset"):
            if content[key] != self.config[key]:
                raise CheckpointError(
                    f"{resume_file}: expected a checkpoint of {key} '{self.config[key]}', found '{content[key]}'."
                )
        if "training" not in content:
            raise CheckpointError(
                f"{resume_file}: expected a checkpoint of a run to resume, found weights alone (imported, or a cached "
                "teacher). They can be evaluated, or serve as --teacher."
            )
        self._warn_of_other_settings(content["config"])
        training = content["training"]
        load_weights(self.model, training["state_dict"], resume_file)
        self.model.load_other_parameter(decode(training["other_parameter"]))
        for name, value in training["counters"].items():
            setattr(self.model, name, value)
        self.optimizer.load_state_dict(training["optimizer"])
        self.saved_model_file = str(resume_file)
        self.start_epoch = training["epoch"] + 1
        self.cur_step = training["cur_step"]
        self.best_valid_score = training["best_valid_score"]
        self.best_valid_result = training["best_valid_result"] or None
        self.train_loss_dict = dict(training["train_loss"])
        self.history = list(training["history"])
        self._finished = training["finished"]
        self._best = {key: content[key] for key in ("state_dict", "other_parameter")}
        self._best_epoch = content["epoch"]
        self._resumed = {"random": _to_cpu(training["random"])}
        self.logger.info(f"Resuming {resume_file} after epoch {training['epoch']}")

    def _warn_of_other_settings(self, saved: dict) -> None:
        now = self.config.plain()
        other = [key for key in sorted(saved.keys() & now.keys() - having(Role.FREE)) if saved[key] != now[key]]
        if other:
            changes = ", ".join(f"{key} ({saved[key]} -> {now[key]})" for key in other)
            self.logger.warning(f"The checkpoint was trained with other settings, results will differ: {changes}")

    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        if not eval_data:
            return None
        if load_best_model:
            self.load_best(model_file or self.saved_model_file)
        self.eval_collector.start(eval_data)
        return super().evaluate(eval_data, load_best_model=False, show_progress=show_progress)

    @torch.no_grad()
    def scores_of_videos(self, dataset, videos: torch.Tensor) -> torch.Tensor:
        """Scores of (B,) video ids with all tracks as an evaluation has them, (B, n_tracks); the padding's is -inf."""
        self.model.eval()
        self.tot_item_num = dataset.item_num
        if self.item_tensor is None:
            self.item_tensor = dataset.get_item_feature().to(self.device)
        batch = dataset.join(Interaction({dataset.uid_field: videos}))
        return self._full_sort_batch_eval((batch, None, None, None))[1]

    def load_best(self, path) -> None:
        """Load the weights that evaluation uses: the best epoch's."""
        content = read_checkpoint(path, self.device)
        load_weights(self.model, content["state_dict"], path)
        self.model.load_other_parameter(decode(content["other_parameter"]))

    def choosing_epoch(self):
        """A context in which :meth:`evaluate` ranks as it does to choose the epoch."""
        return nullcontext()

    def _check_nan(self, loss):
        if not torch.isfinite(loss):
            raise DecCMError(
                f"training loss: expected a number, found {loss.item()}. Lower learning_rate or set clip_grad_norm."
            )


def _to_cpu(value):
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {key: _to_cpu(entry) for key, entry in value.items()}
    return type(value)(map(_to_cpu, value)) if isinstance(value, (list, tuple)) else value


@cache
def with_checkpoints(trainer: type) -> type:
    """A RecBole trainer class with our checkpoints and metrics."""
    return type(trainer.__name__, (CheckpointMixin, trainer), {"__doc__": trainer.__doc__})
