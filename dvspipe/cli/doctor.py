"""What this machine has and lacks: `doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from ..base.errors import count_noun
from ..base.texts import TextTable
from ..results.tables import Record

MIN_FREE_BYTES = 1 << 30
PURPOSES = {
    "app": "the local web page",
    "blosc": "HDF5 files with Blosc compression",
    "export": "NIR and ONNX files",
    "hub": "checkpoints on the Hugging Face hub",
    "ray": "work on several machines",
    "report": "pictures and pages",
    "ros": "ROS bags",
}
"""What each optional group of libraries is for."""


class Check(Record):
    """One thing that a machine has or lacks."""

    name: str
    """What was looked for."""
    state: Literal["ok", "missing", "broken"]
    """What is missing is needed only for what its text says; what is broken stops most commands."""
    text: str
    """What was found, what it is for, and what to do."""


class Diagnosis(Record):
    """What a machine has and lacks, for dvspipe."""

    version: str
    """Version of dvspipe."""
    system: str
    """Operating system and processor."""
    checks: tuple[Check, ...]
    """Results of the checks."""

    @property
    def problem(self) -> str:
        """What is broken; empty: nothing."""
        broken = [check.name for check in self.checks if check.state == "broken"]
        return f"broken: {', '.join(broken)}" if broken else ""

    def describe(self) -> Sequence[str | TextTable]:
        """Return the checks as a table."""
        table = TextTable("", "check", "result")
        for check in self.checks:
            table.add_row(check.state, check.name, check.text)
        return f"dvspipe {self.version}, {self.system}", table


def doctor() -> Diagnosis:
    """Examine what this machine has and lacks: libraries, processors, programs, caches and webcams.

    Example:
        >>> doctor().problem
        ''
    """
    return Diagnosis(
        version=importlib.metadata.version("dvspipe"),
        system=f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}",
        checks=tuple(_examine()),
    )


def _examine() -> Iterator[Check]:
    """Yield the checks; a check that imports much comes only if there is a reason."""
    required = _list_requirements()
    always = required.pop("")
    missing = _find_missing(always)
    yield Check(
        name="libraries",
        state="broken" if missing else "ok",
        text=f"{', '.join(missing)} not installed; pip install dvspipe" if missing else f"all {len(always)}",
    )
    yield _check_gpu()

    ffmpeg = shutil.which("ffmpeg")
    yield Check(
        name="ffmpeg",
        state="ok" if ffmpeg else "missing",
        text=f"{ffmpeg or 'not found'}; decodes videos that OpenCV cannot, such as AV1",
    )
    yield _check_cache()

    cameras = sorted(map(str, Path("/dev").glob("video*")))
    is_open = all(os.access(camera, os.R_OK | os.W_OK) for camera in cameras)
    advice = "" if is_open else "; without permission: sudo usermod -aG video $USER, and log in again"
    yield Check(
        name="webcam",
        state="ok" if cameras and is_open else "missing",
        text=", ".join(cameras) + advice if cameras else f"none found on {platform.system()}",
    )

    for extra, purpose in PURPOSES.items():
        missing = _find_missing(required[extra])
        advice = f"; pip install 'dvspipe[{extra}]'" if missing else ""
        yield Check(name=f"[{extra}]", state="missing" if missing else "ok", text=f"for {purpose}{advice}")


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
    # Some packages, such as huggingface_hub, write their name in another way than we do.
    found = (package.name for package in importlib.metadata.distributions())
    installed = {re.sub(r"[-_.]+", "-", name).lower() for name in found if name}
    if "opencv-python-headless" in installed:
        installed.add("opencv-python")
    return [name for name in names if name.lower() not in installed]


def _check_gpu() -> Check:
    cores = count_noun(os.cpu_count() or 1, "core")
    if shutil.which("nvidia-smi") is None and not Path("/dev/kfd").exists():
        return Check(name="GPU", state="missing", text=f"no driver found; training runs on the CPU, {cores}")

    import torch

    if torch.cuda.is_available():
        return Check(name="GPU", state="ok", text=torch.cuda.get_device_name())
    return Check(name="GPU", state="missing", text=f"a driver, but no GPU that torch {torch.__version__} can use")


def _check_cache() -> Check:
    from ..datasets.cache import default_cache

    folder = default_cache()
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(parent).free
    is_usable = free >= MIN_FREE_BYTES and os.access(parent, os.W_OK)
    advice = "" if is_usable else "; free space, or set XDG_CACHE_HOME to another folder"
    return Check(
        name="cache", state="ok" if is_usable else "broken", text=f"{free / 1e9:.1f} GB free for {folder}{advice}"
    )
