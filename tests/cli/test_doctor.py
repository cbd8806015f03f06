"""What a machine has and lacks."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from commands import dvspipe as run
from facts import mentions

import dvspipe
from dvspipe.verbs.diagnosis import Check, Diagnosis
from dvspipe.verbs.doctor import EXTRAS

PROJECT = Path(dvspipe.__file__).parents[1] / "pyproject.toml"


def find(diagnosis: Diagnosis, name: str) -> Check:
    (check,) = [check for check in diagnosis.checks if check.name == name]
    return check


def test_every_extra_of_a_user_is_described() -> None:
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    named = {name for name, libraries in extras.items() if libraries}
    assert set(EXTRAS) == named - {"dev", "docs", "full"}


def test_this_machine_is_not_broken() -> None:
    diagnosis = dvspipe.doctor()
    assert diagnosis.broken == ()
    assert all(check.meaning for check in diagnosis.checks)
    assert find(diagnosis, "Python").found == ".".join(map(str, sys.version_info[:3]))
    assert Diagnosis.model_validate_json(diagnosis.model_dump_json()) == diagnosis


def test_machine_without_a_gpu_is_examined_without_torch() -> None:
    code = (
        "import sys, dvspipe, dvspipe.verbs.doctor as doctor; doctor.GPU_DRIVERS = (); "
        "doctor.shutil.which = lambda _: None; dvspipe.doctor(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_json_has_the_checks_and_the_exit_code_is_0() -> None:
    done = run("doctor", "--json")
    assert {"Python", "GPU", "webcam"} <= {check["name"] for check in json.loads(done.stdout)["checks"]}


def test_missing_library_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    original = importlib.metadata.version

    def version(name: str) -> str:
        if name == "h5py":
            raise importlib.metadata.PackageNotFoundError(name)
        return original(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    done = run("doctor", code=2)
    assert mentions(done.stderr, "1 check", "libraries")
    assert "h5py not installed" in done.stdout


def test_cache_that_is_not_writable_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert find(dvspipe.doctor(), "cache").state == "ok"
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path)
    assert mentions(find(dvspipe.doctor(), "cache").text, "not writable", "XDG_CACHE_HOME")
