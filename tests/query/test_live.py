"""The live stream over a real socket, while a store is being written."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from query.listen import Listen
from query.serving import HttpServer
from query.store import Reader
from tests.query.conftest import Get
from tests.query.stores import NOON, SECOND, Store, every_frame, shares

Event = tuple[str, str, Any]  # kind, id, data


@pytest.fixture
def served(store: Store, reader: Reader) -> Iterator[str]:
    server = HttpServer(reader, Listen(port=0))
    while not server.is_ready:
        time.sleep(0.02)
    yield server.url
    server.close()


def events(url: str, until: Callable[[list[Event]], bool], query: str = "", last: str | None = None) -> list[Event]:
    """Read the stream until what came suffices."""
    found: list[Event] = []
    headers = {"Last-Event-ID": last} if last else {}
    with httpx.stream("GET", f"{url}/v1/live?{query}", headers=headers, timeout=30) as answer:
        assert answer.status_code == 200, answer.read()
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            fields[name] = value
            if not line and "event" in fields:
                found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
                fields = {}
                if until(found):
                    return found
    return found


def times(found: list[Event], person: str) -> list[float]:
    return [
        t
        for kind, _, data in found
        if kind == "readings"
        for p in data["people"]
        if p["person"] == person
        for t in p["t"]
    ]


def write(store: Store, begin: int, end: int, *, closed: bool = False) -> None:
    """Frames [begin, end) of two people, at 25 Hz; the second of a frame may be there later than the first."""
    at = every_frame(end)[begin:]
    for frame in range(len(at)):
        for number in range(2):
            store.person(f"door.s1.{number}", at[frame : frame + 1], shares(1, seed=number), source="door")
    told = int(at[-1]) + 1 if closed else None
    store.session("door", complete_until=told, looked_at=end, closed=closed)


def test_history_hands_over_to_live_without_hole_or_repeat(store: Store, served: str) -> None:
    write(store, 0, 50)

    def work() -> None:
        for begin in range(50, 300, 10):
            write(store, begin, begin + 10)
            time.sleep(0.02)
        write(store, 300, 310, closed=True)

    writer = threading.Thread(target=work)
    writer.start()
    found = events(served, lambda seen: seen[-1][0] == "closed", "after=0")
    writer.join()

    for person in ("door.s1.0", "door.s1.1"):
        assert times(found, person) == [pytest.approx(0.04 * frame) for frame in range(310)]
    assert [kind for kind, _, _ in found if kind != "readings"] == ["ready", "closed"]


def test_a_reader_that_comes_back_goes_on_where_it_was(store: Store, served: str) -> None:
    write(store, 0, 20)
    first = events(served, lambda seen: seen[-1][0] == "readings", "after=0")
    write(store, 20, 40)
    second = events(served, lambda seen: seen[-1][0] == "readings", last=first[-1][1])
    third = events(served, lambda seen: True, last=second[-1][1])  # away while nothing happens
    write(store, 40, 60, closed=True)  # away while the session ends
    rest = events(served, lambda seen: seen[-1][0] == "closed", last=third[-1][1])

    told = times(first + second + third + rest, "door.s1.1")
    assert told == [pytest.approx(0.04 * frame) for frame in range(60)]


def test_without_a_position_only_what_is_new_is_told_and_only_what_was_asked_for(store: Store, served: str) -> None:
    write(store, 0, 30)
    writer = threading.Timer(0.5, lambda: write(store, 30, 60, closed=True))
    writer.start()

    found = events(served, lambda seen: seen[-1][0] == "closed", "person=door.s1.1&channels=fear")
    writer.join()

    assert times(found, "door.s1.0") == []
    assert times(found, "door.s1.1") == [pytest.approx(0.04 * frame) for frame in range(29, 60)]  # 29 had to wait
    (data, *_) = [data for kind, _, data in found if kind == "readings"]
    assert list(data["people"][0]["expressions"]) == ["fear"]


def test_the_last_reading_of_everybody_in_sight_is_one_answer(store: Store, get: Get) -> None:
    values = shares(100)
    store.session("door", opened_at=NOON, dated=True, complete_until=NOON + 4 * SECOND, closed=False)
    store.person("door.s1.0", every_frame(100, begin=NOON), values, source="door")
    store.person("door.s1.1", every_frame(25, begin=NOON), shares(25), source="door")  # left three seconds ago
    store.session("old", closed=True)
    store.person("old.s1.0", every_frame(10), shares(10), source="old")

    (near,) = get("/v1/latest?within=2").json()["people"]

    assert (near["person"], near["t"], near["behind"]) == ("door.s1.0", 3.96, 0.04)
    np.testing.assert_allclose(list(near["expressions"].values()), values[-1], atol=2e-5)
    everybody = get("/v1/latest?channels=x=1-neutral").json()["people"]
    assert [each["person"] for each in everybody] == ["door.s1.0", "door.s1.1"]
    assert everybody[0]["formulas"]["x"] == pytest.approx(1 - values[-1, 0], abs=2e-5)
    assert get("/v1/latest?source=old").json() == {"people": []}


@pytest.mark.parametrize("last", ["?", "AAAA", "W10x", "W1siYSJdXQ", "W1siYSIsImIiLDFlOTld"])
def test_a_made_up_position_is_refused(get: Get, last: str) -> None:
    answer = get("/v1/live", **{"Last-Event-ID": last})
    assert (answer.status_code, "Last-Event-ID" in answer.json()["detail"]) == (422, True)
