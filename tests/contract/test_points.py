import struct
import time
from typing import Any

import numpy as np
import pytest

from contract.points import CHUNK_US, chunk_of, pack, packed, point_dtype, unpack
from contract.readings import Point
from contract.records import Face


def a_point(event_time: int = 0, frame: int = 7, values: object = (0.25, 0.75), **changes: Any) -> Point:
    fields: dict[str, Any] = {
        "box_xywh": (10.5, 20.5, 30.0, 41.0),
        "quality": 0.5,
        "sharpness": 0.6,
        "yaw_deg": -12.4,
        "pitch_deg": 3.0,
        "roll_deg": 40.0,
        "score": 0.9,
        **changes,
    }
    face = Face(
        source="cam", session="s1", sequence=1, event_time=event_time, frame=frame, track=1, person="ann", crop=b"",
        **fields,
    )  # fmt: skip
    return Point(face, np.array(values, np.float32) if isinstance(values, tuple) else values)  # type: ignore[arg-type]


def test_the_layout_is_little_endian_and_has_no_holes() -> None:
    body = pack([a_point(CHUNK_US + 40_000)], 1)

    assert body == struct.pack(
        "<II4h3B3b2H", 40_000, 7, 21, 41, 60, 82, 128, 153, 230, -12, 3, 40, round(0.25 * 65535), round(0.75 * 65535)
    )
    assert point_dtype(2).itemsize == len(body) == 26


def test_what_was_packed_is_unpacked_within_half_a_step() -> None:
    rng = np.random.default_rng(1)
    points = [
        a_point(
            int(rng.integers(0, CHUNK_US)),
            box_xywh=tuple(rng.uniform(-8000, 8000, 4)),
            quality=rng.uniform(),
            yaw_deg=rng.uniform(-90, 90),
            values=rng.uniform(0, 1, 8).astype(np.float32),
        )
        for _ in range(200)
    ]
    points.sort(key=lambda point: point.face.event_time)

    seen = unpack([(0, pack(points, 0))], 8)

    assert seen.event_time.tolist() == [point.face.event_time for point in points]
    assert np.abs(seen.box_xywh - [point.face.box_xywh for point in points]).max() <= 0.25 + 1e-3  # + float32 at 8,000
    assert np.abs(seen.values - [point.values for point in points]).max() <= 0.5 / 65535 + 1e-7  # + float32
    assert np.abs(seen.quality - [point.face.quality for point in points]).max() <= 0.5 / 255 + 1e-7
    assert np.abs(seen.angles_deg[:, 0] - [point.face.yaw_deg for point in points]).max() <= 0.5


def test_chunks_and_their_parts_come_out_sorted_by_time() -> None:
    late, early = [a_point(CHUNK_US + t) for t in (5, 3)], [a_point(t) for t in (9, 1)]
    parts = [(1, pack(late, 1)), (0, pack(early[:1], 0)), (0, pack(early[1:], 0))]

    assert unpack(parts, 2).event_time.tolist() == [1, 9, CHUNK_US + 3, CHUNK_US + 5]


def test_times_before_the_epoch_lie_in_chunks_below_zero() -> None:
    point = a_point(-1)

    assert chunk_of(-1) == -1
    assert unpack([(-1, pack([point], -1))], 2).event_time.tolist() == [-1]


def test_what_lies_outside_its_range_is_clipped() -> None:
    odd = a_point(
        box_xywh=(-9e9, 9e9, 0.0, 1.0),
        quality=1.5,
        sharpness=-0.5,
        roll_deg=180.0,
        yaw_deg=-180.0,
        values=np.array([-0.1, 1.1], np.float32),
    )

    seen = unpack([(0, pack([odd], 0))], 2)

    assert seen.box_xywh[0].tolist() == [-16384.0, 16383.5, 0.0, 1.0]
    assert (seen.quality[0], seen.sharpness[0]) == (1.0, 0.0)
    assert seen.angles_deg[0].tolist() == [-128.0, 3.0, 127.0]
    assert seen.values[0].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([a_point(values=np.array([np.nan, 0], np.float32))], "not a finite number"),
        ([a_point(box_xywh=(0.0, 0.0, np.inf, 1.0))], "not a finite number"),
        ([a_point(score=np.nan)], "not a finite number"),
        ([a_point(), a_point(values=np.zeros(3, np.float32))], r"shapes \[\(2,\), \(3,\)\]"),
        ([a_point(values=np.zeros((2, 1), np.float32))], "one axis"),
        ([a_point(values=np.zeros(2, np.int64))], "int64.*wanted floats"),
        ([a_point(values=[0.0, 1.0])], "list.*wanted arrays"),
        ([a_point(box_xywh=(1.0, 2.0, 3.0))], "not enough values"),
        ([a_point(frame=-1)], "frame numbers -1"),
        ([a_point(frame=2**32)], "frame numbers 4294967296"),
        ([a_point(CHUNK_US)], "minute 1 in the chunk of minute 0"),
    ],
)
def test_a_point_that_does_not_fit_is_named(points: list[Point], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pack(points, 0)


def test_values_are_packed_however_they_lie_in_memory() -> None:
    table = np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)
    apart = [a_point(n, values=column) for n, column in enumerate(table.T)]  # every second number

    packed_apart = pack(apart, 0)

    assert packed_apart == pack([a_point(n, values=column.copy()) for n, column in enumerate(table.T)], 0)
    assert packed_apart == pack([a_point(n, values=column.astype(float)) for n, column in enumerate(table.T)], 0)


def test_no_points_are_no_bytes_and_no_columns() -> None:
    assert pack([], 0) == b""
    assert len(unpack([], 8)) == 0
    assert unpack([], 8).values.shape == (0, 8)


def test_packing_together_costs_a_fraction_of_packing_one_by_one() -> None:
    points = [a_point(n, values=np.zeros(8, np.float32)) for n in range(64)]

    def cpu_s(work: object) -> float:
        begun = time.thread_time()
        for _ in range(20):
            work()  # type: ignore[operator]
        return time.thread_time() - begun

    together = min(cpu_s(lambda: packed(points)) for _ in range(5))
    apart = min(cpu_s(lambda: [packed([point]) for point in points]) for _ in range(5))

    assert together < apart / 4  # measured: 1/30; a commit packs its whole batch at once for this reason
