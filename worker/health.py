"""How a worker is: what its health pages show."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from runtime.health import DEAD_S, HealthServer, Pages
from runtime.telemetry import Samples, Telemetry
from worker.counters import BOUNDS_S, Counters

__all__ = ["DEAD_S", "TOTALS", "Health", "HealthServer", "metrics"]

TOTALS = {
    "records": "Records applied to the store.",
    "crops": "Crops shown to the nets.",
    "points": "Readings applied to the store.",
    "batches": "Batches.",
    "rejected": "Records applied that cannot be read.",
    "shed": "Live faces applied that were too old to be read.",
    "expired": "Records met that retention had removed.",
    "passed_over": "Deliveries that were applied already, or come again.",
    "holes": "Times the log left out what the store had not seen.",
    "retaken": "Times a partition was taken again.",
}
COUNTED_AS = {"passed_over": "repeats"}  # the metric keeps its name, for dashboards that show it
LOG_COUNTS = ("recycles", "expired", "group_commit_failures")


@dataclass(slots=True)
class Health:
    """What the pages show; set by the worker's side, read by the server's threads.

    `lags` gives, by partition, how many records the log holds that are not stored yet.
    """

    reasons: Callable[[], list[str]] = list  # why it is not ready; empty: it is
    counters: Counters = field(default_factory=Counters)
    loops: bool = False  # False: it starts; nothing has to come round yet
    lags: Callable[[], dict[int, int]] = dict
    log_counts: Callable[[], dict[str, int]] = dict  # of the log, by name
    telemetry: Telemetry = field(init=False)
    _record_s: Callable[[float, dict[str, str]], None] = field(init=False)

    def __post_init__(self) -> None:
        """Make the instruments; no source or person is named by them."""
        self.telemetry = telemetry = Telemetry("mien.worker")
        for name, text in TOTALS.items():
            telemetry.counter(f"mien_worker_{name}", text, self._total(COUNTED_AS.get(name, name)))
        telemetry.counter("mien_worker_commits", "Commits by their outcome.", self._outcomes)
        for name in LOG_COUNTS:
            telemetry.counter(f"mien_worker_log_{name}", f"{name.replace('_', ' ')}.", self._log_count(name))
        telemetry.gauge("mien_worker_lag_records", "Records in the log that are not stored yet.", self._lags)
        telemetry.gauge("mien_worker_ready", "1: ready.", lambda: [(int(not self.reasons()), {})])
        self._record_s = telemetry.histogram("mien_worker_seconds", "Wall time of blocks of work by stage.", BOUNDS_S)
        self.follow(self.counters)

    def follow(self, counters: Counters) -> None:
        """Show these counters, and the times of their stages from now on."""
        self.counters = counters
        counters.on_timed = self._timed

    def pages(self) -> Pages:
        """Return what a health server shows."""
        return Pages(self._loop_age_s, lambda: self.reasons(), self.telemetry.page)

    def _loop_age_s(self) -> float:
        return time.monotonic() - self.counters.looped_at if self.loops else 0.0

    def _timed(self, stage: str, spent_s: float) -> None:
        if stage != "wait":
            self._record_s(spent_s, {"stage": stage})

    def _total(self, name: str) -> Callable[[], Samples]:
        return lambda: [(getattr(self.counters, name), {})]

    def _outcomes(self) -> Samples:
        return [(count, {"outcome": outcome}) for outcome, count in sorted(self.counters.outcomes.copy().items())]

    def _log_count(self, name: str) -> Callable[[], Samples]:
        return lambda: [(count, {}) for known, count in self.log_counts().items() if known == name]

    def _lags(self) -> Samples:
        return [(lag, {"partition": str(partition)}) for partition, lag in sorted(self.lags().items())]


def metrics(health: Health) -> Iterator[str]:
    """The lines of the page that Prometheus reads."""
    yield from health.telemetry.page().splitlines()
