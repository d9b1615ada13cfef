"""Timelines are read some minutes at a time, in order, whatever schemas and layers the points lie in."""

import dataclasses

import numpy as np
import pytest

from contract.points import CHUNK_US, Columns
from contract.readings import Channel, ChannelKind, NetVersion, ReadingSchema
from mien.output.contents import gaps_of, low_quality, name_of, recorded_at
from mien.timelines import joined, seconds_since, timelines
from query.store import GapSpan, Person, Session

OLD = ReadingSchema((NetVersion("old", "1", "a" * 64),), (Channel("happiness", ChannelKind.EXPRESSION),))
NEW = ReadingSchema(
    (NetVersion("new", "1", "b" * 64), NetVersion("units", "1", "c" * 64)),
    (Channel("happiness", ChannelKind.EXPRESSION), Channel("AU12", ChannelKind.ACTION_UNIT)),
)
OPENED = 30_000_000  # µs
SESSION = Session(
    source="clip",
    id="s",
    uri="clip.mp4",
    opened_at=OPENED,
    dated=False,
    size_wh=(640, 480),
    fps=25.0,
    sample_hz=None,
    keeps_pictures=False,
    complete_until=OPENED + 10_000_000,
    frames=250,
    looked_at=250,
    closed=True,
    gaps=(),
)


def columns(times_s, channels):
    """Points at these seconds of the session; a value is the second plus the channel's number."""
    event_time = OPENED + (np.array(times_s) * 1_000_000).astype(np.int64)
    count = len(event_time)
    ones = np.ones(count, np.float32)
    values = np.array(times_s, np.float32)[:, None] + np.arange(channels, dtype=np.float32)
    box, angles = np.zeros((count, 4), np.float32), np.zeros((count, 3), np.float32)
    return Columns(event_time, (np.array(times_s) * 25).astype(np.int64), box, ones, ones, ones, angles, values)


class Stored:
    """A snapshot with one person, whose points lie in these (chunk, schema id, columns)."""

    def __init__(self, *parts):
        self._parts = parts
        self.asked = 0

    def people(self, source, after):
        yield Person(id="p", source="clip", session="s", first_time=0, last_time=1, points=9, has_picture=False)
        yield Person(id="q", source="clip", session="other", first_time=0, last_time=1, points=9, has_picture=False)

    def schemas(self, person, begin, end):
        return {"old": OLD, "new": NEW}

    def points(self, person, begin, end):
        for part in self._parts:
            self.asked += 1
            yield part


def test_only_the_people_of_the_session_are_there_and_nothing_is_read_before_it_is_asked_for():
    stored = Stored((0, "old", columns([1, 2], 1)))

    (timeline,) = timelines(stored, SESSION)

    assert (timeline.person.id, stored.asked) == ("p", 0)
    assert [net.name for net in timeline.nets] == ["old", "new", "units"]


def test_a_minute_at_a_time_is_read():
    stored = Stored(*((minute, "old", columns([minute * 60 + 1], 1)) for minute in range(5)))
    (timeline,) = timelines(stored, SESSION)

    blocks = timeline.blocks()

    assert next(blocks).time_s.tolist() == [1.0]
    assert stored.asked <= 2  # the second one ends the first block


def test_points_of_two_schemas_in_one_minute_are_in_order_with_nothing_where_a_net_did_not_read():
    (timeline,) = timelines(Stored((0, "new", columns([2, 4], 2)), (0, "old", columns([1, 3], 1))), SESSION)

    block = timeline.whole()

    assert block.time_s.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert block.of_kind(ChannelKind.EXPRESSION)["happiness"].tolist() == [1.0, 2.0, 3.0, 4.0]
    units = block.of_kind(ChannelKind.ACTION_UNIT)["AU12"]
    assert np.isnan(units).tolist() == [True, False, True, False]
    assert units[[1, 3]].tolist() == [3.0, 5.0]


def test_blocks_one_after_the_other_are_the_whole():
    parts = [(minute, "old", columns([minute * 60 + s for s in range(3)], 1)) for minute in range(3)]
    (timeline,) = timelines(Stored(*parts), SESSION)

    whole = joined(list(timeline.blocks()), timeline.channels)

    assert len(whole) == len(whole.points) == 9
    assert (np.diff(whole.time_s) > 0).all()
    assert whole.points.event_time[0] == OPENED
    assert CHUNK_US == 60_000_000


def test_nobody_s_points_are_an_empty_block():
    (timeline,) = timelines(Stored(), SESSION)

    assert len(timeline.whole()) == 0
    assert set(timeline.whole().values) == set(timeline.channels)


def test_seconds_count_from_the_first_frame():
    assert seconds_since(SESSION, OPENED + 1_500_000) == 1.5


@pytest.mark.parametrize(
    ("name", "uri", "shown"), [("Anna", "a.mp4", "Anna"), (None, "a.mp4", "a.mp4"), (None, None, "clip")]
)
def test_a_source_is_shown_by_its_name_its_path_or_its_id(name, uri, shown):
    assert name_of(dataclasses.replace(SESSION, name=name, uri=uri)) == shown


def test_a_date_is_shown_only_where_it_is_known():
    assert recorded_at(SESSION) is None
    assert recorded_at(dataclasses.replace(SESSION, dated=True)) == "1970-01-01T00:00:30Z"


def test_stretches_with_faces_left_out_are_joined_also_across_other_gaps():
    spans = [(0, 1, "low_quality", 3), (1.5, 1.7, "decode_error", 0), (1.9, 3, "low_quality", 4)]
    spans += [(9, 10, "low_quality", 2)]
    gaps = tuple(GapSpan(int(b * 1e6), int(e * 1e6), reason, faces) for b, e, reason, faces in spans)
    session = dataclasses.replace(SESSION, gaps=gaps)

    found = [(gap.begin / 1e6, gap.end / 1e6, gap.reason, gap.faces) for gap in gaps_of(session)]

    assert found == [(0, 3, "low_quality", 7), (1.5, 1.7, "decode_error", 0), (9, 10, "low_quality", 2)]
    assert low_quality(session) == 9
