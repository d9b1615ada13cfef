"""One look at the store for all readers: what is new goes into a bounded queue for each of them."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from contract.errors import MienError
from query.live.news import Batch, Key, Ready, batch, behind, ready
from query.store import Reader

LOOK_S = 0.04  # between two looks; they take at most a fifth of a processor
SHARE = 5
SILENCE_S = 10.0  # after which a reader is shown that the stream is alive
WAITING = 64  # batches that may wait for a reader
MOST_READERS = 500
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Follower:
    """A reader: how far each session was sent to it, and what waits for it."""

    positions: dict[Key, int]
    waiting: asyncio.Queue[Batch | None] = field(default_factory=lambda: asyncio.Queue(WAITING))
    ended: set[Key] = field(default_factory=set)
    is_slow: bool = False

    def took(self, found: Batch) -> Batch:
        """Return the batch, which the reader has from now on."""
        self.positions[found.key] = max(self.positions.get(found.key, found.end), found.end)
        if found.is_last:
            self.ended.add(found.key)
            del self.positions[found.key]
        return found


class Feed:
    """Looks into a store while somebody follows, and sends every follower every reading once, in order.

    A follower who does not keep up is dropped; it can come back with the position of the last event.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._followers: list[Follower] = []
        self._looking: asyncio.Task[None] | None = None
        self._sent: dict[Key, int] = {}  # up to where the batches went
        self._version: str | None = None

    @property
    def is_full(self) -> bool:
        """Return whether there is no room for another follower."""
        return len(self._followers) >= MOST_READERS

    async def join(self, positions: dict[Key, int] | None, after_s: float | None) -> Follower:
        """Return a new follower.

        Args:
            positions: of the last event that the reader has; None: it has none.
            after_s: where it begins then, in seconds since the first frame of each session; None: now.

        Raises:
            BadStore: the store cannot be read.
        """
        now = await run_in_threadpool(self._ready, set(positions or ()))
        if positions is not None:
            return Follower({key: positions.get(key, each.session.opened_at) for key, each in now.items()})
        if after_s is not None:
            return Follower({key: each.session.opened_at + round(after_s * 1e6) for key, each in now.items()})
        return Follower({key: each.until for key, each in now.items()})

    async def follow(self, follower: Follower) -> AsyncIterator[Batch | None]:
        """Yield what is new for a follower, in order: batches by session, None where nothing came for a while.

        The follower's positions are those behind what was yielded last. Ends where the reader was too slow.
        """
        self._followers.append(follower)
        if self._looking is None or self._looking.done():
            self._sent, self._version = dict(follower.positions), None
            self._looking = asyncio.create_task(self._look_on())
        try:
            for key, position in list(follower.positions.items()):
                if (missed := await self._read(key, position)) is not None:
                    yield follower.took(missed)
            async for each in self._news(follower):
                yield each
        finally:
            self._followers.remove(follower)

    async def _news(self, follower: Follower) -> AsyncIterator[Batch | None]:
        while not (follower.is_slow and follower.waiting.empty()):
            found = None
            with suppress(TimeoutError):
                async with asyncio.timeout(SILENCE_S):
                    found = await follower.waiting.get()
            if found is None:
                yield None
            elif found.key not in follower.ended:
                position = follower.positions.get(found.key, found.session.opened_at)
                if position < found.begin and (missed := await self._read(found.key, position)) is not None:
                    yield follower.took(missed)
                elif position < found.end or found.is_last:
                    yield follower.took(behind(found, position))

    async def _read(self, key: Key, begin: int) -> Batch | None:
        """Return a session's readings from `begin` on, as far as they are settled; None: there are none."""

        def read() -> Batch | None:
            with self._reader.snapshot() as snapshot:
                what = ready(snapshot, {key}).get(key)
                if what is None or what.until <= begin:
                    return None
                found = batch(snapshot, what, begin)
            return found if found.end > begin else None

        return await run_in_threadpool(read)

    async def _look_on(self) -> None:
        """Look, send, wait; until nobody follows any more."""
        while self._followers:
            began = time.monotonic()
            try:
                found = await run_in_threadpool(self._look)
            except MienError as error:
                _log.warning("live: %s", error)
                found = []
                await asyncio.sleep(1)
            for each in found:
                for follower in self._followers:
                    self._offer(follower, each)
            await asyncio.sleep(max(LOOK_S, SHARE * (time.monotonic() - began)))

    def _offer(self, follower: Follower, found: Batch) -> None:
        if follower.is_slow:
            return
        if follower.waiting.full():
            follower.is_slow = True
            return
        follower.waiting.put_nowait(found)

    def _look(self) -> list[Batch]:
        with self._reader.snapshot() as snapshot:
            version = snapshot.version()
            if version is not None and version == self._version:
                return []
            found = []
            now = ready(snapshot, set(self._sent))
            for key, each in now.items():
                begin = self._sent.get(key, each.session.opened_at)
                if each.until > begin or each.session.closed:
                    found.append(batch(snapshot, each, begin))
                if each.session.closed:
                    self._sent.pop(key, None)
                else:
                    self._sent[key] = max(begin, each.until)
            self._version = version
            return found

    def _ready(self, followed: set[Key]) -> dict[Key, Ready]:
        with self._reader.snapshot() as snapshot:
            return ready(snapshot, followed)
