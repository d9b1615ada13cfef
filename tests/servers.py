"""Real Kafka and Redis for tests. A conftest imports the fixtures that its folder uses:

from tests.servers import bootstrap, redis_server, redis_url, stack, topic  # noqa: F401

However many folders do so, a run starts each server once, when the first test asks, and ends it with the run.
"""

import functools
import os
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from contract.errors import StackFailed
from mien.stack import Stack
from mien.stack.jars import bring_jars
from mien.stack.kafka import admin
from mien.stack.redis import ask
from tests.components import missing, require

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0.12 reads its schemas in an old way
    import kafka.admin  # noqa: F401

MakeTopic = Callable[..., str]
DATABASES = 16  # what a redis-server has unless told otherwise


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> Stack:
    """One Kafka broker and one Redis of ours, whose processes a test may freeze and kill; it leaves them running."""
    require("kafka")
    require("redis")
    try:
        bring_jars()
    except StackFailed as error:  # no network, most likely
        missing(str(error))
    return _started(_kafka_and_redis, pytestconfig)


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> Stack:
    """A Redis of ours alone, up in 30 ms: `.redis_url`, and `.processes["redis"]` to be killed and started."""
    require("redis")
    return _started(_redis_alone, pytestconfig)


@pytest.fixture
def fresh_redis(redis_server: Stack) -> str:
    """The address of the Redis of ours, emptied: no keys, no functions."""
    empty_redis(redis_server)
    return redis_server.redis_url


@pytest.fixture(scope="session")
def bootstrap(request: pytest.FixtureRequest) -> str:
    """Where Kafka answers: $MIEN_KAFKA_BOOTSTRAP, or a broker of ours."""
    given = os.environ.get("MIEN_KAFKA_BOOTSTRAP")
    return given or request.getfixturevalue("stack").bootstrap


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database: an unused one of $MIEN_REDIS_URL, emptied again after the test, or a Redis of ours."""
    given = os.environ.get("MIEN_REDIS_URL")
    if not given:
        stack = request.getfixturevalue("stack")
        empty_redis(stack)
        yield stack.redis_url
        return
    from redis import Redis

    for number in reversed(range(DATABASES)):
        url = urlsplit(given)._replace(path=f"/{number}").geturl()
        with closing(Redis.from_url(url)) as client:
            if client.dbsize() == 0:
                yield url
                client.flushdb()
                return
    pytest.fail(f"all {DATABASES} databases of MIEN_REDIS_URL hold keys; the tests want an empty one")


@pytest.fixture
def topic(bootstrap: str) -> Iterator[MakeTopic]:
    """Makes a topic with its own name, gone after the test: `topic(partitions=2, config={"retention.ms": "1"})`."""
    made: list[str] = []

    def make(partitions: int = 1, config: dict[str, str] | None = None, copies: int = 1) -> str:
        made.append(make_topic(bootstrap, partitions, config, copies))
        return made[-1]

    yield make
    if made:
        with closing(admin(bootstrap)) as client:
            client.delete_topics(made, raise_errors=False)  # a test may have deleted it


def make_topic(bootstrap: str, partitions: int = 1, config: dict[str, str] | None = None, copies: int = 1) -> str:
    """A new topic with a name that no other has."""
    from kafka.admin import NewTopic

    name = f"test.{uuid.uuid4().hex[:12]}"
    with closing(admin(bootstrap)) as client:
        client.create_topics([NewTopic(name, partitions, copies, topic_configs=config or {})], wait_for_metadata=True)
    return name


def empty_redis(stack: Stack) -> None:
    """Leave no keys and no functions in a Redis of ours."""
    port = stack.processes["redis"].port
    for command in ("FLUSHALL", "FUNCTION FLUSH", "SCRIPT FLUSH"):
        reply = ask(port, command)
        assert reply == "+OK", f"{command}: {reply}"


def _started(start: Callable[[], Stack], config: pytest.Config) -> Stack:
    """The stack, which ends with the run; the same for every conftest that imports the fixture."""
    fresh = not start.cache_info().currsize  # type: ignore[attr-defined]
    stack = start()
    if fresh:
        config.add_cleanup(lambda: stack.__exit__(None, None, None))
    return stack


@functools.cache
def _kafka_and_redis() -> Stack:
    return Stack().__enter__()


@functools.cache
def _redis_alone() -> Stack:
    return Stack(kafka=False).__enter__()
