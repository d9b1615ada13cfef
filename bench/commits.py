"""`python -m bench commits`: how long a store takes to commit a batch of points."""

import dataclasses
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from contract.readings import Channel, ChannelKind, NetVersion, Point, ReadingSchema
from contract.records import Face
from worker.store import Outcome, Store
from worker.store.sqlite import SqliteStore

SIZES = (64, 128)  # points of a commit; a worker sends at most 128
PEOPLE, COMMITS = 8, 1500
SCHEMA = ReadingSchema(
    (NetVersion("bench", "1", "0" * 64),), tuple(Channel(name, ChannelKind.EXPRESSION) for name in "abcdefgh")
)


@dataclasses.dataclass(frozen=True)
class Commits:
    """Milliseconds of a commit, median and 5th percentile (what is left of it on a busy machine)."""

    store: str
    points: int
    p50_ms: float
    p05_ms: float
    caller_p50_ms: float  # processor time of the calling thread alone
    caller_p05_ms: float
    server_ms: float = 0.0  # of the mean call inside the server


def main() -> None:
    """Print a row per store and size."""
    table = Table(
        title=f"Commits, {PEOPLE} people, 8 channels, ms", title_justify="left", box=None, padding=(0, 2, 0, 0)
    )
    for name in ("store", "points", "median", "per 64 points", "5th percentile", "caller's CPU", "inside Redis"):
        table.add_column(name, justify="left" if name == "store" else "right")
    for points in SIZES:
        for line in commits(points):
            table.add_row(
                line.store,
                str(points),
                f"{line.p50_ms:.2f}",
                f"{line.p50_ms * 64 / points:.2f}",
                f"{line.p05_ms:.2f}",
                f"{line.caller_p50_ms:.2f}",
                f"{line.server_ms:.2f}" if line.server_ms else "",
            )
    Console(highlight=False, width=120).print(table)


def commits(points: int) -> list[Commits]:
    """SQLite on disk, and Redis over a socket where redis-server is installed."""
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as folder:
        found = [measured("SQLite", SqliteStore(Path(folder) / "store.db"), points)]
        try:
            with redis_url(Path(folder)) as url:
                import redis

                from worker.store.redis import RedisStore

                one = measured("Redis", RedisStore(url), points)
                with redis.Redis.from_url(url) as client:
                    calls = client.info("commandstats")["cmdstat_fcall"]
                found.append(dataclasses.replace(one, server_ms=calls["usec_per_call"] / 1e3))
        except FileNotFoundError:
            pass
    return found


def measured(name: str, store: Store, points: int) -> Commits:
    """Commits of points that were made just before each, as a worker does."""
    rng = np.random.default_rng(0)
    lease = store.take("bench", 0)
    wall, caller = [], []
    for at in range(0, COMMITS * points, points):
        entries = batch(at, rng.random((points, len(SCHEMA.channels))).astype(np.float32))
        began, used = time.perf_counter(), time.thread_time()
        outcome = store.commit(
            "bench",
            0,
            epoch=lease.epoch,
            previous_offset=at,
            next_offset=at + points,
            entries=entries,
            schema=SCHEMA,
        )
        wall.append(time.perf_counter() - began)
        caller.append(time.thread_time() - used)
        assert outcome is Outcome.APPLIED
    store.close()
    return Commits(name, points, *(1e3 * number for times in (wall, caller) for number in _middle(times)))


def batch(at: int, values: np.ndarray) -> list[Point]:
    """Points of eight people, a frame after the other, at 25 frames a second."""
    return [
        Point(
            Face(
                source="cam",
                session="s1",
                sequence=at + place,
                event_time=(at + place) // PEOPLE * 40_000,
                frame=(at + place) // PEOPLE,
                track=place % PEOPLE,
                person=f"cam-s1-{place % PEOPLE}",
                box_xywh=(10.5, 20.5, 30.0, 41.0),
                quality=0.5,
                sharpness=0.6,
                yaw_deg=-12.0,
                pitch_deg=3.0,
                roll_deg=40.0,
                score=0.9,
                crop=b"",
            ),
            values[place],
        )
        for place in range(len(values))
    ]


@contextmanager
def redis_url(folder: Path) -> Iterator[str]:
    """A redis-server in memory, gone afterwards; FileNotFoundError where there is none."""
    socket = folder / "redis.sock"
    place = ["--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(["redis-server", *place], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists() and server.poll() is None:
            time.sleep(0.01)
        yield f"unix://{socket}"
    finally:
        server.terminate()
        server.wait()


def _middle(times: Sequence[float]) -> tuple[float, float]:
    return statistics.median(times), statistics.quantiles(times, n=20)[0]


if __name__ == "__main__":
    main()
