"""Live faces too old to be worth their reading."""

from collections.abc import Sequence
from dataclasses import replace

from contract.readings import Entry, Skipped, SkippedReason
from contract.records import Delivery, Progress


def is_stale(delivery: Delivery, now_us: int) -> bool:
    """Whether a live face came too late; files never do."""
    return delivery.stale_at is not None and delivery.stale_at <= now_us


def merged_shed_gaps(entries: Sequence[Entry]) -> list[Entry]:
    """The same entries of one partition, with one gap for each run of shed faces of a session.

    The first of the run bears it, the others none. Progress does not end a run: it means that frames were searched,
    not that the faces in them were read.
    """
    merged = list(entries)
    runs: dict[tuple[str | None, str | None], list[int]] = {}
    for place, entry in enumerate(entries):
        if type(entry) is Skipped and entry.reason is SkippedReason.SHED:
            runs.setdefault((entry.source, entry.session), []).append(place)
        elif runs and type(entry) is not Progress:
            _merge(merged, runs.pop((entry.source, entry.session), []))
    for run in runs.values():
        _merge(merged, run)
    return merged


def _merge(merged: list[Entry], run: Sequence[int]) -> None:
    """Give the gaps of the entries in these places to the first of them."""
    shed = [entry for entry in (merged[place] for place in run) if isinstance(entry, Skipped)]
    gaps = [entry.gap for entry in shed if entry.gap is not None]
    if len(gaps) < 2:
        return
    whole = (min(begin for begin, _ in gaps), max(end for _, end in gaps))
    for place, entry in zip(run, shed, strict=True):
        merged[place] = replace(entry, gap=whole if place == run[0] else None)
