"""A TCP relay that can be told to be slow, deaf, mute or rude."""

import asyncio
import contextlib
import random
import threading
from dataclasses import dataclass, field

HOST = "127.0.0.1"
UP, DOWN = "up", "down"  # from the client to the server; from the server to the client


@dataclass(slots=True)
class Faults:
    """What the relay does to what passes; changed while it runs."""

    pause: set[str] = field(default_factory=set)  # directions in which nothing passes
    delay_s: float = 0.0
    cut_after: int | None = None  # bytes of one connection and direction, then a reset
    garble: float = 0.0  # share of pieces of which one byte is changed
    refuse: bool = False


class Relay:
    """Listens on a port of its own and hands everything on to a server, in a thread of its own."""

    def __init__(self, host: str, port: int, seed: int = 0) -> None:
        self.faults = Faults()
        self.port = 0
        self.target = (host, port)
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> "Relay":
        self._thread.start()
        self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self.reset()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self.port}"

    def reset(self) -> None:
        """Break every connection that is open, both sides of it, without a farewell."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(self._abort, done)
        done.wait(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, HOST, 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _abort(self, done: threading.Event) -> None:
        for writer in tuple(self._open):
            writer.transport.abort()
        done.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.faults.refuse:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        with contextlib.suppress(asyncio.CancelledError):  # the end of the relay
            await asyncio.gather(self._carry(reader, far_writer, UP), self._carry(far_reader, writer, DOWN))
        self._open -= {writer, far_writer}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 16):
                while direction in self.faults.pause:
                    await asyncio.sleep(0.01)
                if self.faults.delay_s:
                    await asyncio.sleep(self.faults.delay_s)
                left = None if self.faults.cut_after is None else max(0, self.faults.cut_after - carried)
                carried += len(piece)
                if left is not None and len(piece) > left:
                    writer.write(piece[:left])
                    await writer.drain()
                    break
                writer.write(self._garbled(piece))
                await writer.drain()
        writer.transport.abort()

    def _garbled(self, piece: bytes) -> bytes:
        if self._random.random() >= self.faults.garble:
            return piece
        place = self._random.randrange(len(piece))
        return piece[:place] + bytes([piece[place] ^ 1 << self._random.randrange(8)]) + piece[place + 1 :]
