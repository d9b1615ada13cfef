"""What is told of a Redis that cannot be asked; what it knows is looked at in tests/integration."""

import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import closing
from threading import Event

import pytest
import redis

from contract.errors import BadLog, BadRequest, StoreUnavailable
from contract.labels import GapReason
from contract.records import Erase, Face, Gap, Progress, Record
from ingest.past import RedisPast, laid_out, routed_over, waiting
from ingest.pipeline import Stored
from runtime.bus import BusClosed
from tests.servers import fresh_redis, redis_server  # noqa: F401

CROP_BYTES = 100_000


def a_face(sequence: int) -> Face:
    return Face(
        source="file",
        session="s",
        sequence=sequence,
        event_time=sequence * 40_000,
        frame=sequence,
        track=1,
        person="file.s.1",
        box_xywh=(1.0, 2.0, 30.0, 40.0),
        quality=0.5,
        sharpness=0.5,
        yaw_deg=0.0,
        pitch_deg=0.0,
        roll_deg=0.0,
        score=0.9,
        crop=bytes(CROP_BYTES),
    )


def past_of(monkeypatch: pytest.MonkeyPatch, stored: Stored, waiting: Iterable[Record]) -> Stored:
    """The past where Redis holds one thing and the log another."""
    monkeypatch.setattr(RedisPast, "_stored", lambda self, source, session: (stored, 7))
    with closing(RedisPast("redis://localhost:1", partitions=1, backlog=lambda source, offset: waiting)) as past:
        return past("file", "s")


def test_a_long_backlog_is_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def faces() -> Iterator[Record]:
        yield from map(a_face, range(500))  # 50 MB of crops

    tracemalloc.start()
    try:
        assert past_of(monkeypatch, Stored(), faces()) == Stored(499)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 20 * CROP_BYTES  # two crops and a Redis client; all of them would be 500


def test_what_waits_is_added_to_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Gap(source="file", session="s", sequence=5, begin=0, end=9, reason=GapReason.INTERRUPTED)
    end = Progress(source="file", session="s", sequence=9, event_time=9, frames=9, looked_at=9, closed=True)

    assert past_of(monkeypatch, Stored(3, (1,)), [stop, end]) == Stored(9, (1, 5), closed=True)


def test_an_interruption_that_waits_takes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Gap(
        source="file", session="s", sequence=4, begin=0, end=9, reason=GapReason.INTERRUPTED, frames=3, looked_at=3
    )

    assert past_of(monkeypatch, Stored(3), [stop]) == Stored(3)


def test_an_erasure_that_waits_is_no_record_of_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    erase = Erase(source="file", session="s", sequence=4, person="file.s.1")

    assert past_of(monkeypatch, Stored(), [erase]) == Stored()


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:1/0?password=hunter2",
        "redis://user:hunter2@localhost:1/0",
        "redis://localhost:1/0?username=user&password=hunter2",
    ],
)
def test_no_password_is_shown_when_redis_does_not_answer(url: str) -> None:
    past = RedisPast(url, partitions=1)

    with pytest.raises(StoreUnavailable, match="redis://localhost:1/0: Redis does not answer") as shown:
        past("file", "s")

    assert "hunter2" not in str(shown.value)


def test_no_password_is_shown_where_the_address_cannot_be_read() -> None:
    with pytest.raises(BadRequest) as shown:
        RedisPast("redis://user:hun/ter2@localhost:6379/0", partitions=1)  # the slash ends the address in «hun»

    assert shown.value.__context__ is None
    assert "hun" not in str(shown.value)


def test_a_redis_that_is_silent_is_waited_for_and_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Exception | Stored] = [StoreUnavailable("Redis is silent")] * 3 + [Stored(7)]  # type: ignore[list-item]

    def ask(source: str, session: str) -> Stored:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert waiting(ask, Event(), (0.001, 0.002))("file", "s") == Stored(7)
    assert caplog.messages == ["waiting: Redis is silent"]


def test_a_stop_ends_the_wait_and_another_error_is_raised() -> None:
    def fails(error: Exception) -> Stored:
        raise error

    stop = Event()
    stop.set()
    with pytest.raises(BusClosed):
        waiting(fails, stop)(StoreUnavailable("silent"))
    with pytest.raises(BadRequest):
        waiting(fails, Event())(BadRequest("no address"))


def test_sources_are_spread_as_the_store_is_laid_out(caplog: pytest.LogCaptureFixture) -> None:
    assert [routed_over("faces", 12, None), routed_over("faces", 12, 12)] == [12, 12]
    assert not caplog.messages
    assert routed_over("faces", 13, 12) == 12
    assert "topic faces has 13 partitions, the store is laid out for 12" in caplog.text
    with pytest.raises(BadLog, match="topic faces has 6 partitions, the store is laid out for 12"):
        routed_over("faces", 6, 12)


@pytest.mark.integration
def test_the_layout_is_read_from_redis(fresh_redis: str) -> None:  # noqa: F811
    assert laid_out(fresh_redis) is None
    with closing(redis.Redis.from_url(fresh_redis)) as server:
        server.hset("mien:layout", mapping={"version": 1, "partitions": 7})

    assert laid_out(fresh_redis) == 7
