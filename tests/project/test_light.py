"""Commands that convert and show recordings run without torch, with requirements/convert.txt."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import types
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from facts import mentions
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dvspipe.checkpoints.checkpoint import SHIPPED
from dvspipe.cli.app import LEFT_OUT
from dvspipe.events import Events, SensorSize
from dvspipe.formats import write
from dvspipe.inference import Classifier
from dvspipe.results import RecordingResult
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

ROOT = Path(__file__).parents[2]
MODULES = {"scikit-learn": "sklearn"}  # packages whose module has another name
WITHOUT = """
import sys
class NotInstalled:
    def find_spec(self, name, *_):
        if name in {names}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, NotInstalled())
from dvspipe.cli.app import main
for command in {commands}:
    sys.argv = ["dvspipe", *command]
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            raise
    finally:
        print("ended", *command)
"""


def requirements() -> list[str]:
    lines = (ROOT / "requirements" / "convert.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def dependencies() -> list[str]:
    return list(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"])


def run(*commands: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run commands in one process, up to the first one that fails."""
    code = WITHOUT.format(names=sorted(LEFT_OUT), commands=[*map(list, commands)])
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


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


def test_convert_requirements_are_a_subset_of_the_dependencies() -> None:
    left_out = set(dependencies()) - set(requirements())
    assert set(requirements()) <= set(dependencies())
    names = {re.split(r"[><=]", line)[0] for line in left_out}
    assert {MODULES.get(name, name) for name in names} == LEFT_OUT


def test_help_imports_no_library_of_arrays_or_models(tmp_path: Path) -> None:
    loaded = modules_after("--help", folder=tmp_path)
    assert loaded.isdisjoint({"ctypes", "numba", "numpy", "pydantic", "rich.progress", "torch"})


def test_conversion_imports_no_compiler_and_no_other_stage(tmp_path: Path) -> None:
    write_video(tmp_path / "a.webm", [Frame(40_000 * k, np.full((24, 32), 40 + 20 * k, np.uint8)) for k in range(5)])
    command = ["convert", "a.webm", "-o", "a.h5", "--overwrite"]
    run(command, folder=tmp_path)  # compiles missing kernels
    loaded = modules_after(*command, folder=tmp_path)
    assert {"numba", "dvspipe.simulator.crossings"} <= loaded
    assert loaded.isdisjoint({"dvspipe.networks", "dvspipe.report", "dvspipe.results.training"})
    assert loaded.isdisjoint({"matplotlib", "numba.np.linalg", "scipy.linalg", "torch"})


def test_command_without_torch_fails_with_one_line(tmp_path: Path) -> None:
    done = run(["neuron", "-o", "neuron.png"], folder=tmp_path)
    assert done.returncode == 2
    assert "torch" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def write_noise(path: Path) -> None:
    rng = np.random.default_rng(0)
    t, (x, y) = np.arange(0, 300_000, 300), rng.integers(0, 34, (2, 1000))
    write(path, Events(t, x, y, rng.integers(0, 2, 1000), SensorSize(width=34, height=34)))


def test_recording_is_classified_in_integers_without_torch(tmp_path: Path) -> None:
    write_noise(tmp_path / "a.h5")
    command = ["infer", "nmnist-synthetic", "a.h5", "--json"]
    done = run([*command, "--engine", "integer"], [*command], [*command, "--stateful"], folder=tmp_path)
    assert done.returncode == 0, done.stderr
    forced, replaced, _ = [RecordingResult.model_validate_json(each) for each in done.stdout.splitlines()[::2]]
    expected = Classifier.load("nmnist-synthetic", engine="integer").predict(tmp_path / "a.h5")
    assert forced.answer.probabilities == replaced.answer.probabilities == expected.probabilities
    assert mentions(done.stderr, "nmnist-synthetic", "torch")


def test_checkpoint_without_integers_is_one_line_without_torch(tmp_path: Path) -> None:
    write_noise(tmp_path / "a.h5")
    done = run(["infer", str(SHIPPED / "nmnist-synthetic.safetensors"), "a.h5"], folder=tmp_path)
    assert done.returncode == 2
    assert mentions(done.stderr, "nmnist-synthetic.safetensors", "torch")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_conversion_commands_run_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    smoke: types.ModuleType = importlib.import_module("smoke")
    assert {"convert", "view", "info", "check", "cut"} <= set(smoke.LIGHT)
    commands = [[*name.split(), *arguments] for name, arguments in smoke.LIGHT.items()]
    done = run(*commands, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("ended ")] == [
        " ".join(["ended", *command]) for command in commands
    ]


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
