"""Verb that examines this machine: `doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .diagnosis import Check, Diagnosis

if TYPE_CHECKING:
    from ..video.devices import ConnectedCamera

MIN_FREE_BYTES = 1 << 30
MIN_PYTHON = (3, 11)
EXTRAS = {
    "app": "the local web page",
    "blosc": "HDF5 files with Blosc compression",
    "export": "NIR and ONNX files",
    "hub": "checkpoints on the Hugging Face hub",
    "ray": "work on several machines",
    "report": "pictures and pages",
    "ros": "ROS bags",
    "tensorboard": "curves of trainings in TensorBoard",
}
"""What each optional group of libraries is for."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
GPU_DRIVERS = (Path("/proc/driver/nvidia/version"), Path("/dev/kfd"))  # files of NVIDIA's and AMD's drivers


def doctor() -> Diagnosis:
    """Examine what this machine has and lacks: libraries, processors, programs, caches and webcams.

    It imports torch only if there is the driver of a GPU.

    Example:
        >>> doctor().broken
        ()
    """
    from ..video.devices import find_webcams

    checks = (
        _check_python(),
        _check_libraries(),
        _check_opencv(),
        _check_cores(),
        _check_gpu(),
        *_check_programs(),
        _check_cache(),
        _check_webcams(find_webcams()),
        *_check_extras(),
    )
    return Diagnosis.of(checks)


def _check_python() -> Check:
    needed = ".".join(map(str, MIN_PYTHON))
    return Check(
        name="Python",
        state="ok" if sys.version_info >= MIN_PYTHON else "broken",
        found=platform.python_version(),
        meaning=f"dvspipe needs {needed} or later",
    )


def _list_requirements() -> dict[str, list[str]]:
    """Return the names of the required libraries by the extra that needs them; "" for all."""
    required = defaultdict[str, list[str]](list)
    for line in importlib.metadata.requires("dvspipe") or ():
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if name is not None:
            required[extra[1] if extra else ""].append(name[0])

    return required


def _find_missing(names: Sequence[str]) -> list[str]:
    missing = []
    for name in names:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)

    return missing


def _show_missing(names: Sequence[str]) -> str:
    return f"{', '.join(names)} not installed" if names else ""


def _check_libraries() -> Check:
    # OpenCV has two packages, and is imported by its own check.
    required = [name for name in _list_requirements()[""] if name != "opencv-python"]
    missing = _find_missing(required)
    return Check(
        name="libraries",
        state="broken" if missing else "ok",
        found=_show_missing(missing) or f"all {len(required)}",
        meaning="every command needs them",
        remedy="pip install dvspipe" if missing else "",
    )


def _check_opencv() -> Check:
    meaning = "videos, webcams and windows need it"
    try:
        from ..video.opencv import cv2
    except ImportError as error:
        return Check(
            name="OpenCV",
            state="broken",
            found=str(error),
            meaning=meaning,
            remedy="install libgl1 (Debian, Ubuntu), or replace opencv-python by opencv-python-headless",
        )

    return Check(name="OpenCV", state="ok", found=cv2.__version__, meaning=meaning)


def _check_cores() -> Check:
    # A container or taskset may allow fewer cores than the machine has.
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return Check(
        name="CPU",
        state="ok",
        found=f"{cores} cores",
        meaning="training uses all of them, and worker processes share them",
    )


def _check_gpu() -> Check:
    has_driver = any(path.exists() for path in GPU_DRIVERS) or shutil.which("nvidia-smi") is not None
    if not has_driver:
        found = "no driver of NVIDIA or AMD found"
        return Check(name="GPU", state="missing", found=found, meaning="training runs on the CPU")

    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        return Check(name="GPU", state="ok", found=name, meaning="training uses it (optimiser.device = auto)")

    return Check(
        name="GPU",
        state="missing",
        found=f"a driver, but no GPU that torch {torch.__version__} can use",
        meaning="training runs on the CPU",
        remedy="install the torch of pytorch.org for this driver",
    )


def _check_programs() -> Iterator[Check]:
    from ..video.ffmpeg import is_installed

    has_ffmpeg = is_installed()
    yield Check(
        name="ffmpeg",
        state="ok" if has_ffmpeg else "missing",
        found=str(shutil.which("ffmpeg")) if has_ffmpeg else "ffmpeg or ffprobe not found",
        meaning="decodes the videos that OpenCV cannot, such as AV1",
        remedy="" if has_ffmpeg else "install ffmpeg with your system's packages",
    )

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    yield Check(
        name="Chromium",
        state="ok" if browser else "missing",
        found=browser or "not found",
        meaning="only tests of the web page need it; the page runs in any browser",
    )


def _check_cache() -> Check:
    from ..datasets.cache import default_cache

    folder = default_cache()
    parent = folder
    while not parent.exists():
        parent = parent.parent

    free = shutil.disk_usage(parent).free
    may_write = os.access(parent, os.W_OK)
    has_space = free >= MIN_FREE_BYTES and may_write
    return Check(
        name="cache",
        state="ok" if has_space else "broken",
        found=f"{free / 1e9:.1f} GB free for {folder}" + ("" if may_write else ", not writable"),
        meaning="trainings keep spikes and converted videos there",
        remedy="" if has_space else "free or allow space, or set XDG_CACHE_HOME to another folder",
    )


def _check_webcams(cameras: Sequence[ConnectedCamera]) -> Check:
    if not cameras:
        is_searched = sys.platform == "linux"
        return Check(
            name="webcam",
            state="missing",
            found="none found" if is_searched else f"not searched on {platform.system()}",
            meaning="live streams need a webcam or a file",
            remedy="plug one in; a virtual machine or container needs access to /dev/video0",
        )

    names = [f"{camera.source} ({camera.name})" for camera in cameras]
    closed = [camera for camera in cameras if not camera.is_open]
    return Check(
        name="webcam",
        state="missing" if closed else "ok",
        found=", ".join(names) + (f", without permission for {closed[0].node}" if closed else ""),
        meaning=f"its source for live streams is {cameras[0].source}",
        remedy="sudo usermod -aG video $USER, and log in again" if closed else "",
    )


def _check_extras() -> Iterator[Check]:
    required = _list_requirements()
    for extra, meaning in EXTRAS.items():
        # An older installation, updated in place, does not know a new extra.
        missing = _find_missing(required[extra]) if extra in required else [f"libraries of {extra}"]
        yield Check(
            name=f"[{extra}]",
            state="missing" if missing else "ok",
            found=_show_missing(missing) or "installed",
            meaning=f"for {meaning}",
            remedy=f"pip install 'dvspipe[{extra}]'" if missing else "",
        )
