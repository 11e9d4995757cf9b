"""A model that other people wrote runs through the same command, with checkpoints and evaluation."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from recbole_decm.cli.main import main
from recbole_decm.cli.run import run_main
from recbole_decm.config import registry
from recbole_decm.config.config import DecCMConfig
from recbole_decm.errors import ConfigError
from recbole_decm.experiments.hashes import all_hashes
from recbole_decm.training.checkpoint import read_checkpoint, write_checkpoint
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import run


@pytest.mark.parametrize("name", ["TwoLinear", "Blended"])
def test_it_learns_and_is_evaluated_from_its_checkpoint(planted, name, monkeypatch, tmp_path):
    monkeypatch.setitem(registry.MODELS, name, "helpers.third_party")
    path = tmp_path / "result.json"
    arguments = ["--dataset=planted", f"--data_path={planted}", "--epochs=20", "--learning_rate=0.01", "--state=ERROR"]
    assert run_main([f"--model={name}", *arguments, "--show_progress=False", f"--result_file={path}"]) == 0
    result = json.loads(path.read_text())
    assert result["test"]["recall@10"] > 0.5  # by chance 10 of 40 tracks
    assert evaluate(result["checkpoint"])["test"] == result["test"]


NAME = "helpers.third_party:TwoLinear"


@pytest.fixture
def checkpoint(planted):
    """Of a model that is named by its import path alone."""
    arguments = ["--dataset=planted", f"--data_path={planted}", "--epochs=20", "--learning_rate=0.01", "--state=ERROR"]
    assert run_main([f"--model={NAME}", *arguments, "--show_progress=False", "--result_file=r.json"]) == 0
    result = json.loads(Path("r.json").read_text())
    assert result["model"] == NAME and result["test"]["recall@10"] > 0.5
    assert Path(result["checkpoint"]).name.startswith("TwoLinear-planted-seed2020-")
    return result["checkpoint"], result["test"]


def test_a_class_by_its_import_path(checkpoint, capsys):
    path, test = checkpoint
    assert evaluate(path, [f"--model={NAME}"])["test"] == test
    assert main(["evaluate", path, f"--model={NAME}"]) == 0
    assert main(["recommend", path, f"--model={NAME}", "--k=3", "--out=o.csv"]) == 0
    assert len(Path("o.csv").read_text().splitlines()) == 271


@pytest.mark.parametrize("command", ["evaluate", "recommend", "embed", "audit"])
def test_a_checkpoint_alone_imports_nothing(command, checkpoint, monkeypatch, capsys):
    """Whatever module a checkpoint names: it is imported only where the same --model is given."""
    content = read_checkpoint(checkpoint[0])
    Path("trap.py").write_text("open('sprung', 'w')\nfrom helpers.third_party import TwoLinear\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.delitem(sys.modules, "trap", raising=False)
    write_checkpoint(Path("c.pth"), content | {"model": "trap:TwoLinear"})
    out = ["--out=o"] if command == "embed" else []
    assert main([command, "c.pth", *out]) == 2
    assert command == "audit" or "expected --model=trap:TwoLinear beside this checkpoint" in capsys.readouterr().err
    assert main([command, "c.pth", *out, f"--model={NAME}"]) == 2
    assert not Path("sprung").exists() and "trap" not in sys.modules
    if command == "evaluate":
        assert main([command, "c.pth", "--model=trap:TwoLinear"]) == 0 and Path("sprung").exists()


def test_a_class_itself_and_its_own_settings(planted, monkeypatch):
    """From Python a class does; its keys come from its bases, the YAML beside its module, and what is given."""
    Path("mine.py").write_text(
        "from recbole_decm.model.cmvae import CMVAE\nclass Mine(CMVAE):\n    seen = []\n"
        "    def encode(self, modality, features):\n        self.seen.append(self.settings.latent_dimension)\n"
        "        return super().encode(modality, features)\n"
    )
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    from mine import Mine  # type: ignore[import-not-found]

    values = {"data_path": str(planted), "epochs": 1, "state": "ERROR", "show_progress": False}
    run(Mine, "planted", config_dict=values | {"latent_dimension": 24})
    assert set(Mine.seen) == {24}
    config = DecCMConfig(Mine, "planted", config_dict=values)
    assert config["model"] == "mine:Mine" and config["latent_dimension"] == 128
    Path("Mine.yaml").write_text("latent_dimension: 40\n")
    assert DecCMConfig("mine:Mine", "planted", config_dict=values)["latent_dimension"] == 40
    before = all_hashes(config)
    Path("mine.py").write_text(Path("mine.py").read_text() + "# another model\n")
    assert all_hashes(config)["config_hash"] != before["config_hash"]  # a benchmark runs its cells again
    with pytest.raises(ConfigError, match="expected a key that mine:Mine or RecBole reads, found 'latent_dimensions'"):
        DecCMConfig("mine:Mine", "planted", config_dict=values | {"latent_dimensions": 3})


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no.such.package:Mine", "can be imported, found no.such.package:Mine .No module named 'no'"),
        ("helpers.third_party:Nobody", "has no attribute 'Nobody'"),
        (
            "helpers.third_party:torch",
            "expected a class on one of RecBole's recommenders, found helpers.third_party:torch",
        ),
        ("json:JSONDecoder", "which is none"),
        (":Mine", "Empty module name"),
        ("helpers.third_party:", "has no attribute ''"),
        ("broken:Mine", "can be imported, found broken:Mine .out of order"),
        ("leaving:Mine", "can be imported, found leaving:Mine .3"),
    ],
)
def test_what_is_no_model_is_refused(name, reason, planted, monkeypatch, capsys):
    Path("broken.py").write_text("raise RuntimeError('out of order')")
    Path("leaving.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    assert run_main([f"--model={name}", "--dataset=planted", f"--data_path={planted}"]) == 2
    assert re.search(reason, capsys.readouterr().err)
