"""Work on many machines: the engine that maps over items on a Ray cluster. Only this module imports Ray."""

from __future__ import annotations

import logging
import os
import platform
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigError, DvspipeError, Remedy, WorkerError
from .processes import LOG_NAME, Item, LogSender, Outcome, Progress, Result, Work, attempt, ignore_progress

TASKS_PER_CORE = 4  # in flight: one is worked on, and others wait, so that no core waits for the driver
RETRIES = 3  # of an item whose worker or node dies
CONNECT_S = 5.0  # for the head of a cluster
HEAD_S = 10.0  # for the head to come back
LOOK_S = 1.0  # between two looks at the head and the number of cores
POLL_S = 0.2  # between two looks at whether the work is stopped


@dataclass(frozen=True)
class Ray:
    """The cores of a Ray cluster, whose nodes see the same files under the same paths.

    An item is a task of one core; Ray repeats it on another worker if its worker or node dies. Workers are processes
    that work on many items, so each loads what it needs once.

    Args:
        address: The cluster, such as `auto` or `ray://head:10001`; None: that of the variable RAY_ADDRESS, or else one
            of this machine, which is started for the work.

    Example:
        >>> Ray().leaves(1)
        True
    """

    address: str | None = None

    def map(
        self, work: Work[Item, Result], items: Sequence[Item], progress: Progress
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of each item as it is done; if its worker died too often, that is a `WorkerError`.

        Raises:
            ConfigError: Ray is not installed.
            WorkerError: The cluster cannot be reached, or a node of it cannot run this version of dvspipe.
        """
        if not items:
            return
        with _connected(self.address) as ray:
            yield from _map_on(ray, work, items, progress, _find_head(ray, self.address))

    def leaves(self, items: int) -> bool:
        """Return whether the items are worked on outside of this process: always."""
        return items > 0


class _Driver(NamedTuple):
    """The process that sends items.

    Args:
        version: Its version of dvspipe.
        folder: Its current folder, from which relative paths of items begin.
        level: The level of the messages that it logs.
    """

    version: str
    folder: Path
    level: int


class _Reply(NamedTuple):
    """What a worker sends for an item."""

    value: Any
    error: Exception | None
    log: list[logging.LogRecord]


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Yield Ray, connected to a cluster during the block unless this process was connected before."""
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "engine = ray: Ray is missing; pip install 'dvspipe[ray]'", Remedy("engine", "local", "use this machine")
        ) from error
    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault(
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
    )  # without it, a task that asks for no GPU hides all
    place = address or os.environ.get("RAY_ADDRESS")
    if place:
        _check_reachable(place)
    alone = {} if place else {"include_dashboard": False}  # which takes a part of this machine's cores
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **alone)
    except (OSError, RuntimeError, ValueError) as error:
        where = place or "this machine"
        raise WorkerError(f"{where}: no connection to a Ray cluster ({_first_line(error)})") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(place: str) -> None:
    """Check that the head of a cluster can be reached, for which Ray itself waits for more than a minute.

    Args:
        place: HOST:PORT or ray://HOST:PORT; other addresses, such as `auto`, are left to Ray.

    Raises:
        WorkerError: It cannot.
    """
    host, colon, port = place.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise WorkerError(f"{place}: no connection to a Ray cluster ({_first_line(error)})") from error


def _find_head(ray: Any, address: str | None) -> str:
    """Return where the head of a connected cluster listens."""
    place = address or os.environ.get("RAY_ADDRESS") or ""
    return place if place.startswith("ray://") else str(ray.get_runtime_context().gcs_address)


def _wait_for_head(place: str) -> None:
    """Wait until the head of a cluster can be reached, which may start again after a failure.

    Raises:
        WorkerError: It cannot be reached for some seconds.
    """
    until_s = time.monotonic() + HEAD_S
    while True:
        try:
            return _check_reachable(place)
        except WorkerError:
            if time.monotonic() >= until_s:
                raise
            time.sleep(POLL_S)


def _map_on(
    ray: Any, work: Work[Item, Result], items: Sequence[Item], progress: Progress, head: str
) -> Iterator[Outcome[Item, Result]]:
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(_work_remotely)
    driver = _Driver(version("dvspipe"), Path.cwd(), logging.getLogger(LOG_NAME).getEffectiveLevel())
    shared, following, done = ray.put(work), iter(enumerate(items)), 0
    waiting: dict[Any, int] = {}
    cores, look_s, is_lost = 1, 0.0, False
    try:
        while True:
            if time.monotonic() >= look_s:
                is_lost = True
                _wait_for_head(head)  # Ray does for a minute, and then ends the process
                is_lost, look_s = False, time.monotonic() + LOOK_S
                cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
            free = cores * TASKS_PER_CORE - len(waiting)
            for index, item in islice(following, max(0, free)):
                waiting[task.remote(driver, shared, item)] = index
            if not waiting:
                break
            progress(done, len(items))
            ready, _ = ray.wait(list(waiting), timeout=POLL_S)
            for reference in ready:
                index = waiting.pop(reference)
                done += 1
                yield Outcome(index, items[index], *_receive(ray, reference, items[index]))
        progress(done, len(items))
    finally:
        for reference in () if is_lost else waiting:
            ray.cancel(reference, force=True)


def _receive(ray: Any, reference: Any, item: object) -> tuple[Any, DvspipeError | None]:
    """Return the value or error of an item, and log what its worker logged."""
    try:
        reply: _Reply = ray.get(reference)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError) as error:
        return None, WorkerError(f"{item}: its worker was killed {RETRIES + 1} times ({_first_line(error)})")
    except ray.exceptions.RayError as error:  # the work cannot start there
        raise WorkerError(f"{item}: a node of the Ray cluster cannot work on it ({_first_line(error)})") from error
    for record in reply.log:
        logging.getLogger(record.name).handle(record)
    if isinstance(reply.error, WorkerError) or not isinstance(reply.error, DvspipeError | None):
        raise reply.error
    return reply.value, reply.error


def _work_remotely(driver: _Driver, work: Work[Item, Result], item: Item) -> _Reply:
    """Work on an item; runs in a worker of Ray."""
    difference = _adopt(driver)
    if difference is not None:
        return _Reply(None, WorkerError(f"{platform.node()}: {difference}"), [])
    records: list[logging.LogRecord] = []
    log, sender = logging.getLogger(LOG_NAME), LogSender(records.append)
    log.addHandler(sender)
    log.setLevel(driver.level)
    try:
        return _Reply(*attempt(work, item, ignore_progress), records)
    finally:
        log.removeHandler(sender)


def _adopt(driver: _Driver) -> str | None:
    """Enter the folder of the driver; return how this node differs from its, None if it does not."""
    found = version("dvspipe")
    if found != driver.version:
        return f"another version of dvspipe (found {found}, expected {driver.version})"
    try:
        os.chdir(driver.folder)
    except OSError as error:
        return f"{driver.folder}: {error.strerror} (expected the same folders on all nodes)"
    return None


def _first_line(error: Exception) -> str:
    """Return the line of an error of Ray that says what happened."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
