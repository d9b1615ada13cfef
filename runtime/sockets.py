"""Sockets that servers listen on."""

import socket

from contract.errors import BadRequest

BACKLOG = 128  # connections that wait to be accepted


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a TCP socket that listens on this address; port 0: any free one.

    It is made with IPPROTO_TCP by name: asyncio sets TCP_NODELAY only on connections of such sockets, and without it
    every answer on a kept-alive connection waits 40 ms for a delayed acknowledgement. `socket.create_server` leaves
    the protocol at 0.

    Raises:
        BadRequest: the address is not one of this machine, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise BadRequest(f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port") from error
    return listening
