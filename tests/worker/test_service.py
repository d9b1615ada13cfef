"""The service over a store and a log in memory: how it begins, what it says, how it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from contract.errors import (
    BadModel,
    BadOutput,
    EngineFailed,
    LogReplaced,
    LogUnavailable,
    MienError,
    RecordsExpired,
    StoreTooNew,
    StoreUnavailable,
)
from contract.exit_codes import BAD_INPUT, CONFIG, DATA, DONE, NO_INPUT, SOFTWARE, UNAVAILABLE
from contract.records import Crop, Unreadable
from tests.worker.examples import a_face
from tests.worker.fakes import BytesReader, MemoryLog, MemoryStore, points
from worker.commit import CommitRefused, LeaseLost
from worker.reading.poison import Rejection
from worker.reading.reader import Values
from worker.service import exit_code, serve
from worker.settings import WorkerSettings

SETTINGS = WorkerSettings(bootstrap="kafka:9092", redis="redis://store", health_port=0, wait_s=0.02)
POISON = Unreadable(reason="no record", key="cam", sha256="0" * 64, size=3)


class Store(MemoryStore):
    closed = False

    def close(self) -> None:
        self.closed = True


class ServedLog(MemoryLog):
    """Real time; goes on for ever unless `error` ends it."""

    error: MienError | None = None

    def __init__(self, *values: Any) -> None:
        super().__init__(*values)
        self.heard: dict[int, int] = {}
        self.reasons: list[str] = []
        self.quiet_s = 1e9

    def deliveries(self, wait_s: float) -> Any:
        for each in super().deliveries(wait_s):
            if each is None:
                time.sleep(wait_s)
                if self.error is not None:
                    raise self.error
            yield each

    def applied(self, partition: int, offset: int) -> None:
        self.heard[partition] = offset

    def troubles(self) -> list[str]:
        return self.reasons

    def lags(self) -> dict[int, int]:
        return {partition: len(self.records[partition]) - offset for partition, offset in self.heard.items()}

    def counts(self) -> dict[str, int]:
        return {"recycles": 0}


class Told:
    def __init__(self) -> None:
        self.rejections: list[Rejection] = []
        self.closed = False

    def __call__(self, rejections: Sequence[Rejection]) -> None:
        self.rejections.extend(rejections)

    def close(self) -> None:
        self.closed = True


class Served:
    """A service on a thread, its parts at hand."""

    def __init__(self, settings: WorkerSettings = SETTINGS, **parts: Callable[[], Any]) -> None:
        self.store, self.told = Store(), Told()
        self.log = ServedLog({0: [a_face(n, crop=b"face") for n in range(20)]})
        self.stop, self.begun, self.port, self.codes = threading.Event(), threading.Event(), 0, [-1]
        self._settings = settings
        self._parts = parts
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        def part(name: str, made: Any) -> Callable[[Any], Any]:
            return lambda settings: self._parts[name]() if name in self._parts else made

        self.codes[0] = serve(
            self._settings,
            self._parts.get("reader", BytesReader),
            new_log=part("log", self.log),
            new_store=part("store", self.store),
            new_rejected=part("rejected", self.told),
            stop=self.stop,
            on_health=self._heard,
        )

    def _heard(self, port: int) -> None:
        self.port = port
        self.begun.set()

    def __enter__(self) -> "Served":
        self.thread.start()
        assert self.begun.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()

    def ended(self) -> int:
        self.thread.join(20)
        return self.codes[0]

    def ready(self) -> tuple[int, list[str]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return answer.status, json.load(answer)["reasons"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)["reasons"]


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_service_works_until_it_is_asked_to_stop_and_lets_go_of_everything() -> None:
    with Served() as served:
        wait_for(lambda: served.log.heard == {0: 20})
        assert served.ready() == (200, [])
        with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=5) as answer:
            figures = answer.read().decode()
        served.stop.set()

        assert served.ended() == DONE

    assert "mien_worker_records_total 20.0\n" in figures
    assert 'mien_worker_lag_records{partition="0"} 0.0\n' in figures
    assert points(served.store.entries[0]) == list(range(20))
    assert served.store.closed
    assert served.told.closed
    assert served.log.abandoned


def test_what_the_log_and_the_store_suffer_from_makes_it_unready() -> None:
    with Served() as served:
        wait_for(lambda: served.log.heard == {0: 20})
        served.log.reasons = ["partition 0 is parked: version 2"]
        assert served.ready() == (503, ["partition 0 is parked: version 2"])
        served.log.reasons = []
        served.store.faults.extend(["down"] * 10_000)
        served.log.records[0].append(a_face(20, crop=b"face"))

        wait_for(lambda: served.ready() == (503, ["the fake store is down"]))
        served.store.faults.clear()
        wait_for(lambda: served.ready() == (200, []))

    assert points(served.store.entries[0]) == list(range(21))


def test_it_waits_for_a_store_and_a_log_that_are_not_there_yet_and_says_so() -> None:
    store_errors, log_errors = [StoreUnavailable("no store")] * 4, [LogUnavailable("no broker")] * 4
    seen = set()

    def flaky(errors: list[MienError], made: Callable[[], Any]) -> Callable[[], Any]:
        def new() -> Any:
            seen.update(served.ready()[1])
            if errors:
                raise errors.pop()
            return made()

        return new

    served = Served(store=flaky(store_errors, lambda: served.store), log=flaky(log_errors, lambda: served.log))  # type: ignore[arg-type]
    with served:
        wait_for(lambda: served.log.heard == {0: 20})

    assert seen == {"waiting for the store", "no store", "waiting for the log", "no broker"}


def test_it_can_be_stopped_before_it_began() -> None:
    def away() -> None:
        raise StoreUnavailable("no store")

    with Served(store=away) as served:
        wait_for(lambda: "no store" in served.ready()[1])
        served.stop.set()
        assert served.ended() == DONE


def test_while_the_engine_loads_it_lives_and_is_not_ready() -> None:
    loaded = threading.Event()

    def load() -> BytesReader:
        assert loaded.wait(10)
        return BytesReader()

    with Served(reader=load) as served:
        assert served.ready() == (503, ["the engine is loading"])
        loaded.set()
        wait_for(lambda: served.ready()[0] == 200)


class Broken(BytesReader):
    def __call__(self, crops: Sequence[Crop]) -> Values:
        raise EngineFailed("the processor is gone")


def failing(error: Exception) -> Callable[[], Any]:
    def new() -> Any:
        raise error

    return new


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"reader": failing(BadModel("no such net"))}, CONFIG),
        ({"reader": Broken}, SOFTWARE),
        ({"reader": failing(ZeroDivisionError("a slip"))}, SOFTWARE),
        ({"store": failing(StoreTooNew("layout 2"))}, CONFIG),
        ({"store": failing(LogReplaced("another topic"))}, CONFIG),
    ],
)
def test_an_error_at_the_start_has_its_code_and_one_line(
    parts: dict[str, Callable[[], Any]], code: int, caplog: pytest.LogCaptureFixture
) -> None:
    with Served(**parts) as served:
        assert served.ended() == code

    assert [record.levelname for record in caplog.records].count("CRITICAL") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [(RecordsExpired("17 records are gone"), NO_INPUT), (LogUnavailable("the topic is gone"), UNAVAILABLE)],
)
def test_an_error_of_the_log_ends_the_service_and_what_was_committed_stays(error: MienError, code: int) -> None:
    with Served() as served:
        wait_for(lambda: served.log.heard == {0: 20})
        served.log.error = error
        assert served.ended() == code

    assert points(served.store.entries[0]) == list(range(20))
    assert served.log.abandoned


def test_poison_alone_ends_the_service_and_each_is_told() -> None:
    served = Served()
    served.log.records[0][:] = [POISON] * 1000

    with served:
        assert served.ended() == DATA

    assert len(served.store.entries[0]) == len(served.told.rejections) < 100


def test_a_health_port_that_is_taken_is_a_mistake_of_usage() -> None:
    with Served() as served:
        taken = WorkerSettings(bootstrap="kafka:9092", redis="redis://store", health_port=served.port)
        assert serve(taken, BytesReader, stop=threading.Event()) == BAD_INPUT


@pytest.mark.parametrize(
    ("error", "code"), [(CommitRefused("x"), DATA), (LeaseLost("x"), UNAVAILABLE), (BadOutput("x"), BAD_INPUT)]
)
def test_an_error_that_is_no_input_of_the_table_has_a_code_all_the_same(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_sigterm_drains_and_ends_with_zero() -> None:
    script = (
        "import sys, logging\n"
        "from tests.worker.test_service import *\n"
        "logging.basicConfig(level=logging.INFO)\n"
        "served = Served()\n"
        "parts = {'log': served.log, 'store': served.store, 'rejected': served.told}\n"
        "parts = {f'new_{name}': lambda settings, part=part: part for name, part in parts.items()}\n"
        "code = serve(SETTINGS, BytesReader, on_health=lambda port: print(port, flush=True), **parts)\n"
        "print(len(served.store.entries[0]), served.log.abandoned, flush=True)\n"
        "sys.exit(code)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        wait_for(lambda: b"records_total 20.0" in urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read())
        os.kill(process.pid, signal.SIGTERM)

        assert process.wait(20) == DONE
        assert process.stdout.read() == "20 True\n"
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
