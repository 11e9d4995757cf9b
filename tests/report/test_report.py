"""The four files of a report: written whole, from whole, interrupted and failed benchmarks; the figures' arithmetic."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.benchmark_folder import write_benchmark, write_cell

from recbole_decm.cli.main import main
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.report import figures, list_figures, report
from recbole_decm.report.estimates import estimates_of
from recbole_decm.report.list_figures import pareto_front
from recbole_decm.report.options import ReportOptions
from recbole_decm.report.report import write_report
from recbole_decm.report.results import load_results

FILES = ["report.html", "significance.csv", "table.md", "table.tex"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A benchmark of three strengths of confounding; read only."""
    datasets = {f"c{c}": {"confounding": float(c), "style": 0.0} for c in (0, 1, 2)}
    folder = tmp_path_factory.mktemp("benchmark")
    effects = {"Plus": 0.05, "Base": 0.0, "Pop": -0.1}
    world = {"datasets": datasets, "seeds": (1, 2, 3, 4), "videos": 40, "tests": ("test", "test_do"), "noise": 0.05}
    return write_benchmark(folder, effects, **world)


@pytest.fixture
def folder(tmp_path):
    """A small benchmark that a test may change."""
    return write_benchmark(tmp_path / "out", {"Plus": 0.05, "Base": 0.0, "Pop": -0.1}, seeds=(1, 2, 3), videos=10)


def embedded(page, name):
    """The JSON that a page holds for its script."""
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)[1])


def test_the_four_files_agree_with_the_planted_effects(shared, tmp_path):
    folder = shutil.copytree(shared, tmp_path / "out")
    before = {path for path in folder.rglob("*") if path.is_file()}
    write_report(folder, ReportOptions(baseline="Base", title="Planted"))
    assert sorted(path.name for path in folder.rglob("*") if path.is_file() and path not in before) == FILES
    found = pd.read_csv(folder / "significance.csv")
    against = found[(found["scheme"] == "baseline") & (found["metric"] == "ndcg@10") & (found["test"] == "test_do")]
    assert against.set_index(["dataset", "model"])["verdict"].loc["c1"].to_dict() == {"Plus": "holds", "Pop": "holds"}
    assert (folder / "table.md").read_text().startswith("# Planted\n\n| model | c0 NDCG@10")
    page = (folder / "report.html").read_text()
    assert "Plus is above Base on c1 (do) by 0.0" in page and "Base is above Pop on c2 by 0.1" in page
    assert "12 of 12: hold over the test videos and over seeds" in page
    assert "4 seeds" in (folder / "table.tex").read_text()


def test_the_page_asks_for_nothing_outside_itself_and_labels_stay_labels(tmp_path):
    label = '</script><img src=x onerror="hacked=1">{{ 7*7 }}'
    write_benchmark(tmp_path, {label: 0.1, "b": 0.0}, datasets={"<b>d</b>": {"confounding": 1.0}}, seeds=(1,), videos=9)
    write_cell(tmp_path, "c", "<b>d</b>", 1, {}, status="failed", error=label, metrics={})
    write_report(tmp_path, ReportOptions(title=label))
    page = (tmp_path / "report.html").read_text()
    assert page.count("</script>") == 4 and "<img" not in page.partition("<script")[0] and "<b>d" not in page
    assert "{{ 7*7 }}" in page and embedded(page, "curves")[0]["model"] == label
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.S)  # without plotly, which names addresses it never calls
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", own) and "@import" not in own and "url(" not in own


def test_numbers_in_the_figures_are_those_of_the_cells(shared):
    results = load_results(shared)
    figure = figures.bars(results, "test_do", "ndcg@10")[1]
    bar, dots = figure.figure.data
    done = results.done[results.done["dataset"] == "c1"]
    means = done.groupby("model")["test_do:ndcg@10"].mean()
    assert list(bar.y) == ["Pop", "Base", "Plus"] and figure.title == "c1 (do)"
    assert list(bar.x) == pytest.approx(means[list(bar.y)].tolist(), abs=1e-6) and len(dots.x) == 12
    assert min(bar.error_x.array) > 0.01 and "bootstrap over the test videos" in figure.caption
    lines = figures.strengths(results, ["test"], ["majorityshare@10"])
    assert [figure.title for figure in lines] == ["MajorityShare@10 against confounding, test split"]
    base = next(trace for trace in lines[0].figure.data if trace.name == "Base")
    assert list(base.x) == [0, 1, 2] and list(base.y) == pytest.approx([0.4, 0.45, 0.5])
    seconds = figures.costs(results)[0].figure.data
    assert {trace.name: trace.x[0] for trace in seconds} == pytest.approx(
        {"load": 0.5, "teacher": 2, "train": 12.5, "test": 0.3, "memory": 812.5}
    )


def test_genre_shares_are_measured_against_the_truth_or_the_catalogue(shared, tmp_path):
    figure = list_figures.genre_figures(load_results(shared))[0]
    assert figure.figure.data[0].y[-3:] == ("— catalogue", "— training pairs", "— truth (do test)")
    gaps = {note.y: note.text for note in figure.figure.layout.annotations}
    # Base lists 0.4 / 0.3 / 0.2 / 0.1, the truth is 0.38 / 0.32 / 0.2 / 0.1: two in a hundred would have to change.
    assert (
        gaps["Base"] == "0.020" and gaps["— truth (do test)"] == "0.000" and "distance to the truth" in figure.caption
    )
    figure = list_figures.genre_figures(load_results(write_benchmark(tmp_path, {"a": 0.1}, seeds=(1,), videos=5)))[0]
    assert {note.y: note.text for note in figure.figure.layout.annotations}["a"] == "0.020"
    assert "distance to the catalogue" in figure.caption


def test_estimates_are_told_from_observed_and_true_metrics(tmp_path):
    write_benchmark(tmp_path, {"a": 0.1, "b": 0.0}, seeds=(1, 2), videos=20, tests=("test", "test_do"))
    for path in tmp_path.glob("cells/*/cell.json"):
        cell = json.loads(path.read_text())
        if cell["model"] == "a":
            value = 0.2 + 0.02 * cell["seed"]
            cell["metrics"]["test"]["dondcg@10"] = value
            cell["intervals"] = {"dondcg@10": [value - 0.1, value + 0.1]}
            cell["effective_sample_size"] = 40.0 + cell["seed"]
            cell["chosen_majority_share"] = {"observed": 0.5, "estimated": 0.3, "interval": [0.2, 0.4]}
        else:
            cell["not_estimated"] = "too few <rows>"
        path.write_text(json.dumps(cell))
    results = load_results(tmp_path)
    (found,) = estimates_of(results, "ndcg@10")
    (row,) = found["rows"]
    done = results.done[results.done["model"] == "a"]
    assert [row[key] for key in ("estimated", "low", "high")] == pytest.approx([0.23, 0.13, 0.33])
    assert row["observed"] == done["test:ndcg@10"].mean() and row["true"] == done["test_do:ndcg@10"].mean()
    assert (found["effective_sample_size"], found["share_observed"], found["share_estimated"]) == (41.5, 0.5, 0.3)
    assert found["reasons"] == [("too few <rows>", ["b"])]
    write_report(tmp_path, ReportOptions())
    page = (tmp_path / "report.html").read_text()
    assert "Not estimated for b: too few &lt;rows&gt;" in page and "0.1300 to 0.3300" in page
    note = "Estimated without the uploaders' habits from observed choices: DoNDCG@10."
    assert note in (tmp_path / "table.md").read_text() and "<small>estimated</small>" in page


def test_factors_are_varied_one_at_a_time():
    rows = [(c, 0.0) for c in (0.0, 1.0, 2.0)] + [(1.0, s) for s in (0.5, 1.0)] + [(None, None)]
    cells = pd.DataFrame(rows, columns=["factor:confounding", "factor:style"])
    cells["factor:seed"], cells["factor:videos"], cells["factor:skew"] = range(6), 100.0, "(2.0, 1.0)"
    found = [(name, held, len(part)) for name, held, part in figures.factor_slices(cells)]
    assert found == [("confounding", {"style": 0.0}, 3), ("style", {"confounding": 1.0}, 3)]


def test_the_pareto_front_by_hand_and_by_a_loop():
    assert pareto_front([1, 2, 3, 2, 1], [5, 4, 6, 5.5, 5]) == [0, 4, 3, 2]
    generator = np.random.default_rng(0)
    cost, gain = generator.integers(0, 9, (2, 40)).tolist()

    def beaten(i):
        others = [
            (c <= cost[i] and g >= gain[i]) and (c < cost[i] or g > gain[i]) for c, g in zip(cost, gain, strict=True)
        ]
        return any(others)

    assert sorted(pareto_front(cost, gain)) == [i for i in range(40) if not beaten(i)]


def test_cold_and_warm_tracks_are_told_apart_where_cells_have_both(tmp_path):
    shares = {"a": (0.25, 0.5), "b": (0.375, 0.125)}
    for model, (cold, warm) in shares.items():
        kinds = {"cold": {"pairs": 5, "ndcg@10": cold, "hit@10": 1.0}, "warm": {"pairs": 45, "ndcg@10": warm}}
        write_cell(tmp_path, model, "sim", 1, {"test": {"ndcg@10": np.full(50, 0.5)}}, cold_warm={"test": kinds})
        write_cell(tmp_path, model, "whole", 1, {"test": {"ndcg@10": np.full(50, 0.5)}})
    write_report(tmp_path, ReportOptions(metric="ndcg@10"))
    markdown, page = (tmp_path / "table.md").read_text(), (tmp_path / "report.html").read_text()
    assert "| model | sim NDCG@10 | sim (cold) NDCG@10 | sim (warm) NDCG@10 | whole NDCG@10 |" in markdown
    assert "| a | 0.5000 | <u>0.2500</u> | **0.5000** | 0.5000 |" in markdown
    assert "Cold: pairs whose track has no training pair" in markdown
    assert "sim (cold)" in page and "0.3750" in page and "sim (warm)" in page
    assert r"\multicolumn{1}{c}{sim (cold)}" in (tmp_path / "table.tex").read_text()
    row = load_results(tmp_path).cells.loc["a-sim-1-0a1b2c3d"]
    assert (row["cold:test:pairs"], row["warm:test:pairs"], row["cold:test:ndcg@10"]) == (5, 45, 0.25)


def test_curves_keep_gaps_and_the_epochs_of_their_validations(folder):
    path = folder / "cells" / "Plus-sim-1-0a1b2c3d" / "curves.json"
    path.write_text('{"losses": {"kl": [1.0, NaN, 0.25, 0.2]}, "valid": {"ndcg@10": [0.1, 0.123456789]}}')
    write_report(folder, ReportOptions())
    first = embedded((folder / "report.html").read_text(), "curves")[0]
    assert (first["model"], first["dataset"], first["step"]) == ("Plus", "sim", 2)
    assert first["losses"] == {"kl": [1.0, None, 0.25, 0.2]} and first["valid"] == {"NDCG@10": [0.1, 0.12346]}


def test_an_interrupted_benchmark(folder):
    shutil.rmtree(folder / "cells" / "Pop-sim-3-0a1b2c3d")
    (folder / "cells" / "Base-sim-3-0a1b2c3d" / "cell.json").unlink()
    (folder / "cells" / "Base-sim-2-0a1b2c3d" / "videos.npz").write_bytes(b"PK")
    write_report(folder, ReportOptions(baseline="Base"))
    page = (folder / "report.html").read_text()
    assert "Pop on sim, seed 3" in page and "Begun and not finished: Base-sim-3-0a1b2c3d." in page
    assert "Fewer seeds: Base on sim (2), Pop on sim (2)." in page
    assert "no values by video" in page  # of the seed whose arrays are broken: then seeds alone are tested


def test_what_a_reader_should_doubt_is_said(folder):
    for name, change in (
        ("Plus-sim-1", {"code_hash": "0ther", "factors": {"shares": [0.4, 0.6], "skew": 2}}),
        ("Base-sim-1", {"data_hash": "changed"}),
    ):
        path = folder / "cells" / f"{name}-0a1b2c3d" / "cell.json"
        cell = json.loads(path.read_text())
        cell["metrics"]["test"]["ndcg@10"] += 0.01
        path.write_text(json.dumps(cell | change))
    write_report(folder, ReportOptions(baseline="Base"))
    page = (folder / "report.html").read_text()
    assert "0ther, c0de</code>; cells of several versions of the code are mixed here" in page
    assert "In 2 cells the values by video do not average to the cell's own metrics" in page
    assert "shares [0.4, 0.6]; skew 2" in page
    assert "1 seed left out: the data differ" in page and "changed, sim</code>, paired within each" in page


def test_only_failures(tmp_path):
    write_cell(tmp_path, "a", "sim", 1, {}, status="failed", error="RuntimeError: it broke", metrics={})
    write_report(tmp_path, ReportOptions(metric="recall@20"))
    page = (tmp_path / "report.html").read_text()
    assert "RuntimeError: it broke" in page and page.count("Left out:") == 5
    assert "No cell has finished, so there is nothing to compare." in page
    assert embedded(page, "figures") == {} and "No cell has finished." in (tmp_path / "table.md").read_text()


def test_a_baseline_that_has_not_run(folder):
    write_report(folder, ReportOptions(baseline="Later"))
    assert "No other model shares a finished seed with Later" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ReportOptions(metric="ndcg@50"),
            r"metric: expected one of ndcg@10, .*found 'ndcg@50'. Did you mean 'ndcg@10'",
        ),
        (ReportOptions(test="test_do"), r"test: expected one of test in .*, found 'test_do'. Did you mean 'test'"),
    ],
)
def test_what_the_cells_do_not_have(folder, options, message):
    with pytest.raises(ConfigError, match=message):
        write_report(folder, options)
    assert not set(FILES) & {path.name for path in folder.iterdir()}


def test_a_failure_leaves_an_earlier_report_as_it_was(folder, monkeypatch):
    write_report(folder, ReportOptions())
    before = {name: (folder / name).read_bytes() for name in FILES}

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(report, "render_page", broken)
    with pytest.raises(OSError, match="disk full"):
        write_report(folder, ReportOptions(baseline="Base"))
    assert {name: (folder / name).read_bytes() for name in FILES} == before


def test_the_same_folder_gives_the_same_report(folder):
    texts = []
    for _ in range(2):
        write_report(folder, ReportOptions())
        texts.append({name: (folder / name).read_text() for name in FILES})
    assert texts[0] == texts[1]


def test_the_command(folder, capsys, tmp_path):
    arguments = ["benchmark-report", str(folder), "--metric=Recall@10", "--title=Again"]
    assert main([*arguments, "--baseline=Base"]) == 0
    assert (folder / "table.md").read_text().startswith("# Again\n\n| model | sim Recall@10")
    assert all(f"Wrote {folder / name}" in capsys.readouterr().out for name in FILES[:1])
    assert main([*arguments, "--baseline=Bas"]) == 2
    assert "baseline: expected one of Plus, Base, Pop, found 'Bas'. Did you mean 'Base'?" in capsys.readouterr().err
    assert main(["benchmark-report", str(tmp_path / "nowhere")]) == 2
    assert "expected the output of recbole-decm benchmark" in capsys.readouterr().err


def test_the_command_asks_the_folders_specification(folder):
    said = {"title": "Said", "main_metric": "recall@10", "main_test": "test", "baseline": "Base", "models": ["Base"]}
    (folder / "specification.yaml").write_text(yaml.safe_dump(said))
    assert main(["benchmark-report", str(folder)]) == 0
    text = (folder / "table.md").read_text()
    assert text.startswith("# Said\n\n| model | sim Recall@10") and "than Base at 0.05" in text
    assert main(["benchmark-report", str(folder), "--title=Other"]) == 0
    assert (folder / "table.md").read_text() == text.replace("Said", "Other", 1)


def test_no_cells(tmp_path):
    with pytest.raises(DataError, match="found none"):
        write_report(tmp_path, ReportOptions())
