"""What is told of a Redis that cannot be asked; what it knows is looked at in tests/integration."""

import pytest

from contract.errors import BadRequest, StoreUnavailable
from ingest.past import RedisPast


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:1/0?password=hunter2",
        "redis://user:hunter2@localhost:1/0",
        "redis://localhost:1/0?username=user&password=hunter2",
    ],
)
def test_no_password_is_shown_when_redis_does_not_answer(url: str) -> None:
    past = RedisPast(url, partitions=1)

    with pytest.raises(StoreUnavailable, match="Redis at redis://localhost:1/0 does not say") as shown:
        past("file", "s")

    assert "hunter2" not in str(shown.value)


def test_no_password_is_shown_where_the_address_cannot_be_read() -> None:
    with pytest.raises(BadRequest) as shown:
        RedisPast("redis://user:hun/ter2@localhost:6379/0", partitions=1)  # the slash ends the address in «hun»

    assert shown.value.__suppress_context__
    assert "hun" not in str(shown.value)
