"""Lists: those of a search by hand, under every prior, filter and option; and their explanations."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.genre_artefact import DIM, GENRES, WEIGHT, GenreArtefact, tracks
from helpers.service import served

from recbole_decm.serving.api import diversity
from recbole_decm.serving.api.options import Limits

VISUAL = [0.3, -1.0, 0.5, 0.2, 1.0]
IDS = [f"t{at}" for at in range(30)]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with served(tmp_path_factory.mktemp("lists")) as found:
        yield found


@pytest.fixture(scope="module")
def client(service):
    return service[0]


def ask(client, status=200, visual=VISUAL, **options):
    answer = client.post("/v1/recommendations", json={"videos": [{"features": {"visual": visual}}]} | options)
    assert answer.status_code == status, answer.text
    return answer.json()


def listed(found):
    return [track["track_id"] for track in found["results"][0]["tracks"]]


def by_hand(prior, visual=VISUAL):
    """(30,) scores from the definition of the artefact."""
    artefact, own = GenreArtefact("one", 0), tracks(IDS)
    match = np.array(visual) @ artefact.visual @ (own.features["acoustic"] @ artefact.acoustic).T
    logs = np.log(prior) - np.log(prior).mean()
    return match + np.array([WEIGHT * logs[at % 3] for at in range(30)])


HABIT = (np.array([2, 1, 0]) + 0.1) / 3.3  # of t0, t3 (g0) and t1 (g1), as history_prior counts


@pytest.mark.parametrize(
    "options, prior",
    [
        ({"prior": "neutral"}, np.full(3, 1 / 3)),
        ({"prior": "mean"}, np.array([0.6, 0.3, 0.1])),
        ({"prior": {"g0": 0.2, "g1": 0.1, "g2": 0.7}}, np.array([0.2, 0.1, 0.7])),
        ({"prior": "uploader", "history": ["t0", "t3", "t1", "gone"]}, HABIT),
        ({"history": ["t0", "t3", "t1"]}, HABIT),
        ({}, np.array([0.6, 0.3, 0.1])),
    ],
)
def test_a_list_is_the_ranking_by_hand_under_its_prior(client, options, prior):
    scores = by_hand(prior)
    found = ask(client, k=30, **options)
    order = np.argsort(-scores, kind="stable")
    assert listed(found) == [IDS[at] for at in order]
    np.testing.assert_allclose([track["score"] for track in found["results"][0]["tracks"]], scores[order], atol=1e-5)
    assert [track["rank"] for track in found["results"][0]["tracks"]] == list(range(1, 31))


def test_each_video_has_its_own_prior_and_list(client):
    videos = [{"features": {"visual": VISUAL}, "uploader_prior": [p, 0.9 - p, 0.1]} for p in (0.1, 0.8)]
    found = client.post("/v1/recommendations", json={"videos": videos, "prior": "uploader", "k": 30}).json()
    for video, p in zip(found["results"], (0.1, 0.8), strict=True):
        order = np.argsort(-by_hand(np.array([p, 0.9 - p, 0.1])), kind="stable")
        assert [track["track_id"] for track in video["tracks"]] == [IDS[at] for at in order]


def test_filters_and_exclusions_leave_the_rest_of_the_ranking(client):
    all_of_them = listed(ask(client, k=30))
    found = listed(ask(client, k=30, filter="genre = 'g1' and duration < 60", exclude=["t1"]))
    assert found == [t for t in all_of_them if int(t[1:]) % 3 == 1 and int(t[1:]) % 6 < 4 and t != "t1"]
    assert listed(ask(client, filter="duration > 1000")) == []


def test_requests_that_come_together_get_each_its_own(service):
    from concurrent.futures import ThreadPoolExecutor

    client, _ = service
    wants = [{"k": 1 + at % 5, "filter": f"artist = 'a{at % 4}'", "prior": "neutral"} for at in range(40)]
    visuals = np.random.default_rng(3).standard_normal((40, 5)).round(3).tolist()
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda at: listed(ask(client, visual=visuals[at], **wants[at])), range(40)))
    for at, ids in enumerate(found):
        scores = by_hand(np.full(3, 1 / 3), visuals[at])
        scores[[row for row in range(30) if row % 4 != at % 4]] = -np.inf
        assert ids == [IDS[row] for row in np.argsort(-scores, kind="stable")[: 1 + at % 5]]


def test_parts_sum_to_the_score_and_ranks_are_those_of_the_search(client):
    options = {"k": 12, "history": ["t0", "t3", "t1"], "filter": "not artist = 'a3'", "exclude": ["t4"]}
    found = ask(client, explain=True, prior={"g0": 0.2, "g1": 0.1, "g2": 0.7}, **options)
    orders = {
        name: listed(ask(client, prior=prior, **{**options, "k": 30}))
        for name, prior in {"habit": "uploader", "neutral": "neutral"}.items()
    }
    result = found["results"][0]
    assert result["prior"] == pytest.approx({"g0": 0.2, "g1": 0.1, "g2": 0.7})
    assert list(result["habit"].values()) == pytest.approx(HABIT.tolist())
    assert len(result["tracks"]) == 12
    for track in result["tracks"]:
        why = track["explanation"]
        assert why["match"] + sum(why["adjustment"].values()) == pytest.approx(track["score"], abs=1e-5)
        own = GENRES[int(track["track_id"][1:]) % 3]
        assert all(value == 0 for genre, value in why["adjustment"].items() if genre != own)
        assert why["ranks"]["served"] == track["rank"]
        for name, order in orders.items():
            assert why["ranks"][name] == order.index(track["track_id"]) + 1


def test_diversity_and_caps_choose_among_the_best(client):
    found = ask(client, k=6, max_per={"artist": 2, "genre": 3}, explain=True)
    tracks_ = found["results"][0]["tracks"]
    artists = [track["metadata"]["artist"] for track in tracks_]
    assert len(tracks_) == 6 and max(map(artists.count, artists)) == 2
    best = listed(ask(client, k=30))
    places = [best.index(track["track_id"]) + 1 for track in tracks_]
    assert places == sorted(places) == [track["explanation"]["ranks"]["served"] for track in tracks_]
    assert listed(ask(client, k=6, diversity=0.7)) != best[:6]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"k": 0}, "k: expected"),
        ({"k": 10**9}, "k: expected"),
        ({"k": 2.5}, "k: expected"),
        ({"prior": "uploader"}, "uploader_prior"),
        ({"prior": {"g0": 2}}, "prior.g0: expected a number of at most 1, found 2."),
        ({"prior": "menu"}, "uploader or a probability for each genre, as in {'pop': 1.0}, found 'menu'. Did you mean"),
        ({"prior": 3}, "prior: expected neutral or mean or uploader or a probability for each genre, as in {'pop': 1."),
        ({"prior": {}}, "prior: expected neutral or mean or uploader or a probability for each genre"),
        ({"history": ["m"] * 10_001}, "history: expected at most 10000 entries, found"),
        ({"videos": [3]}, "videos, entry 1: expected keys and values, found 3."),
        ({"videos": [{}]}, "videos, entry 1.features: expected a value, found none."),
        (
            {"videos": [{"featres": {}}]},
            "1: expected the keys features, uploader_prior, found 'featres'. Did you",
        ),
        ({"visual": [1, 2]}, "expected 5 numbers, found 2"),
        ({"visual": [1e300, 0, 0, 0, 0]}, "32-bit"),
        ({"visual": ["1", 0, 0, 0, 0]}, "visual"),
        ({"filter": "genre = "}, "filter, character"),
        ({"filter": "nothing = 1"}, "a column of the tracks"),
        ({"filter": "'; drop table tracks"}, "filter, character"),
        ({"diversity": 1.5}, "diversity"),
        ({"max_per": {"artist": 0}}, "max_per"),
        ({"explian": True}, "Did you mean 'explain'"),
    ],
)
def test_what_cannot_be_used_is_said_and_what_comes_with_it_is_answered(client, options, words):
    found = ask(client, 422, **options)
    assert words in found["detail"] and found["status"] == 422 and found["instance"].startswith("urn:request:")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"nothing",
        b'{"videos": [{"features": {"visual": [NaN, 0, 0, 0, 0]}}]}',
        b'{"videos": [{"features": {"visual": [Infinity, 0, 0, 0, 0]}}]}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"videos": [{"features": {"visual": [1, 0, 0, 0, 1]}}], "k": ' + b"9" * 5000 + b"}",
        b'{"videos": [{"features": {"visual": [1, 0, 0, 0, 1]}}], "exclude": ["\\ud800"]}',
    ],
)
def test_what_is_no_request_is_refused(client, body):
    answer = client.post("/v1/recommendations", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(json.loads(answer.content)) == {"type", "title", "status", "detail", "instance"}


def test_a_model_without_priors_says_so_and_ranks_by_match(tmp_path):
    plain = GenreArtefact("plain", 0, tracks(IDS), genres=(), takes_priors=False)
    plain.query_vectors = lambda features, priors=None: np.concatenate(
        [features["visual"] @ plain.visual, np.zeros((len(features["visual"]), 3))], axis=1
    ).astype(np.float32)
    with served(tmp_path, artefact=plain) as (client, service):
        service.live.artefact.query_vectors = plain.query_vectors
        found = ask(client, k=30)
        match = (np.array(VISUAL) @ plain.visual) @ plain.vectors[:, :DIM].T
        assert listed(found) == [IDS[at] for at in np.argsort(-match, kind="stable")]
        assert ask(client, 422, prior="mean")["detail"].endswith(
            "expected none. Fake as it was trained has no genre prior."
        )


def test_too_many_at_a_time_are_asked_to_come_again(tmp_path):
    with served(tmp_path, limits=Limits(batch=2, k=5)) as (client, _):
        videos = [{"features": {"visual": VISUAL}}] * 3
        assert client.post("/v1/recommendations", json={"videos": videos}).status_code == 422
        assert ask(client, 422, k=6)["detail"] == "k: expected a whole number from 1 to 5, found 6."


def test_a_fault_of_the_server_is_a_problem_that_tells_nothing_of_it(tmp_path, monkeypatch, caplog):
    with served(tmp_path) as (client, service):

        def broken(*given):
            raise RuntimeError("inner words")

        monkeypatch.setattr(service, "_watch", broken)
        answer = client.post("/v1/recommendations", json={"videos": [{"features": {"visual": [0.5] * 5}}], "k": 3})
    assert answer.status_code == 500 and answer.headers["content-type"] == "application/problem+json"
    assert "inner words" not in answer.text and "RuntimeError: inner words" in caplog.text
    assert answer.headers["x-request-id"] in answer.json()["instance"]


def test_a_request_may_ask_for_so_much_and_no_more(tmp_path):
    """One thread searches for all: a request whose lists would keep it for a minute is refused."""
    with served(tmp_path, limits=Limits(tracks=60, explained=2)) as (client, _):
        for count, options, status in (
            (6, {"k": 10}, 200),
            (7, {"k": 10}, 422),
            (2, {"k": 10, "explain": True}, 200),
            (3, {"k": 10, "explain": True}, 422),
        ):
            videos = [{"features": {"visual": VISUAL}}] * count
            answer = client.post("/v1/recommendations", json={"videos": videos} | options)
            assert answer.status_code == status, answer.text
        assert "at most 2 with explain, found 3" in answer.json()["detail"]


def test_finite_features_beyond_what_the_model_can_encode_are_refused_alone(client):
    bad, good = {"features": {"visual": [3e38] * 5}}, {"features": {"visual": VISUAL}}
    answer = client.post("/v1/recommendations", json={"videos": [good, bad]})
    assert answer.status_code == 422
    assert "videos, entry 2: expected features that the model can encode" in answer.json()["detail"]
    assert listed(ask(client)) == listed(client.post("/v1/recommendations", json={"videos": [good]}).json())


def test_a_cap_looks_further_than_the_first_candidates(tmp_path, monkeypatch):
    """All of the pool share a value; a track with another one stands below it."""
    monkeypatch.setattr(diversity, "LEAST_POOL", 3)
    monkeypatch.setattr(diversity, "POOL", 1)
    with served(tmp_path) as (client, _):
        order = listed(ask(client, k=30, prior="neutral"))
        for track in order:
            kept = client.get(f"/v1/tracks/{track}").json()
            metadata = kept["metadata"] | {"kind": "rare" if track in order[-2:] else "usual"}
            client.put(f"/v1/tracks/{track}", json={"features": kept["features"], "metadata": metadata})
        found = listed(ask(client, k=2, prior="neutral", max_per={"kind": 1}))
        assert found == [order[0], order[-2]]
        answer = ask(client, status=422, k=2, max_per={"kinds": 1})
        assert "max_per: expected columns of the tracks (" in answer["detail"] and "'kinds'" in answer["detail"]
