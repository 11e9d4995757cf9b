"""A first look: a table of the models and the truth, and a page of its own."""

from __future__ import annotations

import pytest

from recbole_decm.cli.main import main
from recbole_decm.experiments.first_look import first_look
from recbole_decm.simulation import SimulationConfig, simulate, write_simulation


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small simulation with choices without confounding."""
    folder = tmp_path_factory.mktemp("look")
    config = SimulationConfig.of(videos=400, music=60, confounding=2.0, visual_dim=16, acoustic_dim=8, seed=3)
    write_simulation(simulate(config), folder, "small")
    return folder


FAST = {"epochs": 2, "teacher_config": {"epochs": 1}}


def test_the_lists_beside_the_truth(small):
    found = first_look("small", ("CMVAE", "Pop"), 5, {"data_path": str(small), "epochs": 2})
    assert [look.model for look in found.looks] == ["CMVAE", "Pop"] and found.k == 5
    for shares in (found.truth, *(look.shares for look in found.looks)):
        assert sum(shares) == pytest.approx(1) and len(shares) == len(found.genres)
    lines = found.table().splitlines()
    assert lines[-1].startswith("true choices") and lines[-1].endswith(f"{found.truth[found.largest]:.0%}")
    assert f"{found.looks[0].recall:.3f}" in lines[2]


def test_the_command_writes_a_small_page_of_its_own(small, tmp_path, capsys):
    arguments = [f"--data_path={small}", "--epochs=1", "--teacher_config={'epochs': 1}"]
    assert main(["first-look", "--dataset=small", "--out=look.html", *arguments]) == 0
    shown = capsys.readouterr().out
    assert "DecCMPlus" in shown and "How to read it" in shown and str(tmp_path / "look.html") in shown
    page = (tmp_path / "look.html").read_text(encoding="utf-8")
    assert len(page) < 20_000 and "://" not in page and "<script" not in page
    assert page.count('class="bar"') == 4


def test_data_without_a_truth_are_refused(planted, capsys):
    assert main(["first-look", "--dataset=planted", f"--data_path={planted}"]) == 2
    assert "expected choices without confounding" in capsys.readouterr().err


def test_a_model_that_fails_is_named(small, capsys):
    assert (
        main(["first-look", "--dataset=small", f"--data_path={small}", "--learning_rate=1e30", "--teacher=none"]) == 2
    )
    assert "error: DecCMPlus: training loss: expected a number" in capsys.readouterr().err


def test_names_from_a_data_set_stay_names():
    from recbole_decm.report.first_look import FirstLook, Look

    page = FirstLook("<b>x", 5, ("<i>g", "h"), (0.4, 0.6), (Look("<u>m", 0.1, 0.2, (0.5, 0.5)),)).page()
    assert "<b>x" not in page and "<i>g" not in page and "<u>m" not in page and "&lt;u&gt;m" in page
