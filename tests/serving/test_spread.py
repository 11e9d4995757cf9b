"""recommend on a cluster, and from Parquet tables: what one machine gives from matrices."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.running import make_config

from recbole_decm.cli.main import main
from recbole_decm.parallel.cluster import workers_here
from recbole_decm.training.run import fit

VIDEOS = np.random.default_rng(0).standard_normal((230, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def places(planted, tmp_path_factory):
    """A checkpoint, and an artefact of it."""
    place = tmp_path_factory.mktemp("made")
    config = make_config("CMVAE", planted, epochs=1, latent_dimension=8, checkpoint_dir=str(place))
    checkpoint = fit(config).trainer.saved_model_file
    assert main(["export", str(checkpoint), "--out", str(place / "artefact")]) == 0
    return {"checkpoint": checkpoint, "artefact": place / "artefact"}


def recommended(place, videos, out, *further):
    assert main(["recommend", str(place), f"--videos={videos}", f"--out={out}", "--k=3", *further]) == 0
    return pd.read_parquet(out) if out.endswith(".parquet") else pd.read_csv(out)


def test_a_cluster_gives_what_one_machine_gives(places, capsys):
    np.save("today.npy", VIDEOS)
    with workers_here(2) as address:
        for name, place in places.items():
            asked = ("--block=5", "--filter=genre != 'g0'", "--exclude=m1")
            here = recommended(place, "today.npy", f"{name}.csv", *asked)
            there = recommended(place, "today.npy", f"{name}-far.csv", *asked, f"--scheduler={address}")
            assert there["row"].tolist() == np.repeat(np.arange(230), 3).tolist()
            assert there.equals(here)
        code = main(["recommend", str(place), "--videos=today.npy", "--index=flat", f"--scheduler={address}"])
        assert code == 2 and "--scheduler: expected exact search on a cluster" in capsys.readouterr().err


def table(**columns):
    pq.write_table(pa.table(columns), "today.parquet", row_group_size=64)
    return "today.parquet"


def test_a_parquet_table_is_as_a_matrix(places):
    np.save("today.npy", VIDEOS)
    ids = [f"clip {row}" for row in range(230)]
    expected = recommended(places["artefact"], "today.npy", "a.parquet")
    columns = {"video_id": ids, "visual": list(VIDEOS), "title": ids, "tags": [["a", "b"]] * 230}
    found = recommended(places["artefact"], table(**columns), "b.parquet")
    assert found["video_id"].tolist() == np.repeat(ids, 3).tolist()
    assert found["music_id"].tolist() == expected["music_id"].tolist() and np.allclose(
        found["score"], expected["score"]
    )


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"video_id": ["a"]}, "expected rows with a column of lists of numbers"),
        ({"visual": [[1.0] * 12, [1.0] * 11]}, "expected lists of one length in 'visual', 12"),
        ({"visual": [["a"] * 12]}, "expected rows with a column of lists of numbers"),
        ({"visual": [[1.0] * 12, None]}, "expected finite numbers"),
        ({"../x": [[1.0] * 12]}, "expected names of fields"),
        ({"text": [[1.0] * 12]}, "visual.npy"),
    ],
)
def test_tables_that_cannot_be_read(places, columns, words, capsys):
    assert main(["recommend", str(places["artefact"]), f"--videos={table(**columns)}"]) == 2
    assert words in capsys.readouterr().err


def test_no_scheduler_is_one_line(places, capsys):
    np.save("today.npy", VIDEOS)
    asked = ["--videos=today.npy", "--out=x.csv", "--scheduler=nowhere"]
    assert main(["recommend", str(places["artefact"]), *asked]) == 2
    assert "expected a Dask scheduler there" in capsys.readouterr().err


def test_the_manifest_is_plain_json(places):
    assert json.loads((places["artefact"] / "manifest.json").read_text())["tracks"] == 40
