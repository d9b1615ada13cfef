"""The Kafka parts of a worker's service; imported only where a service runs, as kafka-python is an extra."""

import os
import socket

from worker.kafka_log import KafkaLog
from worker.kafka_settings import KafkaSettings
from worker.rejected import RejectedTopic
from worker.settings import WorkerSettings

HANGING_S = 30.0  # a poll comes back several times a second


def rejected_topic(settings: WorkerSettings) -> RejectedTopic:
    """The topic of what cannot be read, told under this process' name."""
    return RejectedTopic(settings.bootstrap, worker=worker_name())


def worker_name() -> str:
    """This process among all workers: host and process id."""
    return f"{socket.gethostname()}-{os.getpid()}"


class ReportingLog(KafkaLog):
    """The topic of faces, and in words how it goes."""

    def __init__(self, settings: WorkerSettings) -> None:
        super().__init__(
            KafkaSettings(
                bootstrap=settings.bootstrap,
                topic=settings.topic,
                group=settings.group,
                name=worker_name(),
                on_expired=settings.on_expired,
                session_s=settings.session_s,
                heartbeat_s=settings.session_s * 0.3,
            )
        )

    def troubles(self) -> list[str]:
        """Which partitions are parked and why, and whether the thread that polls hangs."""
        status = self.status()
        lines = [f"partition {partition} is parked: {why}" for partition, why in sorted(status.parked.items())]
        if status.poll_age_s > HANGING_S:
            lines.append(f"the thread that polls has not come back for {status.poll_age_s:.0f} s")
        return lines

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
