"""``protocol: NAME``: a layer of values between config files and the data set's YAML."""

from __future__ import annotations

import pytest
from helpers.planted import write_planted
from helpers.running import make_config

from recbole_decm.config import protocols
from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.values import read_yaml
from recbole_decm.errors import ConfigError


def test_every_file_is_a_protocol_and_every_candidate_one():
    assert {"few-artists", "released"} <= set(protocols.files())
    assert [protocols.file_of(name) is None for name in protocols.CANDIDATES] == [True, False]


def test_a_protocol_stands_for_the_values_of_its_file(planted):
    named = make_config("DecCMPlus", planted, protocol="few-artists", epochs=30, train_batch_size=512)
    file = protocols.files()["few-artists"]
    given = DecCMConfig(
        "DecCMPlus", "planted", [file], {"data_path": str(planted), "state": "ERROR", "show_progress": False}
    )
    assert {**named.plain(), "protocol": None} == {**given.plain(), "protocol": None}
    assert named["dropout_prob"] == read_yaml(file)["dropout_prob"] and named["protocol"] == "few-artists"


@pytest.mark.parametrize("name", ["auto", "default"])
def test_auto_and_default_change_nothing_by_themselves(planted, name):
    plain = make_config("DecCMPlus", planted, protocol=name).plain()
    assert plain["dropout_prob"] == 0.4 and plain["distillation_weight"] == 0 and plain["eval_step"] == 1


def test_given_keys_stand_above_a_protocol_and_the_data_sets_yaml_below(tmp_path):
    write_planted(tmp_path, videos=120, music=12)
    with (tmp_path / "planted" / "planted.yaml").open("a") as file:
        file.write("dropout_prob: 0.1\nmusic_dropout_prob: 0.1\ntemperature: 0.2\n")
    own = tmp_path / "own.yaml"
    own.write_text("music_dropout_prob: 0.3\nteacher_config: {epochs: 3}\nprotocol: few-artists\n")
    values = {"data_path": str(tmp_path), "distillation_weight": 0.25}
    config = DecCMConfig("DecCMPlus", "planted", [own], values, ["--epochs=7"])
    expected = {"dropout_prob": 0.8, "music_dropout_prob": 0.3, "distillation_weight": 0.25, "epochs": 7}
    assert {key: config[key] for key in expected} == expected and config["temperature"] == 0.2
    assert config["teacher_config"]["epochs"] == 3 and config["teacher_config"]["dropout_prob"] == 0.8


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        (
            "DecCMPlus",
            {"protocol": "few-artist"},
            "protocol: expected auto, default, .*found 'few-artist'.*few-artists",
        ),
        ("DecCMPlus", {"protocol": "../model/DecCM"}, "protocol: expected auto, default"),
        ("DecCMPlus", {"protocol": 3}, "protocol: expected"),
        ("DecCMPlus", {"protocol_fits": -1}, "protocol_fits: expected .*at least 0"),
        ("DecCM", {"protocol": "default"}, "expected a key that DecCM or RecBole reads, found 'protocol'"),
    ],
)
def test_other_protocols_are_refused(planted, model, values, message):
    with pytest.raises(ConfigError, match=message):
        make_config(model, planted, **values)


def test_the_same_run_again_with_other_values(planted):
    config = DecCMConfig(
        "DecCMPlus",
        "planted",
        None,
        {"data_path": str(planted), "epochs": 4},
        ["--protocol=auto", "--dropout_prob=0.3"],
    )
    again = config.again(protocol="few-artists", epochs=5)
    assert (again["protocol"], again["epochs"], again["dropout_prob"]) == ("few-artists", 5, 0.3)
    assert (config["protocol"], config["epochs"]) == ("auto", 4)
