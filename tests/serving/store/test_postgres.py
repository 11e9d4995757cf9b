"""What PostgreSQL does beyond the contract: search by itself, and words for what is wrong with it."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import httpx
import numpy as np
import pytest
from helpers.linear_artefact import artefact, opened, tracks
from helpers.planted_artefact import planted_artefact

from recbole_decm.errors import ConfigError, DataError, StoreUnavailable
from recbole_decm.serving.store import Live, open_store


@pytest.fixture
def found(postgres_url):
    """A store with a catalogue, and the live catalogue before it."""
    store = open_store(postgres_url)
    store.publish(artefact("one", count=1_500))
    live = Live(store, opened)
    live.put(tracks(["a", "b", "t3"], 4, metadata=[{"genre": ["pop"], "bpm": 61}] * 3))
    live.delete(["t5"])
    yield store, live
    live.close()


@pytest.mark.parametrize("where", [None, "genre = 'pop' and bpm < 100", "bpm = 61"])
def test_search_in_the_database_is_that_in_memory_with_an_index_nearly(found, where):
    store, live = found
    asked = np.random.default_rng(7).standard_normal((20, 4), dtype=np.float32)
    exact = live.search(asked, 10, where, ["a", "t9"])
    for one, other in zip(store.search("one", asked, 10, where, ["a", "t9"]), exact, strict=True):
        assert one.ids == other.ids and one.metadata == other.metadata
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)
        np.testing.assert_array_equal(one.vectors, other.vectors)
    store.index("one", 4)
    near = store.search("one", asked, 10, where, ["a", "t9"])
    recall = np.mean([len({*one.ids} & {*other.ids}) / len(other.ids) for one, other in zip(near, exact, strict=True)])
    assert recall >= 0.95 and all(len(one.ids) == len(other.ids) for one, other in zip(near, exact, strict=True))


def test_an_index_is_used_and_takes_in_what_comes_later(found):
    store, live = found
    store.index("one", 4)
    store.index("one", 4)  # it is there
    with store._connections.one() as base:
        for way in ("seqscan", "bitmapscan", "sort"):
            base.execute(f"SET enable_{way} = off")
        plan = base.execute(
            "EXPLAIN SELECT seq FROM decm_vectors WHERE version = 1 ORDER BY content::vector(4) <#> '[1,2,3,4]' LIMIT 5"
        ).fetchall()
        base.execute("RESET ALL")
    assert "decm_vectors_1" in str(plan)
    live.put(tracks(["late"]))
    assert (
        store.search("one", 100 * live.vectors_of(["late"]), 3)[0].ids[0]
        in live.search(100 * live.vectors_of(["late"]), 1)[0].ids
    )


def test_no_server_and_no_address_are_told_apart(tmp_path):
    with pytest.raises(StoreUnavailable, match="expected to reach PostgreSQL") as told:
        open_store(f"postgresql://decm:secret@/postgres?host={tmp_path}")
    assert "secret" not in str(told.value)
    with pytest.raises(ConfigError, match="expected a store in PostgreSQL, but invalid"):
        open_store("postgresql://decm@/postgres?nonsense=1")


def test_without_psycopg_it_says_what_to_install(monkeypatch):
    real = importlib.import_module

    def absent(name, *given):
        if name == "psycopg":
            raise ImportError(name)
        return real(name, *given)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ConfigError, match=r'pip install "recbole-decm\[postgres\]"'):
        open_store("postgresql://decm@/postgres")


def test_a_user_without_rights_and_a_later_format_are_refused(postgres, postgres_url):
    import psycopg

    store = open_store(postgres_url)
    store.put(tracks(["a"]))
    with psycopg.connect(postgres_url, autocommit=True) as base:
        base.execute("DROP ROLE IF EXISTS reader")
        base.execute("CREATE ROLE reader LOGIN")
        schema = base.execute("SELECT current_schema()").fetchone()[0]
        base.execute(f"GRANT USAGE ON SCHEMA {schema} TO reader")
        with pytest.raises(ConfigError, match="expected a user who may write the tables"):
            open_store(postgres_url.replace("decm@", "reader@"))
        base.execute("UPDATE decm_state SET format = 99")
    with pytest.raises(DataError, match="expected tables of format 1 or older, found 99"):
        open_store(postgres_url)
    store.close()
    with pytest.raises(StoreUnavailable, match="expected an open store"):
        store.get("a")


def test_writers_queue_and_numbers_have_no_holes(postgres_url):
    """Numbers appear in the order of commits: a follower that has seen one has seen all before it."""
    import threading

    stores = [open_store(postgres_url) for _ in range(3)]

    def write(at: int) -> None:
        for number in range(15):
            stores[at].put(tracks([f"{at}-{number}", f"{at}-x"], number))

    writers = [threading.Thread(target=write, args=(at,)) for at in range(3)]
    for thread in writers:
        thread.start()
    seen: list[int] = []
    while any(thread.is_alive() for thread in writers) or seen[-1:] != [90]:
        page = stores[0].changes(seen[-1] if seen else 0)
        seen += page.seqs.tolist()
    assert seen == sorted(set(seen)) and {f"{at}-{n}" for at in range(3) for n in range(15)} <= {
        track for track in stores[1].changes(0).ids
    }
    for store in stores:
        store.close()


def test_a_server_that_hangs_keeps_nobody_for_ever(postgres_url):
    """Its line stays healthy, so no time limit of TCP helps; the wait is ended from here."""
    store, told = open_store(postgres_url), []
    started = threading.Event()

    def wait():
        try:
            with store._connections.one() as base:
                started.set()
                base.execute("SELECT pg_sleep(60)")
        except StoreUnavailable as error:
            told.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    assert started.wait(10)
    store.interrupt(threading.get_ident())  # which waits for nothing
    for _ in range(100):
        store.interrupt(thread.ident)
        thread.join(0.1)
        if not thread.is_alive():
            break
    assert len(told) == 1 and "expected to reach PostgreSQL" in told[0]
    assert store.state() == (0, None)  # by another connection
    store.close()


def test_two_servers_over_one_database_answer_each_others_changes_within_a_second(postgres_url, tmp_path):
    """Processes of their own, as a platform runs them."""
    folder = tmp_path / "artefact"
    planted_artefact(tmp_path, folder, 1)
    with ExitStack() as stack:
        ports = []
        for _ in range(2):
            serve = ["serve", str(folder), "--port", "0", "--store", postgres_url]
            command = [sys.executable, "-m", "recbole_decm", *serve]
            process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
            stack.callback(process.terminate)
            ports.append(int(process.stderr.readline().split("127.0.0.1:")[1].split("/")[0]))
        fields = httpx.get(f"http://127.0.0.1:{ports[0]}/v1/artefact").json()
        features = {field: [3.0] * width for field, width in fields["track_fields"].items()}
        video = {"features": {field: [1.0] * width for field, width in fields["video_fields"].items()}}
        for at, (one, other) in enumerate([ports, ports[::-1]]):
            tracks = f"http://127.0.0.1:{one}/v1/tracks/new{at}"
            assert httpx.put(tracks, json={"features": features}).status_code == 200
            until, seen = time.monotonic() + 1, False
            while not seen and time.monotonic() < until:
                asked = {"videos": [video], "k": fields["tracks"] + 2}
                answer = httpx.post(f"http://127.0.0.1:{other}/v1/recommendations", json=asked).json()
                seen = f"new{at}" in [track["track_id"] for track in answer["results"][0]["tracks"]]
            assert seen
