"""``python -m recbole_decm.experiments.worker JOB.json``: one cell or one trial, in a process that may crash alone.

The process ends with the one that started it: its standard input is a pipe from there, which closes when that dies.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from recbole_decm.errors import DecCMError
from recbole_decm.io.write import write_text

ORPHANED = 5


def _end_with_parent() -> None:
    os.read(0, 1)  # not through sys.stdin, whose lock this thread would hold while Python shuts down
    os._exit(ORPHANED)


def work(job: dict[str, Any], folder: Path) -> None:
    """Run a job; see :class:`recbole_decm.experiments.pool.Task` for where it comes from."""
    if job["kind"] == "cell":
        from recbole_decm.experiments.cell import run_cell

        run_cell(job["model"], job["dataset"], job["values"], job["note"], folder)
        return
    from recbole_decm.experiments.search import Study, run_trial
    from recbole_decm.experiments.space import Parameter

    space = {name: Parameter(kind, tuple(values)) for name, (kind, values) in job["space"].items()}
    study = Study(Path(job["journal"]), job["study"], space, job["trials"], job["seed"])
    run_trial(study, job["model"], job["dataset"], job["values"])


def run_job(file: Path) -> int:
    """Run the job of a file and return the exit code; on failure its last words are in ``error.txt`` beside it."""
    try:
        work(json.loads(file.read_text(encoding="utf-8")), file.parent)
    except Exception as error:
        traceback.print_exc()
        text = str(error) if isinstance(error, DecCMError) else f"{type(error).__name__}: {error}"
        write_text(file.parent / "error.txt", text)
        return 1
    return 0


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(run_job(Path(sys.argv[1])))
