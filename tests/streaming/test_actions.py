"""Actions on gestures: when a class acts, and what it does."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from facts import mentions, raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import ConfigError
from dvspipe.base.gestures import OTHER
from dvspipe.streaming import ActionConfig, ActionRunner, find_actions
from dvspipe.streaming.answers import LiveAnswer

STEP_US = 100_000
CLASSES = ("clap", "wave", OTHER)
LETTERS = {"c": "clap", "w": "wave", "o": OTHER}


def answers(text: str) -> list[LiveAnswer]:
    """Return predictions 0.1 s apart: c clap, w wave, o other gestures, C an uncertain clap, - no events."""
    predictions = []
    for number, letter in enumerate(text):
        name = LETTERS.get(letter.lower())
        answer = LiveAnswer(
            t_us=number * STEP_US,
            label=None if name is None else CLASSES.index(name),
            class_name=name,
            probability=0.8 if name else 0.0,
            certain=letter in LETTERS,
            probabilities=(0.8, 0.1, 0.1),
            events_per_s=0.0,
            dropped=0,
            latency_us=0,
        )
        predictions.append(answer)
    return predictions


@pytest.mark.parametrize(
    ("text", "gap_s", "actions"),
    [
        ("--" + 30 * "c", 0.5, [("clap", 0.5)]),  # once after the hold time
        ("--" + 30 * "c" + "-" + 30 * "c", 0.05, [("clap", 0.5), ("clap", 3.6)]),  # shorter than a step
        ("cccccc------cccccc", 0.5, [("clap", 0.3), ("clap", 1.5)]),
        ("cccccc--cccccc", 0.5, [("clap", 0.3)]),
        ("CCCCCCCC-ccc-ooooooooo", 0.5, []),  # uncertain, short and other
        ("ccccwwww", 0.5, [("clap", 0.3), ("wave", 0.7)]),  # another class needs no gap
    ],
)
def test_gestures_act_after_the_hold_time_and_apart_by_the_gap(
    text: str, gap_s: float, actions: list[tuple[str, float]]
) -> None:
    found = find_actions(answers(text), ActionConfig(hold_s=0.3, gap_s=gap_s))
    assert [(action.class_name, action.t_s) for action in found] == actions


def test_action_has_the_mean_probability_and_the_start() -> None:
    (action,) = find_actions(answers("--cccc"), ActionConfig(hold_s=0.3))
    assert (action.class_name, action.t_s, action.start_s) == ("clap", 0.5, 0.2)
    assert action.probability == pytest.approx(0.8)


@given(st.text("cwoC-", max_size=60), st.sampled_from([0.0, 0.2, 0.5]), st.sampled_from([0.0, 0.3, 1.0]))
def test_actions_of_a_class_are_apart_by_the_gap_and_led_for_the_hold_time(
    text: str, hold_s: float, gap_s: float
) -> None:
    actions = list(find_actions(answers(text), ActionConfig(hold_s=hold_s, gap_s=gap_s)))
    for action in actions:
        leading = answers(text)[round(action.start_s * 10) : round(action.t_s * 10) + 1]
        assert {(answer.class_name, answer.certain) for answer in leading} == {(action.class_name, True)}
        assert action.t_s - action.start_s >= hold_s - 1e-9

    for name in CLASSES:
        times = [action.t_s for action in actions if action.class_name == name]
        assert all(after - before >= gap_s - 1e-9 for before, after in pairwise(times))


def run(commands: list[tuple[str, str]], text: str = "cccccc") -> ActionRunner:
    with ActionRunner(commands, CLASSES, ActionConfig(hold_s=0.3)) as runner:
        for answer in answers(text):
            runner.add(answer)
    return runner


def writes(path: Path) -> str:
    """Return a command that writes its other arguments and the variables of an action to a file."""
    code = f"""
import os, sys, pathlib
variables = [os.environ["DVSPIPE_" + name] for name in ("CLASS", "PROBABILITY", "T_S")]
pathlib.Path({str(path)!r}).write_text(' '.join(sys.argv[1:] + variables))
"""
    return shlex.join([sys.executable, "-c", code])


def test_command_gets_class_probability_and_time_without_a_shell(tmp_path: Path) -> None:
    run([("clap", writes(tmp_path / "out") + " '$HOME;x'")])
    assert (tmp_path / "out").read_text() == "$HOME;x clap 0.80 0.300"


@pytest.mark.skipif(shutil.which("sh") is None, reason="no shell")
def test_class_of_a_checkpoint_is_no_code_in_a_shell(tmp_path: Path) -> None:
    name = f"wave; touch {tmp_path / 'run'}"
    command = f'sh -c "echo $DVSPIPE_CLASS > {tmp_path / "out"}"'
    with ActionRunner([("any", command)], [name], ActionConfig(hold_s=0)) as runner:
        runner.add(answers("c")[0].model_copy(update={"class_name": name}))
    assert (tmp_path / "out").read_text() == f"{name}\n"
    assert not (tmp_path / "run").exists()


def test_any_acts_for_each_class_and_others_do_not(tmp_path: Path) -> None:
    run([("any", writes(tmp_path / "any")), ("wave", writes(tmp_path / "wave"))])
    assert (tmp_path / "any").read_text().startswith("clap")
    assert not (tmp_path / "wave").exists()


def test_gesture_without_a_command_is_no_action() -> None:
    with ActionRunner([("wave", "true")], CLASSES, ActionConfig(hold_s=0.3)) as runner:
        assert [runner.add(answer) for answer in answers("cccccc")] == [None] * 6


def test_failed_command_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    command = f"{sys.executable} -c 'raise SystemExit(3)'"
    run([("clap", command)])
    (record,) = caplog.records
    assert mentions(record.getMessage(), command, "exit code 3")


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="POSIX only")
@pytest.mark.parametrize("polite", [True, False])  # whether the programs end at SIGTERM
def test_stop_ends_running_commands_with_the_programs_that_they_started(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, polite: bool
) -> None:
    code = f"""
import pathlib, signal, subprocess
signal.signal(signal.SIGTERM, signal.{"SIG_DFL" if polite else "SIG_IGN"})
child = subprocess.Popen(["sleep", "1000"])
pathlib.Path({str(tmp_path / "new")!r}).write_text(str(child.pid))
pathlib.Path({str(tmp_path / "new")!r}).rename({str(tmp_path / "pid")!r})
child.wait()
"""
    with ActionRunner([("any", shlex.join([sys.executable, "-c", code]))], CLASSES, ActionConfig(hold_s=0)) as runner:
        runner.add(answers("c")[0])
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)
        runner.stop()
        runner.add(answers("-")[0])

    assert not caplog.records
    pid = int((tmp_path / "pid").read_text())
    while _is_running(pid):  # ends after the signal, or the test never ends
        time.sleep(0.01)


def test_running_commands_end_on_systems_without_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, whose module `signal` has no SIGKILL."""
    monkeypatch.setattr("dvspipe.streaming.running.os", SimpleNamespace(name="nt", environ=os.environ))
    monkeypatch.setattr("dvspipe.streaming.running.signal", SimpleNamespace(SIGTERM=signal.SIGTERM))
    code = f"import pathlib, time; pathlib.Path({str(tmp_path / 'go')!r}).touch(); time.sleep(1000)"
    with ActionRunner([("any", shlex.join([sys.executable, "-c", code]))], CLASSES, ActionConfig(hold_s=0)) as runner:
        runner.add(answers("c")[0])
        while not (tmp_path / "go").exists():
            time.sleep(0.01)
        runner.stop()


def _is_running(pid: int) -> bool:
    """Return whether a process runs; one that has ended may wait for the system to remove it."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip()) and not done.stdout.startswith("Z")


def test_further_actions_are_skipped_while_too_many_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    go = tmp_path / "go"
    code = f"import time, pathlib\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)"
    command = f'{sys.executable} -c "{code}"'
    with ActionRunner([("any", command)], CLASSES, ActionConfig(hold_s=0, gap_s=0)) as runner:
        for answer in answers("cwcwcw"):
            runner.add(answer)
        go.touch()

    assert len(caplog.records) == 2
    assert mentions(caplog.records[0].getMessage(), "4 commands")


@pytest.mark.parametrize(
    ("name", "command", "fact"),
    [
        ("jump", "true", "clap, wave"),
        ("clap", " ", "empty"),
        ("clap", "echo 'x", "quotation"),
        ("clap", "no-such-program-at-all", "no such program"),
        ("clap", "http://host/lamp", "no such program"),
    ],
)
def test_wrong_commands_are_refused_before_the_start(name: str, command: str, fact: str) -> None:
    with raises(ConfigError, fact):
        ActionRunner([(name, command)], CLASSES)
