"""Partitions that are behind the end of the log and do not move."""

from collections.abc import Iterable

from kafka.errors import KafkaError

from worker.kafka.member import Member
from worker.kafka.partition import Partition


def stuck_among(partitions: Iterable[Partition], member: Member, now: float, progress_s: float) -> list[Partition]:
    """Those with records left at the brokers that have not moved for `progress_s`; notes the ends of all of them.

    Args:
        now: s of a clock that never goes back.
    """
    begun = [partition for partition in partitions if partition.is_begun]
    try:
        ends = member.ends(partition.number for partition in begun) if begun else {}
    except (KafkaError, KeyError, AttributeError):  # no broker: nobody could move
        ends = {}
    return [partition for partition in begun if partition.is_stuck(ends.get(partition.number), now, progress_s)]
