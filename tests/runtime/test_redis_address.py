import pytest

from runtime.redis_address import UNREADABLE, parts_of, shown


def test_the_parts_of_a_clear_address_are_known() -> None:
    parts = parts_of("redis://me:p%2Fw@host:7000/3")

    assert parts is not None
    assert (parts.scheme, parts.hostname, parts.port, parts.path) == ("redis", "host", 7000, "/3")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "host:6379",
        "redis://u:a/b@host",
        "redis://u:1?b@host",
        "redis://u:1#b@host",
        "redis://host/one",
        "ftp://host",
    ],
)
def test_an_address_in_which_a_password_may_stand_anywhere_has_no_parts(address: str) -> None:
    assert parts_of(address) is None
    assert shown(address) == UNREADABLE
