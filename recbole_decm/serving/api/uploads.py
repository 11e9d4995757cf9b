"""Files that callers send: kept without a name, decoded by processes of their own, and made to features."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import LifoQueue
from typing import Any, BinaryIO

import numpy as np
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from recbole_decm.errors import ConfigError
from recbole_decm.media.cards import Card
from recbole_decm.media.clips import extract_clips
from recbole_decm.media.extractor import Extractor
from recbole_decm.media.extractors import reopen
from recbole_decm.media.sandbox import Reader
from recbole_decm.media.wants import Limits as ClipLimits
from recbole_decm.media.wants import Sound
from recbole_decm.serving.api.options import Limits
from recbole_decm.serving.api.problems import Problem

_OPTIONS = 1 << 20  # bytes of the field beside the files
_THREADS = 4  # of the decoder of one file, which somebody waits for


async def read_form(request: Request, files: str, most: int) -> tuple[list[BinaryIO], bytes]:
    """The files and the field ``options`` of a multipart request; close the request's form after use.

    Args:
        files: name of the fields that hold files.
        most: of them.

    Raises:
        Problem: no such form, other fields, too many files or none.
    """
    try:
        form = await request.form(max_files=most, max_fields=1, max_part_size=_OPTIONS)
    except HTTPException as error:
        raise Problem(
            400, f"body: expected a form with at most {most} files and 'options', but {error.detail}"
        ) from None
    except (FormParserError, KeyError, ValueError, LookupError) as error:
        raise Problem(400, f"body: expected multipart/form-data, but {type(error).__name__}: {error}") from None
    found: list[BinaryIO] = []
    for name, value in form.multi_items():
        wanted = UploadFile if name == files else str
        if name not in (files, "options") or not isinstance(value, wanted):
            raise Problem(422, f"body: expected files as '{files}' and a text as 'options', found '{name[:100]}'.")
        if isinstance(value, UploadFile):
            found.append(value.file)
    if not found:
        raise Problem(422, f"{files}: expected at least one whole file, found none.")
    return found, _options(form)


def _options(form: FormData) -> bytes:
    value = form.get("options", "{}")
    return value.encode(errors="replace") if isinstance(value, str) else b""


class Decoders:
    """Processes that decode, started before the first file comes, as many as may work at a time.

    Args:
        limits: how much a file may take, and how many are decoded at a time.
    """

    def __init__(self, limits: Limits) -> None:
        of_a_clip = ClipLimits(duration=limits.clip_seconds, seconds=limits.decode_seconds, memory=limits.decode_memory)
        self._readers: LifoQueue[Reader] = LifoQueue()
        self._threads = ThreadPoolExecutor(limits.decodes, "decode")
        self._limits, self._waiting = limits, 0
        for _ in range(limits.decodes):
            reader = Reader(of_a_clip, threads=min(_THREADS, os.cpu_count() or 1))
            reader.start()
            self._readers.put(reader)
            self._threads.submit(self._warm)

    def _warm(self) -> None:
        """Read what is no clip, so that the first one waits for no import."""
        reader = self._readers.get()
        try:
            with tempfile.SpooledTemporaryFile() as file:
                file.write(b"no clip")
                with _on_disk(file) as path:
                    list(reader.read([(path, [Sound(8000)])]))
        finally:
            self._readers.put(reader)

    async def features(self, files: Sequence[BinaryIO], extractors: Mapping[str, Extractor]) -> dict[str, np.ndarray]:
        """Field -> (N, D) of N files, a row of NaN where a file does not have what the field is made of.

        Raises:
            Problem: 422, a file that cannot be read, with the reason; 503, too many are at work.
        """
        if self._waiting >= 4 * self._limits.decodes:
            raise Problem(503, f"expected at most {self._waiting} uploads at a time, found more. Come again.", 2)
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            parts = [loop.run_in_executor(self._threads, self._one, file, extractors) for file in files]
            done = await asyncio.gather(*parts, return_exceptions=True)
        finally:
            self._waiting -= 1
        for place, part in enumerate(done):
            if isinstance(part, Problem):
                raise Problem(part.status, f"file {place + 1}: {part.detail}")
            if isinstance(part, BaseException):
                raise part
        found = [part for part in done if not isinstance(part, BaseException)]
        return {field: np.concatenate([part[field] for part in found]) for field in extractors}

    def _one(self, file: BinaryIO, extractors: Mapping[str, Extractor]) -> dict[str, np.ndarray]:
        reader = self._readers.get()
        try:
            with _on_disk(file) as path:
                shard = extract_clips([path], extractors, reader)
        finally:
            self._readers.put(reader)
        if len(shard.failures) == len(extractors):
            failure = shard.failures[0]
            raise Problem(
                422,
                f"expected a clip that can be read for {failure.field}, found {failure.reason.value}: "
                f"{failure.detail}.",
            )
        return shard.features

    def close(self) -> None:
        """End the processes after what they are at."""
        self._threads.shutdown(wait=True)
        while not self._readers.empty():
            self._readers.get().close()


@contextmanager
def _on_disk(file: Any) -> Iterator[Path]:
    """A name of an open file without one, for this process alone; it vanishes with the file."""
    file.rollover()
    file.flush()
    number = os.dup(file.fileno())
    try:
        yield Path(f"/dev/fd/{number}")
    finally:
        os.close(number)


def open_extractors(cards: Mapping[str, Card], fields: Mapping[str, int], what: str) -> dict[str, Extractor]:
    """The extractors that a model's fields were made with.

    Args:
        what: the fields are of, for the message.

    Raises:
        ConfigError: the artefact does not say how they were made; a field is made of text; a package is missing.
    """
    missing = [field for field in fields if field not in cards]
    if missing:
        raise ConfigError(
            f"{what}: expected an artefact that says how '{missing[0]}' was made (features.json beside the training "
            "data), found none. Send features instead of files."
        )
    found = {field: reopen(cards[field]) for field in fields}
    texts = [field for field, extractor in found.items() if extractor.want is None]
    if texts:
        raise ConfigError(f"{what}: expected fields made of pictures and sound, found '{texts[0]}'. Send features.")
    return found
