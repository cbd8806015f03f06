"""Run every command of the installed dvspipe: `python scripts/smoke.py [convert]`; exit code 1 if one fails.

With `convert`, it runs only the commands that work without torch, in an environment with requirements/convert.txt.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

VIDEO = Path(__file__).parents[1] / "docs" / "images" / "gesture.gif"

LIGHT: Mapping[str, Sequence[str]] = {
    "warmup": (),
    "doctor": (),
    "convert": (str(VIDEO), "-o", "events.h5"),
    "info": ("events.h5",),
    "check": ("events.h5",),
    "view": ("events.h5", "-o", "sheet.png"),
    "frames": ("events.h5", "-o", "frames", "--every-us", "100000"),
    "cut": ("events.h5", "-o", "part.h5", "--start-s", "0.1", "--stop-s", "0.6"),
    "merge": ("part.h5", "events.h5", "-o", "both.h5", "--gap-us", "1000"),
    "filter": ("events.h5", "-o", "filtered.h5", "--refractory-us", "1000", "--hot-pixels"),
    "compare": ("events.h5", "filtered.h5", "-o", "compare.html"),
    "infer": ("gesture-films", "events.h5", "--engine", "integer", "-o", "integers"),
    "live": ("events.h5", "nmnist-synthetic", "--engine", "integer", "--fit", "scale", "--speed", "100"),
    "spikes": (str(VIDEO.parent / "grey2x2.png"), "--steps", "20", "-o", "raster.png"),
    "configs list": (),
    "configs show": ("nmnist",),
    "configs copy": ("nmnist", "mine.yaml"),
}
"""Arguments of the commands that work without torch. Commands read outputs of earlier commands."""

CLASSES: Mapping[str, Sequence[str]] = {"early": ("0", "0.3", "0.6"), "late": ("0.9", "1.2", "1.5")}
"""Classes of the data set for `HEAVY`, with the starts of their recordings in seconds."""

HEAVY: Mapping[str, Sequence[str]] = {
    "neuron": ("-o", "neuron.png"),
    "synth gestures": ("-o", "made", "--people", "1", "--clips", "1"),
    "data list": (),
    "data stats": ("data.root=classes",),
    "data check": ("data.root=classes",),
    "data encode": ("data.root=classes",),
    "train": ("classes", "name=smoke", "optimiser.epochs=1"),
    "evaluate": ("runs/train/smoke", "data.root=classes", "--part", "all"),
    "infer": ("gesture-films", "events.h5", "-o", "answers"),
    "adapt": ("gesture-films", "made", "-o", "adapted.safetensors"),
    "manifest": ("folder",),
    "demo": ("--minutes", "0"),
}
"""Arguments of the commands that need torch."""

REFUSED: Mapping[str, Sequence[str]] = {
    "app": ("--host", "0.0.0.0"),  # no password, and no gradio in an environment without extras
    "calibrate": ("events.h5", "-o", "sensor.yaml"),  # the file has no frames
    "export": ("nowhere.safetensors", "-o", "net.nir"),
    "synth nmnist": ("--mnist", "nowhere", "-o", "digits"),  # needs MNIST
}
"""Arguments that cause a one-line error and exit code 2."""


def run(*arguments: str, folder: str, code: int = 0) -> bool:
    """Run dvspipe in a folder, print the output on failure, and return whether the exit code is `code`."""
    command = [sys.executable, "-m", "dvspipe", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    is_right = done.returncode == code
    fault = "" if is_right else f"-> {done.returncode}, expected {code}\n{done.stdout}{done.stderr}"
    print("dvspipe", *arguments, fault)
    return is_right


def all_commands() -> set[str]:
    """Return the names of all commands of the installed dvspipe."""
    from dvspipe.cli.app import app

    commands = set()
    for name in _without_options(app):
        inner = _without_options(app[name])
        commands |= {f"{name} {subcommand}" for subcommand in inner} if inner else {name}

    return commands


def _without_options(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith("-")]


def main() -> int:
    """Run the commands in a temporary folder; return 1 if a command fails or is missing here."""
    has_torch = sys.argv[1:] != ["convert"]
    is_right = True
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in LIGHT.items():
            is_right &= run(*name.split(), *arguments, folder=folder)

        if not has_torch:
            # A command that needs torch must explain that.
            is_refused = run("neuron", "-o", "neuron.png", folder=folder, code=2)
            return 0 if is_right and is_refused else 1

        for label, starts in CLASSES.items():
            Path(folder, "classes", label).mkdir(parents=True)
            for start in starts:
                span = ("--start-s", start, "--stop-s", f"{float(start) + 0.25:.2f}")
                is_right &= run("cut", "events.h5", *span, "-o", f"classes/{label}/{start}.h5", folder=folder)

        is_right &= run("convert", "events.h5", "part.h5", "-o", "folder", folder=folder)
        for name, arguments in HEAVY.items():
            is_right &= run(*name.split(), *arguments, folder=folder)

        for name, arguments in REFUSED.items():
            is_right &= run(*name.split(), *arguments, folder=folder, code=2)

    missing = all_commands() - {*LIGHT, *HEAVY, *REFUSED}
    if missing:
        print("commands without arguments here:", *sorted(missing))

    return 0 if is_right and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
