import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from contract.points import Columns
from contract.readings import ChannelKind
from mien.report import print_report
from mien.timelines import Block, Timeline
from query.store import GapSpan, Person, Session

SECOND = 1_000_000


def session(*, frames=250, looked_at=250, length_s=10.0, closed=True, gaps=(), source="clip"):
    return Session(
        source=source,
        id="7f3a",
        uri=f"{source}.mp4",
        opened_at=0,
        dated=False,
        size_wh=(640, 480),
        fps=25.0,
        sample_hz=None,
        keeps_pictures=False,
        complete_until=int(length_s * SECOND),
        frames=frames,
        looked_at=looked_at,
        closed=closed,
        gaps=tuple(GapSpan(int(begin * SECOND), int(end * SECOND), reason) for begin, end, reason in gaps),
    )


def seen_at(seconds, source="clip", more=(), units=()):
    time_s = np.array(seconds, np.float64)
    count = len(time_s)
    points = Columns(
        event_time=(time_s * SECOND).astype(np.int64),
        frame=np.arange(count),
        box_xywh=np.zeros((count, 4), np.float32),
        quality=np.ones(count, np.float32),
        sharpness=np.ones(count, np.float32),
        score=np.ones(count, np.float32),
        angles_deg=np.zeros((count, 3), np.float32),
        values=np.empty((count, 0), np.float32),
    )
    first, last = int(points.event_time[0]), int(points.event_time[-1])
    person = Person(
        id=f"{source}.7f3a.1",
        source=source,
        session="7f3a",
        first_time=first,
        last_time=last,
        points=count,
        has_picture=False,
    )
    values = {(ChannelKind.EXPRESSION, name): np.zeros(count, np.float32) for name in more}
    values |= {
        (ChannelKind.EXPRESSION, "neutral"): np.full(count, 0.1, np.float32),
        (ChannelKind.EXPRESSION, "happiness"): np.full(count, 0.9, np.float32),
    }
    values |= {(ChannelKind.ACTION_UNIT, name): np.full(count, 0.8, np.float32) for name in units}
    return Timeline(person, tuple(values), (), lambda: iter([Block(time_s, points, values)]))


def printed(contents, width=80, session_ids=False):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_report(console, contents, session_ids)
    return console.file.getvalue()


def strip(text):
    """The marks of the first person's line, without the columns beside them."""
    line = next(line for line in text.splitlines() if line.startswith("  1 "))
    return next(word for word in line.split() if set(word) <= set("nH·×") and len(word) > 5)


def test_frames_between_two_sampled_ones_are_not_called_unseen():
    every_two_seconds = session(looked_at=5)

    assert set(strip(printed([(every_two_seconds, [seen_at([0, 2, 4, 6, 8])])]))) == {"H"}


def test_a_sampled_frame_without_the_face_is_unseen_until_the_next_one():
    every_two_seconds = session(looked_at=5)
    marks = strip(printed([(every_two_seconds, [seen_at([0, 2, 6, 8])])]))

    middles = [(cell + 0.5) * 10 / len(marks) for cell in range(len(marks))]
    unseen = [cell for cell, s in enumerate(middles) if 4 <= s < 6 and cell != 6 * len(marks) // 10]  # holds second 6
    assert [cell for cell, mark in enumerate(marks) if mark == "·"] == unseen


def test_a_gap_inside_a_sampling_step_stays_a_gap():
    sampled = session(looked_at=4, gaps=[(2.5, 4.0, "decode_error")])
    marks = strip(printed([(sampled, [seen_at([0, 2, 4.1, 6, 8])])]))

    assert "×" in marks
    assert "·" not in marks


def test_a_session_that_another_run_left_says_that_it_is_not_finished():
    assert "not finished" in printed([(session(closed=False), [seen_at([0, 1])])])
    assert "not finished" not in printed([(session(), [seen_at([0, 1])])])


def test_an_interrupted_session_says_so_once():
    text = printed([(session(closed=False, gaps=[(4, 10, "interrupted")]), [seen_at([0, 1])])])

    assert "interrupted" in text
    assert "not finished" not in text


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_mark_and_its_name_stay_on_one_line(width):
    everything = seen_at([0, 1], more=("surprise", "sadness", "anger", "disgust", "fear", "contempt"))
    lines = printed([(session(), [everything])], width).splitlines()

    for mark in ("n neutral", "D disgust", "C contempt"):
        assert any(mark in line for line in lines)


def test_pictures_share_one_table():
    contents = [
        (session(source="anna", frames=1, looked_at=1), [seen_at([0], "anna")]),
        (session(source="empty", frames=1, looked_at=1), []),
    ]
    lines = [line.split() for line in printed(contents).splitlines() if line.strip()]

    assert [line[0] for line in lines] == ["picture", "anna.mp4", "empty.mp4"]
    assert lines[1][1:] == ["1", "happiness", "90%", "·", "neutral", "10%"]
    assert lines[2][1:] == ["no", "face", "was", "seen"]


def test_a_stored_person_can_be_asked_for_by_what_the_table_shows():
    text = printed([(session(), [seen_at([0, 1])])], session_ids=True)

    name, key = (line.rstrip() for line in text.splitlines()[1:3])
    assert name.startswith("clip.mp4  1 person")
    assert key == "  clip.7f3a"


def test_a_source_is_called_what_the_user_calls_it():
    named = dataclasses.replace(session(), name="Anna")

    assert printed([(named, [])]).split()[0] == "Anna"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_column_is_cut_where_units_are_shown(width):
    text = printed([(session(), [seen_at([0, 1], units=("AU6", "AU12"))])], width)

    assert "…" not in text
    assert all(word in text for word in ("person", "frames", "happiness", "AU6", "AU12"))


def test_faces_left_out_for_their_quality_are_counted_and_no_gap():
    gaps = [GapSpan(0, SECOND, "low_quality", 25), GapSpan(SECOND, 2 * SECOND, "low_quality", 5)]
    left_out = dataclasses.replace(session(), gaps=tuple(gaps))
    text = printed([(left_out, [seen_at([3, 4])])])

    assert "30 faces of low quality left out" in " ".join(text.split())
    assert "×" not in strip(text)


def test_many_gaps_do_not_fill_the_screen():
    holes = session(gaps=[(second, second + 0.5, "decode_error") for second in range(9)])
    text = " ".join(printed([(holes, [])]).split())

    assert text.count("decode error") == 3
    assert "and 6 more gaps" in text
