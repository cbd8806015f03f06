"""The pipeline works without its extras: delete a folder, and only its feature is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import moving_bar

from dvspipe.formats import write
from dvspipe.hooks import PACKAGE, plugins
from dvspipe.video.frames import frames_from_arrays
from dvspipe.video.writing import write_video

COMMANDS = {
    "app": "app",
    "integers": "quantise",
    "oneshot": "learn",
    "people": "track",
    "report": "view",
    "streaming": "live",
    "synthesis": "demo",
}
"""Extras, and a command of each."""
EXTRAS = tuple(COMMANDS)
WITHOUT_LIBRARIES = """
import sys
sys.modules |= dict.fromkeys(("gradio",))  # libraries of extras: importing them raises ImportError
from dvspipe.__main__ import main
if __name__ == "__main__":
    main()
"""
LOADED = "\nimport sys; print(*sys.modules)"


def copy_without(extras: tuple[str, ...], folder: Path) -> Path:
    """Copy the package, as links, without some folders."""
    package = folder / "dvspipe"
    package.mkdir(parents=True)
    for path in PACKAGE.iterdir():
        if path.name not in (*extras, "__pycache__"):
            (package / path.name).symlink_to(path)
    return folder


def run(arguments: list[str], copied: Path, cwd: Path) -> str:
    """Run Python on a copy of the package, and return its output."""
    environment = os.environ | {"PYTHONPATH": str(copied)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_extras_are_the_folders_with_a_plugin() -> None:
    assert tuple(sorted(file.parent.name for file in PACKAGE.glob("*/plugin.py"))) == EXTRAS
    names = {name for name, _ in plugins().list_name_plugin()}
    assert {f"dvspipe.{extra}.plugin" for extra in EXTRAS} <= names


@pytest.mark.slow
def test_pipeline_converts_trains_and_infers_without_any_extra(tmp_path: Path) -> None:
    copied = copy_without(EXTRAS, tmp_path / "copied")
    pictures = np.random.default_rng(0).integers(0, 256, (40, 48, 64), np.uint8)
    write_video(tmp_path / "film.webm", frames_from_arrays(list(pictures), fps=30))
    for number in range(10):
        write(tmp_path / "data" / "ab"[number % 2] / f"{number}x.h5", moving_bar(number % 2, number, windows=5))

    def dvspipe(*words: str) -> str:
        return run(["-c", WITHOUT_LIBRARIES, *words], copied, tmp_path)

    dvspipe("convert", "film.webm", "-o", "film.h5")
    dvspipe("train", "data", "-o", "run", "epochs=2", "jobs=1")
    assert "0x.h5" in dvspipe("infer", "run", "data/a/0x.h5", "-o", "answers")
    dvspipe("infer", "gesture", "film.webm", "-o", "films")
    assert (tmp_path / "answers" / "predictions.csv").is_file()
    assert not [*tmp_path.glob("*/report.html")]


@pytest.mark.slow
@pytest.mark.parametrize("extra", EXTRAS)
def test_pipeline_works_without_one_extra(extra: str, tmp_path: Path) -> None:
    copied = copy_without((extra,), tmp_path / "copied")
    write(tmp_path / "bar.h5", moving_bar(0, 0, windows=20))
    infer = ["infer", "nmnist-synthetic", "bar.h5", "--fit", "scale", "-o", "answers"]
    assert "bar.h5" in run(["-m", "dvspipe", *infer], copied, tmp_path)

    commands = run(["-m", "dvspipe", "--help"], copied, tmp_path)
    assert "│ infer " in commands
    assert f"│ {COMMANDS[extra]} " not in commands


@pytest.mark.parametrize(("name", "extra"), [("live", "streaming"), ("plot", "report"), ("learn", "oneshot")])
def test_function_of_a_missing_extra_names_it(name: str, extra: str, tmp_path: Path) -> None:
    code = f"""
import dvspipe
for find in (lambda: dvspipe.{name}, lambda: exec("from dvspipe import {name}")):
    try:
        find()
    except ImportError as error:
        print(error)
"""
    said = run(["-c", code], copy_without((extra,), tmp_path / "copied"), tmp_path).splitlines()
    assert said == [f"dvspipe.{name} belongs to the extra {extra}, which is not installed"] * 2


def test_help_loads_plugins_of_extras_and_no_heavy_library(tmp_path: Path) -> None:
    code = "import sys; from dvspipe.__main__ import main; sys.argv = ['dvspipe', '--help']; main()"
    loaded = run(["-c", code + LOADED], PACKAGE.parent, tmp_path).splitlines()[-1].split()
    assert not {"cv2", "h5py", "numba", "numpy", "torch"} & {*loaded}
    of_extras = {name for name in loaded if name.split(".")[1:2] and name.split(".")[1] in EXTRAS}
    expected = {f"dvspipe.{extra}" for extra in EXTRAS} | {f"dvspipe.{extra}.plugin" for extra in EXTRAS}
    assert of_extras == expected


def test_public_functions_of_extras_have_their_types() -> None:
    """The stub of the package lists for editors what the hook `functions` has."""
    stub = (PACKAGE / "__init__.pyi").read_text(encoding="utf-8")
    for functions in plugins().hook.functions():
        for name, place in functions.items():
            module, _, attribute = place.partition(":")
            assert f"from {module} import {attribute} as {name}\n" in stub
