"""What a batch changes: one step of the fold, without any store.

An entry counts if its sequence lies above its session's high-water mark, which it then raises. An interruption raises
none, and is gone when anything else of its session counts. An `Erase` neither looks at the mark nor moves it: it may be
repeated harmlessly, and forgetting somebody must not depend on where the request was numbered.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from contract.points import CHUNK_US
from contract.readings import GAP_OF, Entry, Point, Skipped, SkippedReason
from contract.records import Erase, Gap, Progress, SessionOpened
from worker.store.check import Batch

SessionKey = tuple[str, str]
"""(source, session)"""


@dataclass(slots=True)
class Seen:
    """What a batch adds to one person."""

    source: str
    session: str
    first_time: int
    last_time: int
    points: int
    pictured: list[Point]  # those that carry a picture
    chunks: dict[int, list[int]]  # chunk -> places among the points of the batch


@dataclass(slots=True)
class Changes:
    """The effect of a batch, to be written together with its offset."""

    erased: set[str]
    marks: dict[SessionKey, int] = field(default_factory=dict)  # the new high-water marks
    opened: list[SessionOpened] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    interruptions: dict[SessionKey, Gap] = field(default_factory=dict)  # the furthest of each session
    resumed: set[SessionKey] = field(default_factory=set)  # sessions of these that went on: only the counts stay
    progress: dict[SessionKey, Progress] = field(default_factory=dict)  # the last of each session
    skipped: dict[SkippedReason, int] = field(default_factory=lambda: dict.fromkeys(SkippedReason, 0))
    people: dict[str, Seen] = field(default_factory=dict)


def changes_of(
    batch: Batch, marks: Mapping[SessionKey, int | None], erased_among: Callable[[set[str]], set[str]] | None
) -> Changes:
    """What the entries change, given the stored marks of their sessions and which people the store has forgotten.

    `erased_among` None: the store itself passes over the points of people it has forgotten.
    """
    changes = Changes({entry.person for entry in batch.others if type(entry) is Erase})
    forgotten = changes.erased if erased_among is None else changes.erased | erased_among(set(batch.person))
    before = {key: -1 if mark is None else mark for key, mark in marks.items()}
    mark_of, places_of = dict(before), defaultdict[str, list[int]](list)
    columns = enumerate(zip(batch.session, batch.sequence, batch.person, strict=True))
    for entry in batch.entries:
        if type(entry) is Point:
            place, (key, sequence, person) = next(columns)
            if sequence > mark_of[key]:
                mark_of[key] = sequence
                places_of[person].append(place)
                if key in changes.interruptions:
                    changes.resumed.add(key)
        elif type(entry) is Gap and entry.is_interruption:
            _note_interruption(entry, mark_of, changes)
        elif type(entry) is not Erase and _is_new(entry, mark_of):
            _note(entry, changes)
    changes.marks = {key: mark for key, mark in mark_of.items() if mark > before[key]}
    changes.people = {person: _seen(batch, places) for person, places in places_of.items() if person not in forgotten}
    return changes


def _seen(batch: Batch, places: list[int]) -> Seen:
    """What the points in these places, of one person, add to it."""
    event_time, picture = batch.event_time, batch.picture
    times = [event_time[place] for place in places]
    first, last = min(times), max(times)
    chunks = {first // CHUNK_US: places}
    if last // CHUNK_US not in chunks:
        chunks = defaultdict(list)
        for place, time in zip(places, times, strict=True):
            chunks[time // CHUNK_US].append(place)
    pictured = [batch.points[place] for place in places if picture[place] is not None]
    return Seen(*batch.session[places[0]], first, last, len(places), pictured, chunks)


def sessions_of(batch: Batch) -> set[SessionKey]:
    """The sessions whose marks a batch depends on."""
    sessions = set(batch.session)
    sessions.update(
        (entry.source, entry.session)
        for entry in batch.others
        if type(entry) is not Erase and entry.source is not None and entry.session is not None
    )
    return sessions


def _is_new(entry: Entry, mark_of: dict[SessionKey, int]) -> bool:
    """Whether the entry is above its session's mark, which it raises; what names no session always is."""
    if entry.source is None or entry.session is None or entry.sequence is None:
        return True
    key = (entry.source, entry.session)
    if entry.sequence <= mark_of.get(key, -1):
        return False
    mark_of[key] = entry.sequence
    return True


def _note_interruption(gap: Gap, mark_of: dict[SessionKey, int], changes: Changes) -> None:
    """Note where a run was stopped, unless another one of the same session was further; raises no mark."""
    key = (gap.source, gap.session)
    earlier = changes.interruptions.get(key)
    progress = changes.progress.get(key)
    is_further = (earlier is None or gap.begin >= earlier.begin) and (not progress or gap.begin >= progress.event_time)
    if gap.sequence > mark_of[key] >= 0 and is_further:
        changes.interruptions[key] = gap
        changes.resumed.discard(key)


def _note(entry: Entry, changes: Changes) -> None:
    key = (entry.source, entry.session)
    if key in changes.interruptions:
        changes.resumed.add(key)
    if isinstance(entry, Gap):
        changes.gaps.append(entry)
    elif isinstance(entry, Progress):
        changes.progress[entry.source, entry.session] = entry
        changes.interruptions.pop((entry.source, entry.session), None)  # says more
    elif isinstance(entry, SessionOpened):
        changes.opened.append(entry)
    elif isinstance(entry, Skipped):
        changes.skipped[entry.reason] += 1
        if entry.gap is not None:
            changes.gaps.append(gap_of(entry))


def gap_of(skipped: Skipped) -> Gap:
    """Return the gap that a skipped delivery leaves on the timeline."""
    assert skipped.source is not None  # check.py has looked at all four
    assert skipped.session is not None
    assert skipped.sequence is not None
    assert skipped.gap is not None
    begin, end = skipped.gap
    return Gap(
        source=skipped.source,
        session=skipped.session,
        sequence=skipped.sequence,
        begin=begin,
        end=end,
        reason=GAP_OF[skipped.reason],
    )
