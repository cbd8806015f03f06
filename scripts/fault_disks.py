"""Runs commands that cannot write: the disk is full after some bytes, or the folder is read-only."""

from __future__ import annotations

import random
import resource
import subprocess
from functools import partial
from pathlib import Path

from fault_commands import LIMIT_S, Command, start
from fault_kills import FaultError, Killer

READ_ONLY = Path("/sys")  # also for root


def fill_disk(killer: Killer, command: Command, rng: random.Random) -> str:
    """Run a command whose files may not be longer than some bytes, repeat it without that, and say what was done.

    Raises:
        FaultError: It does not say so with one line, leaves something, or the repetition makes another output.
    """
    folder = killer.new_folder(command.name)
    most = int(10 ** rng.uniform(2, 5))
    what = f"{command.name}: files of at most {most} bytes"
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    code, said = _run(command.arguments, folder, preexec_fn=limit)
    lines = said.splitlines()
    if "Traceback" in said or code not in (0, 1, 2) or (code and not lines[-1].startswith("dvspipe: ")):
        raise FaultError(f"{what}: exit code {code}: {said}")
    if code == 2 and command.repeated is None and (folder / command.output).exists():
        raise FaultError(f"{what}: exit code 2, but {command.output} exists")
    try:
        killer.complete(command, folder)
    except FaultError as error:
        raise FaultError(f"{what}: {error}") from error
    return what


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
