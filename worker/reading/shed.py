"""Live faces too old to be worth their reading."""

from collections.abc import Sequence
from dataclasses import replace

from contract.readings import Entry, Passed, PassedReason
from contract.records import Delivery, Progress


def is_stale(delivery: Delivery, now_us: int) -> bool:
    """Whether a live face came too late; files never do."""
    return delivery.stale_at is not None and delivery.stale_at <= now_us


def joined(entries: Sequence[Entry]) -> list[Entry]:
    """The same entries of one partition, with one gap for each run of shed faces of a session.

    The first of the run bears it, the others none. Progress does not end a run: it says that frames were searched,
    not that the faces in them were read.
    """
    told = list(entries)
    runs: dict[tuple[str | None, str | None], list[int]] = {}
    for place, entry in enumerate(entries):
        if type(entry) is Passed and entry.reason is PassedReason.SHED:
            runs.setdefault((entry.source, entry.session), []).append(place)
        elif runs and type(entry) is not Progress:
            _join(told, runs.pop((entry.source, entry.session), []))
    for run in runs.values():
        _join(told, run)
    return told


def _join(told: list[Entry], run: Sequence[int]) -> None:
    """Give the gaps of the entries in these places to the first of them."""
    shed = [entry for entry in (told[place] for place in run) if isinstance(entry, Passed)]
    gaps = [entry.gap for entry in shed if entry.gap is not None]
    if len(gaps) < 2:
        return
    whole = (min(begin for begin, _ in gaps), max(end for _, end in gaps))
    for place, entry in zip(run, shed, strict=True):
        told[place] = replace(entry, gap=whole if place == run[0] else None)
