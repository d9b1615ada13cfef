"""A page of a timeline as bytes: from numpy through orjson, as `query.http.replies` documents it."""

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from contract.readings import ChannelKind
from query.analysis.baseline import Baseline
from query.http.replies import gap_rows, origin, since
from query.http.times import seconds
from query.store import Person, Session
from query.tables import DIGITS, plain
from query.timeline import ModelSpan, Page

_GROUPS = {ChannelKind.EXPRESSION: "expressions", ChannelKind.ACTION_UNIT: "action_units"}


def columnar(page: Page, person: Person, session: Session, cursor: str | None, wanted: tuple[str, ...] | None) -> bytes:
    """Return JSON of `TimelineReply`."""
    reply = head(page, person, session, cursor) | _columns(page, session)
    return _json(reply | _channels(page, wanted))


def rows(page: Page, person: Person, session: Session, cursor: str | None, wanted: tuple[str, ...] | None) -> bytes:
    """Return JSON of `TimelineRows`."""
    table = _table(page, session, wanted)
    lines = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    return _json(head(page, person, session, cursor) | {"rows": lines})


def _json(reply: dict[str, Any]) -> bytes:
    return orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)


def head(page: Page, person: Person, session: Session, cursor: str | None) -> dict[str, Any]:
    """Return what `TimelineHead` holds."""
    return {
        "person": person.id,
        "source": session.source,
        "session": session.id,
        "origin": origin(session),
        "from": since(session, page.begin),
        "to": since(session, page.end),
        "every": None if page.every is None else seconds(page.every),
        "settings": session.settings,
        "complete_until": since(session, session.complete_until),
        "closed": session.closed,
        "gaps": gap_rows(session, page.gaps),
        "models": [_model(session, span) for span in page.models],
        "baseline": None if page.baseline is None else _baseline(page.baseline),
        "next": cursor,
    }


def _baseline(baseline: Baseline) -> dict[str, Any]:
    values = {name: round(value, DIGITS) for name, value in baseline.values.items() if value == value}
    return {"how": baseline.how, "readings": baseline.readings, "values": values}


def _model(session: Session, span: ModelSpan) -> dict[str, Any]:
    schema = span.schema
    return {
        "id": schema.id,
        "from": since(session, span.first),
        "to": since(session, span.last),
        "nets": [{"name": net.name, "version": net.version, "sha256": net.sha256} for net in schema.nets],
        **{group: schema.names(kind) for kind, group in _GROUPS.items()},
    }


def _columns(page: Page, session: Session) -> dict[str, Any]:
    """Return the columns beside the channels."""
    found: dict[str, Any] = {"t": (page.event_time - session.opened_at) / 1e6}
    found |= {"n": page.n, "why": page.why, "frame": page.frame, "box_xywh": page.box_xywh, "coverage": page.coverage}
    found["quality"] = np.round(page.quality, DIGITS)
    return {name: column for name, column in found.items() if column is not None}


def channel_groups(page: Page) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Return the channels by kind, then the formulas where there are any: name -> (rows,), rounded."""
    by_channel = np.ascontiguousarray(np.round(page.values, DIGITS).T)  # (channels, rows)
    groups: dict[str, dict[str, NDArray[np.float32]]] = {group: {} for group in _GROUPS.values()}
    for channel, column in zip(page.channels, by_channel, strict=True):
        groups[_GROUPS[channel.kind]][channel.name] = column
    if page.formulas:
        groups["formulas"] = {name: np.round(values, DIGITS) for name, values in page.formulas.items()}
    return groups


def _channels(page: Page, wanted: tuple[str, ...] | None) -> dict[str, dict[str, NDArray[np.float32] | list[None]]]:
    """Channels by kind. A channel that was asked for and that nobody measured is a column of nothing."""
    groups: dict[str, dict[str, NDArray[np.float32] | list[None]]] = {**channel_groups(page)}  # type: ignore[dict-item]
    measured = {channel.name for channel in page.channels}
    for name in wanted or ():
        if name not in measured:
            kind = ChannelKind.ACTION_UNIT if name.startswith("AU") else ChannelKind.EXPRESSION
            groups[_GROUPS[kind]][name] = [None] * len(page.event_time)
    return groups


def _table(page: Page, session: Session, wanted: tuple[str, ...] | None) -> dict[str, list[Any]]:
    """Return all columns side by side, as plain values. Shortest decimals of 32 bits, as orjson writes them."""
    columns = _columns(page, session)
    for group in _channels(page, wanted).values():
        columns |= group
    return {name: plain(column) for name, column in columns.items()}
