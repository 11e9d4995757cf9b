"""Pictures and sounds that carry a latent vector: each dimension turns one dial of a scene, or of a tune.

A dial stands at the normal distribution function of its dimension plus noise, between 0 and 1. What a dial turns can
be seen or heard; what it does not (where things stand, phases, grain) is drawn for each clip.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

WIDTH, HEIGHT, FPS = 128, 96, 8
RATE = 22_050
PICTURE_DIALS = (
    *("brightness", "blueness", "redness", "light from above", "light from the left", "stripes", "density of stripes"),
    *("size of the ball", "speed of the ball", "blueness of the ball", "redness of the ball", "flicker"),
)
SOUND_DIALS = (
    *(
        "register",
        "overtones",
        "tempo",
        "noise",
        "level",
        "decay",
        "bass",
        "beat",
        "tremolo",
        "fifth",
        "third",
        "rests",
    ),
)
DIALS = len(PICTURE_DIALS)
"""Dimensions of a latent vector that there are dials for."""


def dials(latent: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Where the dials stand: (d,) latent -> (DIALS,) between 0 and 1; those beyond d stand in the middle."""
    found = np.full(DIALS, 0.5)
    found[: len(latent)] = ndtr(latent + noise * rng.standard_normal(len(latent)))
    return found


def picture(turned: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The frames of a clip.

    Args:
        turned: (DIALS,) as :func:`dials` gives it.
        count: of the frames, at ``FPS`` a second.

    Returns:
        (count, HEIGHT + HEIGHT // 2, WIDTH) uint8, planes of YUV 4:2:0 as ``yuv420p`` packs them.
    """
    light, blue, red, above, left, stripes, density, size, speed, ball_blue, ball_red, flicker = turned - 0.5
    frames = np.arange(count)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    x, y = x / WIDTH - 0.5, y / HEIGHT - 0.5
    angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
    wave = np.sin(2 * np.pi * (12 + 16 * density) * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    still = 126 + 90 * light - 80 * above * y - 80 * left * x + (20 + 36 * stripes) * wave
    path, start = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
    turn = start + 2 * np.pi * (0.35 + 0.6 * speed) * frames / FPS
    centre_x, centre_y = 0.28 * np.cos(turn + path), 0.28 * np.sin(turn)
    radius = 0.14 + 0.16 * size
    away = (x * WIDTH / HEIGHT - centre_x[:, None, None]) ** 2 + (y - centre_y[:, None, None]) ** 2
    ball = away < radius**2
    luma = still + (6 + 36 * (flicker + 0.5)) * np.sin(2 * np.pi * 2 * frames / FPS + phase)[:, None, None] / 2
    luma = np.where(ball, 0.5 * luma + 70, luma) + rng.normal(0, 3, (HEIGHT, WIDTH))
    chroma = ball[:, ::2, ::2]
    planes = [np.where(chroma, 128 + 150 * b, 128 + 110 * a) for a, b in ((blue, ball_blue), (red, ball_red))]
    flat = [luma.reshape(len(frames), -1), *(plane.reshape(len(frames), -1) for plane in planes)]
    whole = np.concatenate(flat, axis=1).clip(16, 240).astype(np.uint8)
    return whole.reshape(len(frames), HEIGHT + HEIGHT // 2, WIDTH)


def sound(turned: np.ndarray, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """The samples of a tune, (seconds * RATE,) float32 between -1 and 1.

    Args:
        turned: (DIALS,) as :func:`dials` gives it.
    """
    register, overtones, tempo, noise, level, decay, bass, beat, tremolo, fifth, third, rests = turned
    time = np.arange(round(seconds * RATE), dtype=np.float32) / RATE
    beats = (70 + 90 * tempo) / 60 * time + rng.uniform()
    step, inside = np.floor(2 * beats).astype(np.int64), (2 * beats) % 1
    scale = np.array([0, 2, 4, 7, 9])
    notes = scale[rng.integers(5, size=int(step[-1]) + 1)][step]
    root = 110 * 2 ** (2.2 * register + rng.integers(3) / 12)
    hertz = root * 2 ** (notes / 12)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    envelope = np.exp(-inside * (0.3 + 6 * decay))
    envelope *= rng.uniform(size=int(step[-1]) + 1)[step] > 0.5 * rests
    tone = sum((0.15 + 0.7 * overtones) ** k * np.sin((k + 1) * phase) for k in range(6))
    tone = tone + 0.9 * fifth * np.sin(1.5 * phase) + 0.9 * third * np.sin(1.26 * phase)
    tone *= envelope * (1 - 0.8 * tremolo * (0.5 + 0.5 * np.sin(2 * np.pi * 6 * time)))
    hits = np.exp(-(beats % 1) * 14)
    hiss = rng.standard_normal(len(time))
    mixed = (
        tone
        + 1.2 * bass * np.sin(2 * np.pi * 55 * time)
        + 0.5 * noise * hiss
        + 2.2 * beat * hits * np.diff(hiss, prepend=0)
    )
    mixed *= 10 ** ((-30 + 18 * level) / 20) / max(float(np.sqrt(np.mean(mixed**2))), 1e-9)
    return np.clip(mixed, -1, 1).astype(np.float32)
