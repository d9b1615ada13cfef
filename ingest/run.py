"""One run over sources that may change while it runs: a thread for each camera, and one for all files."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from contract.errors import BadRequest, BadSource, MienError
from contract.records import Record
from ingest.pipeline import Following, Stored, Tally, nothing_stored, records_of
from ingest.settings import IngestSettings
from ingest.sources import Source
from runtime.bus import BusClosed

POLL_S, TICK_EVERY_S = 0.1, 5.0
OPEN_S = 30.0  # a file that is not open by then (a network mount that is gone) is left behind, the next one begins
GRACE_S = 5.0  # after the stop, for what is still being opened
CLOSE_S = 20.0  # after the stop, for what is open: a camera that fell silent needs its read timeout twice

_log = logging.getLogger(__name__)


class Observer(Protocol):
    """Who follows a run; every method is called on the thread of the source."""

    def opened(self, source: Source, session: str) -> None:
        """A session of the source begins."""

    def went_on(self, source: Source, tally: Tally) -> None:
        """A record was published."""

    def ended(self, source: Source, tally: Tally) -> None:
        """The source is not looked at any more, for whatever reason."""


class Unobserved:
    """An observer that does nothing."""

    def opened(self, source: Source, session: str) -> None:
        """Do nothing."""

    def went_on(self, source: Source, tally: Tally) -> None:
        """Do nothing."""

    def ended(self, source: Source, tally: Tally) -> None:
        """Do nothing."""


@dataclass(slots=True, eq=False)
class _Look:
    """One source that is being looked at."""

    source: Source
    stop: threading.Event = field(default_factory=threading.Event)
    tally: Tally = field(default_factory=Tally)
    began: float = field(default_factory=time.monotonic)
    is_open: bool = False  # its first session has begun
    is_left: bool = False  # its thread is stuck and not waited for; what it still publishes is refused
    is_over: bool = False


class Run:
    """Looks at sources until they end, are removed, or `stop` is set.

    A source that cannot be looked at is noted in `failures` and the others go on, also where it crashes or blocks. An
    error of the store or the log, and of whatever publishes, ends the run.

    Args:
        settings: how sources are looked at.
        publish: takes the records, from several threads, those of one source in order.
        stored: what is stored of a (source, session) of a file; a camera's session is always new.
        new_follower: makes the follower of one session.
        stop: ends the run.
        observer: follows it.
    """

    def __init__(
        self,
        settings: IngestSettings,
        publish: Callable[[Record], None],
        stored: Callable[[str, str], Stored],
        new_follower: Callable[[Source], Following],
        stop: threading.Event,
        observer: Observer | None = None,
    ) -> None:
        self.failures: dict[str, BadSource] = {}  # by source
        self.finished: list[str] = []  # sources that were looked at, to the end or to the stop
        self.left_behind: list[str] = []  # names of sources whose threads were not waited for
        self.cpu_s = 0.0  # of the threads that have ended
        self.looped_at = time.monotonic()  # when `wait` last came round
        self._settings, self._publish, self._stored = settings, publish, stored
        self._new_follower, self._stop, self._observer = new_follower, stop, observer or Unobserved()
        self._lock = threading.Lock()  # guards everything below
        self._waiting: deque[Source] = deque()  # files
        self._looks: dict[str, _Look] = {}  # by source
        self._lane: threading.Thread | None = None  # the thread that looks at files
        self._crash: BaseException | None = None

    @property
    def tallies(self) -> dict[str, Tally]:
        """Where each source stands that is being looked at, by id."""
        with self._lock:
            return {name: look.tally for name, look in self._looks.items()}

    def over(self, sources: Iterable[Source], tick: Callable[[], None] = lambda: None) -> None:
        """Look at all sources; returns when the last one ended; as `add` and `wait`."""
        for source in sources:
            self.add(source)
        self.wait(tick)

    def add(self, source: Source) -> None:
        """Begin to look at a source; a file waits for the files before it.

        Raises:
            BadRequest: a source of this id is being looked at, or waits.
        """
        with self._lock:
            if source.id in self._looks or any(source.id == each.id for each in self._waiting):
                raise BadRequest(f"{source.shown} is being looked at already; wanted another source")
            if source.live:
                self._begin(source)
                return
            self._waiting.append(source)
            self._open_lane()

    def remove(self, source: str) -> None:
        """End the look at a source as the stop of the run would; it may take a moment. Unknown ids change nothing."""
        with self._lock:
            self._waiting = deque(each for each in self._waiting if each.id != source)
            if look := self._looks.get(source):
                look.stop.set()

    def wait(self, tick: Callable[[], None] = lambda: None) -> None:
        """Return when nothing is looked at any more; `tick` is called every five seconds.

        Raises:
            MienError: what ended the run, other than a bad source.
        """
        stopped_at, ticked_at = None, time.monotonic()
        while True:
            now = self.looped_at = time.monotonic()
            if self._stop.is_set():
                stopped_at = stopped_at or now
            with self._lock:
                self._supervise(now, stopped_at)
                if not self._looks and not self._waiting:
                    break
            time.sleep(POLL_S)
            if now - ticked_at >= TICK_EVERY_S:
                ticked_at = now
                tick()
        if self._crash is not None:
            raise self._crash

    def _supervise(self, now: float, stopped_at: float | None) -> None:
        """Hand the stop on, and leave behind what is stuck; the caller holds the lock."""
        if stopped_at is not None:
            self._waiting.clear()
        for look in list(self._looks.values()):
            if stopped_at is not None:
                look.stop.set()
                if now - stopped_at > (CLOSE_S if look.is_open else GRACE_S):
                    self._leave(look, "did not end when it was stopped")
            elif not look.is_open and not look.source.live and now - look.began > OPEN_S:
                self._leave(look, f"cannot be opened within {OPEN_S:g} s")

    def _leave(self, look: _Look, why: str) -> None:
        look.is_left = True
        look.stop.set()
        del self._looks[look.source.id]
        self.left_behind.append(look.source.shown)
        if not self._stop.is_set():
            self.failures[look.source.id] = BadSource(f"{look.source.shown} {why}; the others go on")
        if not look.source.live:
            self._lane = None
            self._open_lane()

    def _begin(self, source: Source) -> _Look:
        """Note a look, with a thread of its own for a camera; the caller holds the lock."""
        look = self._looks[source.id] = _Look(source)
        if source.live:
            threading.Thread(target=self._guarded, args=(look,), name="ingest", daemon=True).start()
        return look

    def _open_lane(self) -> None:
        if self._lane is None and self._waiting:
            self._lane = threading.Thread(target=self._work_off, name="ingest", daemon=True)
            self._lane.start()

    def _work_off(self) -> None:
        """Look at the files that wait, one after the other."""
        while True:
            with self._lock:
                if self._lane is not threading.current_thread():
                    return  # stuck for so long that another thread took over
                if not self._waiting:
                    self._lane = None
                    return
                look = self._begin(self._waiting.popleft())
            self._guarded(look)

    def _guarded(self, look: _Look) -> None:
        """Look at one source; what goes wrong ends it alone, unless it would befall the others too."""
        began = time.thread_time()
        failure: BadSource | None = None
        try:
            if not self._stop.is_set():
                self._look_at(look)
        except BusClosed:
            pass  # what was not published is looked at again next time
        except BadSource as error:
            failure = error
        except MienError as error:
            self._end_with(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours with one source must not end the others
            _log.error("%s: a mistake of ours", look.source.shown, exc_info=True)
            failure = BadSource(f"{look.source.shown}: a mistake of ours ended it ({type(error).__name__}: {error})")
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self._end_with(error)
        self._observer.ended(look.source, look.tally)
        with self._lock:
            self.cpu_s += time.thread_time() - began
            if look.is_left:
                return
            if failure is not None:
                self.failures[look.source.id] = failure
            del self._looks[look.source.id]

    def _end_with(self, error: BaseException) -> None:
        self._crash = self._crash or error
        self._stop.set()

    def _look_at(self, look: _Look) -> None:
        source, tally = look.source, look.tally
        records = records_of(
            source,
            self._settings,
            partial(self._new_follower, source),
            stored=partial(self._known, look),
            stop=look.stop,
            tally=tally,
        )
        for record in records:
            if look.is_left:
                raise BusClosed("nobody waits for this source any more")
            self._publish(record)
            self._observer.went_on(source, tally)
        self.finished.append(source.id)

    def _known(self, look: _Look, source: str, session: str) -> Stored:
        """Note that a session begins, and return what is stored of it."""
        look.is_open = True
        self._observer.opened(look.source, session)
        return nothing_stored(source, session) if look.source.live else self._stored(source, session)
