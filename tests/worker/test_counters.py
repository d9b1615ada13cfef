import pytest

from worker.counters import Counters


def test_time_is_added_up_per_stage_also_when_the_stage_fails() -> None:
    ticks = iter([10.0, 12.5, 20.0, 21.0])
    counters = Counters()

    with counters.timed("read", lambda: next(ticks)):
        pass
    with pytest.raises(ValueError), counters.timed("read", lambda: next(ticks)):
        raise ValueError

    assert counters.seconds == {"wait": 0.0, "decode": 0.0, "read": 3.5, "picture": 0.0, "commit": 0.0}


def test_every_block_is_reported_with_its_duration() -> None:
    ticks = iter([0.0, 0.5, 0.0, 60.0])
    blocks: list[tuple[str, float]] = []
    counters = Counters(on_timed=lambda stage, spent_s: blocks.append((stage, spent_s)))

    for stage in ("commit", "wait"):
        with counters.timed(stage, lambda: next(ticks)):
            pass

    assert blocks == [("commit", 0.5), ("wait", 60.0)]


def test_an_unknown_stage_is_a_mistake() -> None:
    with pytest.raises(KeyError), Counters().timed("nap"):
        pass
