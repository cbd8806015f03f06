"""The benchmark program: printed lines, JSON output, and `all`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import runpy
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "bench.py"

HELPERS = [
    *sorted(path for path in SCRIPT.parent.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")),
    SCRIPT.parents[1] / "weights" / "framing.py",
]


@pytest.mark.parametrize("script", HELPERS, ids=lambda path: path.stem)
def test_help_of_a_script_runs_nothing(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(script.parent)
    monkeypatch.setattr(sys, "argv", [script.name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(script), run_name="__main__")
    assert f"usage: {script.name}" in capsys.readouterr().out


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("bench", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "REPEATS", 1)
    return module


def test_figures_are_printed_and_written_as_json_lines(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = [bench.Figure("a/b", 2.5, "Mpixel/s", 2, {"peer": 1.25}), bench.Figure("a/c", 1.0, "x")]
    monkeypatch.setitem(bench.BENCHES, "start", lambda _options: iter(figures))
    monkeypatch.setattr(sys, "argv", ["bench.py", "start", "--json", str(tmp_path / "out.jsonl")])
    bench.main()
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [
        {"name": "a/b", "value": 2.5, "unit": "Mpixel/s", "target": 2, "beside": {"peer": 1.25}},
        {"name": "a/c", "value": 1.0, "unit": "x", "target": None, "beside": {}},
    ]
    assert "a/b" in capsys.readouterr().out


def test_all_runs_every_benchmark_with_the_created_peers(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def measured(name: str, options: argparse.Namespace) -> list[object]:
        seen.append((name, options.peers))
        return []

    for name in bench.BENCHES:
        monkeypatch.setitem(bench.BENCHES, name, partial(measured, name))
    monkeypatch.setattr(bench, "make_environment", lambda: "its Python")
    monkeypatch.setattr(sys, "argv", ["bench.py", "all", "--peers", "auto"])
    bench.main()
    assert seen == [(name, "its Python") for name in bench.BENCHES]
