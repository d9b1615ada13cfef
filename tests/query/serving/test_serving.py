"""The server on a real socket: what it does for clients that are slow, many or silent."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from contract.errors import BadRequest
from query.listen import Listen
from query.serving import HttpServer
from query.serving.limits import Limits
from tests.query.stores import SECOND, StoreFile, every_frame, shares

Serve = Callable[..., HttpServer]


@pytest.fixture
def serve(file_store: StoreFile) -> Iterator[Serve]:
    servers: list[HttpServer] = []

    def start(**limits: float) -> HttpServer:
        servers.append(HttpServer(file_store.path, Listen(port=0), Limits(**limits)))  # type: ignore[arg-type]
        until(lambda: servers[-1].is_ready)
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


def connected(server: HttpServer) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def asked(server: HttpServer, path: str = "/healthz") -> int:
    client = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    client.request("GET", path)
    status = client.getresponse().status
    client.close()
    return status


def all_of(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_answers_on_a_kept_connection_are_sent_at_once(serve: Serve) -> None:
    accepted = []

    server = serve()
    plain = server._server.config.http_protocol_class
    made = plain.connection_made

    def connection_made(self, transport) -> None:
        accepted.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(self, transport)

    plain.connection_made = connection_made
    assert asked(server) == 200
    assert accepted
    assert all(accepted)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHo",  # behind a whole one
    ],
)
def test_half_a_request_is_let_go_after_a_while(serve: Serve, sent: bytes) -> None:
    server = serve(request_s=0.3)
    with connected(server) as connection:
        connection.sendall(sent)

        answer = all_of(connection)  # it ends: the server closes

    assert server.limits.refused["late"] == 1
    if sent.startswith(b"GET"):
        assert answer.rpartition(b"HTTP/1.1 ")[2].startswith(b"408")


def test_who_drips_a_request_does_not_move_its_deadline(serve: Serve) -> None:
    server = serve(request_s=0.5)
    with connected(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        with pytest.raises(OSError):  # noqa: PT012 - one of the drops meets a closed connection
            for drop in range(1_000):
                connection.sendall(b"X-Drop: %d\r\n" % drop)
                time.sleep(0.02)
    assert server.limits.refused["late"] == 1


def test_slow_clients_leave_room_for_the_others(serve: Serve) -> None:
    server = serve(request_s=0.5, connections=20)
    slow = [connected(server) for _ in range(60)]
    for connection in slow:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
    until(lambda: server.limits.refused["connections"] >= 40)

    until(lambda: asked(server) == 200)  # once those that wait have had their time

    for connection in slow:
        connection.close()


def test_who_does_not_read_is_cut(serve: Serve, file_store: StoreFile) -> None:
    file_store.session(complete_until=4_000 * SECOND)
    file_store.person("p", every_frame(100_000), shares(100_000))
    server = serve(stall_s=0.3)
    with connected(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.sendall(b"GET /v1/people/p/timeline?format=csv HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: server.limits.refused["stalled"] == 1)
    assert asked(server) == 200


def test_a_stream_that_breaks_is_seen_to_be_broken(serve: Serve, file_store: StoreFile) -> None:
    file_store.session(complete_until=8_000 * SECOND)
    file_store.person("p", every_frame(200_000), shares(200_000))
    file_store.execute("UPDATE chunks SET points = x'0102' WHERE chunk = 130")  # behind what is read at once
    client = http.client.HTTPConnection(serve().url.removeprefix("http://"), timeout=20)

    client.request("GET", "/v1/people/p/timeline?format=csv")
    answer = client.getresponse()

    assert answer.status == 200  # it had begun
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    answer.close()
    client.close()


def test_what_is_no_http_is_answered_with_a_problem(serve: Serve) -> None:
    server = serve()
    with connected(server) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        head, _, body = all_of(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["type"] == "urn:mien:problem:malformed"
    assert server.limits.refused["malformed"] == 1


STARVED = """
import resource, socket, sys, threading, time
resource.setrlimit(resource.RLIMIT_NOFILE, (70, 70))
from query.listen import Listen
from query.serving import HttpServer
from query.serving.limits import Limits
server = HttpServer(sys.argv[1], Listen(port=0), Limits(connections=1_000))
while not server.is_ready:
    time.sleep(0.02)
port = int(server.url.rpartition(":")[2])
print(port, flush=True)
sys.stdin.readline()
print(server.limits.refused["descriptors"] > 0, flush=True)
server.close()
"""


def test_descriptors_that_the_system_does_not_give_are_counted_and_not_logged_each(file_store: StoreFile) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", STARVED, str(file_store.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    port = int(child.stdout.readline())
    many = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(100)]
    time.sleep(2.5)  # asyncio tries again every second
    for connection in many:
        connection.close()

    out, log = child.communicate("\n", timeout=30)

    assert out.strip() == "True"
    assert len(log.splitlines()) <= 3
    assert "Traceback" not in log


def test_a_taken_port_is_one_line(serve: Serve) -> None:
    port = int(serve().url.rpartition(":")[2])
    with pytest.raises(BadRequest, match=f"cannot listen on 127.0.0.1:{port}"):
        HttpServer("nothing.db", Listen(port=port))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["redis://u:p@h:1x/0"], "no address of Redis"),
        (["missing.db"], "no store there"),
        (["missing.db", "--host", "0.0.0.0"], "--insecure"),
    ],
)
def test_a_service_that_cannot_start_says_why_in_one_line(arguments: list[str], says: str) -> None:
    for name in ("query", "mien"):
        command = [sys.executable, "-m", name, *(["serve"] if name == "mien" else []), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert says in done.stderr
        assert "u:p" not in done.stderr
