"""Output on terminals, in files and in pipes; Ctrl-C at any time."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import dvspipe, open_terminal
from conftest import random_events
from facts import mentions
from rich.text import Text

from dvspipe.base.kernels import COMPILING
from dvspipe.base.texts import TextTable
from dvspipe.cli import recordings
from dvspipe.cli import screen as own
from dvspipe.cli.activity import WORKING
from dvspipe.cli.app import app
from dvspipe.cli.interrupts import Interrupt
from dvspipe.cli.screen import messages, notes, progress, screen
from dvspipe.events import SensorSize
from dvspipe.formats import read, write

LINES = """
from dvspipe.cli.screen import messages, notes, progress, screen, warn
with progress() as show:
    for number in range(3):
        show("epoch", number, 3)
        screen.print(f"result {number}")
        notes.print(f"note {number}")
        warn(f"of {number}")
"""
STYLE = r"\x1b\[[\d;]*m"
CLEAR = "\r\x1b[2K"  # clears the bar before a line is printed


def run_on_terminal(*arguments: str) -> str:
    """Run Python in a terminal of 80 columns and return its output."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    process, terminal = pty.fork()
    if process == 0:
        os.environ["TERM"] = "xterm"
        os.environ.pop("COLUMNS", None)
        termios.tcsetwinsize(0, (25, 80))
        os.execv(sys.executable, [sys.executable, *arguments])
    said = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # end of file on Linux
            part = b""
        if not part:
            break
        said += part
    os.waitpid(process, 0)
    os.close(terminal)
    return said.decode()


def test_lines_start_after_progress_bar_is_cleared() -> None:
    said = run_on_terminal("-c", LINES)
    for line in [f"{kind} {number}" for number in range(3) for kind in ("result", "note")]:
        assert re.search(f"{re.escape(CLEAR)}{line}\r\n", said), said


def test_output_in_a_file_has_no_bar_and_no_control_codes() -> None:
    done = subprocess.run([sys.executable, "-c", LINES], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{kind} {k}" for k in range(3) for kind in ("result", "note")]
    assert done.stderr.splitlines() == [f"warning: of {k}" for k in range(3)]


def wait_for_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the standard error once a line is in it."""
    said, until_s = "", time.monotonic() + 60
    while "\n" not in said and time.monotonic() < until_s:
        time.sleep(0.01)
        said += capsys.readouterr().err
    return said


def test_progress_in_a_pipe_is_lines_unless_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dvspipe.cli.activity.LINE_EVERY_S", 0.0)
    monkeypatch.setattr(own, "POLL_S", 0.01)
    with progress() as show:
        show("frames", 2, 30)
        assert mentions(wait_for_line(capsys), "frames: 2 of 30")
    monkeypatch.setattr(notes, "quiet", True)
    with progress() as show:
        show("frames", 2, 30)
        time.sleep(0.05)
    notes.print("a note")
    screen.print("a result")
    messages.print("a message")
    assert capsys.readouterr() == ("a result\n", "a message\n")


def test_command_shows_the_time_before_it_reports_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dvspipe.cli.activity.LINE_EVERY_S", 0.0)
    monkeypatch.setattr(own, "POLL_S", 0.01)
    monkeypatch.setattr(recordings, "_collect", lambda *_: pytest.fail(wait_for_line(capsys)))
    with pytest.raises(pytest.fail.Exception, match="^working: 0:00:"):
        app.meta(["info", "x.h5"])
    with own.show_activity() as activity:
        assert activity.stage == WORKING  # the display of the failed command has ended


def test_control_characters_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    table = TextTable()
    table.add_row("file\x1b[31m", Text("also\x1b]0;here"))
    own.print_parts(table)
    screen.print("evil\x1b[2J\x9b\u202eraw.h5\n日本")
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "file\\x1b[31m  also\\x1b]0;here" in out
    assert "evil\\x1b[2J\\x9b\\u202eraw.h5\n日本\n" in out


def test_characters_missing_from_encoding_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    own.accept_all_texts()
    screen.print("日本.h5 \udcff")
    sys.stdout.flush()
    assert raw.getvalue() == b"\\u65e5\\u672c.h5 \\udcff\n"


SLOW_IMPORT = """
import dvspipe.__main__ as command, sys
class Slow:
    def find_spec(self, name, *_):
        if name == "dvspipe.base.errors":
            print("importing", flush=True)
            import time
            for _ in range(600):
                time.sleep(0.05)
sys.meta_path.insert(0, Slow())
command.main()
"""
SLOW_WORK = """
import dvspipe.__main__ as command, dvspipe.cli.recordings as recordings, sys, time
class Dropped:
    def __del__(self):
        print("in a destructor", flush=True)
        time.sleep(1)
def work(*_):
    while True:
        Dropped()
recordings._collect = work
sys.argv = ["dvspipe", "info", "x"]
command.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has other signals")
@pytest.mark.parametrize("code", [SLOW_IMPORT, SLOW_WORK], ids=["modules are loaded", "an object is deleted"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_prints_one_line_while(code: str, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        running.stdout.readline()
        running.send_signal(number)
        _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (-number, "dvspipe: interrupted\n")


def test_newlines_in_names_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    table = TextTable()
    table.add_row("two\nlines.h5", "value")
    own.print_parts(table)
    own.warn("two\nlines.h5: is odd")
    out, err = capsys.readouterr()
    assert (out, err) == ("two\\nlines.h5  value\n", "warning: two\\nlines.h5: is odd\n")


def test_table_lines_in_files_have_no_trailing_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    table = TextTable("name", "count", right=("count",))
    table.add_row("a", "7")
    table.add_row("settings", "1" * 200)
    own.print_parts(table)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert [line.rstrip() for line in lines] == lines
    assert lines[1] == f"a         {'7':>200}"


def print_on_terminal(table: TextTable, columns: int) -> list[str]:
    with open_terminal(columns) as terminal:
        own.print_parts(table)
    return re.sub(STYLE, "", terminal.getvalue()).splitlines()


@pytest.mark.parametrize(
    ("columns", "shown"),
    [(20, "file class"), (32, "file class"), (33, "file class events"), (74, "file class events"), (75, ""), (200, "")],
)
def test_narrow_terminal_omits_optional_columns(columns: int, shown: str) -> None:
    table = TextTable("file", "class", "events", "region", optional=("region", "events"))
    table.add_row("clip_5678.mp4", "right_wave", 123_456, "the person in the middle " * 4)
    lines = print_on_terminal(table, columns)
    assert lines[0].split() == (shown or "file class events region").split()
    assert max(map(len, lines)) <= columns
    if columns > 32:
        assert lines[1].startswith("clip_5678.mp4  right_wave  123456")


def test_long_name_folds_and_other_cells_stay_in_a_line() -> None:
    name = "name_of_a_film_" * 8
    table = TextTable("file", "class", "probability")
    table.add_row(name, "right_hand_wave, uncertain", "38.1%")
    _, *lines = print_on_terminal(table, 80)
    folded = [line.split()[0] for line in lines]
    assert "".join(folded) == name
    assert all(part.endswith("_") for part in folded)  # not inside a word
    assert mentions(lines[0], "right_hand_wave, uncertain", "38.1%")


def test_paths_and_words_that_fit_a_line_are_not_divided() -> None:
    table = TextTable("check", "result", optional=("result",))
    table.add_row("webcam", "none found; plug one in; a virtual machine or container needs access to /dev/video0")
    for columns in range(48, 100):
        text = "\n".join(print_on_terminal(table, columns))
        assert "/dev/video0" in text


LONG = "a_name_of_46_characters_such_as_from_films.npz"
AT_80_COLUMNS = {
    "infer nmnist-synthetic LONG": rf"^{LONG[:30]}\S*  .*\d +\d+%$",
    "evaluate nmnist-synthetic digits": r"^class  recordings  correct +accuracy +95 % interval  confused with",
    "convert LONG -o out.h5": r"^out.h5: 2,000 events",
    "info LONG": rf"^{LONG}\s+format +numpy",
    "data stats digits": r"^all( +\d+){4} +2,000 ",
    "compare LONG digits/0/a.npz": rf"^A  {LONG}\s+B  digits/0/a.npz\s+figure +value",
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a recording of a long name, and a data set of three recordings per digit."""
    folder = tmp_path_factory.mktemp("digits")
    recordings = [LONG, *(f"digits/{digit}/{letter}.npz" for digit in range(10) for letter in "abc")]
    for seed, name in enumerate(recordings):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / name, random_events(seed, 2000, SensorSize(34, 34), span_us=300_000))
    return folder


@pytest.mark.parametrize("command", AT_80_COLUMNS)
def test_tables_are_readable_in_80_columns(command: str, digits: Path) -> None:
    done = dvspipe(*command.replace("LONG", LONG).split(), cwd=digits, columns=80)
    text = re.sub(" +$", "", re.sub(STYLE, "", done.stdout), flags=re.MULTILINE)
    assert re.search(AT_80_COLUMNS[command], text, re.MULTILINE), text


def test_infer_prints_file_class_and_probability_in_a_terminal(digits: Path) -> None:
    said = run_on_terminal("-m", "dvspipe", "-q", "infer", "nmnist-synthetic", str(digits / LONG))
    headings, *rows = re.sub(STYLE, "", said).splitlines()
    assert headings.split() == ["file", "answer", "probability"]
    assert re.search(r"  .*\d +\d+%$", rows[0]), said
    assert "".join(row.split()[0] for row in rows).startswith(str(digits / LONG)), said


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGPIPE")
def test_closed_pipe_ends_command_silently(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", random_events(0, 20_000))
    arguments = [sys.executable, "-m", "dvspipe", "info", "--json", str(tmp_path / "a.npz")]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(arguments, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_equal_warnings_are_printed_once_per_command(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("dvspipe.datasets.folders")
    for command in range(2):
        own.show_log(logging.WARNING)
        for number in (1, 1, 2, 1):
            log.warning("%d files are pieces", number)
        assert capsys.readouterr().err == "1 files are pieces\n2 files are pieces\n", command


@pytest.mark.parametrize(("quiet", "lines"), [(False, 1), (True, 0)])
def test_compilation_note_is_printed_once_for_all_workers(
    quiet: bool, lines: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "quiet", quiet)
    own.show_log(logging.WARNING)
    record = logging.LogRecord(own.COMPILATION_LOG.name, logging.WARNING, "", 0, COMPILING, (), None)
    for _ in range(2):
        logging.getLogger(record.name).handle(record)
    assert capsys.readouterr().err.count(COMPILING) == lines


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_closed_output_is_not_written_to_files(tmp_path: Path) -> None:
    events = random_events(0, 200)
    write(tmp_path / "a.npz", events)
    command = f"'{sys.executable}' -m dvspipe cut a.npz --stop-s 1 -o b.npz 0<&- 1>&- 2>&-"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, timeout=120)
    assert done.returncode == 0
    assert read(tmp_path / "b.npz") == events


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_for_the_tests_is_no_result_of_a_command(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_slowly(*_: object, **__: object) -> int:
        with progress() as show:
            signal.raise_signal(number)  # such as by `timeout`, which ends the tests
            show("events", 0, 0)
        return 0

    write(tmp_path / "a.h5", random_events(0, 10))
    monkeypatch.setattr("dvspipe.cli.editing.write_edit", cut_slowly)
    with pytest.raises(KeyboardInterrupt):
        dvspipe("cut", "a.h5", "-o", "b.h5", cwd=tmp_path)
    assert Interrupt.number is None
