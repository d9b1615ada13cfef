import msgspec
import pytest

from contract.readings import Channel, ChannelKind, NetVersion, ReadingSchema

NET = NetVersion("dacl", "1", "a" * 64)
SMILE = Channel("happiness", ChannelKind.EXPRESSION)
CORNER = Channel("AU12", ChannelKind.ACTION_UNIT)
SCHEMA = ReadingSchema((NET,), (SMILE, CORNER))


def test_the_id_stays_what_it_is_because_stored_points_name_it() -> None:
    assert SCHEMA.id == "fbbd6d5a8dec"


@pytest.mark.parametrize(
    "other",
    [
        ReadingSchema((NetVersion("dacl", "2", "a" * 64),), (SMILE, CORNER)),
        ReadingSchema((NetVersion("dacl", "1", "b" * 64),), (SMILE, CORNER)),
        ReadingSchema((NET,), (CORNER, SMILE)),
        ReadingSchema((NET,), (SMILE,)),
        ReadingSchema((NET,), (SMILE, Channel("AU12", ChannelKind.EXPRESSION))),
    ],
)
def test_another_net_version_channel_or_order_is_another_schema(other: ReadingSchema) -> None:
    assert other.id != SCHEMA.id


def test_a_schema_survives_the_wire() -> None:
    assert msgspec.json.decode(msgspec.json.encode(SCHEMA), type=ReadingSchema) == SCHEMA


def test_names_come_by_kind_and_in_order() -> None:
    assert SCHEMA.names(ChannelKind.EXPRESSION) == ("happiness",)
    assert SCHEMA.names(ChannelKind.ACTION_UNIT) == ("AU12",)
