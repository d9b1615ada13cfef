"""The worker on a log that can go back, with a store that fails: nothing lost, nothing twice, nobody waits."""

import logging
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from msgspec.structs import replace

from contract.errors import EngineFailed, LogReplaced, LogUnavailable, TooManyRejected
from contract.readings import Point, Skipped, SkippedReason
from contract.records import Crop, Record, Unreadable
from tests.worker.examples import a_face, a_gap, a_progress, an_opening
from tests.worker.fakes import LOG, BytesReader, Clock, MemoryLog, MemoryStore, points, sequences
from worker.log import NO_RECORD, Assigned, Revoked
from worker.pipeline import Worker
from worker.reading.poison import Limits, Rejection
from worker.reading.reader import Values
from worker.store import Lease, Outcome

STALE_AT = 1_000_000
POISON = Unreadable(reason="no record", key="cam", sha256="0" * 64, size=3)


def a_worker(store: MemoryStore, clock: Clock, reader: BytesReader | None = None, **options: object) -> Worker:
    def pause(seconds: float) -> bool:
        clock.now += seconds
        return False

    options = {"batch_size": 8, "now_us": lambda: 0, "pause": pause, **options}
    return Worker(store, reader or BytesReader(), clock=clock, **options)  # type: ignore[arg-type]


def faces(count: int, source: str = "cam", crop: Crop = b"face") -> list[Record | Unreadable]:
    return [an_opening(source), *(a_face(n, source=source, crop=crop) for n in range(1, count))]


def run(store: MemoryStore, log: MemoryLog, **options: object) -> Worker:
    worker = a_worker(store, log.clock, **options)  # type: ignore[arg-type]
    worker.run(log)
    return worker


def test_every_partition_begins_where_the_store_is() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(20), 1: faces(30, "other")})
    store.take(LOG, 1)
    first = a_worker(store, log.clock)
    first.apply([log.delivery(1, n) for n in range(10)])

    run(store, log)

    assert log.rewinds == [(0, 0), (1, 10)]
    assert points(store.entries[0]) == list(range(1, 20))
    assert points(store.entries[1]) == list(range(1, 30))
    assert log.abandoned


def test_a_fenced_partition_waits_while_the_other_goes_on() -> None:
    log = MemoryLog({0: faces(40), 1: faces(400, "other")})
    again: list[tuple[int, list[str]]] = []

    class Rival(BytesReader):
        """Takes partition 0 in the middle of our third batch."""

        def __call__(self, crops: Sequence[Crop]) -> Values:
            if len(self.batches) == 2:
                store.take(LOG, 0)
            return super().__call__(crops)

    class Watched(MemoryStore):
        def take(self, name: str, partition: int) -> Lease:
            again.append((len(self.entries.get(1, [])), worker.troubles() if again else []))
            return super().take(name, partition)

    store = Watched()
    worker = a_worker(store, log.clock, Rival())
    worker.run(log)

    assert worker.counters.outcomes[Outcome.FENCED] == 1
    assert again[-1] == (400, ["partition 0: another worker has taken it"])  # the other one was done long before
    assert log.rewinds == [(0, 0), (1, 0), (0, 8)]
    assert points(store.entries[0]) == list(range(1, 40))
    assert points(store.entries[1]) == list(range(1, 400))
    assert worker.troubles() == []


def test_a_fenced_partition_that_is_revoked_meanwhile_is_left_alone() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(20)})

    class Rival(BytesReader):
        def __call__(self, crops: Sequence[Crop]) -> Values:
            store.take(LOG, 0)
            log.events.append(Revoked(LOG, 0))
            return super().__call__(crops)

    worker = run(store, log, reader=Rival())

    assert store.entries == {}
    assert store.leases[0].epoch == 2  # ours, the rival's, and nobody's after that
    assert worker.held() == []


def test_what_is_in_hand_of_a_revoked_partition_may_still_be_committed() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(6)})
    script = [Assigned(LOG, 0), *(log.delivery(0, offset) for offset in range(6)), Revoked(LOG, 0)]
    log.deliveries = lambda wait_s: iter(script)  # type: ignore[method-assign]

    worker = run(store, log, batch_size=100)

    assert points(store.entries[0]) == [1, 2, 3, 4, 5]
    assert worker.held() == []


def test_a_partition_that_comes_back_is_taken_anew() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(20)})
    log.events.extend([Revoked(LOG, 0), Assigned(LOG, 0)])

    run(store, log)

    assert store.leases[0].epoch == 2
    assert points(store.entries[0]) == list(range(1, 20))


def test_a_hole_has_the_log_go_back_once_and_nothing_behind_it_is_applied() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(60), 1: faces(60, "other")}, run=3)
    log.skipped = {(0, 10), (0, 11)}
    deaf = log.rewind
    waiting: list[tuple[str, int, int]] = []

    def rewind(*place: object) -> bool:
        """Takes effect only after some more deliveries, as a fetch in flight does."""
        if place[2] == 0:
            return deaf(*place)  # type: ignore[arg-type]
        waiting.append(place)  # type: ignore[arg-type]
        return True

    class Late(BytesReader):
        def __call__(self, crops: Sequence[Crop]) -> Values:
            if waiting and len(self.batches) > 8:
                deaf(*waiting.pop())
            return super().__call__(crops)

    log.rewind = rewind  # type: ignore[method-assign]
    worker = run(store, log, reader=Late())

    assert worker.counters.holes == 1
    assert log.rewinds == [(0, 0), (1, 0), (0, 10)]
    assert points(store.entries[0]) == list(range(1, 60))
    assert points(store.entries[1]) == list(range(1, 60))


def test_a_hole_that_stays_is_asked_for_again_after_a_while_and_named_meanwhile() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(30)})
    log.quiet_s = 100.0
    log.skipped = {(0, 10)}
    honest, deaf = log.rewind, [1, 1]
    seen: set[str] = set()

    def rewind(name: str, partition: int, offset: int) -> bool:
        if offset and deaf and deaf.pop():
            log.rewinds.append((partition, offset))
            return True
        return honest(name, partition, offset)

    log.rewind = rewind  # type: ignore[method-assign]
    worker = a_worker(store, log.clock)
    silence = log.deliveries

    def watched(wait_s: float) -> object:
        for each in silence(wait_s):
            seen.update(worker.troubles())
            yield each

    log.deliveries = watched  # type: ignore[method-assign, assignment]
    worker.run(log)

    assert log.rewinds == [(0, 0), (0, 10), (0, 10), (0, 10)]
    assert seen == {"partition 0: waiting for offset 10"}
    assert points(store.entries[0]) == list(range(1, 30))
    assert worker.counters.holes == 1


@pytest.mark.parametrize("faults", [["down"] * 7, ["lost"], ["down", "down", "lost"], ["", "lost", "down"]])
def test_a_store_that_is_away_is_waited_for_and_nothing_is_applied_twice(faults: list[str]) -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(50), 1: faces(50, "other")})
    store.faults.extend(faults)

    worker = run(store, log)

    assert points(store.entries[0]) == list(range(1, 50))
    assert points(store.entries[1]) == list(range(1, 50))
    assert log.rewinds == [(0, 0), (1, 0)]  # a lost answer costs no second reading
    assert worker.troubles() == []


def test_the_wait_for_a_store_grows_to_a_second_and_is_told() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(5)})
    store.faults.extend(["down"] * 8)
    waits: list[float] = []
    told: list[list[str]] = []

    def pause(seconds: float) -> bool:
        waits.append(seconds)
        told.append(worker.troubles())
        return False

    worker = a_worker(store, log.clock, pause=pause)
    worker.run(log)

    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert told == [["the fake store is down"]] * 8


def test_a_worker_can_be_stopped_while_the_store_is_away() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(5)})
    store.faults.extend(["down"] * 1000)

    worker = a_worker(store, log.clock, pause=lambda seconds: len(store.faults) < 990)
    worker.run(log)

    assert store.entries == {}
    assert log.abandoned


def test_a_store_that_fell_back_gets_what_it_lost_once_more() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(60)})

    class Failover(BytesReader):
        def __call__(self, crops: Sequence[Crop]) -> Values:
            if len(self.batches) == 2:
                store.keep()
            if len(self.batches) == 4:
                store.fail_over()
            return super().__call__(crops)

    worker = run(store, log, reader=Failover())

    assert points(store.entries[0]) == list(range(1, 60))
    assert log.rewinds[0] == (0, 0)
    assert len(log.rewinds) == 2
    assert worker.counters.outcomes[Outcome.STALE] == 1


def test_a_topic_that_was_made_anew_ends_the_worker() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(5)})

    def take(name: str, partition: int) -> Lease:
        raise LogReplaced("another topic")

    store.take = take  # type: ignore[method-assign]

    with pytest.raises(LogReplaced):
        run(store, log)

    assert log.abandoned


def test_a_partition_that_the_store_refuses_is_parked_while_the_other_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(8), 1: faces(200, "other")})
    log.quiet_s = 70.0
    store.faults.append("refused")

    worker = run(store, log)

    assert "the store refuses this batch" in caplog.text
    assert points(store.entries[0]) == list(range(1, 8))  # at the second attempt, a minute later
    assert points(store.entries[1]) == list(range(1, 200))
    assert worker.counters.outcomes[Outcome.REFUSED] == 1


def test_an_entry_that_no_store_applies_is_rejected_alone() -> None:
    story = faces(8)
    story[4] = a_face(4, crop=b"face", person="")
    store, log, told = MemoryStore(), MemoryLog({0: story}), []

    run(store, log, reject=told.extend)

    assert points(store.entries[0]) == [1, 2, 3, 5, 6, 7]
    assert store.entries[0][4] == Skipped(
        reason=SkippedReason.REJECTED, source="cam", session="s1", sequence=4, gap=(160_000, 160_001)
    )
    assert [(one.offset, "people named" in one.reason) for one in told] == [(4, True)]


def test_a_moment_whose_gap_would_end_beyond_time_parks_nobody() -> None:
    story = faces(4)
    story[2] = replace(a_face(2, crop=b"poison"), event_time=2**63 - 1)  # the last µs that the wire carries
    store, log = MemoryStore(), MemoryLog({0: story})

    worker = run(store, log)

    assert worker.troubles() == []
    assert points(store.entries[0]) == [1, 3]
    assert store.entries[0][2] == Skipped(reason=SkippedReason.REJECTED, source="cam", session="s1", sequence=2)


def test_a_picture_that_the_store_lost_is_offered_again() -> None:
    class Pictured(MemoryStore):
        def keeps_pictures(self, source: str, session: str) -> bool:
            return True

    crop = cv2.imencode(".jpg", np.full((160, 160, 3), 90, np.uint8))[1].tobytes()
    store, log = Pictured(), MemoryLog({0: [replace(an_opening("cam"), keeps_pictures=True), a_face(1, crop=crop)]})
    store.take(LOG, 0)
    store.keep()
    worker = a_worker(store, log.clock)
    worker.run(log)
    store.fail_over()

    log.events.append(Assigned(LOG, 0))
    worker.run(log)

    assert [entry.picture is not None for entry in store.entries[0] if isinstance(entry, Point)] == [True]


def test_a_commit_whose_answer_is_lost_counts_for_lag_and_ends_the_wait_for_a_hole() -> None:
    store, log, heard = MemoryStore(), MemoryLog({0: faces(8)}), []
    log.skipped.add((0, 5))
    store.faults.extend(["", "lost"])  # the second commit is that of what had been left out

    worker = run(store, log, applied=lambda partition, offset: heard.append((partition, offset)))

    assert worker.counters.holes == 1
    assert heard[-1] == (0, 8)
    assert worker.troubles() == []
    assert points(store.entries[0]) == list(range(1, 8))


def test_a_hole_in_what_is_in_hand_of_a_revoked_partition_is_not_waited_for() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(8)})
    worker = a_worker(store, log.clock)
    told = iter([Assigned(LOG, 0), log.delivery(0, 0), Revoked(LOG, 0), log.delivery(0, 2)])
    log.deliveries = lambda wait_s: told  # type: ignore[assignment, method-assign]

    worker.run(log)

    assert points(store.entries[0]) == []
    assert store.leases[0].next_offset == 1
    assert worker.troubles() == []
    assert log.rewinds == [(0, 0)]


def test_a_big_batch_is_committed_in_chained_pieces() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(300)}, run=300)

    run(store, log, batch_size=300)

    assert [size for _, size, _ in store.commits] == [128, 128, 44]
    assert points(store.entries[0]) == list(range(1, 300))


@pytest.mark.parametrize("crop", [b"poison", b"not a number"])
@pytest.mark.parametrize("places", [[1], [7], [3, 4, 5, 20], [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]])
def test_crops_that_the_nets_cannot_read_are_found_one_by_one(places: list[int], crop: bytes) -> None:
    story = faces(21)
    for place in places:
        story[place] = a_face(place, crop=crop)
    store, log, told = MemoryStore(), MemoryLog({0: story}), []

    worker = run(store, log, reject=told.extend)

    good = [n for n in range(1, 21) if n not in places]
    assert points(store.entries[0]) == good
    assert [entry.gap for entry in store.entries[0] if isinstance(entry, Skipped)] == [
        (place * 40_000, place * 40_000 + 1) for place in places
    ]
    assert [one.offset for one in told] == places
    assert worker.counters.rejected == len(places)
    assert worker.counters.points == len(good)


def test_a_message_that_is_no_record_is_passed_over_in_its_place() -> None:
    store, log, told = MemoryStore(), MemoryLog({0: [an_opening(), POISON, a_progress(1)]}), []

    run(store, log, reject=told.extend)

    assert sequences(store.entries[0]) == [("SessionOpened", 0), ("Skipped", None), ("Progress", 1)]
    assert told == [Rejection(log=LOG, partition=0, offset=1, reason="no record", key="cam", sha256="0" * 64, size=3)]


def test_rejections_are_kept_before_the_commit_that_passes_over_them() -> None:
    store, log = MemoryStore(), MemoryLog({0: [an_opening(), POISON]})
    attempts: list[int] = []

    def reject(rejections: Sequence[Rejection]) -> None:
        assert store.entries == {}
        attempts.append(len(rejections))
        if len(attempts) < 3:
            raise LogUnavailable("no broker")

    run(store, log, reject=reject)

    assert attempts == [1, 1, 1]
    assert len(store.entries[0]) == 2


def test_nothing_but_poison_stops_the_worker_before_the_topic_is_drained() -> None:
    story: list[Record | Unreadable] = [*faces(50), *[POISON] * 1000]
    store, log = MemoryStore(), MemoryLog({0: story})

    with pytest.raises(TooManyRejected, match="30 rejected one after the other, the last one: no record"):
        run(store, log, limits=Limits(consecutive=30))

    assert len(store.entries[0]) < 80
    assert points(store.entries[0]) == list(range(1, 50))


def test_two_bad_of_three_stop_the_worker_half_and_half_do_not() -> None:
    half = [a_face(n, crop=b"poison" if n % 2 else b"face") for n in range(600)]
    most = [a_face(n, crop=b"face" if n % 3 == 0 else b"poison") for n in range(600)]

    run(MemoryStore(), MemoryLog({0: half}))
    with pytest.raises(TooManyRejected, match=r"of the last 200 rejected, wanted at most 50%"):
        run(MemoryStore(), MemoryLog({0: most}))


def test_an_engine_that_gave_up_ends_the_worker_and_no_crop_is_blamed() -> None:
    store, log, told = MemoryStore(), MemoryLog({0: faces(20)}), []

    class Broken(BytesReader):
        def __call__(self, crops: Sequence[Crop]) -> Values:
            raise EngineFailed("the processor is gone")

    with pytest.raises(EngineFailed):
        run(store, log, reader=Broken(), reject=told.extend)

    assert told == []
    assert store.entries == {}


def test_what_retention_took_is_counted_and_stops_nobody() -> None:
    gone = Unreadable(reason="expired: retention has removed offsets up to 299", key="", sha256="0" * 64, size=0)
    store, log, told = MemoryStore(), MemoryLog({0: [gone] * 300 + faces(5)}), []

    worker = run(store, log, reject=told.extend)

    assert worker.counters.expired == worker.counters.rejected == 300
    assert told == []
    assert points(store.entries[0]) == [1, 2, 3, 4]


def test_live_faces_that_are_too_old_are_passed_over_with_one_gap_per_run() -> None:
    story = [*faces(10), a_gap(10), *(a_face(n, crop=b"face") for n in range(11, 16))]
    store, log = MemoryStore(), MemoryLog({0: story}, run=16)
    log.stale_at = {(0, n): STALE_AT for n in (2, 3, 4, 9, 11)}

    worker = run(store, log, batch_size=16, now_us=lambda: STALE_AT)

    shed = {entry.sequence: entry.gap for entry in store.entries[0] if isinstance(entry, Skipped)}
    assert shed == {2: (80_000, 160_001), 3: None, 4: None, 9: (360_000, 360_001), 11: (440_000, 440_001)}
    assert points(store.entries[0]) == [1, 5, 6, 7, 8, 12, 13, 14, 15]
    assert worker.counters.shed == 5
    assert worker.counters.crops == 9


def test_a_face_in_time_is_read_and_a_file_always_is() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(5)})
    log.stale_at = {(0, 2): STALE_AT}

    run(store, log, now_us=lambda: STALE_AT - 1)

    assert points(store.entries[0]) == [1, 2, 3, 4]


def test_stopping_commits_the_batch_in_hand_and_leaves() -> None:
    store, log = MemoryStore(), MemoryLog({0: faces(1000)})

    class Stopping(BytesReader):
        def __call__(self, crops: Sequence[Crop]) -> Values:
            if len(self.batches) == 3:
                worker.stop()
            return super().__call__(crops)

    worker = a_worker(store, log.clock, Stopping())
    worker.run(log)

    assert len(store.entries[0]) == 32  # four batches of eight
    assert log.abandoned


def test_the_lag_watcher_hears_what_is_stored(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store, log, heard = MemoryStore(), MemoryLog({0: faces(20), 3: faces(7, "other")}), {}

    run(store, log, applied=heard.__setitem__)

    assert heard == {0: 20, 3: 7}


def test_an_offset_without_a_record_is_applied_and_counts_as_nothing() -> None:
    empty = Unreadable(reason=f"{NO_RECORD}: the log holds none", key="", sha256="", size=0)
    story: list[Record | Unreadable] = [*faces(3), *[empty] * 500, *faces(2)]
    store, log = MemoryStore(), MemoryLog({0: story})
    rejected: list[Rejection] = []

    worker = run(store, log, reject=rejected.extend)

    assert len(store.entries[0]) == len(story)
    assert rejected == []
    assert (worker.counters.rejected, worker.counters.shed) == (0, 0)
