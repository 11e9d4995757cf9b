"""A checkpoint knows how its features were made, and refuses those of another extractor, weights or sampling."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.running import run_quick

from recbole_decm.errors import DataError
from recbole_decm.media.cards import Card, as_values, write_cards
from recbole_decm.serving.entry import open_recommender
from recbole_decm.training.checkpoint import read_checkpoint, write_checkpoint
from recbole_decm.training.evaluate import evaluate

PICTURE = Card(
    extractor="clip", version=1, weights="aa", sampling={"fps": 1}, window="mean", dimension=12, licence="MIT"
)
SOUND = Card(extractor="clap", version=1, weights="bb", sampling={"rate": 8}, window="mean", dimension=8, licence="MIT")
CARDS = {"visual": PICTURE, "acoustic": SOUND, "unread": SOUND}
OTHERS = {
    "weights": (PICTURE.model_copy(update={"weights": "cc"}), "weights: aa, cc"),
    "sampling": (PICTURE.model_copy(update={"sampling": {"fps": 2}}), "sampling fps: 1, 2"),
    "extractor": (PICTURE.model_copy(update={"extractor": "timm"}), "extractor: clip, timm"),
}


@pytest.fixture
def trained(own_planted) -> Path:
    for name in ("planted", "planted-pgc"):
        write_cards(own_planted / name / "features.json", CARDS)
    run_quick("CMVAE", own_planted, epochs=1)
    return next(Path("saved").glob("*.pth"))


def test_a_checkpoint_carries_the_cards_and_refuses_features_made_in_another_way(trained, own_planted):
    content = read_checkpoint(trained)
    assert content["features"] == as_values({"visual": PICTURE, "acoustic": SOUND})
    before = evaluate(trained)["test"]
    open_recommender(trained)
    file = own_planted / "planted" / "features.json"
    for card, words in OTHERS.values():
        write_cards(file, CARDS | {"visual": card})
        for use in (evaluate, open_recommender):
            with pytest.raises(DataError, match=rf"features\.json: expected visual made as .*{words}"):
                use(trained)
        with pytest.raises(DataError, match=words):
            run_quick("CMVAE", own_planted, epochs=2, checkpoint=str(trained))
    write_cards(file, CARDS | {"unread": PICTURE})
    assert evaluate(trained)["test"] == before
    file.unlink()  # features that say nothing are taken as before
    assert evaluate(trained)["test"] == before
    write_cards(file, CARDS | {"visual": OTHERS["weights"][0]})
    old = {key: value for key, value in content.items() if key not in ("features", "format", "format_version")}
    write_checkpoint(Path("old.pth"), old)
    assert evaluate("old.pth")["test"] == before


def test_a_teacher_has_to_look_at_features_made_as_the_students(trained, own_planted):
    card, words = OTHERS["weights"]
    write_cards(own_planted / "planted-pgc" / "features.json", CARDS | {"visual": card})
    with pytest.raises(DataError, match=r"planted/features\.json: expected visual made as .*weights: cc, aa"):
        run_quick("DecCM", own_planted, epochs=1, teacher_config={"epochs": 1})
    write_cards(own_planted / "planted" / "features.json", CARDS | {"visual": card})
    with pytest.raises(DataError, match=words):
        run_quick("DecCM", own_planted, epochs=1, teacher=str(trained))


def test_a_model_without_content_does_not_heed_them(own_planted):
    write_cards(own_planted / "planted" / "features.json", CARDS)
    run_quick("Pop", own_planted, epochs=1)
    assert read_checkpoint(next(Path("saved").glob("*.pth")))["features"] is None
