"""Dependencies: their licences and versions, and the imports of commands."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

ROOT = Path(__file__).parents[2]
MOST_REQUIRED = 18
COMPANIONS = frozenset({"apsw", "backports", "lz4", "pydantic_core", "ruamel", "starlette"})
"""Libraries that come with a declared one: with rosbags, pydantic and gradio."""
NOT_REQUIRED = ("filelock", "isal", "lazy_loader", "sklearn")
TOOLS = frozenset({"dev", "docs"})


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def dependencies() -> list[str]:
    return list(project()["dependencies"])


def extras() -> dict[str, list[str]]:
    """Return the libraries of each extra; `dev` and `full` also name extras."""
    return dict(project()["optional-dependencies"])


def imported_libraries(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
    return found - sys.stdlib_module_names - {"dvspipe"}


def modules_after(*command: str, folder: Path) -> set[str]:
    """Run a command in a process of its own, and return the modules that it has imported."""
    code = "import sys; from dvspipe.cli.app import main\n" + (
        f"sys.argv[1:] = {[*command]}\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


def test_required_libraries_are_few_and_imported_libraries_declared() -> None:
    assert len(dependencies()) == MOST_REQUIRED
    declared = {*dependencies(), *(line for name in extras().keys() - TOOLS for line in extras()[name])}
    names = {canonicalize_name(Requirement(line).name) for line in declared}
    homes = importlib.metadata.packages_distributions()
    for path in (ROOT / "dvspipe").rglob("*.py"):
        for library in imported_libraries(path) - COMPANIONS:
            packages = {canonicalize_name(name) for name in homes.get(library, [library])}
            assert packages & names, f"{path.relative_to(ROOT)} imports {library}"


def test_package_is_imported_without_libraries_that_are_not_required() -> None:
    code = f"""
import importlib, pkgutil, sys
sys.modules |= dict.fromkeys({NOT_REQUIRED})  # importing them raises ImportError
import dvspipe
names = [module.name for module in pkgutil.walk_packages(dvspipe.__path__, "dvspipe.")]
for name in names:
    if not name.startswith("dvspipe.app"):  # gradio needs filelock
        importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_conversion_imports_no_other_stage(tmp_path: Path) -> None:
    write_video(tmp_path / "a.webm", [Frame(40_000 * k, np.full((24, 32), 40 + 20 * k, np.uint8)) for k in range(5)])
    command = ["convert", "a.webm", "-o", "a.h5", "--overwrite"]
    modules_after(*command, folder=tmp_path)  # compiles missing kernels
    loaded = modules_after(*command, folder=tmp_path)
    assert {"numba", "dvspipe.simulator.crossings"} <= loaded
    assert loaded.isdisjoint({"dvspipe.networks", "dvspipe.results.training"})
    assert {name for name in loaded if name.startswith("dvspipe.report.")} == {"dvspipe.report.plugin"}
    assert loaded.isdisjoint({"matplotlib", "torch"})
    for other in (["info", "a.h5"], ["view", "a.h5", "-o", "a.png"]):
        assert modules_after(*other, folder=tmp_path).isdisjoint({"tonic", "torch"})


def test_constraints_satisfy_the_project_dependencies() -> None:
    lines = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    named = [extra for line in extras()["dev"] if line.startswith("dvspipe[") for extra in line[8:-1].split(",")]
    wanted = [*dependencies(), *(line for extra in ("dev", *named) for line in extras()[extra])]
    for requirement in map(Requirement, wanted):
        if requirement.name != "dvspipe":
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement
