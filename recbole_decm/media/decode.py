"""From the bytes of one clip to pictures and sound, in one pass whose memory does not grow with the clip's length.

This runs in the process of :mod:`recbole_decm.media.child`: neither torch nor pandas is imported here.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av
import numpy as np

from recbole_decm.media.failures import Reason, Unreadable
from recbole_decm.media.frames import Frames
from recbole_decm.media.samples import Samples
from recbole_decm.media.wants import Limits, Picture, Sound, Want

# Demuxers that read the one file they are given. None that names other files or addresses is among them: no playlist,
# no concat, no HLS, DASH or SDP, no sequence of images.
FORMATS = "mov,matroska,avi,flv,mpegts,mpeg,asf,ogg,mp3,wav,w64,aiff,flac,aac,ac3,amr,caf"
_COVER = 0x400  # AV_DISPOSITION_ATTACHED_PIC: the cover of an album


class _Source:
    """An open file without a name: ffmpeg can read it and nothing else, and cannot guess from its ending."""

    def __init__(self, file: Any) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def decode(
    file: Any, wants: Sequence[Want], limits: Limits, threads: int = 1, damaged: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, np.ndarray]]:
    """The blocks that are wanted, each with the place of its want: frames by time, sound by time.

    Nothing comes for a picture or sound that the clip does not have.

    Args:
        file: a seekable binary file.
        threads: of the decoders. An undamaged clip gives the same bits with any number.
        damaged: called at a part that cannot be decoded, which is left out.

    Raises:
        Unreadable: refused, corrupt, or beyond a limit.
    """
    opened: list[str] = []

    def refuse(url: str, *_: Any) -> Any:
        opened.append(url)
        raise PermissionError(url)

    def open_container() -> Any:
        file.seek(0)
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "none", "max_pixels": str(limits.pixels)}
        return av.open(_Source(file), options=options, io_open=refuse, buffer_size=1 << 18)

    try:
        with open_container() as container:
            streams = _streams(container, wants, limits)
            times = {stream.index: _times(container, stream) for stream in streams if stream.type == "video"}
            rewound = not times or _rewind(container, streams[0])
            if rewound:
                yield from _decode(container, wants, times, limits, threads, damaged)
        if not rewound:
            with open_container() as container:
                yield from _decode(container, wants, times, limits, threads, damaged)
    except (av.error.MemoryError, MemoryError) as error:
        raise Unreadable(Reason.OUT_OF_MEMORY, f"more than {limits.memory / 2**20:.0f} MB") from error
    except av.error.FFmpegError as error:
        if opened:
            raise Unreadable(Reason.NAMES_OTHER_FILES, "a file that asks for others") from error
        if isinstance(error, av.error.ArgumentError):
            words = f"no container of the kinds that are read ({FORMATS})"
            raise Unreadable(Reason.REFUSED_FORMAT, words) from error
        raise Unreadable(Reason.CORRUPT, _words(error)) from error


def _streams(container: Any, wants: Sequence[Want], limits: Limits) -> list[Any]:
    """The first picture and the first sound of a clip, as far as they are there and wanted. A cover is no picture."""
    if container.duration is not None and container.duration > limits.duration * av.time_base:
        raise Unreadable(Reason.TOO_LONG, f"{container.duration / av.time_base:.0f} s")
    pictures = [stream for stream in container.streams.video if not stream.disposition & _COVER]
    found = pictures[:1] if any(isinstance(want, Picture) for want in wants) else []
    if any(isinstance(want, Sound) for want in wants):
        found += container.streams.audio[:1]
    for stream in found:
        context = stream.codec_context
        if context is None:
            raise Unreadable(Reason.NO_DECODER, f"{stream.type} of an unknown kind")
        if stream.type == "video" and context.width * context.height > limits.pixels:
            raise Unreadable(Reason.TOO_LARGE, f"{context.width} x {context.height} pixels")
    return found


def _times(container: Any, stream: Any) -> tuple[np.ndarray, int]:
    """The times of the frames of a stream, in order, and when the last one ends, in the stream's units."""
    found, last, ends = array("q"), -(1 << 63), 0
    for packet in container.demux(stream):
        time = packet.pts if packet.pts is not None else packet.dts
        if packet.size and not packet.is_discard and time is not None:
            found.append(time)
            if time >= last:
                last, ends = time, time + max(1, packet.duration or 0)
    times = np.sort(np.frombuffer(found, np.int64)) if found else np.empty(0, np.int64)
    return times, ends


def _rewind(container: Any, stream: Any) -> bool:
    """Go back to the first packet, where the container has a table that makes it sure."""
    if not container.format.name.startswith("mov"):
        return False
    container.seek(-(1 << 40), stream=stream)
    return True


def _decode(
    container: Any,
    wants: Sequence[Want],
    times: dict[int, tuple[np.ndarray, int]],
    limits: Limits,
    threads: int,
    damaged: Callable[[], None],
) -> Iterator[tuple[int, np.ndarray]]:
    takers: dict[int, Frames | Samples] = {}
    for stream in _streams(container, wants, limits):
        context = stream.codec_context
        context.options = {"max_pixels": str(limits.pixels)}
        context.thread_count, context.thread_type = threads, "AUTO"
        if stream.type == "video":
            pictures = {place: want for place, want in enumerate(wants) if isinstance(want, Picture)}
            takers[stream.index] = Frames(stream, *times[stream.index], pictures, limits)
        else:
            sounds = {place: want for place, want in enumerate(wants) if isinstance(want, Sound)}
            takers[stream.index] = Samples(sounds, limits)
    if not takers:
        return
    decoded = broken = 0
    first = ""
    for packet in container.demux([container.streams[index] for index in takers]):
        taker = takers[packet.stream.index]  # at the end, stream_index is 0 for all
        taker.prepare(packet)
        try:
            frames = packet.decode()
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError as error:
            broken, first = broken + 1, first or _words(error)
            damaged()
            continue
        for frame in frames:
            if frame.is_corrupt:
                broken, first = broken + 1, first or "a damaged frame"
                damaged()
            else:
                decoded += 1
                yield from taker.take(frame)
    if broken > decoded or (broken and not all(taker.taken for taker in takers.values())):
        raise Unreadable(Reason.CORRUPT, f"{broken} parts cannot be decoded, {decoded} can: {first}")
    for taker in takers.values():
        yield from taker.rest()


def _words(error: Any) -> str:
    return str(error.strerror or type(error).__name__).lower()
