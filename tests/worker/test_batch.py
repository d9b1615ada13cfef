from itertools import chain

import pytest

from contract.records import Delivery
from tests.worker.examples import a_face, a_progress
from worker.batch import in_batches


def delivery(offset: int, partition: int = 0) -> Delivery:
    return Delivery("log", partition, offset, a_face(offset) if offset % 2 else a_progress(offset))


class Clock:
    """A clock that a script of deliveries moves: numbers are seconds that pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def play(self, script: list[Delivery | float]) -> object:
        for step in script:
            if isinstance(step, float):
                self.now += step
                yield None
            else:
                yield step


def offsets(script: list[Delivery | float], size: int = 3, wait_s: float = 1.0) -> list[list[int]]:
    clock = Clock()
    batches = in_batches(clock.play(script), size, wait_s, clock)  # type: ignore[arg-type]
    return [[one.offset for one in batch] for batch in batches]


def test_a_full_batch_leaves_at_once_and_the_rest_with_the_end() -> None:
    assert offsets([delivery(n) for n in range(7)]) == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_late_batch_leaves_half_full() -> None:
    assert offsets([delivery(0), 0.6, delivery(1), 0.6, delivery(2)]) == [[0, 1], [2]]


def test_waiting_counts_from_the_first_delivery_not_from_the_last_batch() -> None:
    assert offsets([delivery(0), 1.0, 50.0, delivery(1), 0.9, delivery(2)]) == [[0], [1, 2]]


def test_a_delivery_that_comes_too_late_takes_the_batch_along() -> None:
    clock = Clock()

    def script() -> object:
        yield delivery(0)
        clock.now += 5.0  # no None in between: the log was never idle
        yield delivery(1)
        yield delivery(2)

    batches = in_batches(script(), 10, 1.0, clock)  # type: ignore[arg-type]

    assert [[one.offset for one in batch] for batch in batches] == [[0, 1], [2]]


def test_an_idle_log_makes_no_batches() -> None:
    assert offsets([5.0, 5.0]) == []


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_everything_arrives_once_and_in_order_in_batches_of_any_size(size: int) -> None:
    batches = offsets([delivery(n) for n in range(50)], size=size)

    assert list(chain.from_iterable(batches)) == list(range(50))
    assert all(len(batch) <= size for batch in batches)
