"""What may be chosen about a worker on Kafka and Redis, from the environment and the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from contract.errors import BadRequest
from contract.topics import FACES
from worker.kafka.settings import GROUP, OnExpired
from worker.reading.poison import Limits

BOOTSTRAP_VARIABLE, REDIS_VARIABLE = "MIEN_KAFKA_BOOTSTRAP", "MIEN_REDIS_URL"
PORT_LIMIT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a worker runs. Out of range values raise `BadRequest`."""

    bootstrap: str  # host:port, several separated by commas
    redis: str  # redis://…
    topic: str = FACES
    group: str = GROUP
    session_s: float = 10.0  # a worker that says nothing for so long loses its partitions
    batch_size: int = 64  # deliveries; also the most crops shown to the nets at once
    wait_s: float = 0.1  # a batch leaves half full after so long
    decode_threads: int = 2
    limits: Limits = field(default_factory=Limits)
    inference_timeout_s: float = 60.0  # an engine that needs longer hangs; 0: wait for ever
    drain_s: float = 20.0  # after SIGTERM, less than what Kubernetes grants (30 s)
    on_expired: OnExpired = "stop"  # where retention was quicker than we: an operator decides
    adopt_logs: bool = False  # follow a topic that was made anew: an operator decides
    retention_s: int | None = None  # people expire so long after their last point; None: never
    health_host: str = "127.0.0.1"
    health_port: int = 8081  # 0: any that is free

    def __post_init__(self) -> None:
        if not self.bootstrap or not all(map(_is_address, self.bootstrap.split(","))):
            raise BadRequest(f"bootstrap servers {self.bootstrap!r}; wanted host:port, several separated by commas")
        if not self.redis.startswith(("redis://", "rediss://", "unix://")):
            raise BadRequest(f"a Redis address that begins {self.redis[:8]!r}; wanted redis://, rediss:// or unix://")
        for name, value, lowest, highest in (
            ("batch_size", self.batch_size, 1, 1024),
            ("wait_s", self.wait_s, 0.001, 10),
            ("session_s", self.session_s, 6, 300),  # the broker's own bounds: group.min/max.session.timeout.ms
            ("decode_threads", self.decode_threads, 1, 64),
            ("inference_timeout_s", self.inference_timeout_s, 0, 3600),
            ("drain_s", self.drain_s, 0, 3600),
            ("health_port", self.health_port, 0, PORT_LIMIT),
            ("limits.consecutive", self.limits.consecutive, 1, 1_000_000),
            ("limits.window", self.limits.window, 1, 1_000_000),
            ("limits.share", self.limits.share, 0, 1),
        ):
            if not lowest <= value <= highest:
                raise BadRequest(f"{name} is {value:g}; wanted {lowest:g} to {highest:g}")
        if self.retention_s is not None and self.retention_s < 1:
            raise BadRequest(f"retention_s is {self.retention_s}; wanted 1 or more, or none to keep for ever")
        if self.on_expired not in get_args(OnExpired):
            raise BadRequest(f"on_expired is {self.on_expired!r}; wanted {' or '.join(get_args(OnExpired))}")


def addresses(environment: Mapping[str, str], bootstrap: str | None, redis: str | None) -> tuple[str, str]:
    """Return where Kafka and Redis are: from the options, else from the environment.

    Raises:
        BadRequest: neither says it.
    """
    found = (bootstrap or environment.get(BOOTSTRAP_VARIABLE, ""), redis or environment.get(REDIS_VARIABLE, ""))
    for address, option, variable in zip(
        found, ("--bootstrap", "--redis"), (BOOTSTRAP_VARIABLE, REDIS_VARIABLE), strict=True
    ):
        if not address:
            raise BadRequest(f"no {option} and no {variable}; wanted one of them")
    return found


def _is_address(text: str) -> bool:
    host, _, port = text.strip().rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) <= PORT_LIMIT
