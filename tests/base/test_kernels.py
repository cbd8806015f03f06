from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dvspipe.base import kernels as numba_cache
from dvspipe.base.errors import ConfigError
from dvspipe.base.kernels import (
    COMPILING,
    SETTINGS_FILE,
    VARIABLE,
    compiled_s,
    ensure_cache,
    njit,
    watch_compilation,
)

KERNELS = """
import numba
from dvspipe.base.kernels import njit

@njit(cache=True, nogil=True)
def square(number):
    if number < 0:
        raise ValueError("negative")
    return number * number

def state():
    try:
        square(-1.0)
    except ValueError as error:
        return str(error), sum(square.stats.cache_hits.values())

@numba.njit
def double(number):
    return 2 * square(number)
"""


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with the user's cache that nobody can write to, not even root."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(tmp_path / "read-only") and access(path, mode))
    (tmp_path / "read-only").mkdir()
    return tmp_path / "read-only"


def test_kernels_are_cached_in_a_private_folder_if_nothing_is_writable(read_only: Path, tmp_path: Path) -> None:
    ensure_cache(str(tmp_path))
    assert VARIABLE not in os.environ
    ensure_cache(str(read_only))
    folder = Path(os.environ[VARIABLE])
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="POSIX only")
def test_cache_folder_writable_by_others_is_not_used(read_only: Path, tmp_path: Path) -> None:
    planted = tmp_path / f"dvspipe-kernels-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    ensure_cache(str(read_only))
    assert Path(os.environ[VARIABLE]) != planted


@pytest.fixture(autouse=True)
def _restore_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")  # restores the variable after the test


def test_compilation_is_logged_once_and_its_time_is_measured(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba_cache._Compilation, "is_logged", False)
    log = logging.getLogger(numba_cache.__name__)  # changed by commands in this process
    monkeypatch.setattr(log, "disabled", False)
    monkeypatch.setattr(log, "filters", [])
    caplog.set_level(logging.WARNING, "dvspipe")

    @njit()
    def double(number: float) -> float:
        return 2 * number

    watch_compilation()
    before = compiled_s()
    assert double(1) == 2
    after = compiled_s()
    assert caplog.messages == [COMPILING]
    assert after > before
    assert double(2) == 4
    assert compiled_s() == after
    assert double(0.5) == 1  # another type is compiled again
    assert caplog.messages == [COMPILING]


def test_refused_compilation_does_not_stop_the_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @njit()
    def double(number: float) -> float:
        return 2 * number

    watch_compilation()
    monkeypatch.chdir(tmp_path)
    (tmp_path / SETTINGS_FILE).touch()
    with pytest.raises(ConfigError):
        double(1)

    (tmp_path / SETTINGS_FILE).unlink()
    before = compiled_s()
    assert double(1) == 2
    assert compiled_s() > before


def test_compiled_kernels_are_read_from_the_cache(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text(KERNELS)
    use = "from kernels import *; print(square(3.0), *state(), double(3.0))"
    command = [sys.executable, "-c", use]
    variables = os.environ | {VARIABLE: str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    first, second = (
        subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    )
    assert first == ["9.0", "negative", "0", "18.0"]
    assert second == ["9.0", "negative", "1", "18.0"]
