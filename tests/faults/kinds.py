"""Bad inputs by kind: tables, and draws from a seeded generator, so that a campaign can be run again."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from faults.harness import Case, nothing
from helpers.planted import write_planted
from helpers.released_layout import write_released

QUIET = ("--state=ERROR", "--show_progress=False")
DATA = ("--dataset=tiny", "--data_path=data")
SHORT = ("--epochs=1", "--train_batch_size=32", "--eval_batch_size=4096")
Change = Callable[[Path], None]


def run(*more: str, model: str = "CMVAE") -> tuple[str, ...]:
    """A short run; later values of a key stand for earlier ones."""
    given = {part.partition("=")[0]: part for part in (f"--model={model}", *DATA, *SHORT, *QUIET, *more)}
    return "run", *given.values()


def make_world(folder: Path) -> Path:
    """Two small data sets, one with vectors in .npy files, a checkpoint, queries, specifications and a raw layout."""
    from recbole_decm.cli.main import main

    sizes = {"videos": 60, "music": 12, "uploaders": 6, "visual": 6, "acoustic": 4}
    write_planted(folder / "data", "tiny", **sizes)
    write_planted(folder / "data", "vectors", npy=True, pgc=False, **sizes)
    write_released(folder / "raw", videos=24, music=28, negatives=5)
    result = folder / "world.json"
    place = {"data_path": f"--data_path={folder / 'data'}", "checkpoint_dir": f"--checkpoint_dir={folder / 'made'}"}
    assert main(run(*place.values(), f"--result_file={result}")) == 0
    Path(json.loads(result.read_text())["checkpoint"]).rename(folder / "model.pth")
    (folder / "made").rmdir()
    result.unlink()
    rng = np.random.default_rng(0)
    np.save(folder / "videos.npy", rng.normal(size=(5, 6)).astype(np.float32))
    np.save(folder / "uploaders.npy", rng.dirichlet(np.ones(3), size=5).astype(np.float32))
    spec = {"models": ["Pop"], "datasets": [{"tiny": {"dataset": "tiny", "data_path": "data"}}], "seeds": [1]}
    spec |= {"config": {"epochs": 1, "topk": [5], "valid_metric": "NDCG@5"}, "main_metric": "ndcg@5"}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    (folder / "space.yaml").write_text("learning_rate: {loguniform: [1.0e-4, 1.0e-2]}\n")
    (folder / "precious.txt").write_text("not to be lost")
    return folder


# --- keys and values on the command line ---
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


# --- YAML ---
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


# --- atomic files ---
def put(folder: Path, name: str, content: bytes) -> None:
    """Write a file anew."""
    (folder / name).write_bytes(content)


def edit(folder: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change what a file holds."""
    (folder / name).write_bytes(change((folder / name).read_bytes()))


def remove(folder: Path, name: str) -> None:
    """Take a file away."""
    (folder / name).unlink()


def be_folder(folder: Path, name: str) -> None:
    """Put a folder in a file's place."""
    (folder / name).unlink()
    (folder / name).mkdir()


def line(number: int, change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """A change of one line."""

    def work(data: bytes) -> bytes:
        lines = data.split(b"\n")
        lines[number] = change(lines[number])
        return b"\n".join(lines)

    return work


def flip(rng: random.Random, data: bytes, low: float = 0.0, high: float = 1.0) -> bytes:
    """One bit changed, somewhere between two shares of the file."""
    at = min(len(data) - 1, int(len(data) * rng.uniform(low, high)))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


EDITS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "header only": lambda data: data.partition(b"\n")[0] + b"\n",
    "no header": lambda data: data.partition(b"\n")[2],
    "too many cells": line(3, lambda text: text + b"\tmore"),
    "too many cells everywhere": lambda data: data.replace(b"\n", b"\tx\n").replace(b"\tx\n", b"\n", 1),
    "too few cells": line(3, lambda text: text.partition(b"\t")[0]),
    "an empty line": line(3, lambda text: b""),
    "NUL": line(3, lambda text: text.replace(b"v", b"\0").replace(b"m", b"\0")),
    "no UTF-8": line(3, lambda text: b"\xff\xfe" + text),
    "an empty id": line(3, lambda text: b"\t" + text.partition(b"\t")[2]),
    "a column twice": line(0, lambda text: text + b"\t" + text.partition(b"\t")[0]),
    "a type that is none": line(0, lambda text: text.replace(b":token", b":tokens", 1)),
    "a column without a type": line(0, lambda text: text.replace(b":token", b"", 1)),
    "compressed": lambda data: b"\x1f\x8b\x08\x00" + data[::-1],
    "spaces for tabs": lambda data: data.replace(b"\t", b" "),
    "UTF-16": lambda data: data.decode().encode("utf-16"),
}
ID_EDITS = {"an id twice": line(3, lambda text: b"v0\t" + text.partition(b"\t")[2])}
PAIRS = tuple(f"data/tiny/tiny.{part}.inter" for part in ("train", "valid", "test"))
SIDES = ("data/tiny/tiny.user", "data/tiny/tiny.item")


def vector(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """A change of the last cell of a line."""
    return line(3, lambda text: b"\t".join([*text.split(b"\t")[:-1], change(text.split(b"\t")[-1])]))


VECTOR_EDITS: dict[str, Callable[[bytes], bytes]] = {
    "a number that is none": vector(lambda cell: b"x " + cell),
    "a short vector": vector(lambda cell: cell.rpartition(b" ")[0]),
    "a long vector": vector(lambda cell: cell + b" 1"),
    "no vector": vector(lambda cell: b""),
    "NaN": vector(lambda cell: b"nan " + cell.partition(b" ")[2]),
    "infinity": vector(lambda cell: b"-inf " + cell.partition(b" ")[2]),
    "beyond float32": vector(lambda cell: b"1e39 " + cell.partition(b" ")[2]),
    "a decimal comma": vector(lambda cell: cell.replace(b".", b",")),
    "two blanks": vector(lambda cell: cell.replace(b" ", b"  ")),
}
FINE: dict[str, Callable[[bytes], bytes]] = {
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "no final line end": lambda data: data.rstrip(b"\n"),
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "empty lines at the end": lambda data: data + b"\n\n",
}


def atomic(rng: random.Random) -> Iterator[Case]:
    """Each file, damaged in each way; then cut or changed anywhere."""

    def case(title: str, name: str, change: Change, sure: bool = True) -> Case:
        named = (Path(name).name, "tiny.user", "tiny.item") if not sure else (Path(name).name,)
        return Case("atomic", f"{Path(name).name}: {title}", run(), named, change, sure, () if sure else ("saved",))

    for name in (*PAIRS, *SIDES):
        for title, change in EDITS.items():
            if title != "an empty id" or name.endswith(("user", "item")):
                yield case(title, name, partial(edit, name=name, change=change))
        yield case("missing", name, partial(remove, name=name))
        yield case("a folder", name, partial(be_folder, name=name))
        for title, change in FINE.items():
            yield case(title, name, partial(edit, name=name, change=change), sure=False)
    for name in SIDES:
        for title, change in VECTOR_EDITS.items():
            yield case(title, name, partial(edit, name=name, change=change))
    yield case("an id twice", SIDES[0], partial(edit, name=SIDES[0], change=ID_EDITS["an id twice"]))
    for name in PAIRS:
        for token in (b"v0", b"m0"):
            change = line(3, lambda text, token=token: text.replace(token[:1], b"unknown"))
            yield case(f"an unknown {token.decode()}", name, partial(edit, name=name, change=change))
    one = partial(edit, name=PAIRS[0], change=lambda data: b"\n".join(data.split(b"\n")[:2]) + b"\n")
    yield Case("atomic", "one training row", run(), ("train", "tiny"), one, sure=False, writes=("saved",))
    while True:
        name = rng.choice((*PAIRS, *SIDES))
        if rng.random() < 0.5:
            seed = rng.random()
            yield case(
                "a bit", name, partial(edit, name=name, change=lambda d, s=seed: flip(random.Random(s), d)), False
            )
        else:
            share = rng.random()
            yield case("cut", name, partial(edit, name=name, change=lambda d, s=share: d[: int(len(d) * s)]), False)


# --- matrices ---
def npy(shape: tuple, kind: str, fill: float = 0.5) -> bytes:
    """A ``.npy`` file."""
    file = io.BytesIO()
    np.save(file, np.full(shape, fill, dtype=kind))
    return file.getvalue()


def objects() -> bytes:
    """One that holds Python objects."""
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}, None], dtype=object))
    return file.getvalue()


def matrices(rows: int, width: int) -> dict[str, bytes]:
    """Files that are no matrix of finite float32 of a shape."""
    good = npy((rows, width), "f4")
    rest = good[good.index(b"\n") + 1 :]
    header = b"\x93NUMPY\x01\x00"
    huge = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**12}, {width}), }}".encode().ljust(117) + b"\n"
    return {
        "empty": b"",
        "text": b"1,2,3\n4,5,6\n",
        "magic alone": header,
        "no header": header + b"\x76\x00" + b"x" * 118,
        "a huge shape": header + struct.pack("<H", len(huge)) + huge + rest,
        "cut": good[:-10],
        "objects": objects(),
        "no columns": npy((rows, 0), "f4"),
        "no rows": npy((0, width), "f4"),
        "one dimension": npy((rows,), "f4"),
        "three dimensions": npy((rows, width, 1), "f4"),
        "too few rows": npy((rows - 1, width), "f4") if rows > 5 else npy((0, width), "f4"),
        "NaN": npy((rows, width), "f4", float("nan")),
        "infinity": npy((rows, width), "f4", float("inf")),
        "beyond float32": npy((rows, width), "f8", 1e300),
        "integers": npy((rows, width), "i4", 1),
        "complex": npy((rows, width), "c8"),
        "texts": npy((rows, width), "U3"),
        "an archive": b"PK\x03\x04" + rest,
    }


def npys(rng: random.Random) -> Iterator[Case]:
    """A data set's vectors; then flipped bits in a header."""
    command = (*run()[:1], *(part.replace("tiny", "vectors") for part in run()[1:]))
    sizes = {"visual": (60, 6), "acoustic": (12, 4)}
    for field, size in sizes.items():
        name = f"data/vectors/vectors.{field}.npy"
        for title, content in matrices(*size).items():
            yield Case("npy", f"{field}: {title}", command, (f"{field}.npy",), partial(put, name=name, content=content))
        yield Case("npy", f"{field}: missing", command, (f"{field}.npy",), partial(remove, name=name))
        yield Case("npy", f"{field}: a folder", command, (f"{field}.npy",), partial(be_folder, name=name))
    while True:
        field, seed = rng.choice(list(sizes)), rng.random()
        change = partial(
            edit,
            name=f"data/vectors/vectors.{field}.npy",
            change=lambda d, s=seed: flip(random.Random(s), d, 0, 128 / len(d)),
        )
        names = (f"{field}.npy", "vectors.user", "vectors.item")
        yield Case("npy", f"{field}: a bit", command, names, change, sure=False, writes=("saved",))


# --- checkpoints ---
def resave(folder: Path, change: Callable[[dict], object]) -> None:
    """A checkpoint with other content."""
    content = torch.load(folder / "model.pth", weights_only=True)
    torch.save(change(content), folder / "model.pth")


def flip_inside(data: bytes, rng: random.Random) -> bytes:
    """One bit changed in what a checkpoint holds; not in the filling between its members, which says nothing."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        member = rng.choice([member for member in archive.infolist() if member.file_size])
    at = member.header_offset
    at += 30 + sum(struct.unpack("<HH", data[at + 26 : at + 30])) + rng.randrange(member.compress_size)
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def without(key: str) -> Callable[[dict], dict]:
    """Content without an entry."""
    return lambda content: {name: value for name, value in content.items() if name != key}


def replaced(key: str, value: object) -> Callable[[dict], dict]:
    """Content with another entry."""
    return lambda content: {**content, key: value}


COMMANDS = {
    "evaluate": ("evaluate", "model.pth", *DATA[1:], *QUIET),
    "recommend": ("recommend", "model.pth", "--videos=videos.npy", "--k=3", *DATA[1:], *QUIET),
    "resume": run("--checkpoint=model.pth", "--epochs=2"),
    "audit": ("audit", "model.pth", "--k=3", *DATA[1:], QUIET[1]),
}


def checkpoints(rng: random.Random) -> Iterator[Case]:
    """Entries that are missing or of another type; cut, changed and other files, for each command that reads one."""
    changes: dict[str, Change] = {
        "empty": partial(put, name="model.pth", content=b""),
        "text": partial(put, name="model.pth", content=b"weights\n"),
        "pickle": partial(put, name="model.pth", content=b"cos\nsystem\n(S'touch hacked'\ntR."),
        "a list": partial(resave, change=lambda content: [1, 2]),
        "half": partial(edit, name="model.pth", change=lambda data: data[: len(data) // 2]),
        "a folder": partial(be_folder, name="model.pth"),
        "missing": partial(remove, name="model.pth"),
        "newer": partial(resave, change=replaced("format_version", 10**6)),
    }
    for key in ("state_dict", "config", "model", "dataset", "format", "format_version", "epoch", "other_parameter"):
        changes[f"no {key}"] = partial(resave, change=without(key))
        good = {"epoch": (5,), "other_parameter": (None,)}.get(key, ())
        for value in (value for value in (5, "x", None, [1]) if value not in good):
            changes[f"{key}={value!r}"] = partial(resave, change=replaced(key, value))
    for seed in range(4):
        flipped = partial(flip_inside, rng=random.Random(seed))
        changes[f"a bit ({seed})"] = partial(edit, name="model.pth", change=flipped)
    for title, change in changes.items():
        for name in ("evaluate", "recommend") if title.startswith(("no", "empty", "a bit")) else ("evaluate",):
            key = title.partition("=")[0]
            yield Case("checkpoints", f"{name}: {title}", COMMANDS[name], ("model.pth", key), change)
    for title, change in changes.items():
        for name in ("resume", "audit"):
            key = title.partition("=")[0]
            yield Case("checkpoints", f"{name}: {title}", COMMANDS[name], ("model.pth", key), change)
    while True:
        seed, name = rng.random(), rng.choice(list(COMMANDS))
        flipped = partial(flip_inside, rng=random.Random(seed))
        change = partial(edit, name="model.pth", change=flipped)
        yield Case("checkpoints", f"{name}: a bit", COMMANDS[name], ("model.pth",), change)


# --- indexes ---
INDEXED = (*COMMANDS["recommend"], "--index=flat", "--index-file=kept.index", "--out=lists.csv")


def header_of(folder: Path, change: Callable[[dict], object]) -> None:
    """Change the header of an index file."""
    data = (folder / "kept.index").read_bytes()
    magic = b"recbole-decm-index"
    size = struct.unpack("<Q", data[-len(magic) - 8 : -len(magic)])[0]
    start = len(data) - len(magic) - 8 - size
    text = json.dumps(change(json.loads(data[start : start + size]))).encode()
    (folder / "kept.index").write_bytes(data[:start] + text + struct.pack("<Q", len(text)) + magic)


def indexes(rng: random.Random) -> Iterator[Case]:
    """Headers without an entry or with another; cut and changed files. The world has an index of its checkpoint."""
    changes: dict[str, Change] = {
        "empty": partial(put, name="kept.index", content=b""),
        "text": partial(put, name="kept.index", content=b"x" * 100),
        "half": partial(edit, name="kept.index", change=lambda data: data[: len(data) // 2]),
        "no vectors": partial(edit, name="kept.index", change=lambda data: data[400:]),
        "a folder": partial(be_folder, name="kept.index"),
        "a list": partial(header_of, change=lambda header: [1]),
        "a huge header": partial(
            edit, name="kept.index", change=lambda d: d[:-26] + struct.pack("<Q", 2**60) + d[-18:]
        ),
    }
    for key in ("format_version", "options", "radius", "effort", "count", "dim", "belongs_to"):
        changes[f"no {key}"] = partial(header_of, change=without(key))
        for value in ("x", None, [1], -5):
            changes[f"{key}={value!r}"] = partial(header_of, change=replaced(key, value))
    changes["another kind"] = partial(header_of, change=replaced("options", {"kind": "what", "neighbours": -1}))
    for title, change in changes.items():
        yield Case("indexes", title, INDEXED, ("kept.index",), change)
    while True:
        seed = rng.random()
        change = partial(edit, name="kept.index", change=lambda d, s=seed: flip(random.Random(s), d))
        yield Case("indexes", "a bit", INDEXED, ("kept.index",), change, sure=False, writes=("lists.csv",))


# --- specifications ---
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


# --- what recommend reads ---
def queries(rng: random.Random) -> Iterator[Case]:
    """Features and preferences of today's videos, lists of ids, filters, numbers."""
    base = ("recommend", "model.pth", "--k=3", *DATA[1:], *QUIET, "--out=lists.csv")
    videos = (*base, "--videos=videos.npy")
    for title, content in {**matrices(5, 6), "another width": npy((5, 7), "f4")}.items():
        change = partial(put, name="videos.npy", content=content)
        yield Case(
            "queries",
            f"videos: {title}",
            videos,
            ("videos.npy",),
            change,
            sure=title not in ("no rows", "too few rows"),
            writes=("lists.csv",),
        )
    for title, content in {**matrices(5, 3), "no probabilities": npy((5, 3), "f4", 0.9)}.items():
        change = partial(put, name="uploaders.npy", content=content)
        names = ("uploaders",)
        yield Case("queries", f"uploaders: {title}", (*videos, "--uploaders=uploaders.npy"), names, change)
    csv = partial(put, name="today.csv", content=b"a,b\n1,2\n")
    yield Case("queries", "videos.csv", (*base, "--videos=today.csv"), ("today.csv", "model.pth"), csv)
    for option in (
        "--videos=nowhere.npy",
        "--videos=data",
        "--k=0",
        "--k=x",
        "--k=99999",
        "--index=what",
        "--recall=2",
    ):
        name = option.partition("=")[0]
        command = (*(part for part in videos if not part.startswith(name)), option)
        yield Case("queries", option, command, (name, name[2:], "nowhere.npy", "data"))
    for option in ("--split=what", "--split=all", "--block=0", "--neighbours=1", "--what=1", "--out=lists.what"):
        yield Case("queries", option, (*videos, option), (option.partition("=")[0], "what"))
    for text in (
        "genre ==",
        "genre in",
        "genre = 'g0",
        "what = 1",
        "((genre = 'g0')",
        "genre < ",
        "and",
        "1",
        "genre = g0",
    ):
        yield Case("queries", f"filter {text}", (*videos, f"--filter={text}"), ("filter",))
    for title, content in {"no UTF-8": b"\xff\xfe\x00", "unknown": b"nothing\n", "NUL": b"m0\0\n"}.items():
        change = partial(put, name="ids.txt", content=content)
        yield Case(
            "queries",
            f"exclude {title}",
            (*videos, "--exclude=ids.txt"),
            ("ids.txt", "exclude"),
            change,
            sure=False,
            writes=("lists.csv",),
        )
    while True:
        seed = rng.random()
        change = partial(edit, name="videos.npy", change=lambda d, s=seed: flip(random.Random(s), d))
        yield Case("queries", "videos: a bit", videos, ("videos.npy",), change, sure=False, writes=("lists.csv",))


# --- names and places ---
BAD_NAMES = ("", ".", "..", "../x", "a/b", "/", "x" * 256, "x" * 5000, "-", "\u66f2" * 100, "a\nb", ".hidden", "\udcff")


def names(rng: random.Random) -> Iterator[Case]:
    """Names of data sets, models and outputs; places that are files, links to nowhere, or too long."""
    simulate = ("simulate", "--videos=40", "--music=12", "--pgc-videos=20", "--pgc-music=12", "--uploaders=5")
    for name in BAD_NAMES:
        sure = name not in ("-", "\udcff", "\u66f2" * 100, "a\nb", ".hidden")
        yield Case("names", f"dataset {name[:20]!r}", run(f"--dataset={name}"), ("dataset", "data"))
        yield Case("names", f"model {name[:20]!r}", run(f"--model={name}"), ("model",))
        command = (*simulate, "--out=made", f"--name={name}")
        yield Case("names", f"simulate {name[:20]!r}", command, ("--name", "made"), sure=sure, writes=("made",))
    broken = "precious.txt/below"
    long = "y" * 300
    raw = ("import-released", "--ugc=raw/data_matching", "--pgc=raw/data_pgc")
    places = {
        "result_file": run(f"--result_file={broken}"),
        "checkpoint_dir": run(f"--checkpoint_dir={broken}"),
        "teacher_dir": run(f"--teacher_dir={broken}", model="DecCM"),
        "simulate": (*simulate, f"--out={broken}", "--name=a"),
        "import-released": (*raw, f"--out={broken}", "--name=a"),
        "audit": ("audit", "model.pth", "--k=3", *DATA[1:], QUIET[1], f"--out={broken}"),
        "recommend": (*COMMANDS["recommend"], f"--out={broken}.csv"),
        "index": (*COMMANDS["recommend"], "--index=flat", f"--index-file={broken}"),
        "benchmark": ("benchmark", "spec.yaml", f"--out={broken}"),
        "tune": ("tune", "--model=CMVAE", *DATA, "--space=space.yaml", f"--out={broken}", "--trials=1"),
        "first-look": ("first-look", *DATA, f"--out={broken}.html"),
        "import-weights": ("import-weights", "model.pth", "--dataset=tiny", "--data_path=data", f"--out={broken}.pth"),
        "evaluate": (*COMMANDS["evaluate"], f"--result_file={broken}"),
        "benchmark-report": ("benchmark-report", broken),
        "verify-released": ("verify-released", broken),
    }
    late = ("saved", "lists.csv")
    for title, command in places.items():
        found = ("precious.txt", title, "--out", "dataset", "tiny", "model.pth")
        yield Case("names", f"{title} below a file", command, found, writes=late)
        over = tuple(part.replace(broken, long) for part in command)
        yield Case(
            "names",
            f"{title} with a long name",
            over,
            (long[:50], *found[1:]),
            writes=late,
        )
    for title, name in {"raw": "--ugc=nowhere", "pgc": "--pgc=precious.txt"}.items():
        command = (*(part for part in raw if not part.startswith(name[:5])), name, "--out=made", "--name=a")
        yield Case("names", f"import {title}", command, (name.partition("=")[2],))
    for option in (
        "--videos=0",
        "--music=-1",
        "--confounding=x",
        "--seed=1.5",
        "--what=1",
        "--videos=",
        "--genre-shares=1,x",
    ):
        yield Case("names", f"simulate {option}", (*simulate, "--out=made", "--name=a", option), (option[:6], "what"))
    while True:
        name = "".join(rng.choice("ab/.\\ \t\n\u66f2~$*?'\"\udcff") for _ in range(rng.randint(1, 12)))
        kind = rng.choice(("dataset", "model"))
        yield Case("names", f"{kind} {name!r}", run(f"--{kind}={name}"), (kind,), sure=False, writes=("saved",))


# --- full disks ---
def disks(rng: random.Random) -> Iterator[Case]:
    """Files beyond a limit of the process: the system's own error, as on a full disk."""
    raw = ("import-released", "--ugc=raw/data_matching", "--pgc=raw/data_pgc", "--out=made", "--name=a")
    simulate = ("simulate", "--videos=60", "--music=20", "--pgc-videos=40", "--pgc-music=20", "--out=made", "--name=a")
    commands = {
        "checkpoint": (run(), ("saved", "log")),
        "result_file": (run("--result_file=result.json", model="Pop"), ("result.json", "saved", "log")),
        "teacher": (run(model="DecCM"), ("saved", "log")),
        "simulate": (simulate, ("made",)),
        "import-released": (raw, ("made",)),
        "audit": (("audit", "model.pth", "--k=3", *DATA[1:], QUIET[1], "--out=audited"), ("audited", "log", "output")),
        "index": (INDEXED[:-1], ("kept.index", "output")),
        "recommend": (INDEXED, ("lists.csv", "kept.index")),
        "output": (COMMANDS["recommend"], ("output",)),
        "evaluate": (COMMANDS["evaluate"], ("output", "saved", "log")),
    }
    first = ("saved", "audited")  # of two files the first may be whole
    for title, (command, found) in commands.items():
        change = partial(remove, name="kept.index") if "--index=flat" in command else nothing
        if title not in ("output", "evaluate"):
            found_or_log = (*found, "log")
            yield Case("disks", f"{title}, read-only", command, found_or_log, change, read_only=True)
        for limit in (0, 60, 2_000):
            yield Case(
                "disks",
                f"{title}, {limit} bytes",
                command,
                found,
                change,
                sure=limit == 0,
                writes=first if limit else ("saved",),
                limit=limit,
            )
    while True:
        title, limit = rng.choice(list(commands)), int(10 ** rng.uniform(1, 5))
        command, found = commands[title]
        change = partial(remove, name="kept.index") if "--index=flat" in command else nothing
        writes = (*first, "made", "kept.index", "lists.csv", "result.json") if limit > 5_000 else first
        yield Case("disks", f"{title}, {limit} bytes", command, found, change, sure=False, writes=writes, limit=limit)


KINDS: dict[str, Callable[[random.Random], Iterator[Case]]] = {
    "keys": keys,
    "yaml": yamls,
    "atomic": atomic,
    "npy": npys,
    "checkpoints": checkpoints,
    "indexes": indexes,
    "specifications": specifications,
    "queries": queries,
    "names": names,
    "disks": disks,
}
