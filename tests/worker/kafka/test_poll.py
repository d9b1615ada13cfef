import logging
import threading
from collections.abc import Callable
from uuid import UUID

import pytest

from contract.errors import BadLog, LogReplaced, LogUnavailable, RecordsExpired
from contract.records import Delivery, Unreadable
from contract.wire import Message
from tests.worker.fake_kafka import TOPIC, FakeConsumer, a_message, a_progress
from worker.log import NO_RECORD, Assigned, Revoked

from kafka import TopicPartition  # isort: skip  # fake_kafka imports it first, without its warning
from kafka.errors import (  # isort: skip
    CorruptRecordError,
    KafkaConnectionError,
    LogTruncationError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)
from worker.kafka.buffers import Buffers  # isort: skip
from worker.kafka.member import Member  # isort: skip
from worker.kafka.failures import BAD_SUMS, FORGET_S, GIVE_UPS  # isort: skip
from worker.kafka.poll import Poller, Stopped  # isort: skip
from worker.kafka.settings import KafkaSettings  # isort: skip
from worker.kafka.terms import Terms  # isort: skip


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A poller on scripted consumers, driven round by round; `consumers` holds those joined, the last one in use."""

    def __init__(self, *consumers: FakeConsumer, **settings: object) -> None:
        self.settings = KafkaSettings(bootstrap="nowhere:1", topic=TOPIC, **settings)
        self.clock = Clock()
        self.waiting = list(consumers)
        self.consumer = consumers[0]
        self.buffers = Buffers(self.settings.run_records)
        self.poller = Poller(self.settings, self.join(self.settings), self.buffers, self.join, self.clock)

    def join(self, settings: KafkaSettings) -> Member:
        self.consumer = self.waiting.pop(0)
        member = Member(self.consumer, TOPIC, self.clock)
        self.consumer._cluster.answer()
        return member

    def rounds(self, count: int = 1) -> None:
        for _ in range(count):
            self.poller.round()

    def begin(self, *partitions: int, at: int = 0) -> None:
        """Our partitions, assigned and rewound."""
        self.consumer.on_poll.append(lambda: self.consumer.give(*partitions))
        self.rounds()
        for partition in partitions:
            self.rewind(partition, at)

    def rewind(self, partition: int, offset: int) -> None:
        self.buffers.close(partition)
        self.poller.rewind(partition, offset)

    def handed_over(self) -> list[object]:
        """What the worker would see: words, and (partition, offset) of deliveries."""
        seen: list[object] = []
        while run := self.buffers.next_run(0):
            seen += [(each.partition, each.offset) if isinstance(each, Delivery) else each for each in run.items]
        return seen


def events_of(bench: Bench, kind: Callable[[str, int], object], *partitions: int) -> list[object]:
    return [kind(bench.poller.log, partition) for partition in partitions]


def test_an_assigned_partition_waits_for_rewind_and_begins_there():
    bench = Bench(FakeConsumer({0: 10}))
    bench.consumer.on_poll.append(lambda: bench.consumer.give(0))

    bench.rounds(3)

    assert bench.handed_over() == events_of(bench, Assigned, 0)
    bench.rewind(0, 7)
    bench.rounds()
    assert bench.handed_over() == [(0, 7), (0, 8), (0, 9)]


def test_a_rewind_hands_over_again_and_nothing_from_before_it():
    bench = Bench(FakeConsumer({0: 6}))
    bench.begin(0)
    bench.rounds()

    bench.rewind(0, 2)
    bench.rounds()

    assert bench.handed_over() == [*events_of(bench, Assigned, 0), (0, 2), (0, 3), (0, 4), (0, 5)]


def test_of_a_revoked_partition_nothing_comes_and_others_go_on():
    bench = Bench(FakeConsumer({0: 4, 1: 4}))
    bench.begin(0, 1)
    bench.rounds()
    bench.handed_over()
    bench.consumer.ends = {0: 6, 1: 6}
    bench.consumer.on_poll.append(lambda: bench.consumer.take(0))

    bench.rounds(2)

    assert bench.handed_over() == [*events_of(bench, Revoked, 0), (1, 4), (1, 5)]


def test_a_partition_taken_and_given_back_within_one_poll_waits_for_a_new_rewind():
    bench = Bench(FakeConsumer({0: 4}))
    bench.begin(0)
    bench.rounds()

    def taken_and_given() -> None:
        bench.consumer.take(0, lost=True)
        bench.consumer.give(0)

    bench.consumer.on_poll.append(taken_and_given)
    bench.rounds(2)

    log = bench.poller.log
    assert bench.handed_over() == [Assigned(log, 0), Revoked(log, 0), Assigned(log, 0)]


def test_a_rewind_of_the_assignment_before_does_not_release_the_present_one():
    bench = Bench(FakeConsumer({0: 4}))
    bench.begin(0)
    consumer = bench.consumer

    def elsewhere() -> None:  # the client's thread, after our rewind was obeyed and before the poll came back
        thread = threading.Thread(target=lambda: (consumer.take(0), consumer.give(0), consumer.resume(_place(0))))
        thread.start()
        thread.join()

    consumer.on_poll.append(elsewhere)
    bench.rounds(3)

    log = bench.poller.log
    assert bench.handed_over() == [Assigned(log, 0), Revoked(log, 0), Assigned(log, 0)]
    assert 0 in consumer.paused_partitions


def test_a_rewind_of_a_partition_that_is_gone_is_passed_over():
    bench = Bench(FakeConsumer({0: 4}))

    bench.rewind(5, 3)
    bench.rounds(2)

    assert bench.handed_over() == []


def test_a_full_buffer_pauses_its_partition_alone_and_half_of_it_resumes():
    bench = Bench(FakeConsumer({0: 1000, 1: 3}, per_poll=8), partition_records=16, run_records=4)
    bench.begin(0, 1)

    bench.rounds(5)

    assert bench.consumer.paused_partitions == {0}
    assert bench.buffers.levels() == {0: (16, bench.buffers.levels()[0][1]), 1: (3, bench.buffers.levels()[1][1])}
    while bench.buffers.levels()[0][0] > 8:
        bench.buffers.next_run(0)
    bench.rounds()
    assert bench.consumer.paused_partitions == set()
    assert bench.handed_over()[-1] == (0, 23)


def test_nothing_is_lost_or_repeated_over_many_pauses():
    bench = Bench(FakeConsumer({0: 500, 1: 300}, per_poll=7), partition_records=20, run_records=3)
    bench.begin(0, 1)
    seen: list[object] = []

    for _ in range(400):
        bench.rounds()
        if run := bench.buffers.next_run(0):
            seen += [(each.partition, each.offset) for each in run.items if isinstance(each, Delivery)]

    assert [offset for partition, offset in seen if partition == 0] == list(range(500))
    assert [offset for partition, offset in seen if partition == 1] == list(range(300))


def test_an_emptied_list_in_the_clients_line_is_let_go_and_a_full_one_kept():
    bench = Bench(FakeConsumer())
    fetcher = bench.consumer._fetcher

    fetcher._next_partition_records = ["a record"]
    bench.rounds()
    assert fetcher._next_partition_records == ["a record"]
    fetcher._next_partition_records = []
    bench.rounds()
    assert fetcher._next_partition_records is None


def test_the_total_is_shared_equally_however_large_the_messages():
    size = len(a_message(0).value)
    bench = Bench(FakeConsumer({0: 1000, 1: 1000}, per_poll=1), buffer_bytes=20 * size, partition_bytes=1 << 20)
    bench.begin(0, 1)

    bench.rounds(50)

    assert all(size * 9 <= held <= size * 11 for _, held in bench.buffers.levels().values())


def test_full_partitions_are_looked_at_more_often_and_the_group_is_polled_all_the_same():
    bench = Bench(FakeConsumer({0: 1000}), partition_records=16, poll_s=0.1, full_poll_s=0.02)
    bench.begin(0)

    bench.rounds(4)

    assert bench.consumer.polls == [100, 100, 20, 20, 20], "one to be assigned, one that fills it"


def test_what_is_no_record_is_handed_over_in_its_place():
    bench = Bench(FakeConsumer({0: 3}))
    bench.consumer.messages[0, 1] = Message(b"cam", b"\x93garbage", [("content-type", b"text/plain")])
    bench.begin(0)
    bench.rounds()

    items = [each for _ in range(2) if (run := bench.buffers.next_run(0)) for each in run.items]
    records = [each.record for each in items if isinstance(each, Delivery)]

    assert records[0] == a_progress(0)
    assert isinstance(records[1], Unreadable)
    assert records[2] == a_progress(2)


def test_a_newer_version_parks_its_partition_and_is_never_passed_over(caplog: pytest.LogCaptureFixture):
    bench = Bench(FakeConsumer({0: 5, 1: 5}), alarm_s=60.0, watch_s=10.0)
    newer = a_message(3)
    bench.consumer.messages[0, 3] = Message(newer.key, newer.value, [_newer(header) for header in newer.headers])
    bench.begin(0, 1)

    for _ in range(13):
        bench.rounds()
        bench.clock.now += 10.0

    seen = bench.handed_over()
    assert [each for each in seen if isinstance(each, tuple) and each[0] == 0] == [(0, 0), (0, 1), (0, 2)]
    assert (1, 4) in seen
    assert bench.poller.partitions[0].parked.startswith("offset 3: ")
    assert bench.poller.recycles == 0
    alarms = [each for each in caplog.records if (each.name, each.levelno) == ("worker.kafka.poll", logging.ERROR)]
    assert len(alarms) == 2 + 1, "one at once, then one a minute in 120 s"


def test_expired_records_stop_the_worker_with_their_exact_count():
    bench = Bench(FakeConsumer({0: 600}))
    bench.consumer.begins[0] = 510
    bench.begin(0, at=10)
    bench.rounds()
    bench.consumer._cluster.answer()

    with pytest.raises(RecordsExpired, match="wanted offset 10, but the log begins at 510: 500 records"):
        bench.rounds(2)


def test_expired_records_are_passed_over_one_by_one_where_that_is_allowed():
    bench = Bench(FakeConsumer({0: 600}), on_expired="skip")
    bench.consumer.begins[0] = 510
    bench.begin(0, at=10)
    bench.rounds()
    bench.consumer._cluster.answer()
    bench.rounds(2)

    assert bench.handed_over() == [*events_of(bench, Assigned, 0), *((0, offset) for offset in range(10, 600))]
    assert bench.poller.holes.expired == {0: 500}


def test_expired_records_met_again_after_a_rewind_are_counted_once():
    bench = Bench(FakeConsumer({0: 600}), on_expired="skip")
    bench.consumer.begins[0] = 510
    bench.begin(0, at=10)
    for begin in (10, 200):
        bench.rewind(0, begin)
        bench.rounds()
        bench.consumer._cluster.answer()
        bench.rounds(2)

    assert bench.handed_over()[-1] == (0, 599)
    assert bench.poller.holes.expired == {0: 500}


def test_a_stored_offset_beyond_the_log_stops_with_both_numbers():
    bench = Bench(FakeConsumer({0: 40}), on_expired="skip")
    bench.begin(0, at=100)
    bench.rounds()
    bench.consumer._cluster.answer()

    with pytest.raises(BadLog, match="wanted offset 100, but the log ends at 40"):
        bench.rounds(2)


def test_a_stray_offset_waits_for_the_topics_identity_and_finds_it_replaced():
    bench = Bench(FakeConsumer({0: 40}), on_expired="skip")
    bench.begin(0, at=100)

    bench.rounds(3)
    assert bench.poller.partitions[0].strayed, "nothing is decided before the identity is known"

    bench.consumer._cluster.id = UUID(int=7)
    bench.consumer._cluster.answer()
    with pytest.raises(LogReplaced, match=r"11111111-2222.*00000000-0000-0000-0000-000000000007"):
        bench.rounds()


def test_a_deleted_topic_stops_after_it_has_been_unknown_for_a_while():
    bench = Bench(FakeConsumer(), gone_s=10.0)
    bench.rounds()
    bench.consumer._cluster.id = None
    bench.consumer._cluster.answer()
    bench.rounds()
    bench.clock.now += 30.0
    bench.rounds()  # nobody has said so again: the broker may be down
    bench.consumer._cluster.answer()

    with pytest.raises(LogUnavailable, match="has been deleted"):
        bench.rounds()


def test_a_topic_that_is_unknown_for_a_moment_is_not_deleted():
    bench = Bench(FakeConsumer(), gone_s=10.0)
    topic_id, bench.consumer._cluster.id = bench.consumer._cluster.id, None
    bench.consumer._cluster.answer()
    bench.clock.now += 9.0
    bench.consumer._cluster.answer()
    bench.rounds()
    bench.consumer._cluster.id = topic_id
    bench.consumer._cluster.answer()
    bench.clock.now += 9.0

    bench.rounds()

    assert bench.poller.partitions == {}


def test_a_partition_that_the_client_withholds_is_found_and_the_consumer_replaced():
    stuck, fresh = FakeConsumer({0: 5}), FakeConsumer({0: 8})
    bench = Bench(stuck, fresh, watch_s=10.0, progress_s=30.0)
    bench.begin(0)
    bench.rounds()
    bench.handed_over()
    stuck.ends[0] = 8
    stuck.withheld.add(0)

    for _ in range(6):
        bench.clock.now += 9.0
        bench.rounds()

    assert bench.poller.recycles == 1
    assert stuck.is_closed
    assert bench.handed_over() == events_of(bench, Revoked, 0)
    bench.begin(0, at=5)
    bench.rounds()
    assert bench.handed_over() == [*events_of(bench, Assigned, 0), (0, 5), (0, 6), (0, 7)]


def test_partitions_that_are_idle_full_parked_or_without_a_broker_are_not_stuck():
    consumer = FakeConsumer({0: 5, 1: 1000, 2: 5})
    newer = a_message(0)
    consumer.messages[2, 0] = Message(newer.key, newer.value, [_newer(header) for header in newer.headers])
    bench = Bench(consumer, watch_s=10.0, progress_s=30.0, partition_records=16)
    bench.begin(0, 1, 2)

    for _ in range(20):
        bench.clock.now += 10.0
        bench.rounds()
    consumer.is_down = True
    consumer.ends[0] = 9
    for _ in range(20):
        bench.clock.now += 10.0
        bench.rounds()

    assert bench.poller.recycles == 0


def test_a_lagging_partition_that_moves_is_not_stuck():
    bench = Bench(FakeConsumer({0: 10_000}, per_poll=1), watch_s=10.0, progress_s=30.0)
    bench.begin(0)

    for _ in range(50):
        bench.clock.now += 10.0
        bench.rounds()

    assert bench.poller.recycles == 0
    assert bench.poller.partitions[0].end == 10_000


def test_a_consumer_that_gives_up_is_replaced_by_another():
    bench = Bench(FakeConsumer({0: 5}), FakeConsumer({0: 5}))
    first = bench.consumer
    bench.begin(0)
    first.errors.append(KeyError("a bug of the client"))

    bench.rounds()

    assert first.is_closed
    assert bench.consumer is not first
    assert bench.handed_over() == [*events_of(bench, Assigned, 0), *events_of(bench, Revoked, 0)]


def test_an_error_that_may_pass_keeps_the_consumer():
    bench = Bench(FakeConsumer({0: 5}))
    bench.begin(0)
    bench.consumer.errors.append(KafkaConnectionError("gone for a moment"))

    bench.rounds(2)

    assert bench.poller.recycles == 0
    assert bench.handed_over()[-1] == (0, 4)


def test_a_batch_that_stays_corrupt_stops_instead_of_turning_in_circles():
    bench = Bench(*(FakeConsumer({0: 5}) for _ in range(5)))
    for consumer in [bench.consumer, *bench.waiting]:
        consumer.errors.append(CorruptRecordError("partition 0 at offset 3 failed crc check"))

    with pytest.raises(BadLog, match="failed crc check, 4 times"):
        bench.rounds(5)

    assert bench.poller.recycles == 3


@pytest.mark.parametrize(
    "error",
    [
        CorruptRecordError("partition 0 at offset 3 failed crc check"),
        UnsupportedCodecError("Libraries for snappy compression codec not found"),
    ],
)
def test_a_batch_that_cannot_be_read_stops_also_where_other_partitions_deliver(
    error: Exception, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("worker.kafka.poll.RECONNECT_S", (0.0, 0.0))
    bench = Bench(*(FakeConsumer({0: 5, 1: 5}) for _ in range(20)))

    def until_it_is_met() -> None:
        bench.begin(1)
        bench.rounds()
        assert (1, 4) in bench.handed_over()
        bench.clock.now += 5.0  # until the group has shared out again
        bench.consumer.errors.append(error)

    for _ in range(BAD_SUMS if isinstance(error, CorruptRecordError) else GIVE_UPS):
        until_it_is_met()
        bench.rounds()
    until_it_is_met()
    with pytest.raises(BadLog, match="times; a batch is damaged on the broker, or this client cannot read it"):
        bench.rounds()


def test_failures_that_lie_far_apart_are_not_added_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("worker.kafka.poll.RECONNECT_S", (0.0, 0.0))
    bench = Bench(*(FakeConsumer({0: 5}) for _ in range(9)))

    while bench.waiting:
        bench.clock.now += FORGET_S + 1.0
        bench.consumer.errors.append(CorruptRecordError("the wire flipped a bit"))
        bench.rounds()

    assert bench.poller.recycles == 8


def test_a_partition_assigned_twice_without_a_word_between_begins_anew():
    bench = Bench(FakeConsumer({0: 5}))
    bench.begin(0)
    bench.rounds()  # something waits
    bench.consumer.on_poll.append(lambda: bench.consumer.give(0))
    bench.rounds()

    assert bench.handed_over() == events_of(bench, Assigned, 0, 0)
    bench.rewind(0, 3)
    bench.rounds()
    assert bench.handed_over() == [(0, 3), (0, 4)]


@pytest.mark.parametrize(
    ("error", "wanted"),
    [(LogTruncationError({}), BadLog), (TopicAuthorizationFailedError({TOPIC}), LogUnavailable)],
)
def test_what_only_an_operator_can_mend_ends_the_log(error: Exception, wanted: type[Exception]):
    bench = Bench(FakeConsumer({0: 5}))
    bench.consumer.errors.append(error)

    with pytest.raises(wanted):
        bench.rounds()


def test_a_topic_made_anew_while_a_consumer_is_replaced_is_found():
    second = FakeConsumer({0: 5})
    second._cluster.id = UUID(int=7)
    bench = Bench(FakeConsumer({0: 5}), second)
    bench.consumer.errors.append(KeyError("a bug of the client"))

    with pytest.raises(LogReplaced):
        bench.rounds()


def test_reconnecting_goes_on_until_a_broker_answers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("worker.kafka.poll.RECONNECT_S", (0.001, 0.002))
    bench = Bench(FakeConsumer({0: 5}), FakeConsumer({0: 5}))
    refusals = [LogUnavailable("no Kafka")] * 3
    joined = bench.poller._join

    def join(settings: KafkaSettings) -> Member:
        if refusals:
            raise refusals.pop()
        return joined(settings)

    bench.poller._join = join
    bench.consumer.errors.append(KeyError("a bug of the client"))

    bench.rounds()

    assert refusals == []
    assert bench.poller.recycles == 1


def test_stopping_ends_the_wait_for_a_broker():
    bench = Bench(FakeConsumer({0: 5}))
    bench.consumer.errors.append(KeyError("a bug of the client"))
    bench.poller.stop()

    with pytest.raises(Stopped):
        bench.rounds()


def test_the_group_is_told_what_was_applied_and_failures_are_counted():
    bench = Bench(FakeConsumer({0: 5}), commit_s=5.0)
    bench.begin(0)
    bench.poller.offsets.applied[0] = 3
    bench.clock.now += 6.0
    bench.rounds()
    bench.clock.now += 6.0
    bench.rounds()
    bench.consumer.commit_answer = KafkaConnectionError("no coordinator")
    bench.poller.offsets.applied[0] = 4
    for _ in range(2):
        bench.clock.now += 6.0
        bench.rounds()

    assert bench.consumer.committed == [{0: 3}, {0: 4}, {0: 4}], "news once; what failed is told again"
    assert bench.poller.offsets.failures == 2


def _newer(header: tuple[str, bytes]) -> tuple[str, bytes]:
    name, value = header
    return (name, value.replace(b"v=1.", b"v=2.")) if name == "content-type" else header


def _place(partition: int) -> TopicPartition:
    return TopicPartition(TOPIC, partition)


def reasons_of(bench: Bench) -> list[str]:
    seen: list[str] = []
    while run := bench.buffers.next_run(0):
        records = [each.record for each in run.items if isinstance(each, Delivery)]
        seen += [record.reason if isinstance(record, Unreadable) else "" for record in records]
    return seen


def test_offsets_that_hold_no_record_are_filled_where_they_lie():
    bench = Bench(FakeConsumer({0: 8}))
    bench.consumer.holes = {(0, 2), (0, 3), (0, 6)}
    bench.begin(0)

    bench.rounds()

    assert bench.handed_over() == [*events_of(bench, Assigned, 0), *((0, offset) for offset in range(8))]
    bench.rewind(0, 1)
    bench.rounds()
    assert [reason.startswith(NO_RECORD) for reason in reasons_of(bench)] == [
        False,
        True,
        True,
        False,
        False,
        True,
        False,
    ]


def test_offsets_without_a_record_at_the_end_of_the_log_do_not_hold_it_up():
    bench = Bench(FakeConsumer({0: 5}), watch_s=0.0, progress_s=0.0)
    bench.consumer.holes = {(0, 3), (0, 4)}
    bench.begin(0)

    bench.rounds(3)

    assert bench.handed_over() == [*events_of(bench, Assigned, 0), *((0, offset) for offset in range(5))]
    assert bench.poller.recycles == 0


def test_a_hole_under_compaction_is_a_loss():
    bench = Bench(FakeConsumer({0: 4}))
    bench.consumer.holes = {(0, 1), (0, 2)}
    bench.poller._terms_seen = lambda partitions: Terms("compact,delete", -1, -1, partitions)
    bench.begin(0)

    bench.rounds(2)

    assert [reason[:7] for reason in reasons_of(bench)] == ["", "expired", "expired", ""]
    assert bench.poller.holes.expired == {0: 2}


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (
            Terms("compact", -1, -1, 2),
            "cleanup.policy=compact, which removes records unread; wanted delete: kafka-configs",
        ),
        (Terms("delete", 60_000, -1, 2), "retention.ms=60000"),
        (Terms("delete", -1, 1 << 20, 2), "retention.bytes=1048576"),
        (Terms("delete", -1, -1, 3), "has 3 partitions, the store was laid out for 2"),
    ],
)
def test_terms_under_which_records_are_lost_are_named_once_and_held_until_they_are_mended(
    terms: Terms, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen = [terms]
    bench = Bench(FakeConsumer({0: 4}), terms_s=0.0)
    bench.poller._terms_seen = lambda partitions: seen[0]

    bench.begin(0)
    bench.rounds(3)

    assert [text in line for line in bench.poller.flaws] == [True]
    assert sum(text in record.getMessage() for record in caplog.records) == 1
    seen[0] = Terms("delete", -1, -1, 2)
    bench.rounds()
    assert bench.poller.flaws == []
