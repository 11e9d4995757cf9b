"""Features in any unit: a model that standardises them trains alike, and keeps how in its checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.planted import write_planted
from helpers.running import make_config

from recbole_decm.serving.entry import open_recommender
from recbole_decm.training.checkpoint import load_weights, read_checkpoint
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import build, fit

SMALL = {"latent_dimension": 16, "epochs": 2}


def scaled(folder: Path, visual: float, acoustic: float, offset: float = 0.0, **options) -> Path:
    """The planted data in other units."""
    write_planted(folder, npy=True, **options)
    for path in folder.glob("*/*.npy"):
        factor = visual if "visual" in path.name else acoustic
        np.save(path, ((np.load(path).astype(np.float64) + offset) * factor).astype(np.float32))
    return folder


def scores(folder: Path, model: str = "CMVAE", **values) -> torch.Tensor:
    trained = fit(make_config(model, folder, **SMALL, **values), saved=False)
    with torch.no_grad():
        return trained.trainer.model.eval().score_matrix(torch.arange(1, 50))


@pytest.fixture(scope="module")
def unit(tmp_path_factory):
    """Scores of standardised features: those of the planted data, a hundredfold."""
    return scores(scaled(tmp_path_factory.mktemp("unit"), 100, 100))


@pytest.mark.parametrize(("visual", "acoustic", "offset"), [(1e-10, 1e6, 0), (1e6, 1e-10, 0), (1e-3, 1e-3, 30)])
def test_scale_is_no_matter(tmp_path, unit, visual, acoustic, offset):
    found = scores(scaled(tmp_path, visual, acoustic, offset))
    assert torch.allclose(found, unit, atol=0.02) and unit.std() > 0.2


def test_features_of_unit_scale_are_left_alone_bit_for_bit(planted):
    model, _ = build(make_config("CMVAE", planted, **SMALL))
    assert model.standardised_features == [] and not any("factor" in name for name in model.state_dict())
    assert torch.equal(scores(planted), scores(planted, standardize_features=False))


def test_the_released_objective_takes_features_as_they_are(tmp_path):
    scaled(tmp_path, 100, 1)
    model, _ = build(make_config("DecCM", tmp_path, **SMALL, objective="released"))
    assert model.standardised_features == []
    assert build(make_config("DecCM", tmp_path, **SMALL))[0].standardised_features == ["visual"]


def test_a_checkpoint_keeps_the_scale(tmp_path):
    """Evaluation, and serving over vectors that no training data are read for, as in training; the teacher's own."""
    folder = scaled(tmp_path, 1e6, 1)
    values = {**SMALL, "teacher_config": {"epochs": 1}, "teacher_score_weight": 0.5, "checkpoint_dir": str(tmp_path)}
    trained = fit(make_config("DecCM", folder, **values))
    path = Path(trained.trainer.saved_model_file)
    state = read_checkpoint(path)["state_dict"]
    assert {"encoders.visual.factor", "guide.visual.factor"} <= set(state) and "encoders.acoustic.factor" not in state
    assert evaluate(path, [f"--data_path={folder}", "--state=ERROR"])["valid"] == pytest.approx(trained.valid_result)
    served = open_recommender(path).recommend(np.load(folder / "planted" / "planted.visual.npy")[:40], k=5)
    model = trained.trainer.model.eval()
    load_weights(model, state, path)
    with torch.no_grad():
        top = model.score_matrix(torch.arange(1, 41))[:, 1:].topk(5).indices
    assert served["music_id"].tolist() == [f"m{row}" for row in top.flatten().tolist()]


def test_a_checkpoint_of_raw_features_stays_one_of_raw_features(tmp_path):
    """As older checkpoints are: without a scale of their own, over data that would be standardised today."""
    folder = scaled(tmp_path, 100, 1)
    config = make_config("CMVAE", folder, **SMALL, standardize_features=False, checkpoint_dir=str(tmp_path))
    trained = fit(config)
    found = evaluate(
        Path(trained.trainer.saved_model_file),
        [f"--data_path={folder}", "--state=ERROR", "--standardize_features=True"],
    )
    assert found["valid"] == pytest.approx(trained.valid_result)
