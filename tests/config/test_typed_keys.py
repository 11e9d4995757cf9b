"""A wrong type or range of any key, for any model, is one line that names place, key, what is expected and found."""

from __future__ import annotations

import re
from typing import get_args, get_type_hints

import pytest
from helpers.running import make_config
from recbole.utils import argument_list

from recbole_decm.cli.run import run_main
from recbole_decm.config import registry
from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.overall_keys import OverallKeys
from recbole_decm.config.typed_keys import RECBOLE_PROPERTIES, check, key_types
from recbole_decm.config.values import read_yaml
from recbole_decm.errors import ConfigError
from recbole_decm.io.shipped import shipped

RECBOLE_MODELS = sorted(path.stem for path in (RECBOLE_PROPERTIES / "model").glob("*.yaml"))
BASES = [
    RECBOLE_PROPERTIES / "overall.yaml",
    RECBOLE_PROPERTIES / "dataset" / "sample.yaml",
    RECBOLE_PROPERTIES / "dataset" / "ml-100k.yaml",
    shipped("properties") / "overall.yaml",
]

# Key, values that do not fit, and what is expected instead.
OF_EVERY_MODEL = [
    ("epochs", ["abc", -1, 2.5, True, None, [3]], "a whole number|a number of at least 0"),
    ("train_batch_size", ["abc", 0, -8, 64.0], "a whole number|a number of at least 1"),
    ("eval_batch_size", [0, "x", 1e3, None], "a whole number|a number of at least 1"),
    ("learning_rate", ["abc", 0, -1, float("nan"), float("inf"), True, [0.1]], "a number above 0|a (finite )?number"),
    ("weight_decay", ["abc", -0.1, float("inf"), None], "a number of at least 0|a (finite )?number"),
    ("learner", ["foo", 3, None, "sparse_adam"], "adam or adamw or sgd"),
    ("seed", ["abc", -1, 2**32, 1.5, None], "a whole number|a number of at (least 0|most 4294967295)"),
    ("eval_step", ["abc", -1, 0.5], "a whole number|a number of at least 0"),
    ("stopping_step", ["abc", -1, None], "a whole number|a number of at least 0"),
    ("worker", [-1, "two", 1.0], "a whole number|a number of at least 0"),
    ("metric_decimal_place", ["abc", -2, 1.5], "a whole number|a number of at least 0"),
    ("loss_decimal_place", ["abc", -2], "a whole number|a number of at least 0"),
    ("clip_grad_norm", [5, "abc", {}, {"norm_type": 2}], "keys and values with max_norm"),
    ("clip_grad_norm", [{"max": 1}], "entries of max_norm, norm_type"),
    ("topk", [0, [0], [], "ten", [1.5], [5, "x"], None], "a list of whole numbers of at least 1"),
    ("metrics", [3, [], [3]], "a list of metrics"),
    ("valid_metric", [["NDCG@10"], 3, None], "a text"),
    ("load_col", ["inter", ["user_id"], {"inter": "user_id"}, {"inter": None}], "names of columns by file suffix"),
    ("unused_col", ["inter", {"inter": 3}], "names of columns by file suffix"),
    ("benchmark_filename", ["train", [], [3], {"train": 1}], "a list such as"),
    ("extra_tests", ["do", ["test"], [3]], "a list of names other than train, valid and test"),
    ("item_inter_num_interval", ["5", "[5,", 5, [5], "[9,1]", "[a,b]"], "an interval such as"),
    ("user_inter_num_interval", ["abc", {"low": 1}], "an interval such as"),
    ("val_interval", ["[1,2]", {"rating": 3}], "an interval or a list of tokens by field"),
    ("rm_dup_inter", ["middle", True], "first or last"),
    ("threshold", [3, "rating", {"a": 1, "b": 2}, {"rating": "x"}], "one field and a number"),
    ("seq_len", [3, {"genre": 0}, {"genre": "x"}], "whole numbers of at least 1 by field"),
    ("normalize_field", ["visual", [3]], "a list of names"),
    ("normalize_all", ["yes", 1], "True or False"),
    ("discretization", ["ED", ["age"]], "keys and values"),
    ("discretization", [{"age": {"methd": "ED"}}], "entries of method, bucket"),
    ("alias_of_user_id", ["a", [1]], "a list of names"),
    ("preload_weight", ["a", {"a": ["b"]}], "a field of vectors by a field of ids"),
    ("checkpoint", [5, ["a"]], "a path"),
    ("result_file", [5, True, "x" * 256, "a/" + "é" * 128, "a\0b"], "a path whose names have at most 255 bytes"),
    ("additional_feat_suffix", [3, ["item"], "inter"], "a list of file suffixes other than inter, user and item"),
    ("benchmark_filename", [["../train"], ["x" * 101]], "a list such as"),
    ("data_path", [5, None, ["a"]], "a path"),
    ("checkpoint_dir", [5, None], "a path"),
    ("state", ["loud", 3], "debug or info or warning"),
    ("log_wandb", ["yes", 1], "True or False"),
    ("gpu_id", [[0], None, -3, 0.5], "numbers of GPUs"),
    ("use_gpu", ["yes", 1, None], "True or False"),
    ("show_progress", ["yes"], "True or False"),
    ("repeatable", [1], "True or False"),
    ("ACOUSTIC_FIELD", [["acoustic"], 3, None, ""], "a text"),
    ("USER_ID_FIELD", [["a"], 3], "a text"),
    ("TIME_FIELD", [3, ["t"]], "a text"),
    ("field_separator", [3, ""], "a text"),
    ("encoding", [3, None, "", "utf-9", "rot13"], "an encoding that Python knows"),
    ("MAX_ITEM_LIST_LENGTH", [0, "x"], "a whole number|a number of at least 1"),
    ("feature_files", ["abc", ["a.npy"], {"visual": 3}], "names of .npy files by field"),
    ("feature_residency", ["gpu", 3, None], "auto, device, disk, host"),
    ("feature_reduce", [64, {"visual": 0}, {"visual": "x"}], "whole numbers of at least 1 by field"),
    ("uploader_prior", ["guess", None, 3], "read or train"),
    ("prior_smoothing", [0, -1, "x", None], "a number above 0|a number"),
    ("compile", ["yes"], "True or False"),
    ("transform", ["flip", 3], "mask_itemseq or"),
    ("train_neg_sample_args", [3, "uniform"], "keys and values"),
    ("train_neg_sample_args", [{"distribtion": "uniform"}], "entries of distribution, sample_num"),
    ("train_neg_sample_args", [{"distribution": "zipf"}], "uniform or popularity or none"),
    ("train_neg_sample_args", [{"sample_num": 0}], "a whole number of at least 1"),
    ("eval_args", ["full", ["full"], None], "keys and values"),
    ("eval_args", [{"modee": "uni100"}], "entries of split, group_by, order, mode"),
    ("eval_args", [{"mode": mode} for mode in ("labeled", "uni", "uni0", "pop1.5", 3, None)], "full, fixed, uniN"),
    ("eval_args", [{"mode": {"valid": "labeled"}}, {"mode": {"tset": "full"}}], "full, fixed, uniN"),
    ("eval_args", [{"order": "XO"}], "RO or TO"),
    ("eval_args", [{"group_by": "item"}], "user or none"),
    ("eval_args", [{"split": {"RS": [0.8, 0.2]}}, {"split": {"RS": "x"}}], "three shares of the rows"),
    ("eval_args", [{"split": {"XS": [1, 1, 1]}}, {"split": {}}, {"split": "RS"}], "one of RS, LS, TS|keys and values"),
]
OF_SOME_MODELS = [
    ("BPR", "embedding_size", [-3, 0, "x", 1.5], "a whole number|a number of at least 1"),
    ("BPR", "reg_weight", [-1, "x"], "a number of at least 0"),
    ("FM", "embedding_size", [-3], "a number of at least 1"),
    ("DeepFM", "dropout_prob", [1, -0.1, "x"], "a number below 1|a number of at least 0|a number"),
    ("DeepFM", "mlp_hidden_size", [64, [], [0], ["x"], [1.5]], "a list of whole numbers of at least 1"),
    ("LightGCN", "n_layers", [-1, "x", 2.0], "a whole number|a number of at least 0"),
    ("SimpleX", "aggregator", ["sum"], "mean or user_attention or self_attention"),
    ("CDAE", "loss_type", ["BPR"], "BCE or MSE"),
    ("CDAE", "corruption_ratio", ["x", True], "a number"),
    ("MultiVAE", "latent_dimension", [0, "x"], "a whole number|a number of at least 1"),
    ("NGCF", "hidden_size_list", ["x", [0]], "a list of whole numbers of at least 1"),
    ("NGCF", "node_dropout", [1.5], "a number below 1"),
    ("NeuMF", "mf_pretrain_path", [3], "a text or ~"),
    ("AutoInt", "dropout_probs", [[0.1, 2.0], 0.5], "a list of numbers of at least 0 and below 1"),
    ("DecCM", "latent_dimension", [0, "x", 2.0], "a whole number|a number of at least 1"),
    ("DecCM", "learning_rate", ["abc"], "a number"),
    ("DecCM", "backdoor", ["bacth"], r"none or batch or .*Did you mean 'batch'"),
    ("DecCM", "inference_prior", ["x", [0.5, 0.6], [1.5, -0.5], []], "mean, uniform, uploader, or probabilities"),
    ("DecCM", "teacher", [3], "a text"),
    ("DecCM", "teacher_config", ["epochs", 3], "keys and values for DecCMTeacher"),
    ("DecCMPlus", "learning_rate_decay", [1], "True or False"),
    ("CMVAE", "dropout_prob", [1, -1, "x", None], "a number of at (most 0.99|least 0)|a number"),
    ("CMVAE", "matching", ["hing"], "hinge or softmax or released, found 'hing'. Did you mean 'hinge'"),
    ("Ridge", "alpha", [0, "x"], "a number above 0|a number"),
    ("NearestVideos", "num_neighbors", [0, 1.5], "a whole number|a number of at least 1"),
    ("IPW", "largest_weight", [0, "x"], "a number above 0|a number"),
]
# Values that may look odd and are fine.
FITTING = [
    ("BPR", {"learning_rate": 1, "weight_decay": 0, "epochs": 0, "eval_step": 0, "gpu_id": (0, 1)}),
    ("BPR", {"topk": 5, "valid_metric": "NDCG@5"}),
    ("BPR", {"learning_rate": "1e-3", "topk": "[1, 10]", "eval_args": "{mode: uni100}"}),
    ("BPR", {"learner": "Adam", "state": "WARNING", "embedding_size": 1, "seed": 2**32 - 1}),
    ("BPR", {"item_inter_num_interval": [5, 10], "user_inter_num_interval": "(0,3];[5,inf)"}),
    ("BPR", {"clip_grad_norm": {"max_norm": 5, "norm_type": float("inf")}, "threshold": {"rating": 3}}),
    ("BPR", {"train_neg_sample_args": {"distribution": "popularity", "sample_num": 2}}),
    ("BPR", {"eval_args": {"mode": {"valid": "uni100", "test": "full"}, "split": {"RS": [8, 1, 1]}}}),
    ("BPR", {"val_interval": {"rating": "[3,inf)", "genre": ["a", "b"]}, "load_col": {"inter": "*"}}),
    ("FM", {"reg_weight": 0.1, "discretization": {"age": {"method": "ED", "bucket": 3}}}),
    ("FOSSIL", {"reg_weight": [0.1, 0.2]}),
    ("FEARec", {"global_ratio": 0.5}),  # 1 in its YAML, a float in the comment
    ("DeepFM", {"dropout_prob": 0, "mlp_hidden_size": [8]}),
    ("DecCM", {"inference_prior": [0.5, 0.25, 0.25], "music_dropout_prob": None, "backdoor": None, "teacher": None}),
    ("DecCM", {"kl_weight": 0, "dropout_prob": 0, "feature_reduce": {"visual": None}}),
    ("IPW", {"largest_weight": float("inf")}),
]


@pytest.mark.parametrize("model", ["BPR", "DecCM", "Ridge"])
@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [(key, value, expected) for key, values, expected in OF_EVERY_MODEL for value in values],
    ids=lambda part: repr(part)[:30] if not isinstance(part, str) else part[:30],
)
def test_of_every_model(model, key, value, expected):
    refused(model, key, value, expected)


@pytest.mark.parametrize(
    ("model", "key", "value", "expected"),
    [(model, key, value, expected) for model, key, values, expected in OF_SOME_MODELS for value in values],
)
def test_of_some_models(model, key, value, expected):
    refused(model, key, value, expected)


def refused(model, key, value, expected):
    with pytest.raises(ConfigError) as error:
        check({key: value}, model, registry.model_class(model), "command line")
    message = str(error.value)
    assert re.match(rf"command line: {key}\S*( entry \d+)?: expected ({expected})", message) and ", found " in message
    assert "\n" not in message and message.rstrip("?").endswith((".", "'"))


@pytest.mark.parametrize(("model", "values"), FITTING)
def test_values_that_fit(planted, model, values):
    if model in ("FOSSIL", "FEARec"):  # sequential models, which run on no data of ours
        return check(values, model, registry.model_class(model), "config_dict")
    assert make_config(model, planted, **values)["model"] == model


def test_a_value_that_fits_is_not_changed(planted):
    values = {"learning_rate": 1, "weight_decay": 0, "kl_weight": 1}
    config = make_config("CMVAE", planted, **values)
    assert [type(config[key]) for key in values] == [int, int, int]


def test_the_place_is_named(own_planted, tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("epochs: many\n")
    data = {"data_path": str(own_planted)}
    with pytest.raises(ConfigError, match=r"a\.yaml: epochs: expected a whole number, found 'many'\."):
        DecCMConfig("BPR", "planted", [file], data)
    with pytest.raises(ConfigError, match=r"a\.yaml: epochs: expected"):
        DecCMConfig("BPR", "planted", config_dict={**data, "config_files": [str(file)]})
    with pytest.raises(ConfigError, match=r"^config_dict: epochs: expected"):
        DecCMConfig("BPR", "planted", config_dict={**data, "epochs": "many"})
    with pytest.raises(ConfigError, match=r"^command line: epochs: expected"):
        DecCMConfig("BPR", "planted", config_dict=data, arguments=["--epochs=many"])
    with (own_planted / "planted" / "planted.yaml").open("a") as yaml:
        yaml.write("margin: wide\n")
    with pytest.raises(ConfigError, match=r"planted\.yaml: margin: expected a number, found 'wide'"):
        DecCMConfig("DecCM", "planted", config_dict=data)


def test_the_nearest_entry_is_named(planted):
    with pytest.raises(ConfigError, match=r"eval_args: expected entries .*, found 'modee'\. Did you mean 'mode'\?"):
        make_config("BPR", planted, eval_args={"modee": "uni100"})
    with pytest.raises(ConfigError, match=r"learner: expected .*, found 'adamm'\. Did you mean 'adam'\?"):
        make_config("BPR", planted, learner="adamm")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model=BPR", "--epochs=abc"],
        ["--model=BPR", "--embedding_size=-3"],
        ["--model=BPR", "--learning_rate=-1"],
        ["--model=DecCM", "--learning_rate=abc"],
        ["--model=DecCM", "--teacher_weight=-1"],
        ["--model=Ridge", "--eval_args={'modee': 'uni100'}"],
        ["--model=FM", "--checkpoint=5"],
        ["--model=BPR", "--ACOUSTIC_FIELD=['a']"],
        ["--model=BPR", "--benchmark_filename=[]"],
        ["--model=BPR", "--seed=-1"],
    ],
)
def test_a_command_ends_with_one_line_and_exit_code_2(planted, arguments, capsys):
    assert run_main([*arguments, "--dataset=planted", f"--data_path={planted}"]) == 2
    error, key = capsys.readouterr().err, arguments[1][2:].partition("=")[0]
    assert error.startswith(f"error: command line: {key}: expected ") and error.count("\n") == 1


def test_recboles_defaults_fit():
    """Every YAML of RecBole, under the types that were made from it."""
    assert len(RECBOLE_MODELS) == 93
    for name in RECBOLE_MODELS:
        check(read_yaml(RECBOLE_PROPERTIES / "model" / f"{name}.yaml"), name, object, name)
    for path in BASES:
        check(read_yaml(path), "BPR", object, path.name)


def test_our_defaults_fit():
    for name in registry.MODELS:
        check(read_yaml(shipped("properties") / "model" / f"{name}.yaml"), name, registry.model_class(name), name)


def test_every_key_has_a_type():
    base = {key for path in BASES for key in read_yaml(path)}
    named = {key for keys in vars(argument_list).values() if isinstance(keys, list) for key in keys}
    assert (base | named) - {"config_file"} <= set(get_type_hints(OverallKeys))
    for name in RECBOLE_MODELS:
        assert set(read_yaml(RECBOLE_PROPERTIES / "model" / f"{name}.yaml")) <= set(key_types(name, object))


def test_the_keys_of_five_models_have_a_range():
    count: dict[str, int] = {}
    for name in RECBOLE_MODELS:
        for key in read_yaml(RECBOLE_PROPERTIES / "model" / f"{name}.yaml"):
            count[key] = count.get(key, 0) + 1
    shared = {key for key, models in count.items() if models >= 5}
    for key in shared:
        assert get_args(key_types("BPR", object)[key]), key  # a range, or choices: more than a bare type
    assert len(shared) == 19
