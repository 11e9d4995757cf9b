"""The table, cards, and features of shards of clips."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install 'recbole-decm[media]'")

from helpers.media_files import COLOURS, plain, quadrants, tone, write_clip

from recbole_decm.errors import ConfigError, DataError
from recbole_decm.media.cards import Card, differs, read_cards, require_equal, write_cards
from recbole_decm.media.clips import extract_clips, extract_texts
from recbole_decm.media.extractor import Extractor, Sampling
from recbole_decm.media.extractors import DEFAULTS, EXTRACTORS, open_extractor, reopen
from recbole_decm.media.failures import Reason
from recbole_decm.media.sandbox import Block, Reader
from recbole_decm.media.wants import Picture, Sound

DOCS = Path(__file__).resolve().parents[2] / "docs" / "media.md"


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Path]:
    """A video with sound, one without, a track, and no clip at all."""
    folder = tmp_path_factory.mktemp("clips")
    moving = [np.roll(quadrants(), 5 * place, axis=0) for place in range(25)]
    broken = folder / "broken.mp4"
    broken.write_bytes(b"nothing of the kind" * 50)
    return [
        write_clip(folder / "both.mp4", moving, sound=tone(440, 2.5, 44100)),
        write_clip(folder / "silent.mp4", plain(COLOURS[1], 12)),
        broken,
        write_clip(folder / "music.mp3", sound=tone(262, 1, 44100), sound_codec="mp3"),
    ]


@pytest.fixture(scope="module")
def defaults() -> dict[str, Extractor]:
    return {"visual": open_extractor(DEFAULTS["picture"]), "acoustic": open_extractor(DEFAULTS["sound"])}


def test_a_shard_has_a_row_for_each_clip_and_a_reason_for_each_gap(clips, defaults):
    with Reader() as reader:
        shard = extract_clips(clips, defaults, reader)
    assert [np.isfinite(row).all() for row in shard.features["visual"]] == [True, True, False, False]
    assert [np.isfinite(row).all() for row in shard.features["acoustic"]] == [True, False, False, True]
    assert np.isnan(shard.features["visual"][2]).all() and shard.features["visual"].dtype == np.float32
    found = [(Path(failure.source).name, failure.field, failure.reason) for failure in shard.failures]
    assert found == [
        ("silent.mp4", "acoustic", Reason.NO_SOUND),
        ("broken.mp4", "visual", Reason.CORRUPT),
        ("broken.mp4", "acoustic", Reason.CORRUPT),
        ("music.mp3", "visual", Reason.NO_PICTURE),
    ]


def test_shards_order_and_threads_change_no_bit(clips, defaults):
    with Reader() as reader, Reader(threads=3) as threaded:
        whole = extract_clips(clips, defaults, reader)
        again = extract_clips(clips[::-1], defaults, threaded)
        alone = [extract_clips([clip], defaults, reader) for clip in clips]
    for field, values in whole.features.items():
        assert np.array_equal(values, again.features[field][::-1], equal_nan=True)
        assert np.array_equal(values, np.concatenate([one.features[field] for one in alone]), equal_nan=True)
    assert whole.failures == tuple(failure for one in alone for failure in one.failures)


@pytest.mark.parametrize(("picture", "sound"), [(4, 1), (1, 4)])
def test_picture_and_sound_of_different_lengths_are_each_taken_as_long_as_they_last(tmp_path, defaults, picture, sound):
    """Neither is cut to the other nor filled up: each vector is, bit for bit, that of its part alone."""
    frames = [np.roll(quadrants(), 3 * place, axis=0) for place in range(10 * picture)]
    heard = {"sound": tone(440, sound, 44100) * np.linspace(0, 1, sound * 44100, dtype=np.float32)}
    heard["sound_codec"] = "pcm_s16le"
    files = [
        write_clip(tmp_path / "both.mkv", frames, codec="ffv1", **heard),  # x264 varies from time to time
        write_clip(tmp_path / "picture.mkv", frames, codec="ffv1"),
        write_clip(tmp_path / "sound.mkv", **heard),
    ]
    with Reader() as reader:
        shard = extract_clips(files, defaults, reader)
        events = list(reader.read([(files[0], [Picture(32), Sound(8000)])]))
    blocks = [event.want for event in events if isinstance(event, Block)]
    assert (blocks.count(0), blocks.count(1)) == (picture, sound)  # frames, and seconds of sound
    assert np.array_equal(shard.features["visual"][0], shard.features["visual"][1])
    assert np.array_equal(shard.features["acoustic"][0], shard.features["acoustic"][2])
    assert [(Path(failure.source).name, failure.field) for failure in shard.failures] == [
        ("picture.mkv", "acoustic"),
        ("sound.mkv", "visual"),
    ]


def test_two_samplings_of_one_clip(clips):
    extractors = {
        "slow": open_extractor("appearance-motion"),
        "fast": open_extractor("appearance-motion", Sampling(fps=10)),
        "few": open_extractor("appearance-motion", Sampling(frames=3)),
    }
    with Reader() as reader:
        found = extract_clips(clips[:1], extractors, reader).features
    assert not np.array_equal(found["slow"], found["fast"])
    assert differs(extractors["slow"].card, extractors["few"].card) == [
        "sampling fps: 1.0, none",
        "sampling frames: none, 3",
    ]


def test_cards_are_written_and_read_and_open_what_made_them(tmp_path):
    cards = {
        "visual": open_extractor("appearance-motion", Sampling(frames=5)).card,
        "acoustic": open_extractor("descriptors").card,
    }
    write_cards(tmp_path / "features.json", cards)
    found = read_cards(tmp_path / "features.json")
    assert found == cards
    assert reopen(found["visual"]).want == open_extractor("appearance-motion", Sampling(frames=5)).want
    require_equal(cards, found, "data")


def test_other_features_than_the_models_are_refused():
    card = Card(extractor="x", version=1, weights="a", sampling={"fps": 1}, window="mean", dimension=3, licence="MIT")
    for change, words in (
        ({"weights": "b"}, "weights: a, b"),
        ({"sampling": {"fps": 2}}, "sampling fps: 1, 2"),
        ({"extractor": "y"}, "extractor: x, y"),
        ({"version": 2}, "version: 1, 2"),
        ({"window": "max"}, "window: mean, max"),
    ):
        with pytest.raises(DataError, match=re.escape(words)):
            require_equal({"visual": card}, {"visual": card.model_copy(update=change)}, "clips")
    require_equal({"visual": card}, {"visual": card.model_copy(update={"source": "moved", "licence": "?"})}, "clips")
    with pytest.raises(DataError, match=r"expected the field visual, found acoustic"):
        require_equal({"visual": card}, {"acoustic": card}, "clips")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected the cards of features"),
        ('{"format_version": 9, "fields": {}}', "expected format_version 1, found 9"),
        ('{"format_version": 1, "fields": {"visual": {"extractor": 3}}}', "fields"),
    ],
)
def test_a_broken_features_json_is_one_line(tmp_path, text, words):
    (tmp_path / "features.json").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_cards(tmp_path / "features.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("descriptor", "Did you mean 'descriptors'?"),
        ("clip", "expected clip:HUB_ID_OR_FOLDER, found 'clip'"),
        ("descriptors:x", "expected descriptors, found 'descriptors:x'"),
    ],
)
def test_a_wrong_name_is_refused_with_the_right_one(name, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        open_extractor(name)


@pytest.mark.parametrize("values", [{"fps": 1.0, "frames": 2}, {"fps": 0.0}, {"frames": 0}])
def test_samplings_have_ranges(values):
    with pytest.raises(ConfigError):
        Sampling(**values)


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "opensmile", None)
    with pytest.raises(ConfigError, match=r"pip install 'recbole-decm\[media-opensmile\]'"):
        open_extractor("opensmile:eGeMAPSv02")


def test_the_table_is_in_the_documentation_and_says_what_opens():
    text = DOCS.read_text(encoding="utf-8")
    for name, kind in EXTRACTORS.items():
        line = next(line for line in text.splitlines() if line.startswith(f"| `{name}"))
        assert kind.licence in line and f"[{kind.extra}]" in line and kind.dimension in line
    for reason in Reason:
        assert f"`{reason.value}`" in text
    for name in DEFAULTS.values():
        assert open_extractor(name).card.dimension == int(EXTRACTORS[name].dimension)


def test_texts_are_rows_and_an_empty_one_is_a_gap():
    card = Card(extractor="x", version=1, sampling={}, window="", dimension=1, licence="MIT")

    class Length:
        def add(self, block):
            self.block = block

        def vector(self):
            return np.array([len(self.block)], np.float32)

    shard = extract_texts(["one", " ", "three"], {"title": Extractor(card, None, Length)})
    assert np.array_equal(shard.features["title"][:, 0], [3, np.nan, 5], equal_nan=True)
    assert [(failure.source, failure.reason) for failure in shard.failures] == [("1", Reason.NO_TEXT)]
