"""Clients of Redis: address, access and errors, once for everything that asks a server.

An address may hold the user and the password. They may as well come from the environment or from a mounted file:
MIEN_REDIS_USER, MIEN_REDIS_PASSWORD or MIEN_REDIS_PASSWORD_FILE, and for TLS (rediss://) MIEN_REDIS_CA,
MIEN_REDIS_CERT and MIEN_REDIS_KEY. The file is read at every connection, so a secret that is replaced needs no restart.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs

import redis
from redis import exceptions
from redis.backoff import ConstantBackoff, NoBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry

from contract.errors import BadRequest, BadStore, StoreUnavailable
from runtime.redis_address import parts_of

_WANTED = (
    "no address of Redis; wanted redis://[user:password@]host[:port][/number], rediss://… or unix:///path/of/socket, "
    "with special characters of a password percent-encoded"
)
_REFUSALS = (exceptions.AuthenticationError, exceptions.AuthorizationError)
_PASSING = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    exceptions.MasterDownError,
    OSError,
)
_PASSING_WORDS = (
    "MISCONF",
    "NOREPLICAS",
    "BUSY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MASTERDOWN",
    "LOADING",
    "OOM",
    "UNKILLABLE",
)


class NotPermitted(BadStore):
    """This user may not do that here."""


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """Who we are for a server, and whom we trust; what the address states wins."""

    user: str = ""
    password: str = field(default="", repr=False)
    password_file: Path | None = None
    ca_file: Path | None = None  # PEM; rediss:// only
    cert_file: Path | None = None
    key_file: Path | None = None

    @classmethod
    def found(cls, environment: Mapping[str, str]) -> "RedisAccess":
        """Return what the environment states.

        Raises:
            BadRequest: a variable names a file that cannot be read.
        """

        def file(name: str) -> Path | None:
            return _readable(Path(environment[name]), name) if environment.get(name) else None

        return cls(
            environment.get("MIEN_REDIS_USER", ""),
            environment.get("MIEN_REDIS_PASSWORD", ""),
            file("MIEN_REDIS_PASSWORD_FILE"),
            file("MIEN_REDIS_CA"),
            file("MIEN_REDIS_CERT"),
            file("MIEN_REDIS_KEY"),
        )


def client(
    url: str, *, connect_s: float, answer_s: float, attempts: int = 1, access: RedisAccess | None = None
) -> "redis.Redis":
    """Return a client of the server at this address; it connects with its first command.

    Args:
        url: redis://[user:password@]host[:port][/number], rediss://… or unix:///path/of/socket.
        connect_s, answer_s: how long a connection and an answer may take.
        attempts: how often a command is sent when its connection breaks; 1 where repeating is not harmless.
        access: None: as the environment states.

    Raises:
        BadRequest: no address of Redis, or a file of the environment cannot be read. The text holds no part of the
            address, which may hold a password.
    """
    parts = parts_of(url)
    if parts is None:
        raise BadRequest(_WANTED)
    access = RedisAccess.found(os.environ) if access is None else access
    retry = Retry(ConstantBackoff(0.05), attempts - 1) if attempts > 1 else Retry(NoBackoff(), 0)
    options: dict[str, Any] = {**_credentials(parts, access), **(_trust(access) if parts.scheme == "rediss" else {})}
    try:
        return redis.Redis.from_url(
            url, socket_connect_timeout=connect_s, socket_timeout=answer_s, retry=retry, protocol=2, **options
        )
    except (ValueError, TypeError):
        raise BadRequest(_WANTED) from None  # the cause may quote a part of the password


@contextlib.contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise the errors of Redis inside the block as ours.

    Raises:
        StoreUnavailable: no answer, or not for now: loading, in failover, out of memory, too many clients.
        NotPermitted: this user may not do that.
        BadStore: the server refuses us, or its keys are not as Mien writes them.
    """
    try:
        yield
    except _REFUSALS as error:
        raise BadStore(f"{name}: Redis refuses our user or password") from error
    except exceptions.NoPermissionError as error:
        raise NotPermitted(f"{name}: Redis refuses us ({_line(error)})") from error
    except (exceptions.RedisError, OSError) as error:
        if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, OSError)):
            raise StoreUnavailable(f"{name}: Redis does not answer ({_line(error)})") from error
        if is_passing(error):
            raise StoreUnavailable(f"{name}: Redis refuses for now ({_line(error)})") from error
        raise BadStore(f"{name}: {_line(error)}") from error


def is_passing(error: Exception) -> bool:
    """Return whether the same command may succeed later."""
    text = str(error).rpartition("caused error: ")[2]  # a pipeline puts the number of the command before
    return isinstance(error, _PASSING) or text.startswith(_PASSING_WORDS)


class _FromFile(CredentialProvider):
    """User and password of a mounted file, read at every connection."""

    def __init__(self, user: str, file: Path) -> None:
        self._user, self._file = user, file

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = _secret(self._file)
        except (OSError, UnicodeDecodeError) as error:
            raise exceptions.AuthenticationError(f"the password in {self._file} cannot be read") from error
        return (self._user, password) if self._user else (password,)


def _credentials(parts: SplitResult, access: RedisAccess) -> dict[str, Any]:
    query = parse_qs(parts.query)
    if parts.password or "password" in query:
        return {}
    user = "" if parts.username or "username" in query else access.user
    if access.password_file is not None:
        return {"credential_provider": _FromFile(parts.username or user, access.password_file)}
    given = {"username": user, "password": access.password}
    return {name: value for name, value in given.items() if value}


def _trust(access: RedisAccess) -> dict[str, str]:
    files = {"ssl_ca_certs": access.ca_file, "ssl_certfile": access.cert_file, "ssl_keyfile": access.key_file}
    return {name: str(file) for name, file in files.items() if file is not None}


def _readable(file: Path, variable: str) -> Path:
    if not (file.is_file() and os.access(file, os.R_OK)):
        raise BadRequest(f"{variable} is {file}; wanted a file that can be read")
    return file


def _secret(file: Path) -> str:
    return file.read_text().rstrip("\r\n")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
