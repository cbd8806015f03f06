"""Memory of the machine during a training."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

import pytest
import torch

from dvspipe.training.machine import keep_freed_memory, lacks_bfloat16

BLOCK_BYTES = 1 << 26


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_blocks_are_kept_and_returned_at_the_end() -> None:
    before = resident_bytes()
    with keep_freed_memory():
        torch.ones(BLOCK_BYTES, dtype=torch.uint8)
        assert resident_bytes() > before + BLOCK_BYTES // 2
    assert resident_bytes() < before + BLOCK_BYTES // 2
    torch.ones(BLOCK_BYTES, dtype=torch.uint8)
    assert resident_bytes() < before + BLOCK_BYTES // 2


def test_processors_with_bfloat16_are_recognised(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    assert not lacks_bfloat16(cpuinfo)  # unknown
    for flags, lacks in (("avx2 avx512f", True), ("avx512f avx512_bf16 fsrm", False), ("asimd bf16", False)):
        cpuinfo.write_text(f"processor : 0\nflags\t: fpu {flags}\n", encoding="ascii")
        assert lacks_bfloat16(cpuinfo) == lacks
