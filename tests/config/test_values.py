"""YAML files and arguments become literal values or are refused."""

from __future__ import annotations

import pytest

from recbole_decm.config.values import find_config_file, parse_arguments, parse_value, read_yaml
from recbole_decm.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("[1, 2]", [1, 2]),
        ("{'mode':'full'}", {"mode": "full"}),
        ("{mode: full}", {"mode": "full"}),
        ("true", True),
        ("False", False),
        ("~", None),
        ("none", None),
        ("sim", "sim"),
        ("__import__('os').getcwd()", "__import__('os').getcwd()"),  # RecBole would run it
        ("a=b", "a=b"),
    ],
)
def test_values_are_literals_and_never_evaluated(text, value):
    assert parse_value(text) == value
    assert parse_arguments([f"--key={text}"]) == {"key": value}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "3"], "--key=value, found '--epochs'"),
        (["epochs=3"], "found 'epochs=3'"),
        (["--=3"], "found '--=3'"),
        (["--epochs=3", "--epochs=4"], "--epochs is given twice, as 3 and 4"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        parse_arguments(arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "expected YAML"),
        ("- a\n- b\n", "expected 'key: value' lines, found a list"),
        ("epochs: 1\nepochs: 2\n", "key 'epochs' appears twice"),
        ("? [a, b]\n: 1\n", r"a key is a name, not \['a', 'b'\]"),
        ("a: {[b]: 1}\n", r"a key is a name, not \['b'\]"),
        ("a: 2024-99-99\n", "expected YAML, but month must be in"),
        ("a: " + "[" * 5000, "nested too deep"),
        ("a: " + "{b: " * 5000, "nested too deep"),
    ],
)
def test_bad_config_file(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"bad\.yaml.*{message}"):
        read_yaml(path)


def test_shipped_config_files_are_found_from_any_folder():
    assert find_config_file("properties/overall.yaml") == find_config_file("overall.yaml")
    assert find_config_file("overall.yaml").is_file()


def test_a_deeply_nested_argument_is_a_text():
    text = "[" * 5000 + "x"
    assert parse_value(text) == text


def test_a_name_that_is_too_long_for_the_system():
    with pytest.raises(ConfigError, match="expected a YAML file, but File name too long"):
        read_yaml(find_config_file("x" * 300))
