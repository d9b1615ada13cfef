import os
import socket
from pathlib import Path
from threading import Event

import pytest

from contract.errors import BadSource, RefusedSource, SourceNotFound
from ingest.sources import fingerprint, readable_id, sources_of
from tests.ingest.clips import write_clip


def test_a_folder_gives_its_videos_and_pictures_in_natural_order(tmp_path: Path) -> None:
    for name in ("clip10.mp4", "clip2.mp4", "Clip1.MKV", "notes.txt", ".hidden.mp4", "a.jpeg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "inner.mp4").mkdir()

    sources = sources_of([str(tmp_path)])

    assert [source.id for source in sources] == ["a", "clip1", "clip2", "clip10"]
    assert sources[1].uri == str(tmp_path / "Clip1.MKV")


def test_ids_are_readable_and_unique(tmp_path: Path) -> None:
    names = ["My Film (1).mp4", "my-film-1.mkv", "MY FILM 1.avi", "čeština.mp4", "映画.mp4", "映像.mp4", "a.b_c.mp4"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")

    ids = [source.id for source in sources_of([str(tmp_path / name) for name in names])]

    assert ids == ["my-film-1", "my-film-1-2", "my-film-1-3", "cestina", "source-d626ec", "source-ceb443", "a-b_c"]


def test_a_made_up_id_never_collides_with_a_real_one(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv", "a-2.mp4"):
        (tmp_path / name).write_bytes(b"x")

    ids = [source.id for source in sources_of([str(tmp_path / name) for name in ("a.mp4", "a.mkv", "a-2.mp4")])]

    assert len(set(ids)) == 3


def test_a_link_to_nowhere_in_a_folder_is_told_when_its_turn_comes(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to(tmp_path / "gone.mp4")
    (tmp_path / "b.mp4").write_bytes(b"x")

    broken, _ = sources_of([str(tmp_path)])

    with pytest.raises(SourceNotFound, match=r"no file or folder .*/a\.mp4"):
        next(iter(broken.origin.sessions(Event())))


def test_an_id_is_short() -> None:
    assert len(readable_id("x" * 300)) == 48


@pytest.mark.parametrize(
    ("name", "error", "seen"),
    [
        ("absent.mp4", SourceNotFound, "there is no file or folder"),
        ("absent/x.mp4", SourceNotFound, "there is no file or folder"),
        ("empty-folder", SourceNotFound, "holds 0 entries but no video or picture"),
        ("notes.txt", RefusedSource, r"has the ending \.txt; wanted one of \.mp4"),
        ("noending", RefusedSource, r"has the ending \(none\)"),
        ("pipe.mp4", RefusedSource, "is a named pipe"),
        ("socket.mp4", RefusedSource, "is a socket"),
        ("x" * 5000 + ".mp4", RefusedSource, "cannot be looked up"),
        ("nul\0.mp4", RefusedSource, "cannot be looked up"),
        ("notes.txt/x.mp4", SourceNotFound, "there is no file or folder"),
    ],
)
def test_what_cannot_be_looked_at_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[BadSource], seen: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty-folder").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "noending").write_text("hello")
    os.mkfifo("pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.mp4")

        with pytest.raises(error, match=seen) as caught:
            sources_of([name])

    assert "\n" not in str(caught.value)


def test_devices_and_urls_of_other_schemes_are_refused() -> None:
    for typed in ("/dev/null", "/dev/zero", "http://camera/x.mp4", "file:///etc/passwd", "concat://a|b", "lavfi://x"):
        with pytest.raises(RefusedSource):
            sources_of([typed])


def test_what_this_user_may_not_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")

    def denied(path: Path) -> None:  # root, who runs tests in containers, is denied nothing
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(RefusedSource, match="may not be listed by this user"):
        sources_of([str(tmp_path)])
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RefusedSource, match=r"a\.mp4 may not be read by this user"):
        sources_of([str(tmp_path / "a.mp4")])
    monkeypatch.setattr(Path, "stat", denied)
    with pytest.raises(RefusedSource, match=r"cannot be looked up \(permission denied\)"):
        sources_of([str(tmp_path / "a.mp4")])


def test_a_name_full_of_protocol_words_is_only_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "concat:a|b %41 ?x=1.mkv", 2)

    (source,) = sources_of(["concat:a|b %41 ?x=1.mkv"])
    sessions = source.origin.sessions(Event())

    assert next(sessions).size_wh == (64, 48)


def test_the_fingerprint_follows_content_not_name(tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in "abc")
    a.write_bytes(b"x" * 3_000_000)
    b.write_bytes(b"x" * 3_000_000)
    c.write_bytes(b"x" * 2_999_999 + b"y")

    assert fingerprint(a) == fingerprint(b) != fingerprint(c)


@pytest.mark.parametrize("nothing", ["", "  "])
def test_an_empty_name_is_not_the_current_folder(nothing: str) -> None:
    with pytest.raises(SourceNotFound, match="empty name"):
        sources_of([nothing])
