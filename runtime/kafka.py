"""Clients of Kafka: access, first contact, and every private name of kafka-python that Mien uses.

TLS and SASL come from the environment or from mounted files: MIEN_KAFKA_SECURITY (PLAINTEXT, SSL, SASL_PLAINTEXT or
SASL_SSL), MIEN_KAFKA_SASL_MECHANISM, MIEN_KAFKA_USER, MIEN_KAFKA_PASSWORD or MIEN_KAFKA_PASSWORD_FILE, MIEN_KAFKA_CA,
MIEN_KAFKA_CERT and MIEN_KAFKA_KEY. kafka-python is pinned to one version; tests/runtime/test_kafka.py has a test for
each private name, so an upgrade fails in one place.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from contract.errors import BadRequest, LogUnavailable

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """Who we are for the brokers, and whom we trust. Contradictions raise `BadRequest`."""

    protocol: str = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"  # with SASL
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None  # PEM
    cert_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise BadRequest(f"MIEN_KAFKA_SECURITY is {self.protocol[:20]!r}; wanted one of {', '.join(PROTOCOLS)}")
        if not self.protocol.startswith("SASL"):
            if self.user or self.password:
                raise BadRequest(f"a user or password for Kafka with {self.protocol}; wanted SASL_SSL")
        elif self.mechanism not in MECHANISMS:
            raise BadRequest(
                f"MIEN_KAFKA_SASL_MECHANISM is {self.mechanism[:20]!r}; wanted one of {', '.join(MECHANISMS)}"
            )
        elif not (self.user and self.password):
            raise BadRequest(f"Kafka with {self.protocol}; wanted MIEN_KAFKA_USER and MIEN_KAFKA_PASSWORD or …_FILE")

    @classmethod
    def found(cls, environment: Mapping[str, str]) -> "KafkaAccess":
        """Return what the environment states.

        Raises:
            BadRequest: an unknown protocol, a file that cannot be read, a password without SASL.
        """

        def file(name: str) -> Path | None:
            return _readable(Path(environment[name]), name) if environment.get(name) else None

        secret = file("MIEN_KAFKA_PASSWORD_FILE")
        password = environment.get("MIEN_KAFKA_PASSWORD", "") if secret is None else _secret(secret)
        return cls(
            environment.get("MIEN_KAFKA_SECURITY") or "PLAINTEXT",
            environment.get("MIEN_KAFKA_SASL_MECHANISM") or "SCRAM-SHA-512",
            environment.get("MIEN_KAFKA_USER", ""),
            password,
            file("MIEN_KAFKA_CA"),
            file("MIEN_KAFKA_CERT"),
            file("MIEN_KAFKA_KEY"),
        )

    def options(self) -> dict[str, Any]:
        """Return the options of kafka-python's clients."""
        options: dict[str, Any] = {"security_protocol": self.protocol}
        if self.protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        if self.protocol.endswith("SSL"):
            files = {"ssl_cafile": self.ca_file, "ssl_certfile": self.cert_file, "ssl_keyfile": self.key_file}
            options |= {name: str(file) for name, file in files.items() if file is not None}
        return options


def connected(make: Callable[..., T], bootstrap: str, patience_s: float, **options: Any) -> T:
    """Return what `make` makes, once a broker of `bootstrap` (host:port, several by commas) answers.

    Access comes from the environment, unless the options hold a security_protocol.

    Raises:
        BadRequest: the environment states an access that cannot be.
        LogUnavailable: no broker answers in time. What kafka-python opened and would leave open is closed.
    """
    access = {} if "security_protocol" in options else KafkaAccess.found(os.environ).options()
    clients: list[KafkaNetClient] = []

    def client(**options: Any) -> KafkaNetClient:
        clients.append(KafkaNetClient(**options))
        return clients[-1]

    try:
        return make(
            bootstrap_servers=bootstrap.split(","),
            bootstrap_timeout_ms=int(1000 * patience_s),
            kafka_client=client,
            **access,
            **options,
        )
    except (KafkaError, OSError, ValueError) as error:
        for each in clients:
            each.close()
        raise LogUnavailable(
            f"no Kafka at {bootstrap} within {patience_s:g} s: {str(error) or type(error).__name__}"
        ) from error


def consumer(bootstrap: str, patience_s: float, **options: Any) -> Any:
    """Return a consumer that has met a broker; raises as `connected`."""
    return connected(KafkaConsumer, bootstrap, patience_s, **options)


def producer(bootstrap: str, patience_s: float, **options: Any) -> Any:
    """Return a producer that has met a broker; raises as `connected`."""
    return connected(KafkaProducer, bootstrap, patience_s, **options)


def admin(bootstrap: str, patience_s: float, **options: Any) -> Any:
    """Return a client for the cluster's own affairs; raises as `connected`."""
    return connected(KafkaAdminClient, bootstrap, patience_s, **options)


def topic_id(consumer: Any, topic: str) -> UUID | None:
    """Return the identity of a topic as last seen; None where it is unknown. There is no public way to it."""
    found: UUID | None = consumer._cluster.topic_id(topic)
    return found if found is not None and found.int else None


def next_offset(consumer: Any, place: Any) -> int | None:
    """Return the offset from which the consumer fetches next, beyond what holds no record; None where it is unknown.

    `KafkaConsumer.position` may ask the brokers; this is what is known.
    """
    state = consumer._subscription.assignment.get(place)
    return None if state is None or state.position is None else int(state.position.offset)


def partitions_seen(consumer: Any, topic: str) -> int:
    """Return how many partitions the topic had when the metadata came last; 0 where it is unknown."""
    return len(consumer._cluster.partitions_for_topic(topic) or ())


def on_metadata(consumer: Any, listener: Callable[[Any], None]) -> None:
    """Call the listener with every answer about topics, on the client's own thread."""
    consumer._cluster.add_listener(listener)


def ask_metadata(consumer: Any) -> None:
    """Ask the brokers about topics again; the answer comes to the listeners."""
    consumer._cluster.request_update()


def drop_emptied_records(consumer: Any) -> None:
    """Let go of fetched records that were all handed over.

    kafka-python 3.0.12 takes the records of a resumed partition up again only when nothing stands in line, and
    leaves an emptied list of another partition there: the resumed one would wait for ever.
    """
    fetcher = consumer._fetcher
    in_line = fetcher._next_partition_records
    if in_line is not None and not in_line:
        fetcher._next_partition_records = None


def with_shortest_poll(consumer: Any, shortest_s: float) -> Any:
    """Return the same consumer, whose polls wait at least so long for a fetch that is under way.

    kafka-python 3.0.12 waits no longer than until the next heartbeat is due. While one is not answered that is no time
    at all: a broker that stopped without notice costs a whole core, and 12 MiB/s for what each round leaves at the
    fetch (docs/faults.md, row 8). Heartbeats do not need the polls, the client's own thread sends them.
    """
    coordinator = consumer._coordinator
    next_poll_s = coordinator.time_to_next_poll
    coordinator.time_to_next_poll = lambda: max(shortest_s, next_poll_s())
    return consumer


def block_at_most(producer: Any, block_ms: int) -> None:
    """Let `send` wait no longer than this for what the producer does not know of a topic; it has met the topic."""
    producer.config["max_block_ms"] = block_ms


def silence(producer: Any) -> None:
    """Let a producer send nothing more; may be called by its own thread, as `close` may not."""
    producer._sender.force_close()


def await_silence(producer: Any, timeout_s: float) -> None:
    """Wait until a silenced producer's thread has ended, and with it its last callbacks."""
    producer._sender.join(timeout_s)


def _readable(file: Path, variable: str) -> Path:
    if not (file.is_file() and os.access(file, os.R_OK)):
        raise BadRequest(f"{variable} is {file}; wanted a file that can be read")
    return file


def _secret(file: Path) -> str:
    try:
        return file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"the password in {file} cannot be read; wanted one line of text") from error
