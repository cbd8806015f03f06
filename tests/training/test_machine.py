"""Facts about the machine of a training."""

from __future__ import annotations

from pathlib import Path

from dvspipe.training.machine import lacks_bfloat16


def test_processors_with_bfloat16_are_recognised(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    assert not lacks_bfloat16(cpuinfo)  # unknown
    for flags, lacks in (("avx2 avx512f", True), ("avx512f avx512_bf16 fsrm", False), ("asimd bf16", False)):
        cpuinfo.write_text(f"processor : 0\nflags\t: fpu {flags}\n", encoding="ascii")
        assert lacks_bfloat16(cpuinfo) == lacks
