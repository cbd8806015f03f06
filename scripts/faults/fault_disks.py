"""Runs commands that cannot write: the disk is full after some bytes, or the folder is read-only.

The full disk is a small file system in memory where one may be mounted, which needs root; else the length of each file
is limited, which HDF5 and OpenCV notice in other places.
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
DISK_BYTES, FILE_BYTES = (4.0, 6.5), (2.0, 5.0)  # powers of ten between which the room on a disk and in a file is
ENOUGH = "1g"  # for every output


def fill_disk(killer: Killer, command: Command, rng: random.Random) -> str:
    """Run a command on a disk with room for some bytes, repeat it on one with enough, and say what was done.

    Raises:
        FaultError: It does not say so with one line, leaves something, or the repetition makes another output.
    """
    killer.undisturbed(command)  # in the same folder, once
    folder = killer.new_folder(command.name)
    room = int(10 ** rng.uniform(*DISK_BYTES))
    with _small_disk(folder, room) as is_mounted:
        if is_mounted:
            what = f"{command.name}: a disk of {room} bytes"
            code, said = _run(command.arguments, folder)
            _mount(folder, f"remount,size={ENOUGH}")
        else:
            most = int(10 ** rng.uniform(*FILE_BYTES))
            what = f"{command.name}: files of at most {most} bytes"
            limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
            code, said = _run(command.arguments, folder, preexec_fn=limit)
        _check_full(killer, command, folder, what, code, said)
    return what


def _check_full(killer: Killer, command: Command, folder: Path, what: str, code: int, said: str) -> None:
    """Check how a command ended on a full disk, and complete it."""
    lines = said.splitlines()
    if "Traceback" in said or code not in (0, 1, 2) or (code and not lines[-1].startswith("dvspipe: ")):
        raise FaultError(f"{what}: exit code {code}: {said}")
    if code == 2 and command.repeated is None and (folder / command.output).exists():
        raise FaultError(f"{what}: exit code 2, but {command.output} exists")
    try:
        killer.complete(command, folder)
    except FaultError as error:
        raise FaultError(f"{what}: {error}") from error


@contextmanager
def _small_disk(folder: Path, room: int) -> Iterator[bool]:
    """Mount a file system with room for some bytes at a folder during the block; yield whether that is allowed."""
    inputs = (folder / "in").readlink()
    if not _mount(folder, f"size={room}"):
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
    """Run a command whose output is in a folder that cannot be written to, and say what was done.

    Raises:
        FaultError: It does not say so with one line.
    """
    folder = killer.new_folder(command.name)
    arguments = tuple(str(READ_ONLY / word) if word == command.output else word for word in command.arguments)
    code, said = _run(arguments, folder)
    what = f"{command.name}: read-only folder"
    if code not in (1, 2) or "Traceback" in said or not said.splitlines()[-1].startswith("dvspipe: "):
        raise FaultError(f"{what}: exit code {code}: {said}")
    return what


def _run(arguments: tuple[str, ...], folder: Path, **options: object) -> tuple[int, str]:
    with start(arguments, folder, **options) as running:
        try:
            _, said = running.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            running.kill()
            raise FaultError(f"{' '.join(arguments)}: hangs") from None
    return running.returncode, said
