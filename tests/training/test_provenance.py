"""A result says what it was made from, and is made again from what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.planted import write_planted
from helpers.running import make_config, run_quick

from recbole_decm.experiments.hashes import all_hashes
from recbole_decm.training.checkpoint import read_checkpoint
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.provenance import data_digest, versions
from recbole_decm.training.run import run
from recbole_decm.training.teacher import fingerprint


@pytest.mark.parametrize(
    ("model", "values"),
    [
        ("DecCM", {"teacher_config": {"epochs": 1}}),
        ("BPR", {"train_neg_sample_args": {"distribution": "popularity", "sample_num": 2}}),
        ("FM", {"feature_reduce": {"visual": 2, "acoustic": 2}, "eval_args": {"mode": "uni10"}}),
    ],
)
def test_a_result_is_made_again_from_what_it_says(own_planted, model, values):
    run_quick(model, own_planted, **values, epochs=2, result_file="first.json")
    first = json.loads(Path("first.json").read_text())
    shutil.rmtree("saved")
    run(first["model"], first["dataset"], config_dict={**first["config"], "result_file": "second.json"})
    second = json.loads(Path("second.json").read_text())
    for key in ("format_version", "seed", "valid", "test", "versions", "digests", "config", "epochs", "train_pairs"):
        if key == "digests":  # the teacher's file names its time, its weights are the same
            first[key].pop("teacher", None), second[key].pop("teacher", None)
        assert first[key] == second[key], key
    assert first["format_version"] == 1 and first["versions"] == versions()
    assert {"code", "data", "weights"} <= first["digests"].keys() and first["config"]["seed"] == first["seed"]
    content = read_checkpoint(second["checkpoint"])
    assert content["format_version"] == 1 and content["versions"] == versions()
    assert content["digests"]["data"] == first["digests"]["data"] and content["config"]["epochs"] == 2


def test_weights_that_are_read_are_named_by_a_digest(own_planted):
    values = {"epochs": 1, "teacher_config": {"epochs": 1}, "result_file": "r.json"}
    run_quick("DecCM", own_planted, **values)
    first = json.loads(Path("r.json").read_text())
    evaluate(first["checkpoint"], ["--state=ERROR", "--result_file=e.json"])
    found = json.loads(Path("e.json").read_text())
    assert found["test"] == first["test"] and {"code", "data", "checkpoint"} <= found["digests"].keys()
    assert first["digests"]["teacher"] and found["config"]["learning_rate"] == first["config"]["learning_rate"]
    (teacher,) = Path("saved/teachers").glob("*.pth")
    run_quick("DecCM", own_planted, **values, teacher=str(teacher))
    assert json.loads(Path("r.json").read_text())["digests"]["teacher"] == first["digests"]["teacher"]


@pytest.mark.parametrize("place", ["features/v.npy", "../v.npy"])
def test_feature_files_count_wherever_they_are(tmp_path, place):
    folder = write_planted(tmp_path, videos=20, music=4, npy=True)
    (folder / place).parent.mkdir(exist_ok=True)
    shutil.move(folder / "planted.visual.npy", folder / place)
    files = {"visual": place, "acoustic": "planted.acoustic.npy"}
    config = make_config("CMVAE", tmp_path, feature_files=files)
    before = data_digest(config), fingerprint(config), all_hashes(config)
    np.save(folder / place, np.random.default_rng(1).normal(size=np.load(folder / place).shape).astype(np.float32))
    after = data_digest(config), fingerprint(config), all_hashes(config)
    assert before[0] != after[0] and before[1] != after[1]
    assert before[2]["data_hash"] != after[2]["data_hash"] and before[2]["config_hash"] == after[2]["config_hash"]


def test_files_of_further_suffixes_count(tmp_path):
    folder = write_planted(tmp_path, videos=20, music=4)
    config = make_config("BPR", tmp_path, additional_feat_suffix=["emb"])
    seen = [data_digest(config)]
    for name in ("planted.emb", "planted.kg", "planted.link"):
        (folder / name).write_text("a:token\n1\n")
        seen.append(data_digest(config))
    assert len(set(seen)) == 4
    (folder / "planted.yaml").touch()
    (folder / "notes.txt").touch()
    assert data_digest(config) == seen[-1]


@pytest.mark.parametrize(("model", "key"), [("DecCM", "teacher"), ("NAIS", "pretrain_path")])
def test_a_benchmark_counts_what_is_in_a_file_that_is_named(own_planted, tmp_path, model, key):
    (tmp_path / "t.pth").write_bytes(b"one")
    config = make_config(model, own_planted, **{key: str(tmp_path / "t.pth")})
    one = all_hashes(config)["config_hash"]
    (tmp_path / "t.pth").write_bytes(b"two")
    assert all_hashes(config)["config_hash"] != one
    (tmp_path / "t.pth").write_bytes(b"one")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "t.pth", tmp_path / "elsewhere" / "t.pth")
    moved = make_config(model, own_planted, **{key: str(tmp_path / "elsewhere" / "t.pth")})
    assert all_hashes(moved)["config_hash"] == one


@pytest.mark.parametrize("model", ["DecCM", "FM"])
def test_no_uploader_is_named_in_what_a_run_writes(own_planted, tmp_path, model):
    path = own_planted / "planted" / "planted.user"
    head, *lines = path.read_text().splitlines()
    column = head.split("\t").index("uploader_id:token")
    rows = [line.split("\t") for line in lines]
    for row in rows:
        row[column] = f"person-{row[column]}-named"
    path.write_text("\n".join([head, *map("\t".join, rows)]) + "\n")
    own = {"teacher": "none", "uploader_prior": "train"} if model == "DecCM" else {}
    run_quick(model, own_planted, epochs=1, state="DEBUG", result_file="r.json", **own)
    written = [path for name in ("saved", "log", "log_tensorboard") for path in Path(name).rglob("*") if path.is_file()]
    assert len(written) >= 3
    for file in [*written, Path("r.json")]:
        assert b"person-" not in file.read_bytes(), file
