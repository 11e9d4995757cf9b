"""``protocol: auto``: chosen by training and validation rows alone, within a number of trainings, once."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.running import make_config

from recbole_decm.io.weights import of_tensors
from recbole_decm.training import protocol, run
from recbole_decm.training.checkpoint import read_checkpoint
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.protocol import Choice, chosen_of

FAST = {"epochs": 2, "teacher_config": {"epochs": 1, "train_batch_size": 64}, "protocol_fits": 4}


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch):
    monkeypatch.setattr(protocol, "LEAST_ROWS", 100)


class Fits:
    """Stands in for trainings: notes each, and gives each protocol the score of its fold."""

    def __init__(self, scores: dict[str, list[float]]):
        self.scores, self.calls = {name: iter(found) for name, found in scores.items()}, []

    def __call__(self, config, splits):
        self.calls.append((config["protocol"], config["seed"], config["valid_metric"], len(splits.test.users)))
        score = next(self.scores[config["protocol"]])
        trainer = SimpleNamespace(evaluate=lambda loader: {"ndcg@10": score})
        return SimpleNamespace(trainer=trainer)


def find(folder, fits, **values) -> Choice:
    config = make_config("DecCMPlus", folder, **values)
    return protocol.find(config, run.load(config), fits)


def test_the_best_of_equally_many_trainings_is_taken_and_kept(planted):
    fits = Fits({"default": [0.1, 0.2, 0.3], "few-artists": [0.2, 0.3, 0.5]})
    choice = find(planted, fits, protocol_fits=7, seed=5)
    assert choice.chosen == "few-artists" and choice.scores["few-artists"] == [0.2, 0.3, 0.5]
    assert choice.why == "ndcg of 3 folds: default 0.2000, few-artists 0.3333"
    assert [call[:3] for call in fits.calls] == [
        (name, protocol.SEED, "NDCG@10") for name in ("default",) * 3 + ("few-artists",) * 3
    ]
    assert [call[3] for call in fits.calls[:3]] == [call[3] for call in fits.calls[3:]]
    for same in ({"seed": 6}, {"topk": [1], "valid_metric": "NDCG@1"}, {"show_progress": False}):
        assert find(planted, Fits({}), protocol_fits=7, **same) == choice  # from the cache, without a training
    with pytest.raises(KeyError):  # of another config
        find(planted, Fits({}), protocol_fits=7, dropout_prob=0.5)


def test_a_damaged_cache_is_made_again(planted):
    scores = {"default": [0.3, 0.3], "few-artists": [0.2, 0.2]}
    find(planted, Fits(scores), protocol_fits=4)
    (path,) = Path("saved/teachers").glob("*.protocol.json")
    for text in ("{", "[]", '{"chosen": "../other", "why": ""}'):
        path.write_text(text)
        assert find(planted, Fits(scores), protocol_fits=4).chosen == "default"
    assert json.loads(path.read_text())["scores"] == scores


def test_a_candidate_that_diverges_is_worst_and_stops_nothing(planted, caplog):
    """A learning rate that the default survives and the other does not would otherwise end the run."""
    config = make_config("DecCMPlus", planted, **FAST)
    real = run.fit

    def fit(config, splits):
        if config["protocol"] == "few-artists":
            config["learning_rate"] = 1e30
        return real(config, splits=splits)

    choice = protocol.find(config, run.load(config), fit)
    assert choice.chosen == "default" and choice.scores["few-artists"] == [0.0, 0.0]
    assert min(choice.scores["default"]) > 0
    assert caplog.text.count("protocol: few-artists counts 0 in a fold. training loss: expected a number") == 2


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ({"default": [0.1, 0.2], "other": [0.2, 0.3]}, "other"),
        ({"default": [0.2, 0.3], "other": [0.1, 0.2]}, "default"),
        ({"default": [0.2, 0.2], "other": [0.2, 0.2]}, "default"),
        ({"default": [0.2, 0.2], "other": [0.21, 0.21], "third": [0.3, 0.3]}, "third"),
    ],
)
def test_the_best_mean_is_taken_and_of_equal_ones_the_first(scores, chosen):
    assert chosen_of(scores).chosen == chosen


@pytest.mark.parametrize(
    ("limits", "values", "why"),
    [
        ({}, {"protocol_fits": 3}, "protocol_fits is 3, less than 2 folds for each of 2 protocols"),
        ({"LEAST_ROWS": 511}, {}, "510 training and validation pairs, fewer than 511"),
        ({"MOST_ROWS": 509}, {}, "510 training and validation pairs, more than 509"),
        ({"FOLDS": 31}, {}, "30 groups of pairs, fewer than 31"),
    ],
)
def test_without_a_comparison_it_is_the_default_and_says_why(planted, monkeypatch, limits, values, why):
    for name, value in limits.items():
        monkeypatch.setattr(protocol, name, value)
    assert find(planted, Fits({}), **values) == Choice("default", why)


def test_given_keys_may_leave_nothing_to_choose(planted):
    from recbole_decm.config.protocols import values_of

    whole = values_of("few-artists")
    assert find(planted, Fits({}), **whole) == Choice("default", "given keys leave nothing to choose")


def test_test_rows_change_nothing(own_planted, monkeypatch):
    """Real trainings: the scores are the same bits when the test has other tracks, and its videos other features and
    uploaders; they are others without some training rows."""
    monkeypatch.setattr(protocol, "LEAST_ROWS", 50)
    values = {**FAST, "protocol_fits": 4, "train_batch_size": 32}

    def scores(folder: str) -> dict:
        config = make_config("DecCMPlus", own_planted, **values, checkpoint_dir=folder)
        return protocol.find(config, run.load(config), run.fit).scores

    first = scores("a")
    path = own_planted / "planted" / "planted.test.inter"
    head, *rows = path.read_text().splitlines()
    videos, tracks = zip(*(row.split("\t") for row in rows), strict=True)
    changed = [f"{video}\t{track}" for video, track in zip(videos, tracks[1:], strict=False)]
    path.write_text("\n".join([head, *changed]) + "\n")
    user, tested = own_planted / "planted" / "planted.user", set(videos)
    cells = [line.split("\t") for line in user.read_text().splitlines()]
    assert cells[0][1:3] == ["uploader_id:token", "uploader_genre:float_seq"] and len(tested) == len(videos) > 10
    for row in cells[1:]:
        if row[0] in tested:
            row[1:] = ["another", "1 0 0", " ".join(f"{900 + i}" for i in range(12))]
    user.write_text("\n".join("\t".join(row) for row in cells) + "\n")
    assert scores("b") == first
    train = own_planted / "planted" / "planted.train.inter"
    head, *rows = train.read_text().splitlines()
    train.write_text("\n".join([head, *rows[20:]]) + "\n")
    assert scores("c") != first


def outcome(planted, **values) -> tuple[dict, dict]:
    """Result file and checkpoint of a whole run."""
    config = make_config("DecCMPlus", planted, **{**FAST, **values}, result_file="r.json")
    run.run_config(config)
    result = json.loads(Path("r.json").read_text())
    return result, read_checkpoint(result["checkpoint"])


def test_auto_trains_what_the_named_protocol_trains(planted, monkeypatch, caplog):
    """Whichever is chosen: the same weights, bit by bit; it is logged once, and in result and checkpoint."""
    for name in protocol.CANDIDATES:
        choice = Choice(name, "told so", {"default": [0.0]})
        monkeypatch.setattr(protocol, "find", lambda *args, choice=choice: choice)
        with caplog.at_level(logging.INFO):
            result, checkpoint = outcome(planted)
        lines = [record.getMessage() for record in caplog.records if "protocol: auto takes" in record.getMessage()]
        assert lines == [f"protocol: auto takes {name} (told so)."]
        caplog.clear()
        named, _ = outcome(planted, protocol=name)
        assert result["digests"]["weights"] == named["digests"]["weights"] and result["test"] == named["test"]
        assert (
            result["protocol"]
            == checkpoint["protocol"]
            == {"chosen": name, "why": "told so", "scores": {"default": [0.0]}}
        )
        assert result["config"]["protocol"] == checkpoint["config"]["protocol"] == name and "protocol" not in named
        assert result["seconds"]["protocol"] >= 0
        assert evaluate(result["checkpoint"])["test"] == pytest.approx(result["test"])


def test_a_search_leaves_the_training_after_it_as_it_was(planted):
    """Real trainings before it, and the same bits as without them; given keys stand above the protocol's."""
    result, checkpoint = outcome(planted)
    chosen = result["protocol"]["chosen"]
    named, _ = outcome(planted, protocol=chosen)
    assert result["digests"]["weights"] == named["digests"]["weights"]
    assert set(result["protocol"]["scores"]) == set(protocol.CANDIDATES)
    assert all(len(found) == 2 for found in result["protocol"]["scores"].values())
    assert result["config"]["epochs"] == 2 and checkpoint["config"]["train_batch_size"] == 64
    assert not list(Path("saved").glob(".writing*")) and not list(Path("saved/teachers").glob(".writing-*"))


def test_a_resumed_run_keeps_its_protocol(planted):
    values = {**FAST, "epochs": 1, "protocol": "few-artists", "eval_step": 1}
    config = make_config("DecCMPlus", planted, **values, checkpoint_dir="cut")
    first = run.fit(config)
    path = first.trainer.saved_model_file
    auto = {**values, "protocol": "auto", "epochs": 2, "checkpoint": path, "checkpoint_dir": "cut"}
    resumed = run.fit(make_config("DecCMPlus", planted, **auto))
    assert resumed.config["protocol"] == "few-artists" and resumed.config["dropout_prob"] == 0.8
    whole = run.fit(make_config("DecCMPlus", planted, **{**values, "epochs": 2}, checkpoint_dir="whole"))
    assert of_tensors(resumed.model.state_dict()) == of_tensors(whole.model.state_dict())
    assert torch.isfinite(resumed.model.state_dict()["prior_mean"]).all()
