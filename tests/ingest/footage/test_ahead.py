"""The thread that reads ahead: who closes what, and when."""

import threading
from collections.abc import Generator

import pytest

from ingest.footage import End, Frame, Item, ahead
from ingest.footage.ahead import Ahead


def test_a_reader_that_is_stuck_is_left_alone_and_lets_go_when_it_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "JOIN_S", 0.1)
    stuck, wake, let_go_by = threading.Event(), threading.Event(), []

    def items() -> Generator[Item]:
        yield Frame(0, 0, 1, lambda: None)
        stuck.set()
        wake.wait(10)  # as FFmpeg does in a read that nothing can interrupt
        yield End(1, 1)

    reading = Ahead(items(), lambda: let_go_by.append(threading.current_thread().name), 4, keep_all=True)
    arriving = reading.until(threading.Event())
    next(arriving)
    stuck.wait(10)

    reading.close()

    assert let_go_by == []
    wake.set()
    reading.close()
    assert let_go_by == ["mien-reader"]


def test_what_was_never_asked_for_is_closed_all_the_same() -> None:
    let_go = threading.Event()

    reading = Ahead((End(0, 0) for _ in range(100)), let_go.set, 1, keep_all=True)
    reading.close()

    assert let_go.is_set()


def test_an_error_of_the_maker_comes_in_its_place() -> None:
    def items() -> Generator[Item]:
        yield End(0, 0)
        raise RuntimeError("broken")

    arriving = Ahead(items(), lambda: None, 4, keep_all=True).until(threading.Event())

    assert next(arriving) == End(0, 0)
    with pytest.raises(RuntimeError, match="broken"):
        next(arriving)
