"""A worker process that a test kills: commits one fixed log, and says on stdout what was acknowledged."""

import sys
from pathlib import Path

import numpy as np

from contract.readings import Entry
from tests.worker.examples import SCHEMA, a_gap, a_point, a_progress, an_erasure, an_opening
from worker.store import Outcome, Store
from worker.store.sqlite import SqliteStore

LOG = "killed"
PEOPLE = ("ann", "bob", "eve")


def the_log(length: int = 6000) -> list[Entry]:
    """The same entries every time; now and then somebody is erased, and the erased go on appearing."""
    rng = np.random.default_rng(7)
    entries: list[Entry] = [an_opening(keeps_pictures=True)]
    while len(entries) < length:
        n = len(entries)
        person = f"{PEOPLE[n % 3]}-{n // 500}"
        if n % 250 == 0:
            entries.append(an_erasure(person))
        elif n % 97 == 0:
            entries.append(a_gap(n))
        elif n % 50 == 0:
            entries.append(a_progress(n))
        else:
            picture = rng.bytes(300) if n % 40 == 1 else None
            entries.append(a_point(n, person, quality=float(rng.integers(1, 20)) / 20, picture=picture))
    return entries


def commit_all(store: Store, log: list[Entry], step: int = 7) -> None:
    """Commit what is left of the log; after every commit its position goes to stdout."""
    lease = store.take(LOG, 0)
    at = lease.next_offset
    while at < len(log):
        part = log[at : at + step]
        outcome = store.commit(
            LOG,
            0,
            epoch=lease.epoch,
            previous_offset=at,
            next_offset=at + len(part),
            entries=part,
            schema=SCHEMA,
        )
        if outcome is not Outcome.APPLIED:
            raise SystemExit(f"{outcome} at {at}")
        at += len(part)
        print(at, flush=True)


if __name__ == "__main__":
    commit_all(SqliteStore(Path(sys.argv[1])), the_log())
