"""Real Kafka and Redis: of ours, or at $MIEN_KAFKA_BOOTSTRAP and $MIEN_REDIS_URL."""

from pathlib import Path

import pytest

from tests.servers import bootstrap, fresh_redis, redis_server, redis_url, stack, topic

__all__ = ["bootstrap", "fresh_redis", "redis_server", "redis_url", "stack", "topic"]
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder carries the mark `integration`."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("integration")
