"""Editors and type checkers know every setting: its name, and its type."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CALLS = """
import dvspipe
from dvspipe import ConvertConfig, FilterConfig, InferConfig, TrainConfig

dvspipe.convert("clip.mp4", "events.h5", ConvertConfig(pos_thres=0.15, upsample="auto", sort=True))
dvspipe.infer("gesture", "events.h5", config=InferConfig(roi="auto", enter=0.3, sensor="346x260"))
dvspipe.train("recordings", TrainConfig(network="mlp", channels=(64,), rule="eprop", epochs=5))
dvspipe.convert("clip.mp4", "events.h5", ConvertConfig(pos_thress=0.15))  # wrong
dvspipe.filter("events.h5", "clean.h5", FilterConfig(refractory_us="500 us"))  # wrong
dvspipe.evaluate("runs/mine", TrainConfig(optimiser="adam"))  # wrong
"""


def test_type_checkers_report_wrong_names_and_types_of_settings(tmp_path: Path) -> None:
    (tmp_path / "calls.py").write_text(CALLS, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", "", "--cache-dir", "cache", "calls.py"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    reported = {int(line) for line in re.findall(r"^calls\.py:(\d+): error", checked.stdout, re.MULTILINE)}
    wrong = {number for number, line in enumerate(CALLS.splitlines(), start=1) if line.endswith("# wrong")}
    assert reported == wrong, checked.stdout
