"""Ray engine: map a function over items on the cores of a Ray cluster. No other module imports Ray.

This process, the driver, connects to the cluster (`_connect`) and keeps a few items per core in flight
(`_map_on_cluster`). Each item is a Ray task: a worker runs `_run_remotely` and returns a `_Reply`, which the driver
turns into an outcome (`_receive`). Meanwhile, `_Cluster` watches the head node, without which no reply arrives.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ..base.errors import ConfigError, DvspipeError, WorkerError
from .imports import find_program_folder, safe_paths
from .processes import LOG_NAME, Item, LogSender, Outcome, Result, Work, attempt
from .progress import Progress, ignore_progress

TASKS_PER_CORE = 4  # in flight: one runs and three wait, to keep cores busy until the driver has received a reply
RETRIES = 3  # repetitions of an item after the death of its worker or node
CONNECT_S = 5.0  # timeout for connecting to the head node
HEAD_S = 10.0  # time for a failed head node to restart
CHECK_S = 1.0  # interval between checks of the head node and the number of cores
POLL_S = 0.2  # interval between progress calls, each of which may stop the work


@dataclass(frozen=True)
class Ray:
    """Engine that runs on the cores of a Ray cluster. All nodes must see the same files under the same paths.

    Each item is a task for one core. If its worker or node dies, Ray repeats the item on another worker, up to 3 times.
    Workers are processes that handle many items, so each loads networks and kernels only once.

    Args:
        address: Address of the cluster, such as `auto` or `ray://head:10001`; None: the environment variable
            RAY_ADDRESS, or a cluster on this machine, started for this work.

    Example:
        >>> Ray().leaves(1)
        True
    """

    address: str | None = None

    def map(
        self, work: Work[Item, Result], items: Sequence[Item], progress: Progress
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of each item in order of completion.

        The outcome of an item is a `WorkerError` if its worker died 4 times.

        Raises:
            ConfigError: If Ray is not installed.
            WorkerError: If the cluster cannot be reached, or a node has another version of dvspipe or other folders.
        """
        if not items:
            return
        with _connect(self.address) as ray, _pickle_session_modules(ray):
            cluster = _Cluster(ray, _find_head(ray, self.address))
            yield from _map_on_cluster(cluster, work, items, progress)

    def leaves(self, items: int) -> bool:
        """Return whether other processes handle the items: always, if there are items."""
        return items > 0


class _Driver(NamedTuple):
    """The process that sends items to the workers.

    Args:
        version: Version of dvspipe.
        folder: Current folder; base of relative paths in items.
        level: Log level.
    """

    version: str
    folder: Path
    level: int


class _Reply(NamedTuple):
    """Reply of a worker for an item: its result or error, and log records."""

    value: Any
    error: Exception | None
    log: list[logging.LogRecord]


@contextmanager
def _connect(address: str | None) -> Iterator[Any]:
    """Yield the `ray` module, connected to a cluster during the block; keep an existing connection of this process."""
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "engine = ray: Ray is missing; pip install 'dvspipe[ray]'; use engine=local to use this machine"
        ) from error

    if ray.is_initialized():
        yield ray
        return

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # otherwise tasks that request no GPU see none
    chosen = _choose_address(address)
    if chosen:
        _check_reachable(chosen)
    local_options = {} if chosen else {"include_dashboard": False}  # the dashboard takes CPU time of this machine

    try:
        with chdir(find_program_folder()):  # workers of Ray import from the folder in which a driver connects
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                **local_options,
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise WorkerError(
            f"{chosen or 'this machine'}: no connection to a Ray cluster ({_first_line(error)})"
        ) from error

    try:
        yield ray
    finally:
        _kill_monitor(ray)
        ray.shutdown()


@contextmanager
def _pickle_session_modules(ray: Any) -> Iterator[None]:
    """Send functions of modules in the current folder as values, because workers do not import from there."""
    with safe_paths() as session:
        modules = [sys.modules[name] for name in session.names]
    for module in modules:
        ray.cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            ray.cloudpickle.unregister_pickle_by_value(module)


def _kill_monitor(ray: Any) -> None:
    """Kill the autoscaler monitor if this process started the cluster: `ray.shutdown` would wait 1 s, then kill it.

    Ray has no public function for it. Another version may have other private names, or no node: `shutdown` then waits.
    """
    with suppress(AttributeError):
        ray._private.worker._global_node.kill_monitor(check_alive=False)


def _choose_address(address: str | None) -> str:
    """Return the address of the cluster, by default from the environment; empty: a new cluster on this machine."""
    return address or os.environ.get("RAY_ADDRESS") or ""


def _check_reachable(address: str) -> None:
    """Check that the head node of a cluster can be reached; Ray itself would wait for more than a minute.

    Args:
        address: HOST:PORT or ray://HOST:PORT; other addresses, such as `auto`, are left to Ray.

    Raises:
        WorkerError: If no connection is possible within 5 s.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return

    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise WorkerError(f"{address}: no connection to a Ray cluster ({_first_line(error)})") from error


def _find_head(ray: Any, address: str | None) -> str:
    """Return the address of the head node of a connected cluster."""
    chosen = _choose_address(address)
    return chosen if chosen.startswith("ray://") else str(ray.get_runtime_context().gcs_address)


def _wait_for_head(head: str) -> None:
    """Wait until the head node can be reached; it may be restarting after a failure.

    Raises:
        WorkerError: If it cannot be reached for 10 s.
    """
    until_s = time.monotonic() + HEAD_S
    while True:
        try:
            return _check_reachable(head)
        except WorkerError:
            if time.monotonic() >= until_s:
                raise
            time.sleep(POLL_S)


class _Cluster:
    """Connected cluster, whose head node and number of cores are checked every second.

    Args:
        ray: The `ray` module.
        head: Address of the head node.
    """

    def __init__(self, ray: Any, head: str) -> None:
        self.ray = ray
        self.cores = 1
        self.is_reachable = True
        self._head = head
        self._next_check_s = 0.0

    def check(self) -> None:
        """Update the number of cores. Without this, Ray would wait a minute for a lost head node, then end the process.

        Raises:
            WorkerError: If the head node is lost.
        """
        if time.monotonic() < self._next_check_s:
            return

        self.is_reachable = False
        _wait_for_head(self._head)
        self.is_reachable = True
        self._next_check_s = time.monotonic() + CHECK_S
        self.cores = max(1, int(self.ray.cluster_resources().get("CPU", 1)))


def _map_on_cluster(
    cluster: _Cluster, work: Work[Item, Result], items: Sequence[Item], progress: Progress
) -> Iterator[Outcome[Item, Result]]:
    """Send items to the workers, as many as the cores need, and yield the outcomes in order of completion."""
    ray = cluster.ray
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(_run_remotely)
    driver = _Driver(version("dvspipe"), Path.cwd(), logging.getLogger(LOG_NAME).getEffectiveLevel())

    # The work is stored in the cluster once, and not sent with each item.
    stored_work = ray.put(work)
    remaining = iter(enumerate(items))
    in_flight: dict[Any, int] = {}  # index of the item of each reference to a reply
    completed = 0

    try:
        while True:
            # Nodes may come and go, so the number of items in flight follows the number of cores.
            cluster.check()
            free = cluster.cores * TASKS_PER_CORE - len(in_flight)
            for index, item in islice(remaining, max(0, free)):
                in_flight[task.remote(driver, stored_work, item)] = index
            if not in_flight:
                break

            progress(completed, len(items))
            ready, _ = ray.wait(list(in_flight), timeout=POLL_S)
            for reference in ready:
                index = in_flight.pop(reference)
                completed += 1
                value, error = _receive(ray, reference, items[index])
                yield Outcome(index, items[index], value, error)
        progress(completed, len(items))
    finally:
        # A head node that is lost cannot cancel its items.
        if cluster.is_reachable:
            for reference in in_flight:
                ray.cancel(reference, force=True)


def _receive(ray: Any, reference: Any, item: object) -> tuple[Any, DvspipeError | None]:
    """Return the result or error of an item, and forward the log records of its worker."""
    try:
        reply: _Reply = ray.get(reference)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError) as error:
        return None, WorkerError(f"{item}: its worker was killed {RETRIES + 1} times ({_first_line(error)})")
    except ray.exceptions.RayError as error:  # such as a node that cannot start the work
        raise WorkerError(f"{item}: a node of the Ray cluster cannot process it ({_first_line(error)})") from error

    for record in reply.log:
        logging.getLogger(record.name).handle(record)

    # The error of an item is its outcome; errors of the node, and mistakes in the work, end the work.
    if isinstance(reply.error, WorkerError) or not isinstance(reply.error, DvspipeError | None):
        raise reply.error

    return reply.value, reply.error


def _run_remotely(driver: _Driver, work: Work[Item, Result], item: Item) -> _Reply:
    """Process an item; runs in a Ray worker."""
    difference = _enter_folder(driver)
    if difference is not None:
        return _Reply(None, WorkerError(f"{platform.node()}: {difference}"), [])

    # The worker belongs to Ray and works on many items: log records return with each reply.
    records: list[logging.LogRecord] = []
    log = logging.getLogger(LOG_NAME)
    sender = LogSender(records.append)
    log.addHandler(sender)
    log.setLevel(driver.level)

    try:
        value, error = attempt(work, item, ignore_progress)
        return _Reply(value, error, records)
    finally:
        log.removeHandler(sender)


def _enter_folder(driver: _Driver) -> str | None:
    """Enter the driver's current folder; return a description of the difference if this node cannot work for it."""
    installed = version("dvspipe")
    if installed != driver.version:
        return f"another version of dvspipe (found {installed}, expected {driver.version})"

    try:
        os.chdir(driver.folder)
    except OSError as error:
        return f"{driver.folder}: {error.strerror} (expected the same folders on all nodes)"
    return None


def _first_line(error: Exception) -> str:
    """Return the first line of an error that is not empty, or the name of its type."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
