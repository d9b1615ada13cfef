import json
import logging
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any

import pytest

from contract.errors import BadLog, LogReplaced, LogUnavailable, RecordsExpired
from contract.records import Delivery, Progress, Record, Unreadable
from contract.topics import MESSAGE_LIMIT
from contract.wire import message_of
from mien.stack import Stack
from mien.stack.kafka import admin
from tests.servers import MakeTopic
from worker.log import NO_RECORD, Assigned, Revoked
from worker.reading.poison import Rejection

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0.12 reads its schemas in an old way
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.admin import ConfigResource
    from kafka.net.inet import KafkaNetSocket

    from worker.kafka.log import KafkaLog
    from worker.kafka.rejected import RejectedTopic
    from worker.kafka.settings import KafkaSettings

PATIENCE_S = 30.0
MakeLog = Callable[..., KafkaLog]


class Store:
    """What a store promises, in memory: an epoch and an offset per partition, compared before they are set."""

    def __init__(self) -> None:
        self.offsets: dict[int, int] = {}
        self._epochs: dict[int, int] = {}
        self._lock = threading.Lock()

    def take(self, partition: int) -> tuple[int, int]:
        with self._lock:
            self._epochs[partition] = self._epochs.get(partition, 0) + 1
            return self._epochs[partition], self.offsets.get(partition, 0)

    def commit(self, partition: int, epoch: int, offset: int) -> bool:
        with self._lock:
            is_ours = epoch == self._epochs[partition] and offset == self.offsets.get(partition, 0)
            if is_ours:
                self.offsets[partition] = offset + 1
            return is_ours


class Worker:
    """Reads a log into a store as the real worker does, one record a commit."""

    def __init__(self, log: KafkaLog, store: Store, pause_s: float = 0.0) -> None:
        self.log, self.store = log, store
        self.holes: list[tuple[int, int, int]] = []
        self.unreadable: list[str] = []
        self.words: list[Assigned | Revoked] = []
        self._pause_s = pause_s
        self._leases: dict[int, tuple[int, int]] = {}

    def read(self, until: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Go on until the condition holds."""
        deadline = time.monotonic() + patience_s
        for item in self.log.deliveries(0.05):
            self._apply(item)
            if until():
                return
            assert time.monotonic() < deadline, f"stands at {self.store.offsets}, {self.log.status()}"

    def read_up_to(self, offsets: dict[int, int], patience_s: float = PATIENCE_S) -> None:
        self.read(lambda: self.store.offsets == offsets, patience_s)

    def _apply(self, item: Delivery | Assigned | Revoked | None) -> None:
        if isinstance(item, Assigned):
            self.words.append(item)
            self._leases[item.partition] = self.store.take(item.partition)
            self.log.rewind(item.log, item.partition, self._leases[item.partition][1])
        elif isinstance(item, Revoked):
            self.words.append(item)
            self._leases.pop(item.partition, None)
        elif item is not None and item.partition in self._leases:
            self._commit(item)

    def _commit(self, delivery: Delivery) -> None:
        epoch, expected = self._leases[delivery.partition]
        if delivery.offset > expected:
            self.holes.append((delivery.partition, expected, delivery.offset))
        if delivery.offset != expected:
            return
        if isinstance(delivery.record, Unreadable):
            self.unreadable.append(delivery.record.reason)
        time.sleep(self._pause_s)
        if self.store.commit(delivery.partition, epoch, delivery.offset):
            self._leases[delivery.partition] = epoch, expected + 1
            self.log.applied(delivery.partition, expected + 1)
        else:
            del self._leases[delivery.partition]


@pytest.fixture(autouse=True)
def failed_sockets_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """kafka-python 3.0.12 leaves the socket of an attempt to connect that failed to the garbage collector."""
    connect = KafkaNetSocket.sock_connect

    async def closing(self: Any, net: Any, sock: socket.socket, *args: Any, **options: Any) -> socket.socket:
        try:
            return await connect(self, net, sock, *args, **options)
        except BaseException:
            sock.close()
            raise

    monkeypatch.setattr(KafkaNetSocket, "sock_connect", closing)


@pytest.fixture
def make_log(bootstrap: str) -> Iterator[MakeLog]:
    """Joins the group of a topic: `make_log(topic, on_expired="skip")`."""
    made: list[KafkaLog] = []

    def make(topic: str, **settings: Any) -> KafkaLog:
        made.append(KafkaLog(KafkaSettings(bootstrap=bootstrap, topic=topic, group=f"group.{topic}", **settings)))
        return made[-1]

    yield make
    for log in made:
        log.abandon()


def a_record(number: int) -> Record:
    return Progress(
        source="cam", session="s", sequence=number, event_time=number, frames=number, looked_at=number, closed=False
    )


def publish(bootstrap: str, topic: str, partition: int, numbers: Iterable[int], version: bytes = b"v=1.") -> None:
    with closing(KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, metrics_enabled=False)) as producer:
        for number in numbers:
            message = message_of(a_record(number))
            headers = [(name, value.replace(b"v=1.", version)) for name, value in message.headers]
            producer.send(topic, message.value, key=message.key, headers=headers, partition=partition)
        producer.flush(10)


def delete_before(bootstrap: str, topic: str, partition: int, offset: int) -> None:
    with closing(admin(bootstrap)) as client:
        client.delete_records({TopicPartition(topic, partition): offset})


def test_it_begins_where_the_store_stands_and_goes_back_when_told(bootstrap: str, topic: MakeTopic, make_log: MakeLog):
    name = topic(partitions=2)
    publish(bootstrap, name, 0, range(300))
    publish(bootstrap, name, 1, range(200))
    store = Store()
    store.offsets = {0: 120}
    worker = Worker(make_log(name), store)

    worker.read_up_to({0: 300, 1: 200})
    store.offsets[0] = 150  # as a failover of the store would
    worker.log.rewind(worker.log.log, 0, 150)
    worker._leases[0] = store.take(0)
    worker.read_up_to({0: 300, 1: 200})

    assert worker.holes == []
    assert worker.words == [Assigned(worker.log.log, 0), Assigned(worker.log.log, 1)]


def test_full_buffers_pause_the_fetching_lose_nothing_and_keep_us_in_the_group(
    bootstrap: str, topic: MakeTopic, make_log: MakeLog
):
    name = topic(partitions=2)
    publish(bootstrap, name, 0, range(600))
    publish(bootstrap, name, 1, range(20))
    log = make_log(name, partition_records=50, run_records=8, poll_records=40)
    worker = Worker(log, Store())
    worker.read(lambda: len(worker.words) == 2)
    worker.read(lambda: log.status().buffered_records > 0)

    time.sleep(1.0)  # nobody reads: as when the store is down
    held = log.status()
    worker.read_up_to({0: 600, 1: 20})

    assert 50 <= held.buffered_records <= 50 + 40 + 20
    assert held.poll_age_s < 0.5
    assert worker.holes == []
    assert len(worker.words) == 2, "nothing was taken away"


def test_members_that_come_and_go_lose_nothing_and_stall_nothing(bootstrap: str, topic: MakeTopic, make_log: MakeLog):
    name = topic(partitions=4)
    store, enough = Store(), threading.Event()
    writer = threading.Thread(target=_write_slowly, args=(bootstrap, name, 4, enough))
    writer.start()
    first = Worker(make_log(name), store)
    reader = threading.Thread(target=first.read, args=(lambda: first.log._is_ending, 60))
    reader.start()

    for _ in range(2):
        second = Worker(make_log(name), store)
        before = sum(store.offsets.values())
        second.read(lambda worker=second: len(worker._leases) >= 2)
        second.read(lambda before=before: sum(store.offsets.values()) >= before + 100)
        second.log.abandon()
    enough.set()
    writer.join()
    with closing(KafkaConsumer(bootstrap_servers=bootstrap)) as client:
        places = [TopicPartition(name, partition) for partition in range(4)]
        ends = {place.partition: end for place, end in client.end_offsets(places).items()}
    deadline = time.monotonic() + PATIENCE_S
    while store.offsets != ends and time.monotonic() < deadline:
        time.sleep(0.05)
    first.log.stop()
    reader.join()

    assert store.offsets == ends
    assert first.holes == []


def test_who_leaves_hands_over_at_once_and_tells_the_group_how_far_it_came(
    bootstrap: str, topic: MakeTopic, make_log: MakeLog
):
    name = topic()
    publish(bootstrap, name, 0, range(10))
    store = Store()
    first = Worker(make_log(name, commit_s=0.2), store)
    first.read_up_to({0: 10})

    first.log.abandon()
    began = time.monotonic()
    publish(bootstrap, name, 0, range(10, 12))
    second = Worker(make_log(name), store)
    second.read_up_to({0: 12})

    assert time.monotonic() - began < 5.0, "not the 10 s of a session that has to run out"
    with closing(KafkaConsumer(bootstrap_servers=bootstrap, group_id=f"group.{name}")) as client:
        assert client.committed(TopicPartition(name, 0), timeout_ms=5000) >= 10


def test_records_that_retention_took_stop_the_worker_with_their_exact_count(
    bootstrap: str, topic: MakeTopic, make_log: MakeLog
):
    name = topic()
    publish(bootstrap, name, 0, range(300))
    delete_before(bootstrap, name, 0, 137)
    store = Store()
    store.offsets = {0: 20}

    worker = Worker(make_log(name), store)
    with pytest.raises(RecordsExpired, match="wanted offset 20, but the log begins at 137: 117 records"):
        worker.read_up_to({0: 300})


def test_records_that_retention_took_are_passed_over_and_counted_where_that_is_allowed(
    bootstrap: str, topic: MakeTopic, make_log: MakeLog
):
    name = topic()
    publish(bootstrap, name, 0, range(300))
    delete_before(bootstrap, name, 0, 137)
    worker = Worker(make_log(name, on_expired="skip"), Store())

    worker.read_up_to({0: 300})

    assert worker.holes == []
    assert len(worker.unreadable) == 137
    assert worker.log.status().expired == {0: 137}


def test_a_store_ahead_of_the_log_stops_with_both_numbers(bootstrap: str, topic: MakeTopic, make_log: MakeLog):
    name = topic()
    publish(bootstrap, name, 0, range(30))
    store = Store()
    store.offsets = {0: 31}

    worker = Worker(make_log(name, on_expired="skip"), store)
    with pytest.raises(BadLog, match="wanted offset 31, but the log ends at 30"):
        worker.read_up_to({0: 32})


def test_a_topic_made_anew_is_another_log(bootstrap: str, topic: MakeTopic, make_log: MakeLog):
    from kafka.admin import NewTopic

    name = topic()
    publish(bootstrap, name, 0, range(30))
    worker = Worker(make_log(name), Store())
    worker.read_up_to({0: 30})

    with closing(admin(bootstrap)) as client:
        client.delete_topics([name])
        time.sleep(0.3)
        client.create_topics([NewTopic(name, 1, 1)], wait_for_metadata=True)
    publish(bootstrap, name, 0, range(100, 160))  # beyond what was read: no offset tells the two apart

    with pytest.raises(LogReplaced, match=f"it was log {worker.log.log}"):
        worker.read_up_to({0: 60})
    assert worker.store.offsets == {0: 30}


def test_a_deleted_topic_ends_the_log(bootstrap: str, topic: MakeTopic, make_log: MakeLog):
    name = topic()
    publish(bootstrap, name, 0, range(3))
    worker = Worker(make_log(name, gone_s=1.0), Store())
    worker.read_up_to({0: 3})

    with closing(admin(bootstrap)) as client:
        client.delete_topics([name])

    with pytest.raises(LogUnavailable, match=f"topic {name}.*has been deleted"):
        worker.read_up_to({0: 4})


def test_a_newer_version_parks_its_partition_and_the_others_go_on(
    bootstrap: str, topic: MakeTopic, make_log: MakeLog, caplog: pytest.LogCaptureFixture
):
    name = topic(partitions=2)
    publish(bootstrap, name, 0, range(5))
    publish(bootstrap, name, 0, [5], version=b"v=2.")
    publish(bootstrap, name, 0, range(6, 9))
    publish(bootstrap, name, 1, range(50))
    worker = Worker(make_log(name), Store())

    worker.read_up_to({0: 5, 1: 50})
    publish(bootstrap, name, 1, range(50, 60))
    worker.read_up_to({0: 5, 1: 60})

    assert worker.log.status().parked[0].startswith("offset 5: ")
    assert [each.levelno for each in caplog.records if "is parked" in each.message] == [logging.ERROR]


def test_a_partition_that_the_client_holds_back_is_found_and_read_again(
    bootstrap: str, topic: MakeTopic, make_log: MakeLog
):
    name = topic(partitions=2)
    publish(bootstrap, name, 0, range(5))
    worker = Worker(make_log(name, watch_s=0.5, progress_s=2.0), Store())
    worker.read_up_to({0: 5})
    consumer = worker.log._poller._member._consumer
    consumer._subscription.assignment[TopicPartition(name, 0)].mark_pending_revocation()  # kafka-python issue 3131

    publish(bootstrap, name, 0, range(5, 10))
    worker.read_up_to({0: 10})

    assert worker.log.status().recycles == 1
    assert worker.holes == []


def test_a_record_as_large_as_may_be_comes_through(bootstrap: str, topic: MakeTopic, make_log: MakeLog):
    name = topic(config={"max.message.bytes": str(MESSAGE_LIMIT)})
    with closing(KafkaProducer(bootstrap_servers=bootstrap, max_request_size=2 * MESSAGE_LIMIT)) as producer:
        producer.send(name, bytes(MESSAGE_LIMIT - 200)).get(10)
    worker = Worker(make_log(name), Store())

    worker.read_up_to({0: 1})

    assert len(worker.unreadable) == 1


def test_a_frozen_and_then_a_killed_broker_are_waited_for_without_spinning(
    stack: Stack, topic: MakeTopic, make_log: MakeLog
):
    name, broker = topic(), stack.processes["kafka-1"]
    worker = Worker(make_log(name), Store())
    publish(stack.bootstrap, name, 0, range(50))
    worker.read_up_to({0: 50})

    broker.stop()
    frozen_cpu_s = _cpu_of_waiting(worker, 2.0)
    broker.cont()
    publish(stack.bootstrap, name, 0, range(50, 70))
    worker.read_up_to({0: 70})
    broker.kill()
    killed_cpu_s = _cpu_of_waiting(worker, 2.0)
    broker.start()
    publish(stack.bootstrap, name, 0, range(70, 90))
    worker.read_up_to({0: 90})

    assert worker.holes == []
    assert frozen_cpu_s < 0.5, "a thread that turns in circles takes all of 2 s"
    assert killed_cpu_s < 0.5


def test_leaving_a_broker_that_does_not_answer_takes_a_bounded_time(stack: Stack, topic: MakeTopic, make_log: MakeLog):
    name, broker = topic(), stack.processes["kafka-1"]
    log = make_log(name, close_s=1.0)
    worker = Worker(log, Store())
    worker.read(lambda: bool(worker.words))

    broker.stop()
    began = time.monotonic()
    try:
        log.abandon()
        took_s = time.monotonic() - began
    finally:
        broker.cont()

    assert took_s < 6.0
    assert "kafka-poll" not in {thread.name for thread in threading.enumerate()}


def test_without_a_broker_the_log_says_where_it_looked_and_leaves_nothing_behind():
    before = set(threading.enumerate())

    with pytest.raises(LogUnavailable, match=r"no Kafka at 127\.0\.0\.1:1 within 1 s"):
        KafkaLog(KafkaSettings(bootstrap="127.0.0.1:1", connect_s=1.0))

    time.sleep(0.2)  # for the client's thread to end
    assert set(threading.enumerate()) <= before


def test_a_topic_that_is_not_there_is_named(bootstrap: str):
    with pytest.raises(LogUnavailable, match=r"knows no topic no\.such"):
        KafkaLog(KafkaSettings(bootstrap=bootstrap, topic="no.such", connect_s=2.0))


def test_rejections_are_kept_before_the_call_returns_and_hold_no_picture(bootstrap: str, topic: MakeTopic):
    name = topic()
    rejections = [
        Rejection(log="L", partition=3, offset=offset, reason="no JPEG: ü", key="cam", sha256="ab", size=7)
        for offset in (8, 9)
    ]
    with closing(RejectedTopic(bootstrap, topic=name, worker="w1", now=lambda: 1.5)) as tell:
        tell(rejections)

    with closing(
        KafkaConsumer(name, bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=2000)
    ) as client:
        told = [(message.key, json.loads(message.value)) for message in client]
    assert [key for key, _ in told] == [b"L/3/8", b"L/3/9"]
    assert told[0][1] == {
        "log": "L",
        "partition": 3,
        "offset": 8,
        "reason": "no JPEG: ü",
        "key": "cam",
        "sha256": "ab",
        "size": 7,
        "worker": "w1",
        "at": 1.5,
    }


def test_rejections_that_cannot_be_kept_are_refused_in_time():
    rejection = Rejection(log="L", partition=0, offset=0, reason="r", key="k", sha256="s", size=0)
    tell = RejectedTopic("127.0.0.1:1", patience_s=1.0)
    began = time.monotonic()

    with pytest.raises(LogUnavailable, match="1 rejections are not kept"):
        tell([rejection])

    assert time.monotonic() - began < 4.0


def _write_slowly(bootstrap: str, topic: str, partitions: int, enough: threading.Event) -> None:
    with closing(KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)) as producer:
        number = 0
        while not enough.wait(0.02):
            for partition in range(partitions):
                message = message_of(a_record(number))
                producer.send(topic, message.value, key=message.key, headers=message.headers, partition=partition)
            number += 1
        producer.flush(10)


def _cpu_of_waiting(worker: Worker, seconds: float) -> float:
    """CPU seconds of this process while a worker waits in vain."""
    until, before = time.monotonic() + seconds, time.process_time()
    worker.read(lambda: time.monotonic() > until)
    return time.process_time() - before


def publish_in_a_transaction(bootstrap: str, topic: str, numbers: Iterable[int], *, commits: bool) -> None:
    """As a foreign program might: the markers take offsets of their own."""
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, transactional_id=f"foreign.{topic}", enable_idempotence=True, acks="all",
        metrics_enabled=False,
    )  # fmt: skip
    with closing(producer):
        producer.init_transactions()
        producer.begin_transaction()
        for number in numbers:
            message = message_of(a_record(number))
            producer.send(topic, message.value, key=message.key, headers=message.headers, partition=0)
        producer.flush(10)
        producer.commit_transaction() if commits else producer.abort_transaction()


def test_markers_of_foreign_transactions_hold_nothing_up(bootstrap: str, topic: MakeTopic, make_log: MakeLog):
    name = topic(partitions=1)
    publish(bootstrap, name, 0, range(10))
    publish_in_a_transaction(bootstrap, name, range(10, 15), commits=True)  # 10 to 14, and a marker
    publish_in_a_transaction(bootstrap, name, range(15, 18), commits=False)  # 16 to 18, and a marker
    publish(bootstrap, name, 0, range(18, 20))
    publish_in_a_transaction(bootstrap, name, range(20, 21), commits=True)  # 22, and a marker at the very end
    worker = Worker(make_log(name), Store())

    worker.read_up_to({0: 24})

    assert worker.holes == []
    assert [reason.startswith(NO_RECORD) for reason in worker.unreadable] == [True] * 3
    assert worker.log.status().recycles == 0


def test_a_topic_under_which_records_are_lost_is_named(bootstrap: str, topic: MakeTopic, make_log: MakeLog):
    name = topic(partitions=1, config={"cleanup.policy": "delete", "retention.ms": "86400000"})
    publish(bootstrap, name, 0, range(3))
    log = make_log(name, terms_s=0.5)
    worker = Worker(log, Store())
    worker.read_up_to({0: 3})
    assert log.status().flaws == ()

    with closing(admin(bootstrap)) as client:
        client.alter_configs([ConfigResource("TOPIC", name, {"cleanup.policy": "compact", "retention.ms": "1000"})])
    worker.read(lambda: len(log.status().flaws) == 2)

    assert "cleanup.policy=compact" in log.status().flaws[0]
    assert "kafka-configs.sh --alter" in log.status().flaws[0]
    assert "retention.ms=1000" in log.status().flaws[1]
