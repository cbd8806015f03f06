"""The program for all measurements: its lines and its JSON."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "bench.py"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench", module)
    spec.loader.exec_module(module)
    return module


def test_figures_are_printed_and_written_as_json_lines(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = [bench.Figure("a/b", 2.5, "Mpixel/s", 2, {"peer": 1.25}), bench.Figure("a/c", 1.0, "x")]
    monkeypatch.setitem(bench.BENCHES, "start", lambda: iter(figures))
    monkeypatch.setattr(sys, "argv", ["bench.py", "start", "--json", str(tmp_path / "out.jsonl")])
    bench.main()
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [
        {"name": "a/b", "value": 2.5, "unit": "Mpixel/s", "target": 2, "beside": {"peer": 1.25}},
        {"name": "a/c", "value": 1.0, "unit": "x", "target": None, "beside": {}},
    ]
    assert "target 2   peer 1.25" in capsys.readouterr().out
