"""What a stack does when something is missing, taken, dead or not its own. Kafka itself: tests/integration."""

import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contract.errors import StackFailed
from mien.stack import Stack
from mien.stack.command import app
from mien.stack.jars import bring_jars, jars
from mien.stack.kafka import cluster_id
from mien.stack.ports import HOST, free_port
from mien.stack.process import start_time
from mien.stack.redis import ask
from mien.stack.state import FILE, VERSION, Mark, Shape, State, read_state, write_state
from tests.components import require


@pytest.fixture
def redis_stack(tmp_path: Path) -> Iterator[Stack]:
    require("redis")
    with Stack(tmp_path / "stack", kafka=False) as stack:
        yield stack


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is none of ours."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def remembered(folder: Path, mark: Mark) -> Stack:
    """The stack of a folder whose record names this process as its Redis."""
    write_state(folder, State(VERSION, Shape(brokers=0), {"redis": mark}))
    stack = Stack.found(folder)
    assert stack is not None
    return stack


def within_10_s(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return met


def test_a_reused_pid_is_not_our_server_and_is_left_alone(tmp_path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    stack = remembered(tmp_path, Mark(6379, pid=sleeper.pid, began="another boot/1"))

    assert not stack.processes["redis"].is_running()
    stack.processes["redis"].kill()
    stack.down()
    assert sleeper.poll() is None


def test_the_pid_and_start_time_of_a_record_find_the_process_again(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    stack = remembered(tmp_path, Mark(6379, pid=sleeper.pid, began=start_time(sleeper.pid) or ""))

    assert stack.processes["redis"].is_running()
    stack.processes["redis"].kill()
    assert sleeper.wait(5) == -9


def test_a_dead_pid_is_noticed(tmp_path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    began = start_time(sleeper.pid) or ""
    sleeper.kill()
    sleeper.wait()

    assert not remembered(tmp_path, Mark(6379, pid=sleeper.pid, began=began)).is_up()


def test_a_folder_without_a_stack_has_none(tmp_path: Path) -> None:
    assert Stack.found(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"), [(b"{", "not the record of a stack"), (b'{"version": 9, "shape": {}, "servers": {}}', "9")]
)
def test_a_foreign_record_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / FILE).write_bytes(content)

    with pytest.raises(StackFailed, match=said):
        read_state(tmp_path)


def test_the_data_of_one_broker_are_not_taken_for_three(tmp_path: Path) -> None:
    write_state(tmp_path, State(VERSION, Shape(), {"kafka-1": Mark(1, 2), "redis": Mark(3)}))

    with pytest.raises(StackFailed, match=r"holds 1 broker, 12 partitions, Redis; wanted is 3 brokers"):
        Stack(tmp_path, brokers=3)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with closing(socket.create_server((HOST, 0))) as other:
        port = other.getsockname()[1]

        with pytest.raises(StackFailed, match=f"port {port} on {HOST}, wanted for redis, is in use"):
            Stack(tmp_path, kafka=False, redis_port=port).up()


def test_free_ports_lie_outside_those_lent_to_clients() -> None:
    """Else a client that knocks at a dead broker may connect to itself."""
    lent_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if lent_from < 14_000:
        pytest.skip(f"this system lends all ports from {lent_from} on to clients")

    assert all(free_port() < lent_from for _ in range(20))


def test_a_missing_java_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_JARS", str(tmp_path / "jars"))
    jars().mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StackFailed, match=r"Java 17 or later, and `java` is not installed: make system"):
        Stack(tmp_path / "stack", redis=False).up()


def test_a_missing_redis_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StackFailed, match=r"redis-server is not installed: make system"):
        Stack(tmp_path / "stack", kafka=False).up()


@pytest.mark.parametrize(
    ("script", "said"), [(None, "Maven.* is not installed"), ("echo no such host >&2; exit 1", "no such host")]
)
def test_without_the_jars_and_a_working_maven_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, said: str
) -> None:
    monkeypatch.setenv("MIEN_JARS", str(tmp_path / "jars"))
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        (tmp_path / "mvn").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "mvn").chmod(0o755)

    with pytest.raises(StackFailed, match=said):
        bring_jars()
    assert not jars().exists()


def test_a_server_that_dies_takes_the_others_along_and_shows_its_log(tmp_path: Path) -> None:
    require("redis")
    stack = Stack(tmp_path, kafka=False, replica=True, redis_config={"no-such-setting": "1"})

    with pytest.raises(StackFailed, match=r"(?s)redis ended while it started.*no-such-setting"):
        stack.up()

    assert not any(server.is_running() for server in stack.processes.values())


def test_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    require("redis")
    pids: list[int] = []

    def interrupt(line: str) -> None:
        if line.startswith("waiting"):
            pids.extend(server.pid or 0 for server in stack.processes.values())
            raise KeyboardInterrupt

    stack = Stack(tmp_path, kafka=False, say=interrupt)
    with pytest.raises(KeyboardInterrupt):
        stack.up()

    assert pids
    assert [start_time(pid) for pid in pids] == [None]


def test_down_keeps_data_and_port_and_up_finds_both(redis_stack: Stack) -> None:
    port = redis_stack.processes["redis"].port
    assert ask(port, "SET key value") == "+OK"

    redis_stack.down()
    again = Stack.found(redis_stack.folder)
    assert again is not None
    assert not again.is_up()
    again.up()

    assert again.redis_url == redis_stack.redis_url
    assert ask(port, "GET key") == "value"
    again.down()


def test_up_leaves_a_running_server_alone(redis_stack: Stack) -> None:
    pid = redis_stack.processes["redis"].pid

    second = Stack(redis_stack.folder, kafka=False).up()

    assert second.processes["redis"].pid == pid
    with pytest.raises(StackFailed, match="is up already"):
        second.__enter__()
    assert second.is_up()


def test_a_frozen_server_runs_but_does_not_answer(redis_stack: Stack) -> None:
    server = redis_stack.processes["redis"]

    server.stop()
    assert server.is_running()
    assert server.is_stopped()
    assert "timed out" in server.problem()
    server.cont()

    assert server.problem() == ""
    assert not server.is_stopped()


def test_a_frozen_server_can_be_taken_down(redis_stack: Stack) -> None:
    redis_stack.processes["redis"].stop()

    begun = time.monotonic()
    redis_stack.down()

    assert not redis_stack.is_up()
    assert time.monotonic() - begun < 5  # s; it ends when asked, no grace has to run out


def test_purge_removes_what_is_ours_and_nothing_else(redis_stack: Stack) -> None:
    (redis_stack.folder / "letter.txt").write_text("mine")

    redis_stack.down(purge=True)

    assert [each.name for each in redis_stack.folder.iterdir()] == ["letter.txt"]


def test_a_replica_follows_and_its_loss_stops_writes_where_asked(tmp_path: Path) -> None:
    require("redis")
    with Stack(tmp_path, kafka=False, replica=True, min_replicas=1) as stack:
        primary, replica = stack.processes["redis"], stack.processes["redis-replica"]

        assert ask(primary.port, "SET key value") == "+OK"
        assert within_10_s(lambda: ask(replica.port, "GET key") == "value")

        replica.kill()
        assert within_10_s(lambda: ask(primary.port, "SET key other").startswith("-NOREPLICAS"))


def test_redis_never_evicts_and_listens_on_loopback_alone(redis_stack: Stack) -> None:
    port = redis_stack.processes["redis"].port

    said = {
        key: ask(port, f"CONFIG GET {key}").split("\r\n")[-1] for key in ("maxmemory-policy", "bind", "appendfsync")
    }

    assert said == {"maxmemory-policy": "noeviction", "bind": HOST, "appendfsync": "everysec"}


def test_data_of_faces_are_for_their_owner_alone(redis_stack: Stack) -> None:
    assert (redis_stack.folder.stat().st_mode & 0o777) == 0o700


def test_status_shows_what_is_down_and_fails(redis_stack: Stack) -> None:
    folder = ["--folder", str(redis_stack.folder)]

    well = CliRunner().invoke(app, ["status", *folder])
    redis_stack.processes["redis"].kill()
    ill = CliRunner().invoke(app, ["status", *folder])

    assert (well.exit_code, ill.exit_code) == (0, 1)
    assert "answers" in well.output
    assert "not running" in ill.output


def test_the_command_starts_again_what_it_ended(redis_stack: Stack) -> None:
    folder = ["--folder", str(redis_stack.folder)]

    ended = CliRunner().invoke(app, ["down", *folder])
    begun = CliRunner().invoke(app, ["up", *folder])

    assert ended.output.startswith("ended redis; the data stay")
    assert begun.exit_code == 0, begun.output
    assert f"MIEN_REDIS_URL={redis_stack.redis_url}" in begun.output
    assert CliRunner().invoke(app, ["down", *folder]).output.startswith("ended redis")


def test_the_id_of_a_cluster_never_begins_like_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([uuid.UUID(bytes=bytes([first]) + bytes(15)) for first in (0xF8, 0xFB, 0x41)])
    monkeypatch.setattr("mien.stack.kafka.uuid.uuid4", lambda: next(drawn))

    assert cluster_id() == "QQAAAAAAAAAAAAAAAAAAAA"
