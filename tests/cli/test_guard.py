"""What a user sees where RecBole is missing, and that what is written about installing it is one thing."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

from recbole_decm.cli.guard import INSTALL_RECBOLE, guarded

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
