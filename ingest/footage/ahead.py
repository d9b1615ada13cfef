"""Reading on a thread of its own, a few items ahead: FFmpeg decodes while the caller looks for faces."""

import queue
import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from contract.labels import GapReason
from ingest.footage import Frame, Hole, Shown

WAIT_S = 0.2
JOIN_S = 15.0  # a camera that fell silent needs its read timeout twice, see camera.py


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


_Line: TypeAlias = "queue.Queue[Shown | _Failed | None]"


def read_ahead(items: Generator[Shown], depth: int, *, keep_all: bool) -> Generator[Shown | None]:
    """The items, made on another thread at most `depth` ahead; None whenever none came for 0.2 s.

    An error of the maker is raised here, in its place. Closing the generator ends the thread, which closes `items`.

    Args:
        keep_all: wait while the line is full (files); otherwise frames that find it full become a hole (cameras).
    """
    line: _Line = queue.Queue(depth)
    closed = threading.Event()
    reader = threading.Thread(target=_make, args=(items, line, closed, keep_all), name="mien-reader", daemon=True)
    reader.start()
    try:
        while True:
            try:
                item = line.get(timeout=WAIT_S)
            except queue.Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        closed.set()
        reader.join(JOIN_S)  # one stuck in FFmpeg is left behind: it cannot be stopped from outside


def _make(items: Generator[Shown], line: _Line, closed: threading.Event, keep_all: bool) -> None:
    try:
        lost_from: int | None = None
        for item in items:
            if isinstance(item, Frame) and not keep_all and line.full():
                lost_from = item.media_time if lost_from is None else lost_from
                continue
            if lost_from is not None:
                resumed = item.begin if isinstance(item, Hole) else item.media_time
                _put(line, Hole(lost_from, resumed, GapReason.DROPPED), closed)
                lost_from = None
            if not _put(line, item, closed):
                return
        _put(line, None, closed)
    except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
        _put(line, _Failed(error), closed)
    finally:
        items.close()


def _put(line: _Line, item: Shown | _Failed | None, closed: threading.Event) -> bool:
    """Wait for room and put the item there; False if nobody reads any more."""
    while not closed.is_set():
        try:
            line.put(item, timeout=WAIT_S)
        except queue.Full:
            continue
        return True
    return False
