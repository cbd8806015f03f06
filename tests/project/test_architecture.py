"""Layered architecture: packages import only from earlier packages, without cycles."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import dvspipe
from dvspipe.cli.app import list_commands

PIPELINE = [
    "base",
    "events",
    "video",
    "results",
    "hooks",
    "simulator",
    "formats",
    "recordings",
    "encoding",
    "framing",
    "datasets",
    "networks",
    "rules",
    "checkpoints",
    "training",
    "inference",
    "cli",
]
EXTRAS = ["report", "people", "synthesis", "integers", "oneshot", "streaming", "app"]
ORDER = PIPELINE + EXTRAS
MAX_ROOMS = 24
OF_COMMANDS = frozenset({"command", "commands", "demo", "window"})
"""Modules of extras that only the command line uses."""
LONGEST_FUNCTION = 60


PACKAGE = Path(__file__).parents[2] / "dvspipe"
ONLY_HOMES = {
    "PIL": {"app", "people", "report"},
    "apsw": {"formats"},
    "cv2": {"video"},
    "cyclopts": {"cli"},
    "docstring_parser": {"cli"},
    "faery": {"formats", "video"},
    "gradio": {"app"},
    "h5py": {"formats"},
    "hdf5plugin": {"formats"},
    "huggingface_hub": {"checkpoints"},
    "jinja2": {"checkpoints", "integers", "report"},
    "matplotlib": {"report"},
    "nir": {"checkpoints"},
    "norse": {"networks", "rules"},
    "numba": {"base", "encoding", "formats", "simulator", "streaming"},  # kernels use `njit` of `base.kernels`
    "onnx": {"checkpoints"},
    "onnxruntime": {"checkpoints", "people"},
    "onnxscript": {"checkpoints"},
    "ray": {"base"},
    "rich": {"cli"},
    "rosbags": {"formats"},
    "safetensors": {"checkpoints", "datasets", "training"},
    "scipy": {"encoding", "events", "recordings", "results", "simulator", "training"},
    "starlette": {"app"},
    "tonic": {"datasets"},
    "torch": {"datasets", "networks", "rules", "checkpoints", "training", "inference", "cli", "people", "integers"},
}


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if module_of(path) not in ("__init__", "__main__")]


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    """All nodes of the syntax tree of a module."""
    return [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


def imports(path: Path) -> list[str]:
    """All imports of a file, also local and for types: `dvspipe.events.Events` for `from ..events import Events`."""
    found = []
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = ["dvspipe", *path.relative_to(PACKAGE).parts[:-1]]
            base = inside[: len(inside) - node.level + 1] if node.level else []
            home = [*base, *(node.module.split(".") if node.module else [])]
            found += [".".join([*home, alias.name]) for alias in node.names]
    return found


def imported_files(path: Path) -> set[Path]:
    """Files of the package imported by a file."""
    return {file_of(name) for name in imports(path) if name.split(".")[0] == "dvspipe"}


@functools.cache
def file_of(name: str) -> Path:
    """File of a module, or of the module that contains a name."""
    place = PACKAGE.joinpath(*name.split(".")[1:])
    found = [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
    return found[0] if found else file_of(name.rpartition(".")[0])


def test_packages_are_few_and_each_has_its_place() -> None:
    assert {module_of(path) for path in sources()} == set(ORDER)
    assert len(ORDER) <= MAX_ROOMS


def test_file_imports_only_from_its_own_and_earlier_packages() -> None:
    for path in sources():
        later = ORDER[ORDER.index(module_of(path)) + 1 :]
        found = {module_of(file) for file in imported_files(path)} & {*later, "__init__", "__main__"}
        assert not found, f"{path.relative_to(PACKAGE)} imports from {found}"


def test_no_room_has_the_name_of_a_public_function() -> None:
    assert not {name for name in ORDER if inspect.isfunction(getattr(dvspipe, name, None))}


def test_there_are_no_import_cycles() -> None:
    files = {path: imported_files(path) for path in PACKAGE.rglob("*.py")}
    try:
        TopologicalSorter(files).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(str(path.relative_to(PACKAGE)) for path in reversed(error.args[1])))


def test_library_is_imported_only_in_its_modules() -> None:
    for path in sources():
        for name in imports(path):
            homes = ONLY_HOMES.get(name.split(".")[0])
            is_command = path.stem in OF_COMMANDS and homes == {"cli"}
            is_home = homes is None or module_of(path) in homes or is_command
            assert is_home, f"{path.relative_to(PACKAGE)} imports {name}"


def test_event_files_are_read_without_opencv(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["cv2"] = None  # import cv2 raises ImportError
import dvspipe.formats
from dvspipe import Events, SensorSize, read, write
from dvspipe.events.filters import FilterConfig, filter_stream
from dvspipe.recordings.info import info
events = Events(t=[0, 5, 9], x=[3, 4, 11], y=[1, 1, 6], p=[True, False, True], sensor=SensorSize(width=12, height=7))
path = {str(tmp_path / "clip.h5")!r}
write(path, events)
assert read(path) == events
assert not info(path).problem
assert len(list(filter_stream([events], FilterConfig(refractory_us=2)))[0]) == 3
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_private_names_are_used_only_in_their_module() -> None:
    for path in sources():
        for node in nodes_of(path):
            if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("dvspipe")):
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"{path.relative_to(PACKAGE)}:{node.lineno} imports {private}"


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """All functions of the package, with their location."""
    for path in sources():
        for node in nodes_of(path):
            if isinstance(node, ast.FunctionDef):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}", node


def test_function_has_at_most_60_lines() -> None:
    """Docstrings, signatures, blank lines and comments are not counted."""
    for place, node in functions():
        first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
        text = (PACKAGE / place.partition(":")[0]).read_text(encoding="utf-8").splitlines()
        body = [line.strip() for line in text[first.lineno - 1 : node.end_lineno]]
        lines = sum(line != "" and line[0] != "#" for line in body)
        assert lines <= LONGEST_FUNCTION, f"{place} has {lines} lines"


def string_literals(path: Path) -> list[ast.Constant]:
    """String constants other than docstrings."""
    documented = {node.value for node in nodes_of(path) if isinstance(node, ast.Expr)}
    constants = (node for node in nodes_of(path) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [node for node in constants if node not in documented]


def test_only_the_command_line_mentions_commands_and_options() -> None:
    """In other code, a message names a parameter: `overwrite`, `fit=scale`. The app shows commands to copy."""
    options = r"(^|[\s\"'(])--[a-z]"
    names = sorted({command.name.split()[0] for command in list_commands()})
    for path in sources():
        if module_of(path) not in ("app", "cli") and path.stem not in OF_COMMANDS:
            commands = rf"|dvspipe ({'|'.join(names)})\b"
            named = [node for node in string_literals(path) if re.search(options + commands, str(node.value))]
            assert not named, [f"{path.name}:{node.lineno} {node.value!r}" for node in named]
