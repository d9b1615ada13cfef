"""How a run is followed: a bar with faces per second on a terminal, a line per epoch elsewhere, scalars in files."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Watch(Protocol):
    """Is told how far a run is. Left out on purpose: what it does with it."""

    def step(self, epoch: int, step: int, steps: int, faces: int) -> None:
        """A batch of so many faces was learnt from."""
        ...

    def epoch(self, numbers: Mapping[str, Any]) -> None:
        """An epoch ended."""
        ...

    def close(self) -> None:
        """The run ended."""
        ...


class Silent:
    """Tells nobody: for the processes that do not report."""

    def step(self, epoch: int, step: int, steps: int, faces: int) -> None:
        """Nothing."""

    def epoch(self, numbers: Mapping[str, Any]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Follow:
    """A line per epoch (and a bar, where rich is there and this is a terminal), history.jsonl, TensorBoard scalars."""

    def __init__(self, folder: Path, epochs: int, resumed: bool) -> None:
        self._history = (folder / "history.jsonl").open("a" if resumed else "w")
        self._scalars = _scalars(folder)
        self._bar = _bar()
        self._task = self._bar.add_task("", total=None, speed="") if self._bar else None
        self._epochs, self._began, self._seen = epochs, time.monotonic(), 0

    def step(self, epoch: int, step: int, steps: int, faces: int) -> None:
        """Move the bar."""
        if step == 1:
            self._began, self._seen = time.monotonic(), 0
        self._seen += faces
        if self._bar:
            speed = f"{self._seen / max(1e-3, time.monotonic() - self._began):,.0f} img/s"
            self._bar.update(
                self._task, description=f"epoch {epoch}/{self._epochs}", completed=step, total=steps, speed=speed
            )

    def epoch(self, numbers: Mapping[str, Any]) -> None:
        """Print the line and keep the numbers."""
        words = [f"epoch {numbers['epoch']:>3}/{self._epochs}", f"loss {numbers['loss']:.4f}"]
        if "score" in numbers:
            words.append(f"validation {numbers['score']:.4f}" + (" *" if numbers["better"] else ""))
        line = "  ".join([*words, f"{numbers['images_per_s']:,.0f} img/s", f"{numbers['epoch_s']:.1f} s"])
        if self._bar:
            self._bar.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)
        self._history.write(json.dumps(numbers) + "\n")
        self._history.flush()
        for name, value in numbers.items():
            if self._scalars and isinstance(value, int | float) and name != "epoch":
                self._scalars.add_scalar(name, value, numbers["epoch"])

    def close(self) -> None:
        """Take the bar away, close the files."""
        if self._bar:
            self._bar.stop()
        if self._scalars:
            self._scalars.close()
        self._history.close()


def _scalars(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # optional: history.jsonl has the same numbers
        return None
    return SummaryWriter(str(folder / "scalars"))


def _bar() -> Any:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:  # optional: the lines are enough
        return None
    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    parts = (TextColumn("{task.description}"), BarColumn(bar_width=28), TextColumn("{task.fields[speed]}"))
    bar = Progress(*parts, TimeRemainingColumn(compact=True), console=console, transient=True)
    bar.start()
    return bar
