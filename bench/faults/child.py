"""A worker or a producer as a process of its own, with a log, a control file and signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bench.faults.control import Control, Told

GRACE_S = 20.0


class Child:
    """A Python module run with a JSON file as its only argument."""

    def __init__(self, name: str, module: str, folder: Path, settings: Mapping[str, Any]) -> None:
        self.name = name
        self.settings = dict(settings)
        self.folder = folder
        self.control = Control(folder / f"{name}.control.json")
        self.log = folder / f"{name}.log"
        self.peak_mib = 0.0
        self._arguments = folder / f"{name}.json"
        self._arguments.write_bytes(msgspec.json.encode({**settings, "control": str(self.control.path)}))
        self._command = [sys.executable, "-m", module, str(self._arguments)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs, or ran last."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None: it runs."""
        return self._process.poll() if self._process else None

    def start(self) -> "Child":
        """Run it, told nothing; its output goes behind what its log holds."""
        self.tell()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        return self

    def tell(self, **told: Any) -> None:
        """Say how to misbehave from now on; nothing said: not at all."""
        self.control.tell(Told(**told))

    def stop(self) -> None:
        """Freeze it."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)
        if self._process:
            self._process.wait()

    def end(self, grace_s: float = GRACE_S) -> int:
        """Ask it to end; its exit code (-9 where it had to be killed)."""
        if self._process is None:
            return 0
        self.cont()
        self._signal(signal.SIGTERM)
        try:
            return self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, or None if it still runs after so long."""
        end = time.monotonic() + timeout_s
        while self.exit_code is None and time.monotonic() < end:
            time.sleep(0.02)
        return self.exit_code

    def show_stacks(self) -> None:
        """Have a worker write into its log where its threads are."""
        self._signal(signal.SIGUSR1)

    def is_stopped(self) -> bool:
        """Is it frozen?"""
        return self._status("State").startswith(("T", "t"))

    def cpu_s(self) -> float:
        """Processor time it has taken so far."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def measure(self) -> None:
        """Note its peak memory."""
        size = self._status("VmHWM").split()
        self.peak_mib = max(self.peak_mib, int(size[0]) / 1024 if size else 0.0)

    def tail(self, lines: int = 5) -> str:
        """The last lines of its log, joined by «|»."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return " | ".join(text.splitlines()[-lines:])[-800:]

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def _status(self, name: str) -> str:
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return next((line.partition(":")[2].strip() for line in lines if line.startswith(name + ":")), "")
