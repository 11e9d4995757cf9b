"""Specifications: what is read, and that every mistake is named before anything is trained."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import yaml

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.values import read_yaml
from recbole_decm.errors import ConfigError
from recbole_decm.experiments.cells import cells_of, check, values_of
from recbole_decm.experiments.data import make, missing, needed_bytes
from recbole_decm.experiments.spec import read_specification
from recbole_decm.io.shipped import shipped
from recbole_decm.simulation.files import read_simulation_record

SHIPPED = sorted((shipped("properties") / "benchmark").glob("*.yaml"))
GOOD = {"models": ["CMVAE", "Pop"], "datasets": ["sim"], "seeds": [1, 2], "config": {"topk": [10]}}


def read(values: dict, **folders: str):
    Path("s.yaml").write_text(yaml.safe_dump(values))
    return read_specification("s.yaml", folders)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": []}, "models: expected a list with at least one entry"),
        ({"datasets": []}, "datasets: expected a list with at least one entry"),
        ({"seeds": []}, "seeds: expected at least 1 entry"),
        ({"seeds": [1, 1.5]}, "seeds, entry 2: expected a whole number, found 1.5"),
        ({"seeds": [1, "two"]}, "found 'two'"),
        ({"seeds": [True]}, "found True"),
        ({"seeds": [1, 1]}, "each seed once"),
        ({"models": ["Pop", "Pop"]}, "expected each label once, found 'Pop' again"),
        ({"models": ["a b", "a_b"]}, "expected labels that differ as file names"),
        ({"modles": ["Pop"]}, "Did you mean 'models'"),
        ({"models": [{"x": {"model": "Pop", "confg": {}}}]}, "Did you mean 'config'"),
        ({"models": [{"x": {"model": "Pop", "config": {"seed": 3}}}]}, "'seed' is set by the benchmark"),
        ({"models": [{"x": {"model": "Pop", "config_files": ["none.yaml"]}}]}, "found no 'none.yaml'"),
        ({"datasets": [{"x": {"simulate": {"confoundng": 1}}}]}, "Did you mean 'confounding'"),
        (
            {"datasets": [{"x": {"simulate": {"confounding": -1}}}]},
            "simulate: --confounding: expected a number of at",
        ),
        ({"datasets": [{"x": {"simulate": {"videos": 10.5}}}]}, "expected a whole number, found 10.5"),
        ({"datasets": [{"x": {"simulate": {}, "dataset": "sim"}}]}, "one of dataset, simulate and import_released"),
        ({"datasets": [{"x": {"dataset": "sim", "per_seed": True}}]}, "it beside simulate alone"),
        ({"datasets": [{"x": {"dataset": "sim", "data_path": "${NOWHERE}"}}]}, r"Give --data NOWHERE=DIR"),
        ({"datasets": [{"x": {"import_released": {"ugc": "no/where"}}}]}, "ugc: expected a folder"),
        ({"baseline": "CMVEA"}, "Did you mean 'CMVAE'"),
        (
            {"search": {"trials": 0, "space": {"Pop": {"x": {"choice": [1]}}}}},
            "trials: expected a number of at least 1",
        ),
        ({"search": {"space": {"BPR": {"x": {"choice": [1]}}}}}, "expected a label or class of models, found 'BPR'"),
        ({"search": {"space": {"CMVAE": {"seed": {"choice": [1]}}}}}, "'seed' is set by the benchmark"),
        ({"search": {"space": {}}}, "space: expected at least 1 entry"),
        ({"keep_checkpoints": "yes please"}, "expected True or False"),
        # what only RecBole and the models know
        ({"models": ["CMVEA"]}, "Did you mean 'CMVAE'"),
        ({"datasets": ["simm"]}, "Did you mean 'sim'"),
        ({"metrics": ["Recal", "NDCG"]}, "Did you mean 'recall'"),
        ({"config": {"epohcs": 3, "topk": [10]}}, "expected a key that a model reads, found 'epohcs'.*'epochs'"),
        ({"datasets": [{"sim": {"dataset": "sim", "config": {"marginn": 1}}}]}, "datasets, sim, config: .* 'marginn'"),
        ({"models": [{"x": {"model": "Pop", "config": {"margin": 0.1}}}]}, "x on sim: .*found 'margin'"),
        ({"main_metric": "ndcg@7"}, "expected main_metric among those of metrics and topk, found 'ndcg@7'"),
        ({"main_test": "test_undo"}, "expected main_test test or test_do, found 'test_undo'"),
        ({"eval_mode": "half"}, "expected full, fixed, uniN or popN"),
        ({"search": {"space": {"CMVAE": {"margni": {"choice": [1]}}}}}, "Did you mean 'margin'"),
        ({"datasets": ["sim-pgc"], "config": {"topk": [10, 25]}}, "train, valid and test"),
    ],
)
def test_a_mistake_is_named_before_anything_is_done(change, message):
    with pytest.raises(ConfigError, match=message):
        check(read({**GOOD, **change}))
    assert [path.name for path in Path().iterdir()] == ["s.yaml"]


def test_a_good_one_passes_and_folders_are_filled_in(tmp_path, planted, monkeypatch):
    data = [{"mine": {"dataset": "planted", "data_path": "${PLANTED}"}}]
    found = read({**GOOD, "datasets": data}, PLANTED=str(planted))
    check(found)
    assert found.datasets["mine"].data_path == planted and found.plain["datasets"] == data
    monkeypatch.setenv("PLANTED", str(planted))
    assert read({**GOOD, "datasets": data}).datasets == found.datasets


def test_values_reach_the_models_that_know_them_and_the_nearer_ones_win():
    Path("near.yaml").write_text("margin: 0.3\nlearning_rate: 0.5\n")
    models = ["Pop", {"near": {"model": "CMVAE", "config_files": ["near.yaml"], "config": {"learning_rate": 0.25}}}]
    more = {"config": {"margin": 0.1, "topk": [10], "eval_args": {"order": "TO"}}, "eval_mode": "uni20"}
    found = read({**GOOD, "models": models, "metrics": ["Recall", "NDCG"], **more})
    check(found)
    pop, near = (
        values_of(found, model, found.datasets["sim"], DecCMConfig(model.model, "sim").known_keys)
        for model in found.models.values()
    )
    same = {"topk": [10], "eval_args": {"order": "TO", "mode": "uni20"}, "metrics": ["Recall", "NDCG"]}
    assert pop == same and near == {**same, "margin": 0.3, "learning_rate": 0.25}


def test_each_seed_of_a_simulation_of_its_own():
    data = [{"one": {"simulate": {"videos": 50}}}, {"each": {"simulate": {"videos": 50}, "per_seed": True}}]
    found = read({**GOOD, "models": ["Pop"], "datasets": data})
    cells = cells_of(found, Path("out"))
    assert [cell.dataset for cell in cells] == ["one", "one", "each-1", "each-2"]
    assert [entry.simulation(7).seed for entry in found.datasets.values()] == [2020, 7]
    assert found.datasets["one"].simulation(7).uploaders == 10  # follows the videos, as the command's default does
    assert len({cell.key for cell in cells}) == 4


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_specifications_pass_every_check(path, tmp_path):
    for part in ("data_matching", "data_pgc"):
        (tmp_path / part).mkdir()
    (tmp_path / "data_matching" / "clips.csv").write_text("video,artist\n")
    places = {"MUVI0": str(tmp_path), "MUVI1": str(tmp_path), "UPLOADS": str(uploads(tmp_path))}
    found = read_specification(f"benchmark/{path.name}", places)
    check(found)
    assert len(found.seeds) * len(found.foldings) == {"quick": 2, "clips-folds": 10}.get(path.stem, 5)
    for data, model in product(found.datasets.values(), found.models.values()):
        if model.model == "DecCMPlus":  # no run of ours leaves its protocol to the data unless it says so
            wanted = "auto" if "auto" in model.label else "default"
            assert values_of(found, model, data, {"protocol"})["protocol"] == wanted


def test_the_named_ones_are_there():
    assert [path.stem for path in SHIPPED] == [
        "ablation-deccm",
        "ablation",
        "backdoor",
        "clips-folds",
        "clips-rivals",
        "confounding",
        "leave-one-out",
        "muvi",
        "quick",
        "rivals",
        "sim",
        "style",
        "uploads",
    ]


def uploads(folder: Path, step: int = 1) -> Path:
    """A table of 40 uploads, in their order or the reverse one."""
    rows = [f"u{i % 9},m{i % 4},{'pop' if i % 4 < 2 else 'rock'}" for i in range(40)]
    (folder / "uploads.csv").write_text("\n".join(["uploader_id,music_id,genre", *rows[::step]]) + "\n")
    return folder / "uploads.csv"


@pytest.mark.parametrize(
    ("name", "model", "prefix"), [("ablation", "DecCMPlus", "plus-"), ("ablation-deccm", "DecCM", "deccm-")]
)
def test_an_ablation_holds_every_change_of_its_model_and_nothing_else(name, model, prefix):
    found = read_specification(f"benchmark/{name}.yaml")
    files = sorted((shipped("properties") / "ablation").glob(f"{prefix}*.yaml"))
    first, *others = found.models.values()
    assert first.label == found.baseline == model and not first.config_files
    assert [entry.config_files for entry in others] == [(path.resolve(),) for path in files]
    labels = [path.stem.removeprefix(prefix).replace("-", " ") for path in files]
    assert [entry.label for entry in others] == labels
    assert {entry.model for entry in others} == {model} and not any(entry.config for entry in found.models.values())


def test_the_confounding_strengths_are_those_of_the_labels():
    found = read_specification("benchmark/confounding.yaml")
    strengths = [0.0, 1.0, 2.0]
    sizes = {"videos": 8000, "music": 600}
    assert [data.simulate for data in found.datasets.values()] == [
        {"confounding": strength, **sizes} for strength in strengths
    ]
    assert [data.label for data in found.datasets.values()] == [f"confounding {strength:g}" for strength in strengths]
    assert all(data.per_seed for data in found.datasets.values())


def test_real_uploads_have_the_models_and_strengths_of_simulations(tmp_path):
    own, real = (
        read_specification(f"benchmark/{name}.yaml", {"UPLOADS": str(uploads(tmp_path))})
        for name in ("confounding", "uploads")
    )
    strengths = [
        [(data.label, data.simulate["confounding"], data.per_seed) for data in found.datasets.values()]
        for found in (own, real)
    ]
    assert strengths[0] == strengths[1] and all(data.uploads for data in real.datasets.values())
    assert (own.models, own.config, own.seeds, own.main_test) == (real.models, real.config, real.seeds, real.main_test)


def test_sim_searches_every_model_that_learns_with_the_same_budget():
    found = read_specification("benchmark/sim.yaml")
    assert found.search.trials == 5
    assert [m.label for m in found.models.values() if found.search.space_of(m) is None] == ["Pop", "Random"]


def test_quick_is_the_shipped_data_and_few_epochs():
    values = read_yaml(shipped("properties") / "benchmark" / "quick.yaml")
    assert values["datasets"] == ["sim"] and values["models"] == ["DecCMPlus", "CMVAE", "Pop"]
    assert values["config"]["epochs"] == values["config"]["teacher_config"]["epochs"] <= 10


def test_a_simulation_around_real_uploads(tmp_path):
    folder, out = {"REAL": str(uploads(tmp_path))}, tmp_path / "out"
    data = [
        {f"c {c}": {"simulate": {"confounding": c, "visual_dim": 4, "acoustic_dim": 4}, "uploads": "${REAL}"}}
        for c in (0.0, 1.5)
    ]
    Path("s.yaml").write_text(yaml.safe_dump({**GOOD, "models": ["Pop"], "datasets": data}))
    found = read_specification("s.yaml", folder)
    check(found)
    waiting = missing(found, out)
    assert [entry.label for entry, _ in waiting] == ["c 0.0", "c 1.5"] and needed_bytes(found, out) < 10_000
    for entry, seed in waiting:
        make(entry, seed, out)
    assert missing(found, out) == []
    records = [read_simulation_record(out / "data" / name / f"{name}.yaml") for name in ("c_0.0", "c_1.5")]
    assert [(record["confounding"], record["videos"]) for record in records] == [(0.0, 40), (1.5, 40)]
    uploads(tmp_path, step=-1)
    assert len(missing(found, out)) == 2  # another table
    for entry in data:
        next(iter(entry.values()))["genre_separator"] = "o"  # pop is p, and rock r and ck
    Path("s.yaml").write_text(yaml.safe_dump({**GOOD, "models": ["Pop"], "datasets": data}))
    found = read_specification("s.yaml", folder)
    make(*missing(found, out)[0], out)
    assert len(missing(found, out)) == 1
    items = pd.read_csv(out / "data" / "c_0.0" / "c_0.0.item", sep="\t")
    assert set(items["genre:token_seq"]) == {"p", "ck r"}
    Path("s.yaml").write_text(
        yaml.safe_dump({**GOOD, "datasets": [{"x": {"simulate": {"videos": 50}, "genre_separator": "|"}}]})
    )
    with pytest.raises(ConfigError, match="genre_separator: expected it beside uploads alone"):
        read_specification("s.yaml", folder)
    for wrong in ({"dataset": "sim"}, {"simulate": {"videos": 50}}):
        Path("s.yaml").write_text(yaml.safe_dump({**GOOD, "datasets": [{"x": {**wrong, "uploads": "${REAL}"}}]}))
        with pytest.raises(ConfigError, match=r"uploads: expected it beside simulate|--videos: expected none beside"):
            read_specification("s.yaml", folder)
