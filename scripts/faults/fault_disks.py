"""Run commands that cannot write: the disk becomes full, or the folder is read-only.

As root, the disk is a small file system in memory. Otherwise the length of each file is limited; HDF5 and OpenCV detect
this limit at other points of their code.
"""

from __future__ import annotations

import random
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from fault_commands import LIMIT_S, Command, start
from fault_kills import FaultError, Killer

READ_ONLY = Path("/sys")  # also for root
DISK_BYTES = (4.0, 6.5)  # range of log10 of the size of a disk
FILE_BYTES = (2.0, 5.0)  # and of a file
ENOUGH = "1g"  # larger than every output


def fill_disk(killer: Killer, command: Command, rng: random.Random) -> str:
    """Run a command on a disk that becomes full, repeat it on a large disk, and return a description.

    Raises:
        FaultError: If the error is not one line, files remain, or the repeated command has a different output.
    """
    killer.undisturbed(command)  # measured once, in the same folder
    folder = killer.new_folder(command.name)
    size = int(10 ** rng.uniform(*DISK_BYTES))
    with _small_disk(folder, size) as is_mounted:
        if is_mounted:
            title = f"{command.name}: a disk of {size} bytes"
            code, printed = _run(command.arguments, folder)
            _mount(folder, f"remount,size={ENOUGH}")
        else:
            max_bytes = int(10 ** rng.uniform(*FILE_BYTES))
            title = f"{command.name}: files of at max_bytes {max_bytes} bytes"
            limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (max_bytes, resource.RLIM_INFINITY))
            code, printed = _run(command.arguments, folder, preexec_fn=limit)

        _check_full(killer, command, folder, title, code, printed)

    return title


def _check_full(killer: Killer, command: Command, folder: Path, title: str, code: int, printed: str) -> None:
    """Check the exit of a command on a full disk, and complete the command."""
    lines = printed.splitlines()
    if "Traceback" in printed or code not in (0, 1, 2) or (code and not lines[-1].startswith("dvspipe: ")):
        raise FaultError(f"{title}: exit code {code}: {printed}")
    if code == 2 and command.repeated is None and (folder / command.output).exists():
        raise FaultError(f"{title}: exit code 2, but {command.output} exists")
    try:
        killer.complete(command, folder)
    except FaultError as error:
        raise FaultError(f"{title}: {error}") from error


@contextmanager
def _small_disk(folder: Path, size: int) -> Iterator[bool]:
    """Mount a file system of `size` bytes at a folder during the block; yield whether mounting is permitted."""
    inputs = (folder / "in").readlink()
    if not _mount(folder, f"size={size}"):
        yield False
        return
    try:
        (folder / "in").symlink_to(inputs)
        yield True
    finally:
        subprocess.run(["umount", folder], check=True)


def _mount(folder: Path, options: str) -> bool:
    if shutil.which("mount") is None:
        return False
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    return mounted.returncode == 0


def write_to_read_only(killer: Killer, command: Command) -> str:
    """Run a command with its output in a read-only folder, and return a description.

    Raises:
        FaultError: If the error is not one line.
    """
    folder = killer.new_folder(command.name)
    arguments = tuple(str(READ_ONLY / word) if word == command.output else word for word in command.arguments)
    code, printed = _run(arguments, folder)
    title = f"{command.name}: read-only folder"
    if code not in (1, 2) or "Traceback" in printed or not printed.splitlines()[-1].startswith("dvspipe: "):
        raise FaultError(f"{title}: exit code {code}: {printed}")

    return title


def _run(arguments: tuple[str, ...], folder: Path, **options: object) -> tuple[int, str]:
    with start(arguments, folder, **options) as running:
        try:
            _, printed = running.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            running.kill()
            raise FaultError(f"{' '.join(arguments)}: hangs") from None
    return running.returncode, printed
