"""A real worker whose engine answers at once: `python -m bench.noop_worker bytes|pixels`."""

import os
import sys
from collections.abc import Sequence

import numpy as np

from contract.labels import EXPRESSIONS
from contract.readings import Channel, ChannelKind, NetVersion, ReadingSchema
from contract.records import Crop
from worker.reading.reader import Values, Wants
from worker.service import serve
from worker.settings import WorkerSettings


class NoEngine:
    """A `Reading` that says the same of every crop."""

    schema = ReadingSchema(
        (NetVersion("noop", "1", "0" * 64),), tuple(Channel(name, ChannelKind.EXPRESSION) for name in EXPRESSIONS)
    )

    def __init__(self, wants: Wants) -> None:
        self.wants = wants

    def __call__(self, crops: Sequence[Crop]) -> Values:
        """Equal shares."""
        return np.full((len(crops), len(EXPRESSIONS)), 1 / len(EXPRESSIONS), np.float32)


if __name__ == "__main__":
    settings = WorkerSettings(
        bootstrap=os.environ["MIEN_KAFKA_BOOTSTRAP"], redis=os.environ["MIEN_REDIS_URL"], health_port=0
    )
    sys.exit(serve(settings, lambda: NoEngine("bytes" if sys.argv[1] == "bytes" else "pixels")))
