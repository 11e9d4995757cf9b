"""Keys and values on the command line."""

from __future__ import annotations

import random
from collections.abc import Iterator

from faults.harness import Case
from faults.kinds.world import DATA, QUIET, run

VALUES = (
    *("abc", "[]", "{}", "-1", "0", "1.5", "nan", "inf", "None", "True", "[abc]", "{a: b}", "[[1]]", "", "-1e400"),
    *("'\\x00'", "x" * 300, "[1, [2, {3: 4}]]", "../../x", "=1", "\u66f2", "{'a': " * 50 + "1" + "}" * 50, "(1,)"),
)
SURE = {
    "epochs": ("abc", "[]", "1.5", "None", "[[1]]", "{}"),
    "learning_rate": ("abc", "-1", "nan", "[]", "None"),
    "train_batch_size": ("abc", "-1", "0", "1.5", "[]", "None"),
    "eval_batch_size": ("abc", "-1", "0", "[]"),
    "topk": ("abc", "[]", "{}", "-1", "0", "1.5", "nan", "[abc]", "[[1]]", "None"),
    "metrics": ("abc", "[abc]", "[[1]]", "1.5", "[]"),
    "valid_metric": ("abc", "[]", "1.5"),
    "eval_args": ("abc", "[[1]]", "1.5", "{a: b}"),
    "seed": ("abc", "[]", "1.5", "{}"),
    "latent_dimension": ("abc", "-1", "0", "1.5", "[]", "None"),
    "feature_files": ("abc", "[[1]]", "1.5", "{a: b}"),
    "benchmark_filename": ("[]", "1.5", "{}", "[[1]]"),
    "USER_ID_FIELD": ("[]", "1.5", "abc"),
    "feature_residency": ("abc", "1.5", "[]"),
    "checkpoint": ("abc", "5", "[]"),
    "worker": ("abc", "-1", "1.5"),
}


def known_keys() -> list[str]:
    """Every key that a run of the matcher reads, but for those that start processes."""
    from recbole_decm.config.config import DecCMConfig

    config = DecCMConfig("CMVAE", "sim", config_dict={"state": "ERROR"})
    without = {"nproc", "world_size", "ip", "port", "group_offset", "offset", "local_rank", "model", "dataset"}
    return sorted(config.known_keys - without - {part[2:].partition("=")[0] for part in (*QUIET, *DATA)})


def keys(rng: random.Random) -> Iterator[Case]:
    """All keys, wrong types and ranges; then keys that do not exist."""
    for key, values in SURE.items():
        for value in values:
            names = (key, "tiny.train.inter") if key == "USER_ID_FIELD" else (key,)
            yield Case("keys", f"{key}={value}", run(f"--{key}={value}"), names)
    for text in ("--nokey=1", "--epoch=1", "--=1", "epochs=1", "--epochs", "-e", "--a.b=1"):
        yield Case("keys", text, run(text), ("nokey", "epoch", "--", "command line"))
    named = known_keys()
    while True:
        key, value = rng.choice(named), rng.choice(VALUES)
        yield Case("keys", f"{key}={value[:40]}", run(f"--{key}={value}"), (key,), sure=False, writes=("saved",))
