"""Lists as options: how they are read, and what is said of one that cannot be."""

from __future__ import annotations

import pytest

from recbole_decm.cli.main import main
from recbole_decm.cli.options import names, numbers


def test_lists_are_separated_by_commas_or_spaces():
    assert names(None, None, "DecCM, Pop BPR,,") == ["DecCM", "Pop", "BPR"]
    assert numbers(int, "integers")(None, None, "1,2, 3") == [1, 2, 3]
    assert numbers(float, "numbers")(None, None, "0 1e-2") == [0.0, 0.01]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["compare", "--seeds=1,two"], "expected integers separated by commas, found '1,two'"),
        (["teacher-sweep", "--seeds=1.5"], "expected integers separated by commas, found '1.5'"),
        (["teacher-sweep", "--weights=much"], "expected numbers separated by commas, found 'much'"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_before_any_training(command, message, capsys):
    assert main(command) == 2
    assert message in " ".join(capsys.readouterr().err.split())
