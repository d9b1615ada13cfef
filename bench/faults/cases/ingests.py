"""Rows 31 and 36: real `mien ingest` processes over a real film, interrupted, doubled, or without their Redis."""

import time

from bench.faults.cinema import Cinema, Command, cinema
from bench.faults.report import Run
from bench.faults.setting import Case, Setting

END_S = 90.0  # for an ingest of a film of 20 s to come to its end
ENDS = 3  # runs to the end that may follow the last interruption


def two_writers(setting: Setting, case: Case) -> Run:
    """Two ingests of one film: the one ahead, or the one behind, gets SIGTERM, the other goes on to the end."""
    chance = setting.chance
    with cinema(setting.stacks.of(), setting.folder, setting.seed) as film:
        first = film.ingest()
        wait_for_flow(film)
        second = film.ingest()
        time.sleep(chance.uniform(0.5, 4.0))
        victim, other = (first, second) if setting.seed % 2 == 0 else (second, first)
        codes = [victim.end()]
        codes.append(other.wait(END_S))
        return ended(film, case, [f"exit codes {codes}"])


def many_writers(setting: Setting, case: Case) -> Run:
    """Ingests of one film start, overlap, get SIGTERM or SIGKILL and start again at random."""
    chance = setting.chance
    with cinema(setting.stacks.of(), setting.folder, setting.seed) as film:
        running: list[Command] = []
        killed = stopped = 0
        for _ in range(5 if not setting.long else 20):
            running.append(film.ingest())
            time.sleep(chance.uniform(0.8, 3.0))
            running = [command for command in running if command.exit_code is None]
            if running and chance.random() < 0.8:
                victim = running.pop(chance.randrange(len(running)))
                if chance.random() < 0.5:
                    victim.kill()
                    killed += 1
                else:
                    victim.end()
                    stopped += 1
        for command in running:
            command.wait(END_S)
        return ended(film, case, [f"{len(film.ingests)} ingests, {killed} killed, {stopped} stopped"])


def silent_redis(setting: Setting, case: Case) -> Run:
    """Redis does not answer while a film is looked at, then goes on; the ingest waits, and comes to its end."""
    with cinema(setting.stacks.of(), setting.folder, setting.seed) as film:
        server = film.stack.processes["redis"]
        server.stop()
        ingest = film.ingest()  # it has to learn first what is stored: of a server that says nothing
        time.sleep(setting.seconds(9, 60))
        waited = ingest.exit_code is None
        server.cont()
        since = time.monotonic()
        code = ingest.wait(END_S)
        flaws = [] if waited and code == 0 else [f"the ingest ended with {code}: {ingest.tail()}"]
        return ended(film, case, [f"done {time.monotonic() - since:.1f} s after Redis answered"], flaws)


def wait_for_flow(film: Cinema) -> None:
    """Return when the store has taken something."""
    end = time.monotonic() + END_S
    while film.position() == 0 and time.monotonic() < end:
        time.sleep(0.05)


def ended(film: Cinema, case: Case, notes: list[str], flaws: list[str] | None = None) -> Run:
    """Run to the end of the film, let the worker read the rest, and judge."""
    since = time.monotonic()
    codes = [film.ingest().wait(END_S)]
    while codes[-1] != 0 and len(codes) < ENDS:
        codes.append(film.ingest().wait(END_S))
    film.settled()
    notes = [*notes, f"to the end: {codes}"]
    return film.judged(case.name, notes, flaws or [], round(time.monotonic() - since, 2))


CASES = (
    Case(31, "two ingests of one film", two_writers),
    Case(31, "ingests of one film at random", many_writers),
    Case(36, "Redis silent for an ingest", silent_redis),
)
