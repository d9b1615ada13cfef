"""Rows 37 to 40: what somebody else does to the topic, to Redis' file, or to a worker by one record."""

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from kafka import KafkaProducer

from bench.faults.arena import Arena
from bench.faults.cases.redis import note_rollback
from bench.faults.facts import RunFailed
from bench.faults.kafka import add_partitions, set_topic
from bench.faults.report import Run
from bench.faults.setting import Case, Setting
from contract.topics import PARTITIONS

BACK_S = 20.0
NOTICE_S = 45.0  # within which a setting that breaks the promise has to be seen


def foreign_records(setting: Setting, case: Case) -> Run:
    """Somebody else writes to the topic: garbage, empty records, transactions that commit and that are given up."""
    with setting.arena() as arena:
        arena.flow(workers=2)
        began = time.monotonic()
        written = write_foreign(setting, arena)
        since = time.monotonic()
        arena.recovered(since, BACK_S)
        arena.drained(since, began)
        arena.facts.notes.append(f"{written} foreign records")
        return arena.finish(case.name)


def write_foreign(setting: Setting, arena: Arena) -> int:
    """Records written to random partitions, plain and in transactions; how many."""
    chance, written = setting.chance, 0
    bodies: list[bytes | None] = [None, b"", b"{}", bytes(chance.randrange(256) for _ in range(100))]
    settings = {"bootstrap_servers": arena.stack.bootstrap.split(",")}
    plain = KafkaProducer(**settings)
    transacting = KafkaProducer(**settings, transactional_id=f"foreign-{arena.topic}")
    with contextlib.closing(plain), contextlib.closing(transacting):
        transacting.init_transactions()
        for turn in range(8 if not setting.long else 80):
            for _ in range(3):
                plain.send(arena.topic, chance.choice(bodies), key=b"x", partition=chance.randrange(PARTITIONS))
            plain.flush(10)
            transacting.begin_transaction()
            for _ in range(3):
                transacting.send(arena.topic, chance.choice(bodies), partition=chance.randrange(PARTITIONS))
            transacting.flush(10)
            transacting.commit_transaction() if turn % 2 else transacting.abort_transaction()
            written += 6
            time.sleep(0.3)
    return written


def cleanup_policy(setting: Setting, case: Case) -> Run:
    """The topic is set to compact: whoever takes part says so and names the way out; set back, all goes on."""
    return broken_setting(
        setting,
        case,
        lambda arena: set_topic(arena.stack.bootstrap, arena.topic, {"cleanup.policy": "compact"}),
        lambda arena: set_topic(arena.stack.bootstrap, arena.topic, {"cleanup.policy": "delete"}),
        "cleanup.policy",
    )


def retention(setting: Setting, case: Case) -> Run:
    """The topic's retention is cut to a minute: the worker says so; set back, all goes on."""
    return broken_setting(
        setting,
        case,
        lambda arena: set_topic(arena.stack.bootstrap, arena.topic, {"retention.ms": "60000"}),
        lambda arena: set_topic(arena.stack.bootstrap, arena.topic, {"retention.ms": "604800000"}),
        "retention",
    )


def broken_setting(
    setting: Setting, case: Case, break_it: Callable[[Arena], None], mend_it: Callable[[Arena], None], word: str
) -> Run:
    """Break a setting of the topic, wait until a worker names it, mend it."""
    with setting.arena() as arena:
        arena.flow(workers=1)
        began = time.monotonic()
        break_it(arena)
        worker = arena.workers[0]
        seen_s = arena.wait(lambda: word in worker.log.read_text(), NOTICE_S, f"word of {word} by the worker")
        arena.facts.notes.append(f"seen after {seen_s:.1f} s: {last_line(worker.log, word)}")
        mend_it(arena)
        time.sleep(1)
        arena.revive()
        since = time.monotonic()
        arena.recovered(since, NOTICE_S)
        arena.drained(since, began)
        return arena.finish(case.name)


def partitions_added(setting: Setting, case: Case) -> Run:
    """An operator adds partitions: the worker is not ready and says why; what is in the known ones is not lost."""
    with setting.arena() as arena:
        arena.flow(workers=1)
        add_partitions(arena.stack.bootstrap, arena.topic, PARTITIONS + 4)
        worker = arena.workers[0]
        seen_s = arena.wait(
            lambda: worker.exit_code is not None or not arena.is_ready(worker), NOTICE_S, "word of a worker"
        )
        arena.facts.notes.append(f"seen after {seen_s:.1f} s: {last_line(worker.log, 'partitions')}")
        arena.expect(str(PARTITIONS + 4) in worker.log.read_text(), "the worker does not say how many there are")
        if worker.exit_code is not None:
            arena.start(worker)
        return arena.finish(case.name)


def older_file(setting: Setting, case: Case) -> Run:
    """Redis is started from a copy of its append-only file that is some seconds old, as from a backup."""
    with setting.arena() as arena:
        arena.flow(workers=2)
        server = arena.stack.processes["redis"]
        folder, copy = server.folder / "appendonlydir", setting.folder / "older"
        time.sleep(setting.chance.uniform(1, 2))
        copy_live(folder, copy)
        time.sleep(setting.seconds(setting.chance.uniform(3, 8), 250))
        before = list(arena.watch.positions)
        began = time.monotonic()
        server.kill()
        shutil.rmtree(folder)
        shutil.copytree(copy, folder)
        server.start()
        note_rollback(arena, before)
        since = time.monotonic()
        arena.recovered(since, BACK_S)
        arena.drained(since, began)
        return arena.finish(case.name)


def copy_live(folder: Path, copy: Path) -> None:
    """Copy the files of a running server; the last line may be cut, as in any such backup.

    Raises:
        RunFailed: the files changed their names meanwhile, three times.
    """
    for _ in range(3):
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(folder, copy, dirs_exist_ok=True)
            return
    raise RunFailed(f"{folder} cannot be copied")


def bombs(setting: Setting, case: Case) -> Run:
    """One crop in fifty is a picture that unpacks to gigabytes: it is rejected before memory is taken."""
    with setting.arena(producer={"bombs": 0.02}) as arena:
        arena.flow(workers=1)
        time.sleep(setting.seconds(8, 60))
        run = arena.finish(case.name)
        sent = sum(len(report.poison) for report in arena.reports)
        return case.unless(run, 0 < sent == run.marked, f"{sent} bombs sent, {run.marked} marked")


def killer(setting: Setting, case: Case) -> Run:
    """One record kills every worker that reads it: the third one sets it aside, and the partition goes on."""
    with setting.arena(producer={"killer_frame": 60}) as arena:
        arena.produce()
        arena.work()
        arena.wait(lambda: arena.workers[0].exit_code is not None, 60, "death of the first worker")
        since, deaths = time.monotonic(), 1
        while time.monotonic() - since < 60:
            if arena.workers[0].exit_code is not None:
                arena.revive()
                deaths += 1
            time.sleep(0.2)
            if arena.watch.first_rise_after(since, range(PARTITIONS)) and arena.watch.lag < 200:
                break
        deaths -= arena.workers[0].exit_code is None
        arena.facts.recovery_s = time.monotonic() - since
        arena.facts.notes.append(f"{deaths} deaths")
        arena.expect(2 <= deaths <= 3, f"{deaths} workers died of it, wanted 2 and no more than 3")
        run = arena.finish(case.name)
        return case.unless(run, run.marked == 1, f"{run.marked} marked, wanted 1")


def last_line(log: Path, word: str) -> str:
    """The last line of a log that holds a word."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if word in line]
    return lines[-1][-300:] if lines else ""


CASES = (
    Case(37, "foreign records and transactions", foreign_records),
    Case(38, "topic set to compact", cleanup_policy),
    Case(38, "retention cut short", retention),
    Case(38, "partitions added", partitions_added),
    Case(39, "Redis from an older copy of its file", older_file),
    Case(40, "bombs in the topic", bombs),
    Case(40, "a record that kills workers", killer),
)
