import threading

import numpy as np
import pytest

from contract.errors import BadStore, NotFound
from query.store import PeopleAfter, Reader
from tests.query.stores import BOTH_NETS, FACE_NET, JPEG, NOON, SECOND, Store, every_frame, shares


def test_points_come_back_as_they_were_packed(store: Store, reader: Reader) -> None:
    values = shares(2_000)
    store.session()
    store.person("p", every_frame(2_000), values)  # 80 s: two minutes

    with reader.snapshot() as snapshot:
        stretches = list(snapshot.points("p", 0, 80 * SECOND))

    assert [(chunk, schema) for chunk, schema, _ in stretches] == [(0, FACE_NET.id), (1, FACE_NET.id)]
    seen = np.concatenate([part.values for _, _, part in stretches])
    np.testing.assert_allclose(seen, values, atol=0.5 / 65_535 + 1e-7)  # half a step of the packing, and float32


def test_threads_share_a_reader(store: Store, reader: Reader) -> None:
    store.session()
    store.person("p", every_frame(500), shares(500))
    seen: list[int] = []

    def read() -> None:
        for _ in range(20):
            with reader.snapshot() as snapshot:
                seen.extend(len(part) for _, _, part in snapshot.points("p", 0, 20 * SECOND))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [500] * 80


def test_people_go_on_behind_a_person(store: Store, reader: Reader) -> None:
    for source, person in (("b", "p3"), ("a", "p2"), ("a", "p1")):
        store.session(source)
        store.person(person, every_frame(3), shares(3), source=source)

    with reader.snapshot() as snapshot:
        everyone = [person.id for person in snapshot.people(None, None)]
        rest = [person.id for person in snapshot.people(None, PeopleAfter("a", 0, "p1"))]
        of_b = [person.id for person in snapshot.people("b", None)]

    assert (everyone, rest, of_b) == (["p1", "p2", "p3"], ["p2", "p3"], ["p3"])


def test_a_picture_is_given_only_where_the_source_keeps_pictures(store: Store, reader: Reader) -> None:
    store.session("open", pictures=True)
    store.session("private", pictures=False)
    store.person("p", every_frame(3), shares(3), source="open", picture=JPEG)
    store.person("q", every_frame(3), shares(3), source="private", picture=JPEG)  # a fault of the writer

    with reader.snapshot() as snapshot:
        assert snapshot.picture("p") == JPEG
        assert snapshot.picture("q") is None


def test_nobody_is_not_found(store: Store, reader: Reader) -> None:
    with reader.snapshot() as snapshot:
        with pytest.raises(NotFound, match="'nobody'"):
            snapshot.person("nobody")
        with pytest.raises(NotFound, match="'nothing'"):
            snapshot.session("nothing", "s")


def test_a_chunk_that_does_not_fit_its_schema_is_a_bad_store(store: Store, reader: Reader) -> None:
    store.session()
    store.person("p", every_frame(3), shares(3))
    store.damage("p")

    with reader.snapshot() as snapshot, pytest.raises(BadStore, match="does not fit its reading schema"):
        list(snapshot.points("p", 0, SECOND))


def test_two_nets_of_one_minute_come_apart(store: Store, reader: Reader) -> None:
    store.session()
    store.person("p", every_frame(50), shares(50))
    store.person("p", every_frame(50, begin=2 * SECOND), shares(50, 20), schema=BOTH_NETS)
    store.person("p", every_frame(50, begin=4 * SECOND), shares(50))

    with reader.snapshot() as snapshot:
        schemas = snapshot.schemas("p", 0, 10 * SECOND)
        stretches = list(snapshot.points("p", 0, 10 * SECOND))

    assert schemas == {FACE_NET.id: FACE_NET, BOTH_NETS.id: BOTH_NETS}
    assert [(chunk, schema, len(part)) for chunk, schema, part in stretches] == sorted(
        [(0, FACE_NET.id, 100), (0, BOTH_NETS.id, 50)]
    )


def test_only_the_minutes_that_were_asked_for_are_read(store: Store, reader: Reader) -> None:
    store.session()
    store.person("p", every_frame(10, begin=-SECOND), shares(10))  # before the epoch too
    store.person("p", every_frame(10, begin=59 * SECOND), shares(10))
    store.person("p", every_frame(10, begin=60 * SECOND), shares(10, 20), schema=BOTH_NETS)
    store.person("p", every_frame(10, begin=1_000 * SECOND), shares(10))

    def chunks(begin: int, end: int) -> list[int]:
        with reader.snapshot() as snapshot:
            return [chunk for chunk, _, _ in snapshot.points("p", begin, end)]

    assert chunks(-(2**62), 2**62) == [-1, 0, 1, 16]
    assert chunks(0, 60 * SECOND) == [0]
    assert chunks(0, 60 * SECOND + 1) == [0, 1]
    assert chunks(-1, 0) == [-1]
    assert chunks(120 * SECOND, 900 * SECOND) == []
    with reader.snapshot() as snapshot:
        assert set(snapshot.schemas("p", 0, 60 * SECOND)) == {FACE_NET.id}


def test_people_of_one_instant_come_by_name(store: Store, reader: Reader) -> None:
    store.session()
    names = [f"p{number:03}" for number in range(600)]
    for name in reversed(names):
        store.person(name, every_frame(1), shares(1))

    with reader.snapshot() as snapshot:
        everyone = [person.id for person in snapshot.people("clip", None)]
        rest = [person.id for person in snapshot.people(None, PeopleAfter("clip", 0, "p420"))]

    assert everyone == names
    assert rest == names[421:]


def test_names_with_colons_and_percents_are_told_apart(store: Store, reader: Reader) -> None:
    for source, session in (("a", "b:c"), ("a:b", "c"), ("a%3Ab", "c"), ("ä", "ö")):
        store.session(source, session)
        store.person(f"{source}/{session}", every_frame(3), shares(3), source=source, session=session)

    with reader.snapshot() as snapshot:
        assert [(session.source, session.id) for session in snapshot.sessions()] == [
            ("a", "b:c"), ("a%3Ab", "c"), ("a:b", "c"), ("ä", "ö"),
        ]  # fmt: skip
        assert [person.id for person in snapshot.people(None, None)] == ["a/b:c", "a%3Ab/c", "a:b/c", "ä/ö"]
        assert snapshot.person("a/b:c").session == "b:c"
        assert snapshot.person("ä/ö").source == "ä"


def test_people_are_counted_by_session(store: Store, reader: Reader) -> None:
    store.session(session="s1")
    store.session(session="s2", opened_at=NOON)
    store.session("empty")
    for name, session in (("p", "s1"), ("q", "s2"), ("r", "s2")):
        store.person(name, every_frame(3), shares(3), session=session)

    with reader.snapshot() as snapshot:
        assert snapshot.headcounts() == {("clip", "s1"): 1, ("clip", "s2"): 2}
