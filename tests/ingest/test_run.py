"""One run over several sources: what fails, what goes on, what it says; no Kafka, no detector."""

import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest

from contract.errors import BadSource, StoreUnavailable, UnreadableVideo
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
    from ingest.run import Run


class NoFaces:
    def see(self, frame_rgb: Rgb, media_time_us: int, /) -> list[SeenFace]:
        return []


def a_run(published: list[Record], stop: threading.Event | None = None) -> Run:
    return Run(IngestSettings(), published.append, nothing_stored, stop or threading.Event(), lambda source: NoFaces())


@pytest.fixture
def clips(tmp_path: Path) -> Sequence[Source]:
    for name in ("a", "b"):
        write_clip(tmp_path / f"{name}.mp4", frames=12)
    return sources_of([f"{name}={tmp_path}/{name}.mp4" for name in ("a", "b")])


def test_files_are_looked_at_one_after_the_other(clips: Sequence[Source]) -> None:
    published: list[Record] = []

    a_run(published).over(clips, lambda: None)

    assert [record.source for record in published] == ["a"] * 2 + ["b"] * 2  # each opens and closes
    assert [isinstance(record, Progress) and record.closed for record in published] == [False, True] * 2


def test_a_file_that_cannot_be_opened_does_not_hold_the_others_up(clips: Sequence[Source], tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video" * 1000)
    published: list[Record] = []
    run = a_run(published)

    run.over(clips, lambda: None)

    assert [type(failure) for failure in run.failures] in ([UnreadableVideo], [BadSource])
    assert {record.source for record in published} == {"b"}


def test_an_error_of_the_store_ends_the_run_and_is_raised(clips: Sequence[Source]) -> None:
    def stored(source: str, session: str) -> Stored:
        raise StoreUnavailable("Redis is away")

    published: list[Record] = []
    run = a_run(published)
    run.stored = stored

    with pytest.raises(StoreUnavailable, match="Redis is away"):
        run.over(clips, lambda: None)

    assert run.stop.is_set()
    assert published == []


def test_a_run_that_is_halted_ends_quietly(clips: Sequence[Source]) -> None:
    stop = threading.Event()

    def publish(record: Record) -> None:
        stop.set()
        raise Halted("no room")

    run = a_run([], stop)
    run.publish = publish

    run.over(clips, lambda: None)

    assert run.failures == []
