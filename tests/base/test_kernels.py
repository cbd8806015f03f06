from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dvspipe.base.kernels import COMPILING

VARIABLE = "NUMBA_CACHE_DIR"

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


def test_kernels_are_compiled_if_no_folder_is_writable(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text(KERNELS)
    (tmp_path / "__pycache__").touch()  # a file, so nobody can write to the folder, not even root
    variables = {name: value for name, value in os.environ.items() if name != VARIABLE}
    variables |= {"XDG_CACHE_HOME": str(tmp_path / "kernels.py"), "PYTHONPATH": os.pathsep.join(sys.path)}
    show_log = "import logging; logging.basicConfig(level=logging.INFO)"
    command = [sys.executable, "-B", "-c", f"{show_log}; from kernels import *; print(square(3.0), *state())"]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["9.0", "negative", "0"]
    assert done.stderr == f"INFO:dvspipe.base.kernels:{COMPILING}\n"


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
