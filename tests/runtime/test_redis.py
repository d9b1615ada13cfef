import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis import exceptions

from contract.errors import BadRequest, BadStore, StoreUnavailable
from runtime.redis import NotPermitted, RedisAccess, client, is_passing, translated
from runtime.redis_address import UNREADABLE, shown
from tests.components import require
from tests.worker.store.own_redis import OwnRedis

CANARY = "canary7"
NO_ACCESS = RedisAccess()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnRedis]:
    """A server of this test alone."""
    require("redis")
    server = OwnRedis(tmp_path)
    yield server
    server.kill()


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://", "redis://localhost"),
        ("rediss://me:canary7@redis.example/2", "rediss://redis.example/2"),
        ("redis://me:can%2Fary7@[::1]:7000", "redis://[::1]:7000"),
        ("redis://:pa@canary7@host", "redis://host"),
        ("redis://host?password=canary7&db=3", "redis://host?db=3"),
        ("unix://me:canary7@/run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
    ],
)
def test_a_clear_address_is_shown_without_its_secrets(address: str, wanted: str) -> None:
    assert shown(address) == wanted


def test_a_password_appears_nowhere_whatever_stands_in_it() -> None:
    marks = ["", "/", "#", "@", "?", ":", "//", "/#", "@/", "#@", "?@", "12/", "0#", "[", "]", "%", "db=", "/0?"]
    for (before, after), place in itertools.product(
        itertools.product(marks, marks), ("redis://:{}@localhost", "redis://me:{}@h:7/1", "unix://:{}@/run/r.sock")
    ):
        address = place.format(before + CANARY + after)
        assert CANARY not in shown(address), address
        assert CANARY not in _outcome(address), address


def _outcome(address: str) -> str:
    """What is printed of the address where a client is made of it."""
    try:
        client(address, connect_s=1, answer_s=1, access=NO_ACCESS).close()
    except BadRequest as refusal:
        return f"{refusal} {refusal.__cause__} {refusal.__context__}"
    return ""


@pytest.mark.parametrize(
    "address",
    [
        "redis://me:ge/heim@host",
        "redis://:12/34canary@localhost",
        "redis://me:geheim@host:many",
        "redis://:a#b@host",
        "http://me:geheim@host",
        "redis://host/eins",
        "unix://",
        "nonsense",
    ],
)
def test_an_address_of_unclear_parts_is_refused(address: str) -> None:
    assert shown(address) == UNREADABLE
    with pytest.raises(BadRequest, match="no address of Redis"):
        client(address, connect_s=1, answer_s=1, access=NO_ACCESS)


def test_the_environment_states_who_we_are(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")

    access = RedisAccess.found({"MIEN_REDIS_USER": "worker", "MIEN_REDIS_PASSWORD_FILE": str(secret)})

    assert (access.user, access.password_file) == ("worker", secret)
    assert RedisAccess.found({"MIEN_REDIS_PASSWORD": CANARY}).password == CANARY
    assert CANARY not in repr(RedisAccess.found({"MIEN_REDIS_PASSWORD": CANARY}))
    assert RedisAccess.found({}) == NO_ACCESS
    with pytest.raises(BadRequest, match=r"MIEN_REDIS_CA is /nowhere; wanted a file"):
        RedisAccess.found({"MIEN_REDIS_CA": "/nowhere"})


@pytest.mark.integration
def test_a_password_in_a_file_may_be_replaced_while_we_run(own: OwnRedis, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("first\n")
    admin = own.client()
    admin.execute_command("ACL", "SETUSER", "worker", "on", ">first", "+@all", "~*")
    asked = client(own.url, connect_s=2, answer_s=2, access=RedisAccess(user="worker", password_file=secret))
    assert asked.execute_command("ACL", "WHOAMI") == b"worker"

    admin.execute_command("ACL", "SETUSER", "worker", "resetpass", ">second")
    asked.connection_pool.disconnect()
    with pytest.raises(BadStore, match="refuses our user or password"), translated("redis://x"):
        asked.ping()
    secret.write_text("second\n")
    assert asked.ping()

    secret.unlink()
    asked.connection_pool.disconnect()
    with pytest.raises(BadStore), translated("redis://x"):
        asked.ping()


@pytest.mark.integration
def test_the_password_of_the_address_wins_over_the_environment(own: OwnRedis) -> None:
    own.client().execute_command("ACL", "SETUSER", "worker", "on", ">right", "+@all", "~*")
    stated = RedisAccess(user="other", password="wrong")

    asked = client(f"unix://worker:right@{own.socket}", connect_s=2, answer_s=2, access=stated)

    assert asked.execute_command("ACL", "WHOAMI") == b"worker"


def test_tls_files_go_to_the_client(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("-")

    made = client("rediss://host", connect_s=1, answer_s=1, access=RedisAccess(ca_file=ca))
    plain = client("redis://host", connect_s=1, answer_s=1, access=RedisAccess(ca_file=ca))

    assert made.connection_pool.connection_class is redis.SSLConnection
    assert made.connection_pool.connection_kwargs["ssl_ca_certs"] == os.fspath(ca)
    assert "ssl_ca_certs" not in plain.connection_pool.connection_kwargs


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.AuthenticationError("WRONGPASS"), BadStore),
        (exceptions.NoPermissionError("no"), NotPermitted),
        (exceptions.ConnectionError("refused"), StoreUnavailable),
        (exceptions.TimeoutError("late"), StoreUnavailable),
        (ConnectionResetError("cut"), StoreUnavailable),
        (exceptions.BusyLoadingError("LOADING"), StoreUnavailable),
        (exceptions.OutOfMemoryError("OOM"), StoreUnavailable),
        (exceptions.ReadOnlyError("READONLY"), StoreUnavailable),
        (exceptions.ResponseError("MISCONF no disk"), StoreUnavailable),
        (exceptions.ResponseError("Command # 1 (HMGET) of pipeline caused error: BUSY a script"), StoreUnavailable),
        (exceptions.ResponseError("WRONGTYPE of a key"), BadStore),
        (exceptions.DataError("a dict"), BadStore),
    ],
)
def test_every_error_of_redis_is_one_of_ours(error: Exception, kind: type[BadStore]) -> None:
    with pytest.raises(kind) as raised, translated("redis://host"):
        raise error

    assert type(raised.value) is kind
    assert str(raised.value).startswith("redis://host: ")
    assert "\n" not in str(raised.value)


def test_what_may_succeed_later_is_told_apart() -> None:
    assert is_passing(exceptions.ResponseError("NOREPLICAS"))
    assert not is_passing(exceptions.ResponseError("ERR unknown command"))
