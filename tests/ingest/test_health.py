"""What the health pages of ingest show; no Kafka, no camera."""

import warnings
from types import SimpleNamespace
from typing import Any

from ingest.pipeline import Tally
from ingest.sources import sources_of
from ingest.sources.camera import Camera
from ingest.sources.states import CameraState

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0.12 reads its schemas in an old way
    from ingest.health import IngestHealth, Totals


def a_health(mismatch: str = "") -> tuple[IngestHealth, Any, Camera]:
    sources = sources_of(["door=rtsp://u:canary7@cam/a"])
    outbox: Any = SimpleNamespace(is_waiting=False, held_bytes=7, __len__=lambda: 3)
    publisher: Any = SimpleNamespace(sent=lambda: {"door": SimpleNamespace(dropped=4)})
    run: Any = SimpleNamespace(looped_at=0.0)
    camera = sources[0].origin
    assert isinstance(camera, Camera)
    return IngestHealth(run, sources, Totals(), outbox, publisher, mismatch), outbox, camera


def test_an_ingest_is_ready_while_every_camera_is_live() -> None:
    health, _, camera = a_health()
    camera.condition.enter(CameraState.LIVE)
    assert health.reasons() == []

    camera.condition.enter(CameraState.WRONG_PASSWORD, "refuses the user or the password")

    assert health.reasons() == ["rtsp://cam/a: wrong password (refuses the user or the password)"]


def test_partitions_that_were_added_are_a_reason() -> None:
    health, _, camera = a_health("topic faces has 13 partitions, the store wants 12")
    camera.condition.enter(CameraState.LIVE)

    assert health.reasons() == ["topic faces has 13 partitions, the store wants 12"]


def test_the_figures_name_sources_and_states_and_no_secret() -> None:
    health, _, camera = a_health()
    camera.condition.enter(CameraState.DOWN, "refuses the connection")
    health.totals.went_on(health.sources[0], Tally(frames=12, looked_at=6, faces=2))

    page = health.pages().metrics()

    lines = page.splitlines()
    assert 'mien_ingest_frames_total{source="door"} 12.0' in lines
    assert 'mien_ingest_looked_at_frames_total{source="door"} 6.0' in lines
    assert 'mien_ingest_faces_total{source="door"} 2.0' in lines
    assert 'mien_ingest_dropped_faces_total{source="door"} 4.0' in lines
    assert 'mien_ingest_camera_state{source="door",state="down"} 1.0' in lines
    assert 'mien_ingest_camera_state{source="door",state="live"} 0.0' in lines
    assert "mien_ingest_held_bytes 7.0" in lines
    assert "mien_ingest_ready 0.0" in lines
    assert "canary7" not in page
