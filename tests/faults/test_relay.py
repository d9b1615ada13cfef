import socket
import threading
import time

import pytest

from bench.faults.relay import DOWN, Relay


@pytest.fixture
def echo():
    """A server that answers every piece with itself; its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while piece := connection.recv(65536):
                    connection.sendall(piece)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def relay(echo):
    with Relay("127.0.0.1", echo) as relay:
        yield relay


def connected(relay: Relay) -> socket.socket:
    return socket.create_connection(("127.0.0.1", relay.port), timeout=2)


def is_broken(client: socket.socket) -> bool:
    try:
        client.sendall(b"hello")
        return not client.recv(100)
    except OSError:
        return True


def test_it_hands_on_both_ways(relay) -> None:
    with connected(relay) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"


def test_answers_wait_while_one_direction_is_paused(relay) -> None:
    with connected(relay) as client:
        relay.faults.pause = {DOWN}
        client.sendall(b"hello")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(100)
        relay.faults.pause = set()
        client.settimeout(2)
        assert client.recv(100) == b"hello"


def test_a_delay_delays(relay) -> None:
    relay.faults.delay_s = 0.1
    with connected(relay) as client:
        begun = time.monotonic()
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        assert time.monotonic() - begun >= 0.2  # once each way


def test_a_connection_is_cut_after_so_many_bytes(relay) -> None:
    relay.faults.cut_after = 3
    with connected(relay) as client:
        client.sendall(b"hello")
        seen = b""
        try:
            while piece := client.recv(100):
                seen += piece
        except ConnectionResetError:
            pass
        assert b"hello".startswith(seen)
        assert len(seen) <= 3


def test_one_byte_of_a_garbled_piece_differs(relay) -> None:
    relay.faults.garble = 1.0
    with connected(relay) as client:
        client.sendall(bytes(100))
        answer = client.recv(1000)
        assert 1 <= sum(byte != 0 for byte in answer) <= 2  # one each way


def test_reset_breaks_what_is_open_and_lets_new_ones_in(relay) -> None:
    with connected(relay) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        relay.reset()
        assert is_broken(client)
    with connected(relay) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"


def test_who_is_refused_gets_nothing(relay) -> None:
    relay.faults.refuse = True
    with connected(relay) as client:
        assert is_broken(client)
