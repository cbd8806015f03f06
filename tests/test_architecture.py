"""The order of modules: each imports only from those before it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ORDER = [
    "errors",
    "config",
    "files",
    "parallel",
    "results",
    "events",
    "correlation",
    "frames",
    "opencv",
    "filters",
    "video",
    "simulator",
    "formats",
    "checking",
    "conversion",
    "comparison",
    "synthesis",
    "encoding",
    "datasets",
    "networks",
    "checkpoint",
    "training",
    "inference",
    "report",
    "export",
    "demo",
    "cli",
]
PACKAGE = Path(__file__).parents[1] / "dvspipe"
ONLY_HOMES = {
    "PIL": {"report"},
    "apsw": {"formats"},
    "cv2": {"opencv"},
    "faery": {"formats"},
    "filelock": {"files"},
    "h5py": {"formats"},
    "hdf5plugin": {"formats"},
    "isal": {"formats"},
    "matplotlib": {"report"},
    "nir": {"export"},
    "norse": {"networks"},
    "numba": {
        "checking",
        "comparison",
        "encoding",
        "filters",
        "formats",
        "inference",
        "networks",
        "simulator",
        "synthesis",
    },
    "onnx": {"export"},
    "onnxruntime": {"export"},
    "onnxscript": {"export"},
    "rich": {"cli"},
    "rosbags": {"formats"},
    "safetensors": {"checkpoint", "training"},
    "scipy": {"comparison", "simulator", "training"},
    "sklearn": {"report", "training"},
    "tonic": {"datasets"},
    "torch": {"networks", "checkpoint", "training", "inference", "export"},
    "triton": {"networks"},
    "typer": {"cli"},
}


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if module_of(path) not in ("__init__", "__main__")]


def imports(path: Path) -> list[str]:
    """Imported names with their package: `dvspipe.events` for `from ..events import Events`."""
    depth = len(path.relative_to(PACKAGE).parts)
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = ["dvspipe", module_of(path)] if depth > 1 else ["dvspipe"]
            base = inside[: len(inside) - node.level + 1] if node.level else []
            home = ".".join([*base, *(node.module or "").split(".")]).rstrip(".")
            found += [home] if node.module and home != "dvspipe" else [f"{home}.{alias.name}" for alias in node.names]
    return found


def test_every_module_has_its_place() -> None:
    assert {module_of(path) for path in sources()} <= set(ORDER)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_modules_before_it(path: Path) -> None:
    own = ORDER.index(module_of(path))
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "dvspipe" and len(parts) > 1 and parts[1] != module_of(path):
            assert ORDER.index(parts[1]) < own, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_library_is_imported_only_where_it_belongs(path: Path) -> None:
    for name in imports(path):
        homes = ONLY_HOMES.get(name.split(".")[0])
        assert homes is None or module_of(path) in homes, f"{path.name} imports {name}"


def test_event_files_need_no_opencv(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["cv2"] = None  # import cv2 raises ImportError
import dvspipe.checking, dvspipe.filters, dvspipe.formats
from dvspipe import Events, SensorSize, read, write
events = Events(t=[0, 5, 9], x=[3, 4, 11], y=[1, 1, 6], p=[True, False, True], sensor=SensorSize(width=12, height=7))
path = {str(tmp_path / "clip.h5")!r}
write(path, events)
assert read(path) == events
assert not dvspipe.checking.check_recording(path).findings
assert len(list(dvspipe.filters.filter_stream([events], dvspipe.filters.FilterConfig(refractory_us=2)))[0]) == 3
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
