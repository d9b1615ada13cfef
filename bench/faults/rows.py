"""All cases, in the order of the matrix in the reference: rows 8 to 25, 27, 31 and 33 to 40."""

from collections.abc import Collection, Iterator

from bench.faults.cases import foreign, ingests, kafka, nemesis, redis, strange, workers
from bench.faults.setting import Case

CASES: tuple[Case, ...] = tuple(
    sorted(
        (*kafka.CASES, *workers.CASES, *redis.CASES, *strange.CASES, *nemesis.CASES, *ingests.CASES, *foreign.CASES),
        key=lambda case: case.row,
    )
)


def cases(rows: Collection[int]) -> Iterator[Case]:
    """The cases of these rows; of all where none is named."""
    return (case for case in CASES if not rows or case.row in rows)
