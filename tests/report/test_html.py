"""Every page comes from one template, in which whatever a user named something stays a name."""

from __future__ import annotations

import html
import re
from pathlib import Path

import optuna
import pytest

import recbole_decm
from recbole_decm.audit.report import plot_audit
from recbole_decm.experiments.tune import Tuned, search_page
from recbole_decm.report.first_look import FirstLook, Look
from recbole_decm.report.html import figures_page

PACKAGE = Path(recbole_decm.__file__).parent
NAME = "</script></style><img src=x onerror=hacked()>{{ 7*7 }}'\""


def search() -> str:
    study = optuna.create_study(study_name=NAME)
    for value in (NAME, "b"):
        trial = study.ask({"teacher": optuna.distributions.CategoricalDistribution([NAME, "b"])})
        study.tell(trial, len(value))
    trials = [{"state": "complete", "score": 1.0}]
    return search_page(study, NAME, NAME, Tuned(0, 1.0, NAME, {NAME: NAME}, trials))


def audit() -> str:
    found = {"model": NAME, "dataset": NAME, "explanation": NAME, "teacher": {"kl": {NAME: [0.1]}}}
    found |= {"genres": {"names": [NAME], "shares": {"observed": [1.0]}}, "estimated": {"not_estimated": NAME}}
    row = {"prior": NAME, "lists_changed": 0.1, "entries_replaced": 0.1}
    return plot_audit(found | {"priors": [row], "batch_prior": [{"size": 1, "deviation": 0.1}]})


def first_look() -> str:
    return FirstLook(NAME, 5, (NAME, "h"), (0.4, 0.6), (Look(NAME, 0.1, 0.2, (0.5, 0.5)),)).page()


@pytest.mark.parametrize("page", [search, audit, first_look, lambda: figures_page(NAME, NAME, {})])
def test_names_stay_names(page):
    text = page()
    assert text.startswith("<!DOCTYPE html>") and "default-src 'none'" in text
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.S)  # without plotly's own program
    assert html.escape("onerror=hacked()>{{ 7*7 }}") in own  # it is shown
    assert "<img" not in own and own.count("<script") == own.count("</script>")
    assert len(re.findall("</style>", own)) == 1


def test_there_is_one_template():
    templates = PACKAGE / "report" / "templates"
    pages = [path for path in templates.glob("*.j2") if path.name != "page.html.j2"]
    assert len(pages) >= 3
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert text.startswith('{% extends "page.html.j2" %}') and "safe" not in re.findall(r"\|\s*(\w+)", text)
    code = {path.relative_to(PACKAGE): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    drawing = re.compile(r"<(html|body|div|table|script|img|p)\b|Environment\(|Template\(|write_html|to_html")
    assert {str(name) for name, text in code.items() if drawing.search(text)} <= {"report/html.py"}
