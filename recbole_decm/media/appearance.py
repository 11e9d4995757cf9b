"""Picture without weights: colour, texture and brightness of frames, their mean and spread, cuts and motion."""

from __future__ import annotations

import numpy as np

from recbole_decm.media.pooling import Moments

SIZE, FPS = 96, 1.0
_GRID, _HUES, _DIRECTIONS = 3, 12, 8
CUT = 0.4  # share of the pixels' colours that changes from one frame to the next
_MOVING = 8 / 255  # change of a pixel's brightness that is more than noise
_PARTS = (
    *("brightness", "contrast", "shadows", "lights"),
    *(f"hue {hue * 360 // _HUES}" for hue in range(_HUES)),
    *("saturation", "saturation spread", "colourfulness", "red-green", "blue-yellow"),
    *(f"{colour} {row}{column}" for row in range(_GRID) for column in range(_GRID) for colour in "rgb"),
    *(f"edges {direction * 180 // _DIRECTIONS}" for direction in range(_DIRECTIONS)),
    *("edges", "detail 1", "detail 2", "detail 4"),
)
_CHANGES = ("motion", "moving", *(f"motion {row}{column}" for row in range(_GRID) for column in range(_GRID)), "colour")
NAMES = (
    *(f"{part} {moment}" for moment in ("mean", "spread") for part in _PARTS),
    *(f"{part} {moment}" for moment in ("mean", "spread") for part in _CHANGES),
    "cuts",
    "cut share",
)
_PLACES = np.array([16, 4, 1], np.uint8)  # of four shades a colour in 64
_RED, _GREEN, _BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)  # parts of brightness, BT.601


class PictureReader:
    """The appearance and motion of one clip, from its frames as they come."""

    def __init__(self) -> None:
        self._frames, self._changes, self._cuts = Moments(len(_PARTS)), Moments(len(_CHANGES)), 0
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, frame: np.ndarray) -> None:
        """Take a frame, (96, 96, 3) of uint8."""
        pixels = frame.astype(np.float32) / np.float32(255)
        luma = _RED * pixels[..., 0] + _GREEN * pixels[..., 1] + _BLUE * pixels[..., 2]
        self._frames.add(_appearance(pixels, luma))
        colours = np.bincount((frame // 64 * _PLACES).sum(axis=2, dtype=np.uint8).ravel(), minlength=64) / luma.size
        if self._before is not None:
            change = np.abs(luma - self._before[0])
            recoloured = float(np.abs(colours - self._before[1]).sum() / 2)
            if recoloured > CUT:
                self._cuts += 1
            moving = float((change > _MOVING).mean())
            self._changes.add(np.array([float(change.mean()), moving, *_cells(change[..., None]), recoloured]))
        self._before = luma, colours

    def vector(self) -> np.ndarray:
        """(D,), as ``NAMES`` says. Motion is the change of brightness from one frame to the next; a still has none."""
        steps = max(self._changes.count, 1)
        cuts = [self._cuts, self._cuts / steps]
        return np.concatenate([self._frames.vector(), self._changes.vector(), cuts]).astype(np.float32)


def _appearance(pixels: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """The parts of one frame, from (H, W, 3) and (H, W) between 0 and 1."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    most, least = pixels.max(axis=2), pixels.min(axis=2)
    chroma = most - least
    saturation = chroma / np.maximum(most, 1e-6)
    opponent, yellow = red - green, 0.5 * (red + green) - blue
    # Hasler and Süsstrunk (2003), for values between 0 and 1.
    colourful = np.hypot(opponent.std(), yellow.std()) + 0.3 * np.hypot(opponent.mean(), yellow.mean())
    light = np.array([luma.mean(), luma.std(), *np.percentile(luma, [5, 95])])
    colour = np.array([saturation.mean(), saturation.std(), colourful, opponent.mean(), yellow.mean()])
    return np.concatenate([light, _hues(pixels, most, chroma), colour, _cells(pixels), _texture(luma)])


def _hues(pixels: np.ndarray, most: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Shares of twelve hues, by how colourful a pixel is; the sum is the mean colourfulness, so grey has none."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    safe = np.maximum(chroma, 1e-6)
    sixth = np.where(
        most == red, (green - blue) / safe, np.where(most == green, (blue - red) / safe + 2, (red - green) / safe + 4)
    )
    place = np.floor(sixth % 6 * (_HUES / 6) + 0.5).astype(np.int64) % _HUES
    return np.bincount(place.ravel(), chroma.ravel(), _HUES) / chroma.size


def _cells(values: np.ndarray) -> np.ndarray:
    """Means of the cells of a grid of three by three, channel by channel."""
    side = values.shape[0] // _GRID
    return values.reshape(_GRID, side, _GRID, side, -1).mean(axis=(1, 3)).ravel()


def _texture(luma: np.ndarray) -> np.ndarray:
    """Edges by direction, their strength, and detail at three scales."""
    across, down = luma[1:-1, 2:] - luma[1:-1, :-2], luma[2:, 1:-1] - luma[:-2, 1:-1]
    strength = np.hypot(across, down)
    angle = np.arctan2(down, across) % np.pi
    place = np.floor(angle / np.pi * _DIRECTIONS + 0.5).astype(np.int64) % _DIRECTIONS
    edges = np.bincount(place.ravel(), strength.ravel(), _DIRECTIONS) / strength.size
    details = []
    for step in (1, 2, 4):
        middle = luma[step:-step, step:-step]
        around = luma[: -2 * step, step:-step] + luma[2 * step :, step:-step]
        around = around + luma[step:-step, : -2 * step] + luma[step:-step, 2 * step :]
        details.append(np.abs(middle - around / 4).mean())
    return np.concatenate([edges, [strength.mean()], details])
