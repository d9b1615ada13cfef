"""A child process under limits: what it may not take, and that it serves again afterwards."""

import os
from collections.abc import Iterator

import pytest

from runtime.limits import Confined, Exceeded, Failed

MIB = 1 << 20


def work(request: bytes) -> Iterator[bytes]:
    """Do what the request names; runs in the child."""
    match request.split():
        case [b"echo", word]:
            yield word
        case [b"take", mib]:
            yield b"%d" % len(bytearray(int(mib) * MIB))
        case [b"send", mib]:
            yield bytes(int(mib) * MIB)
        case [b"die"]:
            os.abort()
        case [b"print"]:
            os.write(2, b"a library's own line\n")
            yield b""
        case [b"hang"]:
            import time

            time.sleep(600)
        case _:
            raise ValueError("no such work")


@pytest.fixture
def child() -> Iterator[Confined]:
    confined = Confined(f"{__name__}:work")
    yield confined
    confined.close()


def ask(child: Confined, request: bytes, *, time_s: float = 20.0) -> bytes:
    return bytes(child.ask(request, memory=64 * MIB, most=16 * MIB, time_s=time_s))


def test_work_is_done_in_one_child_after_the_other_request(child: Confined) -> None:
    assert [ask(child, b"echo a"), ask(child, b"echo b"), ask(child, b"take 20")] == [b"a", b"b", b"%d" % (20 * MIB)]


@pytest.mark.parametrize("request_", [b"take 500", b"send 32", b"die"])
def test_what_takes_too_much_is_refused_and_the_next_request_is_served(child: Confined, request_: bytes) -> None:
    with pytest.raises(Exceeded):
        ask(child, request_)

    assert ask(child, b"echo again") == b"again"


def test_work_that_hangs_is_ended(child: Confined) -> None:
    ask(child, b"echo warm")

    with pytest.raises(Exceeded, match="time"):
        ask(child, b"hang", time_s=0.3)


def test_an_error_of_the_work_comes_as_its_text(child: Confined) -> None:
    with pytest.raises(Failed, match="no such work"):
        ask(child, b"")


def test_what_libraries_print_stays_in_the_child(child: Confined, capfd: pytest.CaptureFixture[str]) -> None:
    ask(child, b"print")

    assert capfd.readouterr() == ("", "")
