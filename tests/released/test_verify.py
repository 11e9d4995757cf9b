"""verify-released: golden files of the released code and of a naive implementation; files that must not pass."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from golden.make_golden import golden as naive_golden

from recbole_decm.cli.main import main
from recbole_decm.errors import CheckpointError, DataError
from recbole_decm.released.golden import read_golden
from recbole_decm.released.verify import compare_arrays, verify

OWN = Path(__file__).parent.parent / "golden"


def entries(path: Path = OWN / "naive_wide.npz") -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def rows_of(tmp_path, content) -> dict:
    np.savez(tmp_path / "g.npz", **content)
    return {row.quantity: row for row in verify(read_golden(tmp_path / "g.npz"))}


def failures(tmp_path, content) -> list[str]:
    return [name for name, row in rows_of(tmp_path, content).items() if not row.agrees]


@pytest.mark.parametrize("file", ["released_small.npz", "released_alpha.npz"])
def test_the_released_code(shared_data, file, capsys):
    assert main(["verify-released", str(shared_data / "golden" / file)]) == 0
    table = capsys.readouterr().out
    assert "all agree" in table and "train.grad.confounder_emb.weight" in table and "metric.weighted_ndcg@10" in table
    assert table.count("not used; no gradient") == 16  # fc1 of four towers, of student and teacher


def test_every_entry_of_the_released_files_has_a_row(shared_data):
    golden = read_golden(shared_data / "golden" / "released_alpha.npz")
    rows = verify(golden)
    assert sorted(row.quantity for row in rows) == sorted(golden.arrays)
    assert max(row.absolute for row in rows) < 2e-6


def test_the_naive_implementation(capsys):
    assert main(["verify-released", str(OWN / "naive_wide.npz"), str(OWN / "naive_tall.npz")]) == 0
    assert capsys.readouterr().out.count("all agree") == 2


@pytest.mark.parametrize(
    "change",
    [
        {"music_dim": 1, "video_dim": 2, "latent_dim": 3, "num_groups": 1, "batch": 5, "num_negatives": 1},
        {"num_groups": 9, "latent_dim": 17, "batch": 30, "num_negatives": 12, "margin": 0.0, "alpha": 0.0},
        {"reconstruction_weight": 0.0, "music_loss_factor": 0.0, "alpha": 40.0, "margin": 3.0},
    ],
)
def test_any_dimensions_and_weights(tmp_path, change):
    config = json.loads(str(entries()["config"])) | change
    rows = rows_of(tmp_path, naive_golden(config, with_gradients=False))
    assert all(row.agrees for row in rows.values()) and max(row.absolute for row in rows.values()) < 1e-12


@pytest.mark.parametrize(
    ("name", "touched"),
    [
        ("train.loss", ["train.loss"]),
        ("train.video_match", ["train.video_match"]),
        ("eval.teacher_kl_released", ["eval.teacher_kl_released"]),
        ("train.teacher_kl_textbook", ["train.teacher_kl_textbook"]),
        ("eval.grad.linear.weight", ["eval.grad.linear.weight"]),
        ("train.grad.m_encoder.bn1.bias", ["train.grad.m_encoder.bn1.bias"]),
        ("eval.logvar_video", ["eval.logvar_video"]),
        ("metric.scores", ["metric.scores"]),
        ("metric.weighted_ndcg@2", ["metric.weighted_ndcg@2"]),
    ],
)
def test_one_changed_number_fails_where_it_stands(tmp_path, name, touched):
    content = entries()
    content[name] = content[name].copy()
    content[name].reshape(-1)[-1] += 3e-4
    assert failures(tmp_path, content) == touched


@pytest.mark.parametrize(
    "name",
    ["in.video", "in.prior", "state.linear.bias", "state.t_net.v_encoder.bn1.running_var", "state.m_decoder.fc2.bias"],
)
def test_a_changed_input_fails_downstream(tmp_path, name):
    content = entries()
    content[name] = content[name].copy()
    content[name].reshape(-1)[0] += 1e-2
    assert failures(tmp_path, content)


@pytest.mark.parametrize(
    ("key", "value"),
    [("margin", 0.2), ("alpha", 0.31), ("num_negatives", 3), ("music_loss_factor", 1.0), ("reconstruction_weight", 0)],
)
def test_a_changed_setting_fails(tmp_path, key, value):
    content = entries()
    content["config"] = np.array(json.dumps(json.loads(str(content["config"])) | {key: value}))
    assert "train.loss" in failures(tmp_path, content)


@pytest.mark.parametrize("name", ["train.extra", "extra", "state.m_encoder.fc9.weight", "metric.weighted_mrr@5"])
def test_a_quantity_that_is_not_compared_fails(tmp_path, name, capsys):
    np.savez(tmp_path / "g.npz", **entries(), **{name: np.zeros(3)})
    assert main(["verify-released", "--failures-only", str(tmp_path / "g.npz")]) == 1
    assert "1 do not agree" in (table := capsys.readouterr().out) and name in table and "not compared" in table


def test_a_gradient_that_must_not_be_there(tmp_path):
    content = entries()
    content["train.grad.m_encoder.fc1.bias"] = np.zeros(4)
    assert not failures(tmp_path, content)  # no gradient is a gradient of zero
    content["train.grad.m_encoder.fc1.bias"] = np.full(4, 0.1)
    assert failures(tmp_path, content) == ["train.grad.m_encoder.fc1.bias"]
    del content["train.grad.m_encoder.fc1.bias"], content["train.grad.linear.bias"]
    assert failures(tmp_path, content) == ["train.grad.linear.bias"]  # missing in the file: said to be none


def test_nan_and_other_shapes_fail(tmp_path):
    content = entries() | {"train.loss": np.float64("nan"), "eval.z_video": np.zeros((9, 5))}
    assert failures(tmp_path, content) == ["train.loss", "eval.z_video"]


def test_without_a_teacher(tmp_path):
    content = {
        name: value
        for name, value in entries().items()
        if "t_net." not in name and "teacher" not in name and not name.endswith("loss") and ".grad." not in name
    }
    assert not failures(tmp_path, content)


def test_absolute_or_relative_whichever_is_smaller():
    assert compare_arrays("", np.array([1000.001, 1e-9]), np.array([1000.0, 2e-9]), 1e-5).agrees
    assert not compare_arrays("", np.array([1000.1, 1e-9]), np.array([1000.0, 2e-9]), 1e-5).agrees
    assert compare_arrays("", np.array([0.0]), np.array([0.0]), 0.0).agrees


def test_broken_golden_files(tmp_path):
    whole = (OWN / "naive_wide.npz").read_bytes()
    plain = io.BytesIO()
    np.save(plain, np.ones(3))
    objects = io.BytesIO()
    np.savez(objects, config=np.array([{}], dtype=object))
    for content in (b"", b"hello", whole[:-200], whole[:900], plain.getvalue(), objects.getvalue()):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"b\.npz: expected a whole \.npz"):
            read_golden(tmp_path / "b.npz")
    with pytest.raises(DataError, match="found none"):
        read_golden(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in.prior": None}, r"missing: in\.prior"),
        ({"config": np.array("{")}, "expected JSON"),
        ({"config": np.array("{}")}, "expected the keys alpha, latent_dim"),
        ({"margin": "a"}, "number in the key 'margin'"),
        ({"latent_dim": 0}, "number in the key 'latent_dim'"),
        ({"dropout": 0.2}, "dropout 0"),
        ({"batch": 10}, r"'in\.music' of shape \(10, 3\)"),
        ({"in.music": np.array([["a"] * 3] * 9)}, r"expected numbers in 'in\.music'"),
    ],
)
def test_golden_files_that_cannot_be_compared(tmp_path, change, message):
    content = entries()
    config = json.loads(str(content["config"]))
    for name, value in change.items():
        if value is None:
            del content[name]
        elif name == "config" or name.startswith("in."):
            content[name] = value
        else:
            content["config"] = np.array(json.dumps(config | {name: value}))
    np.savez(tmp_path / "g.npz", **content)
    with pytest.raises(DataError, match=message):
        read_golden(tmp_path / "g.npz")


def test_missing_and_misshapen_weights(tmp_path, capsys):
    content = entries()
    del content["state.v_encoder.fc_mu.bias"]
    content["state.linear.bias"] = np.zeros(3)
    np.savez(tmp_path / "g.npz", **content)
    match = r"(?s)state\.v_encoder\.fc_mu\.bias is missing; state\.linear\.bias has shape \(3,\), expected \(4,\)"
    with pytest.raises(CheckpointError, match=match):
        verify(read_golden(tmp_path / "g.npz"))
    assert main(["verify-released", str(tmp_path / "g.npz")]) == 2
    assert "Traceback" not in capsys.readouterr().err
