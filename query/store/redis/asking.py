"""Questions to Redis that would otherwise cost a round trip each, or all of a server's memory at once."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

MEMBERS_AT_ONCE = 4_096

Member = tuple[float, bytes]
"""(score, member) of a sorted set, in its order."""
T = TypeVar("T")


def asked(server: Any, calls: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Return the replies to (name of a method, argument, …), in one round trip."""
    pipeline = server.pipeline(transaction=False)
    for name, *arguments in calls:
        getattr(pipeline, name)(*arguments)
    replies: list[Any] = pipeline.execute()
    return replies


def members(
    server: Any,
    key: str,
    low: int | str,
    high: int | str,
    after: Member | None = None,
    page: list[Any] | None = None,
    size: int = MEMBERS_AT_ONCE,
) -> Iterator[Member]:
    """Yield members of a sorted set with scores low..high, behind `after`; the first page of `size` may be at hand."""
    while True:
        if page is None:
            page = server.zrangebyscore(key, low if after is None else after[0], high, 0, size, True)
        last, filled = after, len(page) == size
        for member, score in page:
            if after is None or (score, member) > after:
                after = (score, member)
                yield after
        if not filled:
            return
        page, size = None, 2 * size if last == after else size  # one score may be that of more than a page


def batches(entries: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the entries in lists of this length, the last one shorter."""
    rest = iter(entries)
    while batch := list(islice(rest, size)):
        yield batch
