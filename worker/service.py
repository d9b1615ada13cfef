"""A worker as a service: Kafka to Redis, with health pages, until a signal or an error ends it.

Exit codes: contract/exit_codes.py.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from typing import Protocol

from contract.errors import MienError
from contract.exit_codes import DATA, DONE, SOFTWARE, UNAVAILABLE, code_of
from runtime.extras import check_cluster_installed
from runtime.signals import stopped_by_signals
from worker.commit import CommitRefused, LeaseLost
from worker.health import Health, HealthServer
from worker.leases import RecordsMissing
from worker.log import Log
from worker.pipeline import Worker
from worker.reading.faces import Watching
from worker.reading.poison import Rejection
from worker.reading.reader import Reading
from worker.reading.watchdog import HUNG, Watchdog, end_process
from worker.retry import Retry, Stopped
from worker.settings import WorkerSettings
from worker.store import Store

POLL_S = 0.1
TURN_S = 0.0002  # of the interpreter; at 5 ms every answer of the store waits that long for the thread that polls

_log = logging.getLogger(__name__)


class ServiceLog(Log, Protocol):
    """A log that reports its troubles, its lag and its counts."""

    def applied(self, partition: int, offset: int) -> None:
        """The store has everything before this offset."""
        ...

    def troubles(self) -> list[str]:
        """What keeps it from delivering; one line each."""
        ...

    def lags(self) -> dict[int, int]:
        """Records not applied yet, by partition."""
        ...

    def counts(self) -> dict[str, int]:
        """Totals since the start, by name."""
        ...


class Rejected(Protocol):
    """Where rejected records are reported."""

    def __call__(self, rejections: Sequence[Rejection]) -> None:
        """Returns when they are kept."""
        ...

    def close(self) -> None:
        """Tell no more."""
        ...


def serve(
    settings: WorkerSettings,
    new_reader: Callable[[], Reading],
    *,
    new_log: Callable[[WorkerSettings], ServiceLog] | None = None,
    new_store: Callable[[WorkerSettings], Store] | None = None,
    new_rejected: Callable[[WorkerSettings], Rejected] | None = None,
    stop: threading.Event | None = None,
    on_health: Callable[[int], None] = lambda port: None,
) -> int:
    """Run a worker to its end; the exit code, as in the table above. The error, if any, is logged as one line.

    Args:
        new_reader: loads the engines, while the health pages say so.
        stop: ends it; None: SIGTERM and SIGINT do.
        on_health: hears the port of the health pages.
    """
    try:
        with ExitStack() as stack:
            stack.callback(sys.setswitchinterval, sys.getswitchinterval())
            sys.setswitchinterval(TURN_S)
            ending = stop or stack.enter_context(stopped_by_signals(second_ends=False))
            _Service(settings, ending, stack, on_health).run(
                new_reader, new_log or kafka_log, new_store or redis_store, new_rejected or rejected_topic
            )
    except Stopped:
        _log.info("stopped before it began")
    except (MienError, CommitRefused, LeaseLost, RecordsMissing) as error:
        _log.critical("%s", error)
        return exit_code(error)
    except Exception:  # noqa: BLE001 - the last place that can say what happened, in the words of the log
        _log.critical("a mistake of ours", exc_info=True)
        return SOFTWARE
    return DONE


class _Service:
    """The parts of a service in the order of their making; what they hold is let go by the stack."""

    def __init__(
        self, settings: WorkerSettings, stop: threading.Event, stack: ExitStack, on_health: Callable[[int], None]
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._stack = stack
        self._phase = "starting"
        self._retry = Retry(stop)
        self._health = Health(self._start_reasons)
        health = HealthServer(settings.health_host, settings.health_port, self._health.pages())
        stack.callback(health.close)
        on_health(health.port)
        _log.info("health pages on http://%s:%d", settings.health_host, health.port)

    def run(
        self,
        new_reader: Callable[[], Reading],
        new_log: Callable[[WorkerSettings], ServiceLog],
        new_store: Callable[[WorkerSettings], Store],
        new_rejected: Callable[[WorkerSettings], Rejected],
    ) -> None:
        """Start part after part, waiting for those that are not there yet; then work until the end."""
        settings, stack = self._settings, self._stack
        self._phase = "the engine is loading"
        reader = new_reader()
        self._phase = "waiting for the store"
        store = self._retry(lambda: new_store(settings))
        stack.callback(store.close)
        self._phase = "waiting for the log"
        rejected = self._retry(lambda: new_rejected(settings))
        stack.callback(rejected.close)
        log = self._retry(lambda: new_log(settings))
        stack.callback(log.abandon)
        worker = Worker(
            store,
            reader,
            batch_size=settings.batch_size,
            wait_s=settings.wait_s,
            reject=rejected,
            limits=settings.limits,
            decode_threads=settings.decode_threads,
            watching=self._watching(),
            applied=log.applied,
        )
        self._show(worker, log)
        self._work(worker, log)

    def _start_reasons(self) -> list[str]:
        trouble = self._retry.trouble()
        return [self._phase, *([trouble.text] if trouble else [])]

    def _watching(self) -> Watching:
        if not self._settings.inference_timeout_s:
            return nullcontext
        watchdog = Watchdog(self._settings.inference_timeout_s)
        watchdog.start()
        self._stack.callback(watchdog.close)
        return watchdog.watching

    def _show(self, worker: Worker, log: ServiceLog) -> None:
        health = self._health
        health.follow(worker.counters)
        health.loops = True
        health.reasons = lambda: worker.troubles() + log.troubles()
        health.lags, health.log_counts = log.lags, log.counts

    def _work(self, worker: Worker, log: Log) -> None:
        """Run the worker on a thread of its own, so that this one can handle signals whatever the engine does."""
        errors: list[BaseException] = []

        def run() -> None:
            try:
                worker.run(log)
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
                errors.append(error)

        thread = threading.Thread(target=run, name="worker", daemon=True)
        thread.start()
        asked_at = None
        while thread.is_alive():
            thread.join(POLL_S)
            if self._stop.is_set() and asked_at is None:
                asked_at = time.monotonic()
                _log.info("stopping after the batch in hand")
                worker.stop()
            if asked_at is not None and time.monotonic() - asked_at > self._settings.drain_s:
                end_process(f"draining took longer than {self._settings.drain_s:g} s", HUNG)
        if errors:
            raise errors[0]


def exit_code(error: Exception) -> int:
    """Return the exit code of a worker that ends with this error."""
    if isinstance(error, MienError):
        return code_of(error)
    if isinstance(error, (CommitRefused, RecordsMissing)):
        return DATA
    return UNAVAILABLE if isinstance(error, LeaseLost) else SOFTWARE


def redis_store(settings: WorkerSettings) -> Store:
    """The store on Redis, laid out for as many partitions as the topic has."""
    check_cluster_installed()
    from worker import cluster as kafka_service
    from worker.store.redis import RedisStore

    return RedisStore(
        settings.redis,
        adopt_logs=settings.adopt_logs,
        retention_s=settings.retention_s,
        partitions=kafka_service.partitions_of(settings),
    )


def kafka_log(settings: WorkerSettings) -> ServiceLog:
    """The topic of faces."""
    check_cluster_installed()
    from worker.cluster import ReportingLog

    return ReportingLog(settings)


def rejected_topic(settings: WorkerSettings) -> Rejected:
    """The topic of what cannot be read."""
    check_cluster_installed()
    from worker import cluster as kafka_service

    return kafka_service.rejected_topic(settings)
