"""Run every command of the installed dvspipe and of README.md: `python scripts/smoke.py`.

The exit code is 1 if one fails.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).parents[1]
VIDEO = ROOT / "docs" / "images" / "gesture.gif"
LIST = "lists.csv"
FENCE = re.compile(r"^```.*$", re.MULTILINE)
BLOCK_COMMAND = re.compile(r"^dvspipe (.+)$", re.MULTILINE)
INLINE_COMMAND = re.compile(r"`dvspipe ([^`]+)`")
README_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)

LIGHT: Mapping[str, Sequence[str]] = {
    "doctor": (),
    "convert": (str(VIDEO), "-o", "events.h5"),
    "info": ("events.h5",),
    "view": ("events.h5", "-o", "sheet.png"),
    "frames": ("events.h5", "-o", "frames", "--every-us", "100000"),
    "cut": ("events.h5", "-o", "part.h5", "--start-s", "0.1", "--stop-s", "0.6"),
    "merge": ("part.h5", "events.h5", "-o", "both.h5", "--gap-us", "1000"),
    "filter": ("events.h5", "-o", "filtered.h5", "--refractory-us", "1000", "--hot-pixels"),
    "compare": ("events.h5", "filtered.h5"),
    "live": ("nmnist-synthetic", "events.h5", "--fit", "scale", "--speed", "100"),
    "track": (str(VIDEO), "-o", "joints.csv"),
    "configs": ("nmnist", "-o", "mine.yaml"),
}
"""Arguments of commands that need no data set. Commands read outputs of earlier commands."""

CLASSES: Mapping[str, Sequence[str]] = {"early": ("0", "0.3", "0.6"), "late": ("0.9", "1.2", "1.5")}
"""Classes of the data set for `HEAVY`, with the starts of their recordings in seconds."""

HEAVY: Mapping[str, Sequence[str]] = {
    "synth gestures": ("-o", "made", "--people", "1", "--clips", "1"),
    "data stats": ("classes",),
    "data convert": ("films", "-o", "listed", "--splits", LIST, "--stop-s", "0.2"),
    "data verify": ("listed",),
    "train": ("classes", "name=smoke", "epochs=1"),
    "evaluate": ("runs/train/smoke", "classes", "--part", "all"),
    "quantise": ("runs/train/smoke", "classes", "--part", "all", "-o", "quantised.safetensors"),
    "infer": ("gesture", "events.h5", "-o", "answers"),
    "adapt": ("gesture", "made", "-o", "adapted.safetensors"),
    "demo": ("--minutes", "0"),
}
"""Arguments of commands that train or need a data set."""

REFUSED: Mapping[str, Sequence[str]] = {
    "app": ("--host", "0.0.0.0"),  # no password, and no gradio in an environment without extras
    "calibrate": ("events.h5", "-o", "sensor.yaml"),  # the file has no frames
    "export": ("nowhere.safetensors", "-o", "net.nir"),
    "learn": ("nowhere.mp4", "-o", "learnt"),
    "synth nmnist": ("--mnist", "nowhere", "-o", "digits"),  # needs MNIST
}
"""Arguments that cause a one-line error and exit code 2."""


def run(*arguments: str, folder: str | Path, code: int = 0, module: str = "dvspipe") -> bool:
    """Run dvspipe in a folder, print the output on failure, and return whether the exit code is `code`."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    is_right = done.returncode == code
    fault = "" if is_right else f"-> {done.returncode}, expected {code}\n{done.stdout}{done.stderr}"
    print(module, *arguments, fault, flush=True)
    return is_right


def run_readme(folder: Path, classes: Path) -> bool:
    """Run the commands and the Python code of README.md in a new folder with the files that they name."""
    folder.mkdir()
    shutil.copytree(classes, folder / "DIR")
    for name in ("VIDEO.mp4", "dvspipe/app/sample.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(files("dvspipe") / "app" / "sample.mp4"), folder / name)

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = []
    for number, part in enumerate(FENCE.split(text)):
        pattern = BLOCK_COMMAND if number % 2 else INLINE_COMMAND
        commands += [shlex.split(words, comments=True) for words in pattern.findall(part)]

    is_right = len(commands) > 3
    for command in commands:
        is_right &= run(*command, folder=folder)

    for number, block in enumerate(README_PYTHON.findall(text)):
        (folder / f"block{number}.py").write_text(block, encoding="utf-8")
        is_right &= run(module=f"block{number}", folder=folder)

    return is_right


def all_commands() -> set[str]:
    """Return the names of all commands of the installed dvspipe."""
    from dvspipe.cli.app import list_commands

    return {command.name for command in list_commands()}


def main() -> int:
    """Run the commands in a temporary folder; return 1 if a command fails or is missing here."""
    is_right = True
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in LIGHT.items():
            is_right &= run(*name.split(), *arguments, folder=folder)

        for label, starts in CLASSES.items():
            Path(folder, "classes", label).mkdir(parents=True)
            for start in starts:
                span = ("--start-s", start, "--stop-s", f"{float(start) + 0.25:.2f}")
                is_right &= run("cut", "events.h5", *span, "-o", f"classes/{label}/{start}.h5", folder=folder)

        is_right &= run("convert", "events.h5", "part.h5", "-o", "folder", folder=folder)
        Path(folder, "films").mkdir()
        shutil.copy(VIDEO, Path(folder, "films"))
        Path(folder, LIST).write_text(f"file,class,part\n{VIDEO.name},wave,test\n", encoding="utf-8")

        for name, arguments in HEAVY.items():
            is_right &= run(*name.split(), *arguments, folder=folder)

        for name, arguments in REFUSED.items():
            is_right &= run(*name.split(), *arguments, folder=folder, code=2)

        is_right &= run_readme(Path(folder, "readme"), Path(folder, "classes"))

    missing = all_commands() - {*LIGHT, *HEAVY, *REFUSED}
    if missing:
        print("commands without arguments here:", *sorted(missing))

    return 0 if is_right and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
