"""The command, with a stand-in for the report, which is tested where it is written."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from helpers.in_process import run_in_process
from helpers.planted import write_planted

from recbole_decm.cli.main import main
from recbole_decm.experiments.jobs import Workers
from recbole_decm.report.options import ReportOptions


@pytest.fixture
def reports(monkeypatch, tmp_path) -> list:
    found: list = []
    stand_in = SimpleNamespace(write_report=lambda *given: found.append(given))
    monkeypatch.setitem(sys.modules, "recbole_decm.report.report", stand_in)
    write_planted(tmp_path / "data", videos=200, music=12, pgc=False)
    return found


def write(**values) -> None:
    given = {"models": ["Pop"], "datasets": [{"p": {"dataset": "planted", "data_path": "${HERE}"}}], "seeds": [1, 2]}
    Path("s.yaml").write_text(yaml.safe_dump({**given, **values}))


def test_a_run_ends_with_a_report_and_says_what_it_did(reports, monkeypatch, capsys):
    run_in_process(monkeypatch)
    write(title="T", baseline="Pop", main_metric="Recall@10")
    command = ["benchmark", "s.yaml", "--out=out", "--data", "HERE=data", "--jobs=2"]
    assert main(command) == 0 and main(command) == 0
    captured = capsys.readouterr()
    assert "2 of 2 cells done (2 before), 0 failed" in captured.out
    assert "[1/2] Pop on p, seed 1: test recall@10" in captured.err and "2 of 2 cells are done already" in captured.err
    assert reports == [(Path("out"), ReportOptions("recall@10", "test", "Pop", "T"))] * 2


def test_a_failed_cell_is_exit_code_1_and_its_error_is_shown(reports, monkeypatch, capsys):
    run_in_process(monkeypatch)
    diverging = {"learning_rate": 1e30, "train_batch_size": 64}
    write(models=["Pop", {"bad": {"model": "CMVAE", "config": diverging}}], seeds=[1])
    assert main(["benchmark", "s.yaml", "--out=out", "--data", "HERE=data"]) == 1
    assert "failed: bad on p, seed 1: training loss: expected a number" in capsys.readouterr().err and len(reports) == 1


def test_an_interruption_writes_the_report_of_what_is_there(reports, monkeypatch, capsys):
    run_in_process(monkeypatch)
    write()
    submit = Workers.submit

    def interrupt(workers, task):
        if list(Path("out/cells").glob("*")):  # the first cell is done
            raise KeyboardInterrupt
        return submit(workers, task)

    monkeypatch.setattr(Workers, "submit", interrupt)
    command = ["benchmark", "s.yaml", "--out=out", "--data", "HERE=data"]
    assert main(command) == 130 and len(reports) == 1
    assert "the same command goes on" in capsys.readouterr().err
    monkeypatch.setattr(Workers, "submit", submit)
    assert main(command) == 0 and "2 of 2 cells done (1 before)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data=HERE"], "expected NAME=DIR, found HERE"),
        ([], "Give --data HERE=DIR"),
        (["--jobs=0"], "0 is not in the range"),
    ],
)
def test_a_mistake_is_exit_code_2(reports, more, message, capsys):
    write()
    assert main(["benchmark", "s.yaml", "--out=out", *more]) == 2
    assert message in capsys.readouterr().err and not Path("out").exists() and not reports
