import pytest

from contract.errors import BadRequest
from query.listen import Listen


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "mien.example.org"])
def test_beyond_loopback_only_who_insists_is_served(host: str) -> None:
    with pytest.raises(BadRequest, match="--insecure"):
        Listen(host=host)
    assert not Listen(host=host, insecure=True).is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_served_as_it_is(host: str) -> None:
    assert Listen(host=host).is_loopback


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"root_path": "mien"}, "--root-path 'mien'"),
        ({"root_path": "/mien/"}, "--root-path"),
        ({"root_path": "/a b"}, "--root-path"),
        ({"allowed_hosts": ("http://x",)}, "--allowed-host 'http://x'"),
        ({"allowed_hosts": ("x:80",)}, "--allowed-host"),
        ({"allowed_hosts": ("*",)}, "--allowed-host"),
        ({"trusted_proxies": ("proxy",)}, "--trusted-proxy 'proxy'"),
        ({"trusted_proxies": ("10.0.0.1/8",)}, "--trusted-proxy"),
    ],
)
def test_what_is_no_prefix_name_or_network_is_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        Listen(**given)  # type: ignore[arg-type]
