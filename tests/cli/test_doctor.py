"""What a machine has and lacks."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import dvspipe as run

import dvspipe


def test_this_machine_is_not_broken() -> None:
    diagnosis = dvspipe.doctor()
    assert diagnosis.problem == ""
    checks = json.loads(run("doctor", "--json").stdout)["checks"]
    assert [check["name"] for check in checks] == [check.name for check in diagnosis.checks]
    assert {"libraries", "GPU", "cache", "webcam"} <= {check["name"] for check in checks}
    states = {check.name: check.state for check in diagnosis.checks}
    assert {states[f"[{extra}]"] for extra in ("app", "export", "hub", "report", "ros")} == {"ok"}  # of the extra dev


def test_machine_without_a_gpu_is_examined_without_torch() -> None:
    code = (
        "import sys, dvspipe.cli.doctor as doctor; doctor.shutil.which = lambda _: None; "
        "doctor.doctor(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_library_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = [package for package in importlib.metadata.distributions() if package.name != "h5py"]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: installed)
    done = run("doctor", code=1)
    assert "broken: libraries" in done.stderr
    assert "h5py not installed" in done.stdout


def test_cache_that_is_not_writable_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "broken: cache" in run("doctor", code=1).stderr
