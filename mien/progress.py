"""How far a run has come: a bar on a terminal, a plain line now and then elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

Stages = Callable[[str, int, int], None]
"""Told a stage's name, how many are done, and of how many."""
PLAIN_EVERY_S, SHOWN_EVERY_S = 5.0, 0.1


@dataclass(slots=True)
class Standing:
    """Where one source stands; written by its ingest, read by the bar."""

    name: str
    frames: int = 0
    total: int | None = None  # frames, if the source knows
    faces: int = 0
    began: float = field(default_factory=time.monotonic)  # s
    shown: float = 0.0  # s


class Watch:
    """Shows the standing of the sources while they are looked at."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[done]}"),
            TextColumn("[dim]{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            refresh_per_second=5,
        )
        self._tasks: dict[int, TaskID] = {}
        self._next_line = time.monotonic() + PLAIN_EVERY_S

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def show(self, standing: Standing) -> None:
        """Show that a source has come this far; cheap enough for every frame."""
        now = time.monotonic()
        if now - standing.shown < SHOWN_EVERY_S:
            return
        standing.shown = now
        if self._console.is_terminal:
            self._show_bar(standing)
        elif now >= self._next_line:
            self._next_line = now + PLAIN_EVERY_S
            line = f"{standing.name}: {_done(standing)}, {_speed(standing)}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def forget(self, standing: Standing) -> None:
        """Take away the bar of a source that came to its end: a folder may hold more than a screen has lines."""
        task = self._tasks.pop(id(standing), None)
        if task is not None:
            self._bars.remove_task(task)

    def _show_bar(self, standing: Standing) -> None:
        done, speed = _done(standing), _speed(standing)
        task = self._tasks.get(id(standing))
        if task is None:
            task = self._bars.add_task(standing.name, total=standing.total, done=done, speed=speed)
            self._tasks[id(standing)] = task
        self._bars.update(task, completed=standing.frames, total=standing.total, done=done, speed=speed)


def _done(standing: Standing) -> str:
    of = f" of {standing.total:,}" if standing.total else ""
    return f"{standing.frames:,}{of} frames, {standing.faces:,} faces"


def _speed(standing: Standing) -> str:
    return f"{standing.frames / max(time.monotonic() - standing.began, 1e-3):.0f} frames/s"


@contextlib.contextmanager
def stages() -> Iterator[Stages]:
    """A bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda stage, done, total: None
        return
    with Progress(console=console, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        yield report
