import pytest

from contract.errors import BadRequest
from mien.clock import media_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("1:30", 90), ("1:01:30.5", 3690.5), ("0", 0), ("2h", 7200)],
)
def test_a_place_in_a_video_is_written_in_several_ways(text, seconds):
    assert media_time(text, "--from") == seconds * 1_000_000


@pytest.mark.parametrize("text", ["", "a minute", "-1", "1:2:3:4", "1_000", "nan", "2026-11-21T09:30:00Z"])
def test_anything_else_is_refused_in_one_line(text):
    with pytest.raises(BadRequest, match=r"--to .*: wanted seconds"):
        media_time(text, "--to")


def test_nothing_is_nothing():
    assert media_time(None, "--from") is None
