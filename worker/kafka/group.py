"""The offsets that the consumer group shows to lag tools; nothing in Mien reads them back."""

from collections.abc import Container

from worker.kafka.member import Member


class GroupOffsets:
    """What the store has applied, committed to the group now and then."""

    def __init__(self) -> None:
        self.applied: dict[int, int] = {}  # next offset of the store, by partition; written by the worker's thread
        self.failures = 0
        self._committed: dict[int, int] = {}

    def commit(self, member: Member, partitions: Container[int]) -> None:
        """Commit what is new of these partitions; it may fail, and does whenever the group changes."""
        news = {
            number: offset
            for number, offset in self.applied.copy().items()
            if number in partitions and self._committed.get(number) != offset
        }
        if not news:
            return
        self._committed.update(news)
        try:
            member.commit(news, self._on_committed)
        except Exception as error:  # noqa: BLE001 - nothing depends on it, and the client may be closed already
            self._on_committed(error)

    def _on_committed(self, answer: object) -> None:
        if isinstance(answer, Exception):
            self.failures += 1
            self._committed.clear()
