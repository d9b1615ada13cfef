"""What a user may choose about looking at a source."""

import functools
import importlib.metadata
from dataclasses import dataclass, field

import msgspec

from contract.errors import BadRequest
from ingest.faces import RULES
from ingest.faces.detect import detector_version
from ingest.faces.follow import DETECT_EVERY
from ingest.sampling import sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """How sources are looked at. Out of range values raise `BadRequest`."""

    every_n: int | None = None  # look at frames 0, n, 2n …
    sample_hz: float | None = None  # or at so many per second of media time
    detect_every: int = DETECT_EVERY  # of the frames looked at, search every k-th for faces and follow between
    crop_edge: int = 160  # px; the same for all nets, which resize: so nets do not change what a session is
    min_quality: float = 0.0  # faces below are not reported; 0: all are
    recorded_at: int | None = None  # µs since the epoch, of the first frame; None: event times count from it
    keeps_pictures: bool = False
    track: int | None = None  # the picture track of a file that is looked at, from 1; None: the film
    begin: int | None = None  # µs of media time; what lies before is not looked at
    end: int | None = None  # likewise; exclusive
    detector: str = field(default_factory=detector_version)  # another one makes another session

    def __post_init__(self) -> None:
        sampler(self.every_n, self.sample_hz)
        if self.track is not None and self.track < 1:
            raise BadRequest(f"track is {self.track}; wanted 1 (the first picture track) or more")
        if self.detect_every < 1:
            raise BadRequest(f"detect_every is {self.detect_every}; wanted 1 (every frame) or more")
        if not 16 <= self.crop_edge <= 1024:
            raise BadRequest(f"crop_edge is {self.crop_edge} px; wanted 16 to 1024")
        begin, end = self.begin or 0, self.end
        if begin < 0 or (end is not None and end <= begin):
            seen = f"{begin / 1e6:g} to {'the end' if end is None else f'{end / 1e6:g}'} s"
            raise BadRequest(f"from {seen}; wanted a begin of 0 or more and an end behind it")
        if not 0 <= self.min_quality <= 1:
            raise BadRequest(f"min_quality is {self.min_quality:g}; wanted 0 to 1")

    @property
    def stated(self) -> str:
        """These settings as a JSON object, for whoever reads the results; also what is not a choice of the user."""
        return msgspec.json.encode(
            {
                "mien": _program_version(),
                "detector": self.detector,
                "rules": RULES,
                "every_n": self.every_n or (None if self.sample_hz else 1),
                "sample_hz": self.sample_hz,
                "detect_every": self.detect_every,
                "track": self.track,
                "min_quality": self.min_quality,
                "crop_edge": self.crop_edge,
                "from": None if self.begin is None else self.begin / 1e6,
                "to": None if self.end is None else self.end / 1e6,
            }
        ).decode()

    @property
    def identity(self) -> bytes:
        """What of these settings changes the records of a session."""
        settings: tuple[object, ...] = (
            self.every_n or 1,
            self.sample_hz,
            self.detect_every,
            self.crop_edge,
            self.min_quality,
            self.recorded_at,
            self.keeps_pictures,
            self.detector,
            RULES,
        )
        chosen = {"track": self.track, "begin": self.begin, "end": self.end}
        parts = {name: value for name, value in chosen.items() if value is not None}
        return msgspec.json.encode((*settings, parts) if parts else settings)


@functools.cache
def _program_version() -> str | None:
    try:
        return importlib.metadata.version("mien")
    except importlib.metadata.PackageNotFoundError:  # a copy of the tree that was never installed
        return None
