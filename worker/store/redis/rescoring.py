"""Reading a range of a Redis store again: what is stored is read first, and compared again by the call that adds."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.errors import LogReplaced, StoreUnavailable
from contract.keys import Keys
from contract.layers import layer_name
from contract.readings import Point, ReadingSchema
from worker.store import Outcome, Rescoring
from worker.store.redis.call import Call, SchemaText
from worker.store.redis.server import RESCORE, TAKE_RESCORING, RedisServer
from worker.store.rescoring import Place, dtype_of, grouped, missing

ATTEMPTS = 5  # at one call, where a worker took the partition over meanwhile


class UnexpectedAnswer(Exception):
    """An answer that shows a fault of the store. Internal: the store makes an error text of it."""


def take(server: RedisServer, log: str, partition: int, schema: ReadingSchema) -> Rescoring:
    """The partition for this schema under a new epoch.

    Raises:
        LogReplaced, UnexpectedAnswer.
    """
    keys = Keys(partition)
    found = server.call(TAKE_RESCORING, (keys.position, keys.rescoring(schema.id), keys.rescored), (log, schema.id))
    match [part.decode() for part in found]:
        case ["TAKEN", epoch, next_offset, until, rank]:
            return Rescoring(int(epoch), int(next_offset), int(until), layer_name(schema.id, int(rank)))
        case ["REPLACED", other, next_offset]:
            raise LogReplaced(
                f"{server.place}: partition {partition} followed log {other} to offset {next_offset}, this is log {log}"
            )
    raise UnexpectedAnswer(found)


def rescore(
    server: RedisServer,
    log: str,
    partition: int,
    taken: Rescoring,
    offsets: tuple[int, int],
    points: Sequence[Point],
    rows: NDArray[np.void],
    schema: ReadingSchema,
) -> Outcome:
    """Add what is missing of the points, packed as `rows`; `offsets` are the previous and the next one.

    Raises:
        StoreUnavailable, UnexpectedAnswer.
    """
    keys = Keys(partition)
    layer = SchemaText(taken.layer, msgspec.json.encode(schema))
    for _ in range(ATTEMPTS):
        main_epoch = (server.ask("HGET", keys.position, "epoch") or b"").decode()  # before what it is to vouch for
        places = _missing(server, keys, points, rows, taken.layer)
        call = Call(partition)
        batch = call.rescoring(keys.rescoring(schema.id), main_epoch, places, rows, layer)
        span = (log, str(taken.epoch), *map(str, offsets))
        match server.call(RESCORE, call.keys, (*span, batch, call.body)):
            case [b"APPLIED"]:
                return Outcome.APPLIED
            case [b"FENCED"]:
                return Outcome.FENCED
            case [b"STALE", _]:
                return Outcome.STALE
            case [b"INDEX"]:
                continue
            case found:
                raise UnexpectedAnswer(found)
    raise StoreUnavailable(f"{server.place}: partition {partition} changed hands {ATTEMPTS} times")


def _missing(
    server: RedisServer, keys: Keys, points: Sequence[Point], rows: NDArray[np.void], layer: str
) -> Mapping[Place, Sequence[int]]:
    """The numbers of the points to add, by person and chunk."""
    groups = grouped(points)
    found = server.ask("HGETALL", keys.schemas) if groups else {}
    if not found:
        return {}
    dtypes = {name.decode(): dtype_of(body) for name, body in found.items()}
    names = [*dtypes]
    bodies = iter(server.ask("MGET", *(keys.chunk(*place, name) for place in groups for name in names)))
    places = {}
    for place, numbers in groups.items():
        stored = {name: body for name, body in zip(names, [next(bodies) for _ in names], strict=True) if body}
        if kept := missing(numbers, rows, stored, layer, dtypes):
            places[place] = kept
    return places
