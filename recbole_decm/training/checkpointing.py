"""Checkpoints of a run, mixed into any trainer of RecBole: written whole, resumed exactly."""

from __future__ import annotations

import copy
import os
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import torch
from recbole.data.interaction import Interaction
from recbole.utils import get_local_time

from recbole_decm.config.keys import Role, having
from recbole_decm.data.priors import known_genres
from recbole_decm.errors import CheckpointError, ConfigError, DecCMError, DivergedError
from recbole_decm.io.write import in_one_line, make_folder, take_held
from recbole_decm.media.cards import as_values
from recbole_decm.training.checkpoint import (
    counters,
    encode,
    fitting,
    load_counters,
    load_values,
    load_weights,
    random_states,
    read_checkpoint,
    restore_random_states,
    write_checkpoint,
)
from recbole_decm.training.collector import MatchingCollector
from recbole_decm.training.failures import naming_model
from recbole_decm.training.features import cards_of, require_made_alike
from recbole_decm.training.numbering import require_numbering
from recbole_decm.training.provenance import data_digest


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
        self._held: int | None = None
        self.history: list[dict] = []
        self.epoch_terms: list[dict[str, float]] = []  # loss by term, of each epoch that this process trained
        self.validations: list[dict[str, float]] = []  # metrics of each validation
        self.features = cards_of(config)
        self._best: dict | None = None
        self._best_epoch = -1
        self._train_data = None
        self.provenance: dict = {}  # what the checkpoint says of what it was made from
        self._written: int | None = None  # the last epoch in the file
        self._fitted = False
        self._at_start = counters(model)
        self._finished = False
        self._resumed: dict | None = None

    def _take_file(self) -> str:
        """A file of this run's own: made here, so that no other run takes the same name."""
        model = self.config["model"].rpartition(":")[2]  # of package.module:Class the class
        stem = f"{model}-{self.config['dataset']}-seed{self.config['seed']}-{get_local_time()}"
        self._taken, self._held = take_held(Path(self.checkpoint_dir), stem, ".pth")
        return str(self._taken)

    def _let_go(self) -> None:
        """Hold the run's file no longer: it is written, or removed."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    # --- saving ---------------------------------------------------------------------------------------------------
    def fit(self, train_data, valid_data=None, verbose=True, saved=True, show_progress=False, callback_fn=None):
        self._train_data = train_data
        self._validates = bool(valid_data) and self.eval_step > 0
        if self._resumed is not None:
            known_genres(self._genres(), self._resumed["genres"], self._train_data._dataset.dataset_path)
            with fitting(self.saved_model_file, "training.random"):
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
        with in_one_line(Path("log_tensorboard"), "into it", only_the_disk=True):
            try:
                found = super().fit(train_data, valid_data, verbose, saved, show_progress, after_validation)
                self._fitted = True
                return found
            except KeyboardInterrupt as stop:
                stop.args = (self._what_is_kept(),)
                raise
            finally:
                if self._taken is not None and self._taken.is_file() and not self._taken.stat().st_size:
                    self._taken.unlink()  # nothing was saved
                self._let_go()
                self.tensorboard.close()  # RecBole leaves the writer open, and its thread at work

    def _what_is_kept(self) -> str:
        """What to say of a run that is stopped."""
        if self._written is None:
            return "no epoch was finished: nothing is kept"
        file = self.saved_model_file
        if self._fitted:
            return f"training was finished, and its checkpoint is {file}; for its metrics use: recbole-decm evaluate"
        return f"the last finished epoch ({self._written}) is in {file}; --checkpoint={file} goes on from there"

    def _genres(self) -> list[str]:
        """What the model's columns of genre groups are called, if it has such columns."""
        has_columns = getattr(self.model, "uses_uploader_prior", False) or getattr(self.model, "uses_genre", False)
        return list(self._train_data._dataset.genre_names) if has_columns else []

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
            "genres": self._genres(),
            "numbering": getattr(self.model, "numbering", None),
            "features": as_values(self.features) if self.features else None,
            **self.provenance,
            **self._best,
            "training": training,
        }
        write_checkpoint(Path(self.saved_model_file), content)
        self._written = epoch

    def _train_epoch(self, train_data, epoch_idx, *args, **kwargs):
        with naming_model(self.config):
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
        """What the model has counted since it was made; all else comes from its data and settings again."""
        now = counters(self.model)
        return {name: now[name] for name, start in self._at_start.items() if name in now and now[name] != start}

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
        require_made_alike(content, self.config)
        require_numbering(content, self.model, resume_file)
        self._compare_settings(content, resume_file)
        training = content["training"]
        load_weights(self.model, training["state_dict"], resume_file)
        load_values(self.model, training["other_parameter"], resume_file)
        load_counters(self.model, training["counters"], resume_file)
        with fitting(resume_file, "training.optimizer"):
            self.optimizer.load_state_dict(training["optimizer"])
        self._take_up_rates(content["config"])
        self.saved_model_file = str(resume_file)
        self._written = training["epoch"]
        self.start_epoch = training["epoch"] + 1
        self.cur_step = training["cur_step"]
        self.best_valid_score = training["best_valid_score"]
        self.best_valid_result = training["best_valid_result"] or None
        self.train_loss_dict = dict(training["train_loss"])
        self.history = list(training["history"])
        self._finished = training["finished"] and self.cur_step > self.stopping_step
        self._best = {key: content[key] for key in ("state_dict", "other_parameter")}
        self._best_epoch = content["epoch"]
        self._resumed = {"random": _to_cpu(training["random"]), "genres": content.get("genres") or []}
        self.logger.info(f"Resuming {resume_file} after epoch {training['epoch']}")

    def _compare_settings(self, content: dict, resume_file) -> None:
        """Refuse other values than the checkpoint's that a resumed run cannot take up, and name those it does."""
        now, saved = self.config.plain(), content["config"]
        other = [key for key in sorted(saved.keys() & now.keys() - having(Role.PLACE)) if saved[key] != now[key]]
        decays = saved.get("learning_rate_decay") and content["training"]["epoch"] > 0  # epoch 0 has the whole rate
        kept = [key for key in other if key in having(Role.WHOLE) or (key == "epochs" and decays)]
        if kept:
            why = (
                "learning_rate_decay lowers the rate over all epochs, those that are done included"
                if kept[0] == "epochs"
                else "it has a say before the first epoch, or in what the epochs are compared by"
            )
            raise ConfigError(
                f"{kept[0]}: expected {saved[kept[0]]}, as {resume_file} was trained with, found {now[kept[0]]}. A "
                f"resumed run cannot take up another value: {why}. Train anew, or leave it."
            )
        changes = ", ".join(f"{key} ({saved[key]} -> {now[key]})" for key in other if key not in having(Role.FREE))
        if changes:
            self.logger.warning(f"The checkpoint was trained with other settings, results will differ: {changes}")
        data = content["digests"].get("data") if isinstance(content.get("digests"), dict) else None
        if data not in (None, data_digest(self.config)):
            self.logger.warning(
                f"{self.config['data_path']}: the files are others than {resume_file} was trained with, results will "
                "differ."
            )

    def _take_up_rates(self, saved: dict) -> None:
        """The optimizer's state brings the rates it was saved with; those of the config are to count."""
        decay = "learning_rate_decay"
        for name, key in (("lr", "learning_rate"), ("weight_decay", "weight_decay")):
            if saved.get(key) == self.config[key] and (name != "lr" or saved.get(decay) == self.config[decay]):
                continue
            for group in self.optimizer.param_groups:
                group[name] = self.config[key]
                group.pop(f"initial_{name}", None)

    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        if not eval_data:
            return None
        if load_best_model:
            self.load_best(model_file or self.saved_model_file)
        self.eval_collector.start(eval_data)
        try:
            with naming_model(self.config):
                return super().evaluate(eval_data, load_best_model=False, show_progress=show_progress)
        except KeyboardInterrupt as stop:
            stop.args = (self._what_is_kept(),) if self._fitted else ()
            raise

    def _neg_sample_batch_eval(self, batched_data):
        """Scores of the candidates, which the collector lays out; RecBole fills a matrix of videos x catalogue."""
        interaction, _, positive_u, positive_i = batched_data
        if len(interaction) <= self.test_batch_size:
            scores = self.model.predict(interaction.to(self.device))
        else:
            scores = self._spilt_predict(interaction, len(interaction))
        return interaction, scores.flatten(), positive_u, positive_i

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
        require_numbering(content, self.model, path)
        load_weights(self.model, content["state_dict"], path)
        load_values(self.model, content["other_parameter"], path)

    def choosing_epoch(self):
        """A context in which :meth:`evaluate` ranks as it does to choose the epoch."""
        return nullcontext()

    def _check_nan(self, loss):
        if not torch.isfinite(loss):
            raise DivergedError(
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
