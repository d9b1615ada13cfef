"""Backpressure: a partition whose buffer is full is not fetched until half of it is free."""

from collections.abc import Mapping

from worker.kafka.buffers import Level
from worker.kafka.member import Member
from worker.kafka.partition import Partition
from worker.kafka.settings import KafkaSettings


def apply_backpressure(
    partitions: Mapping[int, Partition], levels: Mapping[int, Level], member: Member, settings: KafkaSettings
) -> None:
    """Pause partitions whose share of the buffers is full, resume those with half of it free."""
    share = min(settings.partition_bytes, settings.buffer_bytes // max(1, len(partitions)))
    for partition in list(partitions.values()):
        records, size = levels.get(partition.number, (0, 0))
        if partition.is_full:
            if 2 * records <= settings.partition_records and 2 * size <= share:
                partition.is_full = False
                if partition.flows:
                    member.resume(partition.number)
        elif records >= settings.partition_records or size >= share:
            partition.is_full = True
            member.pause(partition.number)
