"""Keys: kept as digests, found while they are in the file, refused within a second after."""

from __future__ import annotations

import json
import time

import pytest

from recbole_decm.cli.main import main
from recbole_decm.errors import ConfigError
from recbole_decm.serving.api.keys import Keys, add_key, read_keys, remove_key
from recbole_decm.serving.api.options import Limits, ServeOptions, require_keys


def test_a_key_is_found_by_itself_alone_and_is_not_in_the_file(tmp_path):
    path = tmp_path / "keys.json"
    key = add_key(path, "shop", "write")
    add_key(path, "page", "read")
    keys = Keys(path)
    found = keys.find(key)
    assert (found.name, found.role) == ("shop", "write")
    assert keys.find(key[:-1]) is None and keys.find("") is None
    assert key not in path.read_text() and len(key) >= 43


def test_a_key_that_is_taken_out_is_refused_and_a_broken_file_lets_nobody_in(tmp_path, monkeypatch):
    monkeypatch.setattr("recbole_decm.serving.api.keys._LOOK_AGAIN", 0.0)
    path = tmp_path / "keys.json"
    first, second = add_key(path, "a", "read"), add_key(path, "b", "admin")
    keys = Keys(path)
    remove_key(path, "a")
    assert keys.find(first) is None and keys.find(second) is not None
    time.sleep(0.01)
    path.write_text("{")
    assert keys.find(second) is None


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format_version": 2, "keys": []}', '{"format_version": 1, "keys": [{"name": "a"}]}']
)
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="keys"):
        read_keys(path)


def test_a_name_has_one_key_and_only_known_names_can_be_removed(tmp_path):
    path = tmp_path / "keys.json"
    add_key(path, "a", "read")
    with pytest.raises(ConfigError, match="no key of 'a'"):
        add_key(path, "a", "admin")
    with pytest.raises(ConfigError, match="a key of 'b'"):
        remove_key(path, "b")


def test_the_command_prints_a_key_once_and_lists_names(tmp_path, capsys):
    path = str(tmp_path / "keys.json")
    assert main(["api-key", path, "--name", "shop", "--role", "admin"]) == 0
    key = capsys.readouterr().out.strip()
    assert Keys(tmp_path / "keys.json").find(key).role == "admin"
    assert main(["api-key", path]) == 0
    assert capsys.readouterr().out == "admin\tshop\n"
    assert main(["api-key", path, "--name", "shop", "--remove"]) == 0
    assert json.loads((tmp_path / "keys.json").read_text())["keys"] == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_others_are_reached_with_keys_alone(host):
    with pytest.raises(ConfigError, match="--api-keys"):
        require_keys(host, None)
    require_keys(host, object())
    require_keys("127.0.0.1", None)


@pytest.mark.parametrize(
    "make", [lambda: Limits(k=0), lambda: Limits(seconds=float("nan")), lambda: ServeOptions(port=70_000)]
)
def test_limits_have_ranges(make):
    with pytest.raises(ConfigError, match="expected"):
        make()
