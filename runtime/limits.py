"""Work on input that may ask for too much, done in a child process under a limit of memory and time.

A parser of our own may be misled, and a library may crash: what the child does can cost no more than the child.
It is started at the first request, serves one after the other, and is started anew when it died.
"""

import atexit
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from select import select
from typing import IO

_REQUEST = struct.Struct("<QQ")  # bytes of memory, bytes that follow
_REPLY = struct.Struct("<BQ")  # 0: done, 1: refused; bytes that follow
_STARTED = 30.0  # s that the child's imports may take
_BLOCK = 1 << 20


class Exceeded(Exception):
    """The work took more memory or time than it may, or ended the child. Internal: callers name the input."""


class Failed(Exception):
    """The work raised an error, whose text this is. Internal."""


class Confined:
    """One child process that does one kind of work. Requests of several threads follow one another.

    Args:
        work: «module:function» of a function from bytes (the request) to an iterator of bytes (the reply in pieces).
    """

    def __init__(self, work: str) -> None:
        self._work = work
        self._child: subprocess.Popen[bytes] | None = None
        self._one_by_one = threading.Lock()
        atexit.register(self.close)

    def ask(self, request: bytes, *, memory: int, most: int, time_s: float) -> bytearray:
        """What the work makes of a request.

        Args:
            request: handed to the function.
            memory: bytes that the child may take above what it needs to run.
            most: bytes that the reply may have.
            time_s: until the reply is complete.

        Raises:
            Exceeded: it needed more than that, or the child died of it.
            Failed: the function raised an error.
        """
        with self._one_by_one:
            fresh = self._child is None or self._child.poll() is not None
            child = self._start() if fresh else self._child
            assert child is not None
            assert child.stdin is not None
            assert child.stdout is not None
            until = time.monotonic() + time_s + (_STARTED if fresh else 0)
            try:
                child.stdin.write(_REQUEST.pack(memory, len(request)) + request)
                child.stdin.flush()
                refused, size = _REPLY.unpack(_read(child.stdout, _REPLY.size, until))
                if size > most:
                    raise Exceeded(f"more than {most >> 20} MiB")
                reply = _read(child.stdout, size, until)
            except (Exceeded, OSError) as error:
                self._end()
                raise Exceeded(str(error) or type(error).__name__) from error
            if refused:
                raise Failed(reply.decode(errors="backslashreplace"))
            return reply

    def close(self) -> None:
        """End the child."""
        with self._one_by_one:
            self._end()

    def _start(self) -> "subprocess.Popen[bytes]":
        paths = os.pathsep.join(path for path in sys.path if path)
        self._child = subprocess.Popen(
            [sys.executable, "-c", f"from runtime.limits import serve; serve({self._work!r})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libraries print lines of their own
            env=os.environ | {"PYTHONPATH": paths, "PYTHONSAFEPATH": "1"} | _ONE_THREAD,
        )
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what the child did not take any more
                    continue
        child.wait()


_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # each thread's stack would count


def _read(pipe: IO[bytes], size: int, until: float) -> bytearray:
    reply = bytearray(size)
    view, at = memoryview(reply), 0
    while at < size:
        left = until - time.monotonic()
        if left <= 0 or not select([pipe], [], [], left)[0]:
            raise Exceeded("more time than it may")
        got = os.readv(pipe.fileno(), [view[at : at + _BLOCK]])
        if got == 0:
            raise Exceeded("more memory than it may, or it crashed")
        at += got
    return reply


def serve(work: str) -> None:
    """Answer requests on standard input until it ends; what the child process runs."""
    module, name = work.split(":")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    function: Callable[[bytes], Iterator[bytes]] = getattr(import_module(module), name)
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    while head := requests.read(_REQUEST.size):
        memory, size = _REQUEST.unpack(head)
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        try:
            request = requests.read(size)
            resource.setrlimit(resource.RLIMIT_AS, (_address_space() + memory, hard))
            pieces, refused = list(function(request)), 0
        except MemoryError:
            os._exit(1)  # what is half built is not to be trusted
        except Exception as error:  # noqa: BLE001 - the parent names the input
            pieces, refused = [str(error).encode(errors="backslashreplace")], 1
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        replies.write(_REPLY.pack(refused, sum(map(len, pieces))))
        for piece in pieces:
            replies.write(piece)
        replies.flush()
        pieces.clear()


def _address_space() -> int:
    """Bytes of this process's address space; Linux counts RLIMIT_AS in them."""
    with Path("/proc/self/statm").open("rb") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
