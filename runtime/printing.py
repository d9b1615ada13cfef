"""Text that came from outside, made fit for a terminal, a log or a table."""

import os
import re
import unicodedata

_BREAKS = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of letters, line and paragraph separators
_TURNS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}  # they write what follows from right to left
_USERINFO = re.compile(r"(?i)\b((?:rtsps?|rtmps?|https?|rediss?|srt|ftp):/{0,2})\S*@")
_SECRET = re.compile(r"(?i)((?:pass(?:word|wd)?|pwd|secret|token|auth)\s*=)[^&;/\s]+")


def printable(text: str) -> str:
    r"""The text with escapes for what would break a line, drive a terminal or is no letter: «\n», «\x1b», «\xe9».

    Letters of every script, blanks of every width and joined emoji stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def shown_path(path: str | os.PathLike[str]) -> str:
    """The name of a file as it was typed, fit to be printed; bytes that are no UTF-8 are escaped."""
    return printable(os.fspath(path))


def without_secrets(text: str) -> str:
    """The text of an address with «…» for what stands before «@» and for the values of words such as «password=»."""
    return _SECRET.sub(r"\1…", _USERINFO.sub(r"\1…@", text))


def _shown(letter: str) -> str:
    number = ord(letter)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that Python could not read as UTF-8 (PEP 383)
        return f"\\x{number - 0xDC00:02x}"
    if unicodedata.category(letter) in _BREAKS or number in _TURNS:
        return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
    return letter
