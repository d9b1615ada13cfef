"""Which frames are looked at."""

from dataclasses import dataclass, field

from contract.errors import BadRequest

TOLERANCE_US = 1_000  # containers that stamp in milliseconds are off by up to half of one


@dataclass(slots=True)
class EveryNth:
    """Frames 0, n, 2n, … of the session."""

    n: int

    def __call__(self, index: int, media_time: int) -> bool:
        """Is this frame looked at?"""
        return index % self.n == 0


@dataclass(slots=True)
class PerSecond:
    """The first frame of each period of media time, so that a variable frame rate is sampled evenly in time."""

    hz: float
    _taken: int = field(default=-1, init=False)

    def __call__(self, index: int, media_time: int) -> bool:
        """Is this frame looked at? Ask once for each, in order."""
        period_us = 1e6 / self.hz
        period = int((media_time + min(TOLERANCE_US, period_us / 4)) / period_us)
        if period <= self._taken:
            return False
        self._taken = period
        return True


def sampler(every_n: int | None, sample_hz: float | None) -> EveryNth | PerSecond:
    """A fresh sampler for one session; with neither argument every frame is looked at.

    Raises:
        BadRequest: both are given, or one is out of range.
    """
    if every_n is not None and sample_hz is not None:
        raise BadRequest(f"every_n {every_n} and sample_hz {sample_hz:g} exclude each other; give one of them")
    if sample_hz is not None:
        if not 0 < sample_hz <= 1000:
            raise BadRequest(f"sample_hz is {sample_hz:g}; wanted more than 0 and at most 1000 frames per second")
        return PerSecond(sample_hz)
    if every_n is not None and every_n < 1:
        raise BadRequest(f"every_n is {every_n}; wanted 1 (every frame) or more")
    return EveryNth(every_n or 1)
