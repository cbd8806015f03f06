"""What a command shows while it works, with a fake clock."""

from __future__ import annotations

import io

import numpy as np
import pytest
from facts import mentions
from rich.console import Console

from dvspipe.base.pool import map_items
from dvspipe.base.progress import CurrentStep, NamedStep, Progress
from dvspipe.cli import activity as own
from dvspipe.cli.activity import CommandState, ShownShare


def draw(activity: CommandState, now_s: float, columns: int = 80) -> str:
    console = Console(file=io.StringIO(), width=columns, force_terminal=False)
    with console.capture() as captured:
        console.print(activity.draw(now_s))
    return captured.get()


@pytest.mark.parametrize("seed", range(3))
def test_a_line_is_due_within_ten_seconds_whatever_is_reported(seed: int) -> None:
    rng = np.random.default_rng(seed)
    activity, printed_s = CommandState(0.0), [0.0]
    for now_s in np.arange(0, 500, 0.5):
        if rng.random() < 0.03:  # also silent for minutes
            stage, total = str(rng.choice(["frames", "events"])), float(rng.choice([0, 3]))
            activity.update(now_s, stage, float(rng.integers(4)), total, None)
        if activity.next_line(now_s) is not None:
            printed_s.append(now_s)
    assert max(np.diff(printed_s)) <= 10
    assert min(np.diff(printed_s)) >= own.LINE_EVERY_S


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
def test_bar_is_shortened_until_the_progress_fits_a_line(columns: int) -> None:
    activity = CommandState(0.0)
    activity.update(0.0, "comparing the network in integers", 0, 2048, None)
    activity.update(100.0, "comparing the network in integers", 1024, 2048, None)
    [line] = draw(activity, 101.0, columns).splitlines()
    if columns >= 80:
        assert mentions(line, "comparing the network in integers", "1,024 of 2,048", "0:01:41, 0:01:41 left")


def test_drawing_changes_every_second_without_reports() -> None:
    activity = CommandState(0.0)
    drawings = [draw(activity, now_s) for now_s in range(5)]
    activity.update(5.0, "frames", 2, 30, CurrentStep(("wave.mp4", "person"), 7, 0))
    drawings += [draw(activity, now_s) for now_s in range(5, 10)]
    assert len(set(drawings)) == 10


def test_drawing_has_at_most_two_lines_of_the_terminal() -> None:
    activity = CommandState(0.0)
    activity.update(1.0, "recordings", 1234.5, 20_000, CurrentStep(("x" * 300, "search", "person"), 7, 120))
    lines = draw(activity, 7.0).splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 80
    assert mentions(lines[0], "recordings", "1,234 of 20,000", "0:00:07")
    assert "person 7 of 120, xxx" in lines[1]


def test_line_has_stage_step_item_and_times() -> None:
    activity = CommandState(0.0)
    activity.update(0.0, "frames", 0, 30, None)
    activity.update(40.0, "frames", 10, 30, CurrentStep(("films/two\nlines\x1b.mp4", "events"), 1_500_000, 6_000_000))
    line = activity.next_line(40.0)
    assert line == "frames: 10 of 30, events 25.0 %, two\\nlines\\x1b.mp4, 0:00:40, 0:01:20 left"


@pytest.mark.parametrize(("recordings", "amount", "item"), [(1, "50 %", "a"), (2, "1 of 2", "b")])
def test_files_and_stages_of_parallel_work_are_shown(recordings: int, amount: str, item: str) -> None:
    activity = CommandState(0.0)
    lines = list[str]()

    def work(_: str, progress: Progress) -> None:
        NamedStep(progress, "person", 0, 2)(12, 12)
        NamedStep(progress, "events", 1, 2)(0, 5)
        lines.append(f"{activity.describe_amount()}, {activity.describe_step()}")

    shown = ShownShare(lambda *state: activity.update(1.0, *state[:3], *state[3:] or (None,)))
    list(map_items(work, ["a", "b"][:recordings], progress=shown))
    assert lines[-1] == f"{amount}, events 0 of 5, {item}"
