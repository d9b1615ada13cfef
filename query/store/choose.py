"""Which reader a store needs: the name of a file, or the address of a Redis server."""

from pathlib import Path

from contract.errors import BadRequest
from query.store import Reader
from query.store.sqlite import SqliteReader
from runtime import redis_address

SCHEMES = ("redis://", "rediss://", "unix://")


def is_address(store: Path | str) -> bool:
    """Return whether this is the address of a server; else it names a file."""
    return isinstance(store, str) and store.startswith(SCHEMES)


def shown(store: Path | str) -> str:
    """Return the store's name without user and password."""
    return redis_address.shown(str(store)) if is_address(store) else str(store)


def reader_of(store: Path | str) -> Reader:
    """Return a reader of a store file, or of redis://…, rediss://… or unix://….

    Raises:
        BadRequest: an address that is none, or the package for Redis is not installed.
    """
    if not is_address(store):
        return SqliteReader(Path(store))
    try:
        from query.store.redis import RedisReader
    except ModuleNotFoundError as error:
        raise BadRequest(f"a store on Redis needs a package more ({error}): pip install 'mien[redis]'") from error
    return RedisReader(str(store))
