"""`mien ingest` and `mien worker` as a user starts them, over a real clip; `mien run` says what has to come of it."""

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis

from bench.clips import Clip, clips
from bench.faults.child import GRACE_S
from bench.faults.facts import RunFailed
from bench.faults.oracle import text, texts
from bench.faults.report import Run
from contract.keys import Keys
from contract.points import unpack
from contract.topics import PARTITIONS, topics
from mien.stack import Stack
from mien.stack.kafka import create_topics
from mien.stack.ports import free_port

READ_S = 60.0  # for the worker to read what is left
CLIPS = Path(tempfile.gettempdir()) / "mien-faults-clips"

Reading = tuple[int, int]
"""Frame, and event time in µs."""


class Command:
    """One `mien` command as a process, with a log."""

    def __init__(self, folder: Path, name: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mien", *arguments],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def exit_code(self) -> int | None:
        """None: it runs."""
        return self._process.poll()

    def end(self) -> int:
        """Send SIGTERM; its exit code, -9 where it had to be killed."""
        if self.exit_code is None:
            self._process.terminate()
        return self.wait(GRACE_S)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def wait(self, timeout_s: float) -> int:
        """Its exit code, -9 where it had to be killed after so long."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    def tail(self, lines: int = 3) -> str:
        """The last lines of its log, joined by «|»."""
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-lines:])[-600:]


@dataclass(slots=True)
class Cinema:
    """A topic and an empty Redis, a clip, a worker that reads with the default net, and ingests by command."""

    stack: Stack
    folder: Path
    seed: int
    clip: Clip
    wanted: Counter[Reading]
    topic: str
    worker: Command
    ingests: list[Command]
    begun: float

    def ingest(self, *options: str) -> Command:
        """Start one more `mien ingest` of the clip."""
        name = f"ingest-{len(self.ingests)}"
        command = Command(
            self.folder, name, ["ingest", str(self.clip.path), "--topic", self.topic, *options], servers(self.stack)
        )
        self.ingests.append(command)
        return command

    def server(self) -> "redis.Redis":
        """A client of the store."""
        return redis.Redis.from_url(self.stack.redis_url, socket_timeout=5)

    def position(self) -> int:
        """Records that the store has taken of all partitions."""
        server = self.server()
        return sum(int(server.hget(Keys(n).position, "next_offset") or 0) for n in range(PARTITIONS))

    def settled(self) -> None:
        """Return when every session is closed, or nothing has been stored for some seconds."""
        last, since = -1, time.monotonic()
        end = time.monotonic() + READ_S
        while time.monotonic() < end and time.monotonic() - since < 4.0:
            seen = self.position()
            if seen != last:
                last, since = seen, time.monotonic()
            time.sleep(0.2)

    def judged(self, fault: tuple[int, str], notes: list[str], flaws: list[str], recovery_s: float | None) -> Run:
        """The run as a line of the report: what the store holds against what `mien run` reads of the clip."""
        found, sessions = stored(self.server())
        open_gaps = [gap for gaps, _ in sessions.values() for gap in gaps]
        missing = self.wanted - found
        strangers = found - self.wanted
        doubled = {reading: count for reading, count in strangers.items() if reading in self.wanted}
        flaws = list(flaws)
        if len(sessions) != 1:
            flaws.append(f"{len(sessions)} sessions of one film, wanted 1")
        if not all(closed for _, closed in sessions.values()):
            flaws.append("the session is not closed")
        if open_gaps:
            flaws.append(f"gaps {open_gaps[:3]} in a film that was read to its end")
        lost, dup = missing.total(), sum(doubled.values())
        wrong = strangers.total() - dup
        code = self.worker.end()
        if code != 0:
            flaws.append(f"the worker ended with {code}: {self.worker.tail()}")
        return Run(
            row=fault[0],
            fault=fault[1],
            seed=self.seed,
            produced=self.wanted.total(),
            committed=found.total(),
            lost=lost,
            dup=dup,
            wrong=wrong,
            recovery_s=recovery_s,
            run_s=round(time.monotonic() - self.begun, 1),
            passed=not (lost or dup or wrong or flaws),
            why="; ".join(flaws)[:1500],
            notes="; ".join(notes),
        )


def servers(stack: Stack) -> dict[str, str]:
    """Where the commands find Kafka and Redis."""
    return {"MIEN_KAFKA_BOOTSTRAP": stack.bootstrap, "MIEN_REDIS_URL": stack.redis_url}


@contextlib.contextmanager
def cinema(stack: Stack, folder: Path, seed: int) -> Iterator[Cinema]:
    """Everything that a row on real ingests needs; all processes end with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    CLIPS.mkdir(exist_ok=True)
    clip = clips(CLIPS)[0]
    clip.make()
    wanted = readings_of(clip.path)
    redis.Redis.from_url(stack.redis_url).flushall()
    name = f"cinema.{uuid.uuid4().hex[:8]}"
    faces, *_ = topics(PARTITIONS)
    create_topics(stack.bootstrap, [replace(faces, name=name)], stack.shape.brokers)
    options = ["--topic", name, "--group", name, "--health-port", str(free_port()), "--session-s", "6"]
    worker = Command(folder, "worker", ["worker", *options], servers(stack))
    made = Cinema(stack, folder, seed, clip, wanted, name, worker, [], time.monotonic())
    try:
        yield made
    finally:
        for command in (*made.ingests, worker):
            command.kill()


@functools.cache
def readings_of(path: Path) -> Counter[Reading]:
    """What `mien run` reads of the clip on one machine."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, "-m", "mien", "run", str(path), "--no-serve", "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RunFailed(f"mien run ended with {done.returncode}: {done.stderr[-500:]}")
        document: dict[str, Any] = json.loads(out.read_text())
    people = [person for source in document["sources"] for person in source["people"]]
    return Counter(
        (frame, round(t * 1e6)) for person in people for frame, t in zip(person["frame"], person["t"], strict=True)
    )


def stored(server: "redis.Redis") -> tuple[Counter[Reading], dict[tuple[str, str], tuple[list[str], bool]]]:
    """All readings in Redis, and of every session its gaps and whether it is closed."""
    found: Counter[Reading] = Counter()
    sessions: dict[tuple[str, str], tuple[list[str], bool]] = {}
    for partition in range(PARTITIONS):
        keys = Keys(partition)
        channels = {
            text(name): len(json.loads(body)["channels"]) for name, body in server.hgetall(keys.schemas).items()
        }
        for source in map(text, server.smembers(keys.sources)):
            for session in map(text, server.smembers(keys.sessions(source))):
                row = texts(server.hgetall(keys.session(source, session)))
                gaps = [text(gap) for gap in server.hvals(keys.gaps(source, session))]
                sessions[source, session] = (gaps, row.get("closed", "0") == "1")
            for person in map(text, server.zrange(keys.people(source), 0, -1)):
                for name in map(text, server.zrange(keys.chunks(person), 0, -1)):
                    minute, schema_id = name.split(":")
                    blob: Any = server.get(keys.chunk(person, int(minute), schema_id)) or b""
                    columns = unpack([(int(minute), bytes(blob))], channels[schema_id])
                    found.update(zip(columns.frame.tolist(), columns.event_time.tolist(), strict=True))
    return found, sessions
