"""The comments of our YAML files and docs/keys.md say what the types say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_type_hints

import pytest
from pydantic import Field

from recbole_decm.config import registry
from recbole_decm.config.describe import commented, commented_files, description, kind, limits, page
from recbole_decm.config.overall_keys import OverallKeys
from recbole_decm.config.typed_keys import key_types
from recbole_decm.config.values import read_yaml
from recbole_decm.io.shipped import shipped
from recbole_decm.io.typed import Expected

PROJECT = Path(__file__).resolve().parents[2]
HOW = "run python -m recbole_decm.config.describe"


@pytest.mark.parametrize("path", commented_files(), ids=lambda path: path.stem)
def test_the_comments_of_a_yaml_are_the_descriptions(path):
    assert path.read_text() == commented_files()[path], HOW


def test_the_page_is_made_from_the_types():
    assert (PROJECT / "docs" / "keys.md").read_text() == page(), HOW


def test_every_key_of_ours_is_described():
    overall = get_type_hints(OverallKeys, include_extras=True)
    assert all(description(overall[key]) for key in read_yaml(shipped("properties") / "overall.yaml"))
    for model in registry.MODELS:
        types = key_types(model, registry.model_class(model))
        keys = read_yaml(shipped("properties") / "model" / f"{model}.yaml")
        assert all(description(types[key]).endswith(".") for key in keys)


@pytest.mark.parametrize(
    ("annotation", "word", "limit"),
    [
        (int, "int", ""),
        (Annotated[int, Field(ge=1)], "int", "at least 1"),
        (Annotated[float, Field(gt=0, le=0.99)], "float", "above 0, at most 0.99"),
        (Annotated[float, Field(ge=0)] | None, "float", "at least 0 or ~"),
        (Literal["a", "b"], "str", "a or b"),
        (Annotated[Literal["mean"] | tuple[float, ...], Expected("mean or numbers")], "str or list", "mean or numbers"),
        (dict[str, int] | None, "dict", ""),
    ],
)
def test_a_type_in_words(annotation, word, limit):
    assert (kind(annotation), limits(annotation)) == (word, limit)


def test_comments_are_replaced_and_all_else_is_kept():
    types = {"a": Annotated[int, Field(description="New.")], "eval_args": Annotated[dict, Field(description="Parts.")]}
    text = "# Head\na: 1  # (str) Old.\n\nb: 2 # (int) Kept.\neval_args: # old\n  order: RO # old\n"
    lines = commented(text, types).splitlines()
    assert lines[:4] == ["# Head", "a: 1                            # (int) New.", "", "b: 2 # (int) Kept."]
    assert lines[4] == "eval_args:                      # (dict) Parts."
    assert lines[5] == "  order: RO                     # (str) Random order before a ratio split."
