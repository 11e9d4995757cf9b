"""Searches: the same values however often they are stopped, a fair budget, and what becomes of trials that fail."""

from __future__ import annotations

import json
import os
from concurrent.futures import Future
from pathlib import Path

import pytest
import yaml
from helpers.in_process import run_in_process
from helpers.planted import write_planted

from recbole_decm.cli.main import main
from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.values import read_yaml
from recbole_decm.errors import ConfigError, DecCMError
from recbole_decm.experiments import runner, search
from recbole_decm.experiments.jobs import Workers
from recbole_decm.experiments.spec import Range, distributions_of, read_specification
from recbole_decm.experiments.tune import tune

OUT = Path("out")
SPACE = {"learning_rate": Range(loguniform=(1e-4, 1e-1)), "dropout_prob": Range(choice=[0.0, 0.4, 0.8])}
YAML = {"learning_rate": {"loguniform": [1e-4, 1e-1]}, "dropout_prob": {"choice": [0.0, 0.4, 0.8]}}
FAST = {"epochs": 1, "train_batch_size": 64, "topk": [10]}


@pytest.fixture
def data(tmp_path) -> Path:
    write_planted(tmp_path / "data", videos=200, music=12, pgc=False)
    return tmp_path / "data"


@pytest.fixture
def started(monkeypatch) -> list[str]:
    return run_in_process(monkeypatch)


def tuned(data, trials, out="tuned", space=SPACE, **values):
    return tune("CMVAE", "planted", {**FAST, "data_path": str(data), **values}, space, trials, Path(out))


def test_a_search_that_was_stopped_goes_on_as_if_it_was_not(data, started):
    whole = tuned(data, 6, "whole")  # past the random ones
    tuned(data, 2)
    parts = tuned(data, 6)
    assert len(started) == 12 and parts == whole
    assert tuned(data, 6) == whole and len(started) == 12
    defaults = DecCMConfig("CMVAE", "planted", config_dict={"data_path": str(data)})
    assert whole.trials[0]["values"] == {name: defaults[name] for name in SPACE}
    assert len({trial["values"]["learning_rate"] for trial in whole.trials}) == 6
    scores = [trial["score"] for trial in whole.trials]
    assert whole.score == max(scores) and whole.number == scores.index(max(scores)) and min(scores) < max(scores)


def test_the_score_is_that_of_a_run_with_the_values(data, started, capsys):
    found = tuned(data, 3)
    arguments = ["run", "--model=CMVAE", "--dataset=planted", f"--data_path={data}", "--config_files=tuned/best.yaml"]
    assert main([*arguments, "--epochs=1", "--train_batch_size=64", "--topk=[10]", "--result_file=r.json"]) == 0
    assert json.loads(Path("r.json").read_text())["valid"]["ndcg@10"] == found.score
    assert read_yaml(Path("tuned/best.yaml")) == found.values


def test_another_search_does_not_get_the_folder(data, started):
    tuned(data, 1)
    for other in ({"space": {"margin": Range(uniform=(0.1, 0.2))}}, {"margin": 0.9}):
        with pytest.raises(ConfigError, match=r"found one of CMVAE on planted with another config"):
            tuned(data, 1, **other)
    with pytest.raises(ConfigError, match="Did you mean 'margin'"):
        tuned(data, 1, "new", {"margni": Range(uniform=(0.1, 0.2))})


def test_a_trial_that_diverges_is_noted_and_counts(data, started):
    found = tuned(data, 4, space={"learning_rate": Range(choice=[0.001, 1e30])})
    states = {trial["values"]["learning_rate"]: trial["state"] for trial in found.trials}
    assert states == {0.001: "complete", 1e30: "fail"} and len(found.trials) == len(started) == 4
    assert all("found nan" in trial["error"] for trial in found.trials if trial["state"] == "fail")
    with pytest.raises(DecCMError, match="at least one trial with a score, found none of 2"):
        tuned(data, 2, "none", {"learning_rate": Range(choice=[1e29, 1e30])})


def test_trials_of_a_process_that_is_gone_are_closed_and_do_not_count(data):
    config = DecCMConfig("CMVAE", "planted", config_dict={**FAST, "data_path": str(data)})
    study = search.Study(Path("s.journal").absolute(), "s", distributions_of(SPACE), 3, 1)
    opened = search.start(study, config)
    for pid in (2**22 + 1, os.getpid()):
        opened.ask().set_user_attr("pid", pid)
    assert search.used_trials(opened) == (0, 2)
    assert search.used_trials(search.start(study, config)) == (0, 1)  # ours is still at work


def test_a_trial_that_is_interrupted_does_not_count_and_one_that_crashes_does(data, started, monkeypatch):
    submit, ends = Workers.submit, ["crash", KeyboardInterrupt, "go on", "go on"]

    def end(workers, task):
        kind = ends.pop(0)
        if kind is KeyboardInterrupt:
            raise kind
        done: Future = Future()
        done.set_result("The process was ended by SIGKILL.")
        return done if kind == "crash" else submit(workers, task)

    monkeypatch.setattr(Workers, "submit", end)
    with pytest.raises(KeyboardInterrupt):
        tuned(data, 3)
    found = tuned(data, 3)  # this process lives, but no longer works at the trial that it began
    assert [trial["state"] for trial in found.trials] == ["fail", "fail", "complete", "complete"] and not ends
    assert [trial["error"] for trial in found.trials[:2]] == ["The process was ended by SIGKILL.", None]


def test_smaller_can_be_better(data):
    values = {**FAST, "data_path": str(data), "metrics": ["NDCG", "GenreKL"], "valid_metric": "GenreKL@10"}
    config = DecCMConfig("CMVAE", "planted", config_dict=values)
    opened = search.start(search.Study(Path("s.journal").absolute(), "s", distributions_of(SPACE), 3, 1), config)
    for score in (0.5, 0.2, 0.2, 0.9):
        opened.tell(opened.ask(), score)
    assert search.best_of(opened).number == 1


def test_the_command_and_its_page(data, started, capsys):
    Path("space.yaml").write_text(yaml.safe_dump(YAML))
    arguments = [
        "tune",
        "--model=CMVAE",
        "--dataset=planted",
        f"--data_path={data}",
        "--trials=4",
        "--space=space.yaml",
    ]
    assert main([*arguments, "--epochs=1", "--train_batch_size=64", "--topk=[10]"]) == 0
    out = capsys.readouterr().out
    assert "CMVAE on planted: 4 trials (0 failed), best is trial" in out and "  learning_rate: " in out
    page = Path("saved/tune/CMVAE-planted/search.html").read_text()
    assert page.count('class="plot"') == 3 and 'src="http' not in page
    assert main(["tune", "--model=Pop", "--dataset=planted", f"--data_path={data}"]) == 2
    assert "search/Pop.yaml: expected a YAML file" in capsys.readouterr().err


def benchmark(data, **values):
    given = {"datasets": [{"planted": {"dataset": "planted", "data_path": str(data)}}], "seeds": [1, 2], "config": FAST}
    Path("s.yaml").write_text(yaml.safe_dump({**given, **values}))
    return read_specification("s.yaml")


def test_cells_run_with_what_the_search_of_their_model_found(data, started):
    models = ["Pop", "CMVAE", {"wide": {"model": "CMVAE", "config": {"latent_dimension": 256}}}]
    spec = benchmark(data, models=models, search={"trials": 3, "space": {"CMVAE": YAML}})
    assert runner.run_benchmark(spec, OUT).done == 6
    searched = ["search of CMVAE on planted", "search of wide on planted"]
    assert [started.count(name) for name in searched] == [3, 3] and len(started) == 12  # the same budget
    cells = [json.loads(path.read_text()) for path in OUT.glob("cells/*/cell.json")]
    for label in ("CMVAE", "wide"):
        (journal,) = OUT.glob(f"search/{label}-*.json")
        best = max(json.loads(journal.read_text()), key=lambda trial: (trial["score"], -trial["number"]))
        own = {"latent_dimension": 256} if label == "wide" else {}
        overlays = [cell["overlay"] for cell in cells if cell["model"] == label]
        assert overlays == [{**own, **best["values"]}] * 2
    started.clear()
    assert runner.run_benchmark(spec, OUT).before == 6 and started == []
    spec = benchmark(data, models=models, search={"trials": 4, "space": {"CMVAE": YAML}})
    runner.run_benchmark(spec, OUT, update=True)
    assert [started.count(name) for name in searched] == [1, 1]  # the three are not run again


def test_cells_of_a_search_without_any_score_fail_and_no_other(data, started, monkeypatch):
    said = []
    monkeypatch.setattr(runner.Progress, "say", lambda self, text: said.append(text))
    space = {"CMVAE": {"learning_rate": {"choice": [1e29, 1e30]}}}
    spec = benchmark(data, models=["CMVAE", "Pop"], search={"trials": 2, "space": space})
    outcome = runner.run_benchmark(spec, OUT)
    assert outcome.done == 2 and list(outcome.failed) == ["CMVAE on planted, seed 1", "CMVAE on planted, seed 2"]
    assert (
        "none of 2 trials had a score (training loss: expected a number" in outcome.failed["CMVAE on planted, seed 1"]
    )
    assert sum(line.startswith("search of CMVAE on planted: trial failed: training loss") for line in said) == 2
