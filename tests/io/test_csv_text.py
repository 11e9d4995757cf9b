"""A label in a CSV file is no formula, and comes back as it was."""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_decm.io.csv_text import cell_of, csv_text, label_of

NUMBERS = ["0", "-5", "+5", "-0.5", "-.5", "+1e-3", "-1E5"]
FORMULAS = ["=1+1", "=cmd|' /C calc'!A0", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-5+A1", "- 5", "-", "--5"]
PLAIN = ["", "a", "a=b", "m-1", "'", "''a", "'-5", " x", "曲", "5-", "1=1"]


@pytest.mark.parametrize("label", [*FORMULAS, *(f"'{label}" for label in FORMULAS), "\uff1d1"])
def test_a_formula_becomes_text(label):
    assert cell_of(label) == "'" + label and label_of(cell_of(label)) == label


@pytest.mark.parametrize("label", [*NUMBERS, *PLAIN, -5, -0.5, None])
def test_all_else_stays_as_it_is(label):
    assert cell_of(label) == label == label_of(label)


@given(st.text(alphabet="'=+-@\t\r\na1.e\uff1d"))
def test_every_label_comes_back(label):
    assert label_of(cell_of(label)) == label
    assert cell_of(label)[:1] not in set("=+-@\t\r\n\uff1d") or float(cell_of(label)) is not None


def test_a_table_comes_back():
    labels = [*FORMULAS, *NUMBERS, *PLAIN, None]
    frame = pd.DataFrame({"=name": pd.Series(labels, dtype=object), "-score": -np.arange(len(labels)) / 7})
    text = csv_text(frame, float_format="%.7g")
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert head == ["'=name", "'-score"]
    assert [label_of(row[0]) for row in rows] == [label or "" for label in labels]
    assert [float(row[1]) for row in rows] == [float(f"{value:.7g}") for value in frame["-score"]]
    assert csv_text(frame[:1], header=False) == "'=1+1,0.0\n"
    assert frame["=name"].tolist() == labels  # not changed


@pytest.mark.parametrize("kind", [object, "string", "category"])
def test_labels_of_any_type_of_column(kind):
    frame = pd.DataFrame({"a": pd.Series(["=x", "y", "=x"], dtype=kind), "b": [True, False, True]})
    assert csv_text(frame) == "a,b\n'=x,True\ny,False\n'=x,True\n"


def test_a_table_without_labels_is_that_of_pandas():
    frame = pd.DataFrame({"a": [1, 2], "b": [0.1, None], "c": ["x", 'y,"z']})
    assert csv_text(frame) == frame.to_csv(index=False)
