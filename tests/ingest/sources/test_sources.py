import os
import re
import socket
from pathlib import Path
from threading import Event

import pytest

from contract.errors import BadRequest, BadSource, RefusedSource, SourceNotFound
from ingest.sources import asked_for, sources_of
from ingest.sources.files import file_at, fingerprint
from tests.ingest.clips import write_clip


def written(folder: Path, *names: str) -> list[Path]:
    """Files of one byte under these names."""
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return paths


def ids(*typed: object) -> list[str]:
    return [source.id for source in sources_of([str(each) for each in typed])]


def test_a_folder_gives_its_videos_and_pictures_in_natural_order(tmp_path: Path) -> None:
    written(tmp_path, "clip10.mp4", "clip2.mp4", "Clip1.MKV", "a.jpeg")

    sources = sources_of([str(tmp_path)])

    assert [source.uri for source in sources] == [
        str(tmp_path / name) for name in ("a.jpeg", "Clip1.MKV", "clip2.mp4", "clip10.mp4")
    ]


def test_whatever_of_a_folder_is_not_looked_at_is_named_with_its_reason(tmp_path: Path) -> None:
    written(tmp_path, "a.mp4", "b.heic", "notes.txt", ".hidden.mp4", "sub/c.mp4", "noending")
    os.mkfifo(tmp_path / "pipe.mp4")

    left = asked_for([str(tmp_path)]).left_out

    assert {each.path.name: each.reason.split(";")[0] for each in left} == {
        ".hidden.mp4": "hidden, as its name begins with a dot",
        "b.heic": "its ending is .heic",
        "noending": "its ending is (none)",
        "notes.txt": "its ending is .txt",
        "pipe.mp4": "no regular file",
        "sub": "a sub-folder",
    }


def test_folders_of_folders_are_looked_into_on_request(tmp_path: Path) -> None:
    written(tmp_path, "b.mp4", "one/a.mp4", "one/two/a.mp4", "one/two/x.doc", ".git/c.mp4")
    (tmp_path / "loop").symlink_to(tmp_path)

    asked = asked_for([str(tmp_path)], recursive=True)

    assert [Path(s.uri).relative_to(tmp_path).as_posix() for s in asked.sources] == [
        "b.mp4",
        "one/a.mp4",
        "one/two/a.mp4",
    ]
    assert len({source.id for source in asked.sources}) == 3
    assert {each.path.name for each in asked.left_out} == {".git", "loop", "x.doc"}


def test_an_id_begins_with_the_name_and_knows_all_of_it(tmp_path: Path) -> None:
    names = [
        "My Film (1).mp4",
        "my-film-1.mkv",
        "MY FILM 1.avi",
        "čeština.mp4",
        "映画.mp4",
        "映像.mp4",
        f"{'x' * 90}.ts",
    ]
    found = ids(*written(tmp_path, *names, f"{'x' * 91}.ts"))

    starts = ["my-film-1-"] * 3 + ["cestina-", "source-", "source-"] + [f"{'x' * 40}-"] * 2
    assert len(set(found)) == len(names) + 1
    assert all(re.fullmatch(re.escape(start) + "[a-z2-7]{8}", one) for one, start in zip(found, starts, strict=True))


def test_an_id_does_not_depend_on_what_else_is_named(tmp_path: Path) -> None:
    one, two = written(tmp_path, "monday/talk.mp4", "tuesday/talk.mp4")

    first, second = ids(one, two)

    assert first != second
    assert ids(two, one) == [second, first]
    assert ids(two) == [second]


def test_the_same_file_is_one_source_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clip,) = written(tmp_path, "clips/a.mp4")
    (tmp_path / "link.mp4").symlink_to(clip)
    monkeypatch.chdir(tmp_path)

    typed = ["clips/a.mp4", "./clips/../clips/a.mp4", str(clip), "link.mp4", "clips"]

    assert [source.uri for source in sources_of(typed)] == ["clips/a.mp4"]
    assert len({ids(each)[0] for each in typed}) == 1


def test_two_channels_of_one_recorder_keep_their_ids_in_any_order() -> None:
    one, two, three = (f"rtsp://nvr/{path}" for path in ("ch1", "ch2", "live?channel=3"))

    assert ids(one, two, three) == ids(three, two, one)[::-1]
    assert len({*ids(one, two, three)}) == 3


def test_a_new_password_leaves_a_camera_its_id_and_the_id_shows_none() -> None:
    old, new = "rtsp://admin:canary@nvr/ch1", "rtsp://admin:secret@nvr/ch1"
    old_path, new_path = (f"rtsp://nvr/user=a_password={word}&channel=1" for word in ("canary", "secret"))

    assert ids(old) == ids(new)
    assert ids(old_path) == ids(new_path)
    assert "canary" not in str([ids(old), ids(old_path)])


def test_a_source_is_called_what_the_user_calls_it(tmp_path: Path) -> None:
    a, b = written(tmp_path, "a.mp4", "b=c.mp4")

    named = sources_of([f"anna={a}", str(b), "door=rtsp://10.0.0.9/x?channel=1"])
    (spoken,) = asked_for([str(a)], name="Anna Müller").sources

    assert [(source.id, source.shown) for source in named[::2]] == [("anna", "anna"), ("door", "door")]
    assert (named[1].name, named[1].uri) == ("", str(b))  # the name of a file that is there is no name and file
    assert spoken.shown == "Anna Müller"
    assert re.fullmatch("anna-muller-[a-z2-7]{8}", spoken.id)


def test_a_name_given_holds_also_where_the_folder_names_the_file_again(tmp_path: Path) -> None:
    a, _ = written(tmp_path, "a.mp4", "b.mp4")

    for typed in ([str(tmp_path), f"anna={a}"], [f"anna={a}", str(tmp_path)]):
        assert sorted(source.shown for source in sources_of(typed)) == [str(tmp_path / "b.mp4"), "anna"]


@pytest.mark.parametrize(
    ("typed", "name", "seen"),
    [
        (["x={0}/a.mp4", "x={0}/b.mp4"], None, "x is the name of .*a.mp4 and of .*b.mp4"),
        (["x={0}/a.mp4", "y={0}/a.mp4"], None, "is named x and y"),
        (["{0}/a.mp4", "{0}/b.mp4"], "x", "--name x is for one source, seen 2"),
        (["{0}"], "x", "x names the folder"),
        (["x={0}"], None, "x names the folder"),
        (["  ={0}/a.mp4"], None, "an empty name"),
    ],
)
def test_a_name_is_for_one_source(tmp_path: Path, typed: list[str], name: str | None, seen: str) -> None:
    written(tmp_path, "a.mp4", "b.mp4")

    with pytest.raises(BadRequest, match=seen):
        asked_for([each.format(tmp_path) for each in typed], name=name)


def test_a_name_may_be_no_text_and_may_try_to_drive_the_terminal(tmp_path: Path) -> None:
    names = [
        b"caf\xe9.mp4",
        b"\xff\xfe.mp4",
        b"a\x1b[31m\nb.mp4",
        "\u202egpj.mp4".encode(),
        "映画\u3000👩\u200d👧.mp4".encode(),
    ]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"x")

    sources = sources_of([str(tmp_path)])

    shown = {Path(source.uri).name for source in sources}
    assert shown == {r"caf\xe9.mp4", r"\xff\xfe.mp4", r"a\x1b[31m\nb.mp4", r"\u202egpj.mp4", "映画\u3000👩\u200d👧.mp4"}
    assert len({source.id for source in sources}) == 5
    for source in sources:
        source.uri.encode()  # text for a store


def test_a_link_to_nowhere_in_a_folder_is_told_when_its_turn_comes(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to(tmp_path / "gone.mp4")
    (tmp_path / "b.mp4").write_bytes(b"x")

    broken, _ = sources_of([str(tmp_path)])

    with pytest.raises(SourceNotFound, match=r"no file or folder .*/a\.mp4"):
        next(iter(broken.origin.sessions(Event())))


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
        ("x\x1b[2J\n.mp4", SourceNotFound, r"folder x\\x1b\[2J\\n\.mp4; wanted"),
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


@pytest.mark.parametrize(
    "typed", ["rtsp:/u:canary@h/x", "rtsp:u:canary@h", "RTSP:/h/password=canary", "a=rtsp:/u:canary@h"]
)
def test_a_slip_in_an_address_shows_no_password(typed: str) -> None:
    with pytest.raises(RefusedSource) as caught:
        sources_of([typed])

    assert "canary" not in str(caught.value)


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
    a, b = (tmp_path / name for name in "ab")
    a.write_bytes(b"x" * 3_000_000)
    b.write_bytes(b"x" * 3_000_000)

    assert fingerprint(a) == fingerprint(b)


@pytest.mark.parametrize("place", [0, 1_500_000, 2_999_999])
def test_a_byte_that_was_mended_makes_another_film(tmp_path: Path, place: int) -> None:
    damaged, mended = tmp_path / "damaged", tmp_path / "mended"
    damaged.write_bytes(b"x" * 3_000_000)
    mended.write_bytes(b"x" * place + b"y" + b"x" * (2_999_999 - place))

    assert fingerprint(damaged) != fingerprint(mended)


def test_no_table_takes_the_id_of_a_session_for_a_number(tmp_path: Path) -> None:
    for number in range(300):
        (path := tmp_path / "a.mp4").write_bytes(b"%d" % number)
        file = file_at(path)
        assert file is not None
        session = file.session_id(None, b"settings")  # type: ignore[arg-type]  # of a file the footage does not matter
        assert re.fullmatch("[a-z2-7]{12}", session)
        with pytest.raises(ValueError, match="could not convert"):
            float(session)


@pytest.mark.parametrize("nothing", ["", "  "])
def test_an_empty_name_is_not_the_current_folder(nothing: str) -> None:
    with pytest.raises(SourceNotFound, match="empty name"):
        sources_of([nothing])
