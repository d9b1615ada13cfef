from pathlib import Path
from urllib.parse import unquote

import pytest

from contract.errors import RefusedSource
from ingest.sources import sources_of
from ingest.sources.uri import SourceUri, is_reference

CANARY = "C4n4ry-7f3a"
SHAPES = [
    "rtsp://u:{}@cam/a",
    "rtsp://{}@cam/a",
    "rtsp://:{}@cam/a",
    "rtsp://a:b@{}@cam/a",
    "rtsps://u%40corp:{}@10.0.0.7/a",
    "rtsp://cam/a?user=u&password={}",
    "rtsp://cam/a?{}",
    "rtsp://cam/a#{}",
    "rtsp://cam/user=admin&password={}&channel=1&stream=0.sdp?real_stream",
    "rtsp://cam/user=admin_password={}_channel=1_stream=0.sdp",
    "rtsp://cam/live;password={}",
    "rtsp://cam/live;{}/track1",
    "rtsp://cam/password%3D{}/a",
    "rtsp://cam/u:{}@h/a",
    "rtsp:/u:{}@cam/a",
    "rtsp://u:12/{}@cam/a",
    "rtsp://u:1#{}@cam/a",
    "rtsp://u:1?{}@cam/a",
    "rtsp://cam/9f8e7d6c5b4a39281706f5e4{}",
    "rtsp://u:p@cam/admin:{}/a",
    "http://u:{}@cam/a",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_secret_appears_in_no_printable_form(shape: str) -> None:
    try:
        uri = SourceUri.parse(shape.format(CANARY))
    except RefusedSource as refusal:
        printed = f"{refusal} {refusal.__cause__} {refusal.__suppress_context__ or refusal.__context__}"
    else:
        printed = f"{uri.shown} {uri!r} {uri}"
        for url in (uri.url, unquote(uri.url)):
            assert CANARY not in uri.hide(f"[rtsp @ 0x55] DESCRIBE failed: 401: '{url}', {url.partition('//')[2]}")

    assert CANARY not in printed


def test_what_is_no_secret_stays_readable() -> None:
    for address, shown in {
        "rtsp://cam/Streaming/Channels/101": "rtsp://cam/Streaming/Channels/101",
        "rtsp://u:p@cam:8554/cam/realmonitor?channel=1&subtype=0": "rtsp://cam:8554/cam/realmonitor",
        "rtsp://cam/axis-media/media.amp": "rtsp://cam/axis-media/media.amp",
        "rtsp://cam/live;x=1/track1": "rtsp://cam/live;…/track1",
        "rtsp://cam/user=a&password=b": "rtsp://cam/…",
        "rtsp://[fe80::1]:554/a": "rtsp://[fe80::1]:554/a",
    }.items():
        assert SourceUri.parse(address).shown == shown


def test_a_password_may_stand_in_the_environment_or_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "cam"
    secret.write_text(f"{CANARY}/@\n")
    environment = {"CAM_PASSWORD": "p/w@1", "CAM": f"rtsp://me:{CANARY}@cam/a?x=1"}

    one = SourceUri.parse("rtsp://admin:${CAM_PASSWORD}@cam/a", environment)
    two = SourceUri.parse(f"rtsp://admin:${{file:{secret}}}@cam/a", environment)
    whole = SourceUri.parse("${CAM}", environment)

    assert (one.url, one.shown) == ("rtsp://admin:p%2Fw%401@cam/a", "rtsp://cam/a")
    assert two.url == f"rtsp://admin:{CANARY}%2F%40@cam/a"
    assert (whole.url, whole.shown) == (environment["CAM"], "rtsp://cam/a")
    assert is_reference("${CAM}")
    assert not is_reference("clip${CAM}.mp4")


def test_a_reference_to_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RefusedSource, match=r"\$\{NOBODY\} of an address is not set"):
        SourceUri.parse("rtsp://u:${NOBODY}@cam/a", {})
    with pytest.raises(RefusedSource, match="cannot be read; wanted a file of one line"):
        SourceUri.parse(f"rtsp://u:${{file:{tmp_path}/none}}@cam/a", {})


def test_a_reference_is_a_source_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAM_7", f"rtsp://me:{CANARY}@cam/a")

    (source,) = sources_of(["door=${CAM_7}"])

    assert (source.id, source.uri, source.live) == ("door", "rtsp://cam/a", True)
    assert CANARY not in repr(source)


def test_the_transport_is_taken_out_of_the_address() -> None:
    uri = SourceUri.parse("rtsp://cam/a?channel=1&transport=udp")

    assert (uri.transport, uri.url) == ("udp", "rtsp://cam/a?channel=1")
    assert SourceUri.parse("rtsp://cam/a?channel=1").transport == "tcp"
    with pytest.raises(RefusedSource, match="transport=pigeon of an address; wanted tcp or udp"):
        SourceUri.parse("rtsp://cam/a?transport=pigeon")
