"""Records whose every face says in its own picture which face it is."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from contract.records import Face, Progress, Record, SessionOpened
from contract.topics import PARTITIONS, partition_of

BLOCK = 8  # px: one JPEG block per bit, so that its mean survives compression exactly enough
SIDE = 8  # blocks
EDGE = BLOCK * SIDE
PROGRESS_EVERY = 10  # frames
JPEG_QUALITY = 60

START_US = 1_700_000_000_000_000


@dataclass(frozen=True, slots=True)
class Numbers:
    """Which face this is: 12, 8, 24 and 8 bits."""

    source: int
    session: int
    frame: int
    face: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What sources say, as a pure function of their number, session and frame."""

    sources: tuple[int, ...]
    faces: int = 2  # in every frame
    session: int = 0
    start_us: int = START_US  # event time of frame 0
    step_us: int = 50_000  # between frames

    def opening(self, source: int) -> SessionOpened:
        """The session's first record."""
        return SessionOpened(
            source=source_name(source),
            session=session_name(self.session),
            sequence=0,
            uri=f"synthetic:{source}",
            event_time=self.start_us,
            dated=True,
            size_wh=(1920, 1080),
            fps=1e6 / self.step_us,
            sample_hz=None,
            keeps_pictures=False,
        )

    def frame(self, source: int, frame: int) -> Iterator[Record]:
        """The faces of one frame and, with every tenth, how far the source has been looked at."""
        sequence = self._first_sequence(frame)
        for face in range(self.faces):
            yield self._face(Numbers(source, self.session, frame, face), sequence + face)
        if frame % PROGRESS_EVERY == PROGRESS_EVERY - 1:
            yield self._progress(source, frame + 1, sequence + self.faces, closed=False)

    def closing(self, source: int, frames: int) -> Progress:
        """The session's last record, after this many frames."""
        return self._progress(source, frames, self._first_sequence(frames), closed=True)

    def event_time(self, frame: int) -> int:
        """Of a frame, µs."""
        return self.start_us + frame * self.step_us

    def expected(self, frames: Mapping[int, int]) -> set[Numbers]:
        """Every face of these sources (number -> frames)."""
        return {
            Numbers(source, self.session, frame, face)
            for source, count in frames.items()
            for frame in range(count)
            for face in range(self.faces)
        }

    def sequence_of(self, numbers: Numbers) -> int:
        """Where in its session a face stands."""
        return self._first_sequence(numbers.frame) + numbers.face

    def _first_sequence(self, frame: int) -> int:
        return 1 + frame * self.faces + frame // PROGRESS_EVERY

    def _face(self, numbers: Numbers, sequence: int) -> Face:
        return Face(
            source=source_name(numbers.source),
            session=session_name(numbers.session),
            sequence=sequence,
            event_time=self.event_time(numbers.frame),
            frame=numbers.frame,
            track=numbers.face,
            person=person_name(numbers),
            box_xywh=box_of(numbers),
            quality=0.8,
            sharpness=0.6,
            yaw_deg=5.0,
            pitch_deg=-5.0,
            roll_deg=1.0,
            score=0.9,
            crop=picture(numbers),
        )

    def _progress(self, source: int, frames: int, sequence: int, *, closed: bool) -> Progress:
        return Progress(
            source=source_name(source),
            session=session_name(self.session),
            sequence=sequence,
            event_time=self.event_time(frames),
            frames=frames,
            looked_at=frames,
            closed=closed,
        )


def source_name(source: int) -> str:
    """Name of a source."""
    return f"source-{source}"


def session_name(session: int) -> str:
    """Name of a session."""
    return f"session-{session}"


def person_name(numbers: Numbers) -> str:
    """The one person whose face this is; so a point on another's timeline is found out."""
    return f"p-{numbers.source}-{numbers.session}-{numbers.face}"


def box_of(numbers: Numbers) -> tuple[float, float, float, float]:
    """A box that changes with the frame and the face."""
    return (numbers.frame % 1000 + 0.5, numbers.face * 50.0, 64.0, 64.0)


def picture(numbers: Numbers) -> bytes:
    """JPEG of 64 black and white blocks that spell the numbers and their checksum."""
    bits = np.unpackbits(np.frombuffer(_word(numbers).to_bytes(8, "big"), np.uint8))
    plane = np.kron(bits.reshape(SIDE, SIDE) * np.uint8(255), np.ones((BLOCK, BLOCK), np.uint8))
    body = cv2.imencode(".jpg", np.repeat(plane[..., None], 3, 2), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return body.tobytes()


def numbers_in(crop: NDArray[np.uint8]) -> Numbers:
    """What a decoded picture (64, 64, 3) spells.

    Raises:
        ValueError: the checksum does not fit.
    """
    means = crop[..., 0].reshape(SIDE, BLOCK, SIDE, BLOCK).mean((1, 3))
    word = int.from_bytes(np.packbits(means.ravel() > 127).tobytes(), "big")
    body, seen = word >> 12, word & 0xFFF
    numbers = Numbers(body >> 40, body >> 32 & 0xFF, body >> 8 & 0xFFFFFF, body & 0xFF)
    if _checksum(body) != seen:
        raise ValueError(f"a picture that spells {numbers} with checksum {seen:#x}, wanted {_checksum(body):#x}")
    return numbers


def _word(numbers: Numbers) -> int:
    body = numbers.source << 40 | numbers.session << 32 | numbers.frame << 8 | numbers.face  # 52 bits
    return body << 12 | _checksum(body)


def _checksum(body: int) -> int:
    return zlib.crc32(body.to_bytes(7, "big")) & 0xFFF


def one_source_per_partition(partitions: int = PARTITIONS) -> tuple[int, ...]:
    """The lowest source numbers that cover every partition once."""
    found: dict[int, int] = {}
    number = 0
    while len(found) < partitions:
        found.setdefault(partition_of(source_name(number), partitions), number)
        number += 1
    return tuple(found.values())
