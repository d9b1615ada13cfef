import threading

import pytest

from contract.errors import BadStore, LogUnavailable, StoreUnavailable
from worker.retry import SAY_EVERY_S, Retry, Stopped


class Flaky:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_a_call_is_repeated_until_it_is_answered() -> None:
    waits: list[float] = []
    retry = Retry(threading.Event(), wait=lambda s: bool(waits.append(s)))

    assert retry(Flaky(StoreUnavailable("a"), LogUnavailable("b"))) == "answer"

    assert waits == [0.05, 0.1]
    assert retry.trouble() is None


def test_what_is_waited_for_is_known_since_its_beginning_and_logged_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now, beats, seen = [0.0], [], []

    def wait(seconds: float) -> bool:
        now[0] += seconds
        seen.append(retry.trouble())
        return False

    retry = Retry(threading.Event(), lambda: beats.append(1), wait, clock=lambda: now[0])
    retry(Flaky(*[StoreUnavailable(f"no answer {n}") for n in range(20)]))

    assert [trouble and trouble.since for trouble in seen] == [0.0] * 20
    assert seen[-1] is not None
    assert seen[-1].text == "no answer 19"
    assert len(beats) == 20
    warnings = [record.message for record in caplog.records]
    assert len(warnings) == 2 + int(now[0] // SAY_EVERY_S)
    assert warnings[0] == "waiting: no answer 0"
    assert warnings[-1].startswith(f"back after {now[0]:.1f} s")


def test_an_answer_that_is_long_in_coming_is_trouble_before_the_call_fails() -> None:
    now, seen = [0.0], []
    retry = Retry(threading.Event(), clock=lambda: now[0])

    def slow() -> None:
        for now[0] in (0.5, 2.5):
            seen.append(retry.trouble())

    retry(slow)

    assert seen[0] is None
    assert seen[1] is not None
    assert seen[1].text == "no answer for 2.5 s"
    assert retry.trouble() is None


def test_another_error_is_nothing_to_wait_for() -> None:
    with pytest.raises(BadStore, match="damaged"):
        Retry(threading.Event())(Flaky(BadStore("damaged")))


def test_waiting_ends_when_the_worker_is_asked_to_stop() -> None:
    stop = threading.Event()
    stop.set()

    with pytest.raises(Stopped):
        Retry(stop)(Flaky(StoreUnavailable("away")))
