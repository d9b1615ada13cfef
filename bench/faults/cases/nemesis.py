"""Row 35: everything at once, at random."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.faults.arena import Arena
from bench.faults.relay import Relay
from bench.faults.report import Run
from bench.faults.setting import Case, Setting

WORKERS = 3
AT_ONCE = 3
BACK_S = 30.0


@dataclass(frozen=True, slots=True)
class Event:
    """A fault that begins and, where it does, ends by itself after a while."""

    name: str
    begin: Callable[[], None]
    end: Callable[[], None]
    longest_s: float


def nemesis(setting: Setting, case: Case) -> Run:
    """Faults of all kinds begin and end at random, several at a time."""
    stack = setting.stacks.of()
    host, port = stack.processes["redis"].host, stack.processes["redis"].port
    with (
        Relay(host, port, setting.seed) as relay,
        setting.arena(stack, redis_url=f"redis://{relay.address}/0") as arena,
    ):
        arena.flow(workers=WORKERS)
        began = time.monotonic()
        count = rage(setting, arena, events(setting, arena, relay), setting.seconds(30, 1800))
        arena.facts.notes.append(f"{count} faults, {arena.restarts} restarts of workers")
        since = time.monotonic()
        arena.recovered(since, BACK_S)
        arena.drained(since, began)
        return arena.finish(case.name)


def rage(setting: Setting, arena: Arena, known: list[Event], seconds: float) -> int:
    """How many faults there were; all of them are over afterwards, and dead workers were started again."""
    chance, count = setting.chance, 0
    active: dict[Event, float] = {}  # until when
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.2, 2.0))
        arena.revive()
        for event, until in list(active.items()):
            if time.monotonic() > until:
                active.pop(event)
                event.end()
        if len(active) < AT_ONCE:
            event = chance.choice([event for event in known if event not in active])
            event.begin()
            active[event] = time.monotonic() + chance.uniform(0.1, event.longest_s)
            count += 1
    for event in active:
        event.end()
    arena.revive()
    return count


def events(setting: Setting, arena: Arena, relay: Relay) -> list[Event]:
    """What may happen."""
    broker, store = arena.stack.processes["kafka-1"], arena.stack.processes["redis"]
    faults, victims = relay.faults, arena.workers

    def some_worker() -> int:
        return setting.chance.randrange(len(victims))

    def kill_worker() -> None:
        arena.count()
        victims[some_worker()].kill()

    def no_functions() -> None:
        if store.is_running() and not store.is_stopped():
            server: Any = arena.server()
            server.execute_command("FUNCTION", "FLUSH", "SYNC")

    return [
        Event("worker killed", kill_worker, _nothing, 0.1),
        Event("worker frozen", victims[0].stop, victims[0].cont, 15.0),
        Event("another worker frozen", victims[1].stop, victims[1].cont, 4.0),
        Event("broker frozen", broker.stop, broker.cont, 8.0),
        Event("broker killed", broker.kill, broker.start, 3.0),
        Event("Redis frozen", store.stop, store.cont, 8.0),
        Event("Redis killed", store.kill, store.start, 3.0),
        Event("functions flushed", no_functions, _nothing, 0.1),
        Event("way to Redis reset", relay.reset, _nothing, 0.1),
        Event(
            "way to Redis slow", lambda: setattr(faults, "delay_s", 0.2), lambda: setattr(faults, "delay_s", 0.0), 6.0
        ),
        Event("answers of Redis lost", lambda: faults.pause.add("down"), lambda: faults.pause.discard("down"), 4.0),
        Event(
            "connections cut",
            lambda: setattr(faults, "cut_after", 20_000),
            lambda: setattr(faults, "cut_after", None),
            4.0,
        ),
    ]


def _nothing() -> None:
    """It is over as soon as it has happened."""


CASES = (Case(35, "random nemesis", nemesis, long_seeds=1),)
