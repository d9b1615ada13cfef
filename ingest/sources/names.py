"""Ids of sources: from the name that the user gave, else from a file's or camera's name and place."""

import base64
import hashlib
import os
import re
import unicodedata
from pathlib import Path

from runtime.printing import without_secrets

READABLE_LIMIT = 40  # characters
_GIVEN = re.compile(r"[a-z0-9_][a-z0-9_-]{0,47}")


def id_of_name(name: str) -> str:
    """The id of a source under the name that the user gave it.

    It is the name itself where it consists of at most 48 of a-z, 0-9, «_» and «-», else made of it.
    """
    return name if _GIVEN.fullmatch(name) else _marked(name, os.fsencode(name))


def id_of_file(path: Path) -> str:
    """The id of a file: its name, and a mark of its whole name and place, links followed.

    The same file has the same id in every run, however it is typed and whatever stands beside it.
    """
    place = Path(os.path.realpath(path))
    return _marked(place.stem, os.fsencode(place))


def id_of_camera(host: str, url: str) -> str:
    """The id of a camera: its host, and a mark of the whole address without user and password."""
    return _marked(host, without_secrets(url).encode(errors="surrogateescape"))


def natural_order(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key under which «clip2» comes before «clip10»."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], path.name


def readable(name: str) -> str:
    """The name in [a-z0-9_-], at most 40 characters, accents dropped; «source» where no letter of it is left."""
    plain = unicodedata.normalize("NFKD", name.lower())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    kept = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-")[:READABLE_LIMIT].strip("-")
    return kept or "source"


def _marked(name: str, whole: bytes) -> str:
    """The readable part of a name and a mark of the whole of it."""
    return f"{readable(name)}-{mark_of(whole, 8)}"


def mark_of(content: bytes, letters: int) -> str:
    """So many of a-z, 2-7, five bits each, that stand for these bytes (SHA-256)."""
    return base64.b32encode(hashlib.sha256(content).digest()).decode()[:letters].lower()
