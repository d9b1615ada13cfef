import threading
import time

import pytest

from contract.errors import RecordsExpired
from contract.records import Delivery, Unreadable
from tests.worker.fake_kafka import a_progress
from worker.kafka.buffers import Buffers, Chunk, Missing, in_chunks
from worker.log import EXPIRED, Assigned, Revoked

LOG = "log"


def a_delivery(partition: int, offset: int) -> Delivery:
    return Delivery(LOG, partition, offset, a_progress(offset))


def chunks(partition: int, begin: int, end: int, per_chunk: int = 2) -> list[Chunk]:
    deliveries = [a_delivery(partition, offset) for offset in range(begin, end)]
    return list(in_chunks(deliveries, [10] * len(deliveries), per_chunk))


def opened(*partitions: int, run_records: int = 2) -> Buffers:
    buffers = Buffers(run_records)
    for partition in partitions:
        buffers.assign(Assigned(LOG, partition))
        buffers.reopen(partition)
        assert buffers.next_run(0).items == (Assigned(LOG, partition),)
    return buffers


def offsets(buffers: Buffers) -> list[tuple[int, int]]:
    """Partition and offset of everything that comes, in order."""
    seen = []
    while run := buffers.next_run(0):
        seen += [(run.partition, item.offset) for item in run.items if isinstance(item, Delivery)]
    return seen


def test_partitions_take_turns_and_each_keeps_its_order():
    buffers = opened(0, 1)
    buffers.append(0, chunks(0, 0, 6))
    buffers.append(1, chunks(1, 0, 3))

    assert offsets(buffers) == [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (0, 4), (0, 5)]


def test_a_backlog_does_not_hold_what_comes_later_elsewhere():
    buffers = opened(0, 1)
    buffers.append(0, chunks(0, 0, 1000))
    buffers.next_run(0)
    buffers.append(1, chunks(1, 0, 1))

    assert [run.partition for run in (buffers.next_run(0), buffers.next_run(0)) if run] == [0, 1]


def test_nothing_follows_a_revocation_until_the_partition_is_assigned_and_opened_again():
    buffers = opened(0)
    buffers.append(0, chunks(0, 0, 4))

    buffers.revoke(Revoked(LOG, 0))
    buffers.append(0, chunks(0, 4, 6))
    buffers.assign(Assigned(LOG, 0))
    buffers.append(0, chunks(0, 6, 8))

    assert buffers.next_run(0).items == (Revoked(LOG, 0),)
    assert buffers.next_run(0).items == (Assigned(LOG, 0),)
    assert buffers.next_run(0) is None
    buffers.reopen(0)
    buffers.append(0, chunks(0, 2, 4))
    assert offsets(buffers) == [(0, 2), (0, 3)]


def test_a_closed_partition_drops_what_it_holds_and_what_comes():
    buffers = opened(0, 1)
    buffers.append(0, chunks(0, 0, 4))
    buffers.append(1, chunks(1, 0, 2))

    buffers.close(0)
    buffers.append(0, chunks(0, 4, 6))

    assert offsets(buffers) == [(1, 0), (1, 1)]


def test_levels_count_records_and_bytes_that_wait():
    buffers = opened(0, 1)
    buffers.append(0, chunks(0, 0, 5))

    assert buffers.levels() == {0: (5, 50), 1: (0, 0)}
    buffers.next_run(0)
    assert buffers.levels() == {0: (3, 30), 1: (0, 0)}
    buffers.close(0)
    assert buffers.levels() == {0: (0, 0), 1: (0, 0)}


def test_missing_offsets_become_one_unreadable_each_in_their_place():
    buffers = opened(0, 1)
    buffers.append(0, [*chunks(0, 8, 10), Missing(LOG, 10, 15, "expired: gone"), *chunks(0, 15, 17)])
    buffers.append(1, chunks(1, 0, 1))

    seen = []
    while run := buffers.next_run(0):
        seen += [(item.partition, item.offset, isinstance(item.record, Unreadable)) for item in run.items]

    of_0 = [(offset, expired) for partition, offset, expired in seen if partition == 0]
    assert of_0 == [(offset, 10 <= offset < 15) for offset in range(8, 17)]
    assert (1, 0, False) in seen[:4], "the other partition waits for no stretch of missing records"


def test_an_expired_record_says_so():
    buffers = opened(0)
    buffers.append(0, [Missing(LOG, 3, 5, "expired: gone")])

    record = buffers.next_run(0).items[0].record

    assert record.reason.startswith(EXPIRED)
    assert record.size == 0


def test_a_failure_overtakes_what_waits_and_the_first_one_counts():
    buffers = opened(0)
    buffers.append(0, chunks(0, 0, 4))
    buffers.fail(RecordsExpired("first"))
    buffers.fail(RecordsExpired("second"))

    with pytest.raises(RecordsExpired, match="first"):
        buffers.next_run(0)


def test_none_comes_after_the_wait_and_not_before():
    began = time.monotonic()

    assert Buffers(2).next_run(0.05) is None

    assert time.monotonic() - began >= 0.045  # clocks of wait and test differ by less


def test_a_waiting_worker_is_woken_by_what_comes():
    buffers = opened(0)
    threading.Timer(0.05, lambda: buffers.append(0, chunks(0, 0, 1))).start()
    began = time.monotonic()

    assert buffers.next_run(5.0) is not None

    assert time.monotonic() - began < 2.0  # far from the 5 s of not being woken, however busy the machine
