"""The items of a source in media time (µs since the session began): frames, holes between them, and the end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from contract.labels import GapReason

Rgb: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) u8 RGB, upright, contiguous."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame. Its picture is made when `picture` is called: a frame that is not looked at costs no conversion."""

    index: int  # counted over all frames of the session, looked at or not
    media_time: int  # µs
    end: int  # µs, where it makes room for the next one
    picture: Callable[[], Rgb | None]
    """The picture at the session's size, a fresh array; None where what a damaged stream declares has no picture.
    Pictures of one session are made on one thread."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch [begin, end) of media time without frames, and why."""

    begin: int  # µs
    end: int  # µs
    reason: GapReason


@dataclass(frozen=True, slots=True)
class End:
    """The session is over: always the last item."""

    frames: int  # decoded, looked at or not
    media_time: int  # µs, where the last frame ends


Item: TypeAlias = Frame | Hole | End


class Footage(Protocol):
    """One opened session of a source. `items` is called once."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in px, upright; every frame has them."""

    @property
    def fps(self) -> float | None:
        """Average frame rate, if the source knows it."""

    @property
    def duration(self) -> int | None:
        """µs, as the source claims it."""

    @property
    def frames_expected(self) -> int | None:
        """An estimate, for a progress bar."""

    @property
    def start_offset(self) -> int:
        """µs that a player shows at media time 0: later than 0 where the sound begins before the picture."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for the user: what of the source is not looked at."""

    @property
    def began_at(self) -> int | None:
        """µs since the epoch, where the source is live."""

    @property
    def down_since(self) -> int | None:
        """µs since the epoch: when the session before this one broke off."""

    def items(self, stop: Event) -> Iterator[Item | None]:
        """All frames, holes, and the end, in order of media time; None whenever nothing came for a while.

        When `stop` is set the iterator ends soon, without `End`.
        """

    def close(self) -> None:
        """Let go of the file or the connection."""
