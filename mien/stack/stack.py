"""Kafka and Redis as one thing: brought up, taken down, found again."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from contract.errors import StackFailed
from contract.topics import PARTITIONS, topics
from mien.stack.jars import bring_jars
from mien.stack.kafka import Node, broker, create_topics, format_storage
from mien.stack.ports import HOST, free_port, is_free
from mien.stack.process import Server
from mien.stack.redis import redis_server, write_settings
from mien.stack.state import FILE, VERSION, Mark, Shape, State, read_state, write_state

GRACE_S = 10.0
PRIMARY, REPLICA = "redis", "redis-replica"


class Stack:
    """Servers on loopback whose data lie in one folder; as a context manager, up inside and down after it.

    Without a folder the data are thrown away on the way out. `processes` holds the servers by name: `kafka-1` (to
    `kafka-3`), `redis`, `redis-replica`; each may be stopped, continued, killed and started alone.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        brokers: int = 1,
        kafka: bool = True,
        redis: bool = True,
        replica: bool = False,
        min_replicas: int = 0,
        partitions: int = PARTITIONS,
        redis_config: Mapping[str, str] | None = None,
        kafka_port: int = 0,
        redis_port: int = 0,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Describe a stack; `up` or `with` starts it.

        Args:
            folder: holds data, logs and stack.json; None takes a temporary one.
            brokers: 1, or 3 with three copies of everything of which two must be in sync; 0 as `kafka=False`.
            kafka, redis: False leaves it out.
            replica: a second Redis that follows the first.
            min_replicas: replicas that must have been in touch in the last 5 s for the primary to take writes.
            partitions: of the topics of contract/topics.py.
            redis_config: further lines of redis.conf, such as maxmemory; `dir` holds for the primary alone.
            kafka_port, redis_port: of the first broker and the primary; 0 takes a free one and keeps to it.
            say: told what is going on, a line each.

        Raises:
            StackFailed: the folder holds another shape of stack.
        """
        if brokers not in (0, 1, 3):
            raise StackFailed(f"{brokers} brokers cannot be had: 1 or 3")
        self._temporary = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="mien-stack-")) if folder is None else folder.resolve()
        config = dict(redis_config or {})
        self.shape = Shape(brokers if kafka else 0, redis, replica and redis, min_replicas, partitions, config)
        self.processes: dict[str, Server] = {}
        self._fixed = {name: port for name, port in (("kafka-1", kafka_port), (PRIMARY, redis_port)) if port}
        self._say = say
        state = read_state(self.folder)
        if state is not None and state.shape != self.shape:
            raise StackFailed(
                f"{self.folder} holds {_described(state.shape)}; wanted is {_described(self.shape)}: "
                "use another --folder, or `mien stack down --purge` first"
            )
        self._marks = dict(state.servers) if state else {}
        if self._marks:
            self._build()

    @classmethod
    def found(cls, folder: Path) -> "Stack | None":
        """The stack that was brought up in this folder, running or not; None if there never was one."""
        state = read_state(folder)
        if state is None:
            return None
        shape = state.shape
        return cls(
            folder,
            brokers=shape.brokers,
            redis=shape.redis,
            replica=shape.replica,
            min_replicas=shape.min_replicas,
            partitions=shape.partitions,
            redis_config=shape.redis_config,
        )

    @property
    def bootstrap(self) -> str:
        """Where Kafka answers: host:port, several by commas; empty without Kafka."""
        return ",".join(each.address for name, each in self.processes.items() if name.startswith("kafka"))

    @property
    def redis_url(self) -> str:
        """Where the primary answers; empty without Redis."""
        return f"redis://{self.processes[PRIMARY].address}/0" if PRIMARY in self.processes else ""

    @property
    def replica_url(self) -> str:
        """Where the replica answers; empty without one."""
        return f"redis://{self.processes[REPLICA].address}/0" if REPLICA in self.processes else ""

    def is_up(self) -> bool:
        """Do all processes exist?"""
        return bool(self.processes) and all(each.is_running() for each in self.processes.values())

    def up(self) -> Self:
        """Start what does not run, wait until all answer, create the topics.

        Raises:
            StackFailed: a program is missing, a port is taken, a server gave up. What was started is ended again.
        """
        started: list[Server] = []
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._choose_ports()
            self._build()
            self._prepare()
            for server in self.processes.values():
                if not server.is_running():
                    started.append(server)
                    server.spawn()
            self._say(f"waiting for {', '.join(self.processes)}")
            for server in self.processes.values():
                server.wait()
            if self.bootstrap:
                create_topics(self.bootstrap, topics(self.shape.partitions), self.shape.brokers)
        except BaseException:  # Ctrl-C too: nothing is left running that nobody asked for
            for server in started:
                server.kill()
                server.end(0)
            raise
        return self

    def down(self, purge: bool = False) -> None:
        """End all servers; the data stay unless they are purged."""
        running = [each for each in self.processes.values() if each.is_running()]
        for server in running:  # all at once: the last broker of a cluster would wait for the others in vain
            if purge:
                server.kill()
            else:
                server.ask_to_end()
        for server in running:
            server.end(GRACE_S)
        if purge:
            self._purge()

    def __enter__(self) -> Self:
        if any(each.is_running() for each in self.processes.values()):
            raise StackFailed(f"the stack in {self.folder} is up already; use Stack.found(folder), or another folder")
        try:
            return self.up()
        except BaseException:
            if self._temporary:
                self._purge()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down(purge=self._temporary)

    def _purge(self) -> None:
        """Remove what is ours, and the folder if nothing else is in it."""
        for name in self._names():
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / FILE).unlink(missing_ok=True)
        self._marks, self.processes = {}, {}
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _names(self) -> list[str]:
        shape = self.shape
        brokers = [f"kafka-{number}" for number in range(1, shape.brokers + 1)]
        return brokers + [PRIMARY] * shape.redis + [REPLICA] * shape.replica

    def _choose_ports(self) -> None:
        """Keep the ports of last time where they are free; servers that still run keep theirs in any case."""
        running = {name for name, server in self.processes.items() if server.is_running()}
        taken = {mark.port for mark in self._marks.values()} | {mark.controller_port for mark in self._marks.values()}
        for name in self._names():
            if name in running:
                continue
            old = self._marks.get(name, Mark(0))
            port = self._port(name, old.port, taken, bool(running))
            controller = self._port("", old.controller_port, taken, bool(running)) if name.startswith("kafka") else 0
            taken |= {port, controller}
            self._marks[name] = Mark(port, controller)

    def _port(self, name: str, old: int, taken: set[int], must_stay: bool) -> int:
        wanted = self._fixed.get(name, old)
        if not wanted:
            return free_port(taken)
        if is_free(wanted):
            return wanted
        if name in self._fixed or must_stay:
            raise StackFailed(
                f"port {wanted} on {HOST}, wanted for {name or 'a controller'}, is in use; choose another"
            )
        return free_port(taken)

    def _build(self) -> None:
        """The servers as `_marks` says, running or not."""
        known, self.processes = self.processes, {}
        nodes = self._nodes()
        for node in nodes:
            self._add(broker(node, nodes), known)
        for name in (PRIMARY, REPLICA)[: self.shape.redis + self.shape.replica]:
            port, primary = self._marks[name].port, self.processes.get(PRIMARY)
            self._add(redis_server(name, self.folder / name, port, primary), known)

    def _add(self, server: Server, known: Mapping[str, Server]) -> None:
        mark = self._marks[server.name]
        old = known.get(server.name)
        if old is not None and old.is_running():
            server = old
        else:
            server.pid, server.began = mark.pid, mark.began
        server.on_change = self._remember
        self.processes[server.name] = server

    def _redis_config(self, name: str) -> dict[str, str]:
        shape = self.shape
        config = {key: value for key, value in shape.redis_config.items() if name == PRIMARY or key != "dir"}
        if name == PRIMARY and shape.replica:
            config = {"shutdown-timeout": "1"} | config  # s to wait for a replica that is ending too; 10 by default
        if name == PRIMARY and shape.min_replicas:
            config |= {"min-replicas-to-write": str(shape.min_replicas), "min-replicas-max-lag": "5"}
        return config

    def _nodes(self) -> list[Node]:
        names = [name for name in self._names() if name.startswith("kafka")]
        marks = [self._marks[name] for name in names]
        return [
            Node(number, mark.port, mark.controller_port, self.folder / name)
            for number, (name, mark) in enumerate(zip(names, marks, strict=True), 1)
        ]

    def _prepare(self) -> None:
        """Settings and formatted folders for what does not run; a running cluster keeps its own."""
        nodes = self._nodes()
        if nodes and not any(self.processes[f"kafka-{node.id}"].is_running() for node in nodes):
            bring_jars(self._say)
            self._say("preparing Kafka's log folders")
            format_storage(nodes)
        for name in (PRIMARY, REPLICA)[: self.shape.redis + self.shape.replica]:
            if not self.processes[name].is_running():
                primary = self.processes[PRIMARY] if name == REPLICA else None
                write_settings(self.processes[name], self._redis_config(name), primary)
        self._remember()

    def _remember(self) -> None:
        """Write stack.json anew: a pid that nobody remembers could not be ended."""
        for name, server in self.processes.items():
            old = self._marks[name]
            self._marks[name] = Mark(server.port, old.controller_port, server.pid, server.began)
        write_state(self.folder, State(VERSION, self.shape, self._marks))


def _described(shape: Shape) -> str:
    parts = [f"{shape.brokers} broker{'s' * (shape.brokers > 1)}, {shape.partitions} partitions"] * (shape.brokers > 0)
    parts += ["Redis"] * shape.redis + ["a replica"] * shape.replica
    parts += [f"min-replicas {shape.min_replicas}"] * (shape.min_replicas > 0)
    return ", ".join(parts + [f"{key} {value}" for key, value in shape.redis_config.items()]) or "nothing"
