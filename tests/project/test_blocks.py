"""The Python blocks of each page run in order, in a folder with the files that they use."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_events

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture
from dvspipe.video.writing import write_video

ROOT = Path(__file__).parents[2]
PAGES = (
    "start/five-minutes",
    "guides/convert",
    "guides/live",
    "concepts/encoding",
    "concepts/learning-rules",
    "concepts/synthetic-data",
    "reference/python",
    "reference/results",
)
SKIPPED = {
    "reference/python": ('train("recordings"', 'infer("gesture", "recordings"'),
    "concepts/encoding": ("tonic.datasets",),  # downloads
    "reference/results": ("RunFolder",),  # needs a run
}
"""Texts that identify blocks to skip: they need more than short files and are tested in other modules."""


def blocks_of(page: str) -> list[str]:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block for block in found if not any(skipped in block for skipped in SKIPPED.get(page, ()))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with small files, named as in the pages."""
    frames = list(dvspipe.frames_from_arrays([np.full((20, 32), 8 * k, np.uint8) for k in range(20)], fps=30))
    write_video(tmp_path / "clip.webm", frames)
    (tmp_path / "clip.webm").rename(tmp_path / "clip.mp4")  # the content identifies the video format
    gesture = record_gesture(GestureClip(1, person=0, clip=0, seed=0))
    for name in ("events.h5", "recording.h5", "clip.h5", "a.h5", "b.raw"):
        dvspipe.write(tmp_path / name, gesture)
    large = random_events(0, 3000, dvspipe.SensorSize(width=1280, height=720), 400_000)
    dvspipe.write(tmp_path / "long.raw", large)
    for number in range(8):
        dvspipe.write(tmp_path / "recordings" / "ab"[number % 2] / f"{number}.raw", large)
    shutil.copy(Path(dvspipe.__file__).parent / "checkpoints" / "gesture.safetensors", tmp_path / "best.safetensors")
    (tmp_path / "videos").mkdir()
    shutil.copy(tmp_path / "clip.mp4", tmp_path / "videos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_code_blocks_of_a_page_run(page: str, folder: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (6, 12, 20), np.uint8)
    names: dict[str, Any] = {
        "dvspipe": dvspipe,
        "Path": Path,
        "array": array,
        "image": array[0],
        "events": dvspipe.read(folder / "events.h5"),
        "bins": dvspipe.BinConfig(steps=5, step_us=20_000, downsample=16),
    }
    for block in blocks_of(page):
        exec(compile(block, page, "exec"), names)
