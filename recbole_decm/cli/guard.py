"""What a user sees of an error: one line, and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from recbole_decm.errors import ConfigError, DecCMError

INSTALL_RECBOLE = "pip install --no-deps recbole==1.2.1"


def guarded(work: Callable[[], object], debug: bool) -> int:
    """Run ``work``; print the message of an expected error alone and return 2, or show its traceback with ``debug``.

    A missing RecBole is expected: from Python 3.12 on pip cannot install it along with this package (pyproject.toml).
    """
    try:
        work()
    except DecCMError as error:
        if debug:
            raise
        rank = os.environ.get("RANK", "0")  # of torchrun, whose processes all have the same config
        if rank == "0" or not isinstance(error, ConfigError):
            print(f"error: {error}" if rank == "0" else f"error (rank {rank}): {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if debug or error.name != "recbole":
            raise
        print(f"error: RecBole is not installed. Install it with: {INSTALL_RECBOLE}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the last finished epoch is in the checkpoint", file=sys.stderr)
        return 130
    return 0
