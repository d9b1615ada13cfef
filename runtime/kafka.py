"""Clients of kafka-python that have met a broker; every one is made here."""

from collections.abc import Callable
from typing import Any, TypeVar

from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from contract.errors import LogUnavailable

T = TypeVar("T")


def connected(make: Callable[..., T], bootstrap: str, patience_s: float, **options: Any) -> T:
    """What `make` makes, a consumer or a producer, once a broker of `bootstrap` (host:port, several by commas) answers.

    Raises:
        LogUnavailable: none does in time. What kafka-python opened and would leave open is closed.
    """
    clients: list[KafkaNetClient] = []

    def client(**options: Any) -> KafkaNetClient:
        clients.append(KafkaNetClient(**options))
        return clients[-1]

    try:
        return make(
            bootstrap_servers=bootstrap.split(","),
            bootstrap_timeout_ms=int(1000 * patience_s),
            kafka_client=client,
            **options,
        )
    except (KafkaError, OSError, ValueError) as error:
        for each in clients:
            each.close()
        raise LogUnavailable(
            f"no Kafka at {bootstrap} within {patience_s:g} s: {str(error) or type(error).__name__}"
        ) from error
