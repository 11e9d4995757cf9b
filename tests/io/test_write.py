"""Files in one step: whole or not at all, through links, into pipes, and never over what is no regular file."""

from __future__ import annotations

import errno
import os
import resource
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


def test_a_full_disk_is_one_line(tmp_path):
    full = pytest.raises(ResourceError, match=r"a.txt: expected to write the file, but No space left")
    with full, replacing(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []


def test_a_file_beyond_the_limit_of_a_process(tmp_path):
    """As a full disk, by the system's own error: nothing is left, and the old file stands."""
    write_text(tmp_path / "a.txt", "old")
    code = "from recbole_decm.io.write import write_text; import sys; write_text(sys.argv[1], 'x' * 100_000)"

    def limit():
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    found = subprocess.run(
        [sys.executable, "-B", "-c", code, str(tmp_path / "a.txt")], preexec_fn=limit, capture_output=True, text=True
    )
    assert found.returncode == 1 and "ResourceError" in found.stderr and "File too large" in found.stderr
    assert (tmp_path / "a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]


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
