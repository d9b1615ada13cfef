"""A follower for every session, on detectors that sessions share."""

import threading
from collections.abc import Callable

from ingest.faces.detect import STILL_LONG_SIDE, CenterFace
from ingest.faces.follow import Follower
from ingest.settings import IngestSettings
from ingest.sources import Source


def follower_factory(settings: IngestSettings) -> Callable[[Source], Follower]:
    """A fresh follower per session; the detector's session is opened once per kind of source."""
    detectors: dict[bool, CenterFace] = {}
    opening = threading.Lock()

    def new_follower(source: Source) -> Follower:
        with opening:
            if source.still not in detectors:
                detectors[source.still] = CenterFace(STILL_LONG_SIDE) if source.still else CenterFace()
        return Follower(detectors[source.still], detect_every=settings.detect_every, still=source.still)

    return new_follower
