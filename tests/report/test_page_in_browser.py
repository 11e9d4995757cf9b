"""The report in a real browser: no errors, no requests, every plot drawn, tables that sort, curves that follow."""

from __future__ import annotations

import pytest
from helpers.benchmark_folder import write_benchmark, write_cell
from helpers.browser import chromium, probe

from recbole_decm.report.options import ReportOptions
from recbole_decm.report.report import write_report

LABEL = "<img src=x onerror='window.hacked=1'> & 5%_$x$"
LOOK = """
const plots = [...document.querySelectorAll('.plot')].map((div) => ({
  id: div.id,
  svg: div.querySelectorAll('svg.main-svg').length,
  marks: div.querySelectorAll('.point path, path.point, .js-line').length,
  width: div.getBoundingClientRect().width,
  height: div.getBoundingClientRect().height,
}));
const table = document.querySelector('table.results');
const headings = [...table.querySelectorAll('th button')];
const column = (i) => [...table.tBodies[0].rows].map((row) => row.cells[i].dataset.value ?? row.cells[i].textContent);
const sorts = () => headings.map((button) => button.closest('th').getAttribute('aria-sort'));
const steps = [{ values: column(1), sorts: sorts() }];
for (const i of [1, 1, 0, 0]) {
  headings[i].click();
  steps.push({ values: column(i), sorts: sorts() });
}
const curve = () => document.getElementById('curve-plot').data.map((trace) => [trace.name, trace.y[0], trace.x.length]);
const select = document.getElementById('curve-model');
const curves = [curve()];
select.value = 'Pop';
select.dispatchEvent(new Event('change'));
await new Promise((resolve) => setTimeout(resolve, 300));
curves.push(curve());
const widest = () => Math.max(...[...document.querySelectorAll('svg.main-svg')].map((svg) => svg.clientWidth));
const widths = [widest()];
for (const name of ['beforeprint', 'afterprint']) {
  dispatchEvent(new Event(name));
  await new Promise((resolve) => setTimeout(resolve, 300));
  widths.push(widest());
}
const text = (selector) => [...document.querySelectorAll(selector)].map((node) => node.textContent);
return {
  plots, steps, curves, widths,
  focusable: headings.every((button) => button.tabIndex === 0),
  requests: performance.getEntriesByType('resource').map((entry) => entry.name),
  hacked: window.hacked ?? null,
  images: document.querySelectorAll('img').length,
  ticks: text('#bars-0 .ytick text'),
  models: [...select.options].map((option) => option.text),
};
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report with every section, and labels that would run if they were read as markup."""
    chromium()
    folder = tmp_path_factory.mktemp("page")
    datasets = {"sim": {"confounding": 1.5}, "sim-0": {"confounding": 0.0}, "clips": {}}
    write_benchmark(
        folder,
        {LABEL: 0.05, "Pop": -0.1, "DecCM": 0.0},
        datasets=datasets,
        seeds=(1, 2),
        videos=40,
        tests=("test", "test_do"),
    )
    cell = folder / "cells" / "Pop-sim-1-0a1b2c3d" / "curves.json"
    cell.write_text('{"losses": {"<b>own</b>": [7.0]}, "valid": {}}')
    write_cell(folder, "late", "sim", 1, {}, status="failed", error=LABEL, metrics={})
    write_report(folder, ReportOptions(title=LABEL, baseline="DecCM"))
    return folder


@pytest.fixture(scope="module")
def seen(folder, tmp_path_factory):
    return probe(folder / "report.html", LOOK, tmp_path_factory.mktemp("browser"))


def test_the_page_loads_without_errors_or_requests_and_runs_no_label(seen):
    found, console = seen
    assert console == [] and found.get("error") is None
    assert found["requests"] == [] and found["hacked"] is None and found["images"] == 0


def test_every_plot_is_drawn(seen):
    plots = {plot["id"]: plot for plot in seen[0]["plots"]}
    expected = {"bars": 6, "strengths": 4, "genres": 3, "popularity": 6, "costs": 3}
    assert set(plots) == {f"{name}-{i}" for name, count in expected.items() for i in range(count)} | {"curve-plot"}
    for plot in plots.values():
        assert plot["svg"] > 0 and plot["marks"] >= 3 - 2 * (plot["id"] == "curve-plot"), plot
        assert plot["width"] > 300 and plot["height"] > 100, plot


def test_labels_are_shown_as_they_are(seen):
    assert LABEL in seen[0]["ticks"] and seen[0]["models"] == [LABEL, "Pop", "DecCM"]


def test_the_table_sorts_by_click_or_key_and_says_how(seen):
    before, descending, ascending, names, names_back = seen[0]["steps"]
    values = sorted(map(float, before["values"]))
    assert set(before["sorts"]) == {"none"} and list(map(float, before["values"])) != values[::-1]
    assert list(map(float, descending["values"])) == values[::-1] and list(map(float, ascending["values"])) == values
    assert names["values"] == sorted(names["values"], key=str.lower) and names_back["values"] == names["values"][::-1]
    marks = [[sort for sort in step["sorts"] if sort != "none"] for step in (descending, ascending, names, names_back)]
    assert marks == [["descending"], ["ascending"], ["ascending"], ["descending"]]
    assert descending["sorts"][1] == "descending" and names["sorts"][0] == "ascending" and seen[0]["focusable"]


def test_curves_follow_the_choice_of_the_cell(seen):
    first, second = seen[0]["curves"]
    assert [(name, count) for name, _, count in first] == [("matching", 12), ("kl", 12), ("NDCG@10", 12)]
    assert second == [["&lt;b&gt;own&lt;/b&gt;", 7, 1]]


def test_plots_fit_the_paper_while_printing(seen):
    before, printing, after = seen[0]["widths"]
    assert before == after > 1000 and 400 < printing <= 690


def test_a_narrow_screen_needs_no_sideways_scrolling(folder, tmp_path):
    script = "const page = document.documentElement; return {over: page.scrollWidth - page.clientWidth};"
    found, console = probe(folder / "report.html", script, tmp_path, width=520)
    assert console == [] and found["over"] <= 0


def test_a_page_with_failures_alone_and_that_errors_and_requests_would_be_seen(tmp_path):
    write_cell(tmp_path, "a", "sim", 1, {}, status="failed", error="it broke", metrics={})
    write_report(tmp_path, ReportOptions())
    script = "document.body.append(Object.assign(new Image(), {src: 'http://localhost:9/x.png'}));"
    script += "console.error('planted'); return {plots: document.querySelectorAll('.plot').length,"
    script += "failed: document.querySelector('#failed td pre').textContent};"
    found, console = probe(tmp_path / "report.html", script, tmp_path)
    assert found == {"plots": 0, "failed": "it broke"}
    assert len(console) == 2  # in either order
    assert all(any(part in line for line in console) for part in ("Content Security Policy", "planted"))
