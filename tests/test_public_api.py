"""The names that `import dvspipe` offers, and what importing costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import dvspipe

PUBLIC = {
    "BinConfig", "Classifier", "ConvertConfig", "DvspipeError", "EventSimulator", "Events", "Frame", "SensorSize",
    "SimulatorConfig", "TrainConfig", "VideoSettings", "concatenate", "convert_video", "describe", "encode_events",
    "encode_stream", "events_from_video", "frames_from_arrays", "iterate", "open_video", "read", "simulate", "train",
    "write",
}  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """Top-level modules in sys.modules after some code, in a fresh interpreter."""
    report = "\nimport sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_public_names_are_these() -> None:
    assert set(dvspipe.__all__) == PUBLIC == set(dir(dvspipe))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_loads_and_is_documented(name: str) -> None:
    assert getattr(dvspipe, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="evnets"):
        dvspipe.evnets  # noqa: B018


def test_importing_dvspipe_loads_nothing_heavy() -> None:
    assert not loaded_by("import dvspipe") & {"torch", "tonic", "norse", "numba", "cv2", "h5py", "numpy", "matplotlib"}


def test_reading_and_simulating_load_neither_torch_nor_tonic() -> None:
    assert not loaded_by("from dvspipe import read, simulate, convert_video, encode_events") & {"torch", "tonic"}
