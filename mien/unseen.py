"""What a user asked for and nobody looked at, each with its reason."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from contract.errors import BadSource
from ingest.sources import Asked
from runtime.printing import printable, shown_path

NAMED_AT_MOST = 5  # names in one line of the terminal; the files hold all


class State(StrEnum):
    """What became of something that was asked for."""

    LOOKED_AT = "looked_at"  # to its end, apart from its gaps
    UNFINISHED = "unfinished"  # the run was stopped; the same command goes on
    FAILED = "failed"  # it cannot be opened, or not be read any further
    LEFT_OUT = "left_out"  # a folder holds it, and it is none of what is looked at
    NOT_BEGUN = "not_begun"  # the run was stopped before


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that was asked for and not looked at."""

    name: str  # what the user calls it
    file: str  # path or address as typed
    state: State
    reason: str  # one line
    source: str | None = None  # its id, where it would have been a source

    def row(self) -> dict[str, str | None]:
        """These fields by name."""
        return {
            "source": self.source,
            "name": self.name,
            "file": self.file,
            "state": str(self.state),
            "reason": self.reason,
        }


def unseen_of(asked: Asked, begun: Collection[str], failures: Mapping[str, BadSource]) -> list[Unseen]:
    """Everything asked for of which there is no session, in the order of asking, then what folders hold beside it.

    Args:
        begun: ids of the sources that have a session.
        failures: why a source could not be looked at, by id.
    """
    found = []
    for source in asked.sources:
        if source.id in begun:
            continue
        failure = failures.get(source.id)
        state = State.FAILED if failure else State.NOT_BEGUN
        reason = printable(str(failure)) if failure else "the run was stopped before"
        found.append(Unseen(source.shown, source.uri, state, reason, source.id))
    for left in asked.left_out:
        found.append(Unseen(shown_path(left.path), shown_path(left.path), State.LEFT_OUT, left.reason))
    return found


def lines_of(unseen: Iterable[Unseen]) -> Iterator[str]:
    """A line per reason for what was left out or not begun; failures have lines of their own."""
    by_reason: dict[str, list[str]] = {}
    for each in unseen:
        if each.state is not State.FAILED:
            by_reason.setdefault(each.reason, []).append(each.file)
    for reason, files in by_reason.items():
        more = f" and {len(files) - NAMED_AT_MOST} more" if len(files) > NAMED_AT_MOST else ""
        yield f"not looked at, {reason}: {', '.join(files[:NAMED_AT_MOST])}{more}"
