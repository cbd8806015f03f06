"""Memory of the machine during a training."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from dvspipe.training.machine import lacks_bfloat16

MEASURE = """
import resource
import torch
from pathlib import Path
from dvspipe.training.machine import keep_freed_memory

def find_extra(before):
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() - before

torch.ones(1)
before = find_extra(0)
with keep_freed_memory():
    torch.ones(1 << 26, dtype=torch.uint8)
    kept = find_extra(before)
returned = find_extra(before)
torch.ones(1 << 26, dtype=torch.uint8)
print(kept > 1 << 25, returned < 1 << 25, find_extra(before) < 1 << 25)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_blocks_are_kept_and_returned_at_the_end() -> None:
    """In a process of its own, because other tests leave memory that is returned at any time."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 3


def test_processors_with_bfloat16_are_recognised(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    assert not lacks_bfloat16(cpuinfo)  # unknown
    for flags, lacks in (("avx2 avx512f", True), ("avx512f avx512_bf16 fsrm", False), ("asimd bf16", False)):
        cpuinfo.write_text(f"processor : 0\nflags\t: fpu {flags}\n", encoding="ascii")
        assert lacks_bfloat16(cpuinfo) == lacks
