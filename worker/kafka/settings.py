"""How the worker reads Kafka: every setting in one place, each with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from contract.topics import FACES, MESSAGE_LIMIT

OnExpired = Literal["stop", "skip"]
GROUP = "mien-workers"
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """What may be chosen about reading a topic; `consumer_options` adds what may not."""

    bootstrap: str  # host:port, several by commas
    topic: str = FACES
    group: str = GROUP
    name: str = "mien-worker"  # of this client, in the broker's logs and quotas
    on_expired: OnExpired = "stop"  # when retention has passed the stored offset: an operator decides
    assignor: Literal["cooperative", "range"] = "range"  # why: kafka_log.py
    access: Mapping[str, Any] = field(default_factory=dict)  # TLS and SASL, as kafka-python names them

    connect_s: float = 10.0  # for the first answer; after that whoever runs us decides
    close_s: float = 3.0  # for leaving the group; a broker that is down is not waited for
    session_s: float = 10.0  # a dead worker's partitions move after this; 45 s by default
    heartbeat_s: float = 1.0  # members learn of a rebalance with it: moved partitions wait 1.3 s; 3.3 s with 3 s
    poll_records: int = 500  # of one poll, decoded in one go
    poll_s: float = 0.1  # a command of the worker waits no longer than this
    full_poll_s: float = 0.02  # while a partition waits for room: half a buffer lasts 100 ms at 5,000 records/s
    watch_s: float = 10.0  # between two looks at the ends of the log
    progress_s: float = 30.0  # a partition that is behind and does not move for so long: a new consumer
    alarm_s: float = 60.0  # between two warnings of the same parked partition
    terms_s: float = 60.0  # between two looks at the topic's settings
    commit_s: float = 5.0  # between two commits to the group, for lag tools alone
    gone_s: float = 10.0  # a topic that is unknown for so long is deleted; a broker that starts up may not know it yet

    buffer_bytes: int = 64 * MIB  # of values, all partitions together; each has an equal share of it …
    partition_bytes: int = 16 * MIB  # … and no more than this
    partition_records: int = 2048
    run_records: int = 32  # handed over of one partition before the next one's turn

    def consumer_options(self) -> dict[str, Any]:
        """The options of kafka-python's consumer."""
        return {
            "group_id": self.group,
            "client_id": self.name,
            # The offset lives in the store. Without one Kafka must not guess: 'latest' would skip in silence.
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "allow_auto_create_topics": False,
            "session_timeout_ms": _ms(self.session_s),
            "heartbeat_interval_ms": _ms(self.heartbeat_s),
            "max_poll_interval_ms": 300_000,
            # A fetch that waits for news holds up those of partitions resumed meanwhile: one per broker at a time.
            "fetch_max_wait_ms": 100,
            # A slow source would cost a request per face; so the broker collects up to 100 ms, as a batch waits anyway.
            "fetch_min_bytes": 256 * 1024,
            "fetch_max_bytes": 8 * MIB,  # held once more outside our buffers, undecoded
            "max_partition_fetch_bytes": 2 * MESSAGE_LIMIT,  # a record that does not fit would stop its partition
            "max_poll_records": self.poll_records,
            "request_timeout_ms": 15_000,  # a broker that stopped without a word is given up then; 30 s by default
            "reconnect_backoff_max_ms": 2_000,  # 30 s by default: as long without work after the broker is back
            "metadata_max_age_ms": 60_000,  # the topic's identity is looked at with each
            "metrics_enabled": False,  # ours count what we promise
            **self.access,
        }


def _ms(seconds: float) -> int:
    return int(1000 * seconds)
