"""What was served of late: the measures against lists whose answer is known, the log, and what Prometheus reads."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.service import served

from recbole_decm.errors import ResourceError
from recbole_decm.serving.api.served_log import ServedLog
from recbole_decm.serving.api.window import Served, Window

GENRES = ("pop", "jazz")
PROJECT = Path(__file__).parents[3]


def of(*tracks, habit=None):
    """A list of (id, genres, popularity)."""
    texts = [json.dumps({"genre": genre, "popularity": popularity}).encode() for _, genre, popularity in tracks]
    return Served([name for name, *_ in tracks], texts, None if habit is None else np.array(habit))


def test_measures_of_known_lists():
    window = Window(60.0, clock=lambda: 0.0)
    window.add(of(("a", ["pop"], 4), ("b", ["pop"], 2), habit=[1.0, 0.0]))  # mirrors the habit: 0
    window.add(of(("a", ["pop"], 4), ("c", ["jazz"], None), habit=[1.0, 0.0]))
    window.add(of(("d", ["pop", "jazz"], 2)))
    found = window.measures(GENRES, "pop", 8)
    assert (found.lists, found.calibrated) == (3, 2)
    assert found.majority_share == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert found.calibration == pytest.approx((0 + math.log(1 / (0.99 * 0.5 + 0.01))) / 2)
    assert found.coverage == 4 / 8
    assert found.popularity == pytest.approx((4 + 2 + 4 + 2) / 4)


def test_lists_leave_the_window_and_without_any_there_is_nothing_to_say():
    now = [0.0]
    window = Window(10.0, clock=lambda: now[0])
    window.add(of(("a", ["pop"], 1)))
    now[0] = 9.0
    window.add(of(("b", ["jazz"], 1)))
    assert window.measures(GENRES, "pop", 2).majority_share == 0.5
    now[0] = 11.0
    assert window.measures(GENRES, "pop", 2).majority_share == 0.0
    now[0] = 20.0
    found = window.measures(GENRES, "pop", 2)
    assert found.lists == 0 and math.isnan(found.majority_share) and math.isnan(found.calibration)


def test_long_lists_push_earlier_ones_out(monkeypatch):
    """What callers ask for cannot fill the memory."""
    monkeypatch.setattr("recbole_decm.serving.api.window.MOST_BYTES", 100_000)
    window = Window(60.0)
    for at in range(50):
        ids = [f"{at}-{place}" for place in range(100)]
        window.add(Served(ids, [b'{"genre":"a"}'] * 100, None))
    assert 1 < window.measures(["a"], "a", 5_000).lists < 12
    monkeypatch.setattr("recbole_decm.serving.api.window.MOST_LISTS", 3)
    window.add(Served(["x"], [b"{}"], None))
    assert window.measures(["a"], "a", 5_000).lists == 3


def test_a_habit_of_an_earlier_artefact_is_not_compared_with_other_genres():
    window = Window(10.0, clock=lambda: 0.0)
    window.add(of(("a", ["pop"], 1), habit=[0.2, 0.3, 0.5]))
    found = window.measures(GENRES, None, 2)
    assert found.calibrated == 0 and math.isnan(found.majority_share)


def test_gauges_and_counters_are_what_was_served(tmp_path):
    with served(tmp_path, majority="g1") as (client, _):
        ask = {"videos": [{"features": {"visual": [1, 0, 0, 0, 1]}}], "k": 10, "history": ["t0", "t3"]}
        lists = [client.post("/v1/recommendations", json=ask).json()["results"][0]["tracks"] for _ in range(3)]
        client.post("/v1/recommendations", json={})
        text = client.get("/metrics").text
        values = dict(re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.M))
        share = sum(track["metadata"]["genre"] == ["g1"] for track in lists[0]) / 10
        assert float(values["decm_served_majority_share"]) == pytest.approx(share)
        assert float(values["decm_served_coverage"]) == pytest.approx(10 / 30)
        popularity = np.mean([track["metadata"]["popularity"] for track in lists[0]])
        assert float(values["decm_served_popularity"]) == pytest.approx(popularity)
        assert float(values["decm_served_calibrated"]) == float(values["decm_served_lists"]) == 3
        assert float(values["decm_served_calibration"]) > 0
        assert values['decm_requests_total{route="/v1/recommendations",status="200"}'] == "3.0"
        assert values['decm_requests_total{route="/v1/recommendations",status="422"}'] == "1.0"
        assert values['decm_artefact{artefact="one"}'] == "1.0"


def test_the_dashboard_asks_for_what_there_is(tmp_path):
    asked = set(re.findall(r"decm_\w+", (PROJECT / "docs" / "dashboard.json").read_text()))
    with served(tmp_path) as (client, _):
        client.get("/healthz")
        there = set(re.findall(r"^(decm_\w+)", client.get("/metrics").text, re.M))
    assert len(asked) == 8 and asked <= there, asked - there


def test_the_log_holds_what_was_served_and_no_uploader(tmp_path):
    path = tmp_path / "served.jsonl"
    with served(tmp_path, log=path) as (client, _):
        ask = {"videos": [{"features": {"visual": [1, 0, 0, 0, 1]}}] * 2, "k": 3, "history": ["t0", "t29"]}
        answer = client.post("/v1/recommendations", json=ask | {"exclude": ["t4"]})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 2 and {line["request_id"] for line in lines} == {answer.headers["x-request-id"]}
    for line, result in zip(lines, answer.json()["results"], strict=True):
        assert line["tracks"] == [track["track_id"] for track in result["tracks"]]
        assert line["scores"] == [track["score"] for track in result["tracks"]]
        assert line["artefact"] == "one" and line["format_version"] == 1
        assert line["prior"]["kind"] == "uploader" and sum(line["prior"]["probabilities"].values()) == pytest.approx(1)
        assert line["options"] == {"k": 3, "filter": None, "exclude": ["t4"], "diversity": 0.0, "max_per": {}}
    assert "t29" not in path.read_text() and "history" not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_a_full_disk_costs_lines_and_no_answers(tmp_path):
    with pytest.raises(ResourceError, match="the log"):
        ServedLog(tmp_path / "none" / "served.jsonl")
    log = ServedLog(tmp_path / "served.jsonl")
    log._file.close()
    log._file = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115
    log.add(request="a", time=0.0, artefact="b", prior={}, tracks=["t"], scores=[1.0], options={})
    log._lines.put(None)
    log._thread.join()
    assert log.lost == 1
    log._file.close()
