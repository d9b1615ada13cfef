import itertools
import random

import cv2
import numpy as np
import pytest

from bench.faults.control import Control
from bench.faults.reading import NumberEngine, card, numbers_of
from bench.faults.source import Numbers, Plan, numbers_in, one_source_per_partition, picture, source_name
from contract.points import VALUE_STEP
from contract.records import Face, Progress
from contract.topics import PARTITIONS, partition_of
from worker.reading.crops import pixels
from worker.reading.reader import Reader

CHANCE = random.Random(1)  # noqa: S311
SOME = [
    Numbers(CHANCE.randrange(4096), CHANCE.randrange(256), CHANCE.randrange(1 << 24), CHANCE.randrange(255))
    for _ in range(200)
]


def test_a_picture_still_spells_its_numbers_after_jpeg() -> None:
    for numbers in SOME:
        decoded = cv2.imdecode(np.frombuffer(picture(numbers), np.uint8), cv2.IMREAD_COLOR_RGB)
        assert numbers_in(np.asarray(decoded, np.uint8)) == numbers


def test_a_picture_with_one_block_turned_is_refused() -> None:
    decoded = np.array(cv2.imdecode(np.frombuffer(picture(SOME[0]), np.uint8), cv2.IMREAD_COLOR_RGB))
    decoded[:8, :8] = 255 - decoded[:8, :8]
    with pytest.raises(ValueError, match="checksum"):
        numbers_in(decoded)


def test_the_reading_gives_the_numbers_back_exactly(tmp_path) -> None:
    reader = Reader([NumberEngine(card(7), Control(tmp_path / "none"))])
    values = reader([pixels(picture(numbers)) for numbers in SOME])
    words = np.rint(values.astype(np.float64) * VALUE_STEP).astype(np.int64)
    assert [numbers_of(row) for row in words] == [(numbers, 7) for numbers in SOME]


def test_sequences_rise_by_one_from_the_opening_to_the_closing() -> None:
    plan = Plan((3,), faces=3)
    frames = [record for frame in range(25) for record in plan.frame(3, frame)]
    records = [plan.opening(3), *frames, plan.closing(3, 25)]
    assert [record.sequence for record in records] == list(range(len(records)))
    assert sum(isinstance(record, Face) for record in records) == len(plan.expected({3: 25})) == 75
    assert sum(isinstance(record, Progress) for record in records) == 3


def test_every_partition_has_one_source() -> None:
    sources = one_source_per_partition()
    assert sorted(partition_of(source_name(source), PARTITIONS) for source in sources) == list(range(PARTITIONS))
    assert all(first != second for first, second in itertools.pairwise(sorted(sources)))
