"""What a source shows, in media time (µs since the session began): frames, holes between them, and its end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from contract.labels import GapReason

Rgb: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) u8 RGB, upright, contiguous."""

Wanted: TypeAlias = Callable[[int, int], bool]
"""Is this frame (index, media time) to be looked at? Asked once for every frame, in order."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame that is to be looked at."""

    index: int  # counted over all frames of the session, looked at or not
    media_time: int  # µs
    rgb: Rgb  # at the session's size


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


Shown: TypeAlias = Frame | Hole | End


class Footage(Protocol):
    """One opened session of a source. `shown` is called once."""

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
    def began_at(self) -> int | None:
        """µs since the epoch, where the source is live."""

    @property
    def down_since(self) -> int | None:
        """µs since the epoch: when the session before this one broke off."""

    def shown(self, wanted: Wanted, stop: Event) -> Iterator[Shown | None]:
        """Frames that are wanted, holes, and the end, in order of media time; None whenever nothing came for a while.

        When `stop` is set the iterator ends soon, without `End`.
        """

    def close(self) -> None:
        """Let go of the file or the connection."""
