import pytest


@pytest.fixture(scope="module")
def store(mien, face_clip, tmp_path_factory):
    path = tmp_path_factory.mktemp("query") / "s.db"
    assert mien("run", face_clip, "--no-serve", "--every-n", "5", "--store", path).returncode == 0
    return path


@pytest.fixture(scope="module")
def person(mien, store):
    return mien("query", store, "--format", "csv").stdout.splitlines()[1].split(",")[0]


def test_the_list_says_how_to_ask_for_one_person(mien, store, person):
    assert mien("query", store).stdout.splitlines()[-1] == f"one person's timeline: mien query {store} {person}"


def test_all_expressions_fit_into_eighty_columns(mien, store, person):
    name, header, *rows = mien("query", store, person, "--every", "1s").stdout.splitlines()

    assert name == person
    assert header.split()[-8:] == [
        "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt",
    ]  # fmt: skip
    assert [row.split()[:2] for row in rows] == [["0.000", "5"], ["1.000", "0"], ["2.000", "5"]]
    assert "absent" in rows[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["PERSON", "--channels", "hapiness"], "no channel 'hapiness'; known are neutral, happiness"),
        (["nobody"], "no person 'nobody' in the store; mien query"),
        (["--every", "1s"], "ask for one person"),
        (["PERSON", "--from", "2", "--to", "1"], "nothing lies between"),
    ],
)
def test_a_question_that_cannot_be_answered_is_one_line(mien, store, person, arguments, says):
    done = mien("query", store, *(person if word == "PERSON" else word for word in arguments))

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr


def test_a_unit_that_no_net_measured_is_no_slip(mien, store, person):
    done = mien("query", store, person, "--channels", "happiness,AU12", "--format", "csv", "--every", "3s")

    assert done.returncode == 0
    assert done.stdout.splitlines()[0].endswith("happiness,AU12")
    assert done.stdout.splitlines()[1].endswith(",")
