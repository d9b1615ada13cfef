"""Another net over a store: the video is read again into the same sessions and people."""

import threading

import pytest

from contract.readings import ChannelKind
from ingest.settings import IngestSettings
from ingest.sources import sources_of
from mien.again import engines_for, rereads
from mien.timelines import timelines
from tests.ingest.clips import write_clip
from tests.mien.looking import Sure, look, opened, snapshot_of
from worker.reading.reader import Reader
from worker.store.sqlite.again import ReadAgain

HAPPY, SAD = Sure("happy", "expressions", "happiness"), Sure("sad", "expressions", "sadness")
SMILE = Sure("smile", "action_units", "AU12")


@pytest.fixture
def source(tmp_path):
    return sources_of([str(write_clip(tmp_path / "clip.mp4", 50))])[0]


def run(source, store, engines, known=(), stop=None):
    """What `mien run` does for one source: look, then read again what lacks a net; how often it was read again."""
    analysis = look([source], store, engines, stop=stop)
    with snapshot_of(store._path) as snapshot:
        groups, foreign = rereads(snapshot, analysis.sessions, engines)
    assert foreign == []
    for group in groups:
        kept = [engine for engine in known if engine.card.name in group.kept]
        reader = Reader([*kept, *engines])
        look([source], ReadAgain(store, reader.schema), reader._engines, stop=stop)
    return len(groups)


def shown(store):
    """The mean of every channel that counts, and the frames of the only person."""
    with snapshot_of(store._path) as snapshot:
        (session,) = snapshot.sessions()
        (person,) = (timeline.whole() for timeline in timelines(snapshot, session))
    means = {name: round(float(values.mean()), 2) for (_, name), values in person.values.items()}
    return {name for name, mean in means.items() if mean > 0.5}, person.points.frame.tolist()


@pytest.fixture
def zoo(monkeypatch):
    """A zoo that holds the nets of this file."""
    cards = {engine.card.name: engine.card for engine in (HAPPY, SAD, SMILE)}
    monkeypatch.setattr("mien.again.find", lambda name: (cards[name], None))


def test_a_net_more_reads_the_stored_video_again_and_doubles_nobody(source, tmp_path, zoo):
    with opened(tmp_path / "s.db") as store:
        assert run(source, store, [HAPPY]) == 0
        assert run(source, store, [HAPPY, SMILE]) == 1
        assert shown(store) == ({"happiness", "AU12"}, list(range(50)))
        assert run(source, store, [HAPPY, SMILE]) == 0


def test_a_net_alone_leaves_what_others_read(source, tmp_path, zoo):
    with opened(tmp_path / "s.db") as store:
        run(source, store, [HAPPY])
        assert run(source, store, [SMILE], known=[HAPPY]) == 1
        assert shown(store) == ({"happiness", "AU12"}, list(range(50)))
        assert run(source, store, [SMILE]) == run(source, store, [HAPPY]) == 0


def test_another_net_of_the_same_channels_answers_and_so_does_the_first_one_again(source, tmp_path, zoo):
    with opened(tmp_path / "s.db") as store:
        for engine, shows in ((HAPPY, "happiness"), (SAD, "sadness"), (HAPPY, "happiness"), (SAD, "sadness")):
            run(source, store, [engine])
            assert shown(store) == ({shows}, list(range(50)))


def test_the_same_net_in_another_version_is_another_net(source, tmp_path, zoo):
    newer = Sure("happy", "expressions", "surprise", version="2")
    with opened(tmp_path / "s.db") as store:
        run(source, store, [HAPPY])
        assert run(source, store, [newer]) == 1
        assert shown(store)[0] == {"surprise"}


class StopsAfter(Sure):
    """An engine that asks the run to stop when it has read so many crops."""

    def __init__(self, engine, count, stop):
        self.__dict__ |= engine.__dict__
        self.crops, self._count, self._stop = 0, count, stop

    def __call__(self, crops):
        answer = super().__call__(crops)
        if self.crops >= self._count:
            self._stop.set()
        return answer


def test_a_reading_again_that_was_stopped_goes_on_and_adds_nothing_twice(tmp_path, zoo):
    source = sources_of([str(write_clip(tmp_path / "clip.mp4", 400))])[0]
    stop = threading.Event()
    with opened(tmp_path / "s.db") as store:
        run(source, store, [HAPPY])
        run(source, store, [HAPPY, StopsAfter(SMILE, 1, stop)], stop=stop)
        assert run(source, store, [HAPPY, SMILE]) == 1
        assert shown(store) == ({"happiness", "AU12"}, list(range(400)))


def test_a_run_that_goes_on_with_another_net_has_both_in_all_frames(tmp_path, zoo):
    source = sources_of([str(write_clip(tmp_path / "clip.mp4", 400))])[0]
    stop = threading.Event()
    with opened(tmp_path / "s.db") as store:
        look([source], store, [StopsAfter(HAPPY, 1, stop)], stop=stop)
        half = len(shown(store)[1])
        run(source, store, [SMILE], known=[HAPPY])
        assert shown(store) == ({"happiness", "AU12"}, list(range(400)))
    assert 0 < half < 400


def test_what_an_unknown_net_read_is_not_hidden_and_the_line_says_what_helps(source, tmp_path, zoo, monkeypatch):
    with opened(tmp_path / "s.db") as store:
        run(source, store, [HAPPY])
        monkeypatch.setattr("mien.again.find", lambda name: (SAD.card, None))
        with snapshot_of(store._path) as snapshot:
            keys = [(session.source, session.id) for session in snapshot.sessions()]
            groups, (foreign,) = rereads(snapshot, keys, [SMILE])
            replaced, none = rereads(snapshot, keys, [SAD])

    assert (groups, none) == ([], [])
    assert [group.missing for group in replaced] == [("sad",)]  # gives all channels of the unknown one
    assert foreign.line("clip.mp4").startswith("clip.mp4: stays as it was read by happy 1 (")
    assert "in --nets too" in foreign.line("clip.mp4")


def test_a_video_without_a_face_lacks_nothing(source, tmp_path):
    from tests.mien.looking import NoFace

    with opened(tmp_path / "s.db") as store:
        analysis = look([source], store, [HAPPY], follower=NoFace)
        with snapshot_of(store._path) as snapshot:
            assert rereads(snapshot, analysis.sessions, [SMILE]) == ([], [])


def test_nets_do_not_change_what_a_session_is():
    assert IngestSettings().crop_edge == 160
    assert IngestSettings().identity == IngestSettings().identity
    assert IngestSettings(detector="another").identity != IngestSettings().identity


def test_the_engines_of_a_reread_are_those_of_before_and_those_asked_for():
    from mien.again import Reread

    engines = engines_for(Reread((("clip", "s"),), ("smile",), ("expressions.int8",)), [SMILE], "auto")

    assert [engine.card.name for engine in engines] == ["expressions.int8", "smile"]
    assert {engine.card.kind for engine in engines} == set(ChannelKind)
