"""Checks the Redis server of a store, calls our four functions, translates its errors."""

import contextlib
import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hiredis import pack_command
from redis import exceptions

from contract.errors import BadStore, StoreUnavailable
from runtime.redis import NotPermitted, client, translated
from runtime.redis_address import shown

LIBRARY = "mien_v1"
TAKE, COMMIT = "mien_take_v1", "mien_commit_v1"
TAKE_RESCORING, RESCORE = "mien_take_rescoring_v1", "mien_rescore_v1"
MINIMUM = (6, 2)
FUNCTIONS_SINCE = (7, 0)
SAFE_SINCE = {(7, 2): 14, (7, 4): 9, (8, 2): 6, (8, 4): 3, (8, 6): 3}  # of CVE-2025-49844 to 2026-25243
CONNECT_S, ANSWER_S = 1.0, 1.5

_BODY = Path(__file__).with_name("mien_v1.lua").read_text()
_STEPS = {TAKE: "take", COMMIT: "commit", TAKE_RESCORING: "take_rescoring", RESCORE: "rescore"}
_SCRIPTS = {name: f"{_BODY}\nreturn {step}(KEYS, ARGV)\n" for name, step in _STEPS.items()}
_SHA = {name: hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest() for name, script in _SCRIPTS.items()}
_CODE = (
    f"#!lua name={LIBRARY}\n{_BODY}\n"
    + "\n".join(f"redis.register_function('{name}', {step})" for name, step in _STEPS.items())
    + "\n"
)

_packed: Callable[[tuple[Any, ...]], bytes] = pack_command
_log = logging.getLogger(__name__)


class RedisServer:
    """A connection to one primary; every method raises StoreUnavailable or BadStore, one line each, no password.

    Nothing is sent twice on its own: whoever calls knows what may be repeated.

    Args:
        functions: False runs the calls as scripts (EVALSHA), as below Redis 7; None asks the server.
    """

    def __init__(self, url: str, *, functions: bool | None = None) -> None:
        self._client = client(url, connect_s=CONNECT_S, answer_s=ANSWER_S)
        self._execute: Callable[..., Any] = self._client.execute_command
        self._line: Any = self._client.connection_pool.make_connection()
        self._lock = threading.Lock()
        self.place = shown(url)
        self._functions = functions
        self._warned = False
        self.check()

    def check(self) -> None:
        """Raise BadStore unless this is a primary of a version that we know and that never evicts."""
        try:
            with self.translated():
                found: dict[str, Any] = self._client.info()
        except NotPermitted:
            _log.warning("%s: may not ask INFO, so version, role and maxmemory-policy go unchecked", self.place)
            self._functions = self._functions is not False
            return
        version = _version(str(found.get("redis_version", "0.0")))
        if version[:2] < MINIMUM:
            raise BadStore(f"{self.place}: Redis {found.get('redis_version')}, wanted at least 6.2, better 7.2")
        if found.get("cluster_enabled"):
            raise BadStore(f"{self.place}: a Redis Cluster; wanted one primary, with or without replicas")
        if found.get("maxmemory_policy", "noeviction") != "noeviction":
            raise BadStore(
                f"{self.place}: maxmemory-policy {found['maxmemory_policy']} loses results silently, wanted noeviction"
            )
        if found.get("role") != "master":
            raise StoreUnavailable(f"{self.place}: is a {found.get('role')} now, wanted the primary")
        if not self._warned:
            self._warned = True
            self._warn(version, found)
        if self._functions is None:
            self._functions = version[:2] >= FUNCTIONS_SINCE

    def call(self, name: str, keys: Sequence[str], args: Sequence[str | bytes]) -> list[Any]:
        """The answer of one of our calls, loading them once where the server does not know them."""
        with self.translated():
            try:
                return self._called(name, keys, args)
            except exceptions.NoScriptError:
                self._client.script_load(_SCRIPTS[name])
            except exceptions.ResponseError as error:
                if "Function not found" not in str(error):
                    raise
                self.load()
            return self._called(name, keys, args)

    def load(self) -> None:
        """Load the function library; a step of installing where workers may not.

        Raises:
            BadStore: this user may not load functions.
        """
        try:
            with self.translated():
                self._execute("FUNCTION", "LOAD", "REPLACE", _CODE)
        except NotPermitted as error:
            raise BadStore(
                f"{self.place}: has no functions {LIBRARY} and this user may not load them; load them as an admin first"
            ) from error
        _log.info("%s: loaded the functions %s", self.place, LIBRARY)

    def load_where_it_differs(self) -> None:
        """Load the library unless exactly this one is there, or functions are not used, or we may not."""
        if not self._functions:
            return
        with contextlib.suppress(NotPermitted), self.translated():
            found = self._execute("FUNCTION", "LIST", "LIBRARYNAME", LIBRARY, "WITHCODE")
            if _CODE.encode() not in _leaves(found):
                self._execute("FUNCTION", "LOAD", "REPLACE", _CODE)

    def ask(self, *command: str | int) -> Any:
        """The reply to a plain command, undecoded.

        Raises:
            BadStore: the key is of another type than the command wants.
        """
        with self.translated():
            try:
                return self._execute(*command)
            except exceptions.ResponseError as error:
                if not str(error).startswith("WRONGTYPE"):
                    raise
                raise BadStore(f"{self.place}: the key {command[1]!r} is of the wrong type for {command[0]}") from error

    def close(self) -> None:
        """Let go of the connections."""
        self._line.disconnect()
        self._client.close()

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Redis' errors as those of contract.errors; what may pass drops the connections, to resolve names anew."""
        try:
            with translated(self.place):
                yield
        except StoreUnavailable:
            self._drop()
            raise

    def _called(self, name: str, keys: Sequence[str], args: Sequence[str | bytes]) -> list[Any]:
        """Send over a connection of its own, without redis-py's work per command, which took a third of a commit."""
        command = ("FCALL", name) if self._functions else ("EVALSHA", _SHA[name])
        with self._lock:
            try:
                self._line.send_packed_command([_packed((*command, len(keys), *keys, *args))], check_health=False)
                found: list[Any] = self._line.read_response()
            except exceptions.ResponseError:
                raise
            except BaseException:  # half a reply must not be read as the next one's
                self._line.disconnect()
                raise
        return found

    def _drop(self) -> None:
        self._client.connection_pool.disconnect()
        self._line.disconnect()

    def _warn(self, version: tuple[int, int, int], found: dict[str, Any]) -> None:
        line, patch = version[:2], version[2]
        known = line in SAFE_SINCE or line > max(SAFE_SINCE)
        if found.get("server_name", "redis") == "redis" and (not known or patch < SAFE_SINCE.get(line, 0)):
            _log.warning(
                "%s: Redis %s has known holes in its Lua engine unless your distribution patched it; "
                "safe are 7.2.14, 7.4.9, 8.2.6, 8.4.3, 8.6.3 and later",
                self.place,
                found["redis_version"],
            )


def load_functions(url: str) -> None:
    """Load the function library on a server: the step of installing that needs an admin's rights."""
    server = RedisServer(url)
    try:
        server.load()
    finally:
        server.close()


def _version(text: str) -> tuple[int, int, int]:
    major, minor, patch, *_ = [*(int(part) for part in text.split(".") if part.isdigit()), 0, 0, 0]
    return major, minor, patch


def _leaves(reply: Any) -> Iterator[Any]:
    """The values of a nested reply, however this version of redis-py shapes it."""
    if isinstance(reply, dict):
        reply = list(reply.values())
    if not isinstance(reply, list):
        yield reply
        return
    for part in reply:
        yield from _leaves(part)
