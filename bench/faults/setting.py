"""What a case is given: a seed, a form (short or long), servers, a folder."""

import contextlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench.faults.arena import Arena
from bench.faults.report import Run
from bench.faults.source import Plan, one_source_per_partition
from mien.stack import Stack

SHORT_SESSION_S = 6.0  # the least that a broker allows; workers have 10 unless told otherwise


class Stacks:
    """Servers by shape, one set at a time: two cores bear no more. Closed at the end of the block."""

    def __init__(self, folder: Path, given: Stack | None = None) -> None:
        self._folder = folder
        self._given = given
        self._shape: dict[str, Any] = {}
        self._stack: Stack | None = None

    def __enter__(self) -> "Stacks":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def of(self, **shape: Any) -> Stack:
        """A stack of at least this shape (the arguments of `Stack`), all of its servers running."""
        if not shape and self._given is not None:
            return _running(self._given)
        if self._stack is None or not shape.items() <= self._shape.items():
            self._close()
            name = "-".join([f"{key}{value}" for key, value in shape.items()]) or "plain"
            self._stack, self._shape = Stack(self._folder / name, **shape), shape
            self._stack.__enter__()
        return _running(self._stack)

    def _close(self) -> None:
        if self._stack is not None:
            self._stack.down(purge=True)
            self._stack = None


def _running(stack: Stack) -> Stack:
    for server in stack.processes.values():
        server.cont()
        server.start()
    return stack


@dataclass(slots=True)
class Setting:
    """One run of one case."""

    seed: int
    long: bool
    stacks: Stacks
    folder: Path
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - repeatable on purpose

    def seconds(self, short: float, long: float) -> float:
        """How long the fault lasts in this form."""
        return long if self.long else short

    def live(self) -> Plan:
        """A plan of live sources: their event times begin when the producer does."""
        return Plan(one_source_per_partition(), start_us=0, step_us=100_000)

    @contextlib.contextmanager
    def arena(self, stack: Stack | None = None, **settings: Any) -> Iterator[Arena]:
        """An arena on the plain stack, or on this one."""
        session_s = self.seconds(SHORT_SESSION_S, 10)
        with Arena(stack or self.stacks.of(), self.folder, seed=self.seed, session_s=session_s, **settings) as arena:
            yield arena


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table."""

    row: int
    fault: str
    run: Callable[[Setting, "Case"], Run]
    quick: bool = False  # in CI's selection
    long_seeds: int = 20
    servers: str = "1 of each"  # cases of one kind run one after the other, as servers are slow to start

    @property
    def name(self) -> tuple[int, str]:
        """Row and fault."""
        return self.row, self.fault

    @property
    def about(self) -> str:
        """What is done, in a sentence."""
        return " ".join((self.run.__doc__ or "").split())

    @property
    def slug(self) -> str:
        """The fault as part of a name."""
        return re.sub("[^a-z0-9]+", "-", self.fault.lower()).strip("-")

    def unless(self, run: Run, so: bool, otherwise: str) -> Run:
        """The run, failed unless it is so."""
        if so:
            return run
        return msgspec.structs.replace(run, passed=False, why=f"{run.why}; {otherwise}".strip("; "))
