"""Sound and picture whose right descriptors are known."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.media_files import COLOURS, plain, quadrants, tone
from threadpoolctl import threadpool_limits

from recbole_decm.media import appearance, descriptors
from recbole_decm.media.appearance import PictureReader
from recbole_decm.media.descriptors import RATE, SoundReader

PITCHES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def heard(samples: np.ndarray, block: int = RATE) -> dict[str, float]:
    reader = SoundReader()
    for start in range(0, len(samples), block):
        reader.add(samples[start : start + block].astype(np.float32))
    return dict(zip(descriptors.NAMES, reader.vector().tolist(), strict=True))


def seen(frames: list[np.ndarray]) -> dict[str, float]:
    reader = PictureReader()
    for frame in frames:
        reader.add(frame)
    return dict(zip(appearance.NAMES, reader.vector().tolist(), strict=True))


def clicks(tempo: float, seconds: float = 10) -> np.ndarray:
    samples = np.zeros(int(seconds * RATE))
    click = np.sin(2 * np.pi * 1000 * np.arange(800) / RATE) * np.exp(-np.arange(800) / 150)
    for beat in np.arange(0, seconds - 0.1, 60 / tempo):
        samples[int(beat * RATE) :][:800] += click
    return samples


@pytest.mark.parametrize(("hertz", "pitch"), [(440, "A"), (261.63, "C"), (220, "A"), (1480, "F#")])
def test_a_tone_has_its_chroma_at_its_pitch(hertz, pitch):
    found = heard(tone(hertz, 6, RATE))
    assert max(PITCHES, key=lambda name: found[f"chroma {name} mean"]) == pitch
    assert found["centroid mean"] == pytest.approx(np.log2(hertz / 30), abs=0.1)
    assert found["level mean"] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.1)
    assert found["crest mean"] == pytest.approx(3.01, abs=0.1) and found["tempo mean"] == 0


@pytest.mark.parametrize("tempo", [75, 90, 120, 150])
def test_clicks_have_their_tempo(tempo):
    found = heard(clicks(tempo))
    assert found["tempo mean"] == pytest.approx(tempo, rel=0.01) and found["pulse mean"] > 0.6
    assert found["onsets mean"] == pytest.approx(tempo / 60, rel=0.12)


def test_noise_is_flat_and_a_tone_is_not():
    noise = heard(np.random.default_rng(0).normal(size=5 * RATE) * 0.1)
    assert noise["flatness mean"] == pytest.approx(np.exp(-0.5772), abs=0.02)  # of exponentially distributed powers
    assert heard(tone(440, 5, RATE))["flatness mean"] < 0.001


@pytest.mark.parametrize("samples", [np.zeros(12 * RATE), np.zeros(100), np.zeros(1)])
def test_silence_is_finite_and_as_documented(samples):
    found = heard(samples)
    assert np.isfinite(list(found.values())).all()
    assert found["level mean"] == pytest.approx(-80) and found["quiet mean"] == 1
    assert all(found[f"{name} mean"] == 0 for name in ("centroid", "tempo", "crest", "chroma A", "flatness"))


def test_sound_shorter_than_a_window_gives_a_row():
    short = heard(tone(440, 0.03, RATE))
    assert np.isfinite(list(short.values())).all() and short["level spread spread"] == 0
    assert max(PITCHES, key=lambda name: short[f"chroma {name} mean"]) == "A"


def test_a_last_window_counts_from_a_second_on():
    loud, quiet = tone(440, 5, RATE), np.zeros(int(1.1 * RATE))
    assert heard(np.concatenate([loud, quiet[: RATE // 2]])) == heard(loud)
    assert heard(np.concatenate([loud, quiet]))["quiet mean"] == pytest.approx(0.5)
    assert heard(np.concatenate([loud, quiet]))["quiet spread"] == pytest.approx(0.5)


def test_blocks_and_threads_change_no_bit_of_sound():
    samples = np.random.default_rng(1).normal(size=7 * RATE) * 0.1
    one = heard(samples, block=RATE)
    assert heard(samples, block=12345) == one
    with threadpool_limits(2):
        assert heard(samples) == one
    with threadpool_limits(1):
        assert heard(samples) == one


def test_a_still_has_no_motion_and_no_cut():
    frame = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    found = seen([frame] * 4)
    assert all(found[f"{name} mean"] == 0 for name in ("motion", "moving", "colour"))
    assert found["cuts"] == 0 and found["brightness spread"] == 0
    assert seen([frame]) == found


def test_cuts_are_counted():
    frames = [frame for colour in (0, 1, 2) for frame in plain(COLOURS[colour], 3, side=96)]
    found = seen(frames)
    assert found["cuts"] == 2 and found["cut share"] == pytest.approx(2 / 8)
    assert found["colour mean"] == pytest.approx(2 / 8)


def test_motion_is_found_where_it_is():
    frames = [np.zeros((96, 96, 3), np.uint8) for _ in range(5)]
    for place, frame in enumerate(frames):
        frame[:32, 64:] = 255 * (place % 2)
    found = seen(frames)
    assert found["motion 02 mean"] == pytest.approx(1) and found["motion 00 mean"] == 0
    assert found["motion mean"] == pytest.approx(1 / 9) and found["moving mean"] == pytest.approx(1 / 9)


def test_colours_and_directions_are_those_of_the_picture():
    found = seen(plain((255, 0, 0), side=96))
    assert found["hue 0 mean"] == 1 and found["saturation mean"] == 1 and found["r 11 mean"] == 1
    assert found["brightness mean"] == pytest.approx(0.299) and found["edges mean"] == 0
    assert seen(plain((90, 90, 90), side=96))["colourfulness mean"] == 0
    corners = seen([quadrants(96)])
    assert corners["r 00 mean"] == 1 and corners["g 02 mean"] == 1 and corners["b 20 mean"] == 1
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::8] = 255
    upright = seen([stripes])
    assert upright["edges 0 mean"] == pytest.approx(upright["edges mean"]) and upright["edges 90 mean"] == 0
