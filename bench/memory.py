"""`python -m bench memory`: what a worker holds while a million faces go through it from Kafka to Redis."""

import sys
import threading
import time
from pathlib import Path

import redis
from rich.console import Console
from rich.table import Table

from bench import cluster
from mien.stack import Stack

FACES = 1_000_000
CROP = bytes(600)  # handed on undecoded; small, so that the topic fits a small disk
STEPS = 10
PATIENCE_S = 1800.0


def main() -> None:
    """Print the worker's resident memory at every tenth of the way."""
    with Stack() as stack, redis.Redis.from_url(stack.redis_url) as client:
        telling = threading.Thread(target=cluster.publish_faces, args=(stack.bootstrap, FACES, CROP))
        telling.start()
        with cluster.child([sys.executable, "-m", "bench.noop_worker", "bytes"], stack) as process:
            table = Table(title=f"A worker over {FACES:,} faces", title_justify="left", box=None, padding=(0, 2, 0, 0))
            for name in ("stored", "worker, MiB", "Redis, MiB"):
                table.add_column(name, justify="right")
            began = time.monotonic()
            for step in range(1, STEPS + 1):
                while (done := cluster.applied(client)) < FACES * step // STEPS:
                    if process.poll() is not None or time.monotonic() - began > PATIENCE_S:
                        raise RuntimeError(f"{done:,} of {FACES:,} stored after {time.monotonic() - began:.0f} s")
                    time.sleep(0.5)
                held = client.info("memory")["used_memory"] / 2**20
                table.add_row(f"{done:,}", f"{resident_mib(process.pid):.0f}", f"{held:.0f}")
        telling.join()
    Console(highlight=False, width=120).print(table)


def resident_mib(pid: int) -> float:
    """What a process holds in memory now."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024


if __name__ == "__main__":
    main()
