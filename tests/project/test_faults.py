"""Commands that are killed, full disks, corrupted files: a small part of `scripts/faults/faults.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
MUTATIONS = 40


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / "faults" / f"{name}.py")
    assert spec
    assert spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def faults() -> ModuleType:
    return load("faults")


@pytest.fixture(scope="module")
def inputs(faults: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "inputs"
    faults.make_inputs(folder)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has other signals")
def test_killed_commands_are_repeated_to_the_same_output(faults: ModuleType, inputs: Path, tmp_path: Path) -> None:
    commands = [command for command in faults.COMMANDS if command.name in ("convert", "view")]
    killer = faults.Killer(inputs, tmp_path)
    killer.interrupt_s = 60.0  # how soon depends on the load
    done = list(faults.disturb(killer, commands, kills=2, seed=0))
    assert [text for _, text, is_finding in done if is_finding] == []
    assert {kind for kind, _, _ in done} == {"kill", "full disk", "read-only folder"}


def test_changed_files_are_used_or_refused_with_one_line(
    faults: ModuleType, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    mutations = faults.Mutations(inputs, faults.make_seeds(None))
    verdicts = [mutations.run(number, tmp_path) for number in range(MUTATIONS)]
    assert [verdict.message for verdict in verdicts if verdict.kind == "finding"] == []
    assert {verdict.kind for verdict in verdicts} >= {"used", "refused"}
