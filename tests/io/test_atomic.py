from __future__ import annotations

import numpy as np
import pytest

from recbole_decm.errors import ConfigError, DataError, ResourceError
from recbole_decm.io import atomic
from recbole_decm.io.atomic import (
    Format,
    parse_floats,
    parse_matrix,
    read_columns,
    read_header,
    require_fields,
    write_atomic,
)
from recbole_decm.io.write import write_text


def test_round_trip(tmp_path):
    path = tmp_path / "a.user"
    vectors = np.random.default_rng(0).normal(size=(4, 3))
    columns = {
        "id:token": ["1", "two", "NA", "4"],
        "n:float": [1, 2.5, -3, 4e9],
        "g:token_seq": [["x", "y"], [], ["z"], []],
    }
    write_atomic(path, {**columns, "v:float_seq": vectors}, decimals=9)
    assert read_header(path) == {"id": "token", "n": "float", "g": "token_seq", "v": "float_seq"}
    frame = read_columns(path, ["v", "id", "g", "n"])
    assert frame["id"].tolist() == ["1", "two", "NA", "4"]  # "NA" is a token, not a missing value
    assert frame["g"].tolist() == ["x y", "", "z", ""]
    assert parse_floats(path, "n", frame["n"]).tolist() == [1, 2.5, -3, 4e9]
    assert np.allclose(parse_matrix(path, "v", frame["v"]), vectors, atol=1e-6)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("", "line 1: expected a header"),
        ("video_id", "line 1: expected columns 'name:type'.*found 'video_id'"),
        ("video_id:tokens", "found 'video_id:tokens'"),
        ("a:token\ta:float", "'a' appears twice"),
    ],
)
def test_bad_header(tmp_path, head, message):
    path = tmp_path / "a.inter"
    path.write_text(head + "\n1\n")
    with pytest.raises(DataError, match=message):
        read_header(path)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="expected an atomic file, found none"):
        read_header(tmp_path / "none.inter")
    with pytest.raises(DataError, match="expected an atomic file, found a folder"):
        read_header(tmp_path)


@pytest.fixture(params=[1, 9, 1 << 24], ids=lambda size: f"blocks of {size}")
def blocks(request, monkeypatch):
    """Lines are counted in blocks, which end anywhere."""
    monkeypatch.setattr(atomic, "_BLOCK_CHARACTERS", request.param)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"1\t2\n3\t4\t5\n", "line 3: expected 2 cells, as the header has, found 3"),
        (b"1\t2\t3\n1\t2\t3\n", "line 2: expected 2 cells, as the header has, found 3"),  # pandas: an index
        (b"1\t2\n3\n5\t6\n", "line 3: expected 2 cells, as the header has, found 1"),
        (b"1\t2\n\n5\t6\n", "line 3: expected 2 cells, as the header has, found none"),
        (b"1\t2\n\n\n\n\n\n5\t6\n", "line 3: expected 2 cells, as the header has, found none"),
        (b"1\t2\n5\rx\t6\n", "line 3: expected 2 cells, as the header has, found 1"),
        (b"1\t2\n3\t4\x00\n", "line 3: expected text, found a NUL byte"),
        (b"1\t2\n3\t4\n5\t\xff\n", "line 4: expected text in utf-8, found byte 0xff"),
    ],
)
def test_bad_lines_are_named(tmp_path, blocks, body, message):
    path = tmp_path / "a.inter"
    path.write_bytes(b"a:token\tb:token\n" + body)
    with pytest.raises(DataError, match=message):
        read_columns(path, ["a"])


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", []),
        (b"1\t2\n3\t4", ["2", "4"]),
        (b"1\t2\r\n3\t4\r\n", ["2", "4"]),
        (b"1\t2\n3\t4\n\n\r\n\n", ["2", "4"]),
        (b'1\t"2\n3\t4"\n', ['"2', '4"']),
        (b"\t\n3\t\n", ["", ""]),
        (b"1\tNA\n2\t#\n", ["NA", "#"]),
        (b"1\t" + 300_000 * b"x" + b"\n2\ty\n", [300_000 * "x", "y"]),
    ],
)
def test_lines_as_they_are(tmp_path, blocks, body, found):
    path = tmp_path / "a.inter"
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + b"a:token\tb:token\n" + body)
        assert read_columns(path, ["b"])["b"].tolist() == found


def test_an_empty_line_of_one_column_is_an_empty_cell(tmp_path, blocks):
    (tmp_path / "a.item").write_text("a:token\n\nx\n\n\ny\n\n")
    assert read_columns(tmp_path / "a.item", ["a"])["a"].tolist() == ["", "x", "", "", "y"]


def test_other_formats(tmp_path):
    path = tmp_path / "a.inter"
    path.write_text("a:token;b:token_seq\n曲;x|ü\n", encoding="utf-16")
    form = Format.of({"field_separator": ";", "seq_separator": "|", "encoding": "utf-16"})
    assert read_columns(path, ["b", "a"], form).values.tolist() == [["x|ü", "曲"]]
    with pytest.raises(ConfigError, match=r"field_separator: expected one character.*found '\\\\s\+'"):
        Format.of({"field_separator": r"\s+", "seq_separator": " ", "encoding": None})
    with pytest.raises(ConfigError, match="seq_separator: expected a text other than field_separator"):
        Format.of({"field_separator": " ", "seq_separator": " ", "encoding": None})


def test_require_fields(tmp_path):
    path = tmp_path / "a.user"
    with pytest.raises(DataError, match="expected a field 'v:float_seq', found id"):
        require_fields(path, {"id": "token"}, {"v": ["float_seq"]})
    with pytest.raises(DataError, match="'v' of type float_seq, found 'float'"):
        require_fields(path, {"v": "float"}, {"v": ["float_seq"]})


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1 2", "3"], "line 3: expected 2 numbers in 'v', as in the first line, found 1"),
        (["1 2", ""], "line 3: expected 2 numbers in 'v', as in the first line, found 0"),
        (["1 2", "3 x"], "line 3: expected numbers"),
        (["1 2", "3 nan"], "line 3: expected finite numbers"),
        (["1 inf", "3 4"], "line 2: expected finite numbers"),
    ],
)
def test_bad_vectors_name_their_line(tmp_path, cells, message):
    with pytest.raises(DataError, match=message):
        parse_matrix(tmp_path / "a.user", "v", cells)


@pytest.mark.parametrize("cell", ["x", "", "nan", "inf"])
def test_bad_floats_name_their_line(tmp_path, cell):
    with pytest.raises(DataError, match=f"line 3: expected a finite number in 'n', found '{cell}'"):
        parse_floats(tmp_path / "a.user", "n", ["1", cell])


def test_columns_of_another_length_are_refused(tmp_path):
    with pytest.raises(DataError, match="columns of one length"):
        write_atomic(tmp_path / "a.user", {"a:token": [1, 2], "b:token": [1]})


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    monkeypatch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(ResourceError, match="disk full"):
        write_text(path, "new")
    assert path.read_text() == "old" and [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_encodings_and_byte_order_marks(tmp_path, encoding):
    path = tmp_path / "a.item"
    path.write_text("music_id:token\tgenre:token\nm1\tchäns\nm2\tpop\n", encoding=encoding)
    form = Format(encoding="utf-8" if encoding == "utf-8-sig" else encoding)
    assert list(read_header(path, form)) == ["music_id", "genre"]
    assert read_columns(path, ["genre"], form)["genre"].tolist() == ["chäns", "pop"]


@pytest.mark.parametrize(("lines", "found"), [(0, 2), (30_000, 30_002)])
def test_bytes_of_another_encoding_are_named_with_their_line(tmp_path, lines, found):
    path = tmp_path / "a.item"
    path.write_bytes(b"music_id:token\n" + b"track\n" * lines + b"ch\xe4ns\n")
    match = rf"a\.item, line {found}: expected text in utf-8, found byte 0xe4\. Set encoding"
    with pytest.raises(DataError, match=match):
        read_header(path)
        read_columns(path, ["music_id"])
