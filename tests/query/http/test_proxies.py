"""The service behind a proxy: prefixes, host names and what a proxy says of the client."""

from collections.abc import Callable

import pytest

from query.listen import Listen
from tests.query.conftest import asking
from tests.query.stores import JPEG, StoreFile, every_frame, shares

Ask = Callable[..., object]


@pytest.fixture(autouse=True)
def person(file_store: StoreFile) -> None:
    file_store.session(pictures=True)
    file_store.person("p", every_frame(9), shares(9), picture=JPEG)


@pytest.mark.parametrize("path", ["/v1/people/p", "/mien/v1/people/p"])  # a proxy may cut the prefix off, or not
def test_addresses_in_answers_carry_the_prefix(file_reader, path: str) -> None:
    get = asking(file_reader, listen=Listen(root_path="/mien"))

    assert get(path).json()["picture"] == "/mien/v1/people/p/picture"
    assert get("/mien/v1/people/p/picture").content == JPEG
    link = get(f"{path}/timeline?limit=2").headers["link"]
    assert link.startswith("</mien/v1/people/p/timeline?limit=2&cursor=")
    assert get(f"{path}/nothing").json()["instance"] == "/mien/v1/people/p/nothing"


def test_the_page_names_its_parts_relative_to_itself(file_reader) -> None:
    get = asking(file_reader, listen=Listen(root_path="/mien"))
    page = get("/mien/").text

    for part in page.split('src="')[1:] + page.split('href="')[1:]:
        address = part.partition('"')[0]
        assert not address.startswith("/")
        assert address.startswith("#") or get(f"/mien/{address}").status_code == 200
    assert get("/mien").headers["location"] == "mien/"


def test_named_hosts_are_served_and_no_others(file_reader) -> None:
    get = asking(file_reader, listen=Listen(allowed_hosts=("Mien.example.org",)))

    assert get("/healthz", Host="mien.example.org:443").status_code == 200
    assert get("/healthz", Host="localhost").status_code == 200
    assert get("/healthz", Host="example.org").status_code == 400


def test_beyond_loopback_addresses_are_served_and_foreign_names_are_not(file_reader) -> None:
    get = asking(file_reader, listen=Listen(host="0.0.0.0", insecure=True))

    assert get("/healthz", Host="192.168.1.4:8000").status_code == 200
    assert get("/healthz", Host="[fe80::1]:8000").status_code == 200
    assert get("/healthz", Host="evil.example").status_code == 400


FORWARDED = {"X-Forwarded-Host": "mien.example.org", "X-Forwarded-Prefix": "/faces"}


def test_a_named_proxy_says_host_and_prefix(file_reader) -> None:
    named = Listen(trusted_proxies=("127.0.0.0/8",), allowed_hosts=("mien.example.org",))

    answer = asking(file_reader, listen=named)("/v1/people/p", **FORWARDED)

    assert answer.json()["picture"] == "/faces/v1/people/p/picture"
    assert asking(file_reader, listen=named)("/healthz", **{"X-Forwarded-Host": "evil.example"}).status_code == 400
    odd = asking(file_reader, listen=named)("/v1/people/p", **{"X-Forwarded-Prefix": '/"><script>'})
    assert odd.json()["picture"] == "/v1/people/p/picture"


def test_anybody_else_says_nothing(file_reader) -> None:
    for listen in (Listen(), Listen(trusted_proxies=("10.0.0.0/8",))):
        answer = asking(file_reader, listen=listen)("/v1/people/p", **FORWARDED)
        assert answer.json()["picture"] == "/v1/people/p/picture"
