"""What can be seen from outside while a fault runs: positions in Redis, ends in Kafka, members of the group, memory."""

import contextlib
import itertools
import threading
import time
from collections.abc import Sequence

import redis
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import CoordinatorNotAvailableError, KafkaError

from bench.faults.child import Child
from contract.keys import Keys
from mien.stack.kafka import admin

LOOK_S = 0.02
PATIENCE_MS = 3_000


class Watch:
    """Looks at the store every 20 ms and at the log every 200 ms, from threads of its own."""

    def __init__(self, redis_url: str, bootstrap: str, topic: str, group: str, partitions: int) -> None:
        self.positions = [0] * partitions
        self.ends = [0] * partitions
        self.rises: list[list[tuple[float, int]]] = [[(0.0, 0)] for _ in range(partitions)]  # (when, offset)
        self.lags: list[tuple[float, int]] = []  # (when, records), of all partitions
        self.children: list[Child] = []
        self.redis_url = redis_url
        self.members: set[str] = set()  # of the group, ever seen
        self._bootstrap = bootstrap
        self._topic = topic
        self._group = group
        self._admin: KafkaAdminClient | None = None
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._see_store, self._see_log)]

    def __enter__(self) -> "Watch":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(10)

    @property
    def lag(self) -> int:
        """Records in the log that the store has not seen, as last looked at."""
        return sum(max(0, end - seen) for end, seen in zip(self.ends, self.positions, strict=True))

    def first_rise_after(self, when: float, partitions: Sequence[int]) -> float | None:
        """When the last of these partitions was first committed to after `when`; None: not all were yet."""
        firsts = [next((at for at, _ in list(self.rises[each]) if at > when), None) for each in partitions]
        return None if None in firsts else max((first for first in firsts if first is not None), default=when)

    def drained_after(self, when: float, level: int) -> float | None:
        """When the lag was first down at `level` after `when`."""
        return next((at for at, lag in list(self.lags) if at > when and lag <= level), None)

    def lag_between(self, begin: float, end: float) -> int:
        """The largest lag seen in a stretch of time."""
        return max((lag for at, lag in list(self.lags) if begin <= at <= end), default=0)

    def longest_pause(self, since: float) -> float:
        """Seconds between two commits to the same partition, at most."""
        times = [[at for at, _ in rises if at >= since] for rises in self.rises]
        return max((later - at for each in times for at, later in itertools.pairwise(each)), default=0.0)

    def _see_store(self) -> None:
        client, url = self._client(), self.redis_url
        while not self._ended.wait(LOOK_S):
            if url != self.redis_url:
                client, url = self._client(), self.redis_url
            with contextlib.suppress(redis.RedisError, OSError):
                pipe = client.pipeline(transaction=False)
                for partition in range(len(self.positions)):
                    pipe.hget(Keys(partition).position, "next_offset")
                self._note([int(seen or 0) for seen in pipe.execute()])
            self.lags.append((time.monotonic(), self.lag))

    def _note(self, seen: list[int]) -> None:
        now = time.monotonic()
        for partition, offset in enumerate(seen):
            if offset > self.positions[partition]:
                self.rises[partition].append((now, offset))
        self.positions = seen

    def _client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.redis_url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=None)

    def _see_log(self) -> None:
        consumer: KafkaConsumer | None = None
        while not self._ended.wait(0.2):
            for child in list(self.children):
                child.measure()
            try:
                consumer = consumer or self.consumer()
                self.ends = self.ends_by(consumer)
                self._see_group()
            except KafkaError:
                if consumer is not None:
                    _close(consumer)
                consumer = None
        if consumer is not None:
            _close(consumer)
        if self._admin is not None:
            self._admin.close()

    def ends_now(self) -> list[int]:
        """Where the log ends, asked now."""
        with contextlib.closing(self.consumer()) as consumer:
            return self.ends_by(consumer)

    def _see_group(self) -> None:
        self._admin = self._admin or admin(self._bootstrap)
        with contextlib.suppress(CoordinatorNotAvailableError):  # nobody has been in any group yet
            groups = self._admin.describe_groups([self._group])
            self.members |= {member["member_id"] for group in groups.values() for member in group["members"]}

    def ends_by(self, consumer: KafkaConsumer) -> list[int]:
        """Where the log ends, asked now; KafkaError where nobody answers."""
        places = [TopicPartition(self._topic, number) for number in range(len(self.ends))]
        ends = consumer.end_offsets(places, timeout_ms=PATIENCE_MS)
        return [ends[place] for place in places]

    def consumer(self) -> KafkaConsumer:
        """A consumer of no group, to be closed."""
        return KafkaConsumer(
            bootstrap_servers=self._bootstrap.split(","),
            bootstrap_timeout_ms=PATIENCE_MS,
            request_timeout_ms=PATIENCE_MS + 1_000,
            reconnect_backoff_max_ms=500,
        )


def _close(consumer: KafkaConsumer) -> None:
    with contextlib.suppress(KafkaError):
        consumer.close(timeout_ms=1_000)
