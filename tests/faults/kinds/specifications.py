"""Specifications of benchmarks and searches."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import yaml
from faults.harness import Case
from faults.kinds.edits import put, replaced
from faults.kinds.keys import VALUES
from faults.kinds.world import DATA
from faults.kinds.yamls import YAMLS


def specified(folder: Path, change: Callable[[dict], object], name: str = "spec.yaml") -> None:
    """Change a specification."""
    content = yaml.safe_load((folder / name).read_text())
    (folder / name).write_text(yaml.safe_dump(change(content), sort_keys=False))


def specifications(rng: random.Random) -> Iterator[Case]:
    """A benchmark's entries, wrong one by one; a search's space."""
    command = ("benchmark", "spec.yaml", "--out=results")
    wrong: dict[str, tuple] = {
        "models": (
            "abc",
            [],
            5,
            [[1]],
            [{"a": 5}],
            ["Nothing"],
            [{"a": {"model": "Pop", "config": {"what": 1}}}],
            None,
        ),
        "datasets": ([], 5, ["nowhere"], [{"a": {}}], [{"a": {"simulate": {"videos": -1}}}], None, [{"a": "b"}]),
        "seeds": ("abc", [], [1.5], [-1], 5.5, [[1]], ["x"]),
        "config": ("abc", [1], {"nokey": 1}, {"epochs": "abc"}, {"topk": "abc"}, {"learning_rate": -1}),
        "main_metric": (5, "nothing@5", "ndcg@x", [], "ndcg@7"),
        "main_test": (5, "test_nothing", []),
        "title": ([1], {"a": 1}),
        "nokey": (1,),
        "search": (5, {"trials": -1}, {"trials": 1, "space": 5}, {"trials": 1, "space": {"Pop": {"a": 1}}}),
    }
    for key, values in wrong.items():
        for value in values:
            change = partial(specified, change=replaced(key, value))
            yield Case(
                "specifications",
                f"{key}: {value!r}",
                command,
                ("spec.yaml", "specification,", key),
                change,
                writes=("results",),
            )
    for title, content in YAMLS.items():
        change = partial(put, name="spec.yaml", content=content)
        yield Case("specifications", title, command, ("spec.yaml",), change)
    tune = ("tune", "--model=CMVAE", *DATA, "--space=space.yaml", "--out=found", "--trials=1")
    for key in ("learning_rate", "nokey"):
        for value in (5, "x", [], {}, {"low": 1}, {"low": 2, "high": 1}, {"low": "a", "high": "b"}, None, [[1]]):
            change = partial(specified, change=lambda _, key=key, value=value: {key: value}, name="space.yaml")
            yield Case("specifications", f"{key}: {value!r}", tune, ("space", key), change)
    while True:
        key, value = rng.choice(["models", "datasets", "seeds", "config", "main_metric"]), rng.choice(VALUES[:13])
        change = partial(specified, change=replaced(key, {"x": [value, None]}))
        yield Case("specifications", f"{key}: {value!r}", command, ("spec.yaml", "specification,", key), change)
