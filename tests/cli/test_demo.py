"""The whole way from bytes to recommendations, small; and that its figures are those of the results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recbole_decm.cli.demo import Demo
from recbole_decm.cli.main import main

pytest.importorskip("av", reason="PyAV is not installed: pip install -e '.[media]'")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install -e '.[export]'")


@pytest.mark.slow
def test_the_demo_goes_from_playable_files_to_recommendations(capsys):
    command = ["demo", "--videos=40", "--music=12", "--seed=5", "--workers=1", "--out=d", "--epochs=2"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert [line.split()[2] for line in err.splitlines() if line.startswith("$")] == [
        *("simulate", "extract", "run", "run", "recommend", "export"),
    ]
    demo = Demo(Path("d"), 40, 12, 5)
    assert f"Serve it: recbole-decm serve d/artefacts/{demo.name} --media d/files/{demo.name}" in err
    lists = [line for line in out.splitlines() if line.count(",") == 3 and line[:1] == "v" and line[1].isdigit()]
    assert len(lists) == 9
    result = json.loads(Path("d/results/demo-40-12-5-DecCMPlus.json").read_text())
    ceiling = json.loads((demo.files / "references.json").read_text())["ceiling"]["recall"]["do"]
    figures = demo.figures(result)
    assert figures["recall"] == result["test_do"]["recall@10"] == pytest.approx(figures["of_ceiling"] * ceiling)
    row = next(line for line in out.splitlines() if line.startswith("DecCMPlus"))
    assert f"{figures['recall']:.3f}" in row and f"{figures['share']:.0%}" in row
    assert f"{demo.true_share():.0%}" in out.splitlines()[-1] and out.splitlines()[-1].startswith("true choices")
    inter = (demo.data / f"{demo.name}.do.inter").read_text().split()[3::2]
    genres = dict(line.split("\t") for line in (demo.data / f"{demo.name}.item").read_text().splitlines()[1:])
    sizes = [list(genres.values()).count(name) for name in genres.values()]
    largest = min(name for name, size in zip(genres.values(), sizes, strict=True) if size == max(sizes))
    assert demo.true_share() == pytest.approx(sum(genres[track] == largest for track in inter) / len(inter))
    # What is done is not done again.
    assert main(command) == 0
    again = capsys.readouterr().err.splitlines()
    assert [line.split()[2] for line in again if line.startswith("$")] == ["run", "run", "recommend", "export"]
