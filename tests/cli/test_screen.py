"""Terminal output: tables, progress, log lines, and text of strangers."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import open_terminal
from conftest import random_events

from dvspipe.base.progress import CurrentStep, NamedStep
from dvspipe.base.texts import Described, TextTable
from dvspipe.cli import screen as module
from dvspipe.cli.screen import Display, accept_all_texts, screen, show_log, show_result
from dvspipe.formats import write


class Report(Described):
    """Result with a table and a problem."""

    def __init__(self, file: str = "a.h5", problem: str = "") -> None:
        self.file = file
        self.problem = problem

    def describe(self) -> list[str | TextTable]:
        table = TextTable("file", "events", "rate", right=("events", "rate"), optional=("rate",))
        table.add_row(self.file, 123_456, 7.5)
        return [f"report on {self.file}", table]

    def to_record(self) -> dict[str, object]:
        return {"file": self.file, "rate": np.float64("nan"), "path": Path("x")}


def test_result_is_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_result(Report(problem="wrong")) == "wrong"
    assert capsys.readouterr().out.splitlines()[:2] == ["report on a.h5", "file  events  rate"]


def test_results_are_lines_of_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "as_json", True)
    show_result((Report(), Report("b.h5")))
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert records == [{"file": name, "rate": None, "path": "x"} for name in ("a.h5", "b.h5")]


@pytest.mark.parametrize(("columns", "shown"), [(80, True), (16, False)])
def test_narrow_terminal_omits_optional_columns(columns: int, shown: bool) -> None:
    with open_terminal(columns) as terminal:
        show_result(Report())
    assert ("rate" in terminal.getvalue()) == shown
    assert "123456" in terminal.getvalue()
    assert max(map(len, terminal.getvalue().splitlines())) <= columns


def test_narrow_terminal_shortens_paths_in_the_middle() -> None:
    table = TextTable("events", "file", "answer", paths="file")
    table.add_row(123_456, f"/data/{'folder/' * 20}hand.h5", "right hand wave, 0.0 to 1.0 s")
    with open_terminal(80) as terminal:
        screen.print(module._fit(table))
    _, row = terminal.getvalue().splitlines()
    assert len(row.rstrip()) == 80
    assert row.split()[1].startswith("/data/folder")
    assert "older/hand.h5  right hand wave, 0.0 to 1.0 s" in row


def test_table_in_a_pipe_has_every_column_in_lines_of_any_length(capsys: pytest.CaptureFixture[str]) -> None:
    show_result(Report("x" * 200))
    assert capsys.readouterr().out.splitlines()[-1].split() == ["x" * 200, "123456", "7.5"]


def test_control_characters_and_markup_are_printed_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    screen.print(f"[red]a{chr(27)}[31m.h5")
    assert capsys.readouterr().out == "[red]a\\x1b[31m.h5\n"


def test_characters_missing_from_encoding_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    accept_all_texts()
    screen.print("é")
    output.flush()
    assert output.buffer.getvalue() == b"\\xe9\n"


def test_equal_messages_are_printed_once_per_command(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("dvspipe.room")
    show_log(logging.INFO, lambda text: text.replace("b", "--b"))
    for _ in range(2):
        log.warning("a\nb")
        log.info("epoch")
        log.debug("detail")
    logging.getLogger("dvspipe").propagate = True
    assert capsys.readouterr().err.splitlines() == ["warning: a --b", "epoch"]
    assert not caplog.records  # a handler of the root logger, such as Norse's, does not print them again


def test_progress_in_a_pipe_is_lines_with_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    monkeypatch.setattr(module, "LINE_EVERY_S", 7.0)
    display = Display("convert")
    for done in range(1, 11):
        now_s += 2
        NamedStep(display, "/films/wave.mp4")(done, 40)
    display.close()
    assert capsys.readouterr().err.splitlines() == [
        "convert wave.mp4: 4 of 40, 0:00:08, 0:01:12 left",
        "convert wave.mp4: 8 of 40, 0:00:16, 0:01:04 left",
    ]


def test_quiet_progress_shows_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.0)
    display = Display("convert")
    display.quiet = True
    display.show_step(1, 2, CurrentStep(("a",), 1, 2))
    assert capsys.readouterr().err == ""


def test_signal_stops_work_at_its_next_report_or_end_even_if_python_ignores_its_exception() -> None:
    stopped = Display("convert")
    with pytest.raises(KeyboardInterrupt):
        stopped.stop()  # no report so far
    with pytest.raises(KeyboardInterrupt):
        stopped(1, 2)
    with pytest.raises(KeyboardInterrupt):
        stopped.close()


def test_work_with_reports_is_stopped_by_the_next_one_or_a_second_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    display = Display("convert")
    display(1, 2)
    display.stop()
    with pytest.raises(KeyboardInterrupt):
        display(2, 2)
    with pytest.raises(KeyboardInterrupt):
        display.stop()


def test_closed_pipe_ends_the_command_without_a_message(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", random_events(0, 20))
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "dvspipe", "-q", "info", "a.h5"]
    done = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=-1, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_command_with_one_line(number: signal.Signals, tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from dvspipe.cli import app\n"
        "def work():\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "app.load_command = lambda target, filled_in: work\n"
        "sys.argv = ['dvspipe', 'doctor']\n"
        "from dvspipe.__main__ import main\n"
        "main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (-signal.SIGINT, "dvspipe: interrupted\n")
