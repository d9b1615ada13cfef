"""A server as a process of its own: started, frozen, killed and found again by pid and start time."""

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contract.errors import StackFailed

POLL_S = 0.02
TAIL_LINES = 12


@dataclass(slots=True, eq=False)
class Server:
    """One server of a stack. Its data and its port outlive it, so that it may be killed and started again."""

    name: str  # kafka-1, redis, redis-replica
    command: tuple[str, ...]
    host: str
    port: int
    folder: Path  # holds log.txt; settings and data too
    problem: Callable[[], str]  # why it does not answer; empty when it does
    patience_s: float  # how long a start may take
    pid: int | None = None
    began: str = ""  # start time of the pid; a reused pid has another
    on_change: Callable[[], None] = lambda: None  # the pid has changed
    _log_from: int = 0  # where the log of this start begins
    _is_child: bool = False  # started by this process, and not yet seen to have ended

    @property
    def address(self) -> str:
        """Host and port, joined by a colon."""
        return f"{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "log.txt"

    def is_running(self) -> bool:
        """Does the process exist? It may be frozen all the same."""
        if self.pid is None:
            return False
        if self.began and start_time(self.pid) == self.began:
            return True
        if self._is_child:
            self._is_child = False
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)  # it has ended: this only clears it from the table of processes
        return False

    def is_stopped(self) -> bool:
        """Is the process frozen by SIGSTOP?"""
        return self.is_running() and self.pid is not None and _stat(self.pid)[0] in "Tt"

    def start(self) -> None:
        """Start it with the data and the port it had, and wait until it answers; a running server is left alone.

        Raises:
            StackFailed: it ended or did not answer in time; the end of its log is in the message.
        """
        self.spawn()
        self.wait()

    def spawn(self) -> None:
        """Start it in a process group of its own, so that Ctrl-C ends the command and not the servers."""
        if self.is_running():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        # Not subprocess: a Popen complains when it is forgotten before its process has ended, as `mien stack up` does.
        self.pid = os.posix_spawnp(
            self.command[0],
            self.command,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores these two; its children shall not
        )
        self.began, self._is_child = start_time(self.pid) or "", True
        self.on_change()

    def wait(self) -> None:
        """Return when it answers.

        Raises:
            StackFailed: as `start`.
        """
        begun = time.monotonic()
        while problem := self.problem():
            if not self.is_running():
                raise StackFailed(f"{self.name} ended while it started; its log ({self.log}) ends with\n{self.tail()}")
            if time.monotonic() - begun > self.patience_s:
                raise StackFailed(
                    f"{self.name} does not answer on {self.address} after {self.patience_s:.0f} s ({problem}); "
                    f"its log ({self.log}) ends with\n{self.tail()}"
                )
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Freeze it (SIGSTOP), and return when it is: connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)
        while self.is_running() and not self.is_stopped():
            time.sleep(0.001)

    def cont(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once (SIGKILL), and return when it is gone."""
        self._signal(signal.SIGKILL)
        self._gone_within(30.0)

    def ask_to_end(self) -> None:
        """Ask it to end (SIGTERM), a frozen one too."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def end(self, grace_s: float) -> None:
        """Return when it is gone: SIGKILL follows when it has not ended `grace_s` after it was asked to."""
        if not self._gone_within(grace_s):
            self.kill()
        self.pid, self.began = None, ""
        self.on_change()

    def tail(self) -> str:
        """The last lines that it has said since it was started, indented."""
        with contextlib.suppress(FileNotFoundError):
            lines = self.log.read_bytes()[self._log_from :].decode(errors="replace").splitlines()
            return "\n".join(f"  {line[:300]}" for line in lines[-TAIL_LINES:]) or "  (nothing)"
        return "  (no log)"

    def age_s(self) -> float:
        """Seconds since it was started; 0 when it does not run."""
        if self.pid is None or not self.is_running():
            return 0.0
        ticks = int(_stat(self.pid)[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))

    def resident_bytes(self) -> int:
        """Memory that it holds; 0 when it does not run."""
        if self.pid is None or not self.is_running():
            return 0
        return int(_stat(self.pid)[21]) * os.sysconf("SC_PAGE_SIZE")

    def _signal(self, number: signal.Signals) -> None:
        # The pid is checked just before: a pid that another process has by now is never signalled.
        if self.pid is not None and self.is_running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _gone_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.is_running():
            if time.monotonic() > end:
                return False
            time.sleep(POLL_S)
        return True


def start_time(pid: int) -> str | None:
    """When the process with this pid began, as a word that no other process ever has; None if it is gone."""
    try:
        stat = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if stat[0] in "ZX" else f"{_boot()}/{stat[19]}"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on: the name before may hold spaces and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@functools.cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
