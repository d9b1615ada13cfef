"""The all-in-one: ingest, worker and query in one process, on the embedded bus, store and engine."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import orjson
from rich.console import Console

from contract.errors import BadOutput, BadRequest, BadStore
from contract.exit_codes import BAD_INPUT, DONE, INTERRUPTED
from contract.readings import NetVersion
from ingest.followers import follower_factory
from ingest.settings import IngestSettings
from ingest.sources import Asked, Source, asked_for
from ingest.sources.dates import dated
from mien.again import Reread, engines_for, rereads
from mien.analysis import Analysis
from mien.output import Contents, check_writable, files_of, write
from mien.progress import Watch
from mien.report import print_report
from mien.timelines import timelines
from mien.unseen import lines_of, unseen_of
from models.engines import Engine
from query.listen import Listen
from query.serving import HttpServer
from query.store import Snapshot
from query.store.sqlite import SqliteReader
from runtime.printing import printable, shown_path
from runtime.signals import stopped_by_signals, wait_for_signal
from worker.pipeline import Worker
from worker.reading.nets import engines_of
from worker.reading.reader import Reader, schema_of
from worker.store import Store
from worker.store.sqlite import SqliteStore
from worker.store.sqlite.again import ReadAgain

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What the user asked for."""

    sources: tuple[str, ...]
    name: str | None  # of the only source
    recursive: bool
    recorded_at: str | None  # what `ingest.sources.dates.dated` takes
    out: Path | None
    store: Path | None
    ingest: IngestSettings
    nets: tuple[str, ...]
    engine: str  # a word of models.engines.choose.ENGINES
    serve: bool
    listen: Listen
    statistics: Path | None


@dataclass(slots=True)
class _Run:
    """What the steps of one run share."""

    request: RunRequest
    asked: Asked
    engines: list[Engine]
    store: SqliteStore
    store_path: Path
    stop: threading.Event
    note: Note

    def look(self, watch: Watch) -> tuple[Analysis, Worker]:
        """Look at what is not stored yet, then read again what lacks a net that was asked for."""
        worker = Worker(self.store, Reader(self.engines))
        analysis = self._analysis(list(self.asked.sources), self.store)
        analysis.run(worker, watch)
        files = {source.id for source in self.asked.sources if not source.live}
        with closing(SqliteReader(self.store_path)) as reader, reader.snapshot() as snapshot:
            stored = [key for key in analysis.sessions if key[0] in files]
            groups, foreign = rereads(snapshot, stored, self.engines)
        for each in foreign:
            self.note(each.line(self._name(each.session[0])))
        for reread in groups:
            self._read_again(reread, watch)
        return analysis, worker

    def _read_again(self, reread: Reread, watch: Watch) -> None:
        wanted = {source for source, _ in reread.sessions}
        names = ", ".join(map(self._name, sorted(wanted)))
        if not self.stop.is_set():
            self.note(f"{names}: stored without {', '.join(reread.missing)}; reading the video again")
            reader = Reader(engines_for(reread, self.engines, self.request.engine))
            again = ReadAgain(self.store, reader.schema)
            sources = [source for source in self.asked.sources if source.id in wanted]
            self._analysis(sources, again).run(Worker(again, reader), watch)
        if self.stop.is_set():
            self.note(f"{names}: stopped before all was read by {', '.join(reread.missing)}; run it again to go on")

    def _analysis(self, sources: list[Source], store: Store) -> Analysis:
        settings = self.request.ingest
        return Analysis(sources, settings, follower_factory(settings), store, self.stop)

    def _name(self, source: str) -> str:
        return next(each.shown for each in self.asked.sources if each.id == source)


def run_all(request: RunRequest) -> int:
    """Look at all sources, then write and show what was found; the exit code.

    Raises:
        MienError: nothing can be looked at, or the store or the output cannot be written.
    """
    began = time.monotonic()
    cv2.setNumThreads(1)  # ingest and worker have a thread each; OpenCV's pool only costs them
    screen, notes = Console(highlight=False), Console(stderr=True, highlight=False)
    note = partial(notes.print, markup=False, soft_wrap=True)  # names of files may look like markup, «[x264]»
    asked = _asked(request)
    if request.out is not None:
        check_writable(request.out)
    with ExitStack() as stack:
        engines = engines_of(request.nets, request.engine)
        store_path = request.store or stack.enter_context(_fleeting_store())
        store = SqliteStore(store_path)
        stack.callback(store.close)
        if request.serve:
            server = HttpServer(store_path, request.listen)
            stack.callback(server.close)
            note(f"dashboard: {server.url}")
        with stopped_by_signals(partial(notes.print, "\nstopping after this frame …")) as stop, Watch(notes) as watch:
            analysis, worker = _Run(request, asked, engines, store, store_path, stop, note).look(watch)
        with closing(SqliteReader(store_path)) as reader, reader.snapshot() as snapshot:
            contents = _contents(snapshot, asked, analysis, schema_of([engine.card for engine in engines]).nets)
            _give(request, asked, analysis, contents, screen, note)
        if request.statistics is not None:
            request.statistics.write_bytes(orjson.dumps(analysis.statistics(worker, began)))
        if stop.is_set():
            kept = request.store or request.out
            note(f"stopped: what was looked at is {f'kept in {kept}' if kept else 'above'}, the rest is a gap")
        elif request.serve and contents.sessions:
            note("Ctrl-C ends it")
            wait_for_signal()
        return BAD_INPUT if analysis.failures else INTERRUPTED if stop.is_set() else DONE


def _asked(request: RunRequest) -> Asked:
    """The sources with their dates.

    Raises:
        BadSource, BadRequest: one line says what of the request is wrong.
    """
    asked = asked_for(request.sources, name=request.name, recursive=request.recursive, must_answer=True)
    settings = request.ingest
    cameras = [source.shown for source in asked.sources if source.live]
    if cameras and (settings.begin, settings.end) != (None, None):
        raise BadRequest(f"--from and --to are for files, seen {cameras[0]}; wanted no camera beside them")
    if request.recorded_at is None:
        return asked
    return replace(asked, sources=tuple(dated(asked.sources, request.recorded_at)))


def _give(
    request: RunRequest, asked: Asked, analysis: Analysis, contents: Contents, screen: Console, note: Note
) -> None:
    """Write the files, print the table and name what was not looked at, whatever the disk or a closed pipe refuses."""
    try:
        if request.out is not None:
            write(request.out, contents)  # before anything is printed: the reader of a pipe may have gone
        print_report(screen, contents.sessions)
    finally:
        names = {source.id: source.shown for source in asked.sources}
        for source in analysis.known:
            note(f"{names[source]}: already analysed with these settings; taken from {request.store}")
        for line in lines_of(contents.unseen):
            note(line)
        for failure in analysis.failures.values():
            note(f"mien: {printable(str(failure))}")
    for path in (*(files_of(request.out) if request.out else ()), *([request.store] if request.store else ())):
        note(f"written: {shown_path(path)}")


def _contents(snapshot: Snapshot, asked: Asked, analysis: Analysis, nets: Sequence[NetVersion]) -> Contents:
    """What the store holds of the sessions of a run, and what of the sources has none."""
    sessions = [snapshot.session(*key) for key in dict.fromkeys(analysis.sessions)]
    begun = {source for source, _ in analysis.sessions}
    return Contents(
        [(session, timelines(snapshot, session)) for session in sessions],
        unseen_of(asked, begun, analysis.failures),
        nets,
        {source: printable(str(failure)) for source, failure in analysis.failures.items() if source in begun},
    )


@contextmanager
def _fleeting_store() -> Iterator[Path]:
    """A store that lives as long as the run; where the disk refuses something it stays, and the error says where."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="mien-"))
    except OSError as error:
        raise BadOutput(f"no room for temporary files ({error.strerror or error}); wanted --store FILE.db") from error
    store = folder / "run.db"
    kept = False
    try:
        yield store
    except (BadOutput, BadStore) as error:
        kept = _holds_sessions(store)
        if not kept:
            raise
        raise type(error)(f"{error}; the timelines so far are in {store} (mien query {store})") from error
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def _holds_sessions(store: Path) -> bool:
    try:
        with closing(SqliteReader(store)) as reader, reader.snapshot() as snapshot:
            return bool(snapshot.sessions())
    except BadStore:
        return False
