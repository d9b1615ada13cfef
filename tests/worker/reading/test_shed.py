from contract.readings import Entry, Skipped, SkippedReason
from contract.records import Delivery
from tests.worker.examples import a_face, a_point, a_progress
from worker.reading.poison import skipped_face
from worker.reading.shed import is_stale, merged_shed_gaps


def shed(sequence: int, source: str = "cam") -> Skipped:
    return skipped_face(a_face(sequence, source=source), SkippedReason.SHED)


def gaps(entries: list[Entry]) -> list[tuple[int, int] | None]:
    return [entry.gap for entry in merged_shed_gaps(entries) if isinstance(entry, Skipped)]


def test_only_a_live_face_grows_stale() -> None:
    assert is_stale(Delivery("log", 0, 0, a_face(1), stale_at=7), now_us=7)
    assert not is_stale(Delivery("log", 0, 0, a_face(1), stale_at=8), now_us=7)
    assert not is_stale(Delivery("log", 0, 0, a_face(1)), now_us=2**62)


def test_a_run_of_shed_faces_shares_one_gap_whatever_other_sources_do() -> None:
    assert gaps([shed(1), a_point(9, source="door"), shed(2), shed(3)]) == [(40_000, 120_001), None, None]


def test_sources_have_gaps_of_their_own() -> None:
    assert gaps([shed(1), shed(5, "door"), shed(2)]) == [(40_000, 80_001), (200_000, 200_001), None]


def test_a_face_that_was_read_ends_the_run_progress_does_not() -> None:
    assert gaps([shed(1), a_progress(2), shed(3), a_point(4), shed(5)]) == [(40_000, 120_001), None, (200_000, 200_001)]


def test_rejected_faces_keep_their_own_gaps() -> None:
    rejected = skipped_face(a_face(2), SkippedReason.REJECTED)

    assert gaps([shed(1), rejected, shed(3)]) == [(40_000, 40_001), (80_000, 80_001), (120_000, 120_001)]


def test_everything_else_is_handed_on_as_it_is() -> None:
    entries: list[Entry] = [a_point(1), a_progress(2), shed(3)]

    assert all(one is other for one, other in zip(merged_shed_gaps(entries), entries, strict=True))
