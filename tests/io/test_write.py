"""Files in one step: whole or not at all, through links, into pipes, and never over what is no regular file."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from recbole_decm.errors import ConfigError, ResourceError
from recbole_decm.io.write import (
    make_folder,
    mend,
    replacing,
    replacing_folders,
    scratch_folder,
    take_held,
    write_text,
)


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


def test_what_a_killed_writer_left_beside_another_file_is_removed(tmp_path):
    """As of a checkpoint, whose name no other run will take; but nothing that is somebody else's."""
    others = [".a.txt.writing", ".a.b.writing", "a.txt.abcdefgh.writing", ".a.txt.ABCDEFGH.writing"]
    for name in [*others, ".run-1.pth.abcd_ef1.writing"]:
        (tmp_path / name).touch()
    (tmp_path / ".a.abcdefgh.writing").symlink_to(tmp_path / "a.txt")
    write_text(tmp_path / "b.txt", "text")
    assert names(tmp_path) == sorted([*others, ".a.abcdefgh.writing", "b.txt"])


def test_what_a_killed_writer_left_is_is_removed_and_what_another_writes_is_not(tmp_path):
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


def fill(folders, text: str) -> None:
    for folder in folders:
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "a.txt").write_text(text)


def texts(targets) -> list[str | None]:
    return [(t / "deep" / "a.txt").read_text() if (t / "deep" / "a.txt").is_file() else None for t in targets]


def in_child(work) -> int:
    """How a child that does some work ends: 0, or minus the signal."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


STEPS = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "open")


def kill_at(step: int, after: bool) -> None:
    """End this process at a step of the system, before or after it is done."""
    left = [step]

    def killing(real):
        def call(*args, **given):
            left[0] -= 1
            if not left[0] and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return real(*args, **given)
            finally:
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call

    os.fsync = lambda handle: None  # what the disk keeps is not what is tested
    for name in STEPS:
        setattr(os, name, killing(getattr(os, name)))


@pytest.mark.parametrize("before", [True, False], ids=["overwriting", "new"])
@pytest.mark.parametrize("after", [True, False], ids=["after a step", "before a step"])
def test_a_kill_at_any_step_loses_nothing(tmp_path, before, after):
    """All are old or all are new, once the next process has looked; and nothing else is left."""
    found = set()
    for step in range(1, 200):
        place = tmp_path / str(step)
        targets = [place / "one", place / "two"]
        if before:
            fill(targets, "old")

        def work(targets=targets, step=step):
            kill_at(step, after)
            with replacing_folders(targets, overwrite=True) as folders:
                fill(folders, "new")

        ended = in_child(work)
        mend(place)
        found.add(tuple(texts(targets)))
        assert not place.exists() or names(place) in ([], ["one", "two"])
        if not ended:
            break
    assert step > 40 and found == {("old", "old") if before else (None, None), ("new", "new")}


@pytest.mark.parametrize("failing", range(1, 5))
def test_folders_that_cannot_be_moved_are_moved_back(tmp_path, monkeypatch, failing):
    targets = [tmp_path / "one", tmp_path / "two"]
    fill(targets, "old")
    real, left = os.rename, [failing]

    def rename(*pair):
        left[0] -= 1
        if not left[0]:
            raise OSError(errno.EBUSY, "Device or resource busy")
        real(*pair)

    monkeypatch.setattr(os, "rename", rename)
    refused = pytest.raises(ResourceError, match=r"(one|two): expected to put the new folder there, but Device")
    with refused, replacing_folders(targets, overwrite=True) as folders:
        fill(folders, "new")
    assert texts(targets) == ["old", "old"] and names(tmp_path) == ["one", "two"]


def test_folders_that_can_be_moved_neither_way_are_kept_for_the_next_process(tmp_path, monkeypatch):
    targets = [tmp_path / "one", tmp_path / "two"]
    fill(targets, "old")
    real, left = os.rename, [2]

    def rename(*pair):
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(errno.EIO, "Input/output error")
        real(*pair)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(ResourceError), replacing_folders(targets, overwrite=True) as folders:
        fill(folders, "new")
    mend(tmp_path)
    assert texts(targets) == [None, "old"]
    monkeypatch.undo()
    mend(tmp_path)
    assert texts(targets) == ["new", "new"] and names(tmp_path) == ["one", "two"]


@pytest.mark.parametrize("names_in_it", ['["../mine"]', '[".."]', '[""]', '["a/b"]', "[3]", "{}"])
def test_renames_that_nobody_of_ours_began_move_nothing(tmp_path, names_in_it):
    """Somebody else's archive, unpacked among the data sets, may hold a folder that looks like a killed process'."""
    planted, mine = tmp_path / "data" / ".writing-planted", tmp_path / "mine"
    for folder in (planted / "a", tmp_path / "data" / "mine", mine):
        folder.mkdir(parents=True)
    (mine / "file").write_text("mine")
    (planted / ".moves").write_text(names_in_it)
    mend(tmp_path / "data")
    assert (mine / "file").read_text() == "mine"


def test_of_many_that_fill_a_new_folder_one_succeeds(tmp_path):
    targets, start = [tmp_path / "one", tmp_path / "two"], threading.Barrier(8)
    found = []

    def work(number):
        try:
            with replacing_folders(targets, overwrite=False) as folders:
                fill(folders, f"{number}")
                start.wait(10)
            found.append(number)
        except ConfigError as error:
            assert "expected a new folder, found" in str(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 1 and texts(targets) == [f"{found[0]}"] * 2 and names(tmp_path) == ["one", "two"]


def test_folders_that_are_filled_by_others_are_left_alone(tmp_path):
    with replacing_folders([tmp_path / "one"], overwrite=False) as first:
        fill(first, "first")
        with replacing_folders([tmp_path / "two"], overwrite=False) as second, scratch_folder(tmp_path) as third:
            fill([*second, third], "other")
        assert texts(first) == ["first"]
    assert names(tmp_path) == ["one", "two"]


def test_something_else_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        refused = pytest.raises(ConfigError, match=f"expected a folder, or nothing, at .*{name}")
        with refused, replacing_folders([tmp_path / name], overwrite=True):
            pass
    refused = pytest.raises(ResourceError, match=r"file: expected to write into it, but (Not a directory|File exists)")
    with refused, scratch_folder(tmp_path / "file"):
        pass
    assert names(tmp_path) == ["file", "link"]


def test_an_empty_file_that_nobody_holds_is_removed_and_one_that_is_held_stays(tmp_path):
    """What a run leaves that was killed before it wrote; the system frees its hold."""
    (tmp_path / "killed.pth").touch()
    (tmp_path / "written.pth").write_bytes(b"weights")
    first, one = take_held(tmp_path, "run", ".pth")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.pth", "written.pth"]
    second, two = take_held(tmp_path, "run", ".pth")
    assert (first.name, second.name) == ("run.pth", "run-1.pth") and first.exists()
    os.close(one)
    third, three = take_held(tmp_path, "other", ".pth")
    assert not first.exists() and second.exists() and third.exists()
    os.close(two)
    os.close(three)
