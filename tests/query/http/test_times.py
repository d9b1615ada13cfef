from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import BadRequest
from query.http.times import cursor_of, event_time, instant, parse_cursor, parse_cursor_us, parse_every, parse_time


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("0.2s", 200_000),
        ("200ms", 200_000),
        ("0.2", 200_000),  # a plain number is seconds
        ("1m", 60_000_000),
        ("1h", 3_600_000_000),
        ("0.040001", 40_001),
        ("1ms", 1_000),
        ("1d", 86_400_000_000),
    ],
)
def test_a_length_is_read_exactly(text: str, us: int) -> None:
    assert parse_every(text) == us


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1s", "1w", "nan", "inf", "1e3", "0.5ms", "0.0000001", "367000h", "367d", "1_0", "1 m", "٣s", "9" * 30],
)
def test_a_length_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="every="):
        parse_every(text)


def test_a_number_is_seconds_since_the_first_frame_of_dated_and_undated_sessions() -> None:
    assert event_time(parse_time("12.5", "from"), opened_at=0, dated=False, name="from") == 12_500_000
    assert event_time(parse_time("12.5", "from"), opened_at=7_000_000, dated=True, name="from") == 19_500_000


@pytest.mark.parametrize(
    "text",
    ["2026-11-21T09:30:00Z", "2026-11-21T10:30:00+01:00", "2026-11-21T10:30:00 01:00"],  # the last: «+» sent unquoted
)
def test_a_date_with_a_zone_is_an_instant(text: str) -> None:
    moment = parse_time(text, "from")

    assert moment == datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    assert event_time(moment, opened_at=5, dated=True, name="from") == 1_795_253_400_000_000


def test_a_date_for_a_source_without_one_is_refused() -> None:
    with pytest.raises(BadRequest, match="carries no date"):
        event_time(parse_time("2026-11-21T09:30:00Z", "to"), opened_at=0, dated=False, name="to")


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T09:30:00",  # no zone
        "1795253400",  # a Unix time
        "1795253400000000",  # microseconds
        "nan",
        "-inf",
        "yesterday",
        "",
        "\x00",
        "1_000",
        "١٢",
        "0x10",
    ],
)
def test_other_units_are_refused_and_not_guessed(text: str) -> None:
    with pytest.raises(BadRequest, match="from="):
        parse_time(text, "from")


@given(st.integers(-(10**16), 10**17))
def test_an_instant_reads_back_as_itself(us: int) -> None:
    assert event_time(parse_time(instant(us), "from"), opened_at=0, dated=True, name="from") == us


def test_instants_at_the_ends_of_the_calendar_do_not_overflow() -> None:
    for moment in (datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), datetime.max.replace(tzinfo=UTC)):
        assert abs(event_time(moment, opened_at=0, dated=True, name="from")) < 2**62


@given(st.lists(st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_a_cursor_reads_back(parts: list[str]) -> None:
    assert parse_cursor(cursor_of(*parts), len(parts)) == parts


@pytest.mark.parametrize("token", ["?", "AAAA", "%%%", "ä", "a" * 5, cursor_of("1e5")])
def test_a_made_up_cursor_is_refused(token: str) -> None:
    with pytest.raises(BadRequest, match="cursor"):
        parse_cursor_us(parse_cursor(token, 1)[0])
