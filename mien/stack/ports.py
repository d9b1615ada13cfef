"""Ports on the loopback interface."""

import random
import socket
from collections.abc import Collection
from pathlib import Path

from contract.errors import StackFailed

HOST = "127.0.0.1"
LOWEST = 12_000


def is_free(port: int) -> bool:
    """Could a server listen on this port of the loopback interface?"""
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the servers do: a connection in TIME_WAIT is fine
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(taken: Collection[int] = ()) -> int:
    """A free port below those that the system lends to clients.

    A client that knocks at a dead server's port can be lent that very port, is then connected to itself, and keeps the
    server from starting again.

    Raises:
        StackFailed: none was found in 200 attempts.
    """
    lent_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    highest = lent_from if lent_from > LOWEST + 1000 else 65_536
    for _ in range(200):
        port = random.SystemRandom().randrange(LOWEST, highest)
        if port not in taken and is_free(port):
            return port
    raise StackFailed(f"no free port between {LOWEST} and {highest} on {HOST} in 200 attempts")
