import numpy as np
import pytest

from ingest.faces.appearance import Look
from ingest.faces.odds import COLOURS_AT_MOST, Expected, colour_odds, cut_odds, place_odds

WIDTH = 640.0


def look(*bins, seen=(1.0, 1.0, 1.0)):
    """All of each part in one bin."""
    parts = np.zeros((3, 8), np.float32)
    parts[np.arange(3), bins] = 1.0
    return Look(parts, np.array(seen, np.float32), True)


def here(unseen_s, *, followed=False):
    return Expected(np.array([300, 100], np.float32), 50.0, unseen_s, True, followed)


def test_the_same_colours_speak_for_one_person_and_others_for_two():
    assert 3 < colour_odds(look(1, 2, 3), look(1, 2, 3)) <= COLOURS_AT_MOST
    assert -COLOURS_AT_MOST <= colour_odds(look(1, 2, 3), look(4, 5, 6)) < -3


def test_colours_that_nobody_saw_speak_for_neither():
    assert colour_odds(look(1, 2, 3, seen=(0, 0, 0)), look(1, 2, 3)) == 0


@pytest.mark.parametrize("followed", [True, False])
def test_the_nearer_the_likelier(followed):
    odds = [
        place_odds(here(0.2, followed=followed), np.array([300 + x, 100], np.float32), 50.0, WIDTH)
        for x in (0, 20, 60, 200)
    ]

    assert odds == sorted(odds, reverse=True)
    assert odds[0] > 3
    assert odds[-1] < -2


def test_a_place_long_ago_says_little():
    there = np.array([550, 100], np.float32)

    assert abs(place_odds(here(20.0), there, 50.0, WIDTH)) < 1


def test_a_face_of_another_size_is_another():
    place = np.array([300, 100], np.float32)

    assert place_odds(here(0.04), place, 100.0, WIDTH) < place_odds(here(0.04), place, 50.0, WIDTH) - 4


def test_across_a_cut_the_same_colours_are_the_same_person_and_others_are_not():
    assert cut_odds(look(1, 2, 3), look(1, 2, 3), 40) > 0
    assert cut_odds(look(1, 2, 3), look(1, 2, 4), 40) < 0 < cut_odds(look(1, 2, 3), look(1, 2, 4), 1)
    assert cut_odds(look(1, 2, 3), look(4, 5, 6), 1) < 0


def test_across_a_cut_colours_that_nobody_saw_are_nobodys():
    assert cut_odds(look(1, 2, 3, seen=(0, 0, 0)), look(1, 2, 3), 1) <= 0
