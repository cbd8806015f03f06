"""The public names of `import dvspipe`, and the modules that it loads."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from facts import raises

import dvspipe
from dvspipe import Events
from dvspipe.hooks import PACKAGE

EXTRAS = [file.parent.name for file in PACKAGE.glob("*/plugin.py")]


def test_public_names_load_and_are_documented() -> None:
    names = dir(dvspipe)
    assert {"convert_video", "train", "Classifier"} <= set(names)
    assert [name for name in names if not getattr(dvspipe, name).__doc__] == []


def test_functions_of_paths_accept_strings() -> None:
    """The types say so, and the type checker, that the functions keep to their types."""
    functions = [found for name in dir(dvspipe) if inspect.isfunction(found := getattr(dvspipe, name))]
    parameters = [parameter for found in functions for parameter in inspect.signature(found).parameters.values()]
    of_paths = [str(parameter) for parameter in parameters if "Path" in str(parameter.annotation)]
    assert len(of_paths) > 40
    assert [text for text in of_paths if "str" not in text] == []


def test_sensor_size_may_be_a_tuple_or_a_string(tmp_path: Path) -> None:
    size = dvspipe.SensorSize(width=34, height=20)
    for given in (size, (34, 20), [34, 20], np.array([34, 20]), "34x20"):
        assert dvspipe.SensorSize.of(given) == size  # type: ignore[arg-type]
        assert dvspipe.concatenate([], given) == Events([], [], [], [], given) == Events.empty(size)  # type: ignore[arg-type]
        assert dvspipe.write(tmp_path / f"{type(given).__name__}.csv", [], given) == 0  # type: ignore[arg-type]
    for wrong in ((34,), (34.5, 20), "34", 34, ("a", "b"), (0, 20)):
        with raises(dvspipe.DvspipeError, "sensor"):
            dvspipe.SensorSize.of(wrong)  # type: ignore[arg-type]


def test_unknown_name_is_an_attribute_error() -> None:
    with raises(AttributeError, "evnets"):
        dvspipe.evnets  # type: ignore[attr-defined] # noqa: B018


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import dvspipe; dvspipe.SensorSize", {f"dvspipe.{extra}" for extra in EXTRAS}),
        ("import dvspipe", {"torch", "tonic", "norse", "numba", "cv2", "h5py", "numpy", "matplotlib"}),
        ("from dvspipe import read, simulate, convert_video, encode", {"torch", "tonic"}),
        ("import dvspipe.report", {"matplotlib", "scipy", "PIL", "jinja2", "torch", "numba"}),
    ],
)
def test_imports_do_not_load_heavy_libraries(code: str, heavy: set[str]) -> None:
    report = "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    assert not set(done.stdout.splitlines()[-1].split()) & heavy
