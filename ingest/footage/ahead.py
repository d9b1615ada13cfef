"""Reading on a thread of its own, a few items ahead: FFmpeg decodes while the caller looks for faces."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from contract.labels import GapReason
from ingest.footage import Frame, Hole, Item

WAIT_S = 0.2
JOIN_S = 15.0  # a camera that fell silent needs its read timeout twice, see camera.py


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


_Queue: TypeAlias = "queue.Queue[Item | _Failed | None]"


class Ahead:
    """Items made on another thread, at most `depth` ahead; an error of their maker is raised in its place.

    The thread alone touches what `items` reads from, and calls `let_go` when it ends: one that is stuck in FFmpeg
    cannot be stopped from outside, and to close a container under it would crash the process.

    Args:
        items: what is read; closed by the thread.
        let_go: closes what `items` reads from.
        depth: of the queue between the threads.
        keep_all: wait while the queue is full (files); otherwise frames that find it full become a hole (cameras).
    """

    def __init__(self, items: Generator[Item], let_go: Callable[[], None], depth: int, *, keep_all: bool) -> None:
        self._ready: _Queue = queue.Queue(depth)
        self._closed = threading.Event()
        work = (items, let_go, self._ready, self._closed, keep_all)
        self._reader = threading.Thread(target=_read, args=work, name="mien-reader", daemon=True)
        self._reader.start()

    def until(self, stop: threading.Event) -> Iterator[Item | None]:
        """The items until `stop` is set, and None whenever none came for 0.2 s; closes this."""
        try:
            while not stop.is_set():
                try:
                    item = self._ready.get(timeout=WAIT_S)
                except queue.Empty:
                    yield None
                    continue
                if item is None:
                    return
                if isinstance(item, _Failed):
                    raise item.error
                yield item
        finally:
            self.close()

    def close(self) -> None:
        """End the thread; waits for it, but not for ever."""
        self._closed.set()
        self._reader.join(JOIN_S)


def _read(
    items: Generator[Item], let_go: Callable[[], None], ready: _Queue, closed: threading.Event, keep_all: bool
) -> None:
    try:
        _fill(items, ready, closed, keep_all)
        _put(ready, None, closed)
    except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
        _put(ready, _Failed(error), closed)
    finally:
        items.close()
        let_go()


def _fill(items: Generator[Item], ready: _Queue, closed: threading.Event, keep_all: bool) -> None:
    lost_from: int | None = None
    for item in items:
        if isinstance(item, Frame) and not keep_all and ready.full():
            lost_from = item.media_time if lost_from is None else lost_from
            continue
        if lost_from is not None:
            resumed = item.begin if isinstance(item, Hole) else item.media_time
            _put(ready, Hole(lost_from, resumed, GapReason.DROPPED), closed)
            lost_from = None
        if not _put(ready, item, closed):
            return


def _put(ready: _Queue, item: Item | _Failed | None, closed: threading.Event) -> bool:
    """Wait for room and put the item there; False if nobody reads any more."""
    while not closed.is_set():
        try:
            ready.put(item, timeout=WAIT_S)
        except queue.Full:
            continue
        return True
    return False
