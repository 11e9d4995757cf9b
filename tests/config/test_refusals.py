"""Models of RecBole that cannot run here say so in one line, before they start; those that can, run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers.running import make_config, run_quick
from recbole.model.general_recommender.bpr import BPR

from recbole_decm.errors import ConfigError, DecCMError, ResourceError
from recbole_decm.training.failures import naming_model


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        ("RaCT", {}, "model: RaCT trains in three runs"),
        ("NCL", {}, "num_clusters: expected at most 41, since NCL clusters 601 videos and 41 tracks, found 1000"),
        ("DGCF", {}, "train_batch_size: expected at most 30, since DGCF draws 85 videos and as many of the 41 tracks"),
        ("KD_DAGFM", {"phase": "distillation"}, "warm_up: expected the checkpoint of the phase before distillation"),
    ],
)
def test_values_that_do_not_fit_the_data_are_refused_with_those_that_do(planted, model, values, message):
    with pytest.raises(ConfigError, match=message):
        run_quick(model, planted, epochs=1, **values)


@pytest.mark.parametrize(("model", "values"), [("NCL", {"num_clusters": 4}), ("DGCF", {"train_batch_size": 8})])
def test_with_the_advised_values_it_runs(own_planted, model, values):
    assert 0 <= run_quick(model, own_planted, epochs=1, **values)["test_result"]["recall@10"] <= 1


@pytest.mark.parametrize(
    ("model", "values", "warned"),
    [
        ("PNN", {"content_fields": "component"}, True),
        ("PNN", {"content_fields": "component", "feature_reduce": {"visual": 4, "acoustic": 4}}, False),
        ("PNN", {}, False),
        ("FM", {}, False),
    ],
)
def test_a_model_that_many_fields_make_slow_says_so_before_it_trains(own_planted, caplog, model, values, warned):
    run_quick(model, own_planted, epochs=1, **values)
    said = [record.message for record in caplog.records if "grows with their square" in record.message]
    assert bool(said) == warned and all(line.startswith("content_fields: component makes ") for line in said)


def test_the_phases_of_kd_dagfm_pass_on_their_checkpoints(own_planted, tmp_path):
    """Also on drawn candidates, whose scores it gives with an axis more than other models do."""
    values, warm_up = {"epochs": 1, "eval_args": {"mode": "uni10"}}, ""
    for phase in ("teacher_training", "distillation", "finetuning"):
        folder = tmp_path / phase
        assert run_quick("KD_DAGFM", own_planted, phase=phase, warm_up=warm_up, checkpoint_dir=str(folder), **values)
        (path,) = folder.glob("*.pth")
        warm_up = str(path)


def test_an_error_inside_a_model_of_recbole_is_one_line_and_keeps_its_cause(planted, monkeypatch):
    def fail(*_):
        raise KeyError("cluster")

    monkeypatch.setattr(BPR, "calculate_loss", fail)
    with pytest.raises(ConfigError, match=r"model: BPR of RecBole failed on 'planted' \(KeyError: 'clu") as found:
        run_quick("BPR", planted)
    assert isinstance(found.value.__cause__, KeyError)


def test_a_lack_of_memory_is_one_line_for_any_model(planted):
    with pytest.raises(ResourceError, match="CMVAE: not enough memory"), naming_model(make_config("CMVAE", planted)):
        torch.empty(1 << 50)


def test_errors_of_ones_own_model_keep_their_traceback():
    own = SimpleNamespace(model_class=type("Own", (), {}))
    with pytest.raises(KeyError), naming_model(own):
        raise KeyError("x")
    with pytest.raises(DecCMError, match="as it was"), naming_model(own):
        raise DecCMError("as it was")
