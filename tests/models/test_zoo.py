"""The zoo: what is shipped is whole, and cards are written whole or not at all."""

import msgspec
import pytest

from contract.errors import BadOutput, UnknownNet
from contract.model_card import read_card, weights_of
from models import zoo


@pytest.mark.parametrize("name", zoo.cards())
def test_every_shipped_file_is_the_one_that_its_card_describes(name):
    card, folder = zoo.find(name)

    assert card.name == name
    assert len(weights_of(card, folder)) < 40_000_000


def test_a_card_comes_back_as_it_was_written(tmp_path):
    card, _ = zoo.find("expressions.int8")

    zoo.write_card(card, tmp_path / "card.json")

    assert read_card(tmp_path / "card.json") == card


def test_a_card_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    card, _ = zoo.find("expressions")
    path = tmp_path / "card.json"
    zoo.write_card(card, path)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BadOutput, match="No space left on device"):
        zoo.write_card(msgspec.structs.replace(card, version="2"), path)

    assert read_card(path) == card
    assert [each.name for each in tmp_path.iterdir()] == ["card.json"]


def test_a_name_that_is_not_shipped_lists_those_that_are():
    with pytest.raises(UnknownNet, match=r"no net «frowns» in the zoo; there are: .*expressions"):
        zoo.find("frowns")
