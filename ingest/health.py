"""How an ingest is: what its health pages show of sources, cameras and the way to Kafka."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ingest.kafka.outbox import Outbox
from ingest.kafka.publisher import KafkaPublisher
from ingest.pipeline import Tally
from ingest.run import Run, Unobserved
from ingest.sources import Source
from ingest.sources.camera import Camera
from ingest.sources.states import CameraState
from runtime.health import Pages
from runtime.telemetry import Samples, Telemetry


class Totals(Unobserved):
    """Keeps where every source stands, also after it has ended; an `ingest.run.Observer`."""

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}  # by source

    def went_on(self, source: Source, tally: Tally) -> None:
        """Keep the tally of a source."""
        self.tallies[source.id] = tally


@dataclass(frozen=True, slots=True)
class IngestHealth:
    """The pages of one ingest.

    Args:
        sources: that are looked at.
        totals: observes the run.
        mismatch: why the topic is not as the store wants it; empty: it is.
    """

    run: Run
    sources: list[Source]
    totals: Totals
    outbox: Outbox
    publisher: KafkaPublisher
    mismatch: str = ""

    def pages(self) -> Pages:
        """Return what a health server shows, with the instruments of this process."""
        telemetry = Telemetry("mien.ingest")
        for name, text, read in (
            ("frames", "Frames of the session gone by, looked at or not.", lambda tally: tally.frames),
            (
                "looked_at_frames",
                "Frames in which faces were looked for.",
                lambda tally: tally.looked_at,
            ),
            ("faces", "Faces that were found.", lambda tally: tally.faces),
        ):
            telemetry.counter(f"mien_ingest_{name}", text, self._of_tallies(read))
        telemetry.counter("mien_ingest_dropped_faces", "Faces of cameras that found no room.", self._dropped)
        telemetry.gauge("mien_ingest_camera_state", "1: the camera is in this state.", self._states)
        telemetry.gauge(
            "mien_ingest_held_bytes", "What Kafka has not acknowledged.", lambda: [(self.outbox.held_bytes, {})]
        )
        telemetry.gauge("mien_ingest_ready", "1: ready.", lambda: [(int(not self.reasons()), {})])
        return Pages(self._loop_age_s, self.reasons, telemetry.page)

    def reasons(self) -> list[str]:
        """Return why not everything is looked at, one line each."""
        lines = [self.mismatch] if self.mismatch else []
        if self.outbox.is_waiting:
            lines.append(f"Kafka takes no records; {len(self.outbox)} wait")
        for camera in self._cameras():
            state = camera.condition.now
            if state is not CameraState.LIVE:
                why = f" ({camera.condition.why})" if camera.condition.why else ""
                lines.append(f"{camera.condition.name}: {state}{why}")
        return lines

    def _loop_age_s(self) -> float:
        return time.monotonic() - self.run.looped_at

    def _cameras(self) -> list[Camera]:
        return [source.origin for source in self.sources if isinstance(source.origin, Camera)]

    def _of_tallies(self, read: Callable[[Tally], int]) -> Callable[[], Samples]:
        return lambda: [(read(tally), {"source": name}) for name, tally in self.totals.tallies.copy().items()]

    def _dropped(self) -> Samples:
        return [(sent.dropped, {"source": name}) for name, sent in self.publisher.sent().items()]

    def _states(self) -> Samples:
        return [
            (int(source.origin.condition.now is state), {"source": source.id, "state": state.value})
            for source in self.sources
            if isinstance(source.origin, Camera)
            for state in CameraState
        ]
