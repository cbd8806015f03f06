"""Dependencies: their licences and versions, and the imports of commands."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

ROOT = Path(__file__).parents[2]


def dependencies() -> list[str]:
    return list(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"])


def modules_after(*command: str, folder: Path) -> set[str]:
    """Run a command in a process of its own, and return the modules that it has imported."""
    code = "import sys; from dvspipe.cli.app import main\n" + (
        f"sys.argv[1:] = {[*command]}\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


def find_installed(names: Sequence[str]) -> dict[str, importlib.metadata.Distribution]:
    """Return the installed packages of these names, with all that they require without extras."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [*names]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue

        found[name] = importlib.metadata.distribution(name)
        required = map(Requirement, found[name].requires or ())
        waiting += [each.name for each in required if not each.marker or each.marker.evaluate({"extra": ""})]

    return found


def describe_licence(package: importlib.metadata.Distribution) -> str:
    """Return the beginning of each licence field, classifier and licence file of a package, without bundled parts."""
    names = ("License", "License-Expression", "Classifier")
    fields = [text for name in names for text in package.metadata.get_all(name) or ()]
    pattern = re.compile(r"[^/]+\.dist-info/(licenses/)?(LICEN|COPYING)[^/]*")
    paths = [path for path in package.files or () if pattern.fullmatch(path.as_posix())]
    return "\n".join(text[:200] for text in [*fields, *(path.read_text(encoding="utf-8") for path in paths)])


def test_readme_names_every_copyleft_dependency() -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Licence")[2].lower()
    packages = find_installed([Requirement(line).name for line in dependencies()])
    mark = re.compile(r"\bL?GPL|\bMPL|GENERAL PUBLIC")
    copyleft = [name for name, package in packages.items() if mark.search(describe_licence(package))]
    assert {"tonic", "norse", "faery", "expelliarmus", "importrosbag", "soxr"} <= {*copyleft}
    assert [name for name in copyleft if name not in section] == []


def test_help_imports_no_library_of_arrays_or_models(tmp_path: Path) -> None:
    loaded = modules_after("--help", folder=tmp_path)
    assert loaded.isdisjoint({"ctypes", "numba", "numpy", "pydantic", "rich.progress", "torch"})


def test_conversion_imports_no_other_stage(tmp_path: Path) -> None:
    write_video(tmp_path / "a.webm", [Frame(40_000 * k, np.full((24, 32), 40 + 20 * k, np.uint8)) for k in range(5)])
    command = ["convert", "a.webm", "-o", "a.h5", "--overwrite"]
    modules_after(*command, folder=tmp_path)  # compiles missing kernels
    loaded = modules_after(*command, folder=tmp_path)
    assert {"numba", "dvspipe.simulator.crossings"} <= loaded
    assert loaded.isdisjoint({"dvspipe.networks", "dvspipe.results.training"})
    assert {name for name in loaded if name.startswith("dvspipe.report.")} == {"dvspipe.report.plugin"}
    assert loaded.isdisjoint({"matplotlib", "torch"})


def test_constraints_satisfy_the_project_dependencies() -> None:
    lines = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = [extra for line in extras["dev"] if line.startswith("dvspipe[") for extra in line[8:-1].split(",")]
    wanted = [*dependencies(), *(line for extra in ("dev", *named) for line in extras[extra])]
    for requirement in map(Requirement, wanted):
        if requirement.name != "dvspipe":
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize("name", ["gradio", "numba", "opencv-python"])
def test_fragile_dependencies_have_an_upper_bound(name: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (found,) = (each for each in map(Requirement, [*dependencies(), *extras["app"]]) if each.name == name)
    assert any(each.operator == "<" for each in found.specifier)


@pytest.mark.parametrize(
    "command",
    [
        *("cut", "convert", "info", "check", "compare", "infer", "train", "live", "learn", "view"),
        *("frames", "track", "spikes"),
    ],
)
def test_help_loads_neither_kernels_nor_decoders(command: str, tmp_path: Path) -> None:
    loaded = modules_after(command, "--help", folder=tmp_path)
    assert loaded & {"numpy", "cyclopts"}
    assert not loaded & {"numba", "h5py", "cv2", "torch"}
