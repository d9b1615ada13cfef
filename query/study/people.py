"""Walks over the people of a store."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from contract.errors import BadRequest, NotFound
from query.analysis.baseline import Baseline
from query.analysis.formula import Selection
from query.series import EVER, baseline_of
from query.store import Person, Session, Snapshot
from query.tables import Column, Kind


@dataclass(frozen=True, slots=True)
class Whom:
    """The people of a study: of one source or of all, or those named."""

    source: str | None = None
    people: tuple[str, ...] = ()


def people_of(snapshot: Snapshot, whom: Whom) -> Iterator[tuple[Session, Person]]:
    """Yield people by source and time, or as they are named.

    Raises:
        NotFound: one who is named is not there.
    """
    session_of = cache(snapshot.session)
    for name in whom.people:
        person = snapshot.person(name)
        yield session_of(person.source, person.session), person
    if whom.people:
        return
    for person in snapshot.people(whom.source, None):
        try:
            yield session_of(person.source, person.session), person
        except NotFound:  # of a session that began after the snapshot; it waits for the next
            continue


def rest_of(
    snapshot: Snapshot, person: Person, session: Session, text: str | None, select: Selection, left_out: list[str]
) -> Baseline | None:
    """Return a person's baseline; where none can be found, one that leaves no values, and a line in `left_out`."""
    try:
        return baseline_of(snapshot, person, session, text, select)
    except BadRequest as error:
        left_out.append(f"{person.id}: {error}")
        return Baseline({}, "none", 0)


def channel_columns(snapshot: Snapshot, whom: Whom, select: Selection) -> tuple[str, ...]:
    """Return the names of the values in a study: those asked for, else all that anybody's nets measured."""
    formulas = tuple(formula.name for formula in select.formulas)
    if select.names is not None:
        return (*select.names, *formulas)
    measured: dict[str, None] = {}
    for _, person in people_of(snapshot, whom):
        for schema in snapshot.schemas(person.id, -EVER, EVER).values():
            measured |= dict.fromkeys(channel.name for channel in schema.channels)
    return (*measured, *formulas)


def share_columns(names: tuple[str, ...], prefix: str = "") -> tuple[Column, ...]:
    """Return columns of values 0..1."""
    return tuple(Column(f"{prefix}{name}", Kind.SHARE, "0..1") for name in names)
