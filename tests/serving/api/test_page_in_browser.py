"""The page in a real browser: a video in, a list out, a slider that re-ranks, labels as they are, no other server."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install 'recbole-decm[media]'")

from helpers.browser import chromium
from helpers.clip_artefact import clip_artefact
from helpers.driver import Browser
from helpers.genre_artefact import GenreArtefact, tracks
from helpers.media_files import COLOURS, plain, tone, write_clip
from helpers.running_service import at_port
from helpers.service import build

from recbole_decm.serving.api.keys import Keys, add_key

LABEL = "<img src=x onerror='window.hacked=1'> & 5%"
LISTED = "[...document.querySelectorAll('#tracks li')].map((line) => line.dataset.track)"
SLIDE = "{{ const s = document.getElementById('slider'); s.value = {}; s.dispatchEvent(new Event('input')); }}"


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Two videos to try, one with its uploader's tracks, and files of the tracks."""
    folder = tmp_path_factory.mktemp("media")
    for name in ("videos", "music"):
        (folder / name).mkdir()
    write_clip(folder / "videos" / "v1.mp4", [*plain(COLOURS[0], 10), *plain(COLOURS[1], 10)])
    write_clip(folder / "videos" / "v2.mp4", plain(COLOURS[2], 20))
    write_clip(folder / "music" / "m0.wav", sound=tone(440, 1, 8000), rate=8000, sound_codec="pcm_s16le")
    lines = [
        "videos/v0.mp4,music/m0.wav,u1,train",
        "videos/v9.mp4,music/m3.wav,u1,train",
        "videos/v1.mp4,music/m1.wav,u1,test",
    ]
    (folder / "pairs.csv").write_text(
        "\n".join(["video,music,uploader_id,split", *lines, "videos/v2.mp4,music/m1.wav,u2,test"])
    )
    return folder


@pytest.fixture(scope="module")
def server(media, tmp_path_factory):
    chromium()
    artefact = clip_artefact(24)
    artefact.tracks.metadata["title"] = [LABEL, *[f"Song {at}" for at in range(1, 24)]]
    artefact.tracks.metadata["preview_url"] = ["http://localhost:9/elsewhere.mp3"] * 24
    artefact.visual *= 0.01  # so that the genres count
    with at_port(build(tmp_path_factory.mktemp("page"), artefact=artefact, media=media)[0]) as address:
        yield address


@pytest.fixture(scope="module")
def page(server, tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        browser.open(f"{server}/")
        browser.until("document.querySelectorAll('#demo-list button').length === 2")
        yield browser


def hosts(page):
    return {urlsplit(address).netloc for address in page.asked if not address.startswith(("data:", "blob:"))}


def use_demo(page):
    page.run("document.getElementById('tracks').replaceChildren(); document.getElementById('slider').disabled = true;")
    page.run("document.querySelector('#demo-list button').click()")
    page.until("document.querySelectorAll('#tracks li').length === 10 && !document.getElementById('slider').disabled")


def test_a_video_to_try_gives_a_list_bars_and_reasons(page):
    assert page.said == []
    assert page.run("document.getElementById('slider').disabled")
    assert "which tracks" in page.run("document.getElementById('slider-off').textContent")
    use_demo(page)
    found = page.run(
        "({ why: [...document.querySelectorAll('.why')].map((line) => line.textContent),"
        " bars: [...document.querySelectorAll('.genre')].map((row) => row.getAttribute('aria-label')),"
        " history: document.getElementById('history').value, video: document.getElementById('video').hidden })"
    )
    assert found["history"] == "m0 m3" and found["video"] is False and len(found["bars"]) == 3
    assert "91 % of the habit" in found["bars"][0]  # (2 + 0.1) / 2.3: m0 and m3 are of g0
    assert all("the match counts" in line and "without habit" in line for line in found["why"])


def test_the_slider_ranks_again_at_once_and_shows_what_moved(page):
    use_demo(page)
    usual = page.run(LISTED)
    page.run(SLIDE.format(100))
    page.until(f"JSON.stringify({LISTED}) !== {json.dumps(json.dumps(usual, separators=(',', ':')))}")
    moved = page.run("[...document.querySelectorAll('.moved')].map((mark) => mark.textContent)")
    neutral = page.run(LISTED)
    for rank, (track, mark) in enumerate(zip(neutral, moved, strict=True), 1):
        if track in usual:
            by = usual.index(track) + 1 - rank
            assert mark == ("=" if by == 0 else f"▲ {by}" if by > 0 else f"▼ {-by}")
        else:
            assert mark.startswith("▲")
    gone = page.run("document.getElementById('left-list').textContent")
    assert all(track in gone for track in usual if track not in neutral) and set(usual) != set(neutral)
    page.run(SLIDE.format(0))
    page.until(f"JSON.stringify({LISTED}) === {json.dumps(json.dumps(usual, separators=(',', ':')))}")


def test_a_filter_and_a_number_of_tracks_and_an_error_are_shown(page):
    use_demo(page)
    change = "{{ const f = document.getElementById('{}'); f.value = {}; f.dispatchEvent(new Event('change')); }}"
    page.run(change.format("filter", json.dumps("genre = 'g1'")))
    page.until(f"{LISTED}.length === 8 && {LISTED}.every((track) => Number(track.slice(1)) % 3 === 1)")
    page.run(change.format("filter", json.dumps("genre =")))
    page.until("document.getElementById('status').textContent.startsWith('filter, character')")
    page.run(change.format("filter", "''"))
    page.run(change.format("k", "3"))
    page.until(f"{LISTED}.length === 3")
    page.run(change.format("k", "10"))
    page.said.clear()  # the browser's own line on the answer 422


def test_a_file_of_ones_own_and_only_features(page, media):
    page.choose_file("#file", media / "videos" / "v2.mp4")
    page.until("document.getElementById('status').textContent === '10 tracks'")
    features = {"visual": [0.0] * 146}
    page.run(f"document.getElementById('features').value = {json.dumps(json.dumps(features))};")
    page.run("document.getElementById('use-features').click()")
    page.until("document.getElementById('status').textContent === '10 tracks'")


def test_labels_are_text_players_play_and_no_other_server_is_asked(page, server):
    change = "{ const f = document.getElementById('k'); f.value = 24; f.dispatchEvent(new Event('change')); }"
    page.run(change)
    page.until(f"{LISTED}.length === 24")
    names = page.run("[...document.querySelectorAll('.name strong')].map((name) => name.textContent)")
    assert LABEL in names and page.run("window.hacked ?? null") is None
    assert page.run("document.images.length") == 0
    page.run("document.querySelector('li[data-track=m0] button').click()")
    page.until("document.querySelector('li[data-track=m0] audio')?.duration > 0.9")
    page.said.clear()
    page.run("document.querySelector('li[data-track=m1] button').click()")
    page.until("document.querySelector('li[data-track=m1] .play').textContent === 'no file'")
    assert hosts(page) == {urlsplit(server).netloc}
    assert all("404" in line for line in page.said)  # the file of m1 that is not there


def test_the_page_is_used_by_keyboard_alone(page):
    page.run("{ const f = document.getElementById('k'); f.value = 10; f.dispatchEvent(new Event('change')); }")
    use_demo(page)
    page.run("document.activeElement.blur(); document.getElementById('slider').focus()")
    before = page.run(LISTED)
    page.press("End", 35)
    page.until(f"JSON.stringify({LISTED}) !== {json.dumps(json.dumps(before, separators=(',', ':')))}")
    seen = set()
    page.run("document.body.focus(); document.activeElement.blur()")
    for _ in range(40):
        page.press("Tab", 9)
        seen.add(page.run("document.activeElement.id || document.activeElement.tagName"))
    assert {"file", "history", "slider", "filter", "k", "diversity", "SUMMARY", "BUTTON"} <= seen


def test_a_phone_needs_no_sideways_scrolling_and_the_dark_is_dark(server, tmp_path):
    with Browser(tmp_path, width=375, height=800, dark=True) as browser:
        browser.open(f"{server}/")
        browser.until("document.querySelectorAll('#demo-list button').length === 2")
        use_demo(browser)
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.run(over) <= 0 and browser.run("innerWidth") == 375
        paper, ink = browser.run(
            "(({backgroundColor, color}) => [backgroundColor, color])(getComputedStyle(document.body))"
        )
        assert paper == "rgb(20, 24, 29)" and ink == "rgb(228, 232, 236)"
        browser.open(f"{server}/docs")
        browser.until("document.querySelectorAll('.route').length > 15")
        assert browser.run(over) <= 0 and browser.said == []
        assert hosts(browser) == {urlsplit(server).netloc}


def test_a_key_is_asked_for_and_a_prior_that_changes_nothing_turns_the_slider_off(tmp_path, media):
    key = add_key(tmp_path / "keys.json", "page", "read")
    reason = "every genre counts alike in this model"
    artefact = GenreArtefact("one", 0, tracks([f"t{at}" for at in range(12)]), why_no_prior_changes=reason)
    app, _ = build(tmp_path, artefact=artefact, keys=Keys(tmp_path / "keys.json"), media=media)
    with at_port(app) as server, Browser(tmp_path / "browser") as browser:
        browser.open(f"{server}/")
        browser.until("!document.getElementById('key-form').hidden")
        browser.run(f"document.getElementById('key').value = {json.dumps(key)};")
        browser.run("document.querySelector('#key-form button').click()")
        browser.until("document.getElementById('about').textContent.includes('12 tracks')")
        assert browser.run("document.getElementById('slider').disabled")
        assert browser.run("document.getElementById('slider-off').textContent") == reason
        assert "Send features" in browser.run("document.getElementById('no-uploads').textContent")
        assert browser.run("document.getElementById('demos').hidden && document.getElementById('file').disabled")
