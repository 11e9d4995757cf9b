"""Values given to a resumed run act, or are refused by name."""

from __future__ import annotations

import pytest
import torch
from helpers.running import make_config

from recbole_decm.errors import CheckpointError, ConfigError
from recbole_decm.training.checkpoint import read_checkpoint
from recbole_decm.training.run import fit


@pytest.fixture
def begun(planted) -> str:
    """The checkpoint of two epochs."""
    return fit(make_config("CMVAE", planted, epochs=2)).trainer.saved_model_file


def weights(planted, begun, **values) -> dict[str, torch.Tensor]:
    """After a third epoch, from a copy of the checkpoint."""
    copied = f"{begun}.copy"
    with open(begun, "rb") as source, open(copied, "wb") as copy:
        copy.write(source.read())
    fit(make_config("CMVAE", planted, checkpoint=copied, **{"epochs": 3, **values}))
    return read_checkpoint(copied)["training"]


def test_other_rates_act(planted, begun):
    same, still = weights(planted, begun), weights(planted, begun, learning_rate=1e-30, weight_decay=0.0)
    before = read_checkpoint(begun)["training"]["state_dict"]
    trained = [name for name in before if "weight" in name]
    assert all(torch.equal(still["state_dict"][name], before[name]) for name in trained)
    assert not all(torch.equal(same["state_dict"][name], before[name]) for name in trained)
    heavy = weights(planted, begun, weight_decay=0.5)
    assert heavy["optimizer"]["param_groups"][0]["weight_decay"] == 0.5
    assert any(not torch.equal(heavy["state_dict"][name], same["state_dict"][name]) for name in trained)


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 7), ("learner", "sgd"), ("valid_metric", "Recall@10"), ("initial_logvar", 0.0), ("temperature", 0.3)],
)
def test_what_a_resumed_run_cannot_take_up_is_refused(planted, begun, key, value):
    with pytest.raises(ConfigError, match=rf"^{key}: expected .*, as .*pth.copy was trained with, found {value}"):
        weights(planted, begun, **{key: value})


def test_three_and_three_epochs_with_decay_are_not_six(planted):
    """The rate of an epoch depends on how many there are: done ones had another rate than six would have given."""
    decays = {"learning_rate_decay": True}
    begun = fit(make_config("CMVAE", planted, epochs=3, **decays)).trainer.saved_model_file
    with pytest.raises(ConfigError, match=r"^epochs: expected 3, .* found 6\. .* learning_rate_decay lowers the rate"):
        weights(planted, begun, epochs=6, **decays)
    whole = fit(make_config("CMVAE", planted, epochs=3, **decays)).model.state_dict()
    again = weights(planted, begun, **decays)["state_dict"]  # nothing left to train: allowed
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_other_files_are_named(own_planted, caplog):
    begun, said = fit(make_config("CMVAE", own_planted, epochs=1)).trainer.saved_model_file, "the files are others than"
    fit(make_config("CMVAE", own_planted, epochs=2, checkpoint=begun))
    assert said not in caplog.text
    path = own_planted / "planted" / "planted.item"
    path.write_text(path.read_text().replace("\tg0", "\tg1"))
    fit(make_config("CMVAE", own_planted, epochs=3, checkpoint=begun))
    assert said in caplog.text and "results will differ" in caplog.text


def test_more_patience_goes_on_after_an_early_stop(planted):
    stopped = fit(make_config("CMVAE", planted, epochs=9, learning_rate=1e-30, stopping_step=1))
    assert len(stopped.trainer.history) < 9
    begun = stopped.trainer.saved_model_file
    values = {"epochs": 9, "learning_rate": 1e-30}
    assert len(weights(planted, begun, stopping_step=1, **values)["history"]) == len(stopped.trainer.history)
    assert len(weights(planted, begun, stopping_step=20, **values)["history"]) == 9


def test_damaged_states_are_named(planted, begun):
    content = read_checkpoint(begun)
    for part, message in (("random", "'training.random' that fits"), ("optimizer", "'training.optimizer' that fits")):
        damaged = {**content, "training": {**content["training"], part: {}}}
        torch.save(damaged, begun)
        with pytest.raises(CheckpointError, match=message):
            fit(make_config("CMVAE", planted, epochs=3, checkpoint=begun))
