"""A worker as a process: the real service on real Kafka and Redis, with an engine that reads numbers."""

import faulthandler
import logging
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from kafka.consumer.subscription_state import TopicPartitionState

from bench.faults import wall_clock  # before anything that keeps Python's own
from bench.faults.control import Control
from bench.faults.reading import NumberEngine, card
from bench.faults.stages import Stages
from bench.faults.versions import read_major
from worker import cluster as kafka_service
from worker.kafka.rejected import RejectedTopic
from worker.kafka.settings import KafkaSettings
from worker.reading.reader import Reader
from worker.service import redis_store, serve
from worker.settings import WorkerSettings
from worker.store import Store


class Settings(msgspec.Struct, frozen=True):
    """Those of `WorkerSettings` that a case may choose, then what else a fault needs."""

    bootstrap: str
    redis: str
    topic: str
    group: str
    session_s: float
    health_port: int
    inference_timeout_s: float = 60.0
    on_expired: str = "stop"
    adopt_logs: bool = False

    control: str = ""
    rejected: str = ""  # topic
    progress_s: float = 30.0
    assignor: str = ""  # empty: the worker's own choice
    model: int = 1
    reads_major: int = 1

    def of_worker(self) -> WorkerSettings:
        """The service's own."""
        names = set(self.__struct_fields__) & set(WorkerSettings.__dataclass_fields__)
        return WorkerSettings(**{name: getattr(self, name) for name in names})


def main(path: Path) -> int:
    """Serve as the JSON file says; the exit code."""
    faulthandler.register(signal.SIGUSR1)  # where is it? The arena asks before it gives up
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings = msgspec.json.decode(path.read_bytes(), type=Settings)
    control = Control(Path(settings.control))
    watch_s = min(10.0, settings.progress_s / 3)
    own: dict[str, Any] = {"progress_s": settings.progress_s, "watch_s": watch_s}
    if settings.assignor:
        own["assignor"] = settings.assignor
    vars(kafka_service)["KafkaSettings"] = partial(KafkaSettings, **own)
    read_major(settings.reads_major)
    threading.Thread(target=obey, args=(control, known_states()), daemon=True).start()
    return serve(
        settings.of_worker(),
        lambda: Reader([NumberEngine(card(settings.model), control)]),
        new_store=lambda given: _staged(redis_store(given), control),
        new_rejected=lambda given: RejectedTopic(given.bootstrap, topic=settings.rejected),
    )


def _staged(store: Store, control: Control) -> Store:
    """The same store, with a commit at which the process may signal itself."""
    vars(store)["commit"] = Stages(store.commit, control)
    return store


def known_states() -> "weakref.WeakSet[Any]":
    """Every partition state that kafka-python will make from now on."""
    states: weakref.WeakSet[Any] = weakref.WeakSet()
    make: Callable[[Any], None] = TopicPartitionState.__init__

    def noted(state: Any) -> None:
        make(state)
        states.add(state)

    TopicPartitionState.__init__ = noted
    return states


def obey(control: Control, states: "weakref.WeakSet[Any]") -> None:
    """Do what the control file says of the clock and the client; the rest is looked up where it matters."""
    forgot = False
    while True:
        time.sleep(0.1)
        told = control.read()
        wall_clock.shift(told.clock_s)
        if told.unfetched and not forgot:
            forget_a_partition(states)
        forgot = told.unfetched


def forget_a_partition(states: "weakref.WeakSet[Any]") -> None:
    """Do to one partition what kafka-python 3.0.0 to 3.0.8 did to those it kept in a rebalance (#3131)."""
    fetched = [state for state in states if state.is_fetchable()]
    for state in fetched[:1]:
        logging.warning("(as told) nothing more is fetched of one of %d partitions", len(fetched))
        state.mark_pending_revocation(True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
