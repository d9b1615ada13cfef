"""The processor that is measured: an NVIDIA card through torch, or this machine's CPU in its place."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.card.bound import Rates

ROUNDS = 3  # the best counts: other work only ever slows


@dataclass(frozen=True, slots=True)
class Device:
    """A processor and how work on it is timed."""

    name: str
    kind: str  # «cuda» or «cpu», as torch calls it
    dtype: torch.dtype  # of the nets
    square: int  # edge of the matrices that its rate is measured with
    copied: int  # bytes that its copy rate is measured with

    def finish(self) -> None:
        """Wait until the device has done all it was given."""
        if self.kind == "cuda":
            torch.cuda.synchronize()

    def seconds_per_call(self, call: Callable[[], object], budget_s: float) -> float:
        """Return the least mean time of a call over rounds that fit the budget; one call goes before, uncounted."""
        call()
        self.finish()
        began = time.perf_counter()
        call()
        self.finish()
        once = max(1e-6, time.perf_counter() - began)
        times = max(1, int(budget_s / ROUNDS / once))
        best = once
        for _ in range(ROUNDS if budget_s > once else 0):
            began = time.perf_counter()
            for _ in range(times):
                call()
            self.finish()
            best = min(best, (time.perf_counter() - began) / times)
        return best

    def rates(self, budget_s: float) -> Rates:
        """Measure the matrix rate in the nets' type, and the copy rate."""
        one = torch.randn(self.square, self.square, device=self.kind, dtype=self.dtype)
        product_s = self.seconds_per_call(lambda: one @ one, budget_s)
        source = torch.empty(self.copied, dtype=torch.uint8, device=self.kind)
        target = torch.empty_like(source)
        copy_s = self.seconds_per_call(lambda: target.copy_(source), budget_s)
        return Rates(self.square**3 / product_s, 2 * self.copied / copy_s)


def device_at_hand() -> Device:
    """Return the first NVIDIA card, or the CPU where there is none."""
    if torch.cuda.is_available():
        return Device(torch.cuda.get_device_name(0), "cuda", torch.float16, 8192, 1 << 30)
    return Device(f"{_cpu_name()}, {torch.get_num_threads()} threads", "cpu", torch.float32, 1024, 1 << 27)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
