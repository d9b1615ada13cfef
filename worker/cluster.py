"""The Kafka parts of a worker's service; imported only where a service runs, as kafka-python is an extra."""

import contextlib
import os
import socket
from contextlib import closing

from kafka.errors import KafkaError

from contract.errors import LogUnavailable
from runtime import kafka as clients
from worker.kafka.log import KafkaLog
from worker.kafka.rejected import RejectedTopic
from worker.kafka.settings import KafkaSettings
from worker.settings import WorkerSettings

CONNECT_S = 10.0
KNOCK_S = 0.5
HANGING_S = 30.0  # a poll comes back several times a second


def rejected_topic(settings: WorkerSettings) -> RejectedTopic:
    """The topic of rejected records, written under this process' name."""
    return RejectedTopic(settings.bootstrap, worker=worker_name())


def partitions_of(settings: WorkerSettings) -> int:
    """How many partitions the topic of faces has; a store is laid out for that number.

    Raises:
        LogUnavailable: no broker answers, or it does not know the topic.
    """
    with closing(
        clients.consumer(settings.bootstrap, CONNECT_S, metrics_enabled=False, enable_auto_commit=False)
    ) as consumer:
        try:
            partitions = consumer.partitions_for_topic(settings.topic)
        except KafkaError as error:
            raise LogUnavailable(f"Kafka at {settings.bootstrap} does not tell its topics: {error!r}") from error
    if not partitions:
        raise LogUnavailable(f"Kafka at {settings.bootstrap} has no topic {settings.topic}; wanted it made before")
    return len(partitions)


def worker_name() -> str:
    """This process among all workers: host and process id."""
    return f"{socket.gethostname()}-{os.getpid()}"


class ReportingLog(KafkaLog):
    """The topic of faces, and its state as text."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._bootstrap = settings.bootstrap
        super().__init__(
            KafkaSettings(
                bootstrap=settings.bootstrap,
                topic=settings.topic,
                group=settings.group,
                name=worker_name(),
                on_expired=settings.on_expired,
                session_s=settings.session_s,
            )
        )
        self._topic = settings.topic
        self._laid_out = self.partition_count  # as many as the store is laid out for, which has refused any other

    def troubles(self) -> list[str]:
        """Whether a broker is there, which partitions are parked and why, whether the thread that polls hangs."""
        status = self.status()
        lines = [] if self._broker_answers() else [f"no broker answers at {self._bootstrap}"]
        lines += [f"partition {partition} is parked: {why}" for partition, why in sorted(status.parked.items())]
        lines += status.flaws
        if status.poll_age_s > HANGING_S:
            lines.append(f"the thread that polls has not come back for {status.poll_age_s:.0f} s")
        if self.partition_count not in (0, self._laid_out):
            lines.append(
                f"topic {self._topic} has {self.partition_count} partitions now, the store is laid out for"
                f" {self._laid_out}: nothing may be written to the new ones; wanted a topic of {self._laid_out}"
            )
        return lines

    def _broker_answers(self) -> bool:
        """Whether any broker accepts a connection; a frozen one does, and shows by a lag that stands still."""
        for address in self._bootstrap.split(","):
            host, _, port = address.strip().rpartition(":")
            with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), KNOCK_S):
                return True
        return False

    def lags(self) -> dict[int, int]:
        """Records not applied yet, by partition."""
        return dict(self.status().lag)

    def counts(self) -> dict[str, int]:
        """Totals since the start, by name."""
        status = self.status()
        return {
            "recycles": status.recycles,
            "expired": sum(status.expired.values()),
            "group_commit_failures": status.commit_failures,
        }
