"""Real Kafka and Redis on this machine, without Docker: for `mien stack`, the tests and the fault harness."""

from mien.stack.process import Server
from mien.stack.stack import Stack

__all__ = ["Server", "Stack"]
