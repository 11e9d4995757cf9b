"""Files in one step: whole or not at all, through links, into pipes, and never over what is no regular file."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading

import pytest

from recbole_decm.errors import ConfigError, ResourceError
from recbole_decm.io.write import make_folder, replacing, replacing_folders, write_text


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failure_leaves_what_was_there(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.txt") as name:
        name.write_text("half")
        raise ZeroDivisionError
    assert (tmp_path / "a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "real" / "file.json")
    for text in ("first", "second"):
        write_text(tmp_path / "link.json", text)
    assert (tmp_path / "link.json").is_symlink() and names(tmp_path / "real") == ["file.json"]
    assert (tmp_path / "real" / "file.json").read_text() == "second"


def test_a_pipe_is_written_into(tmp_path):
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "through")
    reader.join(10)
    assert found == ["through"] and pipe.is_fifo() and names(tmp_path) == ["pipe"]


def test_the_output_of_a_process_that_is_a_pipe():
    code = "from recbole_decm.io.write import write_text; write_text('/dev/stdout', 'through')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("through", 0), found.stderr


def test_a_pipe_whose_reader_leaves_is_one_line(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: pipe.open("rb").close())
    reader.start()
    with pytest.raises(ResourceError, match=r"pipe: expected to write the file, but Broken pipe"):
        write_text(pipe, "x" * 10_000_000)
    reader.join(10)
    assert names(tmp_path) == ["pipe"]


def test_a_terminal_is_written_into():
    ours, theirs = os.openpty()
    try:
        path = os.ttyname(theirs)
        write_text(path, "shown\n")
        assert os.read(ours, 100).strip() == b"shown" and os.path.exists(path) and os.isatty(theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_folder_in_its_place(tmp_path):
    with pytest.raises(ResourceError, match="expected a file to write to, found a folder"):
        write_text(tmp_path, "text")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"expected to write the file, but (Not a directory|File exists)"):
        write_text(tmp_path / "file" / "below", "text")
    with pytest.raises(ConfigError, match="log: expected a folder to write to"):
        make_folder(tmp_path / "file", "log")


def test_names_are_as_long_as_the_system_takes_them(tmp_path):
    longest = "\u66f2" * 85  # 255 bytes
    write_text(tmp_path / longest, "text")
    assert names(tmp_path) == [longest]
    with pytest.raises(ResourceError, match="expected to write the file, but File name too long"):
        write_text(tmp_path / ("x" * 256), "text")


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_what_fails_at_the_end_is_one_line(tmp_path, monkeypatch, step):
    def fail(*given):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(ResourceError, match=r"a.txt: expected to write the file, but Operation not permitted"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_line(tmp_path):
    full = pytest.raises(ResourceError, match=r"a.txt: expected to write the file, but No space left")
    with full, replacing(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        ("write_text(here / 'a.txt', 'x' * 100_000)", "a.txt: expected to write the file, but File too large"),
        ("write_checkpoint(here / 'a.txt', {'w': torch.zeros(99_999)})", "a.txt: expected to write the file, but File"),
        ("save_folder(lambda folder: np.save(folder / 'a.npy', np.zeros(99_999)))", "expected to write into it, but"),
        ("save_folder(lambda folder: write_text(folder / 'a', 'x' * 99_999))", "expected to write the file, but File"),
    ],
)
def test_files_beyond_the_limit_of_a_process(tmp_path, work, reason):
    """As a full disk, by the system's own error: nothing is left, and the old file stands."""
    write_text(tmp_path / "a.txt", "old")
    code = (
        "import pathlib, resource, signal, sys\nimport numpy as np, torch\n"
        "from recbole_decm.io.write import replacing_folders, write_text\n"
        "from recbole_decm.training.checkpoint import write_checkpoint\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "def save_folder(fill):\n    with replacing_folders([here / 'new'], False) as (folder,):\n"
        "        folder.mkdir(); fill(folder)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
    )
    found = subprocess.run([sys.executable, "-B", "-c", code + work, str(tmp_path)], capture_output=True, text=True)
    assert found.returncode == 1
    last = found.stderr.strip().splitlines()[-1]
    assert "ResourceError" in last and reason in last
    assert (tmp_path / "a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_many_writers_of_one_file(tmp_path):
    """None takes the temporary file of another for one that was left behind."""
    code = (
        "import sys\nfrom recbole_decm.io.write import write_text\n"
        "for number in range(400):\n    write_text(sys.argv[1], f'{number:09d}' * 100)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.txt")]) for _ in range(8)]
    assert [writer.wait(60) for writer in writers] == [0] * 8
    assert (tmp_path / "a.txt").read_text() == "000000399" * 100 and names(tmp_path) == ["a.txt"]


def test_what_a_killed_writer_left_is_removed_and_what_another_writes_is_not(tmp_path):
    code = (
        "import os, signal, sys\nfrom recbole_decm.io.write import replacing\n"
        "with replacing(sys.argv[1]) as name:\n    name.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.txt")])
    (left,) = names(tmp_path)
    assert left.startswith(".a.txt.")
    with replacing(tmp_path / "a.txt") as name:
        name.write_text("first")
        assert left not in names(tmp_path)
        write_text(tmp_path / "a.txt", "second")  # another writer at the same time
        assert name.exists()
    assert (tmp_path / "a.txt").read_text() == "first" and names(tmp_path) == ["a.txt"]


def test_folders_take_their_places_together(tmp_path):
    targets = [tmp_path / "one", tmp_path / "two"]
    with replacing_folders(targets, overwrite=False) as folders:
        for folder in folders:
            folder.mkdir()
            (folder / "new").touch()
    with pytest.raises(ConfigError, match="expected a new folder, found"), replacing_folders(targets, overwrite=False):
        pass
    with pytest.raises(ZeroDivisionError), replacing_folders(targets, overwrite=True):
        raise ZeroDivisionError
    assert names(tmp_path) == ["one", "two"] and names(targets[1]) == ["new"]
