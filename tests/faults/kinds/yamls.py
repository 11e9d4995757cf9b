"""Config files that are no YAML, or no config."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

from faults.harness import Case
from faults.kinds.edits import put
from faults.kinds.world import run

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
)
YAMLS: dict[str, bytes] = {
    "a list": b"- 1\n- 2\n",
    "a word": b"word\n",
    "no YAML": b"epochs: [1\n",
    "a tab": b"epochs:\t1\n\tb: 2\n",
    "a key twice": b"epochs: 1\nepochs: 2\n",
    "a list as a key": b"? [1, 2]\n: 3\n",
    "a mapping as a key": b"? {a: 1}\n: 3\n",
    "a number as a key": b"1: 2\n",
    "nothing as a key": b"~: 2\n",
    "an object": b"epochs: !!python/object/apply:os.system ['touch hacked']\n",
    "a tag": b"epochs: !what 1\n",
    "nested deeply": b"topk: " + b"[" * 5000 + b"]" * 5000 + b"\n",
    "nested mappings": b"eval_args: " + b"{a: " * 3000 + b"1" + b"}" * 3000 + b"\n",
    "a bomb": BOMB.encode(),
    "itself": b"topk: &a [*a]\n",
    "an anchor of nothing": b"topk: *a\n",
    "no text": bytes(range(256)),
    "NUL": b"epochs: 1\n\0\n",
    "two documents": b"epochs: 1\n---\nepochs: 2\n",
    "a date": b"epochs: 2020-01-01\n",
    "bytes": b"epochs: !!binary aGk=\n",
    "a merge": b"<<: 5\n",
    "a misspelled entry": b"eval_args: {modee: uni100}\n",
    "an unknown key": b"epoch: 3\n",
    "a long number": b"epochs: " + b"9" * 5000 + b"\n",
}


def yamls(rng: random.Random) -> Iterator[Case]:
    """Config files, and the data set's own; then files of random lines."""
    ones = ("bad.yaml", "eval_args", "epochs", "topk", "tiny.yaml")
    for title, content in YAMLS.items():
        change = partial(put, name="bad.yaml", content=content)
        yield Case("yaml", title, run("--config_files=bad.yaml"), ones, change)
        yield Case(
            "yaml", f"data set's: {title}", run(), ones, partial(put, name="data/tiny/tiny.yaml", content=content)
        )
    letters = "{}[]:,-&*!|>'\"%@ \n\tabc01"
    while True:
        text = "".join(rng.choice(letters) for _ in range(rng.randint(1, 60)))
        change = partial(put, name="bad.yaml", content=text.encode())
        command = run("--config_files=bad.yaml")
        yield Case("yaml", repr(text), command, ("bad.yaml",), change, sure=False, writes=("saved",))
