import numpy as np
import pytest

from contract.keys import BUCKET_LEVELS_S
from contract.points import point_dtype
from worker.store.sums import bucket_sums

SECOND_US = 1_000_000


def some_rows(seconds: list[float]) -> np.ndarray:
    """Rows at these seconds of their minutes, else random."""
    rows = np.zeros(len(seconds), point_dtype(3))
    rng = np.random.default_rng(0)
    rows["dt_us"] = (np.array(seconds) * SECOND_US).astype(int)
    rows["quality"] = rng.integers(0, 256, len(rows))
    rows["values"] = rng.integers(0, 65_536, (len(rows), 3))
    return rows


@pytest.mark.parametrize(
    ("seconds", "counts"),
    [
        ([0.0], [1]),
        ([1.0, 2.0, 9.999999, 10.0, 11.5], [3, 2]),  # a bucket per chunk: one sum for all levels
        ([9.999999, 10.0, 59.9, 0.0], [3, 1]),
        ([31.0, 1.0, 30.0, 2.0, 45.0, 3.0], [4, 2]),  # late points come after early ones
    ],
)
def test_every_bucket_of_a_chunk_sums_its_rows(seconds: list[float], counts: list[int]) -> None:
    rows = some_rows(seconds)

    sums, added = bucket_sums(rows, counts)

    assert sums.dtype == "<u8"
    for chunk, own in enumerate(np.split(rows, np.cumsum(counts)[:-1])):
        found = {(BUCKET_LEVELS_S[place], bucket): sums[row].tolist() for place, bucket, row in added[chunk]}
        wanted: dict[tuple[int, int], list[int]] = {}
        for level in BUCKET_LEVELS_S:
            for row in own:
                total = wanted.setdefault((level, int(row["dt_us"]) // (level * SECOND_US)), [0] * 5)
                for place, number in enumerate([1, int(row["quality"]), *row["values"].tolist()]):
                    total[place] += number
        assert found == wanted
        assert len(added[chunk]) == len(found)  # no bucket is named twice
