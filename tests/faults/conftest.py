"""Servers for the tests of the oracle."""

from tests.servers import fresh_redis, redis_server  # also passes kafka-python's warnings at its import

__all__ = ["fresh_redis", "redis_server"]
