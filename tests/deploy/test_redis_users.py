"""The users that the manifests give to the services: each can do its work on a real Redis, and nothing else."""

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import redis
import yaml

from contract.errors import BadStore
from deploy.check.tools import KUBERNETES
from ingest.past import RedisPast
from query.store.redis import RedisReader
from tests.components import require
from tests.worker.examples import SCHEMA, a_point, an_opening
from worker.store.redis import RedisStore
from worker.store.redis.server import SAFE_SINCE

BASE = KUBERNETES / "base" / "redis"


class Server(NamedTuple):
    port: int
    passwords: Path

    def url(self, user: str) -> str:
        return f"redis://{user}:{(self.passwords / user).read_text()}@127.0.0.1:{self.port}/0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis under the configuration of the manifests, but for the paths and the port."""
    require("redis")
    folder = tmp_path_factory.mktemp("redis")
    subprocess.run([BASE / "users.sh", folder / "users"], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = (BASE / "redis.conf").read_text()
    changes = {
        "dir /data": f"dir {folder}",
        "aclfile .*": f"aclfile {folder}/users/users.acl",
        "bind .*": "bind 127.0.0.1",
        "port .*": f"port {port}",
    }
    for pattern, line in changes.items():
        text, count = re.subn(f"^{pattern}$", line, text, flags=re.MULTILINE)
        assert count == 1
    (folder / "redis.conf").write_text(text)
    with subprocess.Popen(["redis-server", folder / "redis.conf"], stdout=subprocess.DEVNULL) as process:
        found = Server(port, folder / "users")
        _wait(redis.Redis.from_url(found.url("admin")))
        yield found
        process.terminate()


def _wait(client: redis.Redis) -> None:
    for _ in range(100):
        try:
            client.ping()
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("redis-server does not answer")


def test_a_worker_commits_what_query_and_ingest_read(server: Server) -> None:
    store = RedisStore(server.url("worker"), partitions=1)
    lease = store.take("log", 0)
    entries = [an_opening(), a_point(1)]
    done = store.commit("log", 0, epoch=lease.epoch, previous_offset=0, next_offset=2, entries=entries, schema=SCHEMA)
    assert done.name == "APPLIED"
    store.close()
    past = RedisPast(server.url("ingest"), partitions=1)
    assert past("cam", "s1").high_water == 1
    past.close()
    reader = RedisReader(server.url("query"))
    with reader.snapshot() as snapshot:
        assert [session.source for session in snapshot.sessions()] == ["cam"]
        assert [person.id for person in snapshot.people(None, None)] == ["ann"]
        assert len(list(snapshot.points("ann", 0, 1 << 62))) == 1
    reader.close()


@pytest.mark.parametrize("user", ["ingest", "query"])
def test_who_only_reads_cannot_write(server: Server, user: str) -> None:
    client = redis.Redis.from_url(server.url(user))
    for command in (
        ("SET", "mien:{0}:position", "x"),
        ("DEL", "mien:{0}:position"),
        ("FCALL", "mien_commit_v1", 0),
        ("FUNCTION", "FLUSH"),
        ("CONFIG", "GET", "requirepass"),
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("GET", "other"),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command)
    with pytest.raises(BadStore):
        RedisStore(server.url(user), partitions=1).take("log", 0)


def test_a_worker_reaches_no_keys_but_ours_and_no_settings(server: Server) -> None:
    client = redis.Redis.from_url(server.url("worker"))
    for command in (("SET", "other", "x"), ("FLUSHALL",), ("CONFIG", "SET", "dir", "/tmp"), ("ACL", "LIST"), ("SAVE",)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command)


def test_a_second_redis_can_follow_the_first(server: Server, tmp_path: Path) -> None:
    password = (server.passwords / "replica").read_text()
    link = ["--replicaof", "127.0.0.1", str(server.port), "--masteruser", "replica", "--masterauth", password]
    command = [
        "redis-server",
        "--port",
        "0",
        "--unixsocket",
        f"{tmp_path}/s",
        "--dir",
        str(tmp_path),
        "--save",
        "",
        *link,
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        client = redis.Redis(unix_socket_path=f"{tmp_path}/s")
        _wait(client)
        for _ in range(200):
            if client.info("replication")["master_link_status"] == "up":
                break
            time.sleep(0.05)
        assert client.info("replication")["master_link_status"] == "up"
        process.terminate()
    stranger = redis.Redis.from_url(server.url("replica"))
    with pytest.raises(redis.exceptions.NoPermissionError):
        stranger.execute_command("GET", "mien:{0}:position")


def test_nobody_comes_in_without_a_password(server: Server) -> None:
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=server.port).ping()


def test_a_second_run_of_the_script_keeps_passwords_and_renews_what_was_deleted(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run([BASE / "users.sh", tmp_path], check=True)
    before = {file.name: file.read_text() for file in tmp_path.iterdir()}
    (tmp_path / "query").unlink()
    subprocess.run([BASE / "users.sh", tmp_path], check=True)
    after = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"query", "users.acl"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.iterdir())
    assert all(before[name] not in before["users.acl"] for name in before if name != "users.acl")


@pytest.mark.parametrize("overlay", ["dev-cpu", "production"])
def test_the_redis_of_the_overlays_has_no_known_hole(overlay: str) -> None:
    images = yaml.safe_load((KUBERNETES / "overlays" / overlay / "kustomization.yaml").read_text())["images"]
    (tag,) = (image["newTag"] for image in images if image["name"] == "redis")
    major, minor, patch = map(int, tag.partition("-")[0].split("."))
    assert patch >= SAFE_SINCE[major, minor]
