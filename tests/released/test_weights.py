"""import-weights: metrics equal to a direct numpy computation, and weights that are refused."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from golden import make_golden
from helpers.released_layout import write_released
from helpers.running import run_quick

from recbole_decm.cli.main import main
from recbole_decm.errors import CheckpointError
from recbole_decm.released.importer import import_released
from recbole_decm.released.unpickle import load_array
from recbole_decm.released.weights import read_weights
from recbole_decm.training.checkpoint import read_checkpoint

CUTS = (10, 15, 20, 25)
SIZES = {"video_dim": 8, "music_dim": 8, "latent_dim": 6, "num_groups": 4}


@pytest.fixture
def layout(tmp_path):
    folders = write_released(tmp_path / "released", videos=160, music=40, dtype=np.float32, negatives=30)
    import_released(*folders, "rel", tmp_path / "out", show_progress=False)
    return folders[0]


def random_state(seed=0, **sizes):
    rng = np.random.default_rng(seed)
    state = make_golden.random_state(rng, SIZES | sizes)
    return {
        name: torch.from_numpy(value if value.dtype.kind == "i" else value.astype(np.float32))
        for name, value in state.items()
    }


def teacher_alone(state):
    return {name[6:]: value for name, value in state.items() if name.startswith("t_net.")}


def run_import(tmp_path, state, *options, data="rel"):
    if state is not None:
        torch.save(state, tmp_path / "weights.pth")
    argv = ["import-weights", str(tmp_path / "weights.pth"), "--dataset", data, "--out", str(tmp_path / "c.pth")]
    return main([*argv, f"--data_path={tmp_path / 'out'}", *options])


def metrics_of(tmp_path, *options):
    result = tmp_path / "result.json"
    assert main(["evaluate", str(tmp_path / "c.pth"), *options, f"--result_file={result}"]) == 0
    return json.loads(result.read_text())


def direct_metrics(folder, state, split, fused):
    """The released evaluation from the weights and the released files alone, in float64."""
    weights = {name: value.double().numpy() for name, value in state.items()}
    visual = np.load(folder / "visual_features_resnet_V.npy").astype(float)
    files = ("music_features.npy", "new_music_smile_features_norm.npy")
    music = np.concatenate([np.load(folder / file) for file in files], axis=1).astype(float)
    z_video, _ = make_golden.encode(weights, "v_encoder", visual, False)
    z_music, _ = make_golden.encode(weights, "m_encoder", music, False)
    if fused:
        prior = np.mean([row[3] for row in load_array(folder / "train.npy")], axis=0)
        confounder = prior @ weights["confounder_emb.weight"]
        z_music = make_golden.affine(weights, "linear", [np.concatenate([confounder, row]) for row in z_music])
    found = dict.fromkeys([f"ipw{kind}@{cut}" for kind in ("recall", "ndcg") for cut in CUTS], 0.0)
    row_weights = np.load(folder / f"video_popularity_{split}.npy")
    rows = load_array(folder / "100neg" / f"{split}.npy")
    for (video, positive, negatives), weight in zip(rows, row_weights / row_weights.sum(), strict=True):
        scores = z_music @ z_video[video]
        rank = sum(scores[j] > scores[positive] for j in negatives)
        for cut in CUTS:
            if rank < cut:
                found[f"ipwrecall@{cut}"] += weight
                found[f"ipwndcg@{cut}"] += weight / np.log2(rank + 2)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_student_gives_the_released_metrics(layout, tmp_path, capsys, seed):
    state = random_state(seed)
    assert run_import(tmp_path, state) == 0
    text = capsys.readouterr().out
    assert "DecCM, 8 visual and 8 acoustic dimensions, 6 latent ones, 4 genre groups" in text and "--teacher" in text
    found = metrics_of(tmp_path, "--dataset", "rel")
    for ours, theirs in (("valid", "val"), ("test", "test")):
        expected = direct_metrics(layout, state, theirs, fused=True)
        assert {name: found[ours][name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_a_teacher_alone_and_the_teacher_inside(layout, tmp_path, capsys):
    state = random_state()
    expected = direct_metrics(layout, teacher_alone(state), "test", fused=False)
    assert run_import(tmp_path, teacher_alone(state)) == 0
    assert "DecCMTeacher" in capsys.readouterr().out
    alone = metrics_of(tmp_path)
    assert run_import(tmp_path, state, "--teacher", "--overwrite") == 0
    inside = metrics_of(tmp_path)
    assert alone["test"] == inside["test"] and alone["model"] == "DecCMTeacher"
    assert {name: alone["test"][name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_an_imported_teacher_guides_a_student(layout, tmp_path):
    assert run_import(tmp_path, teacher_alone(random_state()), data="rel-pgc") == 0
    values = {"objective": "released", "latent_dimension": 6, "epochs": 1, "train_batch_size": 16}
    result = run_quick("DecCM", tmp_path / "out", "rel", teacher=str(tmp_path / "c.pth"), **values)
    assert 0 <= result["test_result"]["ipwrecall@25"] <= 1


def test_weights_alone_cannot_be_resumed(layout, tmp_path):
    assert run_import(tmp_path, random_state()) == 0
    with pytest.raises(CheckpointError, match="expected a checkpoint of a run to resume, found weights alone"):
        run_quick("DecCM", tmp_path / "out", "rel", teacher="none", latent_dimension=6, checkpoint=tmp_path / "c.pth")


def without(state, *names):
    return {name: value for name, value in state.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "m_encoder.fc_mu.weight"), "m_encoder.fc_mu.weight is missing"),
        (lambda s: without(s, "m_encoder.fc_mu.bias"), "m_encoder.fc_mu.bias is missing"),
        (lambda s: without(s, "confounder_emb.weight", "linear.bias"), "linear.bias is missing; confounder_emb.weight"),
        (lambda s: s | {"extra.weight": torch.zeros(2)}, "extra.weight is not expected"),
        (lambda s: s | {"linear.weight": torch.zeros(6, 11)}, "linear.weight has shape (6, 11), expected (6, 12)"),
        (lambda s: s | {"confounder_emb.weight": torch.zeros(5, 6)}, "has shape (5, 6), expected (4, 6)"),
        (lambda s: random_state(video_dim=9), "v_encoder.bn1.weight has shape (9,), expected (8,)"),
        (lambda s: s | {"linear.bias": torch.full((6,), float("nan"))}, "finite numbers in 'linear.bias'"),
        (lambda s: s | {"linear.bias": 3}, "expected a tensor for 'linear.bias', found a int"),
        (lambda s: {}, "expected a state dict"),
        (lambda s: [1, 2], "expected a state dict (names and tensors), found a list"),
        (lambda s: dict.fromkeys(["encoders.visual.mean.bias"], torch.zeros(2)), "is not expected"),
    ],
)
def test_weights_that_do_not_fit(layout, tmp_path, capsys, change, message):
    assert run_import(tmp_path, change(random_state())) == 2
    error = capsys.readouterr().err
    assert message in error and "weights.pth" in error and "Traceback" not in error
    assert not (tmp_path / "c.pth").exists()


class Attack:
    def __reduce__(self):
        return os.system, ("touch carried-out",)


def test_weights_that_carry_code_are_not_run(layout, tmp_path, capsys):
    assert run_import(tmp_path, random_state() | {"linear.bias": Attack()}) == 2
    assert "more than weights, such as code" in capsys.readouterr().err
    assert not (tmp_path / "carried-out").exists() and not (tmp_path / "c.pth").exists()


def test_damaged_weights(layout, tmp_path):
    torch.save(random_state(), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    for content in (b"", b"hello", whole[:100], whole[:-500]):
        (tmp_path / "weights.pth").write_bytes(content)
        with pytest.raises(CheckpointError, match="found a corrupt file or more than weights"):
            read_weights(tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match="found no file"):
        read_weights(tmp_path / "none.pth")


def test_a_checkpoint_that_exists_is_kept(layout, tmp_path, capsys):
    (tmp_path / "c.pth").write_text("precious")
    assert run_import(tmp_path, random_state()) == 2
    assert "expected a new file" in capsys.readouterr().err
    assert run_import(tmp_path, without(random_state(), "linear.bias"), "--overwrite") == 2
    assert (tmp_path / "c.pth").read_text() == "precious"
    assert run_import(tmp_path, random_state(), "--overwrite") == 0
    assert read_checkpoint(tmp_path / "c.pth")["config"]["objective"] == "released"
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_half_precision_and_a_wrapped_state_dict(layout, tmp_path):
    state = {name: v.half() if v.is_floating_point() else v for name, v in random_state().items()}
    assert run_import(tmp_path, {"epoch": 3, "state_dict": state}) == 0
    assert read_checkpoint(tmp_path / "c.pth")["state_dict"]["fusion.linear.bias"].dtype == torch.float32
