"""Workers import nothing from the current folder, whatever the names of its files."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from conftest import random_events

from dvspipe.formats import write

COMMAND = "from dvspipe.__main__ import main\n\nif __name__ == '__main__':\n    main()\n"  # as the script `dvspipe`
OPTIONAL = ("dvspipe", "hdf5plugin", "ray", "sitecustomize", "triton", "usercustomize")

WORK = """
import os

def name_program(item, _progress):
    import wave  # the first import of this module
    return os.path.basename(__file__)
"""

MAP = """
from dvspipe.base.pool import Processes, map_items
from own_work import name_program

if __name__ == "__main__":
    print({outcome.result() for outcome in map_items(name_program, [1, 2], engine=Processes(2))})
"""

SESSION = """
import sys
del sys.path[0]
import operator
from dvspipe.base.pool import Processes, map_items
list(map_items(operator.is_, [1, 2], engine=Processes(2)))  # later imports of this process could run any file
sys.path.insert(0, "")
"""

RAY = """
from dvspipe.base.pool import map_items
from dvspipe.base.cluster import Ray
from own_work import name_program

if __name__ == "__main__":
    print({outcome.result() for outcome in map_items(name_program, [1, 2], engine=Ray())})
"""


def write_traps(folder: Path, names: set[str]) -> None:
    """Write a Python file of each name that leaves a mark when it runs."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'mark')!r}, 'a').write(__name__ + '\\n')\n")


@pytest.fixture(scope="session")
def all_names() -> set[str]:
    return {*sys.stdlib_module_names, *packages_distributions(), *OPTIONAL} - {"__main__"}


@pytest.fixture
def data(tmp_path: Path, all_names: set[str]) -> Path:
    """Folder of recordings, and of a Python file for each name that a worker could import."""
    folder = tmp_path / "data"
    for number in range(2):
        write(folder / "in" / f"{number}.bin", random_events(number, 20))
    write_traps(folder, all_names)
    return folder


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Folder of a program of two files."""
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "own_work.py").write_text(WORK)
    (folder / "program.py").write_text(MAP)
    (folder / "cluster_program.py").write_text(RAY)
    return folder


def run(folder: Path, *words: object, **variables: str) -> str:
    """Run Python in a folder with traps and return its output; check that it ran none of them."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"} | variables
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    mark = folder / "mark"
    assert not mark.exists(), mark.read_text()
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_command_runs_no_file_of_its_folder(data: Path, tmp_path: Path) -> None:
    script = tmp_path / "bin" / "dvspipe"
    script.parent.mkdir()
    script.write_text(COMMAND)
    run(data, script, "convert", "in", "-o", "out", "--jobs", "2")
    assert len(list((data / "out").glob("*.h5"))) == 2


def test_script_of_another_folder_runs_no_file_of_its_current_folder(data: Path, program: Path) -> None:
    assert run(data, program / "program.py") == "{'own_work.py'}"


def test_session_runs_only_the_file_that_it_imported_itself(data: Path) -> None:
    (data / "own_work.py").write_text(WORK)
    assert run(data, "-c", SESSION + MAP) == "{'own_work.py'}"


def test_installed_module_runs_no_file_of_its_current_folder(program: Path, tmp_path: Path) -> None:
    write_traps(tmp_path / "data", {"wave"})  # `python -m` itself would run files with other names
    assert run(tmp_path / "data", "-m", "program", PYTHONPATH=str(program)) == "{'own_work.py'}"


def test_module_of_the_current_folder_can_use_its_folder(program: Path) -> None:
    assert run(program, "-m", "program") == "{'own_work.py'}"


def test_folder_named_in_pythonpath_can_be_imported(program: Path) -> None:
    code = MAP.replace("from own_work import name_program", "from test_work import name_program")
    (program / "test_work.py").write_text("def name_program(item, _):\n    import own_work\n    return 1\n")
    assert run(program, "-c", code, PYTHONPATH=".") == "{1}"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray")
def test_ray_runs_no_file_of_the_current_folder(data: Path, program: Path) -> None:
    assert run(data, program / "cluster_program.py") == "{'own_work.py'}"
