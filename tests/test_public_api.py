"""The names that `import dvspipe` offers, and what importing costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dvspipe


def loaded_by(code: str) -> set[str]:
    """Top-level modules in sys.modules after some code, in a fresh interpreter."""
    report = "\nimport sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("name", dvspipe.__all__)
def test_a_public_name_loads_and_is_documented(name: str) -> None:
    assert getattr(dvspipe, name).__doc__
    assert name in dir(dvspipe)


def test_the_three_jobs_have_public_names() -> None:
    assert {"convert_video", "train", "Classifier"} <= set(dvspipe.__all__)


def test_types_are_shipped() -> None:
    assert (Path(dvspipe.__file__).parent / "py.typed").is_file()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="evnets"):
        dvspipe.evnets  # type: ignore[attr-defined] # noqa: B018


def test_importing_dvspipe_loads_nothing_heavy() -> None:
    assert not loaded_by("import dvspipe") & {"torch", "tonic", "norse", "numba", "cv2", "h5py", "numpy", "matplotlib"}


def test_reading_and_simulating_load_neither_torch_nor_tonic() -> None:
    assert not loaded_by("from dvspipe import read, simulate, convert_video, encode_events") & {"torch", "tonic"}
