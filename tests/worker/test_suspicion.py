"""A record that kills whoever reads it: found, read alone, and set aside; nothing else is lost."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from contract.records import Crop, Record, Unreadable
from tests.worker.examples import a_face, an_opening
from tests.worker.fakes import LOG, BytesReader, MemoryLog
from tests.worker.store.harness import RedisHarness
from worker.pipeline import Worker
from worker.reading.poison import Rejection
from worker.reading.reader import Values

KILLER = b"killer"


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours may catch it."""


class DyingReader(BytesReader):
    def __call__(self, crops: Sequence[Crop]) -> Values:
        if KILLER in crops:
            raise Killed
        return super().__call__(crops)


@pytest.mark.parametrize("killer_at", [1, 7, 29])
def test_a_record_that_killed_two_workers_alone_is_set_aside_by_the_next(tmp_path: Path, killer_at: int) -> None:
    story: list[Record | Unreadable] = [an_opening(), *(a_face(n, crop=b"face") for n in range(1, 40))]
    story[killer_at] = a_face(killer_at, crop=KILLER)
    harness, rejected, deaths = RedisHarness(tmp_path), list[Rejection](), 0

    for _ in range(9):
        store = harness.open()
        try:
            worker = Worker(store, DyingReader(), batch_size=16, reject=rejected.extend, clock=lambda: 0.0)
            worker.run(MemoryLog({0: story}))
        except Killed:
            deaths += 1
        else:
            break
        finally:
            store.close()

    assert harness.position(LOG, 0) == len(story)
    assert deaths == (3 if killer_at < 16 else 4)  # among others where the position stands once and again, twice alone
    assert [one.offset for one in rejected] == [killer_at]
    assert "2 workers ended while they read it" in rejected[0].reason
    contents = harness.contents()
    assert len(contents.points["ann"]) == 38
    assert {gap[2] for gap in contents.gaps} == {killer_at}


def test_takes_without_deaths_set_nothing_aside(tmp_path: Path) -> None:
    story: list[Record | Unreadable] = [an_opening(), *(a_face(n, crop=b"face") for n in range(1, 40))]
    harness = RedisHarness(tmp_path)
    store = harness.open()
    for _ in range(6):  # rebalances of a partition where nothing comes
        store.take(LOG, 0)

    Worker(store, DyingReader(), batch_size=16, clock=lambda: 0.0).run(MemoryLog({0: story}))

    assert len(harness.contents().points["ann"]) == 39
    assert harness.contents().gaps == set()
    store.close()
