"""Apache Kafka on loopback: one node or three, each broker and controller in one process (KRaft)."""

import shutil
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import StackFailed
from contract.topics import Topic
from mien.stack.jars import jars
from mien.stack.ports import HOST
from mien.stack.process import Server

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

PATIENCE_S = 90.0  # a start after SIGKILL with much data
ANSWER_MS = 3_000
FORMAT_S = 60


@dataclass(frozen=True, slots=True)
class Node:
    """The place of one broker in its cluster."""

    id: int
    port: int
    controller_port: int
    folder: Path

    @property
    def properties(self) -> Path:
        """The settings file."""
        return self.folder / "server.properties"

    @property
    def data(self) -> Path:
        """The folder of the log."""
        return self.folder / "data"


def broker(node: Node, nodes: Sequence[Node]) -> Server:
    """A server of the stack, not yet started. Its log folder must be formatted before the start."""
    heap_mb = 512 if len(nodes) == 1 else 256
    command = (
        "java",
        "-Xms128m",
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",  # small heap, few cores: 0.3 s less to start
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
        f"-XX:ErrorFile={node.folder}/crash.txt",
        "-cp",
        f"{jars()}/*",
        "kafka.Kafka",
        str(node.properties),
    )
    return Server(f"kafka-{node.id}", command, HOST, node.port, node.folder, lambda: _problem(node), PATIENCE_S)


def format_storage(nodes: Sequence[Node]) -> None:
    """Write the settings of every node, and format the log folders that are not yet.

    Raises:
        StackFailed: there is no Java, or Kafka's tool refused.
    """
    if shutil.which("java") is None:
        raise StackFailed("Kafka needs Java 17 or later, and `java` is not installed: make system")
    for node in nodes:
        node.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = (f"{key}={value}\n" for key, value in _settings(node, nodes).items())
        node.properties.write_text("".join(lines))
    fresh = [node for node in nodes if not (node.data / "meta.properties").exists()]
    if not fresh:
        return
    cluster = cluster_id()
    tool = ("java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars()}/*", "kafka.tools.StorageTool", "format", "-t", cluster)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda node: _format([*tool, "-c", str(node.properties)]), fresh))


def cluster_id() -> str:
    """Return a new id of a cluster; one that begins with «-» would be taken for an option by Kafka's tool."""
    while (drawn := urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return drawn


def create_topics(bootstrap: str, topics: Sequence[Topic], brokers: int) -> None:
    """Create those topics that are not there, a copy of each partition on every broker.

    Raises:
        StackFailed: a topic is there with another partition count, which would move sources to other partitions.
    """
    from kafka.admin import NewTopic

    safety = {"min.insync.replicas": "2"} if brokers > 1 else {}
    with_client = admin(bootstrap)
    try:
        there = {each["name"]: len(each["partitions"]) for each in with_client.describe_topics()}
        for topic in topics:
            if there.get(topic.name, topic.partitions) != topic.partitions:
                raise StackFailed(
                    f"topic {topic.name} has {there[topic.name]} partitions, {topic.partitions} are wanted; "
                    f"the count is fixed when a stack is made: --partitions {there[topic.name]}, or another --folder"
                )
        new = [
            NewTopic(topic.name, topic.partitions, brokers, topic_configs={**topic.config, **safety})
            for topic in topics
            if topic.name not in there
        ]
        if new:
            with_client.create_topics(new, wait_for_metadata=True)
    finally:
        with_client.close()


def admin(bootstrap: str) -> "KafkaAdminClient":
    """A client for the cluster's own affairs, to be closed.

    Raises:
        StackFailed: kafka-python is not installed.
    """
    try:
        from kafka.admin import KafkaAdminClient
    except ImportError as error:
        raise StackFailed("kafka-python is not installed: `pip install 'mien[kafka]'` or `make setup`") from error
    return KafkaAdminClient(bootstrap_servers=bootstrap.split(","), bootstrap_timeout_ms=ANSWER_MS)


def _settings(node: Node, nodes: Sequence[Node]) -> Mapping[str, str]:
    copies, in_sync = (len(nodes), 2) if len(nodes) > 1 else (1, 1)
    client, controller = f"PLAINTEXT://{HOST}:{node.port}", f"CONTROLLER://{HOST}:{node.controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.id),
        # A fixed list of voters: the ports may change between two starts, the formatted folders know none.
        "controller.quorum.voters": ",".join(f"{each.id}@{HOST}:{each.controller_port}" for each in nodes),
        "listeners": f"{client},{controller}",
        "advertised.listeners": client,
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(node.data),
        "auto.create.topics.enable": "false",
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.replication.factor": str(copies),
        "offsets.topic.num.partitions": "4",  # 50 by default: slow to make and to recover, for a few groups
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": str(in_sync),
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        # A broker that was killed may register again only when its old session has run out; 9 s by default.
        "broker.session.timeout.ms": "3000" if len(nodes) == 1 else "6000",
        "broker.heartbeat.interval.ms": "500",
    }


def _format(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FORMAT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise StackFailed(f"Kafka's storage tool has not formatted a log folder within {FORMAT_S} s") from error
    if done.returncode:
        raise StackFailed(f"Kafka could not format its log folder:\n{(done.stdout + done.stderr)[-1500:]}")


def _problem(node: Node) -> str:
    """Why the broker is not a working member of its cluster; empty when it is."""
    from kafka.errors import KafkaError

    try:
        socket.create_connection((HOST, node.port), timeout=1).close()  # cheap, while the port is closed
        client = admin(f"{HOST}:{node.port}")
        try:
            members = {each["broker_id"]: each for each in client.describe_cluster()["brokers"]}
        finally:
            client.close()
    except (OSError, KafkaError) as error:
        return str(error) or type(error).__name__
    if node.id not in members or members[node.id].get("is_fenced"):
        return "the controllers have not yet let it in"
    return ""
