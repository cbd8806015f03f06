"""Corrupt the input files of commands. A command must use such a file, or refuse it with one line."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import random
import re
import shutil
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz_cases import MUTATIONS
from fuzz_formats import Verdict
from fuzz_seeds import Seed

from dvspipe.checkpoints.checkpoint import read_tensors, write_tensors
from dvspipe.cli.app import main

EXTREME_WEIGHTS = (0.0, -1.0, 1e-45, 1e11, -1e11, 1e38, float("nan"), float("inf"))
EXTREME_NUMBERS: tuple[Any, ...] = (0, -1, 1e-30, 1e30, 10**9, 99_999, None, "x", [], True)
VIDEOS = ("webm", "avi", "mp4", "gif")


@dataclass(frozen=True)
class Target:
    """File to change, and the command that reads it.

    Args:
        name: Kind of file.
        source: Unchanged file, relative to the inputs.
        arguments: Arguments of `dvspipe`: FILE is the changed file, IN the inputs, RUN a copy of the run.
        weight: Relative frequency.
    """

    name: str
    source: str
    arguments: str
    weight: int = 1


INFER = "infer IN/best.safetensors"
TARGETS = (
    *(Target(f"video .{suffix}", f"clip.{suffix}", "convert FILE -o out.h5", 2) for suffix in VIDEOS),
    Target("checkpoint", "best.safetensors", "infer FILE IN/bars/right/0.h5", 6),
    Target("YAML", "bars.yaml", "train FILE data.root=nowhere", 4),
    Target("YAML", "preset.yaml", "convert IN/clip.webm -o out.h5 --stop-s 0.2 --preset FILE", 3),
    Target("labels", "labels.csv", f"{INFER} IN/bars/right/0.h5 --labels FILE", 4),
    Target("times", "times.csv", "convert IN/clip.webm -o out.h5 --timestamps FILE", 2),
    *(
        Target("run", f"run/{name}", "train IN/bars.yaml data.root=IN/bars --resume -o RUN", 1)
        for name in ("args.yaml", "split.json", "metrics.jsonl", "test.json", "weights/state.safetensors")
    ),
)
RECORDING_COMMANDS = (
    "info FILE",
    "check FILE",
    "convert FILE -o out.h5",
    "convert FILE -o out.csv",
    "view FILE -o out.png",
    "convert FILE -o out.h5 --salvage",
    f"{INFER} FILE --fit crop",
    "filter FILE -o out.npz --refractory-us 1000",
)


@dataclass(frozen=True)
class Mutations:
    """Numbered cases: a command reads a changed file.

    Args:
        inputs: Folder written by `make_inputs`.
        seeds: Recordings of all formats.
        seed: Random seed of the cases.
        address_bytes: Maximum additional address space of a command.
    """

    inputs: Path
    seeds: list[Seed]
    seed: int = 0
    address_bytes: int = 3 << 30

    def prepare(self, folder: Path) -> None:
        """Run every command once on unchanged files."""
        for target in TARGETS:
            _run(self._arguments(target, self.inputs / target.source, folder), folder)
        for command in RECORDING_COMMANDS:
            seed = self.seeds[0]
            (folder / f"seed{seed.suffix}").write_bytes(seed.content)
            _run(command.replace("FILE", f"seed{seed.suffix}").split(), folder)

    def name(self, number: int) -> str:
        """Return the kind of the changed file."""
        return self._choose(random.Random(f"{self.seed} {number}"))[0].name

    def run(self, number: int, folder: Path) -> Verdict:
        """Change a file, run the command, and check its result."""
        rng = random.Random(f"{self.seed} {number}")
        target, seed = self._choose(rng)
        work = folder / "case"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        arguments = self._arguments(target, work / "unused", work)

        try:
            if seed is not None:
                path = work / f"changed{seed.suffix}"
                path.write_bytes(_mutate(rng, seed.content, rng.choice(self.seeds).content))
                arguments = [*self._arguments(target, path, work), *_metadata_options(seed)]
            else:
                path = self._change(rng, target, work)
                arguments = self._arguments(target, path, work)

            kind = _check(arguments, work)
        except _RuleError as error:
            kept = "" if target.name == "run" else f"; {path}"
            return Verdict("finding", target.name, f"{' '.join(arguments)}{kept}: {error}")

        return Verdict(kind, target.name)

    def _choose(self, rng: random.Random) -> tuple[Target, Seed | None]:
        if rng.random() < 0.5:
            seed = rng.choice(self.seeds)
            return Target(seed.format, seed.name, rng.choice(RECORDING_COMMANDS)), seed
        return rng.choices(TARGETS, [target.weight for target in TARGETS])[0], None

    def _change(self, rng: random.Random, target: Target, work: Path) -> Path:
        source = self.inputs / target.source
        if target.name == "run":
            shutil.copytree(self.inputs / "run", work / "run")
            path = work / target.source
        else:
            path = work / f"changed{source.suffix}"

        if source.suffix == ".safetensors" and rng.random() < 0.7:
            _change_checkpoint(rng, source, path)
        else:
            path.write_bytes(_mutate(rng, source.read_bytes(), source.read_bytes()))

        return path

    def _arguments(self, target: Target, file: Path, work: Path) -> list[str]:
        named = {"FILE": str(file), "IN": str(self.inputs), "RUN": str(work / "run")}
        return [re.sub(r"FILE|IN(?=/)|RUN", lambda found: named[found[0]], word) for word in target.arguments.split()]


class _RuleError(Exception):
    """A command broke a rule."""


def _metadata_options(seed: Seed) -> list[str]:
    """Return the options for metadata that the recording lacks: sensor and hints."""
    hints = [(f"--hints.{name.replace('_', '-')}", value) for name, value in seed.hints if value is not None]
    given = [word for option in hints for word in option]
    return [*given, "--sensor", str(seed.sensor)] if seed.sensor else given


def _mutate(rng: random.Random, content: bytes, other: bytes) -> bytes:
    if rng.random() < 0.2:
        return content[: rng.randrange(len(content) + 1)]
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if data:
            rng.choice(MUTATIONS)(rng, data, other)
    return bytes(data)


def _change_checkpoint(rng: random.Random, source: Path, path: Path) -> None:
    """Change a value in the configuration or in the weights, and write the checkpoint with a valid digest."""
    texts, tensors = read_tensors(source, "a checkpoint")
    key = "config" if "config" in texts else "rows"
    if key in texts and rng.random() < 0.6:
        texts = texts | {key: json.dumps(_change_tree(rng, json.loads(texts[key])))}
    else:
        name = rng.choice(sorted(tensors))
        changed = tensors[name].clone()
        flat = changed.view(-1)
        if rng.random() < 0.2:
            changed = changed.flatten()[: max(1, len(flat) // 2)]
        elif flat.dtype.is_floating_point:
            flat[rng.randrange(len(flat)) :] = rng.choice(EXTREME_WEIGHTS)

        tensors = tensors | {name: changed}

    write_tensors(path, texts, tensors)


def _change_tree(rng: random.Random, tree: object) -> object:
    """Return a copy of a settings tree with one leaf replaced by an extreme value."""
    if isinstance(tree, dict) and tree:
        key = rng.choice(sorted(tree))
        return tree | {key: _change_tree(rng, tree[key])}
    if isinstance(tree, list) and tree:
        place = rng.randrange(len(tree))
        return [*tree[:place], _change_tree(rng, tree[place]), *tree[place + 1 :]]
    return rng.choice(EXTREME_NUMBERS)


def _check(arguments: list[str], work: Path) -> str:
    """Run a command, and return `used`, `skipped` or `refused`.

    Raises:
        _RuleError: If the command breaks a rule.
    """
    code, out, err = _run(arguments, work)
    if code not in (0, 1, 2):
        raise _RuleError(f"exit code {code}: {err}")

    lines = err.strip().splitlines()
    if code == 2 and not (lines and lines[-1].startswith("dvspipe: ")):
        raise _RuleError(f"exit code 2 with the last line {lines[-1:]}")
    if code != 2 and re.search(r"\bnan\b", out + err, re.IGNORECASE):
        raise _RuleError(f"exit code {code}, output contains NaN: {out}{err}")

    left = [path.name for path in work.rglob(".dvspipe-*")] + [path.name for path in work.glob("*.part")]
    if left:
        raise _RuleError(f"leaves {left}")
    if code == 2 and any(len(line) > 2000 for line in lines):
        raise _RuleError(f"a line of {max(map(len, lines))} characters: {err[:300]}")

    return ("used", "skipped", "refused")[code]


def _run(arguments: list[str], folder: Path) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code, stdout and stderr."""
    out = io.StringIO()
    err = io.StringIO()
    argv = sys.argv
    before = Path.cwd()
    hooks = sys.excepthook, sys.unraisablehook
    sys.argv = ["dvspipe", *arguments]
    os.chdir(folder)

    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    except BaseException as error:  # includes panics of faery's Rust code
        raise _RuleError(traceback.format_exc()) from error
    finally:
        sys.argv, (sys.excepthook, sys.unraisablehook) = argv, hooks
        os.chdir(before)
        logging.getLogger("dvspipe").handlers.clear()

    return code, out.getvalue(), err.getvalue()
