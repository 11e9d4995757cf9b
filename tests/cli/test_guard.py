"""What a user sees where RecBole is missing, and that what is written about installing it is one thing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from helpers.running import QUICK

from recbole_decm.cli.guard import INSTALL_RECBOLE, guarded
from recbole_decm.cli.main import main
from recbole_decm.model.cmvae import CMVAE

PROJECT = Path(__file__).resolve().parents[2]

# A new process in which RecBole cannot be found, as after `pip install` alone on Python 3.12.
WITHOUT_RECBOLE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "recbole":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["recbole-decm", *sys.argv[1:]]
"""
AS_COMMAND = WITHOUT_RECBOLE + "from recbole_decm.cli.main import main; sys.exit(main())"
AS_SCRIPT = WITHOUT_RECBOLE + f"import runpy; runpy.run_path({str(PROJECT / 'run_recbole.py')!r}, run_name='__main__')"


def _without_recbole(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (AS_SCRIPT, ["--model=CMVAE"]),
        (AS_COMMAND, ["compare", "--models=Pop"]),
        (AS_COMMAND, ["evaluate", "nowhere.pth"]),
    ],
)
def test_without_recbole_one_line_has_the_command_to_run(code, arguments):
    done = _without_recbole(code, *arguments)
    assert done.returncode == 2
    assert done.stderr == f"error: RecBole is not installed. Install it with: {INSTALL_RECBOLE}\n"


def test_without_recbole_debug_shows_where_it_was_needed():
    done = _without_recbole(AS_SCRIPT, "--model=CMVAE", "--debug")
    assert done.returncode == 1 and "No module named 'recbole'" in done.stderr and "Traceback" in done.stderr


def test_without_recbole_help_still_answers():
    done = _without_recbole(AS_COMMAND, "--help")
    assert done.returncode == 0 and "benchmark" in done.stdout


def test_another_missing_module_is_no_expected_error():
    def work() -> None:
        raise ModuleNotFoundError("No module named 'faiss'", name="faiss")

    with pytest.raises(ModuleNotFoundError, match="faiss"):
        guarded(work, debug=False)


@pytest.mark.parametrize("name", ["README.md", "Makefile", "pyproject.toml"])
def test_the_command_is_the_one_that_is_written_down(name):
    found = re.findall(r"pip install [^\n`]*--no-deps[^\n`]*recbole==[^\s`]+", (PROJECT / name).read_text())
    assert found and all(line.split()[-2:] == INSTALL_RECBOLE.split()[-2:] for line in found)


def test_where_recbole_comes_without_its_metadata_ours_name_what_it_needs():
    """All but ray, and thop, which RecBole imports for its quick start alone."""
    needed = {re.match(r"[\w-]+", line)[0].lower() for line in requires("recbole") if "extra ==" not in line}
    ours = (PROJECT / "pyproject.toml").read_text().partition("dependencies = [")[2].partition("\n]")[0]
    named = re.findall(r"""^  "([\w-]+)\b(?!.*python_version <)""", ours, flags=re.M)
    assert needed - {"ray", "thop"} == needed & set(named)


@pytest.fixture
def stopped(monkeypatch, planted, capfd):
    """Run a model that is stopped at an epoch; the exit code and the last line it says."""

    def run(model, epoch, stop, hook="set_epoch"):
        original, calls = getattr(CMVAE, hook), []

        def stopping(self, *arguments):
            calls.append(None)
            if len(calls) > epoch:
                stop()
            return original(self, *arguments)

        values = {**QUICK, "data_path": planted, "epochs": 3, "teacher_config": {"epochs": 2}}
        if model != "DecCM":
            del values["teacher_config"]
        with monkeypatch.context() as patch:
            patch.setattr(CMVAE, hook, stopping)
            code = main(["run", f"--model={model}", "--dataset=planted", *(f"--{k}={v}" for k, v in values.items())])
        return code, capfd.readouterr().err.splitlines()[-1]

    return run


def interrupt():
    raise KeyboardInterrupt


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(("stop", "code", "word"), [(interrupt, 130, "interrupted"), (terminate, 143, "terminated")])
def test_what_is_kept_of_a_stopped_run_is_said(stopped, stop, code, word):
    before = signal.getsignal(signal.SIGTERM)
    assert stopped("CMVAE", 0, stop) == (code, f"{word}; no epoch was finished: nothing is kept")
    assert not list(Path("saved").glob("*"))
    found, said = stopped("CMVAE", 1, stop)
    (file,) = Path("saved").glob("*.pth")
    assert (found, said) == (
        code,
        f"{word}; the last finished epoch (0) is in {file}; --checkpoint={file} goes on from there",
    )
    found, said = stopped("CMVAE", 3, stop, hook="full_sort_predict")  # three validations, then the test
    assert found == code and said.startswith(f"{word}; training was finished, and its checkpoint is saved/")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stopped_teacher_leaves_nothing(stopped):
    assert stopped("DecCM", 1, interrupt) == (130, "interrupted; the teacher was not finished: nothing is kept")
    assert {path.suffix for path in Path("saved").rglob("*") if path.is_file()} <= {".lock"}
