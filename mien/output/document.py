"""`mien.run/1`: columnar JSON, documented in docs/output.md, written in pieces."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from contract.readings import ChannelKind
from mien.output.contents import Contents, gap_row, gaps_of, low_quality, until_s
from mien.timelines import Block, Timeline
from query.store import Session

RUN_SCHEMA = "mien.run/1"
HELD_POINTS = 250_000  # of one person are kept in memory, 25 MB; a longer timeline is read once per column


def document(contents: Contents) -> Iterator[bytes]:
    """The document in pieces; none holds more than a column of some minutes."""
    yield b'{"schema":' + _json(RUN_SCHEMA) + b',"model":' + _json(contents.model()) + b',"sources":['
    for number, (session, people) in enumerate(contents.sessions):
        yield b"," if number else b""
        yield _json(_source(session, contents.failures.get(session.source)))[:-1] + b',"people":['
        for place, timeline in enumerate(people):
            yield b"," if place else b""
            yield from _person(timeline)
        yield b"]}"
    yield b'],"not_looked_at":' + _json([each.row() for each in contents.unseen]) + b"}\n"


def _source(session: Session, failure: str | None) -> dict[str, Any]:
    return {
        "source": session.source,
        "session": session.id,
        "name": session.name,
        "uri": session.uri,
        "recorded_at": session.opened_at / 1e6 if session.dated else None,
        "start_offset": session.start_offset / 1e6,
        "size_wh": session.size_wh,
        "frames": session.frames,
        "looked_at": session.looked_at,
        "fps": session.fps,
        "complete_until": until_s(session),
        "finished": session.closed,
        "failure": failure,
        "low_quality": low_quality(session),
        "settings": dict(session.settings),
        "gaps": [gap_row(session, gap) for gap in gaps_of(session)],
    }


def _person(timeline: Timeline) -> Iterator[bytes]:
    held = list(timeline.blocks()) if timeline.person.points <= HELD_POINTS else None
    blocks = timeline.blocks if held is None else lambda: iter(held)
    yield b'{"person":' + _json(timeline.person.id)
    for name, column in _COLUMNS.items():
        yield b"," + _json(name) + b":"
        yield from _array(map(column, blocks()))
    for group, kind in (("expressions", ChannelKind.EXPRESSION), ("action_units", ChannelKind.ACTION_UNIT)):
        yield b"," + _json(group) + b":{"
        for place, channel in enumerate(each for each in timeline.channels if each[0] is kind):
            yield (b"," if place else b"") + _json(channel[1]) + b":"
            yield from _array(rounded(block.values[channel], 5) for block in blocks())
        yield b"}"
    yield b"}"


def _array(parts: Iterable[NDArray[Any]]) -> Iterator[bytes]:
    """One JSON list of the rows of all parts."""
    yield b"["
    begun = False
    for part in parts:
        if len(part):
            yield (b"," if begun else b"") + _json(part)[1:-1]
            begun = True
    yield b"]"


def rounded(values: NDArray[np.float32], digits: int) -> NDArray[np.float64]:
    """The values in float64, so that 0.3 is written as 0.3 and not as 0.30000001192."""
    return np.ascontiguousarray(np.round(values.astype(np.float64), digits))


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


_COLUMNS: dict[str, Callable[[Block], NDArray[Any]]] = {
    "t": lambda block: np.round(block.time_s, 6),
    "frame": lambda block: np.ascontiguousarray(block.points.frame),
    "box_xywh": lambda block: rounded(block.points.box_xywh, 2),
    "quality": lambda block: rounded(block.points.quality, 3),
    "sharpness": lambda block: rounded(block.points.sharpness, 3),
    "score": lambda block: rounded(block.points.score, 3),
    "angles_deg": lambda block: rounded(block.points.angles_deg, 0),
}
