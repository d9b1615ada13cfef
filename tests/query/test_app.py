"""The service as a caller meets it."""

import csv
import io
import itertools
import time
import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from arro3.io import read_ipc_stream, read_parquet

from contract.errors import BadStore
from contract.labels import EXPRESSIONS, GapReason
from query.store import Reader
from query.store.sqlite import SqliteReader
from query.timeline import EmptyReason
from tests.query.conftest import Get, asking
from tests.query.stores import JPEG, NOON, SECOND, Store, StoreFile, every_frame, shares

ROUTES = (
    "/v1/sources",
    "/v1/people",
    "/v1/people/p",
    "/v1/people/p/picture",
    "/v1/people/p/timeline",
    "/healthz",
    "/readyz",
    "/",
)


@pytest.fixture
def values(store: Store) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A closed clip of ten seconds: «p» in all of it, «q» in the first two seconds, a dated camera with «r»."""
    told = shares(250)
    store.session(pictures=True)
    store.person("p", every_frame(250), told, picture=JPEG)
    store.person("q", every_frame(50), shares(50))
    store.session("door", opened_at=NOON, dated=True, complete_until=NOON + 4 * SECOND, looked_at=100, closed=False)
    store.gap(NOON + SECOND, NOON + 2 * SECOND, "source_down", source="door")
    store.person("r", every_frame(25, begin=NOON), shares(25), source="door")
    return told


pytestmark = pytest.mark.usefixtures("values")


def test_sources_tell_their_sessions(get: Get) -> None:
    clip, door = get("/v1/sources").json()["sources"]

    assert (clip["id"], clip["people"], clip["uri"]) == ("clip", 2, "videos/clip.mp4")
    assert clip["sessions"][0] == {
        "id": "s1",
        "origin": None,
        "size_wh": [1280, 720],
        "fps": 25.0,
        "sample_hz": None,
        "step": 0.04,
        "frames": 250,
        "looked_at": 250,
        "complete_until": 10.0,
        "closed": True,
        "keeps_pictures": True,
        "settings": {},
        "people": 2,
        "gaps": [],
    }
    camera = door["sessions"][0]
    assert (camera["origin"], camera["complete_until"], camera["closed"]) == ("2026-11-21T12:00:00Z", 4.0, False)
    assert camera["gaps"] == [{"from": 1.0, "to": 2.0, "reason": "source_down"}]


def test_people_come_in_pages_that_join(get: Get) -> None:
    seen, cursor = list[str](), ""
    for _ in range(3):
        page = get(f"/v1/people?limit=1{cursor}").json()
        seen += [person["id"] for person in page["people"]]
        cursor = f"&cursor={page['next']}"

    assert seen == ["p", "q", "r"]
    assert page["next"] is None


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("source=clip", ["p", "q"]),
        ("source=nowhere", []),
        ("from=3", ["p"]),  # «q» has left, «r» too
        ("to=0", []),
        ("to=0.001", ["p", "q", "r"]),
        ("from=2026-11-21T12:00:00Z", ["r"]),  # a date leaves out what has none
        ("from=2026-11-21T12:30:00%2B01:00&to=2026-11-21T12:00:00.5Z", ["r"]),
        ("from=2026-11-21T12:00:01Z", []),
    ],
)
def test_people_are_found_by_source_and_time(get: Get, query: str, wanted: list[str]) -> None:
    assert [person["id"] for person in get(f"/v1/people?{query}").json()["people"]] == wanted


def test_a_person_tells_when_they_were_seen(get: Get) -> None:
    person = get("/v1/people/r").json()

    assert person == {
        "id": "r",
        "source": "door",
        "session": "s1",
        "origin": "2026-11-21T12:00:00Z",
        "first": 0.0,
        "last": 0.96,
        "points": 25,
        "picture": None,
    }


def test_a_picture_is_served_only_where_it_may_be_kept(get: Get) -> None:
    kept = get(get("/v1/people/p").json()["picture"])

    assert (kept.content, kept.headers["content-type"]) == (JPEG, "image/jpeg")
    assert get("/v1/people/q/picture").status_code == 404
    assert get("/v1/people/r/picture").status_code == 404


def test_points_are_told_in_columns(get: Get, values: np.ndarray[Any, Any]) -> None:
    reply = get("/v1/people/p/timeline").json()

    assert reply["t"] == [round(0.04 * frame, 2) for frame in range(250)]
    assert list(reply["expressions"]) == list(EXPRESSIONS)
    told = np.array(list(reply["expressions"].values())).T
    np.testing.assert_allclose(told, values, atol=0.5 / 65_535 + 0.5e-5 + 1e-6)  # packing, five decimals, float32
    assert reply["frame"] == list(range(250))
    assert reply["box_xywh"][1] == [101.5, 80.5, 64.0, 64.0]
    assert (reply["from"], reply["to"], reply["every"], reply["next"]) == (0.0, 10.0, None, None)
    assert reply["models"][0]["nets"] == [{"name": "fer-test", "version": "1.2", "sha256": "ab" * 32}]


def test_buckets_say_how_many_and_why_none(get: Get) -> None:
    reply = get("/v1/people/r/timeline?every=1s&to=6&channels=happiness").json()

    assert reply["t"] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert reply["n"] == [25, 0, 0, 0, 0, 0]
    assert reply["why"] == [None, "source_down", "absent", "absent", "pending", "pending"]
    assert [value is None for value in reply["expressions"]["happiness"]] == [False] + [True] * 5
    assert (reply["complete_until"], reply["closed"], reply["origin"]) == (4.0, False, "2026-11-21T12:00:00Z")


def test_without_bounds_everything_is_told(get: Get) -> None:
    assert get("/v1/people/p/timeline?every=0.2s").json()["n"] == [5] * 50
    assert sum(get("/v1/people/r/timeline?every=1m").json()["n"]) == 25


def test_a_channel_that_nobody_measured_is_a_column_of_nothing(get: Get) -> None:
    reply = get("/v1/people/p/timeline?every=5s&channels=AU12,fear").json()

    assert reply["action_units"] == {"AU12": [None, None]}
    assert list(reply["expressions"]) == ["fear"]


def test_formulas_and_statistics_are_those_of_the_readings(get: Get, values: np.ndarray[Any, Any]) -> None:
    happy, fear = values[:, 1].reshape(10, 25), values[:, 6].reshape(10, 25)
    path = "/v1/people/p/timeline?every=1s&channels=x=happiness-fear,most=max(happiness,fear)"

    mean, peak = get(path).json(), get(path + "&statistic=max").json()
    share = get(path + "&statistic=share&threshold=0.25").json()["formulas"]

    assert mean["expressions"] == {}
    np.testing.assert_allclose(mean["formulas"]["x"], (happy - fear).mean(axis=1), atol=3e-5)
    np.testing.assert_allclose(mean["formulas"]["most"], np.maximum(happy, fear).mean(axis=1), atol=3e-5)
    np.testing.assert_allclose(peak["formulas"]["x"], (happy - fear).max(axis=1), atol=4e-5)
    np.testing.assert_allclose(share["most"], (np.maximum(happy, fear) >= 0.25).mean(axis=1), atol=1e-5)
    assert mean["coverage"] == [1.0] * 10


def test_a_baseline_is_taken_off_and_named(get: Get, values: np.ndarray[Any, Any]) -> None:
    path = "/v1/people/p/timeline?every=5s&channels=fear,x=2*fear&baseline="
    plain = get(path).json()
    q = shares(50)[:, 6]

    for text, rest in (("0..2", values[:50, 6].mean()), ("q", q.mean()), ("q@0..1", q[:25].mean())):
        reply = get(path + text).json()
        assert reply["baseline"]["values"]["fear"] == pytest.approx(rest, abs=2e-5)
        less = np.array(plain["expressions"]["fear"]) - rest
        np.testing.assert_allclose(reply["expressions"]["fear"], less, atol=4e-5)
        np.testing.assert_allclose(reply["formulas"]["x"], 2 * less, atol=8e-5)
    found = get(path + "auto").json()["baseline"]
    assert (found["how"], found["readings"]) == ("found", 62)
    assert get(path + "nobody").status_code == 404
    for text in ("9..2", "nan..2", "100..200"):
        assert get(path + text).status_code in (404, 422), text


def test_days_of_a_calendar_begin_at_midnight_of_the_zone(store: Store, get: Get) -> None:
    begin = NOON - 27 * 86_400 * SECOND  # 2026-10-25 12:00 UTC: the clock of Berlin went back that night
    hours = begin - 24 * 3_600 * SECOND + 3_600 * SECOND * np.arange(72)
    store.session("year", opened_at=int(hours[0]), dated=True, complete_until=int(hours[-1]) + 1, looked_at=72)
    store.person("year", hours, shares(72), source="year")

    reply = get("/v1/people/year/timeline?every=1d&zone=Europe/Berlin&channels=fear").json()

    # from Saturday 14:00 of Berlin: 10 hours, Sunday of 25 hours, Monday of 24, and 13 of Tuesday
    assert reply["t"] == [0.0, 10 * 3_600.0, 35 * 3_600.0, 59 * 3_600.0]
    assert reply["n"] == [10, 25, 24, 13]
    for query, says in (("every=1h&zone=UTC", "whole days"), ("every=1d&zone=Mars/Base", "no such zone")):
        assert says in get(f"/v1/people/year/timeline?{query}").json()["detail"]
    assert "carries no date" in get("/v1/people/p/timeline?every=1d&zone=UTC").json()["detail"]


@pytest.mark.parametrize("every", ["", "&every=0.7s"])
def test_files_for_data_frames_hold_the_same_rows_and_their_origin(get: Get, every: str) -> None:
    path = f"/v1/people/p/timeline?channels=fear,AU12{every}&format="
    lines = [orjson.loads(line) for line in get(path + "ndjson").content.splitlines()]

    for form, read in (("parquet", read_parquet), ("arrow", read_ipc_stream)):
        table = read(io.BytesIO(get(path + form).content)).read_all()
        assert table["t"].to_pylist() == [line["t"] for line in lines]
        seen = [np.nan if each is None else each for each in table["fear"].to_pylist()]
        told = [np.nan if line["fear"] is None else line["fear"] for line in lines]
        np.testing.assert_allclose(seen, told, atol=1e-5)
        assert set(table["AU12"].to_pylist()) == {None}
        assert table.schema.field("t").metadata_str["unit"] == "seconds since the first frame"
        head = orjson.loads(table.schema.metadata_str["mien.timeline"])
        assert head["models"][0]["nets"][0]["name"] == "fer-test"


def test_what_is_cut_goes_on_at_the_next_cursor(get: Get) -> None:
    whole = get("/v1/people/p/timeline?every=0.3s&from=0.1").json()
    seen, path = list[float](), "/v1/people/p/timeline?every=0.3s&from=0.1&limit=7"
    for _ in range(5):
        answer = get(path)
        seen += answer.json()["t"]
        link = answer.headers.get("link", "")
        path = link[1 : link.find(">")]

    assert link == ""
    assert seen == whole["t"]
    assert answer.json()["next"] is None


@pytest.mark.parametrize("every", ["", "&every=0.7s"])
def test_all_formats_tell_the_same(get: Get, every: str) -> None:
    path = "/v1/people/p/timeline?from=1&to=4&channels=neutral,fear" + every
    columns = get(path).json()
    rows = get(path + "&format=json-rows").json()["rows"]
    answer = get(path + "&format=csv")
    lines = list(csv.DictReader(io.StringIO(answer.text)))

    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["mien-complete-until"] == "10.0"
    assert len(rows) == len(lines) == len(columns["t"])
    for place, (row, line) in enumerate(zip(rows, lines, strict=True)):
        for name in ("t", "quality", *(["n"] if every else ["frame"])):
            assert columns[name][place] == row[name] == float(line[name])
        for name in ("neutral", "fear"):
            assert columns["expressions"][name][place] == row[name] == float(line[name])


def test_an_empty_value_is_an_empty_field(get: Get) -> None:
    text = get("/v1/people/r/timeline?every=1s&to=2&channels=fear&format=csv").text

    assert text.splitlines()[0] == "source,session,person,t,n,why,coverage,quality,fear"
    assert text.splitlines()[2] == "door,s1,r,1.0,0,source_down,0.0,,"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/people/p/timeline?from=5&to=1", "wanted from ≤ to"),
        ("/v1/people/p/timeline?from=2026-11-21T12:00:00Z", "carries no date"),
        ("/v1/people/r/timeline?from=2026-11-21T12:00:00", "with a zone"),
        ("/v1/people/p/timeline?every=fast", "every='fast'"),
        ("/v1/people/p/timeline?channels=joy", "no channel 'joy'; known are neutral"),
        ("/v1/people/p/timeline?resolution=1s", "resolution"),  # a misspelt name is never a silent default
        ("/v1/people/p/timeline?limit=0", "limit"),
        ("/v1/people/p/timeline?format=xml", "format"),
        ("/v1/people/p/timeline?cursor=zzz", "cursor"),
        ("/v1/people?limit=10001", "limit"),
        ("/v1/people?limit=1_0", "whole number"),  # Python reads it as 10; nobody means it
        ("/v1/people/p/timeline?from=1_0", "from='1_0'"),
        ("/v1/people/p/timeline?from=1&from=2", "'from' is given more than once"),
        ("/v1/people/p?from=1", "from"),
        ("/v1/sources?source=clip", "source"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(get: Get, path: str, words: str) -> None:
    answer = get(path)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]
    assert answer.json()["type"] == "urn:mien:problem:bad-parameter"


HOSTILE = (
    *("", "0", "-1", "1e18", "9" * 400, "nan", "inf", "-inf", "0x10", "1_000", "١٢", "null", "[]", "{}", "*", "%"),
    *("'", '"', "'; DROP TABLE people; --", "\x00", "\n", "\r\nSet-Cookie: a=b", "\u202e", "\ufeff", "\U0001f642"),
    *("../../etc/passwd", "a" * 10_000, "1e-400", "1ms", "366000h", "0.001", "-1e9", "1e9", "columnar", "csv"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "2026-02-30T00:00:00Z"),
    *("AAAA", "MA", "LTk5OTk5OTk5OTk5OTk5OTk5OQ", "OTk5OTk5OTk5OTk5OTk5OTk5", "happiness", "happiness,happiness", ","),
)


def test_no_parameter_brings_the_service_down(get: Get) -> None:
    names = ("from", "to", "every", "channels", "format", "limit", "cursor", "source", "nonsense")
    chance = np.random.default_rng(7)
    paths = [
        f"{path}?{urllib.parse.urlencode({name: text})}"
        for path, name, text in itertools.product(("/v1/people", "/v1/people/r/timeline"), names, HOSTILE)
    ]
    for _ in range(300):
        several = {name: HOSTILE[chance.integers(len(HOSTILE))] for name in chance.permutation(names)[:3]}
        paths.append(f"/v1/people/r/timeline?{urllib.parse.urlencode(several | {'limit': '5'})}")
    paths += ["/v1/people/p?" + "&".join(f"a{i}=1" for i in range(6_000)), "/v1/people?from=1&from=2&from=x"]

    answers = [(path, get(path)) for path in paths]

    assert [(path[:200], answer.text) for path, answer in answers if answer.status_code not in (200, 422)] == []
    assert sum(answer.status_code == 200 for _, answer in answers) > 50
    assert not any("set-cookie" in answer.headers for _, answer in answers)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_id_brings_the_service_down(get: Get, text: str) -> None:
    quoted = urllib.parse.quote(text, safe="")
    for path in (f"/v1/people/{quoted}", f"/v1/people/{quoted}/timeline", f"/v1/people/{quoted}/picture"):
        assert get(path).status_code in (200, 307, 404, 422), path


def test_an_id_with_blanks_and_signs_is_found_by_its_quoted_name(store: Store, get: Get) -> None:
    odd = 'häns "1" %41\n?&#'
    store.session("odd", pictures=True)
    store.person(odd, every_frame(3), shares(3), source="odd", picture=JPEG)

    person = get("/v1/people?source=odd").json()["people"][0]

    assert person["id"] == odd
    assert get(person["picture"]).content == JPEG
    assert get(person["picture"].replace("/picture", "/timeline")).json()["person"] == odd
    download = get(person["picture"].replace("/picture", "/timeline?format=csv"))
    assert download.headers["content-disposition"] == 'attachment; filename="h-ns-1-41-.csv"'


@pytest.mark.parametrize("odd", ["a/b", "a%2Fb", "/", "a//b", "%", "%25", "a/timeline", "é/ß"])
def test_an_id_with_slashes_and_percent_signs_is_found_by_its_quoted_name(store: Store, get: Get, odd: str) -> None:
    store.session("odd", pictures=True)
    store.person(odd, every_frame(3), shares(3), source="odd", picture=JPEG)

    person = get("/v1/people?source=odd").json()["people"][0]

    path = f"/v1/people/{urllib.parse.quote(odd, safe='')}"
    assert person["picture"] == f"{path}/picture"
    assert get(path).json()["id"] == odd
    assert get(person["picture"]).content == JPEG
    assert get(f"{path}/timeline").json()["person"] == odd


def test_rows_without_a_limit_are_all_there_is(store: Store, get: Get) -> None:
    store.session("long", complete_until=1_000 * SECOND)
    store.person("long", every_frame(25_000), shares(25_000), source="long")

    whole = get("/v1/people/long/timeline?format=csv&channels=fear,AU12")
    cut = get("/v1/people/long/timeline?format=csv&limit=10000")

    lines = list(csv.DictReader(io.StringIO(whole.text)))
    assert [line["t"] for line in lines] == [str(round(0.04 * frame, 2)) for frame in range(25_000)]
    assert {line["AU12"] for line in lines} == {""}
    assert "link" not in whole.headers
    assert (len(cut.text.splitlines()), "link" in cut.headers) == (10_001, True)


def test_head_is_get_without_the_body(get: Get, reader: Reader) -> None:
    for path in ("/v1/people/p/timeline", "/v1/people/p/timeline?format=csv", "/healthz", "/v1/people/nobody", "/"):
        full, head = get(path), asking(reader, "HEAD")(path)
        assert (head.status_code, head.content) == (full.status_code, b"")
        assert head.headers["content-type"] == full.headers["content-type"]


@pytest.mark.parametrize(("path", "status"), [("/v1/people/nobody", 404), ("/v2", 404), ("/v1/people?x=1", 422)])
def test_errors_are_problem_details(get: Get, path: str, status: int) -> None:
    answer = get(path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail", "instance"}
    assert answer.json()["status"] == status


def test_a_fault_of_ours_tells_nothing_of_the_inside() -> None:
    class Faulty:
        def snapshot(self) -> Any:
            raise RuntimeError("secret at /home/somebody/store.db")

        def close(self) -> None: ...

    answer = asking(Faulty())("/v1/sources")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "secret" not in answer.text


def test_until_there_is_a_store_the_service_is_alive_but_not_ready(tmp_path: Path) -> None:
    reader = SqliteReader(tmp_path / "later.db")
    get = asking(reader)

    assert get("/healthz").status_code == 200
    assert [get(path).status_code for path in ("/readyz", "/v1/sources")] == [503, 503]
    assert str(tmp_path) not in get("/readyz").text

    written = StoreFile(tmp_path / "later.db")
    assert get("/readyz").status_code == 200
    written.execute("PRAGMA user_version=7")
    reader.close()
    assert "newer Mien" in get("/readyz").json()["detail"]
    written.close()
    reader.close()


def test_every_answer_carries_the_headers_a_browser_shall_obey(get: Get) -> None:
    for path in (*ROUTES, "/nowhere", "/v1/people?x=1"):
        headers = get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';"), path
        wanted = {"/": "no-cache", "/v1/people/p/timeline": "private, no-cache"}.get(path, "no-store")
        assert headers["cache-control"] == wanted, path


def test_a_client_need_not_be_sent_what_it_has(store: Store, get: Get) -> None:
    time.sleep(0.06)  # a file's version is not known within a tick of a write
    for path in ("/v1/sources", "/v1/people", "/v1/people/p/timeline?every=1s"):
        first = get(path)
        again = get(path, **{"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    store.person("s", every_frame(3), shares(3))
    time.sleep(0.06)
    known = get("/v1/people").json()["people"]
    assert [person["id"] for person in known] == ["p", "q", "s", "r"]
    assert get("/v1/sources").json()["sources"][0]["people"] == 3
    assert "etag" not in get("/v1/people/r/timeline").headers  # it may still grow


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil:8000",
        "[::1].evil.com",
        "localhost:80:80",
        "a@localhost",
        "",
        "[::2]",
        "10.0.0.1",
    ],
)
def test_a_foreign_host_name_is_refused(get: Get, host: str) -> None:
    for path in ROUTES:
        answer = get(path, Host=host)
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:mien:problem:unknown-host"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]", "[::1]:8000"])
def test_the_names_of_this_machine_are_served(get: Get, host: str) -> None:
    assert get("/healthz", Host=host).status_code == 200


def test_big_answers_are_packed_for_those_who_ask(get: Get) -> None:
    path = "/v1/people/p/timeline"
    packed = get(path, **{"Accept-Encoding": "gzip"})
    plain = get(path, **{"Accept-Encoding": "identity"})

    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()


def test_the_chart_library_is_served_from_its_package_and_kept_by_the_browser(get: Get) -> None:
    page = get("/").text
    path = page[page.index("dashboard/plotly-") :].partition('"')[0]
    first = get(path, **{"Accept-Encoding": "gzip"})
    again = get(path, **{"If-None-Match": first.headers["etag"]})

    assert b"plotly.js" in first.content[:400]
    assert first.headers["content-encoding"] == "gzip"
    assert "immutable" in first.headers["cache-control"]
    assert (again.status_code, again.content) == (304, b"")
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page


def test_the_api_describes_itself_completely(get: Get) -> None:
    document = get("/openapi.json").json()

    for path, operations in document["paths"].items():
        ((_, operation),) = operations.items()
        assert operation["summary"], path
        assert {"200", "400", "500"} <= set(operation["responses"]), path
        if path.startswith("/v1/"):
            assert "503" in operation["responses"], path
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (path, parameter["name"])
            assert "422" in operation["responses"], path
    named = orjson.dumps(document).decode()
    wanted = {part.partition('"')[0] for part in named.split("#/components/schemas/")[1:]}
    assert wanted <= set(document["components"]["schemas"])
    assert "HTTPValidationError" not in named


def test_a_damaged_store_is_told_apart_from_a_fault_of_ours(store: Store, get: Get) -> None:
    store.damage("p")

    answer = get("/v1/people/p/timeline")

    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:mien:problem:store-unreadable"
    assert issubclass(BadStore, Exception)


def test_every_reason_has_a_word_in_the_dashboard_and_in_the_documentation(get: Get) -> None:
    words = get("/dashboard/words.js").text
    documentation = (Path(__file__).parents[2] / "docs" / "api.md").read_text()

    for reason in (*GapReason, *EmptyReason):
        assert f"\n  {reason}: " in words, reason
        assert f"`{reason}`" in documentation, reason
