"""Reads faces: decodes the crops that are worth it, and shows them to the nets together."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

from contract.records import Crop, Delivery, Face
from worker.counters import Counters
from worker.reading.crops import Decoder, UnreadableCrop
from worker.reading.poison import read_isolating
from worker.reading.reader import Reading, Values
from worker.reading.shed import is_stale

Watching = Callable[[], AbstractContextManager[None]]
Crops: TypeAlias = Mapping[int, Crop | UnreadableCrop]
"""Crops as the reader wants them, or what is wrong with them, by the number of their delivery in the batch."""
FaceReading: TypeAlias = tuple[Crop, Values] | str
"""A face's crop as it was shown and its reading, (channels,) float32 in 0..1; or why it has none."""


class FaceReader:
    """Decodes and reads the faces of a batch; remembers nothing between two batches.

    Args:
        watching: entered while the nets read.
        now_us: µs since the epoch, for what goes stale.
    """

    def __init__(
        self,
        reader: Reading,
        counters: Counters,
        *,
        now_us: Callable[[], int],
        decode_threads: int = 1,
        watching: Watching = nullcontext,
    ) -> None:
        self._reader = reader
        self._counters = counters
        self._now_us = now_us
        self._decoder = Decoder(decode_threads)
        self._watching = watching

    def decode(self, deliveries: Sequence[Delivery]) -> Crops:
        """The crops of the faces that are worth reading; stale faces and other records have none."""
        now_us = self._now_us()
        crop_of = {
            number: delivery.record.crop
            for number, delivery in enumerate(deliveries)
            if isinstance(delivery.record, Face) and not is_stale(delivery, now_us)
        }
        if self._reader.wants == "bytes":
            return crop_of
        with self._counters.timed("decode"):
            return dict(zip(crop_of, self._decoder(list(crop_of.values())), strict=True))

    def read(self, crops: Crops) -> dict[int, FaceReading]:
        """The reading of each crop, by the same numbers.

        Raises:
            MienError: of the engine.
        """
        shown = {number: crop for number, crop in crops.items() if not isinstance(crop, UnreadableCrop)}
        with self._counters.timed("read"):
            readings = read_isolating(self._reader, list(shown.values()), self._watching)
        self._counters.crops += len(shown)
        found: dict[int, FaceReading] = {
            number: reading if isinstance(reading, str) else (crop, reading)
            for (number, crop), reading in zip(shown.items(), readings, strict=True)
        }
        return found | {number: str(crop) for number, crop in crops.items() if isinstance(crop, UnreadableCrop)}
