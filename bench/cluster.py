"""Kafka → Redis on this machine: crops per second of one worker, and the whole service against `mien run`."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import redis
from kafka import KafkaConsumer, TopicPartition
from rich.console import Console
from rich.table import Table

from bench.clips import Clip, clips
from bench.speed import run_once
from contract.keys import Keys
from contract.records import Face, Progress, Record, SessionOpened
from contract.topics import FACES, PARTITIONS, topics
from ingest.kafka.outbox import Outbox
from ingest.kafka.publisher import KafkaPublisher
from mien.stack import Stack
from mien.stack.kafka import admin, create_topics

RECORDS = 60_000
SOURCES, PEOPLE = 24, 4
CROP_BYTES = 8 * 1024
EDGE = 160
PATIENCE_S = 300.0
LAST_POLL_S = 5.0


def main() -> None:
    """Print both tables."""
    console = Console(highlight=False, width=120)
    with Stack() as stack:
        console.print(throughput(stack))
        console.print(whole_service(stack))


def throughput(stack: Stack) -> Table:
    """Records of a full topic through one worker with a no-op engine; the client alone reads the same ones first."""
    publish_faces(stack.bootstrap, RECORDS, crop_of_size(CROP_BYTES))
    alone = records_per_s_alone(stack.bootstrap)
    table = Table(
        title=f"Kafka → Redis, one worker, no-op engine: {RECORDS:,} crops of {CROP_BYTES // 1024} KB, "
        f"{SOURCES} sources, {PARTITIONS} partitions",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for name in ("crops", "crops/s", "÷ client alone", "CPU µs/crop", "peak MiB"):
        table.add_column(name, justify="left" if name == "crops" else "right")
    table.add_row("only read, by kafka-python", f"{alone:,.0f}", "1.00", "", "")
    for wants, label in (("bytes", "handed on undecoded"), ("pixels", f"decoded to {EDGE}×{EDGE} px")):
        with redis.Redis.from_url(stack.redis_url) as client:
            client.flushall()
        with child([sys.executable, "-m", "bench.noop_worker", wants], stack) as process:
            rate, cpu_s, peak_mib = rate_of(stack.redis_url, process)
        table.add_row(label, f"{rate:,.0f}", f"{rate / alone:.2f}", f"{1e6 * cpu_s / RECORDS:.0f}", f"{peak_mib:.0f}")
    return table


def whole_service(stack: Stack) -> Table:
    """`mien ingest` and `mien worker` on the same cores as the broker and Redis, against `mien run` in one process."""
    folder = Path("out/bench")
    folder.mkdir(parents=True, exist_ok=True)
    table = Table(title="\nThe whole service", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("clip", "mien run, frames/s", "Kafka + Redis, frames/s", "share kept"):
        table.add_column(name, justify="left" if name == "clip" else "right")
    for clip in clips(folder):
        clip.make()
        embedded, service = [], []
        for _ in range(2):
            run = run_once(clip)
            embedded.append(clip.frames / (run.wall_s - run.start_up_s))
            service.append(frames_per_s(stack, clip))
        table.add_row(clip.name, f"{max(embedded):.0f}", f"{max(service):.0f}", f"{max(service) / max(embedded):.0%}")
    return table


def publish_faces(bootstrap: str, count: int, crop: bytes) -> None:
    """Fill the topic of faces: sources with some people each, every crop the same."""
    publisher = KafkaPublisher(Outbox(bootstrap, topic=FACES))
    for record in faces(count, crop):
        publisher.publish(record)
    publisher.close(PATIENCE_S)


def faces(count: int, crop: bytes) -> Iterator[Record]:
    """A frame of every source in turn, with all its people, until there are `count` faces."""
    for n in range(SOURCES):
        yield SessionOpened(
            source=f"camera-{n}", session="bench", sequence=0, uri="rtsp://bench/", event_time=0, dated=True,
            size_wh=(1280, 720), fps=25.0, sample_hz=None, keeps_pictures=False,
        )  # fmt: skip
    for made in range(count):
        frame, rest = divmod(made, SOURCES * PEOPLE)
        source, person = divmod(rest, PEOPLE)
        yield Face(
            source=f"camera-{source}", session="bench", sequence=1 + frame * PEOPLE + person,
            event_time=frame * 40_000, frame=frame, track=person, person=f"camera-{source}.bench.{person}",
            box_xywh=(100.0, 80.0, 160.0, 200.0), quality=0.7, sharpness=0.6, yaw_deg=5.0, pitch_deg=-3.0, roll_deg=1.0,
            score=0.9, crop=crop,
        )  # fmt: skip
    for n in range(SOURCES):
        yield Progress(
            source=f"camera-{n}", session="bench", sequence=count, event_time=count * 40_000, frames=count,
            looked_at=count, closed=True,
        )  # fmt: skip


def crop_of_size(wanted: int) -> bytes:
    """A JPEG of `EDGE` px, of at most `wanted` bytes and nearly as many: smoothed noise, the noisier the larger."""
    noise = np.random.default_rng(0).normal(0, 1, (EDGE, EDGE, 3))
    face = cv2.GaussianBlur(noise, (0, 0), 12.0) * 12 * 60 + 128
    low, high, best = 0.0, 80.0, b""
    for _ in range(20):
        middle = (low + high) / 2
        picture = np.clip(face + noise * middle, 0, 255).astype(np.uint8)
        body = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, 92))[1].tobytes()
        low, high, best = (middle, high, body) if len(body) <= wanted else (low, middle, best)
    return best


def records_per_s_alone(bootstrap: str) -> float:
    """How fast kafka-python reads the topic and does nothing with it."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20, fetch_max_bytes=32 << 20,
    )  # fmt: skip
    partitions = [TopicPartition(FACES, n) for n in range(PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    read, began = 0, 0.0
    while read < RECORDS:
        read += sum(map(len, consumer.poll(timeout_ms=1000, max_records=2000).values()))
        began = began or time.perf_counter()
    rate = read / (time.perf_counter() - began)
    consumer.close()
    return rate


@contextlib.contextmanager
def child(command: Sequence[str], stack: Stack) -> Iterator[subprocess.Popen[bytes]]:
    """A process that finds Kafka and Redis in its environment, ended at the end."""
    environment = os.environ | {"MIEN_KAFKA_BOOTSTRAP": stack.bootstrap, "MIEN_REDIS_URL": stack.redis_url}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield process
        except BaseException:
            log.seek(0)
            sys.stderr.buffer.write(log.read()[-3000:])
            raise
        finally:
            process.terminate()
            if process.returncode is None:
                process.wait(30)


def rate_of(redis_url: str, process: subprocess.Popen[bytes]) -> tuple[float, float, float]:
    """(crops/s from the first commit to the last, CPU s, peak MiB) of a worker that empties the topic."""
    total = RECORDS + 2 * SOURCES
    began = at_begin = 0.0
    with redis.Redis.from_url(redis_url) as client:
        for _ in _moments(PATIENCE_S, process):
            done = applied(client)
            if done and not began:
                began, at_begin = time.perf_counter(), done
            if done >= total:
                break
        ended = time.perf_counter()
    status = Path(f"/proc/{process.pid}/status").read_text()
    peak_mib = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    times = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
    return (total - at_begin) / (ended - began), cpu_s, peak_mib


def frames_per_s(stack: Stack, clip: Clip) -> float:
    """Frames per second of a clip from its first record in Kafka to its last one in Redis, start-up left out."""
    with redis.Redis.from_url(stack.redis_url) as client:
        client.flushall()
        empty_topic(stack)
        serving = [sys.executable, "-m", "worker", "--health-port", "0"]
        with child(serving, stack) as process:
            for _ in _moments(PATIENCE_S, process):  # ready when it has taken every partition
                if sum(bool(client.hget(Keys(n).position, "epoch")) for n in range(PARTITIONS)) == PARTITIONS:
                    break
            with child([sys.executable, "-m", "ingest", str(clip.path)], stack) as telling:
                began = 0.0
                for _ in _moments(PATIENCE_S, process):
                    began = began or (time.perf_counter() if applied(client) else 0.0)
                    if is_closed(client):
                        break
                ended = time.perf_counter()
                telling.wait(30)
    return clip.frames / (ended - began)


def empty_topic(stack: Stack) -> None:
    """The topic of faces made anew: a worker on an empty Redis would read what earlier rounds have left."""
    client = admin(stack.bootstrap)
    try:
        client.delete_topics([FACES])
    finally:
        client.close()
    create_topics(stack.bootstrap, topics(), 1)


def applied(client: "redis.Redis") -> int:
    """Records that the store has taken of all partitions."""
    return sum(int(client.hget(Keys(n).position, "next_offset") or 0) for n in range(PARTITIONS))


def _text(reply: bytes | str) -> str:
    return reply.decode() if isinstance(reply, bytes) else reply


def is_closed(client: "redis.Redis") -> bool:
    """Whether a session of any source is closed."""
    for n in range(PARTITIONS):
        keys = Keys(n)
        for source in map(_text, client.smembers(keys.sources)):
            for session in map(_text, client.smembers(keys.sessions(source))):
                if client.hget(keys.session(source, session), "closed") == b"1":
                    return True
    return False


def _moments(patience_s: float, process: subprocess.Popen[bytes]) -> Iterator[None]:
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the worker ended with {process.returncode}")
        yield
        time.sleep(0.02)
    raise TimeoutError(f"not done within {patience_s:g} s")


if __name__ == "__main__":
    main()
