"""What the README tells a newcomer to type works: every command of it is run, shortened in training alone."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from glob import glob
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.clips_and_tracks import write_clips
from helpers.released_layout import write_released

from recbole_decm.cli.main import main
from recbole_decm.cli.run import run_main
from recbole_decm.config.values import read_yaml
from recbole_decm.training.run import run

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text()
FAST = ["--epochs=1", "--state=ERROR", "--show_progress=False", "--teacher_config={'epochs': 1}"]
FROM_VIDEOS = re.search(r"^## From your videos.*?^(?=## )", README, flags=re.M | re.S).group()
COMMANDS = [
    command
    for command in re.findall(
        r"^((?:python run_recbole\.py|recbole-decm) .*)$|`((?:python run_recbole\.py|recbole-decm) [^`]*)`",
        README.replace(FROM_VIDEOS, ""),
        flags=re.M,
    )
    for command in command
    if command and "NAME.npz" not in command and "[--key" not in command
]


def test_there_are_commands():
    assert len(COMMANDS) >= 12


def _fill(command: str, tmp_path: Path) -> list[str]:
    """The command's arguments, with a real file for each placeholder."""
    words = shlex.split(command.replace("python run_recbole.py", "recbole-decm run"))[1:]
    if "CHECKPOINT" in command:
        values = {"epochs": 1, "state": "ERROR", "show_progress": False}
        run("DecCM", "sim", config_dict={**values, "teacher": "none"})
        (checkpoint,) = Path("saved").glob("*.pth")
        words = [str(checkpoint) if "CHECKPOINT" in word else word for word in words]
    if "FILE.npz" in command:
        words = [
            str(next((PROJECT / "tests" / "golden").glob("*.npz"))) if word == "FILE.npz" else word for word in words
        ]
    if "DIR" in command:
        folders = dict(zip(("--ugc=DIR", "--pgc=DIR"), write_released(tmp_path / "released"), strict=True))
        words = [f"{word[:6]}{folders[word]}" if word in folders else word for word in words]
    if "today.npy" in command:
        np.save("today.npy", np.random.default_rng(0).random((3, 128), dtype=np.float32))
    if words[0] == "import-table":
        lines = ["video_id,music_id,uploader_id", *(f"v{i},m{i % 9},u{i % 4}" for i in range(30))]
        Path("P.csv").write_text("\n".join(lines))
        for name in ("V.npy", "M.npy"):
            np.save(name, np.random.default_rng(0).random((30, 4), dtype=np.float32))
    if words[0] == "benchmark":  # .ci/wheel runs the whole file
        spec = read_yaml(PROJECT / "properties" / words[1])
        spec |= {"models": ["DecCMPlus", "Pop"], "seeds": [1]}
        spec.pop("search", None)
        spec["config"] |= {"epochs": 1, "teacher_config": {"epochs": 1}}
        (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
        words[1] = str(tmp_path / "spec.yaml")
    if words[0] == "simulate":
        words += ["--videos=300", "--music=40", "--pgc-videos=100"]
    return words


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_runs(command, tmp_path, capsys):
    words = _fill(command, tmp_path)
    if words[0] == "run":
        has_teacher = "DecCM" in command or "--model" not in command  # DecCM is the default
        assert run_main([*words[1:], *(FAST if has_teacher else FAST[:3])]) == 0
    elif words[0] in ("compare", "first-look"):
        assert main([*words, "--epochs=1", "--teacher_config={'epochs': 1}"]) == 0
    else:
        assert main(words) == 0, capsys.readouterr().err


def test_the_way_from_videos_to_recommendations_is_as_it_stands(tmp_path, capsys):
    pytest.importorskip("av", reason="PyAV is not installed: pip install -e '.[media]'")
    table, shell = re.findall(r"```\n(.*?)```", FROM_VIDEOS, flags=re.S)
    pairs = write_clips(tmp_path)
    mine = pd.read_csv(pairs)[table.splitlines()[0].split(",")]
    mine.loc[1, "music"] = ""
    mine.to_csv(pairs, index=False)
    assert mine["video"][0] == table.splitlines()[1].split(",")[0]  # the example names files that are like these
    Path("new").mkdir()
    shutil.copy("videos/v3.mp4", "new")
    commands = [line for line in shell.splitlines() if line.startswith("recbole-decm")]
    assert [command.split()[1] for command in commands] == ["extract", "run", "recommend"]
    for command in commands:
        words = [found for word in shlex.split(command)[1:] for found in (glob(word) if "*" in word else [word])]
        assert main(words) == 0, capsys.readouterr().err
    assert pd.read_csv("new.csv")["video_id"].tolist() == ["v3"] * 3


def test_the_python_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    short = '{"epochs": 1, "state": "ERROR", "teacher_config": {"epochs": 1}}'
    shortened = code.replace('{"epochs": 5}', short)
    assert short in shortened
    exec(shortened, {})


@pytest.mark.parametrize("target", ["run", "demo", "test", "check", "bench"])
def test_make_has_the_targets(target):
    if shutil.which("make") is None:
        pytest.skip("make is not installed here")
    done = subprocess.run(["make", "-n", target], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout


@pytest.mark.parametrize("document", sorted(PROJECT.glob("*.md")) + sorted((PROJECT / "docs").rglob("*.md")), ids=str)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        assert target.startswith("http") or (document.parent / target).exists(), target
