from datetime import UTC, datetime
from pathlib import Path

import av
import pytest

from contract.errors import BadRequest
from ingest.sources import sources_of
from ingest.sources.dates import dated
from tests.ingest.clips import write_clip


def at(*parts: int) -> int:
    """µs since the epoch of a time in UTC."""
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type,misc]


def dates(given: str, *paths: Path) -> list[int | None]:
    return [source.recorded_at for source in dated(sources_of([str(path) for path in paths]), given)]


def files(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_bytes(b"x")
    return [folder / name for name in names]


def test_one_instant_holds_for_all(tmp_path: Path) -> None:
    paths = files(tmp_path, "a.mp4", "b.mp4")

    assert dates("2026-11-21T09:30:00+01:00", *paths) == [at(2026, 11, 21, 8, 30)] * 2


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("P01_20261121_093000_cam2.mp4", "%Y%m%d_%H%M%S UTC", at(2026, 11, 21, 9, 30)),
        ("P01_20261121_093000_cam2.mp4", "%Y%m%d_%H%M%S +01:00", at(2026, 11, 21, 8, 30)),
        ("VID 2026-07-21 09.30.00.mp4", "%Y-%m-%d %H.%M.%S Europe/Berlin", at(2026, 7, 21, 7, 30)),  # summer
        ("x-2026-11-21T093000+0200.mp4", "%Y-%m-%dT%H%M%S%z", at(2026, 11, 21, 7, 30)),
        ("(a+b) 21.11.26.mp4", "(a+b) %d.%m.%y UTC", at(2026, 11, 21)),
    ],
)
def test_a_name_holds_its_date(tmp_path: Path, name: str, given: str, wanted: int) -> None:
    assert dates(given, *files(tmp_path, name)) == [wanted]


def test_a_table_holds_the_dates_by_path_name_or_stem(tmp_path: Path) -> None:
    paths = files(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    table = tmp_path / "dates.csv"
    table.write_text(
        f"﻿who,file,recorded_at\n1,{paths[0]},2026-11-21T00:00Z\n2,b.mp4,2026-11-22T00:00Z\n3,c,2026-11-23T00:00Z\n"
    )

    assert dates(str(table), *paths) == [at(2026, 11, day) for day in (21, 22, 23)]


def test_the_container_states_when_it_was_made(tmp_path: Path) -> None:
    plain, stated = write_clip(tmp_path / "plain.mp4", 5), tmp_path / "stated.mp4"
    with av.open(str(plain)) as source, av.open(str(stated), "w") as target:
        target.metadata["creation_time"] = "2026-11-21T09:30:00Z"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)

    assert dates("container", stated) == [at(2026, 11, 21, 9, 30)]
    with pytest.raises(BadRequest, match=r"plain\.mp4 states no creation time"):
        dates("container", plain)


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("yesterday", "wanted an instant with its zone"),
        ("2026-11-21T09:30:00", "wanted an instant with its zone"),
        ("%Y%m%d", "no zone at its end"),
        ("%Y%m%d Nowhere/Land", "no zone at its end"),
        ("%Y%m%d UTC", r"no such date in the name .*a\.mp4"),
        ("missing.csv", "no table that can be read"),
        ("container", r"a\.mp4 states no creation time"),
    ],
)
def test_a_date_that_cannot_be_found_is_one_line_that_names_the_file(tmp_path: Path, given: str, seen: str) -> None:
    with pytest.raises(BadRequest, match=seen) as caught:
        dates(given, *files(tmp_path, "a.mp4"))

    assert "\n" not in str(caught.value)


def test_a_table_without_a_row_for_a_file_names_it(tmp_path: Path) -> None:
    table = tmp_path / "dates.csv"
    table.write_text("file,recorded_at\nb.mp4,2026-11-22T00:00Z\n")

    with pytest.raises(BadRequest, match=r"no row for .*a\.mp4"):
        dates(str(table), *files(tmp_path, "a.mp4"))
    table.write_text("name,when\nb.mp4,2026-11-22T00:00Z\n")
    with pytest.raises(BadRequest, match="columns name, when; wanted file and recorded_at"):
        dates(str(table), *files(tmp_path, "a.mp4"))


def test_a_camera_dates_itself() -> None:
    (camera,) = dated(sources_of(["rtsp://10.0.0.9/x"]), "2026-11-21T09:30:00Z")

    assert camera.recorded_at is None
