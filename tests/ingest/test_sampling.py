import pytest

from contract.errors import BadRequest
from ingest.sampling import sampler


def looked_at(times_us: list[int], *, every_n: int | None = None, sample_hz: float | None = None) -> list[int]:
    wanted = sampler(every_n, sample_hz)
    return [index for index, time in enumerate(times_us) if wanted(index, time)]


def test_without_a_choice_every_frame_is_looked_at() -> None:
    assert looked_at([0, 40_000, 80_000]) == [0, 1, 2]


def test_every_nth_counts_frames_not_time() -> None:
    assert looked_at([0, 1, 2, 900_000, 900_001, 900_002, 900_003], every_n=3) == [0, 3, 6]


def test_a_rate_counts_time_not_frames() -> None:
    times = [0, 10_000, 20_000, 500_000, 510_000, 2_000_000, 2_100_000, 2_210_000]  # a variable frame rate

    assert looked_at(times, sample_hz=5) == [0, 3, 5, 7]


@pytest.mark.parametrize("hz", [5, 12.5, 25])
def test_a_steady_video_is_sampled_evenly(hz: float) -> None:
    step = round(25 / hz)

    assert looked_at([40_000 * i for i in range(200)], sample_hz=hz) == list(range(0, 200, step))


@pytest.mark.parametrize("hz", [29.97, 30, 60])
def test_a_rate_at_or_above_the_frame_rate_keeps_every_frame_despite_stamps_in_milliseconds(hz: float) -> None:
    times = [1000 * round(i * 1001 / 30) for i in range(600)]  # 29.97 fps as Matroska stamps it

    assert len(looked_at(times, sample_hz=hz)) >= 599  # 30 Hz against 29.97 fps: at most one slot slips in 20 s


@pytest.mark.parametrize(
    ("choice", "seen"),
    [
        ({"every_n": 0}, "every_n is 0"),
        ({"sample_hz": 0}, "sample_hz is 0"),
        ({"sample_hz": float("nan")}, "sample_hz is nan"),
        ({"sample_hz": -1}, "sample_hz is -1"),
        ({"every_n": 2, "sample_hz": 5}, "exclude each other"),
    ],
)
def test_a_choice_out_of_range_is_a_bad_request(choice: dict[str, float], seen: str) -> None:
    with pytest.raises(BadRequest, match=seen):
        sampler(choice.get("every_n"), choice.get("sample_hz"))  # type: ignore[arg-type]
