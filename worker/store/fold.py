"""What a batch changes: one step of the fold, without any store.

The rule is that of DESIGN.md §4. An `Erase` neither looks at the high-water mark nor moves it: it may be repeated
harmlessly, and forgetting somebody must not depend on where the request was numbered.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from contract.points import CHUNK_US
from contract.readings import GAP_OF, Entry, Passed, PassedReason, Point
from contract.records import Erase, Gap, Progress, SessionOpened

SessionKey = tuple[str, str]
"""(source, session)"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a batch adds to one person."""

    source: str
    session: str
    first_time: int
    last_time: int
    points: int
    pictured: list[Point]  # those that carry a picture


@dataclass(slots=True)
class Changes:
    """The effect of a batch, to be written together with its offset."""

    marks: dict[SessionKey, int] = field(default_factory=dict)  # the new high-water marks
    opened: list[SessionOpened] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    progress: dict[SessionKey, Progress] = field(default_factory=dict)  # the last of each session
    passed: dict[PassedReason, int] = field(default_factory=lambda: dict.fromkeys(PassedReason, 0))
    erased: set[str] = field(default_factory=set)
    people: dict[str, list[Point]] = field(default_factory=dict)
    rows: defaultdict[tuple[str, int], list[int]] = field(  # (person, chunk) -> places among the points
        default_factory=lambda: defaultdict(list)
    )


def changes_of(
    entries: Sequence[Entry],
    marks: Mapping[SessionKey, int | None],
    erased_among: Callable[[set[str]], set[str]] | None,
) -> Changes:
    """What the entries change, given the stored marks of their sessions and which people the store has forgotten.

    `erased_among` None: the store itself passes over the points of people it has forgotten.
    """
    changes = Changes(erased={entry.person for entry in entries if type(entry) is Erase})
    forgotten = set(changes.erased)
    if erased_among is not None:
        forgotten |= erased_among({entry.person for entry in entries if type(entry) is Point})
    before = {key: -1 if mark is None else mark for key, mark in marks.items()}
    mark_of, rows = dict(before), changes.rows
    points: list[Point] = []
    for entry in entries:
        if type(entry) is Point:
            points.append(entry)
            key = (entry.source, entry.session)
            if entry.sequence > mark_of.get(key, -1):
                mark_of[key] = entry.sequence
                if entry.person not in forgotten:
                    rows[entry.person, entry.event_time // CHUNK_US].append(len(points) - 1)
        elif type(entry) is not Erase and _is_new(entry, mark_of):
            _note(entry, changes)
    changes.marks = {key: mark for key, mark in mark_of.items() if mark > before.get(key, -1)}
    of_person: defaultdict[str, list[int]] = defaultdict(list)
    for (person, _), places in rows.items():
        of_person[person] += places
    changes.people = {person: [points[place] for place in sorted(places)] for person, places in of_person.items()}
    return changes


def seen(points: Sequence[Point]) -> Seen:
    """What points of one person add to their row."""
    times = [point.event_time for point in points]
    return Seen(
        source=points[0].source,
        session=points[0].session,
        first_time=min(times),
        last_time=max(times),
        points=len(points),
        pictured=[point for point in points if point.picture is not None],
    )


def sessions_of(entries: Sequence[Entry]) -> set[SessionKey]:
    """The sessions whose marks a batch depends on."""
    return {
        (entry.source, entry.session)
        for entry in entries
        if type(entry) is not Erase and entry.source is not None and entry.session is not None
    }


def _is_new(entry: Entry, mark_of: dict[SessionKey, int]) -> bool:
    """Whether the entry is above its session's mark, which it raises; what names no session always is."""
    if entry.source is None or entry.session is None or entry.sequence is None:
        return True
    key = (entry.source, entry.session)
    if entry.sequence <= mark_of.get(key, -1):
        return False
    mark_of[key] = entry.sequence
    return True


def _note(entry: Entry, changes: Changes) -> None:
    if isinstance(entry, Gap):
        changes.gaps.append(entry)
    elif isinstance(entry, Progress):
        changes.progress[entry.source, entry.session] = entry
    elif isinstance(entry, SessionOpened):
        changes.opened.append(entry)
    elif isinstance(entry, Passed):
        changes.passed[entry.reason] += 1
        if entry.gap is not None:
            changes.gaps.append(gap_of(entry))


def gap_of(passed: Passed) -> Gap:
    """The gap that a delivery passed over leaves on the timeline."""
    assert passed.source is not None  # check.py has looked at all four
    assert passed.session is not None
    assert passed.sequence is not None
    assert passed.gap is not None
    begin, end = passed.gap
    return Gap(
        source=passed.source,
        session=passed.session,
        sequence=passed.sequence,
        begin=begin,
        end=end,
        reason=GAP_OF[passed.reason],
    )
