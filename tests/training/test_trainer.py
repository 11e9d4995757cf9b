"""Resuming, loss terms in the log and in TensorBoard, and what happens when training goes wrong."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from helpers.running import make_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recbole_decm.errors import CheckpointError, ConfigError, DecCMError
from recbole_decm.training.checkpoint import read_checkpoint
from recbole_decm.training.run import fit, run_config


class Interrupted(Exception):
    pass


def flat(value, prefix=""):
    if isinstance(value, dict):
        return {key: leaf for name, entry in value.items() for key, leaf in flat(entry, f"{prefix}/{name}").items()}
    if isinstance(value, (list, tuple)):
        return {key: leaf for i, entry in enumerate(value) for key, leaf in flat(entry, f"{prefix}/{i}").items()}
    return {prefix: value}


def assert_same(first: dict, second: dict):
    first, second = flat(first), flat(second)
    assert first.keys() == second.keys()
    for key, value in first.items():
        same = torch.equal(value, second[key]) if isinstance(value, torch.Tensor) else value == second[key]
        assert same, key


@pytest.mark.parametrize("model", ["DecCM", "DecCMPlus", "CMVAE", "BPR", "LightGCN", "MultiVAE", "FM", "Pop"])
def test_a_resumed_run_is_bit_identical(model, planted, monkeypatch):
    values = {"epochs": 6, "stopping_step": 2}
    values |= {"teacher_config": {"epochs": 2, "train_batch_size": 64}} if model.startswith("DecCM") else {}
    whole, whole_test = run_config(make_config(model, planted, checkpoint_dir="whole", **values))

    epochs_done = 0

    def stop(*_):
        nonlocal epochs_done
        epochs_done += 1
        if epochs_done == 3 or model == "Pop":
            raise Interrupted

    trainer_type = type(whole.trainer)
    write = trainer_type._write
    monkeypatch.setattr(trainer_type, "_write", lambda self, epoch: (write(self, epoch), stop()))
    with pytest.raises(Interrupted):
        run_config(make_config(model, planted, checkpoint_dir="cut", **values))
    monkeypatch.setattr(trainer_type, "_write", write)
    (path,) = Path("cut").glob("*.pth")
    resumed, resumed_test = run_config(
        make_config(model, planted, checkpoint_dir="cut", checkpoint=str(path), **values)
    )

    assert resumed_test == whole_test and resumed.valid_result == whole.valid_result
    assert len(resumed.trainer.train_loss_dict) == len(whole.trainer.train_loss_dict)
    one, two = read_checkpoint(whole.trainer.saved_model_file), read_checkpoint(path)
    for content in (one, two):
        del content["config"]
        content["digests"] = {key: content["digests"][key] for key in ("code", "data")}  # not of this run's own files
    assert_same(one, two)


def test_resuming_a_finished_run_trains_no_further(planted):
    values = {"epochs": 30, "stopping_step": 1, "learning_rate": 0.05}
    whole, test = run_config(make_config("CMVAE", planted, **values))
    assert len(whole.trainer.history) < 30  # stopped early
    again, test_again = run_config(make_config("CMVAE", planted, checkpoint=whole.trainer.saved_model_file, **values))
    assert test_again == test and len(again.trainer.history) == len(whole.trainer.history)


def test_resuming_with_other_settings_warns(planted, caplog):
    whole, _ = run_config(make_config("CMVAE", planted, epochs=1))
    with caplog.at_level(logging.WARNING):
        values = {"checkpoint": whole.trainer.saved_model_file, "margin": 0.9, "state": "WARNING"}
        config = make_config("CMVAE", planted, epochs=2, **values)
        fit(config)
    assert "results will differ: margin (" in caplog.text and "-> 0.9)" in caplog.text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "DecCMTeacher"}, "expected a checkpoint of model 'DecCMTeacher', found 'CMVAE'"),
        ({"latent_dimension": 16}, r"encoders\.visual\.mean\.weight has shape"),
        ({"dataset": "planted-pgc"}, "expected a checkpoint of dataset 'planted-pgc', found 'planted'"),
    ],
)
def test_a_checkpoint_of_something_else(planted, values, message):
    whole, _ = run_config(make_config("CMVAE", planted, epochs=1))
    values = {"model": "CMVAE", "folder": planted, "epochs": 2, "checkpoint": whole.trainer.saved_model_file} | values
    before = Path(whole.trainer.saved_model_file).read_bytes()
    with pytest.raises(CheckpointError, match=message):
        run_config(make_config(**values))
    assert Path(whole.trainer.saved_model_file).read_bytes() == before


def test_training_without_validation_keeps_the_last_epoch(planted):
    trained, test = run_config(make_config("CMVAE", planted, epochs=3, eval_step=0))
    content = read_checkpoint(trained.trainer.saved_model_file)
    assert content["epoch"] == 2 and test["recall@10"] > 0


def test_every_loss_term_is_named_in_log_history_and_tensorboard(planted, caplog):
    with caplog.at_level(logging.INFO):
        trained, _ = run_config(make_config("DecCM", planted, epochs=2, state="INFO", teacher_config={"epochs": 1}))
    names = ["matching", "kl_video", "kl_music", "reconstruction_visual", "reconstruction_acoustic"]
    names += ["teacher_video", "teacher_music", "distillation"]
    assert list(trained.model.loss_names) == names
    loaded = [EventAccumulator(str(path)).Reload() for path in Path("log_tensorboard").iterdir()]
    (events,) = [run for run in loaded if "Loss/teacher_video" in run.Tags()["scalars"]]
    assert {f"Loss/{name}" for name in names} <= set(events.Tags()["scalars"])
    last = trained.trainer.history[-1]
    assert last["loss"] == pytest.approx(sum(last[name] for name in names))
    assert all(f"{name}: {last[name]:.4f}" in _uncoloured(caplog.text) for name in names)
    assert events.Scalars("Loss/teacher_video")[-1].value == pytest.approx(last["teacher_video"], rel=1e-5)


def _uncoloured(text: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_loss_that_is_no_number_is_one_clear_error(planted):
    with pytest.raises(DecCMError, match="training loss: expected a number, found"):
        run_config(make_config("CMVAE", planted, learning_rate=1e30, epochs=5))


def test_folders_exist_before_recbole_looks(planted, monkeypatch):
    """RecBole looks and then makes them, so that of two processes that start together one could fail."""
    looked = []

    def only_looks(path):
        assert Path(path).is_dir(), path
        looked.append(Path(path).name)

    monkeypatch.setattr("recbole.trainer.trainer.ensure_dir", only_looks)
    run_config(make_config("CMVAE", planted, epochs=0, checkpoint_dir="new/folder"))
    assert looked == ["folder"]


def test_a_file_in_place_of_the_checkpoint_folder(planted):
    Path("taken").write_text("")
    with pytest.raises(ConfigError, match="checkpoint_dir: expected a folder to write to, but taken: File exists"):
        run_config(make_config("CMVAE", planted, epochs=0, checkpoint_dir="taken"))


def test_stopping_step_counts_validations_that_are_worse():
    """What docs/keys.md says of RecBole's rule: one more than stopping_step, and an equal score counts as better."""
    from recbole.utils import early_stopping

    best, worse, stopped, kept = -float("inf"), 0, [], []
    for score in (0.5, 0.5, 0.4, 0.3, 0.2):
        best, worse, stop, better = early_stopping(score, best, worse, max_step=2)
        stopped.append(stop)
        kept.append(better)
    assert kept == [True, True, False, False, False] and stopped == [False, False, False, False, True]
