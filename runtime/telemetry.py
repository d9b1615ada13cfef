"""Meters of one process, by OpenTelemetry; Prometheus reads them as a page.

Counters and gauges are read when the page is asked for, so they cost nothing where they count; a histogram is told of
blocks of work, never of single faces. Without a `Telemetry` nothing is measured.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

Samples: TypeAlias = Iterable[tuple[float, Mapping[str, str]]]
"""Values with their labels."""
PAGE_TYPE = "text/plain; version=0.0.4"


class Telemetry:
    """The instruments of one process.

    Args:
        scope: the part of Mien that is measured, such as «mien.worker».
    """

    def __init__(self, scope: str) -> None:
        self._registry = CollectorRegistry()
        reader = PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=self._registry)
        self._provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
        self._meter = self._provider.get_meter(scope)

    def counter(self, name: str, text: str, read: Callable[[], Samples]) -> None:
        """Show totals since the start; Prometheus adds `_total` to the name."""
        self._meter.create_observable_counter(name, [_observed(read)], description=text)

    def gauge(self, name: str, text: str, read: Callable[[], Samples]) -> None:
        """Show values as they are now."""
        self._meter.create_observable_gauge(name, [_observed(read)], description=text)

    def histogram(self, name: str, text: str, bounds: Sequence[float]) -> Callable[[float, Mapping[str, str]], None]:
        """Return what takes a value and its labels, to be called once per block of work."""
        made = self._meter.create_histogram(name, description=text, explicit_bucket_boundaries_advisory=list(bounds))

        def record(value: float, labels: Mapping[str, str]) -> None:
            made.record(value, labels)

        return record

    def page(self) -> str:
        """Return all values in the text format of Prometheus."""
        return generate_latest(self._registry).decode()

    def close(self) -> None:
        """Measure no more."""
        self._provider.shutdown()


def _observed(read: Callable[[], Samples]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(value, labels) for value, labels in read()]
