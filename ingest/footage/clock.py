"""Media time of frames from the stamps of a container, which may be missing, repeated, out of line or reset."""

from dataclasses import dataclass, field

LEAP_US = 3_600_000_000
NEAR_WRAP = 30 * 90_000  # ticks: a turn of the clock within a recording continues it to half a minute
WRAP = 1 << 33  # ticks of 90 kHz after which the stamps of MPEG transport and program streams begin again: 26.5 hours


@dataclass(slots=True)
class Unwrapped:
    """Stamps of MPEG streams as if their 33 bits had no end. A clock that was set back stays set back."""

    _last: int | None = field(default=None, init=False)

    def __call__(self, stamp: int) -> int:
        """The stamp in ticks, a whole number of turns later or earlier where that is nearer to the last one."""
        if self._last is not None:
            turns = round((self._last - stamp) / WRAP)
            near = stamp + turns * WRAP
            stamp = near if abs(near - self._last) <= NEAR_WRAP else stamp
        self._last = stamp
        return stamp


@dataclass(slots=True)
class Clock:
    """Places frames on one rising line of media time (µs). No frame is dropped for its stamp.

    A stamp that rises is kept exactly. A missing one, or one out of line with both its neighbours (damage), is put
    between them. Where stamps fall back for good (the recorder restarted its clock), leap (it was set), or lie beyond
    what the file can last, time goes on one step after the predecessor.
    """

    step: int  # µs from one frame to the next, on average
    start: int | None  # µs, stamp of media time 0; None: the first stamp
    limit: int  # µs of media time that no stamp may pass
    leap: int = LEAP_US  # µs from frame to frame that only a clock makes which was set forward
    _last: int | None = field(default=None, init=False)
    _offset: int = field(default=0, init=False)

    def place(self, stamp: int | None, following: int | None) -> int:
        """Media time of the frame with this stamp; `following` is the next frame's (None: missing or none)."""
        time = self._first(stamp, following) if self._last is None else self._next(self._last, stamp, following)
        self._last = time
        return time

    def _first(self, stamp: int | None, following: int | None) -> int:
        """Fix media time 0 at the claimed start, unless the first stamps contradict it."""
        if following is not None and (stamp is None or following <= stamp):
            stamp = following - self.step
        start = self.start
        if stamp is not None and (start is None or not 0 <= stamp - start <= self.limit):
            start = stamp
        self._offset = -(start or 0)
        return 0 if stamp is None else stamp + self._offset

    def _next(self, last: int, stamp: int | None, following: int | None) -> int:
        time = None if stamp is None else stamp + self._offset
        after = None if following is None else following + self._offset
        expected = last + self.step
        if time is not None and self._may_follow(last, time) and not self._out_of_line(time, after, expected):
            return time
        if time is None or (after is not None and self._may_follow(last, after)):
            between = expected if after is None or after <= last else last + (after - last + 1) // 2
            return min(expected, between)
        self._offset += expected - time
        return expected

    def _may_follow(self, last: int, time: int) -> bool:
        return last < time <= min(self.limit, last + self.leap)

    def _out_of_line(self, time: int, after: int | None, expected: int) -> bool:
        """Of two times in the wrong order, is the earlier frame's the wrong one, as it is further from its place?"""
        if after is None or not expected - self.step < after <= time:
            return False
        return time - expected > abs(after - (expected + self.step))
