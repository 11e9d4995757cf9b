"""Playable files with known truth: they play, they hang on the seed alone, and what they show tells of the latents."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recbole_decm.errors import ConfigError
from recbole_decm.simulation import SimulationConfig, simulate
from recbole_decm.simulation.media import write_media
from recbole_decm.simulation.scenes import DIALS, FPS, HEIGHT, RATE, WIDTH, dials, picture, sound

av = pytest.importorskip("av", reason="PyAV is not installed")
SMALL = SimulationConfig.of(videos=20, music=6, pgc_videos=4, pgc_music=6, latent_dim=3, seed=3)


def _play(path):
    with av.open(str(path)) as file:
        video = [frame for stream in file.streams.video for frame in file.decode(stream)]
    with av.open(str(path)) as file:
        audio = np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)])
    return video, audio


def test_videos_have_the_sound_of_their_track_and_the_table_says_which(tmp_path):
    simulation = simulate(SMALL)
    told = []
    folder = write_media(simulation, tmp_path, "m", progress=told.append)
    pairs = pd.read_csv(folder / "pairs.csv")
    assert pairs["split"].value_counts().to_dict() == {"train": 16, "valid": 2, "test": 2, "test_do": 2}
    assert pairs["music"][:20].tolist() == [f"music/m{i}.m4a" for i in simulation.observed]
    assert pairs["music"][20:].tolist() == [f"music/m{i}.m4a" for i in simulation.intervened[18:]]
    assert pairs["genre"][:20].tolist() == [f"g{simulation.catalogue.genre[i]}" for i in simulation.observed]
    frames, heard = _play(folder / pairs["video"][5])
    assert (frames[0].width, frames[0].height) == (WIDTH, HEIGHT) and 3 * FPS <= len(frames) <= 4 * FPS
    _, track = _play(folder / pairs["music"][5])
    assert len(heard) == pytest.approx(len(frames) / FPS * RATE, abs=4096)
    shared = slice(4096, len(heard) - 8192)  # where neither begins nor ends
    assert np.corrcoef(heard[shared], track[shared])[0, 1] > 0.95
    assert set((folder / "pgc").iterdir()) == {folder / "pgc" / name for name in ("pairs.csv", "videos", "music")}
    used = {*simulation.observed, *simulation.intervened[18:]}
    assert sum(told) == 20 + 4 + len(used) + len(set(simulation.pgc_choice))
    found = json.loads((folder / "references.json").read_text())
    assert found["oracle"]["recall"]["do"] >= 0 and set(found["ceiling"]["recall"]) == {"test", "do"}


def test_every_file_that_the_tables_name_is_there(tmp_path):
    simulation = simulate(replace(SMALL, seed=5))
    assert set(simulation.intervened[18:]) - set(simulation.observed)  # some are chosen under intervention alone
    folder = write_media(simulation, tmp_path, "m")
    for place in (folder, folder / "pgc"):
        pairs = pd.read_csv(place / "pairs.csv")
        assert all((place / name).is_file() for name in (*pairs["video"], *pairs["music"]))


def test_the_files_hang_on_the_seed_alone(tmp_path):
    first, again = (write_media(simulate(SMALL), tmp_path, name) for name in ("a", "b"))
    for path in ("videos/v3.mp4", "pgc/videos/v1.mp4", "pairs.csv", "truth.npz"):
        assert (first / path).read_bytes() == (again / path).read_bytes(), path


def test_each_dial_turns_what_its_name_says():
    def shown(dial, value):
        turned = np.full(DIALS, 0.5)
        turned[dial] = value
        frames = picture(turned, 8, np.random.default_rng(1)).astype(float)
        return frames[:, :HEIGHT], frames[:, HEIGHT:].reshape(8, 2, -1)

    for dial, (measure, factor) in {
        0: (lambda luma, chroma: luma.mean(), 80),
        1: (lambda luma, chroma: np.median(chroma[:, 0]), 90),
        2: (lambda luma, chroma: np.median(chroma[:, 1]), 90),
        3: (lambda luma, chroma: luma[:, :32].mean() - luma[:, -32:].mean(), 40),
        4: (lambda luma, chroma: luma[:, :, :40].mean() - luma[:, :, -40:].mean(), 40),
        5: (lambda luma, chroma: luma[:, 32:64, 40:88].mean() - luma[:, :16, :20].mean(), 60),
        6: (lambda luma, chroma: np.abs(np.diff(luma, axis=2)).mean(), 8),
        7: (lambda luma, chroma: np.abs(np.diff(luma, axis=1)).mean(), 8),
    }.items():
        low, high = (measure(*shown(dial, value)) for value in (0.05, 0.95))
        assert high - low > factor, dial


def test_each_part_of_the_tune_sounds_in_its_own_register():
    seconds, registers = 2.0, [(50, 70), (200, 400), (500, 1200), (1450, 1850), (2500, 5500), (7000, 11000), (105, 130)]

    def loudness(turned):
        power = np.abs(np.fft.rfft(sound(turned, seconds, np.random.default_rng(1)))) ** 2
        hertz = np.arange(len(power)) / seconds
        return np.array([10 * np.log10(power[(hertz > low) & (hertz < high)].sum()) for low, high in registers])

    middle = loudness(np.full(DIALS, 0.5))
    for part in range(len(registers)):
        turned = np.full(DIALS, 0.5)
        turned[part] = 1.0
        change = loudness(turned) - middle
        assert change[part] == pytest.approx(14, abs=1.5), part  # dB: half of the dial
        assert np.abs(np.delete(change, part)).max() < 3, part
    louder = np.full(DIALS, 0.5)
    louder[7] = 1.0
    assert np.allclose(loudness(louder) - middle, 10, atol=0.5)


def test_more_latent_dimensions_than_dials_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=f"--latent-dim: expected at most {DIALS}"):
        write_media(simulate(replace(SMALL, latent_dim=DIALS + 1)), tmp_path, "m")
    assert not (tmp_path / "m").exists()


def test_dials_beyond_the_latents_stand_in_the_middle():
    turned = dials(np.array([3.0, -3.0]), 0.0, np.random.default_rng(0))
    assert turned[0] == 1 and turned[1] == 0 and (turned[2:] == 0.5).all()
    assert np.allclose(dials(np.array([1.0]), 0.0, np.random.default_rng(0))[0], 0.7)
