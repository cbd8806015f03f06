from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from dvspipe.background import read_ahead, start_processes
from dvspipe.errors import VideoError


def test_reading_ahead_keeps_order_and_raises_the_makers_error() -> None:
    assert list(read_ahead(range(100), 8)) == list(range(100))

    def breaks() -> Iterator[int]:
        yield 1
        raise VideoError("broken")

    items = read_ahead(breaks(), 8)
    assert next(items) == 1
    with pytest.raises(VideoError, match="broken"):
        next(items)


def test_reading_ahead_ends_its_thread_when_left_early() -> None:
    before = threading.active_count()
    items = read_ahead(iter(int, 1), 8)  # endless
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_processes_do_the_work_and_begin_as_told() -> None:
    with start_processes(2, os.putenv, "DVSPIPE_TOLD", "yes") as pool:
        assert list(pool.map(abs, range(-4, 4))) == [4, 3, 2, 1, 0, 1, 2, 3]


def test_processes_end_with_the_one_that_is_killed() -> None:
    code = (
        "import os, time\n"
        "from dvspipe.background import start_processes\n"
        "if __name__ == '__main__':\n"
        "    print(start_processes(1).submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the child lives on")
