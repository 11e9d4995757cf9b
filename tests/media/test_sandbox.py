"""Untrusted files: what the decoder's process can reach, and what happens when it dies, hangs or grows."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install 'recbole-decm[media]'")

from helpers.media_files import COLOURS, plain, quadrants, tone, write_clip

from recbole_decm.media import sandbox
from recbole_decm.media.failures import Reason
from recbole_decm.media.sandbox import Block, Ended, Reader, Started
from recbole_decm.media.wants import Limits, Picture, Sound

WANTS = (Picture(32), Sound(8000))


@pytest.fixture(scope="module")
def reader():
    with Reader() as reader:
        yield reader


def outcomes(reader: Reader, *paths: Path) -> list:
    """Of each clip the reason of its failure, or how many frames and samples it gave."""
    found: list = []
    for event in reader.read((path, WANTS) for path in paths):
        if isinstance(event, Started):
            counts = [0, 0]
        elif isinstance(event, Block):
            counts[event.want] += 1 if event.want == 0 else len(event.values)
        else:
            assert isinstance(event, Ended)
            found.append(event.failure.reason if event.failure else tuple(counts))
    return found


def clip(path: Path) -> Path:
    return write_clip(path, plain(COLOURS[0], 10), sound=tone(440, 1, 8000), rate=8000, sound_codec="pcm_s16le")


def playlists(address: str, file: str) -> dict[str, str]:
    """Files that ask a player for an address and for a file, as each format says it."""
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT2S">'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    )
    hls = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
    return {
        "hls-address": hls.format(f"http://{address}/a.ts"),
        "hls-file": hls.format(file),
        "hls-concat": hls.format(f"concat:{file}|{file}"),
        "concat": f"ffconcat version 1.0\nfile '{file}'\n",
        "dash-address": dash.format(f"http://{address}/a.mp4"),
        "dash-file": dash.format(f"file:{file}"),
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 {address.split(':')[0]}\nt=0 0\n"
        f"m=video {address.split(':')[1]} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "asx": f'<asx version="3.0"><entry><ref href="http://{address}/a.wmv"/></entry></asx>',
        "rtsp": f"RTSPtextRTSP://{address}/a",
        "imf": f'<?xml version="1.0"?><CompositionPlaylist xmlns="{file}"></CompositionPlaylist>',
    }


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8"])
def test_a_file_that_names_others_opens_none(reader, tmp_path, suffix):
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.01)
    canary = tmp_path / "canary.ts"
    os.mkfifo(canary)
    opened: list[int] = []
    watcher = threading.Thread(target=lambda: opened.append(os.open(canary, os.O_WRONLY)), daemon=True)
    watcher.start()  # returns once anybody opens the pipe to read
    files = []
    for name, text in playlists(f"127.0.0.1:{server.getsockname()[1]}", str(canary)).items():
        files.append(tmp_path / f"{name}{suffix}")
        files[-1].write_text(text)
    refused = {Reason.REFUSED_FORMAT, Reason.NAMES_OTHER_FILES, Reason.CORRUPT}
    assert set(outcomes(reader, *files)) <= refused
    with pytest.raises(TimeoutError):
        server.accept()
    assert not opened
    os.close(os.open(canary, os.O_RDONLY | os.O_NONBLOCK))  # the watch did work
    watcher.join(5)
    assert opened
    os.close(opened[0])


def test_an_mp4_whose_data_lie_elsewhere_opens_nothing(reader, tmp_path):
    other = clip(tmp_path / "other.mov")
    content = write_clip(tmp_path / "clip.mov", plain(COLOURS[0], 10)).read_bytes()
    entry = b"\0\0\0\x0curl \0\0\0\1"
    assert entry in content
    name = str(other).encode()
    alias = b"alis" + bytes(4) + name.ljust(len(entry))[: len(entry) - 12]
    changed = content.replace(entry, len(entry).to_bytes(4, "big") + alias[: len(entry) - 4])
    (tmp_path / "clip.mov").write_bytes(changed)
    found = outcomes(reader, tmp_path / "clip.mov")[0]
    assert isinstance(found, Reason) or found[1] == 0  # never the sound of the other file


def test_the_child_can_open_neither_a_file_nor_a_socket_nor_write(reader, tmp_path):
    outcomes(reader, clip(tmp_path / "clip.mkv"))
    child = reader._child.process.pid
    limits = {
        line[:26].strip(): line[26:].split()[0] for line in Path(f"/proc/{child}/limits").read_text().splitlines()[1:]
    }
    held = {int(name) for name in os.listdir(f"/proc/{child}/fd")}
    assert len(set(range(int(limits["Max open files"]))) - held) <= 1  # a place for the clip and for nothing else
    assert limits["Max file size"] == limits["Max core file size"] == "0"
    assert int(limits["Max address space"]) < 4 << 30
    environment = Path(f"/proc/{child}/environ").read_bytes()
    assert b"PATH=" not in environment.replace(b"PYTHONPATH=", b"") and b"HOME=" not in environment


def test_what_is_no_file_is_never_waited_for(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    found = outcomes(reader, tmp_path / "pipe.mp4", Path("/dev/zero"), tmp_path, tmp_path / "missing.mp4", empty)
    assert found == [Reason.NOT_A_FILE] * 3 + [Reason.NOT_FOUND, Reason.CORRUPT]


def test_a_child_that_dies_is_replaced_and_only_its_clip_is_lost(tmp_path):
    files = [clip(tmp_path / f"{name}.mkv") for name in "abc"]
    long = write_clip(tmp_path / "long.mkv", [quadrants()] * 4000, options={"preset": "ultrafast"})
    with Reader() as reader:
        found = []
        for event in reader.read((path, [Picture(32, fps=10)]) for path in (files[0], long, files[1])):
            if isinstance(event, Started) and event.clip == 1:
                os.kill(reader._child.process.pid, signal.SIGSEGV)
            if isinstance(event, Ended):
                found.append(event.failure and (event.failure.reason, event.failure.detail))
        assert found == [None, (Reason.CRASHED, "the decoder ended with SIGSEGV"), None]
        assert outcomes(reader, files[2]) == [(1, 8000)]


def test_work_without_end_is_stopped(tmp_path):
    quick = clip(tmp_path / "quick.mkv")
    with Reader(Limits(seconds=30)) as reader:
        assert outcomes(reader, quick) == [(1, 8000)]
        child = reader._child.process.pid
        os.kill(child, signal.SIGSTOP)
        object.__setattr__(reader.limits, "seconds", 0.2)
        assert outcomes(reader, quick) == [Reason.OUT_OF_TIME]
        object.__setattr__(reader.limits, "seconds", 30)
        assert outcomes(reader, quick) == [(1, 8000)] and reader._child.process.pid != child


def test_memory_is_limited_and_the_next_clip_is_read(tmp_path):
    large = write_clip(tmp_path / "large.mkv", plain(COLOURS[0], 2, side=3000), options={"preset": "ultrafast"})
    small = clip(tmp_path / "small.mkv")
    with Reader(Limits(memory=12 << 20)) as reader:  # a frame is 13.5 MB
        first, second = outcomes(reader, large, small)
    # A decoder that gets no memory may take the data for damaged.
    assert first in {Reason.OUT_OF_MEMORY, Reason.CRASHED, Reason.CORRUPT} and second == (1, 8000)
    with Reader() as reader:
        assert outcomes(reader, large) == [(1, 0)]


def test_frames_are_let_go_one_by_one(tmp_path):
    """400 frames of 2 MB: what is not looked at any more takes no memory."""
    frames = plain(COLOURS[0], 1, side=1200) * 400
    path = write_clip(tmp_path / "many.mkv", frames, options={"preset": "ultrafast"})
    with Reader() as reader:
        held = []
        for event in reader.read([(path, [Picture(32)])]):
            if isinstance(event, Block):
                status = Path(f"/proc/{reader._child.process.pid}/status").read_text()
                held.append(int(status.split("VmHWM:")[1].split()[0]) / 1024)
    assert len(held) > 1 and held[-1] < held[0] + 45


def test_a_child_that_was_taken_over_cannot_send_what_was_not_asked_for(reader, tmp_path, monkeypatch):
    path = clip(tmp_path / "clip.mkv")
    for head, body in (
        ({"kind": "block", "want": 0}, bytes(7)),
        ({"kind": "block", "want": 1}, bytes(4 * 8001)),
        ({"kind": "block", "want": 9}, b""),
        ({"kind": "failure", "reason": "because", "detail": ""}, b""),
        (["block"], b""),
    ):
        monkeypatch.setattr(sandbox._Child, "answer", lambda self, seconds, sent=(head, body): sent)
        assert outcomes(reader, path) == [Reason.CRASHED]


def test_who_stops_in_the_middle_leaves_nothing_behind(tmp_path):
    long = write_clip(tmp_path / "long.mkv", [quadrants()] * 2000, options={"preset": "ultrafast"})
    with Reader() as reader:
        events = reader.read([(long, [Picture(64, fps=10)])])
        assert isinstance(next(events), Started)
        child = reader._child.process
        events.close()
        assert child.poll() is not None
        assert outcomes(reader, clip(tmp_path / "clip.mkv")) == [(1, 8000)]
    assert threading.active_count() < 10


def test_a_damaged_clip_gives_the_same_with_any_number_of_threads(tmp_path):
    noise = [np.random.default_rng(k).integers(0, 255, (64, 64, 3), np.uint8) for k in range(40)]
    path = write_clip(tmp_path / "clip.ts", noise, options={"g": "5", "bf": "0"})
    content = bytearray(path.read_bytes())
    content[30000:31000] = bytes(1000)
    path.write_bytes(content)
    found = []
    for threads in (1, 3):
        with Reader(threads=threads) as reader:
            blocks = []
            for event in reader.read([(path, [Picture(32, fps=5)])]):
                if isinstance(event, Started):
                    blocks = []
                elif isinstance(event, Block):
                    blocks.append(event.values)
            found.append(np.stack(blocks))
    assert np.array_equal(*found)
