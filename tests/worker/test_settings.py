from typing import Any

import pytest

from contract.errors import BadRequest
from worker.reading.poison import Limits
from worker.settings import BOOTSTRAP_VARIABLE, REDIS_VARIABLE, WorkerSettings, addresses

WHERE = {"bootstrap": "kafka-1:9092,[::1]:9092", "redis": "redis://:secret@store:6379/0"}


def test_defaults_are_sound() -> None:
    settings = WorkerSettings(**WHERE)

    assert settings.on_expired == "stop"
    assert not settings.adopt_logs
    assert settings.health_host == "127.0.0.1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bootstrap": ""}, "bootstrap servers ''; wanted host:port"),
        ({"bootstrap": "kafka"}, "wanted host:port"),
        ({"bootstrap": "kafka:9092,other"}, "wanted host:port"),
        ({"bootstrap": "kafka:99999"}, "wanted host:port"),
        ({"redis": "http://:secret@store"}, "wanted redis://, rediss:// or unix://"),
        ({"batch_size": 0}, "batch_size is 0; wanted 1 to 1024"),
        ({"wait_s": -1.0}, "wait_s is -1; wanted 0.001 to 10"),
        ({"wait_s": float("nan")}, "wait_s is nan"),
        ({"session_s": 1.0}, "session_s is 1; wanted 6 to 300"),
        ({"limits": Limits(share=1.5)}, "limits.share is 1.5; wanted 0 to 1"),
        ({"limits": Limits(consecutive=0)}, "limits.consecutive is 0"),
        ({"on_expired": "earliest"}, "on_expired is 'earliest'; wanted stop or skip"),
        ({"retention_s": 0}, "retention_s is 0; wanted 1 or more"),
        ({"health_port": 70_000}, "health_port is 70000; wanted 0 to 65535"),
    ],
)
def test_a_bad_value_is_one_clear_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words) as error:
        WorkerSettings(**{**WHERE, **changes})

    assert "secret" not in str(error.value)


def test_options_go_before_the_environment() -> None:
    environment = {BOOTSTRAP_VARIABLE: "env:1", REDIS_VARIABLE: "redis://env"}

    assert addresses(environment, None, None) == ("env:1", "redis://env")
    assert addresses(environment, "option:1", None) == ("option:1", "redis://env")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "no --bootstrap and no MIEN_KAFKA_BOOTSTRAP"),
        ({BOOTSTRAP_VARIABLE: "a:1"}, "no --redis and no MIEN_REDIS_URL"),
    ],
)
def test_an_address_that_nobody_gives_is_asked_for(environment: dict[str, str], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        addresses(environment, None, None)
