"""Precedence, strict keys, checked values."""

from __future__ import annotations

import pytest
from helpers.running import make_config

from recbole_decm.config.config import DecCMConfig
from recbole_decm.errors import ConfigError


def test_precedence_from_command_line_down_to_overall(planted, tmp_path):
    """margin is set in one layer after the other, from the lowest up; each wins over those before."""
    data = {"data_path": str(planted)}
    assert DecCMConfig("DecCM", "planted", config_dict=data)["topk"] == [1, 10]  # data set YAML over overall.yaml
    model_yaml = DecCMConfig("DecCM", "planted", config_dict=data)["margin"]
    file, file2 = tmp_path / "a.yaml", tmp_path / "b.yaml"
    file.write_text("margin: 0.31\nlatent_dimension: 8\n")
    file2.write_text("margin: 0.32\n")
    config = DecCMConfig("DecCM", "planted", [file, file2], data)
    assert config["margin"] == 0.32 != model_yaml and config["latent_dimension"] == 8
    config = DecCMConfig("DecCM", "planted", [file], {**data, "margin": 0.33})
    assert config["margin"] == 0.33
    config = DecCMConfig("DecCM", "planted", [file], {**data, "margin": 0.33}, ["--margin=0.34"])
    assert config["margin"] == 0.34


def test_data_set_yaml_over_model_yaml(own_planted):
    with (own_planted / "planted" / "planted.yaml").open("a") as file:
        file.write("margin: 0.77\n")
    assert make_config("DecCM", own_planted)["margin"] == 0.77


def test_eval_args_are_merged_not_replaced(planted):
    config = make_config("DecCM", planted, eval_args={"mode": "uni20"})
    assert config["eval_args"]["group_by"] == "none" and config["eval_args"]["mode"] == {
        "valid": "uni20",
        "test": "uni20",
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lerning_rate": 0.1}, "config_dict: .*found 'lerning_rate'. Did you mean 'learning_rate'"),
        ({"mlp_hidden_size": [8]}, "found 'mlp_hidden_size'"),  # DSSM's key means nothing to DecCM
        ({"metrics": ["Recal"]}, "unknown metric 'Recal'. Did you mean 'recall'"),
        ({"valid_metric": "MRR@10"}, "valid_metric: expected one of metrics"),
        ({"valid_metric": "NDCG@7"}, r"valid_metric: expected a cut-off of topk \(\[1, 10\]\), found 'NDCG@7'"),
        ({"topk": [0], "valid_metric": "NDCG@0"}, r"topk: expected a list of whole numbers of at least 1, found \[0\]"),
        ({"eval_args": {"mode": "labeled"}}, "eval_args.mode: expected full, fixed, uniN or popN"),
        ({"eval_args": {"mode": "uni"}}, "eval_args.mode"),
    ],
)
def test_bad_values(planted, values, message):
    with pytest.raises(ConfigError, match=message):
        make_config("DecCM", planted, **values)


def test_keys_of_recboles_models_are_known_to_them_alone(planted):
    assert make_config("DSSM", planted, mlp_hidden_size=[8])["mlp_hidden_size"] == [8]
    assert make_config("BPR", planted, reg_weight=0.1)["reg_weight"] == 0.1
    with pytest.raises(ConfigError, match="found 'margin'"):
        make_config("BPR", planted, margin=0.1)


def test_unknown_model_and_data_set_name_the_nearest(planted):
    with pytest.raises(ConfigError, match=r"found 'DeepFn'\. Did you mean 'DeepFM'"):
        make_config("DeepFn", planted)
    with pytest.raises(ConfigError, match=r"found 'Decm'\. Did you mean 'DecCM'"):
        make_config("Decm", planted)
    with pytest.raises(ConfigError, match=r"planted-pgc.*Did you mean 'planted'"):
        make_config("DecCM", planted, dataset="plantd")


def test_missing_config_file(planted):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: expected a YAML file, but No such file"):
        DecCMConfig("DecCM", "planted", ["nowhere.yaml"], {"data_path": str(planted)})


def test_sys_argv_is_never_read(planted, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pytest", "--epochs=99", "whatever"])
    assert make_config("DecCM", planted)["epochs"] == 5


def test_one_config_does_not_change_the_next(planted):
    """RecBole extends its global argument lists and its shared YAML loader in place."""
    from recbole.utils.argument_list import dataset_arguments

    before = list(dataset_arguments)
    make_config("FM", planted)["numerical_features"].append("visual_1")
    assert dataset_arguments == before and make_config("FM", planted)["numerical_features"] == []


def test_plain_holds_no_objects(planted):
    def check(value):
        assert value is None or type(value) in (bool, int, float, str, list, dict), value
        for entry in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(entry)

    check(make_config("DecCM", planted).plain())


@pytest.mark.parametrize("name", ["../planted", "a/b", "/tmp", ".", "..", "", "x" * 201])
def test_a_data_set_is_named_without_a_path(planted, name):
    with pytest.raises(ConfigError, match="dataset: expected the name of a folder, at most 200 bytes long, found"):
        make_config("BPR", planted, dataset=name)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("SASRec", "model: SASRec predicts what follows in a history of tracks"),
        ("XGBoost", "model: XGBoost is trained and evaluated in ways of its own"),
        ("LightGBM", "model: LightGBM is trained and evaluated in ways of its own"),
        ("KGAT", "model: KGAT learns from a knowledge graph"),
    ],
)
def test_models_of_kinds_that_cannot_run_here_say_why(planted, model, message):
    with pytest.raises(ConfigError, match=f"{message}.*Choose one of DecCM"):
        make_config(model, planted)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"metrics": ["AUC"], "valid_metric": "AUC"},
            "metrics: expected metrics of a ranking, such as NDCG, found 'AUC'",
        ),
        ({"metrics": ["LogLoss"], "valid_metric": "LogLoss"}, "metrics: expected metrics of a ranking"),
        ({"normalize_field": ["age"], "normalize_all": True}, "normalize_field, normalize_all: expected one"),
        ({"load_col": {"item": ["a"]}, "unload_col": {"item": ["b"]}}, "found both for item"),
        ({"train_neg_sample_args": {"dynamic": True}}, r"train_neg_sample_args.candidate_num: expected at least 1"),
        ({"train_neg_sample_args": None}, "train_neg_sample_args: expected negatives to draw"),
        ({"train_neg_sample_args": {"distribution": "none"}}, "train_neg_sample_args: expected negatives to draw"),
        ({"benchmark_filename": None, "eval_args": {"split": None}}, "eval_args.split: expected a split"),
    ],
)
def test_values_that_do_not_go_together(planted, values, message):
    with pytest.raises(ConfigError, match=message):
        make_config("BPR", planted, **values)
