"""Map over items in processes that die, crash, log and are interrupted; shards; prefetching."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from conftest import random_events
from facts import raises
from test_progress import Steps

from dvspipe.base.errors import ConfigError, VideoError, WorkerError
from dvspipe.base.pool import HOME, Shard, map_items, prefetch
from dvspipe.base.progress import NamedStep, Progress
from dvspipe.formats import write

LOG = logging.getLogger("dvspipe.test")


def work(item: int, progress: Progress) -> int:
    NamedStep(progress, "square")(1, 2)
    if item < 0:
        raise VideoError(f"item {item}")
    LOG.warning("item %d in process %d", item, os.getpid())
    time.sleep(0.5 if item == 3 else 0)
    return item * item


@pytest.mark.parametrize("jobs", [1, 2])
def test_errors_logs_and_progress_belong_to_items(jobs: int, caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[float, float]] = []
    outcomes = list(map_items(work, [3, -1, 7], jobs=jobs, ordered=True, progress=lambda *done: told.append(done)))
    assert [(outcome.index, outcome.item, outcome.value) for outcome in outcomes] == [
        (0, 3, 9),
        (1, -1, None),
        (2, 7, 49),
    ]
    with raises(VideoError, "-1"):
        outcomes[1].result()
    assert (told[0], told[-1]) == ((0, 3), (3, 3))
    assert told == sorted(told)
    assert "item 3" in caplog.text
    assert (f"item 7 in process {os.getpid()}" in caplog.text) == (jobs == 1)


def test_outcomes_are_in_order_of_completion() -> None:
    assert [outcome.item for outcome in map_items(work, [3, 0, 1, 2], jobs=2)][-1] == 3


def test_steps_of_items_in_this_process_are_reported() -> None:
    steps = Steps()
    list(map_items(work, [1, 2], progress=steps))
    assert [names for *_, names in steps.told if names] == [("1",), ("1", "square"), ("2",), ("2", "square")]


def crash(item: int, _: Progress) -> int:
    if item < 0:
        os.kill(os.getpid(), -item)
    time.sleep(0.1)
    return item


def test_item_that_kills_its_worker_is_named_and_others_are_done() -> None:
    items = [1, -signal.SIGSEGV, 2, -signal.SIGKILL, -signal.SIGKILL, 3]
    outcomes = list(map_items(crash, items, jobs=2, ordered=True))
    assert [outcome.value for outcome in outcomes] == [1, None, 2, None, None, 3]
    with raises(WorkerError, items[1]):
        outcomes[1].result()


def divide_by_zero(item: int, _: Progress) -> float:
    return item / 0


def test_unexpected_error_is_raised_with_the_traceback_of_the_worker() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(map_items(divide_by_zero, range(2), jobs=2))
    assert "in divide_by_zero" in str(caught.value.__cause__)


def test_unpicklable_work_is_an_error() -> None:
    with pytest.raises((AttributeError, TypeError), match="pickle"):
        list(map_items(lambda item, _: item, range(2), jobs=2))


def describe(*_: object) -> tuple[int, str, list[str]]:
    return os.getpid(), os.environ["OMP_NUM_THREADS"], sys.path


def test_workers_share_threads_and_this_process_stays_as_it_was() -> None:
    before = dict(os.environ), sys.path
    outcomes = [outcome.result() for outcome in map_items(describe, range(4), jobs=2)]
    assert os.getpid() not in {process for process, _, _ in outcomes}
    assert {threads for _, threads, _ in outcomes} == {str(max(1, (os.cpu_count() or 1) // 2))}
    assert (dict(os.environ), sys.path) == before


@pytest.mark.parametrize("jobs", [0, -1, "2", "rays", ""])
def test_wrong_number_of_jobs_is_an_error(jobs: int | str) -> None:
    with raises(ConfigError, f"jobs = {jobs}"):
        map_items(work, [1, 2], jobs=jobs)


# Programs. Their workers must not run files of the current folder.

PROGRAM = """
import os, signal, sys, time
from dvspipe.base.pool import map_items

def work(item, progress):
    import wave  # the first import of this module
    while item > 1:
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())  # also while it started
        os.write(1, f"{os.getpid()}\\n".encode())  # one write: the workers share the pipe
        time.sleep(60)
    return item

if __name__ == "__main__":
    import own_work
    print([outcome.result() for outcome in map_items(own_work.work, eval(sys.argv[-1]), jobs=2, ordered=True)])
"""
COMMAND = "from dvspipe.__main__ import main\n\nif __name__ == '__main__':\n    main()\n"  # as the script `dvspipe`
OPTIONAL = {"dvspipe", "hdf5plugin", "ray", "sitecustomize", "triton", "usercustomize"}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    (folder / "own_work.py").write_text(PROGRAM.partition("if __name__")[0])
    (folder / "dvspipe").write_text(COMMAND)
    return folder


@pytest.fixture
def traps(tmp_path: Path) -> Path:
    """Folder with recordings, and with a file for each importable name that leaves a mark when it runs."""
    folder = tmp_path / "traps"
    for number in range(2):
        write(folder / "in" / f"{number}.bin", random_events(number, 20))
    for name in {*sys.stdlib_module_names, *packages_distributions(), *OPTIONAL} - {"__main__"}:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'mark')!r}, 'a').write(__name__ + '\\n')\n")
    return folder


def run(folder: Path, *words: object, path: object = "") -> str:
    """Run Python in a folder with traps and return its output; check that it ran none of them."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(path), HOME]))}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    mark = folder / "mark"
    assert not mark.exists(), mark.read_text()
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_workers_of_the_command_run_no_file_of_the_current_folder(program: Path, traps: Path) -> None:
    run(traps, program / "dvspipe", "convert", "in", "-o", "out", "--jobs", 2)
    assert len(list((traps / "out").glob("*.h5"))) == 2


def test_workers_of_a_module_run_no_file_of_the_current_folder(program: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "wave.py").write_text("open('mark', 'w')")  # `python -m` itself would run other names
    assert run(tmp_path / "data", "-m", "program", "[0, 1]", path=program) == "[0, 1]"


def test_program_in_the_current_folder_imports_from_there(program: Path) -> None:
    assert run(program, "program.py", "[0, 1]") == "[0, 1]"


def test_workers_that_cannot_start_end_the_work(program: Path) -> None:
    (program / "unguarded.py").write_text(PROGRAM.replace('if __name__ == "__main__":', "if True:"))
    with pytest.raises(AssertionError) as caught:
        run(program, "unguarded.py", "range(1000)")

    # Only the first process says so, and not the workers; the last two lines are to be added.
    text = str(caught.value)
    assert text.count("WorkerError: ") == 1
    assert "RuntimeError" not in text
    assert "unguarded.py: starts workers when it is imported" in text
    assert re.search(r"""if __name__ == "__main__":(\s|\\n)+main\(\)""", text)
    assert "crashed" not in text


def test_script_that_a_worker_cannot_import_is_not_called_unguarded(program: Path) -> None:
    fault = (
        "\nimport multiprocessing\nif multiprocessing.current_process().name != 'MainProcess':\n    raise ValueError\n"
    )
    (program / "other.py").write_text(PROGRAM.replace("\nif __name__", fault + "\nif __name__"))
    with pytest.raises(AssertionError, match="WorkerError: a worker could not start") as caught:
        run(program, "other.py", "range(10)")
    assert "main()" not in str(caught.value)


def is_running(process: int) -> bool:
    with suppress(ChildProcessError):  # in a container, this may be process 1, which must reap orphans
        os.waitpid(process, os.WNOHANG)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="has no process groups")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_or_a_killed_parent_ends_workers(program: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "program", "[2, 3, 4]"]
    environment = os.environ | {"PYTHONPATH": HOME}
    with subprocess.Popen(
        command, cwd=program, env=environment, stdout=-1, stderr=-1, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout
        assert parent.stderr
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        started_s = time.monotonic()
        if number == signal.SIGINT:
            os.killpg(parent.pid, number)  # a terminal sends it to workers, too
        else:
            parent.kill()
        text = parent.stderr.read()

    while any(map(is_running, workers)):
        assert time.monotonic() < started_s + 60
        time.sleep(0.05)
    assert text.count("Traceback") == text.count("KeyboardInterrupt") == (number == signal.SIGINT)


@pytest.mark.slow
def test_ray_gives_the_same_outcomes_and_runs_no_file_of_the_current_folder(program: Path, traps: Path) -> None:
    pytest.importorskip("ray")
    (program / "cluster.py").write_text(PROGRAM.replace("jobs=2", "jobs='ray'"))
    assert run(traps, program / "cluster.py", "[0, 1]") == "[0, 1]"


def test_missing_ray_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with raises(ConfigError, "dvspipe[ray]"):
        list(map_items(work, [1, 2], jobs="ray"))


def test_each_file_is_in_one_shard_and_adding_files_moves_no_other() -> None:
    shards = [Shard(number, 4) for number in range(1, 5)]

    def place(names: range) -> dict[Path, list[int]]:
        paths = [Path(f"{name % 7}/{name}.mp4") for name in names]
        return {path: [shard.number for shard in shards if path in shard] for path in paths}

    before, after = place(range(200)), place(range(220))
    assert all(len(numbers) == 1 for numbers in after.values())
    assert before == {path: after[path] for path in before}
    assert min(sum(numbers == [number] for numbers in after.values()) for number in range(1, 5)) > 30


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/2/3"])
def test_invalid_shard_is_an_error(text: str) -> None:
    with raises(ConfigError, text):
        Shard.parse(text)


def parse_in_array(monkeypatch: pytest.MonkeyPatch, **values: int) -> Shard:
    for name, value in values.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    return Shard.parse("auto")


def test_slurm_task_has_shard_of_its_position(monkeypatch: pytest.MonkeyPatch) -> None:
    with raises(ConfigError, "auto", "SLURM_ARRAY_TASK_ID"):
        Shard.parse("auto")
    shards = [parse_in_array(monkeypatch, ID=task, MIN=10, MAX=12, COUNT=3) for task in (10, 11, 12)]
    assert shards == [Shard(1, 3), Shard(2, 3), Shard(3, 3)]
    assert Shard.parse(None) == Shard(1, 1)  # whatever the environment has


@pytest.mark.parametrize("task", [3, 7])
def test_nonconsecutive_slurm_tasks_have_no_shard(task: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with raises(ConfigError, 3, 7, 2):
        parse_in_array(monkeypatch, ID=task, MIN=3, MAX=7, COUNT=2)


def test_prefetch_keeps_order_and_raises_errors_in_their_place() -> None:
    def breaks() -> Iterator[int]:
        yield from range(100)
        raise VideoError("broken")

    items = prefetch(breaks(), 8)
    assert [next(items) for _ in range(100)] == list(range(100))
    with raises(VideoError, "broken"):
        next(items)


def test_prefetch_thread_ends_when_iterator_is_closed() -> None:
    before = threading.active_count()
    items = prefetch(iter(int, 1), 8)  # endless
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    while threading.active_count() > before:
        time.sleep(0.01)


LEFT_OPEN = """
import atexit, threading
from dvspipe.base.pool import prefetch

items = prefetch(iter(int, 1), 8)
next(items)
atexit.register(lambda: print(threading.active_count()))
raise SystemExit(2)
"""


def test_unclosed_prefetch_thread_ends_before_python() -> None:
    """Python stops daemon threads that return from native code, such as OpenCV, and this aborts the process."""
    done = subprocess.run([sys.executable, "-c", LEFT_OPEN], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("1\n", 2), done.stderr
