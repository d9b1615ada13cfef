import pytest

from runtime.printing import printable, shown_path, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("clip.mp4", "clip.mp4"),
        ("Jörg 👩‍👩‍👧 写真", "Jörg 👩‍👩‍👧 写真"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\u2028b", "a\\u2028b"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("\udce9t\udce9", "\\xe9t\\xe9"),  # bytes that are no UTF-8
    ],
)
def test_what_would_drive_a_terminal_is_escaped_and_letters_stay(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown).isprintable() or "\u200d" in shown  # joined emoji


def test_the_name_of_a_file_fits_one_line() -> None:
    assert shown_path("/tmp/a\r\nb.mp4") == "/tmp/a\\r\\nb.mp4"


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://u:canary@cam/a",
        "rtsp:/u:canary@cam/a",
        "rtsp:u:canary@cam/a",
        "redis://:canary@host/0",
        "rtsp://cam/user=a&password=canary&channel=1",
        "rtsp://cam/live;pwd=canary",
        "https://host/?token=canary&x=1",
        "cannot open RTSP://u:p/canary@cam/a: refused",
    ],
)
def test_a_secret_of_an_address_is_hidden_inside_any_text(text: str) -> None:
    assert "canary" not in without_secrets(text)
    assert "…" in without_secrets(text)


def test_a_text_without_secrets_stays() -> None:
    for text in ("rtsp://cam/ch1", "two faces @ 25 frames/s", "a=b"):
        assert without_secrets(text) == text
