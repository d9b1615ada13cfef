from pathlib import Path

import pytest

from runtime.printing import printable, shown_path, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("clip.mp4", "clip.mp4"),
        ("a\x1b[2J\r\n\tb", r"a\x1b[2J\r\n\tb"),
        ("caf\udce9", r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("x\u2028y\u202ez", r"x\u2028y\u202ez"),
        ("映画\u3000Ω\u00a0👩\u200d👧", "映画\u3000Ω\u00a0👩\u200d👧"),
        ("नमस्ते می‌خواهم", "नमस्ते می‌خواهم"),
    ],
)
def test_only_what_drives_a_terminal_or_is_no_letter_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


def test_a_path_is_shown_as_typed() -> None:
    assert shown_path(Path("clips/ä\n.mp4")) == r"clips/ä\n.mp4"


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://u:canary@h/x",
        "rtsp:/u:canary@h/x",
        "rtsp://u:ca/na#canary@h/x",
        "rtsp://h/user=a_password=canary_channel=1",
        "rtsp://h/x?user=a&password=canary",
        "rtsp://h/;password=canary;y",
        "redis://:canary@h:6379/0",
    ],
)
def test_an_address_without_its_secrets_shows_none(address: str) -> None:
    assert "canary" not in without_secrets(address)
    assert "h" in without_secrets(address)


def test_the_name_of_a_file_is_no_address() -> None:
    assert without_secrets("clips/anna@home.mp4") == "clips/anna@home.mp4"
