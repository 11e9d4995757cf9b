"""The table of results: ranks, spreads, marks, and labels that break no format."""

from __future__ import annotations

import re

import numpy as np
import pytest
from helpers.benchmark_folder import write_benchmark, write_cell

from recbole_decm.report.comparisons import compare_all
from recbole_decm.report.markup import escape_latex, escape_markdown, to_latex, to_markdown
from recbole_decm.report.results import load_results
from recbole_decm.report.tables import Column, build_table, parts_of, shown_metrics

NASTY = "A_b & 50% <script>|x|\n$#{}~^\\"


def table_of(folder, metrics=("ndcg@10",), tests=("test",), baseline=None):
    results = load_results(folder)
    return build_table(results, tests, metrics, compare_all(results, tests, metrics, baseline), baseline)


def place(folder, values):
    """A folder of one-seed cells with one value for every video."""
    for model, value in values.items():
        write_cell(
            folder,
            model,
            "sim",
            1,
            {"test": {"ndcg@10": np.full(4, value)}},
            more_metrics={"test": {"genrekl@10": value}},
        )
    return folder


def test_mean_deviation_ranks_and_marks(tmp_path):
    folder = write_benchmark(tmp_path, {"a": 0.05, "b": 0.0, "c": -0.05}, seeds=(1, 2, 3))
    means = [load_results(folder).cells.loc[f"a-sim-{seed}-0a1b2c3d", "test:ndcg@10"] for seed in (1, 2, 3)]
    table = table_of(folder, baseline="b")
    entries = [table.entries[model, Column("sim", "test", "ndcg@10")] for model in "abc"]
    assert [entry.rank for entry in entries] == [1, 2, 0] and [entry.mark for entry in entries] == ["†", "", "‡"]
    line = to_markdown(table, "T").splitlines()[4]
    assert line == f"| a | **{np.mean(means):.4f}** ± {np.std(means, ddof=1):.4f}† |"
    latex = to_latex(table, "T")
    assert rf"a & \textbf{{{np.mean(means):.4f}}} $\pm$ {np.std(means, ddof=1):.4f}$^{{\dagger}}$ \\" in latex
    assert "over 3 seeds" in table.note and "† better, ‡ worse than b" in table.note


def test_without_a_baseline_marks_are_against_the_best_of_the_column(tmp_path):
    table = table_of(write_benchmark(tmp_path, {"a": 0.05, "b": 0.0, "twin": 0.05}, seeds=(1, 2, 3)))
    marks = {model: entry.mark for (model, _), entry in table.entries.items()}
    assert marks == {"a": "", "b": "‡", "twin": ""} and "than the best of the column" in table.note


def test_ties_at_the_printed_digits_share_a_place_and_less_can_be_best(tmp_path):
    folder = place(tmp_path, {"a": 0.5, "b": 0.50001, "c": 0.4, "d": 0.3})
    table = table_of(folder, ("ndcg@10", "genrekl@10"))
    places = {(model, column.metric): entry.rank for (model, column), entry in table.entries.items()}
    assert [places[model, "ndcg@10"] for model in "abcd"] == [1, 1, 2, 0]
    assert [places[model, "genrekl@10"] for model in "abcd"] == [0, 0, 2, 1]
    assert "Smaller is better for GenreKL@10." in table.note and "One seed each" in table.note
    assert "± " not in to_markdown(table, "T").replace(table.note, "")


def test_a_single_model_is_no_winner(tmp_path):
    assert {entry.rank for entry in table_of(place(tmp_path, {"a": 0.5})).entries.values()} == {0}


def test_fewer_seeds_are_named(tmp_path):
    folder = write_benchmark(tmp_path, {"a": 0.0, "b": 0.0}, seeds=(1, 2, 3), videos=10)
    (folder / "cells" / "b-sim-3-0a1b2c3d" / "cell.json").unlink()
    assert "Fewer seeds: b on sim (2)." in table_of(folder).note


def test_wide_tables_come_in_pieces_that_keep_a_data_set_together(tmp_path):
    datasets = {name: {} for name in ("one", "two", "three")}
    table = table_of(
        write_benchmark(tmp_path, {"a": 0, "b": 0.1}, datasets=datasets, seeds=(1,), videos=5),
        ("ndcg@10", "recall@10", "majorityshare@10"),
    )
    assert [len(piece) for piece in parts_of(table)] == [6, 3] and [len(p) for p in parts_of(table, 2)] == [2, 1] * 3
    assert [column for piece in parts_of(table) for column in piece] == list(table.columns)
    latex = to_latex(table, "T")
    assert latex.count(r"\begin{tabular}{lrrrrrr}") == 1 and latex.count(r"\begin{tabular}{lrrr}") == 1
    assert r"\cmidrule(lr){2-4} \cmidrule(lr){5-7}" in latex and r"\label{tab:benchmark-2}" in latex


def test_metrics_shown_are_those_of_the_main_cut_off(tmp_path):
    folder = place(tmp_path, {"a": 0.5})
    write_cell(folder, "b", "sim", 1, {"test": {"ndcg@5": np.ones(4), "recall@10": np.ones(4), "ndcg@10": np.ones(4)}})
    assert shown_metrics(load_results(folder), "ndcg@10") == ["ndcg@10", "genrekl@10", "recall@10"]


def test_labels_break_neither_markdown_nor_latex(tmp_path):
    table = table_of(place(tmp_path, {NASTY: 0.5, "b": 0.4}))
    markdown = to_markdown(table, NASTY)
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3} and "<script" not in markdown.replace(r"\<", "")
    latex = to_latex(table, NASTY)
    body = re.sub(r"\\[a-zA-Z]+|\\[\\&%$#_{}]", "", latex.partition("\n")[2])  # commands and escaped signs
    assert not re.search(r"[%#_~]", body) and body.count("{") == body.count("}") and body.count("$") % 2 == 0
    assert {line.count("&") for line in body.splitlines() if "0.5000" in line} == {1}


def test_escapes_by_hand():
    assert escape_latex("a_b 5% \\ ~") == r"a\_b 5\% \textbackslash{} \textasciitilde{}"
    assert escape_markdown("a|b <i> *x*\ny") == r"a\|b \<i\> \*x\* y"


@pytest.mark.parametrize("render", [to_markdown, to_latex])
def test_nothing_finished(tmp_path, render):
    write_cell(tmp_path, "a", "sim", 1, {}, status="failed", error="x", metrics={})
    results = load_results(tmp_path)
    table = build_table(results, [], ["ndcg@10"], compare_all(results, [], ["ndcg@10"], None), None)
    assert "No cell has finished." in render(table, "T")
