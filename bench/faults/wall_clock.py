"""A wall clock that can be set wrong. Import it before what asks for the time: it takes the place of Python's own.

libfaketime would shift C code too, but its 0.9.10 breaks `time.sleep` of Python 3.11 (EINVAL), so nothing would run.
"""

import time

NS = 1_000_000_000

_true_time_ns = time.time_ns
_shift_ns = 0


def shift(seconds: float) -> None:
    """Set the clock ahead of the true time, or behind it."""
    global _shift_ns
    _shift_ns = round(seconds * NS)


def _time_ns() -> int:
    return _true_time_ns() + _shift_ns


def _time() -> float:
    return _time_ns() / NS


time.time_ns, time.time = _time_ns, _time
