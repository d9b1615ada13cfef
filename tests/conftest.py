"""What every test may ask for: the shared data, where it is at hand."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of faces and videos; skips, saying so, where it is absent."""
    folder = Path(os.environ.get("MIEN_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set MIEN_DATA to the folder of faces and videos")
    return folder
