"""The short form: some requests of each kind, good and malformed, at a server in a process of its own."""

from __future__ import annotations

import random
import sys
import warnings

import pytest

if sys.platform != "linux":
    pytest.skip("decodes uploads", allow_module_level=True)
pytest.importorskip("av", reason="PyAV is not installed: pip install 'recbole-decm[media]'")

from faults.malformed import by_hand, by_schema, serving
from helpers.media_files import COLOURS, plain, tone, write_clip


def test_bad_requests_are_refused_good_ones_answered_and_the_server_goes_on(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", plain(COLOURS[0], 10), sound=tone(440, 1, 8000), rate=8000).read_bytes()
    with serving(tmp_path) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = by_hand(server, clip, 150, random.Random(1))
        table["of the description"] = by_schema(server, 30, 1)
        assert server.process.poll() is None and server.left() == []
    assert {name: counts["wrong"] for name, counts in table.items()} == dict.fromkeys(table, 0)
    assert table["good"]["2xx"] == 25 and table["of the description"]["sent"] >= 12
