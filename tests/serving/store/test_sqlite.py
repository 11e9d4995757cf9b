"""What the file of SQLite does beyond the contract: formats, damage, full disks, other processes."""

from __future__ import annotations

import sqlite3
import threading

import numpy as np
import pytest
from helpers.linear_artefact import artefact, opened, tracks

from recbole_decm.errors import DataError, ResourceError, StoreUnavailable
from recbole_decm.serving.store import Live, open_store
from recbole_decm.serving.store import sqlite as module


def test_a_commit_waits_for_the_disk(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/sub/tracks.db")  # the folder is made
    assert store._value("PRAGMA synchronous") == 2 and store._value("PRAGMA journal_mode") == "wal"
    store.close()


def test_a_later_format_and_a_damaged_file_are_refused(tmp_path):
    url, path = f"sqlite:///{tmp_path}/tracks.db", tmp_path / "tracks.db"
    store = open_store(url)
    store.publish(artefact("one", count=200))
    store.close()
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA user_version = 99")
    base.close()
    with pytest.raises(DataError, match="expected a store of format 1 or older, found 99"):
        open_store(url)
    content = bytearray(path.read_bytes())
    content[60:64] = (1).to_bytes(4, "big")
    content[4096:40_000] = b"x" * (40_000 - 4096)
    path.write_bytes(content)
    with pytest.raises(DataError, match="expected a whole store of tracks, but database disk image is malformed"):
        store = open_store(url)
        store.changes(0)


def test_a_full_disk_says_so_and_what_was_kept_stays(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/tracks.db")
    store.publish(artefact("one", count=20))
    store._base.execute(f"PRAGMA max_page_count = {store._value('PRAGMA page_count') + 1}")
    live = Live(store, opened, poll=60)
    with pytest.raises(ResourceError, match="expected to write to it, but database or disk is full"):
        live.put(tracks([f"n{at}" for at in range(500)]))
    assert live.size == store.count() == 20
    live.delete(["t3"])
    assert live.size == 19
    live.close()


def test_a_writer_waits_for_another_process_and_then_says_that_it_is_away(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_WAIT", 0.3)
    url = f"sqlite:///{tmp_path}/tracks.db"
    one, other = open_store(url), sqlite3.connect(tmp_path / "tracks.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.1, lambda: other.execute("ROLLBACK"))
    timer.start()
    one.put(tracks(["a"]))  # waited
    timer.join()
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="expected to reach the store, but database is locked"):
        one.put(tracks(["b"]))
    other.execute("ROLLBACK")
    one.put(tracks(["c"]))
    assert one.get("b") is None and one.count() == 2
    other.close()
    one.close()
    with pytest.raises(StoreUnavailable):
        one.get("a")


def test_many_threads_share_one_store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/tracks.db")
    store.publish(artefact("one", count=50))
    live, wrong = Live(store, opened, poll=0.01), []

    def work(at: int) -> None:
        try:
            for number in range(10):
                live.put(tracks([f"{at}-{number}"], number))
                live.get(f"{at}-{number}")
                live.search(np.ones((1, 4)), 3)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and live.size == store.count() == 90
    live.close()
