"""A result belongs to its run: files of one's own, and an evaluation of what was trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from helpers.running import make_config, run_quick

from recbole_decm.model.backdoor import adjusted_log_softmax
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.serving import open_recommender
from recbole_decm.training import checkpointing
from recbole_decm.training.checkpoint import read_checkpoint, write_checkpoint
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import fit, run_config


def test_runs_of_one_second_have_files_of_their_own(planted, monkeypatch):
    """The second run starts and ends while the first one trains its first epoch."""
    monkeypatch.setattr(checkpointing, "get_local_time", lambda: "now")
    second, set_epoch = [], CMVAE.set_epoch

    def start_another(model, epoch):
        if not second:
            second.append(None)
            second[0] = run_config(make_config("CMVAE", planted, learning_rate=0.5, epochs=1))
        set_epoch(model, epoch)

    monkeypatch.setattr(CMVAE, "set_epoch", start_another)
    first, test = run_config(make_config("CMVAE", planted, epochs=2))
    files = [trained.trainer.saved_model_file for trained in (first, second[0][0])]
    assert sorted(path.name for path in Path("saved").glob("*.pth")) == sorted(Path(file).name for file in files)
    for file, expected in zip(files, (test, second[0][1]), strict=True):
        assert evaluate(file, ["--state=ERROR"])["test"] == expected


def test_runs_of_one_second_share_no_log(planted, monkeypatch):
    """Nor a TensorBoard folder; the teacher's is not the student's."""
    for module in ("recbole_decm.training.run", "recbole_decm.config.compat"):
        monkeypatch.setattr(f"{module}.get_local_time", lambda: "now")
    for _ in range(2):
        run_config(make_config("DecCM", planted, epochs=1, teacher_config={"epochs": 1}, state="INFO"))
    assert len(list(Path("log/DecCM").glob("*.log"))) == 2
    boards = sorted(Path("log_tensorboard").iterdir())
    assert [len(list(folder.glob("events*"))) for folder in boards] == [1, 1, 1]


def test_a_run_that_saves_nothing_leaves_no_file(planted):
    with pytest.raises(Exception, match="training loss: expected a number"):
        run_quick("CMVAE", planted, learning_rate=1e30, epochs=3)
    assert not list(Path("saved").glob("*.pth"))


def test_an_evaluation_reads_and_splits_as_the_training_did(planted, caplog):
    swapped = ["train", "test", "valid"]
    trained, test = run_config(make_config("CMVAE", planted, benchmark_filename=swapped, epochs=2))
    found = evaluate(trained.trainer.saved_model_file, ["--state=ERROR"])
    assert found["test"] == test and found["valid"] == trained.valid_result
    plain = "--benchmark_filename=['train','valid','test']"
    given = evaluate(trained.trainer.saved_model_file, [plain, "--state=ERROR"])  # what is given wins
    assert given["test"] != test
    assert "benchmark_filename (['train', 'test', 'valid'] -> ['train', 'valid', 'test'])" in caplog.text
    caplog.clear()
    open_recommender(trained.trainer.saved_model_file, ["--state=WARNING", plain])  # which audit does, too
    assert "Other values than the checkpoint was trained with: benchmark_filename" in caplog.text


def test_negatives_by_popularity_count_the_training_split(tmp_path, own_planted):
    """Other test pairs, the same weights."""
    other = shutil.copytree(own_planted, tmp_path / "other")
    path = other / "planted" / "planted.test.inter"
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *(f"{line.split()[0]}\tm0" for line in lines)]) + "\n")
    sampled = {"train_neg_sample_args": {"distribution": "popularity", "sample_num": 1}, "epochs": 2}
    one, two = (fit(make_config("BPR", folder, **sampled)).model.state_dict() for folder in (own_planted, other))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_cached_teacher_of_another_configuration_is_found_out(planted):
    """Its file names its own configuration, whatever the file is called."""
    values = {"teacher_config": {"epochs": 1}, "epochs": 1}
    run_quick("DecCM", planted, **values)
    (path,) = Path("saved/teachers").glob("*.pth")
    content = read_checkpoint(path)
    content["config"]["learning_rate"] = 0.123
    write_checkpoint(path, {key: value for key, value in content.items() if key not in ("format", "format_version")})
    run_quick("DecCM", planted, **values)
    assert read_checkpoint(path)["config"]["learning_rate"] != 0.123


def test_a_group_of_probability_zero_counts_nothing():
    scores = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    scores[2] = 500.0 * torch.eye(5)[:2]
    found = adjusted_log_softmax(scores, torch.tensor([[0.4, 0.6, 0.0]]).expand(2, -1), 0.01)
    without = adjusted_log_softmax(scores[:2], torch.tensor([[0.4, 0.6]]).expand(2, -1), 0.01)
    assert torch.allclose(found, without) and torch.isfinite(found).all()
