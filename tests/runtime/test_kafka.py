"""One test per private name of kafka-python, and what the environment states about access."""

import inspect
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0.12 reads its schemas in an old way
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.cluster import ClusterMetadata
    from kafka.consumer.fetcher import Fetcher
    from kafka.consumer.subscription_state import SubscriptionState
    from kafka.coordinator.consumer import ConsumerCoordinator
    from kafka.errors import KafkaTimeoutError
    from kafka.producer.sender import Sender
    from kafka.structs import OffsetAndMetadata

    from contract.errors import BadRequest, LogUnavailable
    from runtime import kafka as clients
    from runtime.kafka import KafkaAccess

CANARY = "canary7"


def source_of(kind: Any) -> str:
    return inspect.getsource(kind)


def test_a_consumer_holds_its_cluster_under_this_name() -> None:
    assert "self._cluster = " in source_of(KafkaConsumer)
    for name in ("topic_id", "partitions_for_topic", "add_listener", "request_update"):
        assert callable(getattr(ClusterMetadata, name))


def test_a_fetcher_keeps_the_records_in_line_under_this_name() -> None:
    assert "self._fetcher = " in source_of(KafkaConsumer)
    assert "self._next_partition_records = " in source_of(Fetcher)


def test_a_consumer_waits_no_longer_than_its_coordinator_says() -> None:
    assert "self._coordinator = " in source_of(KafkaConsumer)
    assert "self._coordinator.time_to_next_poll()" in source_of(KafkaConsumer)
    assert callable(ConsumerCoordinator.time_to_next_poll)


def test_a_producers_sender_can_be_stopped_by_its_own_thread() -> None:
    assert "self._sender = " in source_of(KafkaProducer)
    assert callable(Sender.force_close)
    assert issubclass(Sender, threading.Thread)  # joined


def test_a_producer_reads_how_long_it_may_block_at_every_send() -> None:
    assert "self.config['max_block_ms']" in inspect.getsource(KafkaProducer.send)


def test_only_one_file_of_ours_touches_private_names() -> None:
    root = Path(__file__).resolve().parents[2]
    names = ("._cluster", "._fetcher", "._coordinator", "._sender", "kafka.net")
    packages = ("runtime", "ingest", "worker", "query", "mien")
    touching = {
        str(file.relative_to(root))
        for package in packages
        for file in (root / package).rglob("*.py")
        if any(name in file.read_text() for name in names)
    }
    assert touching == {"runtime/kafka.py"}


def test_a_topic_without_an_id_is_unknown() -> None:
    nothing = SimpleNamespace(int=0)
    cluster = SimpleNamespace(topic_id={"old": nothing}.get, partitions_for_topic={"t": {0, 1}}.get)
    consumer = SimpleNamespace(_cluster=cluster)

    assert clients.topic_id(consumer, "old") is None
    assert clients.topic_id(consumer, "none") is None
    assert (clients.partitions_seen(consumer, "t"), clients.partitions_seen(consumer, "none")) == (2, 0)


def test_an_emptied_list_of_records_leaves_the_line_and_a_full_one_stays() -> None:
    for in_line, stays in (([], False), ([1], True), (None, False)):
        consumer = SimpleNamespace(_fetcher=SimpleNamespace(_next_partition_records=in_line))
        clients.drop_emptied_records(consumer)
        assert (consumer._fetcher._next_partition_records is not None) == stays


def test_a_poll_waits_at_least_so_long() -> None:
    waits = iter((0.0, 2.0))
    consumer = SimpleNamespace(_coordinator=SimpleNamespace(time_to_next_poll=lambda: next(waits)))

    calm = clients.with_shortest_poll(consumer, 0.05)

    assert [calm._coordinator.time_to_next_poll() for _ in range(2)] == [0.05, 2.0]


def test_what_a_failed_client_opened_is_closed() -> None:
    opened: list[Any] = []

    def fails(kafka_client: Any, **options: Any) -> None:
        opened.append(kafka_client(bootstrap_servers=["127.0.0.1:9"]))
        raise KafkaTimeoutError("nobody there")

    with pytest.raises(LogUnavailable, match=r"no Kafka at a:1 within 0.5 s: KafkaTimeoutError: nobody there"):
        clients.connected(fails, "a:1", 0.5)

    assert opened[0]._manager.closed


def test_without_a_word_in_the_environment_nothing_is_encrypted() -> None:
    assert KafkaAccess.found({}) == KafkaAccess()
    assert KafkaAccess().options() == {"security_protocol": "PLAINTEXT"}


def test_tls_and_a_password_in_a_file_reach_the_client(tmp_path: Path) -> None:
    secret, ca = tmp_path / "password", tmp_path / "ca.pem"
    secret.write_text(f"{CANARY}\n")
    ca.write_text("-")

    access = KafkaAccess.found(
        {
            "MIEN_KAFKA_SECURITY": "SASL_SSL",
            "MIEN_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
            "MIEN_KAFKA_USER": "worker",
            "MIEN_KAFKA_PASSWORD_FILE": str(secret),
            "MIEN_KAFKA_CA": str(ca),
        }
    )

    assert CANARY not in repr(access)
    options = access.options()
    assert options == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "worker",
        "sasl_plain_password": CANARY,
        "ssl_cafile": str(ca),
    }
    for kind in (KafkaConsumer, KafkaProducer):
        assert set(options) <= set(kind.DEFAULT_CONFIG)


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"MIEN_KAFKA_SECURITY": "TLS"}, "MIEN_KAFKA_SECURITY is 'TLS'; wanted one of PLAINTEXT"),
        ({"MIEN_KAFKA_PASSWORD": CANARY}, "a user or password for Kafka with PLAINTEXT"),
        ({"MIEN_KAFKA_SECURITY": "SASL_SSL", "MIEN_KAFKA_USER": "me"}, "wanted MIEN_KAFKA_USER and"),
        (
            {"MIEN_KAFKA_SECURITY": "SASL_SSL", "MIEN_KAFKA_SASL_MECHANISM": "MAGIC"},
            "MIEN_KAFKA_SASL_MECHANISM is 'MAGIC'",
        ),
        ({"MIEN_KAFKA_CA": "/nowhere"}, "MIEN_KAFKA_CA is /nowhere; wanted a file"),
        ({"MIEN_KAFKA_PASSWORD_FILE": "/nowhere"}, "MIEN_KAFKA_PASSWORD_FILE is /nowhere"),
    ],
)
def test_a_contradiction_is_refused_in_one_line(environment: dict[str, str], text: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        KafkaAccess.found(environment)

    assert text in str(refusal.value)
    assert CANARY not in str(refusal.value)


def test_every_client_takes_its_access_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_KAFKA_SECURITY", "SASL_PLAINTEXT")
    monkeypatch.setenv("MIEN_KAFKA_USER", "me")
    monkeypatch.setenv("MIEN_KAFKA_PASSWORD", CANARY)

    seen = clients.connected(dict, "a:1,b:2", 1.5)
    other = clients.connected(dict, "a:1", 1.5, security_protocol="PLAINTEXT")

    assert seen["sasl_plain_password"] == CANARY
    assert (seen["bootstrap_servers"], seen["bootstrap_timeout_ms"]) == (["a:1", "b:2"], 1500)
    assert "sasl_plain_password" not in other


def test_a_consumer_keeps_its_positions_under_this_name() -> None:
    assert "self._subscription = " in source_of(KafkaConsumer)
    state, place = SubscriptionState(), TopicPartition("faces", 0)
    consumer = SimpleNamespace(_subscription=state)

    assert clients.next_offset(consumer, place) is None
    state.assign_from_user([place])
    assert clients.next_offset(consumer, place) is None
    state.seek(place, OffsetAndMetadata(7, "", -1))
    assert clients.next_offset(consumer, place) == 7
