"""Which stored sessions lack nets that a run asks for, and the engines that read them again."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contract.errors import UnknownNet
from contract.readings import ChannelKind, NetVersion
from mien.timelines import EVER
from models.engines import Engine
from models.zoo import find
from query.store import Snapshot
from worker.reading.nets import engines_of

SessionKey = tuple[str, str]
"""(source, session)"""


@dataclass(frozen=True, slots=True)
class Reread:
    """Sessions that are to be read again, all by the same nets."""

    sessions: tuple[SessionKey, ...]
    missing: tuple[str, ...]  # names of the nets asked for that did not read all of them
    kept: tuple[str, ...]  # names of the nets that read them before and whose channels nobody else gives


@dataclass(frozen=True, slots=True)
class Foreign:
    """A session that lacks nets and cannot be read again by those of before: their weights are not here."""

    session: SessionKey
    nets: tuple[NetVersion, ...]

    def line(self, name: str) -> str:
        """What is missing, and how to get it."""
        nets = ", ".join(f"{net.name} {net.version} ({net.sha256[:12]})" for net in self.nets)
        return (
            f"{name}: stays as it was read by {nets}, whose card is not in the zoo; name its file (.json) in --nets too"
        )


def rereads(
    snapshot: Snapshot, sessions: Iterable[SessionKey], engines: Sequence[Engine]
) -> tuple[list[Reread], list[Foreign]]:
    """What the sessions lack of these nets; one where the nets have read every stored face is in neither list."""
    groups: defaultdict[tuple[tuple[str, ...], tuple[str, ...]], list[SessionKey]] = defaultdict(list)
    foreign = []
    wanted = {NetVersion(e.card.name, e.card.version, e.card.sha256): e.card.kind for e in engines}
    for key in dict.fromkeys(sessions):
        stored, read_all = _nets_of(snapshot, *key)
        missing = tuple(net.name for net in wanted if net not in read_all)
        if not stored or not missing:
            continue
        others = [net for net, kinds in stored.items() if net not in wanted and not kinds <= set(wanted.values())]
        unknown = tuple(net for net in others if not _is_here(net))
        if unknown:
            foreign.append(Foreign(key, unknown))
        else:
            groups[missing, tuple(net.name for net in others)].append(key)
    return [Reread(tuple(keys), *nets) for nets, keys in groups.items()], foreign


def engines_for(reread: Reread, engines: Sequence[Engine], engine: str) -> list[Engine]:
    """All nets that read the sessions again: those of before and those asked for, as a layer answers alone.

    Raises:
        BadModel: a net does not run here.
    """
    return [*engines_of(reread.kept, engine), *engines]


def _nets_of(
    snapshot: Snapshot, source: str, session: str
) -> tuple[dict[NetVersion, set[ChannelKind]], set[NetVersion]]:
    """The nets whose readings count in a session, with the kinds of their channels; and those that read every face."""
    found: dict[NetVersion, set[ChannelKind]] = {}
    read_all: set[NetVersion] | None = None
    for person in snapshot.people(source, None):
        if person.session != session:
            continue
        schemas = snapshot.schemas(person.id, -EVER, EVER)
        in_force = {schema for _, schema, _ in snapshot.points(person.id, -EVER, EVER)}
        for schema in (schemas[name] for name in sorted(in_force)):
            kinds = list(dict.fromkeys(channel.kind for channel in schema.channels))
            each = [{kind} for kind in kinds] if len(kinds) == len(schema.nets) else [set(kinds)] * len(schema.nets)
            for net, its in zip(schema.nets, each, strict=True):
                found.setdefault(net, set()).update(its)
            read_all = set(schema.nets) if read_all is None else read_all & set(schema.nets)
    return found, read_all or set()


def _is_here(net: NetVersion) -> bool:
    try:
        return find(net.name)[0].sha256 == net.sha256
    except UnknownNet:
        return False
