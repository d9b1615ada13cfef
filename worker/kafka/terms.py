"""The settings of the topic that the promise needs, looked at when partitions are taken and every minute."""

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kafka.admin import ConfigResource

from contract.topics import HOUR_MS
from runtime import kafka as clients
from worker.kafka.settings import KafkaSettings

RETENTION_LEAST_MS = HOUR_MS  # less does not outlast a store that is restored
ANSWER_S = 3.0
_WAY = "kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {config}"


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a topic keeps, and for how long."""

    cleanup_policy: str
    retention_ms: int  # -1: for ever
    retention_bytes: int  # of a partition; -1: as many as come
    partitions: int


def flaws(terms: Terms, topic: str, partitions: int) -> list[str]:
    """One line per setting under which records may be lost, with the way out.

    Args:
        partitions: that the store was laid out for.
    """

    def line(name: str, value: object, why: str, wanted: object) -> str:
        way = _WAY.format(topic=topic, config=f"{name}={wanted}")
        return f"topic {topic} has {name}={value}, {why}; wanted {wanted}: {way}"

    found = []
    if "compact" in terms.cleanup_policy:
        found.append(line("cleanup.policy", terms.cleanup_policy, "which removes records unread", "delete"))
    if 0 <= terms.retention_ms < RETENTION_LEAST_MS:
        why = "which a store that is away may outlast"
        found.append(line("retention.ms", terms.retention_ms, why, 24 * HOUR_MS))
    if terms.retention_bytes >= 0:
        found.append(line("retention.bytes", terms.retention_bytes, "which removes records at any age", -1))
    if terms.partitions != partitions:
        found.append(
            f"topic {topic} has {terms.partitions} partitions, the store was laid out for {partitions}: sources now lie"
            " on other partitions than before; make a new topic and a new store, or the old number of partitions again"
        )
    return found


class TopicTerms:
    """Fetches the settings from the brokers now and then, on a thread of its own: polling must not wait for them."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._config: Mapping[str, str] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="kafka-terms", daemon=True)

    def start(self) -> None:
        """Ask at once, then every `terms_s`."""
        self._thread.start()

    def seen(self, partitions: int) -> Terms | None:
        """The settings as last seen, with this number of partitions; None: no broker has said, or we may not ask."""
        config = self._config
        if config is None:
            return None
        return Terms(
            config.get("cleanup.policy", "delete"),
            int(config.get("retention.ms", -1)),
            int(config.get("retention.bytes", -1)),
            partitions,
        )

    def stop(self) -> None:
        """Ask no more; an answer that is awaited is not waited for."""
        self._stopping.set()

    def _watch(self) -> None:
        admin: Any = None
        while not self._stopping.is_set():
            try:
                admin = admin or clients.admin(self._settings.bootstrap, ANSWER_S, **dict(self._settings.access))
                self._config = described(admin, self._settings.topic)
            except Exception as error:  # noqa: BLE001 - nothing depends on it but a warning; the next look may do better
                _log.info("the settings of topic %s go unchecked: %r", self._settings.topic, error)
                _closed(admin)
                admin = None
            self._stopping.wait(self._settings.terms_s)
        _closed(admin)


def described(admin: Any, topic: str) -> dict[str, str]:
    """Return all settings of a topic, by name; raises KafkaError."""
    (by_name,) = admin.describe_configs([ConfigResource("TOPIC", topic)], config_filter="all").values()
    return {name: str(config["value"]) for name, config in by_name[topic].items()}


def _closed(admin: Any) -> None:
    if admin is not None:
        with suppress(Exception):
            admin.close()
