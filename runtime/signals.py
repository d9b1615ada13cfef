"""SIGINT and SIGTERM: how a command is asked to end, once for everything that runs until then.

A script that starts a command in the background (`command &`) hands SIGINT down as ignored, and Python leaves it so.
Whoever sends it to such a command means it, so `hear_interrupts` undoes that.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Whether Ctrl-C has come; a library may turn the KeyboardInterrupt of its import into another error."""

    def __init__(self) -> None:
        self.came = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note the signal and raise KeyboardInterrupt, as Python's own handler does."""
        self.came = True
        raise KeyboardInterrupt


def hear_interrupts() -> Interrupts:
    """Make SIGINT raise KeyboardInterrupt, also where it was inherited as ignored; for the first line of a `main`."""
    interrupts = Interrupts()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, interrupts)
    return interrupts


@contextlib.contextmanager
def stopped_by_signals(
    on_first: Callable[[], None] = lambda: None, *, second_ends: bool = True
) -> Iterator[threading.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets.

    Args:
        on_first: is called by the handler when it sets the event.
        second_ends: the second signal raises KeyboardInterrupt in the main thread; False: it changes nothing.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            if second_ends:
                raise KeyboardInterrupt
            return
        stop.set()
        on_first()

    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_for_signal() -> None:
    """Return at the first SIGINT or SIGTERM."""
    with stopped_by_signals() as stop:
        stop.wait()
