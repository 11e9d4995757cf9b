"""Pictures and sounds that carry a latent vector: each dimension turns one dial of a scene, or of a tune.

A dial turns with its dimension plus noise, from 0 at -2.5 to 1 at +2.5. What a dial turns can be seen or heard; what
it does not (where things stand, phases, notes, grain) is drawn for each clip.
"""

from __future__ import annotations

import numpy as np

WIDTH, HEIGHT, FPS = 128, 96, 8
RATE = 22_050
PICTURE_DIALS = (
    *("brightness", "blueness", "redness", "light from above", "light from the left", "light from the middle"),
    *("standing stripes", "lying stripes", "size of the ball", "speed of the ball", "blueness of the ball", "flicker"),
)
SOUND_DIALS = (
    *("bass", "chord", "melody", "strings", "bells", "shaker", "beat", "level"),
    *("tempo", "register", "decay", "rests"),
)
DIALS = len(PICTURE_DIALS)
"""Dimensions of a latent vector that there are dials for."""
_REACH = 2.5
_SOFTEST = -28  # dB of a part of the tune whose dial is at 0, from where it is at 1


def dials(latent: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Where the dials stand: (d,) latent -> (DIALS,) between 0 and 1; those beyond d stand in the middle."""
    found = np.full(DIALS, 0.5)
    turned = latent + noise * rng.standard_normal(len(latent))
    found[: len(latent)] = np.clip(0.5 + turned / (2 * _REACH), 0, 1)
    return found


def picture(turned: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The frames of a clip.

    Args:
        turned: (DIALS,) as :func:`dials` gives it.
        count: of the frames, at ``FPS`` a second.

    Returns:
        (count, HEIGHT + HEIGHT // 2, WIDTH) uint8, planes of YUV 4:2:0 as ``yuv420p`` packs them.
    """
    light, blue, red, above, left, middle, standing, lying, size, speed, ball_blue, flicker = turned - 0.5
    frames = np.arange(count)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    x, y = x / WIDTH - 0.5, y / HEIGHT - 0.5
    still = 126 + 100 * light - 90 * above * y - 90 * left * x + 80 * middle * (0.9 - 5 * (x**2 + y**2))
    for strength, along in ((standing, x), (lying, y)):
        still = still + (18 + 34 * strength) * np.sin(2 * np.pi * (12 * along + rng.uniform()))
    path, start, phase = rng.uniform(0, 2 * np.pi, 3)
    turn = start + 2 * np.pi * (0.35 + 0.6 * speed) * frames / FPS
    centre_x, centre_y = 0.3 * np.cos(turn + path), 0.3 * np.sin(turn)
    radius = 0.1 + 0.16 * size
    away = (x * WIDTH / HEIGHT - centre_x[:, None, None]) ** 2 + (y - centre_y[:, None, None]) ** 2
    ball = away < radius**2
    luma = still + (3 + 6 * flicker) * np.sin(2 * np.pi * 1.3 * frames / FPS + phase)[:, None, None]
    luma = np.where(ball, 0.5 * luma + 70, luma) + rng.normal(0, 3, (HEIGHT, WIDTH))
    chroma = ball[:, ::2, ::2]
    planes = [np.where(chroma, 128 + 150 * b, 128 + 150 * a) for a, b in ((blue, ball_blue), (red, -ball_blue))]
    flat = [luma.reshape(len(frames), -1), *(plane.reshape(len(frames), -1) for plane in planes)]
    whole = np.concatenate(flat, axis=1).clip(16, 240).astype(np.uint8)
    return whole.reshape(len(frames), HEIGHT + HEIGHT // 2, WIDTH)


def sound(turned: np.ndarray, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """The samples of a tune, (seconds * RATE,) float32 between -1 and 1: seven parts, each in a register of its own.

    Args:
        turned: (DIALS,) as :func:`dials` gives it.
    """
    parts, (level, tempo, register, decay, rests) = turned[:7], turned[7:]
    time = np.arange(round(seconds * RATE)) / RATE
    beats = (70 + 90 * tempo) / 60 * time + rng.uniform()
    half = 2 * beats
    notes = int(half[-1]) + 1
    tune = np.array([0, 2, 4, 7, 9])[rng.integers(5, size=notes)][half.astype(np.int64)] + 12 * (register - 0.5)
    loud = np.where(rng.uniform(size=notes) > 0.4 * rests, 1, 0.3)[half.astype(np.int64)]
    played = loud * np.exp(-(half % 1) * (0.3 + 2 * decay))
    key = 2 ** (rng.integers(3) / 12)

    def tone(hertz: float | np.ndarray) -> np.ndarray:
        return np.sin(2 * np.pi * np.cumsum(np.broadcast_to(key * hertz, time.shape)) / RATE)

    hiss = np.diff(rng.standard_normal(len(time) + 3), n=3) / 4
    sounding = (
        tone(55),
        (tone(220) + tone(220 * 2 ** (4 / 12)) + tone(220 * 2 ** (7 / 12))) / 2,
        tone(550 * 2 ** (tune / 12)) * played,
        tone(1500) * (1 + 0.3 * np.sin(2 * np.pi * 6 * time)) / 2,
        tone(2600 * 2 ** (tune / 12)) * np.exp(-(beats % 1) * 3),
        hiss * (0.4 + 0.6 * np.exp(-(half % 1) * 6)) / 2,
        tone(110) * np.exp(-(beats % 1) * 6),
    )
    gains = 10 ** (_SOFTEST * (1 - parts) / 20)
    mixed = sum(gain * part for gain, part in zip(gains, sounding, strict=True))
    return np.clip(10 ** ((-26 + 20 * level) / 20) * np.asarray(mixed), -1, 1).astype(np.float32)
