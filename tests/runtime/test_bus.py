import threading
import time

import pytest

from contract.records import Erase
from runtime.bus import BusClosed, InProcessBus


def record(source: str = "cam", sequence: int = 0) -> Erase:
    return Erase(source=source, session="s1", sequence=sequence, person="ann")


def test_a_source_stays_on_one_partition_with_offsets_that_rise_by_one() -> None:
    bus = InProcessBus(capacity=100)
    for sequence in range(5):
        for source in ("cam-1", "cam-2", "cam-3", "cam-5"):
            bus.publish(record(source, sequence))
    bus.close()

    deliveries = [delivery for delivery in bus.deliveries(1.0) if delivery is not None]

    offsets: dict[int, list[int]] = {}
    for delivery in deliveries:
        offsets.setdefault(delivery.partition, []).append(delivery.offset)
    partitions = {(delivery.record.source, delivery.partition) for delivery in deliveries}
    assert len(partitions) == 4
    assert len(offsets) > 1
    assert all(seen == list(range(len(seen))) for seen in offsets.values())


def test_many_publishers_leave_no_hole_and_no_disorder() -> None:
    bus = InProcessBus(capacity=3, partitions=2)
    sources = [f"cam-{n}" for n in range(4)]
    publishers = [threading.Thread(target=lambda s=s: [bus.publish(record(s, n)) for n in range(100)]) for s in sources]
    for publisher in publishers:
        publisher.start()

    deliveries = bus.deliveries(1.0)
    seen = [next(deliveries) for _ in range(400)]

    for publisher in publishers:
        publisher.join()
    for source in sources:
        assert [one.record.sequence for one in seen if one.record.source == source] == list(range(100))
    for partition in range(2):
        offsets = [one.offset for one in seen if one.partition == partition]
        assert offsets == list(range(len(offsets)))


def test_a_full_bus_makes_publishers_wait() -> None:
    bus = InProcessBus(capacity=2)
    published = []
    publisher = threading.Thread(target=lambda: [published.append(bus.publish(record())) for _ in range(3)])
    publisher.start()
    deadline = time.monotonic() + 5
    while len(published) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)

    publisher.join(0.05)
    assert publisher.is_alive()
    assert len(published) == 2

    next(bus.deliveries(1.0))
    publisher.join(5)
    assert len(published) == 3


def test_an_idle_bus_says_so_and_an_ended_one_ends() -> None:
    bus = InProcessBus()
    deliveries = bus.deliveries(0.001)

    assert next(deliveries) is None
    bus.close()
    assert [one for one in deliveries if one is not None] == []


def test_nobody_waits_for_a_reader_that_has_gone() -> None:
    bus = InProcessBus(capacity=1)
    bus.publish(record())
    threading.Timer(0.05, bus.abandon).start()

    with pytest.raises(BusClosed, match="worker has stopped"):
        bus.publish(record())
    with pytest.raises(BusClosed):
        bus.publish(record())
    bus.close()  # has nobody to tell, and does not wait


def test_a_closed_bus_takes_no_more_and_hands_over_what_it_has() -> None:
    bus = InProcessBus()
    bus.publish(record())
    bus.close()

    with pytest.raises(BusClosed, match="the bus is closed"):
        bus.publish(record())
    assert len(list(bus.deliveries(1.0))) == 1


def test_nobody_holds_the_lock_while_the_bus_is_full() -> None:
    bus = InProcessBus(capacity=1)
    bus.publish(record("file"))
    waiting = threading.Thread(target=bus.publish, args=(record("file", 1),))
    waiting.start()
    waiting.join(0.05)

    assert waiting.is_alive()
    assert bus._changed.acquire(timeout=5)
    bus._changed.release()
    assert [delivery.offset for _, delivery in zip(range(2), bus.deliveries(1.0), strict=False) if delivery] == [0, 1]
    waiting.join(5)


def test_two_buses_are_two_logs() -> None:
    assert InProcessBus().log != InProcessBus().log
