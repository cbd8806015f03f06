"""Fixtures and recordings shared by several test modules."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from dvspipe.events import Events, SensorSize
from dvspipe.formats import write

if TYPE_CHECKING:
    from dvspipe.results import TrainingRun

SENSOR = SensorSize(width=12, height=7)

# No deadline: first examples compile kernels. Tests that write files use new names or overwrite.
settings.register_profile(
    "dvspipe", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("dvspipe")


def pytest_configure() -> None:
    """Run torch in one thread, in processes that tests start, too.

    With more threads than free cores, each operation waits for the next turn of a thread, 50 ms on a busy machine.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def random_events(seed: int, count: int, sensor: SensorSize = SENSOR, span_us: int = 100_000) -> Events:
    rng = np.random.default_rng(seed)
    return Events(
        t=np.sort(rng.integers(0, span_us, count)),
        x=rng.integers(0, sensor.width, count),
        y=rng.integers(0, sensor.height, count),
        p=rng.integers(0, 2, count),
        sensor=sensor,
    )


def rows_of(events: Events, **dtypes: str) -> np.ndarray:
    """Structured array of events with these fields in this order."""
    rows = np.empty(len(events), list(dtypes.items()))
    for name in dtypes:
        rows[name] = getattr(events, name)
    return rows


def as_tuples(events: Events) -> list[tuple[int, int, int, bool]]:
    """Return t, x, y and p of each event."""
    return list(zip(*(getattr(events, name).tolist() for name in "txyp"), strict=True))


def divide(events: Events, places: Iterable[int]) -> list[Events]:
    """Divide events into consecutive parts at any places."""
    edges = [0, *sorted(place % (len(events) + 1) for place in places), len(events)]
    return [events[first:stop] for first, stop in pairwise(edges)]


@contextmanager
def limit_files(size: int) -> Iterator[None]:
    """Refuse to write files larger than `size` bytes, as a full disk does in the middle of a write."""
    resource = pytest.importorskip("resource", reason="the system has no limits of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def encode_idx(array: np.ndarray) -> bytes:
    """Return an array of bytes as a file of MNIST."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_mnist(folder: Path, train: np.ndarray, test: np.ndarray) -> Path:
    """Write images [N, 28, 28] as MNIST, with the labels 0 to 9 in turn; return the folder."""
    folder.mkdir(parents=True)
    for part, images in (("train", train), ("t10k", test)):
        labels = np.arange(len(images), dtype=np.uint8) % 10
        (folder / f"{part}-images-idx3-ubyte").write_bytes(encode_idx(images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(encode_idx(labels), mtime=0))
    return folder


def write_digits(root: Path, digits: Iterable[int], each: int) -> None:
    """Write recordings in the layout of N-MNIST: `each` per digit for training, and one for the test."""
    for part, numbers in (("Train", range(each)), ("Test", range(each, each + 1))):
        for digit in digits:
            (root / part / str(digit)).mkdir(parents=True)
            for number in numbers:
                content = bytes([digit, number, 0x80, 0, 9]) * 20
                (root / part / str(digit) / f"{number}.bin").write_bytes(content)


BAR_SENSOR = SensorSize(width=16, height=12)
BAR_CLASSES = ("right", "left", "down")


def moving_bar(label: int, seed: int, windows: int = 1) -> Events:
    """Bar that moves right (0), left (1) or down (2), with noise; one pass of 100 ms per window."""
    rng = np.random.default_rng([label, seed])
    t = np.sort(rng.integers(0, 100_000 * windows, 400 * windows))
    phase = t % 100_000 / 100_000
    along = np.clip(phase * 12 + rng.integers(0, 2, t.size), 0, 11).astype(int)
    across = rng.integers(0, 12, t.size)
    x, y = {0: (along + 2, across), 1: (13 - along, across), 2: (across + 2, along)}[label]
    return Events(t, x, y, rng.integers(0, 2, t.size), BAR_SENSOR)


def write_bars(root: Path, each: int, names: Iterable[str] = BAR_CLASSES, *, first: int = 0, windows: int = 1) -> Path:
    """Write class folders of moving bars; return the folder.

    The numbers are even: reading a data set would compare files with consecutive numbers, 0.3 s of CPU.
    EVT files open 40 times faster than HDF5 files, and a short training opens its files more than it trains.
    """
    for label, name in enumerate(names):
        for number in range(each):
            write(root / name / f"{2 * number:02}.raw", moving_bar(label, first + number, windows))
    return root


def write_bar_parts(folder: Path) -> Path:
    """Write 20 moving bars per class for training and 8 for the test; return the folder."""
    write_bars(folder / "train", 20)
    write_bars(folder / "test", 8, first=1000)
    return folder


@pytest.fixture(scope="session")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of moving bars, with a training and a test part."""
    return write_bar_parts(tmp_path_factory.mktemp("bars"))


@pytest.fixture(scope="session")
def train_bars(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainingRun]:
    """Return the run of a short training on moving bars with these settings; each is trained once."""
    from small_training import config_for

    from dvspipe import train

    @cache
    def train_once(**settings: Any) -> TrainingRun:
        return train(config_for(bars, **settings), out=tmp_path_factory.mktemp("run") / "a")

    return train_once


@pytest.fixture(scope="session", autouse=True)
def _separate_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Separate the cache of the tests from the user's cache; do not wait for the disk, 5 ms or more per file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def _no_event_loop_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close the event loop that Gradio leaves open in the thread that starts a page."""
    yield
    if request.path.parent.name == "app":
        with suppress(RuntimeError):  # no loop
            loop = asyncio.get_event_loop_policy().get_event_loop()
            if not loop.is_running():
                loop.close()
                asyncio.set_event_loop(None)


@pytest.fixture(autouse=True)
def _own_signal_handlers() -> None:
    """Start each test with Python's handlers: a command that an earlier test ran may have left others."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _no_progress_lines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable progress lines: on a busy machine, they would appear between the lines that a test expects."""
    if "screen" not in request.module.__name__:
        monkeypatch.setattr("dvspipe.cli.screen.LINE_EVERY_S", 1e9)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real recordings and videos; the test is skipped without it."""
    folder = os.environ.get("DVSPIPE_TEST_DATA")
    if not folder:
        pytest.skip("DVSPIPE_TEST_DATA is not a folder of real recordings")
    return Path(folder)
