"""The query service under load: answers per second beside those of an endpoint that does nothing, and their times.

Server and load share this machine, so only the ratio of two rows of one run says something elsewhere. The first row
is what a kept-alive connection costs: at 25 answers a second and connection, every answer waits for a delayed
acknowledgement (no TCP_NODELAY).
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mien.stack import Stack
from tests.query.stores import SECOND, StoreFile, StoreOnRedis, every_frame, shares

SECONDS = 3.0
CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one address under load."""

    per_s: float
    p50_ms: float
    p99_ms: float
    body_bytes: int


def main(console: Console) -> None:
    """Measure both stores and print two tables."""
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as folder, ExitStack() as stack:
        file = Path(folder) / "store.db"
        written = StoreFile(file)
        _fill(written)
        written.close()
        stores = {"SQLite": str(file)}
        if address := stack.enter_context(_filled_redis()):
            stores["Redis"] = address
        for name, store in stores.items():
            console.print(_table(name, store))


# «{}» is another begin for every question, so that no cache answers.
ADDRESSES = {
    "an endpoint that does nothing": "/healthz",
    "one person": "/v1/people/clip.s1.0",
    "1,000 points": "/v1/people/clip.s1.0/timeline?from={}&to=40",
    "300 buckets of 200 ms": "/v1/people/clip.s1.0/timeline?from={}&to=60&every=0.2s",
    "a day by the minute": "/v1/people/day.s1.0/timeline?every=1m",
    "1,000 sources, 10,000 people": "/v1/sources",
    "a page of 10,000 people": "/v1/people?limit=10000",
}


def _table(name: str, store: str) -> Table:
    table = Table(title=f"\nquery service over {name}, {CONNECTIONS} kept connections", title_justify="left", box=None)
    for head in ("answer", "per s", "of nothing", "p50 ms", "p99 ms", "alone p99 ms", "KiB"):
        table.add_column(head, justify="left" if head == "answer" else "right")
    with _served(store) as port:
        nothing = 0.0
        for answer, path in ADDRESSES.items():
            alone = asyncio.run(_loaded(port, path, 1))
            load = asyncio.run(_loaded(port, path, CONNECTIONS))
            nothing = nothing or load.per_s
            table.add_row(
                answer,
                f"{load.per_s:,.0f}",
                f"{load.per_s / nothing:.0%}",
                f"{load.p50_ms:.1f}",
                f"{load.p99_ms:.1f}",
                f"{alone.p99_ms:.1f}",
                f"{load.body_bytes / 1024:,.0f}",
            )
    return table


async def _loaded(port: int, path: str, connections: int) -> Load:
    """Ask over kept connections, each for the next answer as soon as the last one is there."""
    took: list[float] = []
    size = 0
    ends = time.perf_counter() + SECONDS

    async def ask() -> None:
        nonlocal size
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < ends:
            where = path.format(f"{len(took) % 1_000 / 1e6:.6f}")
            began = time.perf_counter()
            writer.write(f"GET {where} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"bench: {path} answered {head[:40]!r}")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
            size = len(await reader.readexactly(length))
            took.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    p50, p99 = np.percentile(took, [50, 99]) * 1e3
    return Load(len(took) / SECONDS, float(p50), float(p99), size)


@contextmanager
def _served(store: str) -> Iterator[int]:
    """A service of its own over the store; its port."""
    server = subprocess.Popen([sys.executable, "-m", "query", store, "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        yield int(line.partition("127.0.0.1:")[2].partition("/")[0])
    finally:
        server.terminate()
        server.wait()


def _fill(store: StoreFile | StoreOnRedis) -> None:
    """A minute of 25 readings a second, a day of one a second, and 10,000 people from 1,000 sources."""
    store.session("clip", complete_until=60 * SECOND)
    store.person("clip.s1.0", every_frame(1_500), shares(1_500))
    day = 86_400
    store.session("day", complete_until=day * SECOND, looked_at=day)
    store.person("day.s1.0", every_frame(day, fps=1), shares(day), source="day")
    times, values = every_frame(2), shares(2)
    for source in range(1_000):
        store.session(f"camera-{source}")
        for person in range(10):
            store.person(f"camera-{source}.s1.{person}", times, values, source=f"camera-{source}")


@contextmanager
def _filled_redis() -> Iterator[str | None]:
    """A filled Redis of its own; None where redis-server is not installed."""
    if shutil.which("redis-server") is None:
        yield None
        return
    with Stack(kafka=False) as stack:
        store = StoreOnRedis(stack.redis_url, partitions=24)
        _fill(store)
        store.close()
        yield stack.redis_url
