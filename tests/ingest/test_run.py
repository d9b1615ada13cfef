"""One run over several sources: what fails, what goes on, what it says; no Kafka, no detector."""

import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import BadRequest, BadSource, StoreUnavailable, UnreadableVideo
from contract.records import Progress, Record
from ingest.faces.follow import SeenFace
from ingest.footage import Rgb
from ingest.pipeline import Stored, nothing_stored
from ingest.settings import IngestSettings
from ingest.sources import Source, sources_of
from tests.ingest.clips import write_clip

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0.12 reads its schemas in an old way
    from ingest.kafka.publisher import Halted

from ingest import run as run_module
from ingest.run import Run


class NoFaces:
    def see(self, frame_rgb: Rgb, media_time_us: int, /) -> list[SeenFace]:
        return []


def a_run(
    publish: Callable[[Record], None],
    stop: threading.Event | None = None,
    stored: Callable[[str, str], Stored] = nothing_stored,
) -> Run:
    return Run(IngestSettings(), publish, stored, lambda source: NoFaces(), stop or threading.Event())


@pytest.fixture
def clips(tmp_path: Path) -> Sequence[Source]:
    for name in ("a", "b"):
        write_clip(tmp_path / f"{name}.mp4", frames=12)
    return sources_of([f"{name}={tmp_path}/{name}.mp4" for name in ("a", "b")])


def test_files_are_looked_at_one_after_the_other(clips: Sequence[Source]) -> None:
    published: list[Record] = []

    a_run(published.append).over(clips)

    assert [record.source for record in published] == ["a"] * 2 + ["b"] * 2  # each opens and closes
    assert [isinstance(record, Progress) and record.closed for record in published] == [False, True] * 2


def test_a_file_that_cannot_be_opened_does_not_hold_the_others_up(clips: Sequence[Source], tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video" * 1000)
    published: list[Record] = []
    run = a_run(published.append)

    run.over(clips)

    assert [type(failure) for failure in run.failures.values()] in ([UnreadableVideo], [BadSource])
    assert {record.source for record in published} == {"b"}


def test_an_error_of_the_store_ends_the_run_and_is_raised(clips: Sequence[Source]) -> None:
    def stored(source: str, session: str) -> Stored:
        raise StoreUnavailable("Redis is away")

    published: list[Record] = []
    stop = threading.Event()

    with pytest.raises(StoreUnavailable, match="Redis is away"):
        a_run(published.append, stop, stored).over(clips)

    assert stop.is_set()
    assert published == []


def test_a_run_that_is_halted_ends_quietly(clips: Sequence[Source]) -> None:
    stop = threading.Event()

    def publish(record: Record) -> None:
        stop.set()
        raise Halted("no room")

    run = a_run(publish, stop)

    run.over(clips)

    assert run.failures == {}


@dataclass(frozen=True)
class Endless:
    """A camera of two frames a moment, opened when it may be."""

    opens: threading.Event = field(default_factory=threading.Event)
    crash: Exception | None = None

    def sessions(self, stop: threading.Event, track: int | None = None) -> Iterator[Any]:
        self.opens.wait()
        if self.crash is not None:
            raise self.crash
        while not stop.wait(0.001):
            yield SimpleNamespace(
                began_at=7,
                down_since=None,
                size_wh=(8, 8),
                fps=None,
                frames_expected=None,
                notes=(),
                start_offset=0,
                duration=None,
                items=no_items,
            )

    def session_id(self, footage: Any, settings: bytes) -> str:
        return "s"


def no_items(stop: threading.Event) -> Iterator[None]:
    yield None


@dataclass(frozen=True)
class Live(Source):
    """A source that goes on until it is stopped."""

    @property
    def live(self) -> bool:
        return True


@dataclass(frozen=True)
class Stuck(Source):
    """A file whose opening blocks."""

    @property
    def live(self) -> bool:
        return False


def a_camera(name: str, opens: bool = True, crash: Exception | None = None) -> Live:
    origin = Endless(crash=crash)
    if opens:
        origin.opens.set()
    return Live(name, f"rtsp://{name}", origin)


def in_background(run: Run) -> threading.Thread:
    thread = threading.Thread(target=run.wait, daemon=True)
    thread.start()
    return thread


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_source_that_crashes_ends_alone_and_is_named(clips: Sequence[Source]) -> None:
    published: list[Record] = []
    run = a_run(published.append)

    run.over([a_camera("cam", crash=ZeroDivisionError("a slip")), *clips])

    assert str(run.failures["cam"]) == "rtsp://cam: a mistake of ours ended it (ZeroDivisionError: a slip)"
    assert run.finished == ["a", "b"]


def test_sources_come_and_go_while_a_run_goes_on(clips: Sequence[Source]) -> None:
    published: list[Record] = []
    stop = threading.Event()
    run = a_run(published.append, stop)
    run.add(a_camera("one"))
    waiting = in_background(run)

    run.add(a_camera("two"))
    run.add(clips[0])
    wait_until(lambda: {record.source for record in published} == {"one", "two", "a"})
    with pytest.raises(BadRequest, match="rtsp://two is being looked at already"):
        run.add(a_camera("two"))
    run.remove("one")
    run.remove("nobody")
    wait_until(lambda: "one" in run.finished)
    assert "two" in run.tallies
    run.add(a_camera("one"))  # again
    wait_until(lambda: "one" in run.tallies)
    stop.set()
    waiting.join(30)

    assert not waiting.is_alive()
    assert run.tallies == {}
    assert sorted(run.finished) == ["a", "one", "one", "two"]


def test_one_stop_ends_a_run_also_while_an_open_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "GRACE_S", 0.05)
    published: list[Record] = []
    stop = threading.Event()
    run, blocked = a_run(published.append, stop), a_camera("cam", opens=False)
    run.add(blocked)
    run.add(a_camera("other"))
    waiting = in_background(run)
    wait_until(lambda: published)

    stop.set()
    waiting.join(30)

    assert not waiting.is_alive()
    assert run.left_behind == ["rtsp://cam"]
    assert run.finished == ["other"]
    blocked.origin.opens.set()  # type: ignore[attr-defined]
    wait_until(lambda: [each.name for each in threading.enumerate() if each.name == "ingest"] == [])
    assert {record.source for record in published} == {"other"}


def test_a_file_that_cannot_be_opened_in_time_does_not_hold_the_others_up(
    clips: Sequence[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "OPEN_S", 0.2)
    published: list[Record] = []
    run, stuck = a_run(published.append), Stuck("stuck", "/mnt/gone.mp4", Endless())

    run.over([stuck, *clips])

    assert str(run.failures["stuck"]) == "/mnt/gone.mp4 cannot be opened within 0.2 s; the others go on"
    assert run.finished == ["a", "b"]
    stuck.origin.opens.set()  # type: ignore[attr-defined]
    wait_until(lambda: [each.name for each in threading.enumerate() if each.name == "ingest"] == [])
    assert {record.source for record in published} == {"a", "b"}
