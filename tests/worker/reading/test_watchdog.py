import subprocess
import sys
import threading

from worker.reading.watchdog import HUNG, TICKS, Watchdog


class Ticks:
    """Time that passes in ticks, watched from the test's own thread."""

    def __init__(self, *lengths: float) -> None:
        self.now = 0.0
        self.lengths = list(lengths)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> bool:
        if not self.lengths:
            return True
        self.now += self.lengths.pop(0)
        return False


def watched(*lengths: float, turns: int = 1) -> list[str]:
    """What a watchdog of 20 s says of a block that runs through these lengths of time."""
    ticks, said = Ticks(*lengths), []
    dog = Watchdog(20.0, said.append, ticks, ticks.sleep)
    for _ in range(turns):
        with dog.watching():
            dog._watch()
    return said


def test_a_block_that_does_not_end_ends_the_process() -> None:
    assert watched(*[1.0] * 30) == ["the engine has not answered for 20 s, allowed are 20"]


def test_a_block_that_ends_in_time_is_left_alone() -> None:
    assert watched(*[1.0] * 19) == []


def test_between_blocks_no_time_is_counted() -> None:
    ticks, said = Ticks(*[1.0] * 100), []

    Watchdog(20.0, said.append, ticks, ticks.sleep)._watch()

    assert said == []


def test_time_in_which_the_whole_process_was_stopped_does_not_count() -> None:
    assert watched(1.0, 60.0, *[1.0] * 16) == []
    assert len(watched(1.0, 60.0, *[1.0] * 17)) == 1


def test_every_block_has_its_own_time() -> None:
    said: list[str] = []
    ticks = Ticks()
    dog = Watchdog(20.0, said.append, ticks, ticks.sleep)
    blocks = iter(range(1000))

    def sleep(seconds: float) -> bool:
        """A block ends and the next one begins with every tick."""
        ticks.now += 1.0
        if next(blocks) == 100:
            return True
        with dog.watching():
            pass
        return False

    dog._sleep = sleep
    with dog.watching():
        dog._watch()

    assert said == []


def test_a_watchdog_that_is_closed_ends() -> None:
    dog = Watchdog(1000.0)
    dog.start()

    dog.close()
    dog._thread.join(5)

    assert dog._thread not in threading.enumerate()


def test_the_process_of_a_hung_engine_ends_with_its_own_code_and_reason() -> None:
    script = (
        "import logging, time\n"
        "from worker.reading.watchdog import Watchdog\n"
        "logging.basicConfig()\n"
        "dog = Watchdog(0.2)\n"
        "dog.start()\n"
        "with dog.watching():\n"
        "    time.sleep(60)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == HUNG
    assert "the engine has not answered for 0 s" in done.stderr
    assert TICKS >= 10  # a hang is found within a tenth of the time allowed
