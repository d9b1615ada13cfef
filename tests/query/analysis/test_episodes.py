import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import BadRequest
from query.analysis.episodes import Rule, episodes

T = np.arange(20) * 0.1


def test_noise_between_the_thresholds_cuts_nothing() -> None:
    values = np.array([0, 0, 0.7, 0.5, 0.8, 0.45, 0.6, 0.3, 0.5, 0.2, 0, 0, 0.7, 0, 0, 0, 0, 0, 0, 0.9])

    long, short, open_end = episodes(T, values, Rule(on=0.6, off=0.4))

    assert (long.onset, long.apex, long.offset) == pytest.approx((0.2, 0.4, 0.7))
    assert (long.peak, long.readings, long.cut) == (0.8, 5, "none")
    assert (short.onset, short.readings) == (pytest.approx(1.2), 1)
    assert (open_end.cut, open_end.offset) == ("offset", pytest.approx(2.0))  # the last reading and a step
    assert [each.onset for each in episodes(T, values, Rule(on=0.6, off=0.4, least_s=0.3))] == [long.onset]


def test_nothing_is_known_across_a_hole() -> None:
    t = np.array([0.0, 0.1, 0.2, 3.0, 3.1, 3.2])
    values = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.1])

    first, second = episodes(t, values, Rule(on=0.6, off=0.4, hole_s=0.5))

    assert (first.onset, first.offset, first.cut) == (0.0, pytest.approx(0.3), "both")
    assert (second.onset, second.offset, second.cut) == (3.0, 3.2, "onset")


def test_a_missing_value_is_a_reading_that_is_not_there() -> None:
    values = np.where(np.arange(20) == 10, np.nan, 0.9)
    (one,) = episodes(T, values, Rule(on=0.6, off=0.4, hole_s=0.5))
    assert one.readings == 19
    assert episodes(T, np.full(20, np.nan), Rule(on=0.6, off=0.4)) == []


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0, 1), st.floats(0, 1))
def test_episodes_are_those_of_a_walk_reading_by_reading(values: list[float], a: float, b: float) -> None:
    rule = Rule(on=max(a, b), off=min(a, b))
    seen = [(each.onset, each.readings) for each in episodes(np.arange(len(values)) * 0.1, np.array(values), rule)]

    walked, begin = [], None
    for place, value in enumerate([*values, -1]):
        if begin is None and value >= rule.on:
            begin = place
        elif begin is not None and value < rule.off:
            walked.append((begin * 0.1, place - begin))
            begin = place if value >= rule.on else None
    assert seen == [(pytest.approx(onset), readings) for onset, readings in walked]


def test_a_rule_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(BadRequest, match="above on"):
        Rule(on=0.4, off=0.6)
