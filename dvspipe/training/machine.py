"""The machine that computes a result: its description, and its memory."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

BFLOAT16_FLAGS = frozenset(("avx512_bf16", "amx_bf16", "bf16"))  # two x86-64 flags, one ARM flag
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # parameters of mallopt in malloc.h of glibc
KEEPING = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1))
USUAL = ((M_MMAP_MAX, 65536), (M_MMAP_THRESHOLD, 2**25), (M_TRIM_THRESHOLD, 2**26))
"""Values that glibc itself reaches after freeing large blocks."""


def describe_machine(device: torch.device) -> dict[str, str]:
    """Describe Python, the system, processor, threads, and the GPU if one is used."""
    gpu = {"GPU": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return {
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
    } | gpu


def memory_bytes(device: torch.device) -> int | None:
    """Return the memory of the device: GPU memory, main memory, or the limit of the container; None if unknown.

    It does not depend on other programs, so repeated runs make the same decisions.
    """
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return None
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else ""
    return min(machine, int(text)) if text.isdecimal() else machine


def lacks_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the processor is known to have no instructions for bfloat16, from Linux's description of it."""
    words = cpuinfo.read_text(encoding="utf-8", errors="replace").split() if cpuinfo.is_file() else BFLOAT16_FLAGS
    return BFLOAT16_FLAGS.isdisjoint(words)


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Let glibc keep large freed blocks for new tensors inside the block, and return them to the system after it.

    By default, glibc returns them at once and requests new, zeroed blocks in every training step. This takes a third to
    half of a step. With other C libraries, nothing changes.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "malloc_trim"):
        yield
        return
    for parameter, value in KEEPING:
        library.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in USUAL:
            library.mallopt(parameter, value)
        library.malloc_trim(0)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
