"""Inject faults into the command line: `python scripts/faults/faults.py --kills 200 --mutations 3000`.

Exit code 1 if there are findings.

- Kills: a command is killed (KILL, TERM) or interrupted (INT, as by Ctrl-C) once or twice at random times, and then
  repeated. Its output must equal the undisturbed output, without additional files. An interrupted command must exit
  soon with one line, exit code 130 and no remaining process.
- Disks: a command writes to a full disk or to a read-only folder.
- Mutations: a command reads a corrupted file in limited memory. It must exit soon, without a traceback, and with one
  line if it fails. `fuzz_formats.py` checks the readers of recordings further.

The seed determines the faults. The effect of a kill also depends on the speed of the machine.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))  # contains encoders.py
sys.path.insert(0, str(Path(__file__).parent))

from fault_commands import COMMANDS, Command, make_inputs
from fault_disks import fill_disk, write_to_read_only
from fault_kills import FaultError, Killer
from fault_mutations import Mutations
from fuzz_formats import run_cases
from fuzz_seeds import make_seeds

MUTATION_LIMIT_S = 60


def disturb(killer: Killer, commands: Sequence[Command], kills: int, seed: int) -> Iterator[tuple[str, str, bool]]:
    """Yield the kind of each fault, a description with the result, and whether it is a finding."""
    for number in range(kills):
        command = commands[number % len(commands)]
        rng = random.Random(f"{seed} {number}")
        yield "kill", *_try(lambda command=command, rng=rng: killer.disturb(command, rng))
        if number % 5 == 0:
            yield "full disk", *_try(lambda command=command, rng=rng: fill_disk(killer, command, rng))
    for command in commands if kills >= len(commands) else ():
        yield "read-only folder", *_try(lambda command=command: write_to_read_only(killer, command))


def _try(work: Callable[[], str]) -> tuple[str, bool]:
    try:
        return work(), False
    except FaultError as error:
        return str(error), True


def mutate(mutations: Mutations, count: int) -> Iterator[tuple[str, str, bool]]:
    """Yield the same for mutations of files."""
    for number, verdict in run_cases(mutations, range(count), limit_s=MUTATION_LIMIT_S):
        text = f"{number} {verdict.format}: {verdict.message or verdict.kind}"
        yield "mutation", text, verdict.kind == "finding"


def find_faults(
    folder: Path, commands: Sequence[Command], *, kills: int, mutations: int, seed: int = 0, data: Path | None = None
) -> Iterator[tuple[str, str, bool]]:
    """Yield kind, description and whether it is a finding, for all faults.

    Args:
        folder: Folder for inputs and outputs.
        commands: Commands to disturb.
        kills: Number of kills.
        mutations: Number of mutations.
        seed: Random seed of both.
        data: Folder of real recordings.
    """
    inputs = folder / "inputs"
    outputs = folder / "outputs"
    make_inputs(inputs)
    outputs.mkdir()
    if kills:
        yield from disturb(Killer(inputs, outputs), commands, kills, seed)
    if mutations:
        yield from mutate(Mutations(inputs, make_seeds(data), seed), mutations)


def main() -> None:
    names = [command.name for command in COMMANDS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--mutations", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="*", choices=names, default=names, help="commands to kill (default: all)")
    parser.add_argument("--verbose", "-v", action="store_true", help="print all faults, not only findings")
    arguments = parser.parse_args()
    data = os.environ.get("DVSPIPE_TEST_DATA")
    done: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    commands = [command for command in COMMANDS if command.name in arguments.commands]

    with tempfile.TemporaryDirectory(prefix="dvspipe-faults-") as folder, chdir(folder):
        for kind, text, is_finding in find_faults(
            Path(folder),
            commands,
            kills=arguments.kills,
            mutations=arguments.mutations,
            seed=arguments.seed,
            data=Path(data) if data else None,
        ):
            done[kind] += 1
            findings[kind] += is_finding
            if is_finding or arguments.verbose:
                print(f"{'FOUND ' if is_finding else ''}{kind}: {text}", flush=True)

    listed = ", ".join(f"{count} of {kind} ({findings[kind]} findings)" for kind, count in done.items())
    print(f"{listed or 'no faults injected'}; seed {arguments.seed}")
    sys.exit(findings.total() > 0)


if __name__ == "__main__":
    main()
