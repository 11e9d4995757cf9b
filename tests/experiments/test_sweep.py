"""The effect of the teacher by its weight: paired by seed, on validation data, with a warning where it harms."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.running import make_config

from recbole_decm.cli.main import main
from recbole_decm.experiments.sweep import effects, format_effects
from recbole_decm.metrics.paired import ALPHA, harm_test
from recbole_decm.training.run import fit

GAINS = {0.1: (0.03, 0.02, 0.02), 5.0: (-0.05, -0.04, -0.045)}
WITHOUT = (0.30, 0.20, 0.25)
SCORES = {(0.0, seed): score for seed, score in enumerate(WITHOUT)} | {
    (weight, seed): WITHOUT[seed] + gain for weight, gains in GAINS.items() for seed, gain in enumerate(gains)
}


def test_effects_are_paired_by_seed():
    none, light, heavy = effects(SCORES)
    assert (none.weight, none.gain, none.error, none.worse) == (0, 0, 0, False)
    assert light.gain == pytest.approx(0.07 / 3) and light.error == pytest.approx(0.01 / 3) and not light.worse
    assert heavy.gain == pytest.approx(-0.045) and heavy.error == pytest.approx(0.005 / 3**0.5) and heavy.worse
    assert light.score == pytest.approx(0.82 / 3) and none.spread == pytest.approx(0.05)
    # t = 9 sqrt(3) with two degrees of freedom: one-sided 0.5 (1 - t / sqrt(t^2 + 2)), times two weights.
    assert heavy.p == pytest.approx(1 - 243**0.5 / 245**0.5)


def test_a_score_that_is_better_small():
    assert [effect.worse for effect in effects(SCORES, bigger=False)] == [False, True, False]


def test_chance_is_no_warning():
    """Two losses of more than a standard error, which chance brings to half of all sweeps of four weights."""
    scores = {(0.0, 1): 0.30, (0.0, 2): 0.20, (1.0, 1): 0.29, (1.0, 2): 0.17}
    assert not effects(scores)[1].worse
    assert "warning" not in format_effects(effects(scores), "NDCG@10")


def test_one_seed_cannot_tell():
    one = effects({key: score for key, score in SCORES.items() if key[1] == 1})
    assert not any(effect.worse for effect in one)
    assert "One seed cannot tell" in format_effects(one, "NDCG@10")
    assert "One seed" not in format_effects(effects(SCORES), "NDCG@10")


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_teacher_without_effect_is_blamed_in_one_sweep_of_twenty(seeds):
    rng = np.random.default_rng(seeds)
    draws = rng.normal(size=(400, 1, seeds)) + rng.normal(size=(400, 5, seeds)) * [[1], [1], [1], [1], [2]]
    blamed = [(harm_test(draw[1:] - draw[0]) < ALPHA).any() for draw in draws]
    assert 0.02 <= np.mean(blamed) <= 0.07


def test_a_harmful_teacher_is_found():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(100, 5, 5)) - [[0], [0], [0], [0], [5]]
    p = np.array([harm_test(draw[1:] - draw[0]) for draw in draws])
    assert np.mean(p[:, 3] < ALPHA) > 0.8 and np.mean((p[:, :3] < ALPHA).any(axis=1)) < 0.07


def test_the_warning_names_weight_and_loss():
    shown = format_effects(effects(SCORES), "NDCG@10")
    assert "warning: at teacher_weight 5 the teacher makes validation worse, by 0.0450 ± 0.0029 (p = 0.004" in shown
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


def test_a_training_that_fails_is_named_and_the_others_are_compared(planted, capsys):
    arguments = ["--dataset=planted", f"--data_path={planted}", "--epochs=1", "--teacher_config={'epochs': 1}"]
    assert main(["teacher-sweep", *arguments, "--weights=0.5,1e39"]) == 1
    shown = capsys.readouterr()
    assert "failed: weight 1e+39, seed 2020: training loss: expected a number" in shown.err
    assert [line.split()[0] for line in shown.out.splitlines()[3:5]] == ["0", "0.5"] and "1e+39" not in shown.out


def test_a_seed_without_a_score_at_weight_0_has_no_pair():
    (none, light) = effects({(0.0, 1): 0.3, (0.5, 1): 0.4, (0.5, 2): 0.9})
    assert (none.score, light.score, light.gain) == (0.3, 0.4, pytest.approx(0.1))


def test_a_model_without_teacher(planted, capsys):
    arguments = ["--dataset=planted", f"--data_path={planted}", "--weights=1"]
    assert main(["teacher-sweep", "--model=CMVAE", *arguments]) == 2
    assert "found 'teacher_weight'" in capsys.readouterr().err
    assert main(["teacher-sweep", "--teacher=none", *arguments]) == 2
    assert "teacher: expected auto or a checkpoint to weigh, found none" in capsys.readouterr().err
    assert main(["teacher-sweep", "--eval_step=0", *arguments]) == 2
    assert "eval_step: expected at least 1" in capsys.readouterr().err
