"""Signals, sent to real processes."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runtime.signals import stopped_by_signals

ROOT = Path(__file__).resolve().parents[2]
WAITS = """
from runtime.signals import hear_interrupts, stopped_by_signals
hear_interrupts()
with stopped_by_signals() as stop:
    print("ready", flush=True)
    stop.wait()
print("ended", flush=True)
"""
BREAKS = """
import runtime.signals, sys, time
sys.argv = ["mien", "--help"]
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "mien.cli":
            print("ready", flush=True)
            try:
                time.sleep(30)
            except KeyboardInterrupt:
                raise ImportError("Error importing numpy: you should not try to import it from its source directory")
sys.meta_path.insert(0, Finder())
from mien.__main__ import main
main()
"""


def started(code: str, *, ignoring: bool = False) -> "subprocess.Popen[str]":
    """A process of this code that has printed «ready», SIGINT inherited as ignored or not."""
    inherited = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN if ignoring else signal.SIG_DFL)
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            restore_signals=False,
        )
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("ignoring", [False, True])
def test_either_signal_ends_a_wait_also_where_a_script_had_it_ignored(number: signal.Signals, ignoring: bool) -> None:
    process = started(WAITS, ignoring=ignoring)

    process.send_signal(number)
    out, errors = process.communicate(timeout=30)

    assert (process.returncode, out, errors) == (0, "ended\n", "")


def test_an_interrupt_while_a_library_loads_ends_without_its_traceback() -> None:
    process = started(BREAKS)

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)

    assert (process.returncode, errors) == (130, "")


def test_the_second_signal_ends_the_process_where_wanted() -> None:
    firsts = []
    with stopped_by_signals(lambda: firsts.append(1)) as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with stopped_by_signals(second_ends=False) as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()

    assert firsts == [1]


def test_the_handlers_from_before_are_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with stopped_by_signals():
        assert signal.getsignal(signal.SIGTERM) is not before

    assert signal.getsignal(signal.SIGTERM) is before
    assert threading.current_thread() is threading.main_thread()
