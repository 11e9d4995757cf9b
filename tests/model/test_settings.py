"""Settings: what they take from a config, what they refuse, and that their choices are those that are built."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args, get_type_hints

import pytest

from recbole_decm.config.values import read_yaml
from recbole_decm.errors import ConfigError
from recbole_decm.io.shipped import shipped
from recbole_decm.model.baselines.settings import IPWSettings
from recbole_decm.model.objectives import MATCHINGS, OBJECTIVES, TEACHER_KLS
from recbole_decm.model.settings import DecCMSettings, lack_of_negatives


def values(model: str = "DecCM", **changes) -> dict:
    return read_yaml(shipped("properties") / "model" / f"{model}.yaml") | changes


@pytest.mark.parametrize(
    ("key", "table"), [("matching", MATCHINGS), ("objective", OBJECTIVES), ("teacher_kl", TEACHER_KLS)]
)
def test_the_choices_are_the_terms_that_there_are(key, table):
    assert set(get_args(get_type_hints(DecCMSettings)[key])) == set(table)


def test_other_keys_of_the_config_are_not_looked_at():
    assert DecCMSettings.from_config(values(embedding_size="x")) == DecCMSettings.from_config(values())


@pytest.mark.parametrize(
    ("changes", "key", "found"),
    [
        ({"margin": 1}, "margin", 1.0),
        ({"music_dropout_prob": None, "dropout_prob": 0.3}, "music_dropout_prob", 0.3),
        ({"backdoor": None}, "backdoor", "none"),
        ({"teacher": None}, "teacher", "none"),
        ({"inference_prior": [1, 0]}, "inference_prior", (1.0, 0.0)),
        ({"inference_prior": (0.5, 0.5)}, "inference_prior", (0.5, 0.5)),
        ({"inference_prior": "uploader"}, "inference_prior", "uploader"),
    ],
)
def test_a_value_as_the_models_see_it(changes, key, found):
    value = getattr(DecCMSettings.from_config(values(**changes)), key)
    assert value == found and type(value) is type(found)


def test_a_weight_without_a_cap():
    assert IPWSettings.from_config(values("IPW", largest_weight=float("inf"))).largest_weight == float("inf")
    with pytest.raises(ConfigError, match="propensity_power: expected a finite number, found inf"):
        IPWSettings.from_config(values("IPW", propensity_power=float("inf")))


def test_a_changed_copy_is_checked_too():
    settings = DecCMSettings.from_config(values())
    assert replace(settings, teacher_kl="released").teacher_kl == "released"
    with pytest.raises(ConfigError, match=r"margin: expected a number of at least 0, found -1\."):
        replace(settings, margin=-1)


@pytest.mark.parametrize(
    ("batch", "negatives", "matching", "lacks"),
    [(40, 40, "hinge", True), (41, 40, "hinge", False), (2, 40, "softmax", False), (2, None, None, False)],
)
def test_a_batch_with_too_few_negatives(batch, negatives, matching, lacks):
    config = {"train_batch_size": batch, "num_negatives": negatives, "matching": matching}
    assert (lack_of_negatives(config) is not None) == lacks
