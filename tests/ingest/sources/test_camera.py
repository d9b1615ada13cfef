import os
import pickle
import signal
import socket
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from contract.errors import NoVideoInSource, RefusedSource, UnreadableVideo
from contract.labels import GapReason
from contract.records import Gap, Progress, Record, SessionOpened
from ingest.footage import End, Frame, Hole, Item
from ingest.footage.ahead import Ahead
from ingest.pipeline import records_of
from ingest.settings import IngestSettings
from ingest.sources import asked_for, camera, sources_of
from ingest.sources.camera import Camera, CameraDown, CameraSession, connected
from ingest.sources.states import Backoff, CameraState, Condition
from ingest.sources.uri import SourceUri
from tests.components import require
from tests.ingest.test_pipeline import Nobody

CANARY = "C4n4ry-7f3a@ß/s"
ENCODED = "C4n4ry-7f3a%40%C3%9F%2Fs"

Serve = Callable[..., subprocess.Popen[str]]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://cam.local/stream1", "rtsp://cam.local/stream1"),
        ("rtsp://u:C4n4ry@cam.local:8554/a", "rtsp://cam.local:8554/a"),
        ("rtsps://u%40corp:C4n4ry@10.0.0.7/a", "rtsps://10.0.0.7/a"),
        ("rtsp://:C4n4ry@cam/a", "rtsp://cam/a"),
        ("rtsp://C4n4ry@cam/a", "rtsp://cam/a"),
        ("rtsp://a:b@C4n4ry@cam/a", "rtsp://cam/a"),
        ("rtsp://cam/a?user=u&password=C4n4ry", "rtsp://cam/a"),
        ("rtsp://cam/a#C4n4ry", "rtsp://cam/a"),
        ("rtsp://u:C4n4ry@[fe80::1]:554/a", "rtsp://[fe80::1]:554/a"),
    ],
)
def test_an_address_shows_no_secret(url: str, shown: str) -> None:
    (source,) = sources_of([url])

    assert source.uri == shown
    assert "C4n4ry" not in repr(source) + str(source)
    assert SourceUri.parse(url).url == url


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://u:C4n4ry@cam/a", "begins with http://"),
        ("tcp://u:C4n4ry@cam/a", "begins with tcp://"),
        ("rtsp://", "names no host"),
        ("rtsp:///C4n4ry", "names no host"),
        ("rtsp://u:C4n4ry@:554/a", "names no host"),
        ("rtsp://u:C4n4ry@cam:99999/a", "no valid host and port"),
        ("rtsp://u:C4n4ry@cam:x/a", "no valid host and port"),
        ("rtsp://u:C4n4ry@[cam/a", "no valid host and port"),
        ("rtsp://cam/a\r\nC4n4ry: x", "control character"),
        ("rtsp://cam/ C4n4ry", "blank"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_secret(url: str, seen: str) -> None:
    with pytest.raises(RefusedSource, match=seen) as caught:
        sources_of([url])

    assert "C4n4ry" not in str(caught.value)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def serve() -> Iterator[Serve]:
    require("rtsp")
    servers: list[subprocess.Popen[str]] = []

    def start(port: int, *login: str) -> subprocess.Popen[str]:
        script = Path(__file__).with_name("rtsp_server.py")
        server = subprocess.Popen(
            ["/usr/bin/python3", str(script), str(port), *login], stdout=subprocess.PIPE, text=True
        )
        servers.append(server)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        return server

    yield start
    for server in servers:
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()


def watch(url: str, stop: Event, until: Callable[[list[Record]], bool], limit_s: float = 30.0) -> list[Record]:
    """What the camera says until the condition holds; the run is then stopped."""
    (source,) = sources_of([url])
    records: list[Record] = []
    deadline = time.monotonic() + limit_s
    for record in records_of(source, IngestSettings(), Nobody, stop=stop):
        records.append(record)
        if until(records) or time.monotonic() > deadline:
            stop.set()
    return records


@pytest.mark.integration
def test_a_camera_is_watched_until_stopped_and_then_closed(serve: Serve) -> None:
    port = free_port()
    serve(port, "user", CANARY)
    stop = Event()
    began = time.time_ns() // 1000

    records = watch(f"rtsp://user:{ENCODED}@127.0.0.1:{port}/cam", stop, lambda said: len(said) == 3)

    opened, *said = records
    assert isinstance(opened, SessionOpened)
    assert (opened.uri, opened.size_wh, opened.dated) == (f"rtsp://127.0.0.1:{port}/cam", (160, 120), True)
    assert began < opened.event_time < began + 10_000_000
    assert all(isinstance(record, Progress) for record in said)
    assert [record.closed for record in said if isinstance(record, Progress)][-1]
    assert 1_000_000 <= said[0].event_time - opened.event_time < 1_500_000  # type: ignore[union-attr]
    assert "C4n4ry" not in repr(records)


@pytest.mark.integration
def test_a_wrong_password_is_a_state_that_does_not_show_it(serve: Serve) -> None:
    port = free_port()
    serve(port, "user", "another")

    with pytest.raises(CameraDown, match="refuses the user or the password") as caught:
        connected(SourceUri.parse(f"rtsp://user:{ENCODED}@127.0.0.1:{port}/cam"))

    assert caught.value.state is CameraState.WRONG_PASSWORD

    whole = "".join(traceback.format_exception(caught.value)) + repr(pickle.dumps(caught.value))
    assert "C4n4ry" not in whole
    assert caught.value.__context__ is None


@pytest.mark.integration
def test_a_camera_that_comes_back_opens_a_new_session_and_admits_the_gap(serve: Serve) -> None:
    port = free_port()
    server = serve(port)
    stop = Event()

    def restart() -> None:
        time.sleep(2.5)
        server.kill()
        server.wait()
        time.sleep(1.0)
        serve(port)

    saboteur = Thread(target=restart)
    saboteur.start()
    records = watch(f"rtsp://127.0.0.1:{port}/cam", stop, lambda said: any(isinstance(each, Gap) for each in said))
    saboteur.join()

    first, second = [record for record in records if isinstance(record, SessionOpened)]
    (gap,) = [record for record in records if isinstance(record, Gap)]
    assert first.session != second.session
    assert (gap.session, gap.sequence, gap.reason) == (second.session, 1, GapReason.SOURCE_DOWN)
    assert first.event_time + 1_000_000 < gap.begin < gap.end == second.event_time
    assert gap.end - gap.begin > 900_000
    closed = [record.session for record in records if isinstance(record, Progress) and record.closed]
    assert closed == [first.session, second.session]


@pytest.mark.integration
def test_a_camera_that_falls_silent_ends_its_session(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "READ_S", 1.0)
    port = free_port()
    server = serve(port)
    stop = Event()
    (source,) = sources_of([f"rtsp://127.0.0.1:{port}/cam"])
    sessions = source.origin.sessions(stop)
    footage = next(sessions)
    items: list[Item] = []

    for item in footage.items(stop):
        if item is None:
            continue
        items.append(item)
        if len(items) == 5:
            os.kill(server.pid, signal.SIGSTOP)
            stalled_at = time.monotonic()
    took_s = time.monotonic() - stalled_at
    sessions.close()

    assert isinstance(items[-1], End)
    assert 0.9 < took_s < 4


def test_nobody_there_is_a_state_at_once() -> None:
    with pytest.raises(
        CameraDown, match=r"rtsp://127\.0\.0\.1:\d+/a refuses the connection; wanted a camera"
    ) as caught:
        connected(SourceUri.parse(f"rtsp://u:{ENCODED}@127.0.0.1:{free_port()}/a"))

    assert caught.value.state is CameraState.DOWN


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "OPEN_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        started = time.monotonic()

        with pytest.raises(CameraDown, match=r"does not answer within 0\.5 s"):
            connected(SourceUri.parse(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/a"))

        assert time.monotonic() - started < 5


def test_frames_that_nobody_fetches_in_time_become_one_hole() -> None:
    rgb = np.zeros((2, 2, 3), np.uint8)
    made = Event()

    def story() -> Any:
        for index in range(10):
            yield Frame(index, index * 100, index * 100 + 100, lambda: rgb)
        made.set()
        yield End(10, 1000)

    items = Ahead(story(), lambda: None, 4, keep_all=False).until(Event())
    first = next(items)
    made.wait(5)
    rest = list(items)

    frames = [item for item in (first, *rest) if isinstance(item, Frame)]
    (hole,) = [item for item in rest if isinstance(item, Hole)]
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert hole == Hole(frames[-1].media_time + 100, 1000, GapReason.DROPPED)
    assert isinstance(rest[-1], End)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "RETRY_S", 0.05)
    monkeypatch.setattr(camera, "LONGEST_RETRY_S", 0.2)


class Scripted:
    """What stands in the place of a connection: a failure, or a session of so many µs."""

    def __init__(self, *script: Exception | int) -> None:
        self.script = list(script)
        self.began: list[tuple[int | None, int]] = []

    def __call__(self, address: SourceUri, now_us: Callable[[], int], down_since: int | None, _: Condition) -> Any:
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        began_at = now_us() if down_since is None else max(now_us(), down_since + camera.STEP_US)
        self.began.append((down_since, began_at))
        return SimpleNamespace(began_at=began_at, until_us=began_at + step, close=lambda: None, ending=CameraState.DOWN)


def scripted(monkeypatch: pytest.MonkeyPatch, times: list[int], *script: Exception | int) -> tuple[Scripted, Camera]:
    connections = Scripted(*script)
    monkeypatch.setattr(camera, "CameraSession", connections)
    return connections, Camera(SourceUri.parse("rtsp://cam/a"), now_us=lambda: times.pop(0) if times[1:] else times[0])


@pytest.mark.usefixtures("quick")
def test_a_camera_is_tried_again_whatever_its_first_bytes_were(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [
        CameraDown(CameraState.DOWN, "rtsp://cam/a refuses the connection"),
        NoVideoInSource("rtsp://cam/a holds no video"),
        UnreadableVideo("rtsp://cam/a cannot be decoded"),
        RefusedSource("rtsp://cam/a is too large"),
        ValueError("rtsp://u:C4n4ry@cam/a"),
    ]
    connections, cam = scripted(monkeypatch, [1_000_000, 9_000_000], *failures, 500, *failures, 500)
    sessions = cam.sessions(Event())

    for _ in range(2):
        next(sessions)
        assert cam.condition.now is CameraState.LIVE
    sessions.close()

    assert connections.script == []
    (down_since, first), (again, second) = connections.began
    assert down_since == 1_000_000  # off at the start: down since the first attempt
    assert (again, second > first) == (first + 500, True)


@pytest.mark.usefixtures("quick")
def test_event_time_never_runs_backwards_whatever_the_clock_and_a_burst_do(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [10_000_000, 10_000_000, 10_700_000, 10_700_000, 4_000_000, 4_000_000, 4_000_001]
    connections, cam = scripted(monkeypatch, clock, 3_000_000, 3_000_000, 3_000_000)  # 3 s of media in 0.7 s
    sessions = cam.sessions(Event())

    footage = [next(sessions) for _ in range(3)]
    ids = {cam.session_id(each, b"") for each in footage}
    sessions.close()

    upto = 0
    for (down_since, began_at), until_us in zip(connections.began, [each.until_us for each in footage], strict=True):  # type: ignore[attr-defined]
        assert began_at > upto
        assert down_since is None or down_since == upto < began_at  # one gap, and it is not empty
        upto = until_us
    assert len(ids) == 3


@pytest.mark.usefixtures("quick")
def test_a_state_is_reported_when_it_begins_and_not_at_every_attempt(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    down = [CameraDown(CameraState.DOWN, "rtsp://cam/a refuses the connection") for _ in range(3)]
    wrong = CameraDown(CameraState.WRONG_PASSWORD, "rtsp://cam/a refuses the user or the password")
    _, cam = scripted(monkeypatch, [1_000_000], *down, wrong, 500)
    sessions = cam.sessions(Event())

    next(sessions)
    sessions.close()

    states = [message.split(":", 2)[2].partition(" (")[0].strip() for message in caplog.messages]
    assert states == ["down", "wrong password", "live"]
    assert all("trying again" in message for message in caplog.messages[:2])


def test_waits_double_up_to_the_longest_and_spread() -> None:
    low, high = Backoff(1.0, 30.0, lambda: 0.0), Backoff(1.0, 30.0, lambda: 1.0)

    assert [round(low.next_s() / 0.8) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert [round(high.next_s() / 1.2) for _ in range(3)] == [1, 2, 4]
    low.reset()
    assert round(low.next_s() / 0.8) == 1


def test_a_camera_that_must_answer_and_is_off_is_an_error_at_once() -> None:
    address = f"rtsp://127.0.0.1:{free_port()}/cam"
    (source,) = asked_for([address], must_answer=True).sources

    with pytest.raises(CameraDown, match=r"refuses the connection"):
        next(iter(source.origin.sessions(Event())))


def test_only_the_one_camera_of_a_run_must_answer() -> None:
    two = asked_for(["rtsp://127.0.0.1:9/a", "rtsp://127.0.0.1:9/b"], must_answer=True).sources
    (alone,) = asked_for(["rtsp://127.0.0.1:9/a"], must_answer=True).sources
    (served,) = asked_for(["rtsp://127.0.0.1:9/a"]).sources

    must = [each.origin.must_answer for each in (*two, alone, served) if isinstance(each.origin, Camera)]
    assert must == [False, False, True, False]


@pytest.mark.integration
@pytest.mark.usefixtures("quick")
def test_a_camera_that_is_off_at_the_start_is_waited_for_and_the_time_is_one_gap(serve: Serve) -> None:
    port = free_port()
    stop = Event()
    starter = Thread(target=lambda: (time.sleep(1.0), serve(port)))
    starter.start()

    records = watch(f"rtsp://127.0.0.1:{port}/cam", stop, lambda said: any(isinstance(each, Gap) for each in said))
    starter.join()

    opened = records[0]
    (gap,) = [record for record in records if isinstance(record, Gap)]
    assert isinstance(opened, SessionOpened)
    assert (gap.session, gap.reason, gap.end) == (opened.session, GapReason.SOURCE_DOWN, opened.event_time)
    assert gap.end - gap.begin > 500_000


@pytest.mark.integration
def test_a_camera_is_watched_over_udp_where_its_address_asks_for_it(serve: Serve) -> None:
    port = free_port()
    serve(port)
    address = SourceUri.parse(f"rtsp://127.0.0.1:{port}/cam?transport=udp")
    footage = CameraSession(address, lambda: 7, None, Condition("cam"))
    try:
        frames = [item for item, _ in zip(footage.items(Event()), range(20), strict=False) if isinstance(item, Frame)]
    finally:
        footage.close()

    assert (address.transport, "transport" in address.url) == ("udp", False)
    assert len(frames) >= 2
