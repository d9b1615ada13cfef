import time
from collections.abc import Iterator

import pytest

from contract.errors import LogReplaced, RecordsExpired
from contract.records import Delivery
from tests.worker.fake_kafka import TOPIC, TOPIC_ID, FakeConsumer
from worker.log import Assigned, Log, Revoked

from worker.kafka.log import KafkaLog  # isort: skip  # fake_kafka imports kafka-python first, without its warning
from worker.kafka.member import Member  # isort: skip
from worker.kafka.settings import KafkaSettings  # isort: skip

LOG = str(TOPIC_ID)
QUICK = {"poll_s": 0.005, "full_poll_s": 0.005, "close_s": 0.5}


class PacedConsumer(FakeConsumer):
    """Waits in poll, as a real one does."""

    def poll(self, timeout_ms: int) -> dict:
        fetched = super().poll(timeout_ms)
        if not fetched:
            time.sleep(timeout_ms / 1000)
        return fetched


def a_log(consumer: FakeConsumer, **settings: object) -> KafkaLog:
    def join(settings: KafkaSettings) -> Member:
        member = Member(consumer, TOPIC)
        consumer._cluster.answer()
        return member

    return KafkaLog(KafkaSettings(bootstrap="nowhere:1", topic=TOPIC, **{**QUICK, **settings}), join=join)


@pytest.fixture
def consumer() -> PacedConsumer:
    made = PacedConsumer({0: 100, 1: 100})
    made.on_poll.append(lambda: made.give(0, 1))
    return made


@pytest.fixture
def log(consumer: PacedConsumer) -> Iterator[KafkaLog]:
    made = a_log(consumer)
    yield made
    made.abandon()


def test_it_is_a_log_as_the_worker_wants_it(log: KafkaLog):
    wanted: Log = log

    assert wanted.rewind(LOG, 0, 0) is True


def test_everything_comes_once_and_in_order_per_partition(log: KafkaLog):
    seen: dict[int, list[int]] = {0: [], 1: []}
    for item in log.deliveries(0.5):
        if isinstance(item, Assigned):
            log.rewind(item.log, item.partition, 10 * item.partition)
        elif isinstance(item, Delivery):
            seen[item.partition].append(item.offset)
        if sum(map(len, seen.values())) == 190:
            break

    assert seen == {0: list(range(100)), 1: list(range(10, 100))}


def test_a_rewind_in_the_middle_of_a_run_cuts_it_short(log: KafkaLog):
    seen: list[int] = []
    for item in log.deliveries(0.5):
        if isinstance(item, Assigned):
            log.rewind(item.log, item.partition, 0)
        elif isinstance(item, Delivery) and item.partition == 0:
            seen.append(item.offset)
            if seen == [0, 1, 2, 3]:
                log.rewind(LOG, 0, 2)
        if len(seen) == 8:
            break

    assert seen == [0, 1, 2, 3, 2, 3, 4, 5]


def test_a_second_call_goes_on_where_the_first_was_left(log: KafkaLog):
    seen: list[int] = []
    while len(seen) < 20:
        for item in log.deliveries(0.5):
            if isinstance(item, Assigned) and item.partition == 0:
                log.rewind(LOG, 0, 0)
            elif isinstance(item, Delivery):
                seen.append(item.offset)
                break

    assert seen == list(range(20))


def test_none_comes_when_nothing_does(log: KafkaLog):
    items = log.deliveries(0.02)

    assert [type(next(items)) for _ in range(3)] == [Assigned, Assigned, type(None)]


def test_a_partition_of_another_log_cannot_be_rewound(log: KafkaLog):
    with pytest.raises(LogReplaced, match=f"{LOG}, not 99"):
        log.rewind("99", 0, 0)


def test_stopping_ends_the_deliveries_and_keeps_the_group_until_we_go(log: KafkaLog, consumer: PacedConsumer):
    items = log.deliveries(0.02)
    next(items)

    log.stop()

    assert list(items) == []
    assert not consumer.is_closed
    log.abandon()
    assert consumer.is_closed


def test_going_tells_the_group_what_was_applied(log: KafkaLog, consumer: PacedConsumer):
    items = log.deliveries(0.5)
    next(items), next(items)
    log.rewind(LOG, 1, 40)
    log.applied(1, 42)

    log.abandon()

    assert consumer.committed[-1] == {1: 42}


def test_what_ends_the_polling_thread_reaches_the_worker():
    consumer = PacedConsumer({0: 100})
    consumer.begins[0] = 50
    consumer.on_poll = [lambda: consumer.give(0), lambda: None, lambda: None]
    log = a_log(consumer)
    consumer._cluster.request_update = consumer._cluster.answer

    items = log.deliveries(0.5)
    assert next(items) == Assigned(LOG, 0)
    log.rewind(LOG, 0, 0)
    with pytest.raises(RecordsExpired, match="50 records"):
        next(item for item in items if item is not None)

    assert consumer.is_closed, "others may have its partitions at once"
    log.abandon()


def test_status_tells_what_is_held_and_how_far_behind(consumer: PacedConsumer):
    log = a_log(consumer, partition_records=32, watch_s=0.0)
    items = log.deliveries(0.5)
    next(items), next(items)
    log.rewind(LOG, 0, 20)
    deadline = time.monotonic() + 5
    while (status := log.status()).lag.get(0) != 80 or not status.buffered_records:
        assert time.monotonic() < deadline, status
        time.sleep(0.01)

    log.applied(0, 90)
    status = log.status()
    log.abandon()

    assert status.log == LOG
    assert status.assigned == (0, 1)
    assert status.lag == {0: 10}, "of a partition that has not begun nobody knows"
    assert status.buffered_records == 80
    assert status.buffered_bytes > 80
    assert status.parked == {}
    assert status.poll_age_s < 5
    assert (status.recycles, status.expired, status.commit_failures) == (0, {}, 0)


def test_a_revocation_reaches_the_worker(log: KafkaLog, consumer: PacedConsumer):
    items = log.deliveries(0.5)
    next(items), next(items)

    consumer.on_poll.append(lambda: consumer.take(1))

    assert next(items) == Revoked(LOG, 1)
