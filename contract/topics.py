"""The Kafka topics: their names, their settings, and on which partition a source lies."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

FACES = "mien.faces.v1"  # everything a source says, keyed by source id; a source lies on one partition, in order
REJECTED = "mien.rejected.v1"  # what could not be read: reason, place, hash; never the picture
SOURCES = "mien.sources.v1"  # compacted: the wanted state of each source (cameras for ever; not read yet)

PARTITIONS = 12
MESSAGE_LIMIT = 1 << 20  # bytes of one record; a crop of 160 px has some 8 KB
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is created. The partition count is fixed then: more would move sources to other partitions."""

    name: str
    partitions: int
    config: Mapping[str, str]


def topics(partitions: int = PARTITIONS, *, retention_ms: int = 24 * HOUR_MS) -> tuple[Topic, ...]:
    """The topics of a cluster.

    Crops are personal data and live in the log alone: `retention_ms` must outlast the worst outage of the store and
    the workers' lag, and no more (docs/delivery.md).
    """
    common = {"unclean.leader.election.enable": "false", "message.timestamp.type": "CreateTime"}
    # JPEG grows no smaller. The broker unpacks what comes packed, and so holds what it unpacks to against the limit:
    # 64 KB of gzip would else be 64 MB in every worker, and a codec that they lack would stop them.
    limit = {"max.message.bytes": str(MESSAGE_LIMIT), "compression.type": "uncompressed"}
    return (
        Topic(FACES, partitions, {**common, **limit, "cleanup.policy": "delete", "retention.ms": str(retention_ms)}),
        Topic(REJECTED, 1, {**common, "cleanup.policy": "delete", "retention.ms": str(7 * 24 * HOUR_MS)}),
        Topic(SOURCES, partitions, {**common, "cleanup.policy": "compact"}),
    )


def partition_of(source: str, partitions: int) -> int:
    """The partition on which a source lies, for every producer and every reader."""
    return zlib.crc32(source.encode()) % partitions
