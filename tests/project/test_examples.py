"""Every script in examples/ runs."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
SLOW = {"norse_network"}


@pytest.mark.filterwarnings("ignore:nirtorch.load:DeprecationWarning")  # called by Norse
@pytest.mark.filterwarnings("ignore:unclosed file .*tar:ResourceWarning")  # WebDataset does not close its archives
@pytest.mark.parametrize(
    "script",
    [pytest.param(path, marks=pytest.mark.slow if path.stem in SLOW else (), id=path.stem) for path in SCRIPTS],
)
def test_example_runs_and_prints_its_result(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(script)])
    try:
        runpy.run_path(str(script), run_name="__main__")  # in this process: torch is imported only once
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "dvspipe":
            raise
        pytest.skip(f"{error.name} is not installed")
    assert capsys.readouterr().out
