"""The extractors, in one table: what each takes, needs and gives, and under which licence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Literal

from recbole_decm.errors import ConfigError, suggest
from recbole_decm.media import appearance, descriptors
from recbole_decm.media.cards import Card, differs
from recbole_decm.media.extractor import Extractor, Sampling, sampled
from recbole_decm.media.wants import Sound

Takes = Literal["picture", "sound", "text"]


@dataclass(frozen=True)
class Kind:
    """A line of the table.

    Attributes:
        takes: picture, sound or text.
        dimension: of its vectors, in words where it depends on the weights.
        extra: of this package, that installs what it needs.
        licence: of its code and weights, in words.
        open: from the source (what stands behind the colon), the sampling and the device, the extractor.
        source: what stands behind the colon, in words; empty where nothing does.
    """

    takes: Takes
    dimension: str
    extra: str
    licence: str
    open: Callable[[str, Sampling, str], Extractor]
    source: str = ""


def _descriptors(source: str, sampling: Sampling, device: str) -> Extractor:
    card = Card(
        extractor="descriptors",
        version=1,
        sampling={"rate": descriptors.RATE},
        window="mean and spread over windows of 5 s",
        dimension=len(descriptors.NAMES),
        licence="MIT",
    )
    return Extractor(card, Sound(descriptors.RATE), descriptors.SoundReader)


def _appearance(source: str, sampling: Sampling, device: str) -> Extractor:
    want = sampling.picture(appearance.SIZE, "stretch")
    card = Card(
        extractor="appearance-motion",
        version=1,
        sampling=sampled(want),
        window="mean and spread over frames and over the changes between them",
        dimension=len(appearance.NAMES),
        licence="MIT",
    )
    return Extractor(card, want, appearance.PictureReader)


def _network(name: str, source: str, sampling: Sampling, device: str) -> Extractor:
    """One of ``networks``, which imports torch."""
    return getattr(import_module("recbole_decm.media.networks"), name)(source, sampling, device)


def _opensmile(source: str, sampling: Sampling, device: str) -> Extractor:
    from recbole_decm.media.smile import open_opensmile

    return open_opensmile(source)


_HUB = "hub id or folder"
EXTRACTORS: dict[str, Kind] = {
    "descriptors": Kind("sound", "164", "media", "MIT (this package)", _descriptors),
    "appearance-motion": Kind("picture", "146", "media", "MIT (this package)", _appearance),
    "efficientnet-lite0": Kind(
        "picture",
        "1280",
        "media-models",
        "Apache-2.0 (code; the weights' package names none)",
        partial(_network, "open_efficientnet"),
    ),
    "timm": Kind(
        "picture",
        "of the network",
        "media-timm",
        "Apache-2.0 (code); the weights' own",
        partial(_network, "open_timm"),
        "NAME or NAME@FILE.safetensors",
    ),
    "clip": Kind(
        "picture",
        "of the tower",
        "media-models",
        "Apache-2.0 (code); the weights' own",
        partial(_network, "open_clip"),
        _HUB,
    ),
    "clap": Kind(
        "sound",
        "of the tower",
        "media-models",
        "Apache-2.0 (code); the weights' own",
        partial(_network, "open_clap"),
        _HUB,
    ),
    "opensmile": Kind(
        "sound",
        "of the set (eGeMAPSv02: 88, ComParE_2016: 6373)",
        "media-opensmile",
        "audEERING Research License: no commercial use",
        _opensmile,
        "feature set",
    ),
    "text": Kind(
        "text",
        "of the encoder",
        "media-models",
        "Apache-2.0 (code); the weights' own",
        partial(_network, "open_text"),
        f"{_HUB}@column",
    ),
}
DEFAULTS: dict[Takes, str] = {"picture": "appearance-motion", "sound": "descriptors"}


def open_extractor(name: str, sampling: Sampling | None = None, device: str = "cpu") -> Extractor:
    """An extractor by its name in the table, as in ``descriptors`` or ``clip:FOLDER``.

    Args:
        sampling: of a video's frames; 1 a second if not given.
        device: where a network computes, such as ``cuda``.

    Raises:
        ConfigError: no such extractor, a package that it needs is missing, or its weights cannot be used.
    """
    kind, _, source = name.partition(":")
    if kind not in EXTRACTORS:
        names = ", ".join(_written(entry) for entry in EXTRACTORS)
        raise ConfigError(f"extractor: expected one of {names}, found '{name}'.{suggest(kind, EXTRACTORS)}")
    entry = EXTRACTORS[kind]
    if bool(source) != bool(entry.source):
        raise ConfigError(f"extractor: expected {_written(kind)}, found '{name}'.")
    return entry.open(source, sampling or Sampling(), device)


def reopen(card: Card, device: str = "cpu", source: str | None = None) -> Extractor:
    """The extractor of a card, so that new features are made as those were.

    Args:
        source: where its weights are now, if no longer where the card says.

    Raises:
        ConfigError: the extractor that opens differs from the card, in its weights for example.
    """
    frames, fps = card.sampling.get("frames"), card.sampling.get("fps")
    sampling = Sampling(None if fps is None else float(fps), None if frames is None else int(frames))
    place = card.source if source is None else source
    found = open_extractor(f"{card.extractor}:{place}" if place else card.extractor, sampling, device)
    difference = differs(card, found.card)
    if difference:
        raise ConfigError(
            f"{card.extractor}: expected what made the features, found {'; '.join(difference)} (theirs first)."
        )
    return found


def _written(kind: str) -> str:
    return f"{kind}:{EXTRACTORS[kind].source.upper().replace(' ', '_')}" if EXTRACTORS[kind].source else kind
