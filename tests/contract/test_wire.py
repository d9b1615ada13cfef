"""The bytes of records: round trips, recorded versions, and everything that must not get in."""

import math
import pickle
import struct
from collections.abc import Iterator
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contract.labels import GapReason
from contract.records import Erase, Face, Gap, Progress, Record, SessionOpened, Unreadable
from contract.topics import MESSAGE_LIMIT
from contract.wire import CONTENT_TYPE, STALE_AT, TRACEPARENT, WireTooNew, message_of, record_of

INT64_MAX = 2**63 - 1
FACE_TYPE = "application/vnd.mien.face+msgpack;v=1.0"
CROP = bytes.fromhex("ffd8ffdb00ffd9")

FACE = Face(
    source="cam",
    session="5e55",
    sequence=7,
    event_time=1_763_700_000_000_000,
    frame=12,
    track=3,
    person="cam.5e55.3",
    box_xywh=(10.5, -2.0, 40.0, 50.25),
    quality=0.5,
    sharpness=0.75,
    yaw_deg=-12.5,
    pitch_deg=3.0,
    roll_deg=179.5,
    score=1.0,
    crop=CROP,
)

# Bytes as the first release wrote them. They must be readable for as long as the major version is 1.
RECORDED_V1_0: list[tuple[str, str, Record]] = [
    (
        "session",
        "9aa363616da43565353500ad66696c653a636c69702e6d7034fbc392cd0280cd01e0cb4039000000000000c0c2",
        SessionOpened(
            source="cam",
            session="5e55",
            sequence=0,
            uri="file:clip.mp4",
            event_time=-5,
            dated=True,
            size_wh=(640, 480),
            fps=25.0,
            sample_hz=None,
            keeps_pictures=False,
        ),
    ),
    (
        "face",
        "9fa363616da43565353507cf0006441367fd88000c03aa63616d2e356535352e3394cb4025000000000000cbc000000000000000cb"
        "4044000000000000cb4049200000000000cb3fe0000000000000cb3fe8000000000000cbc029000000000000cb4008000000000000"
        "cb4066700000000000cb3ff0000000000000c407ffd8ffdb00ffd9",
        FACE,
    ),
    (
        "gap",
        "96a363616da43565353508cd9c40ce00013880ac6465636f64655f6572726f72",
        Gap(source="cam", session="5e55", sequence=8, begin=40_000, end=80_000, reason=GapReason.DECODE_ERROR),
    ),
    (
        "progress",
        "97a363616da43565353509ce000f4240190dc3",
        Progress(source="cam", session="5e55", sequence=9, event_time=1_000_000, frames=25, looked_at=13, closed=True),
    ),
    (
        "erase",
        "94a363616da5657261736500aa63616d2e356535352e33",
        Erase(source="cam", session="erase", sequence=0, person="cam.5e55.3"),
    ),
]


def a_message_of(body: Any, *, content_type: str = FACE_TYPE, key: bytes = b"cam") -> tuple[bytes, bytes, list[Any]]:
    return key, msgspec.msgpack.encode(body), [(CONTENT_TYPE, content_type.encode())]


def test_an_interruption_is_a_gap_with_counts_that_takes_no_number() -> None:
    gap = Gap(
        source="cam", session="5e55", sequence=8, begin=1, end=2, reason=GapReason.INTERRUPTED, frames=25, looked_at=13
    )
    message = message_of(gap)

    assert record_of(message.key, message.value, message.headers).record == gap
    assert gap.is_interruption
    assert not replace(gap, frames=None, looked_at=None).is_interruption  # as 1.0 wrote it


def the_body(record: Record) -> list[Any]:
    body = msgspec.msgpack.decode(message_of(record).value)
    assert isinstance(body, list)
    return body


def reason_of(key: bytes | None, value: bytes | None, headers: list[Any]) -> str:
    read = record_of(key, value, headers)
    assert isinstance(read.record, Unreadable), f"{read} is no poison"
    assert read.record.reason.isprintable()
    assert len(read.record.reason) <= 300
    assert read.record.key.isprintable()
    assert len(read.record.key) <= 128
    return read.record.reason


def test_a_face_is_read_as_it_was_written() -> None:
    message = message_of(FACE, stale_at=1_763_700_002_000_000, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")

    read = record_of(message.key, message.value, message.headers)

    assert message.key == b"cam"
    assert read.record == FACE
    assert read.stale_at == 1_763_700_002_000_000
    assert read.traceparent == "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def test_raw_pixels_do_not_get_onto_the_wire() -> None:
    with pytest.raises(TypeError, match="ndarray, wanted JPEG bytes"):
        message_of(replace(FACE, crop=np.zeros((160, 160, 3), np.uint8)))


@pytest.mark.parametrize(("kind", "recorded", "record"), RECORDED_V1_0)
def test_bytes_of_the_first_version_are_read_for_ever(kind: str, recorded: str, record: Record) -> None:
    value = bytes.fromhex(recorded)

    read = record_of(b"cam", value, [(CONTENT_TYPE, f"application/vnd.mien.{kind}+msgpack;v=1.0".encode())])

    assert read.record == record
    fields = msgspec.msgpack.decode(value)
    assert msgspec.msgpack.decode(message_of(record).value)[: len(fields)] == fields  # later versions only append


@pytest.mark.parametrize("extra", [["new"], [{"nested": [1, 2]}, None, 2.5], [b"x" * 5000]])
def test_fields_of_a_newer_minor_version_are_passed_over(extra: list[Any]) -> None:
    key, value, headers = a_message_of(the_body(FACE) + extra, content_type="application/vnd.mien.face+msgpack;v=1.1")

    assert record_of(key, value, headers).record == FACE


@pytest.mark.parametrize("version", ["2.0", "2.9", "255.0"])
def test_a_newer_major_version_is_neither_read_nor_rejected(version: str) -> None:
    content_type = f"application/vnd.mien.anything_new+msgpack;v={version}".encode()

    with pytest.raises(WireTooNew, match=f"v={version}"):
        record_of(b"cam", b"\x00\x01", [(CONTENT_TYPE, content_type)])


NAMES = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=40)
COUNTS = st.integers(0, INT64_MAX)
TIMES = st.integers(-INT64_MAX, INT64_MAX)
SHARES = st.floats(0, 1)
ANGLES = st.floats(-180, 180)
PLACES, EXTENTS = st.floats(-1e6, 1e6), st.floats(0, 1e6)
RATES = st.none() | st.floats(1e-9, 1e9)
HEAD: dict[str, st.SearchStrategy[Any]] = {"source": NAMES, "session": NAMES, "sequence": COUNTS}
RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(
        SessionOpened,
        **HEAD,
        uri=st.text(st.characters(codec="utf-8"), max_size=80),
        event_time=TIMES,
        dated=st.booleans(),
        size_wh=st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)),
        fps=RATES,
        sample_hz=RATES,
        keeps_pictures=st.booleans(),
        name=st.text(st.characters(codec="utf-8"), max_size=80),
        settings=st.text(st.characters(codec="utf-8"), max_size=80),
    ),
    st.builds(
        Face,
        **HEAD,
        event_time=TIMES,
        frame=st.integers(0, 2**32 - 1),
        track=COUNTS,
        person=NAMES,
        box_xywh=st.tuples(PLACES, PLACES, EXTENTS, EXTENTS),
        quality=SHARES,
        sharpness=SHARES,
        yaw_deg=ANGLES,
        pitch_deg=ANGLES,
        roll_deg=ANGLES,
        score=SHARES,
        crop=st.binary(max_size=200).map(lambda tail: b"\xff\xd8" + tail),
    ),
    st.tuples(TIMES, TIMES).flatmap(
        lambda ends: st.builds(
            Gap,
            **HEAD,
            begin=st.just(min(ends)),
            end=st.just(max(ends)),
            reason=st.sampled_from(GapReason),
            faces=COUNTS,
        )
    ),
    st.builds(Progress, **HEAD, event_time=TIMES, frames=COUNTS, looked_at=COUNTS, closed=st.booleans()),
    st.builds(Erase, **HEAD, person=NAMES),
)


@given(RECORDS, st.none() | st.integers(0, 10**18 - 1))
@settings(max_examples=300, deadline=None)
def test_every_record_survives_the_wire(record: Record, stale_at: int | None) -> None:
    message = message_of(record, stale_at=stale_at)

    read = record_of(message.key, message.value, message.headers)

    assert (read.record, read.stale_at) == (record, stale_at)


def test_the_name_of_a_file_need_not_be_utf_8() -> None:
    opened = SessionOpened(
        source="cam",
        session="s",
        sequence=0,
        uri="clip\udcff.mp4",
        event_time=0,
        dated=False,
        size_wh=(640, 480),
        fps=None,
        sample_hz=None,
        keeps_pictures=False,
    )
    message = message_of(opened)

    read = record_of(message.key, message.value, message.headers)

    assert read.record == replace(opened, uri=r"clip\udcff.mp4")


def test_a_message_without_value_or_key_is_poison() -> None:
    key, value, headers = a_message_of(the_body(FACE))

    assert reason_of(key, None, headers) == "no value, wanted a record"
    assert "under the key None" in reason_of(None, value, headers)
    assert "content type b''" in reason_of(key, value, [])


def test_poison_names_its_key_its_hash_and_its_size() -> None:
    read = record_of(b"cam\n\xff\x00" + b"x" * 5000, b"junk", [(CONTENT_TYPE, FACE_TYPE.encode())])

    assert isinstance(read.record, Unreadable)
    assert read.record.key.startswith(r"cam\n\xff\x00xxx")
    assert read.record.key.endswith("…")
    assert len(read.record.key) == 128
    assert read.record.size == 4
    assert read.record.sha256 == "ef875a1705a5fdac206be996f4dc1f726ea6b68861eb741c37def7277f179e37"


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"application/json",
        b"application/vnd.mien.face+msgpack",
        b"application/vnd.mien.face+msgpack;v=0.0",  # never written
        b"application/vnd.mien.face+msgpack;v=1",
        b"application/vnd.mien.face+msgpack;v=-1.0",
        b"application/vnd.mien.face+msgpack;v=99999999.0",
        b"application/vnd.mien.face+msgpack;v=1.0\n",
        b"application/vnd.mien.landmarks+msgpack;v=1.0",  # a new kind needs a new major version
        b"\xff\xfe" * 5000,
    ],
)
def test_an_unknown_content_type_is_poison(content_type: bytes) -> None:
    key, value, _ = a_message_of(the_body(FACE))

    assert reason_of(key, value, [(CONTENT_TYPE, content_type)]).startswith("content type")


@pytest.mark.parametrize("name", [CONTENT_TYPE, STALE_AT, TRACEPARENT])
def test_a_header_of_ours_that_comes_twice_is_poison(name: str) -> None:
    message = message_of(FACE, stale_at=5, traceparent="00-a-b-01")
    again = [header for header in message.headers if header[0] == name]

    assert reason_of(message.key, message.value, message.headers + again) == f"the header {name} more than once"


def test_headers_of_others_are_passed_over() -> None:
    message = message_of(FACE)

    read = record_of(message.key, message.value, [*message.headers, ("baggage", b"a"), ("baggage", None)])

    assert read.record == FACE


@pytest.mark.parametrize("text", [b"", b"-5", b"1.5", b"1_000", b" 5", b"9" * 19, b"\xd9\xa1"])
def test_a_time_of_staleness_that_is_no_time_is_poison(text: bytes) -> None:
    message = message_of(FACE)

    assert "stale-at" in reason_of(message.key, message.value, [*message.headers, (STALE_AT, text)])


FIELDS = [
    "source",
    "session",
    "sequence",
    "event_time",
    "frame",
    "track",
    "person",
    "box",
    "quality",
    "sharpness",
    "yaw",
    "pitch",
    "roll",
    "score",
    "crop",
]
BAD_FIELDS: list[tuple[str, Any]] = [
    *[("source", name) for name in ("", "a\nb", "a\x00", "a\u202eb", "a\x7f", "x" * 513, "ä" * 257, "x" * 4096, 5)],
    *[("session", name) for name in ("", "s\r", "s" * 600, None)],
    *[("person", name) for name in ("", "ann\u2028", "p" * 513, b"ann")],
    *[("sequence", number) for number in (-1, 2**63, 2**64 - 1, 1.0, "1", True, None)],
    *[("event_time", time) for time in (-(2**63), 2**63, math.nan, math.inf, 1.5, "now")],
    *[("frame", number) for number in (-1, 2**32, 2**31 + 0.5)],
    *[("track", number) for number in (-1, 2**63)],
    *[("box", box) for box in ([1, 2, 3], [1, 2, 3, 4, 5], [math.nan, 0, 1, 1], [0, math.inf, 1, 1], [0, 0, -1, 1], 0)],
    *[(name, share) for name in ("quality", "sharpness", "score") for share in (-0.1, 1.1, math.nan, math.inf, "1")],
    *[(name, angle) for name in ("yaw", "pitch", "roll") for angle in (-181.0, 200.0, math.nan, -math.inf, None)],
    *[("crop", crop) for crop in ("ffd8", [255, 216], None, 7)],
]


@pytest.mark.parametrize(("name", "value"), BAD_FIELDS)
def test_a_field_outside_its_range_is_poison(name: str, value: Any) -> None:
    body = the_body(FACE)
    body[FIELDS.index(name)] = value
    key = body[0].encode() if isinstance(body[0], str) else b"cam"

    reason = reason_of(*a_message_of(body, key=key))

    assert f"$[{FIELDS.index(name)}]" in reason or name in reason  # msgspec numbers the fields


@pytest.mark.parametrize("crop", [b"", b"\xff", b"\x89PNG\r\n\x1a\n", pickle.dumps([1])])
def test_a_crop_that_is_no_jpeg_is_left_to_who_decodes_it_so_that_its_gap_is_known(crop: bytes) -> None:
    body = the_body(FACE)
    body[FIELDS.index("crop")] = crop

    record = record_of(*a_message_of(body)).record

    assert record == replace(FACE, crop=crop)


def test_names_that_only_look_dangerous_pass() -> None:
    named = replace(FACE, source="{7}:*%", session="ü{}", person="a b'\"<script>")
    message = message_of(named)

    assert record_of(message.key, message.value, message.headers).record == named


def test_a_key_that_is_not_the_source_is_poison() -> None:
    key, value, headers = a_message_of(the_body(FACE), key=b"other")

    assert reason_of(key, value, headers) == "source 'cam' under the key b'other', wanted them equal"


def test_a_gap_with_an_unknown_reason_or_reversed_is_poison() -> None:
    gap = Gap(source="cam", session="s", sequence=1, begin=5, end=9, reason=GapReason.DROPPED)
    gap_type = FACE_TYPE.replace("face", "gap")

    assert "Invalid enum value" in reason_of(*a_message_of([*the_body(gap)[:5], "lunch"], content_type=gap_type))
    assert "from 5 to 4" in reason_of(*a_message_of(["cam", "s", 1, 5, 4, "dropped"], content_type=gap_type))


@pytest.mark.parametrize("size_wh", [(0, 480), (-1, 1), (65_536, 480), (2**31, 2**31), (1.5, 2), (640,)])
def test_an_opening_of_impossible_size_is_poison(size_wh: tuple[Any, ...]) -> None:
    body = ["cam", "s", 0, "file:x", 0, False, size_wh, 25.0, None, False]

    reason_of(*a_message_of(body, content_type=FACE_TYPE.replace("face", "session")))


def bodies_of_no_record() -> Iterator[tuple[str, bytes]]:
    whole = message_of(FACE).value
    yield "empty", b""
    yield "random", np.random.default_rng(4).bytes(3000)
    yield "truncated", whole[:-1]
    yield "half", whole[: len(whole) // 2]
    yield "something behind it", whole + b"\x00"
    yield "an object, not an array", msgspec.msgpack.encode({"source": "cam"})
    yield "json", b'["cam","s",1]'
    yield "pickle", pickle.dumps({"source": "cam"})
    yield "a bare jpeg", CROP
    yield "a bare png bomb", cv2.imencode(".png", np.zeros((4000, 4000), np.uint8))[1].tobytes()
    yield "array of 2^32 - 1", b"\xdd\xff\xff\xff\xff"
    yield "bytes of 2^32 - 1", b"\x9f\xc6\xff\xff\xff\xff"
    yield "deeply nested", b"\x91" * 500_000
    yield "deeply nested behind the fields", b"\xdc\x00\x10" + whole[1:] + b"\x91" * 500_000
    yield "deep maps behind the fields", b"\xdc\x00\x10" + whole[1:] + b"\x81\x00" * 200_000
    yield "ext types", b"\x9f" + b"\xd4\x01\x00" * 15
    yield "ext type as name", b"\x9f\xc7\x03\x05cam" + whole[5:]
    yield "not utf-8", b"\x9f\xa3ca\xff" + whole[5:]
    yield "a header of a struct", struct.pack("<4sIIQ", b"MIEN", 255, 2**31, 2**63)


@pytest.mark.parametrize(("what", "value"), list(bodies_of_no_record()))
def test_bytes_that_are_no_record_are_poison(what: str, value: bytes) -> None:
    reason_of(b"cam", value, [(CONTENT_TYPE, FACE_TYPE.encode())])


@pytest.mark.parametrize(("beyond", "readable"), [(-1, True), (0, True), (1, False), (MESSAGE_LIMIT, False)])
def test_a_record_is_bounded_by_the_message_limit(beyond: int, readable: bool) -> None:
    rest = len(message_of(replace(FACE, crop=b"\xff\xd8" + b"x" * 100_000)).value) - 100_002
    message = message_of(replace(FACE, crop=b"\xff\xd8" + b"x" * (MESSAGE_LIMIT + beyond - rest - 2)))
    assert len(message.value) == MESSAGE_LIMIT + beyond

    read = record_of(message.key, message.value, message.headers)

    assert isinstance(read.record, Face) is readable


@given(
    st.none() | st.binary(max_size=600),
    st.none() | st.binary(max_size=400),
    st.lists(
        st.tuples(
            st.sampled_from([CONTENT_TYPE, STALE_AT, TRACEPARENT, "x"]),
            st.none() | st.binary(max_size=60) | st.just(FACE_TYPE.encode()),
        ),
        max_size=4,
    ),
)
@settings(max_examples=500, deadline=None)
def test_random_bytes_never_raise(key: bytes | None, value: bytes | None, headers: list[Any]) -> None:
    assert isinstance(record_of(key, value, headers).record, Unreadable)


@given(RECORDS, st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4)), min_size=1, max_size=4), st.randoms())
@settings(max_examples=500, deadline=None)
def test_a_mutated_message_is_a_record_or_poison(record: Record, cuts: list[tuple[int, bytes]], dice: Any) -> None:
    message = message_of(record, stale_at=5)
    parts = [bytearray(message.key), bytearray(message.value), bytearray(message.headers[0][1])]
    for place, splice in cuts:
        part = dice.choice(parts)
        start = place % (len(part) + 1)
        part[start : start + dice.randrange(3)] = splice

    try:
        read = record_of(bytes(parts[0]), bytes(parts[1]), [(CONTENT_TYPE, bytes(parts[2])), *message.headers[1:]])
    except WireTooNew:
        assert b";v=" in parts[2]
        return

    if isinstance(read.record, Unreadable):
        assert read.record.reason.isprintable()
    else:  # still a record: then it is written and read again as the same
        again = message_of(read.record)
        assert record_of(again.key, again.value, again.headers).record == read.record
