from worker.reading.clock import AnchoredClock


def test_a_step_of_the_wall_clock_moves_nothing() -> None:
    wall, monotonic = [1_700_000_000_000_000_000], [5_000_000_000]
    clock = AnchoredClock(lambda: wall[0], lambda: monotonic[0])

    wall[0] += 3_600_000_000_000
    monotonic[0] += 2_500_000

    assert clock() == 1_700_000_000_002_500
