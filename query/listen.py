"""Where a service listens, under which names it is reached, and whom it believes."""

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from contract.errors import BadRequest

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+", re.ASCII)
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\]", re.ASCII)


def is_prefix(text: str) -> bool:
    """Return whether this can be the path under which a proxy shows a service, such as `/mien`."""
    return _PREFIX.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """An address to listen on, and what a proxy before it may say.

    Args:
        host: address to listen on; one beyond loopback needs `insecure`, for there are no keys yet.
        port: 0: any free one.
        insecure: serve everybody who reaches the address.
        root_path: prefix under which a proxy shows the service, such as `/mien`; the proxy may cut it off or not.
        allowed_hosts: names in `Host` that are served besides those of this machine, in lower case.
        trusted_proxies: addresses or networks whose `X-Forwarded-*` headers are believed.

    Raises:
        BadRequest: an address beyond loopback without `insecure`; a prefix, name or proxy that is none.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    insecure: bool = False
    root_path: str = ""
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.is_loopback and not self.insecure:
            raise BadRequest(
                f"--host {self.host} is beyond loopback: everybody who reaches it would see all people, pictures "
                "included. Put a proxy with a login before 127.0.0.1, or add --insecure on a network that you trust"
            )
        if self.root_path and not is_prefix(self.root_path):
            raise BadRequest(
                f"--root-path {self.root_path!r}: wanted a prefix such as /mien, without a slash at the end"
            )
        for name in self.allowed_hosts:
            if not _NAME.fullmatch(name.lower()):
                raise BadRequest(f"--allowed-host {name!r}: wanted a name without port, such as mien.example.org")
        for proxy in self.trusted_proxies:
            try:
                ip_network(proxy)
            except ValueError as error:
                raise BadRequest(f"--trusted-proxy {proxy!r}: wanted an address or a network ({error})") from error

    @property
    def is_loopback(self) -> bool:
        """Return whether only this machine reaches the address."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False
