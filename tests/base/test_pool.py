from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from facts import raises

from dvspipe.base import pool as parallel
from dvspipe.base.errors import VideoError, WorkerError
from dvspipe.base.pool import Processes, map_items, prefetch
from dvspipe.base.progress import CurrentStep, NamedStep, Progress


def work(item: int, progress: Progress) -> int:
    progress(0, 1)
    if item < 0:
        raise VideoError(f"item {item}")
    if item == 7:
        logging.getLogger("dvspipe.test").warning("seven")
    return item * item


def slow_first(item: int, _: Progress) -> int:
    time.sleep(0.5 if item == 0 else 0)
    return int(item)


def work_endlessly(_: int, progress: Progress) -> int:
    while True:
        time.sleep(0.01)
        progress(0, 0)


def kill_worker_when_flag_exists(item: Any, _: Progress) -> int:
    """Kill this process when the file of a path item exists; return other items as int."""
    if isinstance(item, Path):
        while not item.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    return int(item)


def describe_process(*_: object) -> tuple[int, str]:
    return os.getpid(), os.environ["OMP_NUM_THREADS"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_has_an_outcome_and_errors_stay_with_their_item(jobs: int, caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[int, int]] = []
    outcomes = list(
        map_items(work, [3, -1, 7], engine=Processes(jobs), ordered=True, progress=lambda *done: told.append(done))
    )
    assert [outcome.value for outcome in outcomes] == [9, None, 49]
    assert [(outcome.index, outcome.item) for outcome in outcomes] == [(0, 3), (1, -1), (2, 7)]
    with raises(VideoError, "-1"):
        outcomes[1].result()
    assert told[0] == (0, 3)
    assert told[-1] == (3, 3)
    assert "seven" in caplog.text


class Steps:
    """Progress callback that keeps the shares and steps."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float, tuple[str, ...]]] = []

    def __call__(self, done: float, total: float) -> None:
        self.told.append((done, total, ()))

    def show_step(self, done: float, total: float, step: CurrentStep) -> None:
        self.told.append((done, total, step.names))


def take_two_steps(_item: str, progress: Progress) -> None:
    for number, name in enumerate(["person", "events"]):
        step = NamedStep(progress, name, number, 2)
        for _ in range(12):
            step(1, 2)
            time.sleep(0.1)  # a worker reports once per second


@pytest.mark.parametrize("jobs", [1, 2])
def test_steps_within_items_are_reported(jobs: int) -> None:
    steps = Steps()
    list(map_items(take_two_steps, ["a.mp4", "b.mp4"], engine=Processes(jobs), progress=steps))
    done = [done for done, _, _ in steps.told]
    assert done == sorted(done)
    assert {total for _, total, _ in steps.told} == {2}
    names = {names for _, _, names in steps.told if len(names) == 2}
    assert {name for _, name in names} == {"person", "events"}
    assert {item for item, _ in names} <= {"a.mp4", "b.mp4"}
    assert any(0 < each < 2 and each % 1 for each in done)


def test_a_step_of_the_complete_work_keeps_the_amounts() -> None:
    steps = Steps()
    NamedStep(NamedStep(steps, "wave.mp4"), "events")(30, 120)
    NamedStep(NamedStep(steps, "wave.mp4", 1, 3), "events", 1, 2)(30, 120)
    assert steps.told == [(30, 120, ("wave.mp4", "events")), (1.625, 3, ("wave.mp4", "events"))]


def test_outcomes_are_in_order_of_completion_or_of_items() -> None:
    as_done = [outcome.item for outcome in map_items(slow_first, range(4), engine=Processes(2))]
    assert sorted(as_done) == [0, 1, 2, 3]
    assert as_done[-1] == 0
    assert [outcome.item for outcome in map_items(slow_first, range(4), engine=Processes(2), ordered=True)] == [
        0,
        1,
        2,
        3,
    ]


def test_killed_worker_is_an_error_after_finished_items(tmp_path: Path) -> None:
    outcomes = map_items(kill_worker_when_flag_exists, [0, 1, 2, tmp_path / "flag"], engine=Processes(2))
    done = [next(outcomes).result() for _ in range(3)]
    assert sorted(done) == [0, 1, 2]
    (tmp_path / "flag").touch()
    with raises(WorkerError, "flag"):
        next(outcomes)


@pytest.mark.skipif(not hasattr(signal, "SIGSEGV"), reason="POSIX only")
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_crash_of_a_library_is_the_outcome_of_its_item_and_the_others_are_done(number: signal.Signals) -> None:
    items = [-number, 1, -number, 2, 3]
    outcomes = list(map_items(crash_at_negative, items, engine=Processes(2), ordered=True))
    assert [outcome.value for outcome in outcomes] == [None, 1, None, 2, 3]
    with raises(WorkerError, items[0], number.name):
        outcomes[0].result()
    assert "memory" not in str(outcomes[0].error)


def crash_at_negative(item: int, _: Progress) -> int:
    if item < 0:
        os.kill(os.getpid(), -item)
    return item


def test_workers_share_threads_and_environment_is_restored() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    found = [outcome.result() for outcome in map_items(describe_process, range(4), engine=Processes(2))]
    assert os.getpid() not in {pid for pid, _ in found}
    assert {threads for _, threads in found} == {str(max(1, (os.cpu_count() or 1) // 2))}
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_interrupt_stops_workers() -> None:
    calls = 0

    def interrupted(*_: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(map_items(work_endlessly, range(5), engine=Processes(2), progress=interrupted))  # type: ignore[arg-type]


def ignore_stop(item: int, _: Progress) -> int:
    """Work without progress calls; ignore the request to stop."""
    time.sleep(0 if item == 0 else 60)
    return int(item)


def test_worker_without_progress_is_killed_when_work_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "STOP_S", 0.1)
    outcomes = map_items(ignore_stop, range(3), engine=Processes(2))
    assert next(outcomes).result() == 0
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    outcomes.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()
    assert signal.SIGKILL in {-(worker.exitcode or 0) for worker in workers}


def test_unexpected_worker_error_is_raised_with_traceback() -> None:
    with pytest.raises(ZeroDivisionError) as found:
        list(map_items(divide_by_zero, range(2), engine=Processes(2)))
    assert "in divide_by_zero" in found.value.__notes__[0]


def divide_by_zero(item: int, _: Progress) -> float:
    return item / 0


def test_workers_end_when_parent_is_killed() -> None:
    code = (
        "import test_pool as own\n"
        "from dvspipe.base.pool import Processes, map_items\n"
        "if __name__ == '__main__':\n"
        "    outcomes = map_items(own.report_then_work, range(3), engine=Processes(2))\n"
        "    print(next(outcomes).result(), flush=True)\n"
        "    next(outcomes)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    for _ in range(400):
        with suppress(ChildProcessError):  # in a container, this may be process 1, which must reap orphans
            os.waitpid(child, os.WNOHANG)
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the child lives on")


def report_then_work(item: int, progress: Progress) -> int:
    while item:
        progress(0, 1)
        time.sleep(0.05)
    return os.getpid()


def test_prefetch_keeps_order_and_raises_errors_of_iterable() -> None:
    assert list(prefetch(range(100), 8)) == list(range(100))

    def breaks() -> Iterator[int]:
        yield 1
        raise VideoError("broken")

    items = prefetch(breaks(), 8)
    assert next(items) == 1
    with raises(VideoError, "broken"):
        next(items)


def test_prefetch_thread_ends_when_iterator_is_closed() -> None:
    before = threading.active_count()
    items = prefetch(iter(int, 1), 8)  # endless
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


IN_A_THREAD = """
import threading, time
from dvspipe.base.pool import prefetch

def consume():
    for _ in prefetch(slowly(), 2):
        pass

def slowly():
    for number in range(1000):
        started.set()
        time.sleep(0.05)
        yield number

started = threading.Event()
threading.Thread(target=consume).start()
started.wait()
"""


def test_prefetch_in_a_thread_ends_after_the_main_thread() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_THREAD], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)


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


BLOCKED = """
import signal
from dvspipe.base.pool import Processes, map_items

def is_blocked(_item, _progress):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())

if __name__ == "__main__":
    print([outcome.result() for outcome in map_items(is_blocked, [1, 2], engine=Processes(2))])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no signal masks")
def test_ctrl_c_never_reaches_workers(tmp_path: Path) -> None:
    """The first worker would start multiprocessing's resource tracker, which unblocks SIGINT."""
    (tmp_path / "script.py").write_text(BLOCKED)
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[True, True]", done.stderr
