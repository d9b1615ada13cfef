"""Servers that a test may freeze and kill."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from mien.stack import Stack
from tests.servers import fresh_redis, redis_server, stack  # it also passes kafka-python's warnings at its import

if TYPE_CHECKING:
    from bench.faults.setting import Stacks

__all__ = ["fresh_redis", "redis_server", "stack"]


@pytest.fixture(scope="session")
def stacks(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Stacks"]:
    """The stack that all tests share, and others by shape where a case needs them."""
    from bench.faults.setting import Stacks

    with Stacks(tmp_path_factory.mktemp("stacks"), given=stack) as made:
        yield made
