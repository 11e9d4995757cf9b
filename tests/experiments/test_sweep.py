"""The effect of the teacher by its weight: paired by seed, on validation data, with a warning where it harms."""

from __future__ import annotations

import pytest
from helpers.running import make_config

from recbole_decm.cli.main import main
from recbole_decm.experiments.sweep import effects, format_effects
from recbole_decm.training.run import fit

SCORES = {(0.0, 1): 0.30, (0.0, 2): 0.20, (0.1, 1): 0.33, (0.1, 2): 0.22, (5.0, 1): 0.25, (5.0, 2): 0.16}


def test_effects_are_paired_by_seed():
    none, light, heavy = effects(SCORES)
    assert (none.weight, none.gain, none.error, none.worse) == (0, 0, 0, False)
    assert light.gain == pytest.approx(0.025) and light.error == pytest.approx(0.005) and not light.worse
    assert heavy.gain == pytest.approx(-0.045) and heavy.error == pytest.approx(0.005) and heavy.worse
    assert light.score == pytest.approx(0.275) and light.spread == pytest.approx(0.055 * 2**0.5)


def test_a_score_that_is_better_small():
    assert [effect.worse for effect in effects(SCORES, bigger=False)] == [False, True, False]


def test_a_loss_within_the_error_is_no_warning():
    scores = {(0.0, 1): 0.30, (0.0, 2): 0.20, (1.0, 1): 0.20, (1.0, 2): 0.29}
    assert not effects(scores)[1].worse
    assert "warning" not in format_effects(effects(scores), "NDCG@10")


def test_the_warning_names_weight_and_loss():
    shown = format_effects(effects(SCORES), "NDCG@10")
    assert "warning: at teacher_weight 5 the teacher makes validation worse, by 0.0450 ± 0.0050" in shown
    assert shown.count("warning") == 1 and "valid NDCG@10" in shown


def test_the_command_trains_at_each_weight(planted, capsys):
    values = {"epochs": 2, "latent_dimension": 16, "train_batch_size": 64}
    arguments = [f"--{key}={value}" for key, value in values.items()] + [f"--data_path={planted}"]
    arguments += ["--teacher_config={'epochs': 1}", "--dataset=planted", "--weights=0.5"]
    assert main(["teacher-sweep", *arguments]) == 0
    shown = capsys.readouterr().out
    trained = fit(make_config("DecCM", planted, **values, teacher_config={"epochs": 1}, teacher_weight=0.5))
    line = next(line for line in shown.splitlines() if line.startswith("0.5"))
    assert f"{trained.valid_score:.4f} ± 0.0000" in line and any(line.startswith("0 ") for line in shown.splitlines())


def test_a_model_without_teacher(planted, capsys):
    arguments = ["--dataset=planted", f"--data_path={planted}", "--weights=1"]
    assert main(["teacher-sweep", "--model=CMVAE", *arguments]) == 2
    assert "found 'teacher_weight'" in capsys.readouterr().err
    assert main(["teacher-sweep", "--teacher=none", *arguments]) == 2
    assert "teacher: expected auto or a checkpoint to weigh, found none" in capsys.readouterr().err
    assert main(["teacher-sweep", "--eval_step=0", *arguments]) == 2
    assert "eval_step: expected at least 1" in capsys.readouterr().err
