import pytest

from ingest.footage.clock import Clock

STEP = 40
HOUR = 3600 * 1_000_000

CASES = {
    "rising stamps are kept": ([0, 40, 81, 500, 501], [0, 40, 81, 500, 501]),
    "the first stamp is zero": ([1400, 1440, 1480], [0, 40, 80]),
    "missing stamps follow their predecessor": ([0, None, None, 120], [0, 40, 80, 120]),
    "a missing stamp stays between its neighbours": ([0, None, 30], [0, 15, 30]),
    "a missing first stamp": ([None, 40, 80], [0, 40, 80]),
    "no stamps at all": ([None, None, None], [0, 40, 80]),
    "one stamp too late is put between its neighbours": ([0, 40, 9000, 120, 160], [0, 40, 80, 120, 160]),
    "one stamp too early is put between its neighbours": ([0, 40, 3, 120, 160], [0, 40, 80, 120, 160]),
    "a stamp that repeats": ([0, 40, 40, 80], [0, 40, 60, 80]),
    "a first stamp out of line": ([9000, 40, 80], [0, 40, 80]),
    "a clock that restarts goes on": ([5000, 5040, 5080, 0, 40, 80], [0, 40, 80, 120, 160, 200]),
    "a clock that stands still": ([7, 7, 7, 7], [0, 40, 80, 120]),
    "stamps beyond the claimed end": ([0, 40, 99 * HOUR, 99 * HOUR + 40], [0, 40, 80, 120]),
}


@pytest.mark.parametrize("case", CASES)
def test_stamps_become_rising_media_time(case: str) -> None:
    stamps, times = CASES[case]
    clock = Clock(STEP, None, HOUR)

    placed = [clock.place(stamp, after) for stamp, after in zip(stamps, [*stamps[1:], None], strict=True)]

    assert placed == times


def test_media_time_counts_from_the_claimed_start_when_first_frames_are_lost() -> None:
    clock = Clock(STEP, 1400, HOUR)

    assert [clock.place(1520, 1560), clock.place(1560, None)] == [120, 160]


@pytest.mark.parametrize("claimed", [-99 * HOUR, 1500, 99 * HOUR])
def test_a_claimed_start_that_contradicts_the_stamps_is_not_believed(claimed: int) -> None:
    clock = Clock(STEP, claimed, HOUR)

    assert [clock.place(1400, 1440), clock.place(1440, None)] == [0, 40]
