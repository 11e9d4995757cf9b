"""Names of data sets, models and outputs, and places."""

from __future__ import annotations

import random
from collections.abc import Iterator

from faults.harness import Case
from faults.kinds.checkpoints import COMMANDS
from faults.kinds.world import DATA, QUIET, run

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
