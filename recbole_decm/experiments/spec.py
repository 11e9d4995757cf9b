"""The specification of a benchmark: what it compares, as typed values. :mod:`.reading` makes them from YAML."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from recbole_decm.experiments.space import Parameter
from recbole_decm.simulation.causal import SimulationConfig

# Keys that the benchmark sets itself.
RESERVED = {"model", "dataset", "seed", "data_path", "checkpoint_dir", "teacher_dir", "checkpoint", "result_file"}
RESERVED |= {"config_files", "show_progress", "state"}


@dataclass(frozen=True)
class ModelEntry:
    """A model under a label of its own, with the config values that make it what the label says."""

    label: str
    model: str
    config_files: tuple[Path, ...] = ()
    config: dict = field(default_factory=dict)


@dataclass(frozen=True)
class DataEntry:
    """A data set under a label: one that exists (``dataset``), one to simulate, or one to import."""

    label: str
    dataset: str | None = None
    data_path: Path | None = None
    simulate: dict | None = None
    per_seed: bool = False
    import_released: dict[str, Path] | None = None
    config: dict = field(default_factory=dict)

    def simulation(self, seed: int) -> SimulationConfig:
        """Parameters of the simulation for a seed of the benchmark."""
        return SimulationConfig.of(**{**(self.simulate or {}), **({"seed": seed} if self.per_seed else {})})


@dataclass(frozen=True)
class Search:
    """A search over hyper-parameters on validation data, the same number of trials for every model that has a space."""

    trials: int
    seed: int
    space: dict[str, dict[str, Parameter]]

    def space_of(self, entry: ModelEntry) -> dict[str, Parameter] | None:
        """The space of a model: by its label, else by its class."""
        return self.space.get(entry.label, self.space.get(entry.model))


@dataclass(frozen=True)
class Specification:
    """What a benchmark compares. ``plain`` is the specification as read, which tells two of them apart."""

    models: tuple[ModelEntry, ...]
    datasets: tuple[DataEntry, ...]
    seeds: tuple[int, ...]
    main_metric: str = "ndcg@10"
    main_test: str = "test"
    title: str = "Benchmark"
    baseline: str | None = None
    eval_mode: str | None = None
    metrics: tuple[str, ...] | None = None
    config: dict = field(default_factory=dict)
    search: Search | None = None
    keep_checkpoints: bool = False
    plain: dict = field(default_factory=dict)


def slug(text: str) -> str:
    """A text as part of a file name: readable, not necessarily unique."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text).strip("._") or "_"


def digest(*parts: object, size: int = 4) -> str:
    """A short hexadecimal hash of some values' texts."""
    return hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=size).hexdigest()
