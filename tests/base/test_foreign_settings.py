"""Settings files of other libraries in the current folder have no effect."""

from __future__ import annotations

import operator
import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from conftest import random_events
from facts import raises

from dvspipe.base.errors import ConfigError
from dvspipe.base.kernels import SETTINGS_FILE, njit
from dvspipe.base.pool import map_items
from dvspipe.formats import write

SETTINGS = {"cache folder": "cache_dir: kernels", "locators": "cache_locator_classes: None", "malformed": "{{{"}


def run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, without the NUMBA_CACHE_DIR of the tests."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    variables["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-m", "dvspipe", *map(str, words)]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder of two recordings."""
    for number in range(2):
        write(tmp_path / "in" / f"{number}.h5", random_events(number, 20))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("convert in -o out --jobs 2", "cache folder"),
        ("infer gesture in -o out --jobs 2", "locators"),
        ("view in/0.h5 -o out.png", "malformed"),
    ],
)
def test_settings_of_numba_in_the_current_folder_are_refused_in_one_line(
    folder: Path, words: str, settings: str
) -> None:
    before = {*folder.iterdir()}
    (folder / SETTINGS_FILE).write_text(SETTINGS[settings])
    done = run(folder, *words.split())
    (line,) = done.stderr.splitlines()
    assert (done.returncode, str(folder / SETTINGS_FILE) in line) == (2, True)
    assert {*folder.iterdir()} == before | {folder / SETTINGS_FILE}


def test_settings_of_numba_are_refused_before_a_later_compilation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @njit()
    def double(number: float) -> float:
        return 2 * number

    monkeypatch.chdir(tmp_path)
    (tmp_path / SETTINGS_FILE).write_text(SETTINGS["malformed"])
    with raises(ConfigError, tmp_path / SETTINGS_FILE):
        double(1)

    (tmp_path / SETTINGS_FILE).unlink()
    assert double(1) == 2


def test_kernels_of_other_packages_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @njit()
    def double(number: float) -> float:
        return 2 * number

    assert double(1) == 2
    other = numba.njit(lambda number: 3 * number)
    monkeypatch.chdir(tmp_path)
    (tmp_path / SETTINGS_FILE).write_text("cache_dir: kernels")
    try:
        assert other(1) == 3
    finally:
        (tmp_path / SETTINGS_FILE).unlink()
        assert double(2.5) == 5  # numba reads its settings again


def test_settings_of_numba_are_refused_before_workers_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / SETTINGS_FILE).write_text(SETTINGS["cache folder"])
    with raises(ConfigError, tmp_path / SETTINGS_FILE):
        list(map_items(operator.is_, [1, 2], jobs=2))


def test_settings_of_matplotlib_in_the_current_folder_do_not_change_a_chart(folder: Path) -> None:
    chart = ("view", "in/0.h5", "--chart", "rate", "-o")
    run(folder, *chart, "plain.png").check_returncode()
    (folder / "matplotlibrc").write_text("font.size: 30\nsavefig.facecolor: red\ntext.usetex: True\n")
    run(folder, *chart, "changed.png").check_returncode()
    assert (folder / "changed.png").read_bytes() == (folder / "plain.png").read_bytes()


def test_corrupted_settings_of_matplotlib_are_one_line(folder: Path) -> None:
    (folder / "matplotlibrc").write_bytes(b"\xff")
    done = run(folder, "view", "in/0.h5", "--chart", "rate", "-o", "chart.png")
    assert done.returncode == 2
    assert str(folder / "matplotlibrc") in done.stderr.splitlines()[-1]
