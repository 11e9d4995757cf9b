"""The same data with other separators, encoding and names of several words: the same numbers from every reader."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.running import make_config

from recbole_decm.audit.run import audit
from recbole_decm.data.catalogue import read_catalogue
from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.experiments.per_video import read_genres
from recbole_decm.training.run import run_config

RUN = {
    "metrics": ["NDCG", "GenreKL", "MajorityShare"],
    "topk": [10],
    "epochs": 2,
    "eval_args": {"mode": "fixed"},
    "extra_tests": ["again"],
    "teacher": "none",
    "backdoor": "conditional",
    "confounder_fusion": "genre",
}


def add_candidates(folder: Path) -> None:
    """Fixed candidates, and a further test set that repeats the test."""
    shutil.copy(folder / "planted.test.inter", folder / "planted.again.inter")
    rng = np.random.default_rng(0)
    for split in ("valid", "test"):
        lines = ["video_id:token\tmusic_id:token_seq"]
        for video, music in pd.read_csv(folder / f"planted.{split}.inter", sep="\t", dtype=str).to_numpy():
            others = [f"m{i}" for i in rng.permutation(12) if f"m{i}" != music]
            lines.append(f"{video}\t{' '.join(others[:10])}")
        (folder / f"planted.{split}.candidates").write_text("\n".join(lines) + "\n")
    shutil.copy(folder / "planted.test.candidates", folder / "planted.again.candidates")


def write_otherwise(folder: Path, genre_kind: str) -> None:
    """Rewrite a data set in the other format, with blanks in the names of tracks and genres."""
    words = {"music_id": "my ", "genre": "hüp "}
    for path in [path for path in folder.iterdir() if path.suffix != ".yaml"]:
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
        for head in frame:
            word = words.get(head.partition(":")[0], "")
            frame[head] = ["|".join(word + part for part in cell.split()) for cell in frame[head]]
        frame = frame.rename(columns={"genre:token_seq": f"genre:{genre_kind}"})
        frame.to_csv(path, sep=";", index=False, encoding="utf-16")
    with (folder / "planted.yaml").open("a") as file:
        file.write("field_separator: ';'\nseq_separator: '|'\nencoding: utf-16\n")


def numbers(folder: Path) -> dict:
    """What every reader of the tables makes of them."""
    config = make_config("DecCM", folder, **RUN, result_file="result.json")
    run, _ = run_config(config)
    result = json.loads(Path("result.json").read_text())
    audited = audit(Path(run.trainer.saved_model_file), k=10)
    catalogue, dataset = read_catalogue(config, with_genres=True), DecCMDataset(config)
    names, membership = read_genres(dataset)
    return {
        "names": names,
        "vocabulary": dataset.genre_vocabulary,
        "genres": [dataset.genre_membership.tolist(), catalogue.genres.tolist(), membership.tolist()],
        "acoustic": catalogue.acoustic.values.tolist(),
        "metrics": [result[key] for key in ("valid", "test", "test_again")],
        "audit": [audited["priors"], audited["genres"]],
    }


@pytest.mark.parametrize("genre_kind", ["token_seq", "token"])
def test_all_readers_follow_the_format_of_the_data_set(own_planted, tmp_path, genre_kind):
    add_candidates(own_planted / "planted")
    shutil.copytree(own_planted / "planted", tmp_path / "other" / "planted")
    write_otherwise(tmp_path / "other" / "planted", genre_kind)
    plain, other = numbers(own_planted), numbers(tmp_path / "other")
    assert other["names"] == other["vocabulary"] == ["hüp g0", "hüp g1", "hüp g2"]
    assert json.dumps(other, ensure_ascii=False).replace("hüp ", "") == json.dumps(plain)
    assert plain["metrics"][1] == plain["metrics"][2] and plain["metrics"][1]["genrekl@10"] > 0
