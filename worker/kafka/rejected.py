"""Writes rejections to the topic of rejected records, which keeps them before the offset moves on."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from kafka.errors import KafkaError

from contract.errors import LogUnavailable
from contract.topics import REJECTED
from runtime import kafka as clients
from worker.reading.poison import Rejection

PATIENCE_S = 10.0  # for one batch to be kept; the worker comes again with the same one
CLOSE_S = 2.0


class RejectedTopic:
    """Publishes rejections, never the picture; returns when the brokers have them all.

    A batch that comes again is told again: log/partition/offset, the key, tells repetitions apart from news.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        worker: str = "",
        topic: str = REJECTED,
        access: Mapping[str, Any] | None = None,
        patience_s: float = PATIENCE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Connects with the first rejection: most workers never have one.

        Args:
            bootstrap: host:port, several by commas.
            worker: who rejects; a name of this process.
            topic: where to.
            access: TLS and SASL, as kafka-python names them.
            patience_s: for one batch to be kept.
            now: s since the epoch.
        """
        self._bootstrap = bootstrap
        self._worker = worker
        self._topic = topic
        self._access = dict(access or {})
        self._patience_s = patience_s
        self._now = now
        self._producer: Any = None

    def __call__(self, rejections: Sequence[Rejection]) -> None:
        """Publish them, and wait until they are kept.

        Raises:
            LogUnavailable: they are not kept within `patience_s`; some may be.
        """
        if not rejections:
            return
        deadline = time.monotonic() + self._patience_s
        try:
            producer = self._connected()
            sent = [
                producer.send(self._topic, _value(each, self._worker, self._now()), _key(each)) for each in rejections
            ]
            for future in sent:
                future.get(timeout=max(0.0, deadline - time.monotonic()))
        except (KafkaError, LogUnavailable) as error:
            self.close(0)  # what still waits in it would be sent once more, after our repetition
            raise LogUnavailable(
                f"{len(rejections)} rejections are not kept by {self._topic} at {self._bootstrap} within"
                f" {self._patience_s:g} s: {str(error) or type(error).__name__}"
            ) from error

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Leave the brokers; the next rejection would connect again."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError):  # not all were kept; whoever sent them was told
                producer.close(timeout=timeout_s)

    def _connected(self) -> Any:
        if self._producer is None:
            patience_ms = int(1000 * self._patience_s)
            self._producer = clients.producer(
                self._bootstrap,
                self._patience_s,
                acks="all",
                enable_idempotence=True,
                allow_auto_create_topics=False,
                max_block_ms=patience_ms,
                delivery_timeout_ms=patience_ms,
                request_timeout_ms=max(1, patience_ms // 2),
                metrics_enabled=False,
                **self._access,
            )
        return self._producer


def _key(rejection: Rejection) -> bytes:
    return f"{rejection.log}/{rejection.partition}/{rejection.offset}".encode()


def _value(rejection: Rejection, worker: str, at_s: float) -> bytes:
    return json.dumps({**asdict(rejection), "worker": worker, "at": round(at_s, 3)}, ensure_ascii=False).encode()
