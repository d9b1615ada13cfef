"""What is shown while a run works: bars on a terminal, a plain line now and then elsewhere."""

import io

import pytest
from rich.console import Console

from mien import progress
from mien.progress import Standing, Watch


@pytest.fixture
def now(monkeypatch):
    """The monotonic time; a list, so that a test can move it."""
    time = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return time


def watching(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    return console, Watch(console)


def test_without_a_terminal_a_line_comes_every_few_seconds_and_not_for_every_frame(now):
    console, watch = watching(terminal=False)
    standing = Standing("[x264] clip.mp4", total=1000, began=now[0])
    with watch:
        for frame in range(100):
            standing.frames, standing.faces = frame, 2 * frame
            now[0] += 0.12
            watch.show(standing)

    lines = console.file.getvalue().splitlines()
    assert len(lines) == 2  # 12 s, every 5
    assert all(line.startswith("[x264] clip.mp4: ") for line in lines)  # markup stays as it is
    assert lines[0] == "[x264] clip.mp4: 41 of 1,000 frames, 82 faces, 8 frames/s"


def test_a_source_of_unknown_length_is_shown_without_one(now):
    console, watch = watching(terminal=False)
    standing = Standing("rtsp://door/x", frames=50, began=now[0])
    now[0] += 10
    with watch:
        watch.show(standing)

    assert console.file.getvalue() == "rtsp://door/x: 50 frames, 0 faces, 5 frames/s\n"


def test_a_short_run_prints_nothing_elsewhere_than_on_a_terminal(now):
    console, watch = watching(terminal=False)
    with watch:
        watch.show(Standing("a", frames=1))

    assert console.file.getvalue() == ""


def test_a_terminal_has_a_bar_per_source_until_it_ends(now):
    _, watch = watching(terminal=True)
    first, second = Standing("a.mp4", frames=5, total=10), Standing("b.mp4", frames=1)
    with watch:
        for standing in (first, second):
            watch.show(standing)
        shown = [(task.description, task.completed, task.total) for task in watch._bars.tasks]
        watch.forget(first)
        left = [task.description for task in watch._bars.tasks]
        watch.forget(first)  # a second time changes nothing

    assert shown == [("a.mp4", 5, 10), ("b.mp4", 1, None)]
    assert left == ["b.mp4"]


def test_a_bar_is_not_drawn_for_every_frame(now):
    _, watch = watching(terminal=True)
    standing = Standing("a.mp4", total=100)
    with watch:
        for frame in range(1, 6):
            standing.frames = frame
            watch.show(standing)
        assert watch._bars.tasks[0].completed == 1  # the others came within a tenth of a second
        now[0] += 0.2
        watch.show(standing)
        assert watch._bars.tasks[0].completed == 5


def test_stages_report_to_nobody_without_a_terminal(capsys):
    with progress.stages() as report:
        report("packing", 1, 2)

    assert capsys.readouterr().err == ""
