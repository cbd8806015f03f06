"""Memory of the machine during a training."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

import pytest
import torch

from dvspipe.training.machine import keep_freed_memory

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
