"""DecCMPlus: softmax matching, conditional training, and the teacher's match beside the student's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.running import make_config, run_quick
from recbole.data.interaction import Interaction

from recbole_decm.errors import ConfigError
from recbole_decm.training.checkpoint import read_checkpoint
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import build, fit, run_config

QUICK = {"epochs": 12, "topk": [10], "valid_metric": "NDCG@10", "latent_dimension": 32}
QUICK_TEACHER = {"epochs": 3, "train_batch_size": 64, "matching": "softmax"}
PLUS = {**QUICK, "teacher_config": QUICK_TEACHER}


@pytest.fixture(scope="module")
def trained(planted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plus")
    return run_config(make_config("DecCMPlus", planted, **PLUS, checkpoint_dir=str(folder)))


def test_planted_matches_are_found(trained):
    assert trained[1]["recall@10"] >= 0.9


def test_the_score_is_the_students_match_plus_the_teachers(trained, planted):
    model = trained[0].model.eval()
    videos = torch.tensor([1, 5, 9])
    with torch.no_grad():
        scores = model.score_matrix(videos)
        own, guide = model.encoders, model.guide
        unit = torch.nn.functional.normalize
        table = model.acoustic.lookup(torch.arange(model.n_items))
        visual = model.visual.lookup(videos)
        expected = unit(own["visual"](visual).mean, dim=1) @ unit(own["acoustic"](table).mean, dim=1).T
        expected += model.settings.teacher_score_weight * (
            unit(guide["visual"](visual).mean, dim=1) @ unit(guide["acoustic"](table).mean, dim=1).T
        )
    assert torch.allclose(scores, expected, atol=1e-5)  # under the uniform prior the preference adds nothing


def test_the_guide_is_the_teacher_and_training_leaves_it_alone(trained):
    (path,) = (Path(trained[0].trainer.saved_model_file).parent / "teachers").glob("*.pth")
    teacher = read_checkpoint(path)["state_dict"]
    guide = trained[0].model.guide.state_dict()
    assert guide and all(torch.equal(value, teacher[f"encoders.{name}"]) for name, value in guide.items())
    assert not any(parameter.requires_grad for parameter in trained[0].model.guide.parameters())
    assert not trained[0].model.train().guide.training


def test_a_checkpoint_needs_no_teacher_to_be_evaluated(planted, tmp_path):
    values = {**PLUS, "epochs": 2, "checkpoint_dir": str(tmp_path)}
    run, test = run_config(make_config("DecCMPlus", planted, **values))
    (path,) = (tmp_path / "teachers").glob("*.pth")
    path.unlink()
    again = evaluate(run.trainer.saved_model_file, ["--topk=[10]", f"--data_path={planted}"])
    assert again["test"] == test and again["valid"] == run.valid_result


def test_the_teachers_divergence_is_of_the_students_part_alone(planted, tmp_path):
    """The term of a student with a guide is that of a student of the same weights without."""
    terms, encoders = {}, {}
    for weight in (0.0, 1.0):
        values = {**PLUS, "epochs": 1, "teacher_score_weight": weight, "teacher_weight": 0.5, "kl_weight": 0.1}
        model = fit(make_config("DecCMPlus", planted, **values, checkpoint_dir=str(tmp_path))).model.eval()
        if weight:
            model.encoders.load_state_dict(encoders)
        encoders = model.encoders.state_dict()
        batch = Interaction({"video_id": torch.arange(1, 9), "music_id": torch.arange(1, 9)})
        terms[weight] = dict(zip(model.loss_names, model.calculate_loss(batch), strict=True))
    for name in ("kl_video", "kl_music", "teacher_video", "teacher_music"):
        assert terms[1.0][name].item() == pytest.approx(terms[0.0][name].item(), rel=1e-5)
    assert terms[1.0]["matching"].item() != pytest.approx(terms[0.0]["matching"].item(), rel=1e-3)


def test_the_epoch_is_chosen_under_the_uploaders_prior(planted):
    values = {**QUICK, "teacher": "none", "epochs": 3}
    model, splits = build(make_config("DecCMPlus", planted, **values))
    valid = splits.valid
    model.eval()
    with torch.no_grad():
        model.fusion.strength.fill_(0.5)
        videos = torch.from_numpy(valid.users[:4])
        tested = model.score_matrix(videos)
        model.set_validating(True)
        chosen = model.score_matrix(videos)
        model.set_validating(False)
        assert torch.equal(model.score_matrix(videos), tested) and not torch.allclose(chosen, tested)
        model.rank_under("uploader")
        assert torch.equal(model.score_matrix(videos), chosen)


def test_metrics_of_validation_are_those_under_the_validation_prior(planted):
    values = {**QUICK, "teacher": "none", "epochs": 4}
    run = fit(make_config("DecCMPlus", planted, **values))
    same = fit(make_config("DecCMPlus", planted, **values, inference_prior="uploader", validation_prior="inference"))
    assert run.valid_result == same.valid_result


def test_the_learning_rate_falls_linearly(planted):
    run = fit(make_config("DecCMPlus", planted, **{**QUICK, "epochs": 4}, teacher="none", learning_rate=0.004))
    assert run.trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.001)  # the last of four epochs
    flat = fit(make_config("DecCMPlus", planted, **{**QUICK, "epochs": 2}, teacher="none", learning_rate_decay=False))
    assert flat.trainer.optimizer.param_groups[0]["lr"] == 0.002


def test_terms_without_weight_are_left_out(planted):
    model, splits = build(make_config("DecCMPlus", planted, **QUICK, teacher="none"))
    train = splits.train
    terms = dict(zip(model.loss_names, model.calculate_loss(next(iter(train))), strict=True))
    assert [name for name, value in terms.items() if value != 0] == ["matching"]
    terms["matching"].backward()
    assert model.log_temperature.grad is not None and model.fusion.strength.grad is not None
    assert all(parameter.grad is None for parameter in model.decoders.parameters())


def test_dropout_of_the_music_encoder_alone(planted):
    model, _ = build(make_config("DecCMPlus", planted, **QUICK, teacher="none", music_dropout_prob=0.1))
    assert model.encoders["visual"].dropout.prob == 0.4 and model.encoders["acoustic"].dropout.prob == 0.1
    model, _ = build(make_config("DecCM", planted, teacher="none", dropout_prob=0.3, music_dropout_prob=None))
    assert model.encoders["acoustic"].dropout.prob == 0.3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0}, "temperature: expected a number above 0"),
        ({"teacher_score_weight": -1}, "teacher_score_weight: expected a number of at least 0"),
        ({"validation_prior": "own"}, "validation_prior: expected inference or mean or uniform or uploader"),
        ({"music_dropout_prob": 1}, "music_dropout_prob: expected a number of at most 0.99"),
    ],
)
def test_bad_values(planted, values, message):
    with pytest.raises(ConfigError, match=message):
        run_quick("DecCMPlus", planted, teacher="none", **values)
