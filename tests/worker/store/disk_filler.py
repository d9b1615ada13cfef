"""A worker process on a tiny disk of its own (a tmpfs in a mount namespace): says what a full disk did to the store."""

import json
import subprocess
import sys
from pathlib import Path

from contract.errors import StoreUnwritable
from tests.worker.examples import SCHEMA, a_point, an_opening
from tests.worker.store.harness import SqliteHarness, fold
from worker.store import Outcome, Store
from worker.store.sqlite import SqliteStore

LOG = "full"


def fill(store: Store, entries: list[object], at: int) -> tuple[int, str]:
    """Commit until the disk is full: the position reached, and the error."""
    lease = store.take(LOG, 0)
    while at < len(entries):
        part = entries[at : at + 64]
        try:
            outcome = store.commit(
                LOG, 0, epoch=lease.epoch, previous_offset=at, next_offset=at + 64, entries=part, schema=SCHEMA
            )
        except StoreUnwritable as error:
            return at, str(error)
        assert outcome is Outcome.APPLIED
        at += 64
    return at, ""


def main(folder: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o"]
    subprocess.run([*mount, "size=900k", "tmpfs", str(folder)], check=True)
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(200_000))
    entries = [an_opening(), *(a_point(i, f"p{i % 8}") for i in range(1, 64 * 400))]
    harness = SqliteHarness(folder)
    store = SqliteStore(harness.path)

    full_at, error = fill(store, entries, 0)
    store.close()
    ballast.unlink()
    kept = harness.contents() == fold(entries[:full_at]) and harness.position(LOG, 0) == full_at
    store = SqliteStore(harness.path)
    later_at, _ = fill(store, entries, full_at)
    store.close()
    subprocess.run([*mount, "remount,size=20m", "tmpfs", str(folder)], check=True)
    went_on = harness.contents() == fold(entries[:later_at]) and later_at > full_at

    subprocess.run([*mount, "remount,ro", "tmpfs", str(folder)], check=True)
    try:
        SqliteStore(harness.path)
        read_only = ""
    except StoreUnwritable as refusal:
        read_only = str(refusal)
    print(json.dumps({"error": error, "at": full_at, "kept": kept, "went_on": went_on, "read_only": read_only}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
