"""A log of what was served, a JSON object a line: without it nobody can say later what another policy would have done.

No uploader is named in it, nor the tracks of a history. The prior stands in it as the probabilities that the ranking
was made with, which are a person's habit where the request said so.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from logging import getLogger
from pathlib import Path
from queue import Full, Queue
from typing import Any

from pydantic_core import to_json

from recbole_decm.io.write import in_one_line

FORMAT_VERSION = 1
_WAITING = 100_000


class ServedLog:
    """Appends lines from a thread of its own, so that no request waits for the disk.

    Args:
        path: of the file, which is added to; only its owner may read it.

    Attributes:
        lost: lines that could not be written: the disk is full, or slower than the requests.

    Raises:
        ResourceError: it cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self.lost = 0
        with in_one_line(path, "the log of what was served"):
            path.touch(mode=0o600)
            self._file = path.open("ab")
        self._lines: Queue[Mapping[str, Any] | None] = Queue(_WAITING)
        self._thread = threading.Thread(target=self._write, name="served-log", daemon=True)
        self._thread.start()

    def add(
        self,
        *,
        request: str,
        time: float,
        artefact: str,
        prior: Mapping[str, Any],
        tracks: Sequence[str],
        scores: Sequence[float],
        options: Mapping[str, Any],
    ) -> None:
        """Keep a list: of which request, when (seconds since 1970), how it was ranked, and what was in it."""
        line = {
            "format_version": FORMAT_VERSION,
            "time": time,
            "request_id": request,
            "artefact": artefact,
            "prior": prior,
            "options": options,
            "tracks": tracks,
            "scores": scores,
        }
        try:
            self._lines.put_nowait(line)
        except Full:
            self.lost += 1

    def _write(self) -> None:
        going = True
        while going:
            parts = [self._lines.get()]
            while not self._lines.empty():
                parts.append(self._lines.get())
            going = parts[-1] is not None
            lines = [to_json(part, inf_nan_mode="null") + b"\n" for part in parts if part is not None]
            try:
                self._file.write(b"".join(lines))
                self._file.flush()
            except OSError as error:
                self.lost += len(lines)
                getLogger(__name__).error("the log of what was served: %s", error.strerror)

    def close(self) -> None:
        """Write what is waiting, and close the file."""
        self._lines.put(None)
        self._thread.join()
        self._file.close()
