"""The prose check finds broken rules in text, strings, docstrings and comments, but not in code."""

from __future__ import annotations

import importlib
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def prose(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("prose")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_rules_are_read(prose: types.ModuleType) -> None:
    rules = prose.read_rules()
    assert rules.avoid["anew"].startswith("again")
    assert [limit.allowed(1000) for limit in rules.limits] == [10, 40, 4]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.md", "Read it.\nRead it anew.\n", 2),
        ("a.md", "Run\n\n```\ndvspipe info  # anew\n```\n", 4),
        ("a.yaml", "a: 1\nb: 2  # anew\n", 2),
        ("a.py", 'raise ValueError("read it anew")\n', 1),
        ("a.py", '"""Read it.\n\nRead it anew.\n"""\n', 3),
        ("a.py", "a = 1\nb = 2  # read it anew\n", 2),
        ("a.py", "a = 1  # of a chart\n", 1),
    ],
    ids=["text", "comment in Markdown", "YAML", "string", "docstring", "comment", "comment without noun"],
)
def test_each_kind_of_passage_is_checked(
    prose: types.ModuleType, tmp_path: Path, name: str, text: str, line: int
) -> None:
    assert [finding.line for finding in prose.check_files([write(tmp_path, name, text)])] == [line]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", "Set `anew`.\n\n```\nanew = 1\n```\n"),
        ("a.py", 'anew = 1\noption = "--anew"\n'),
        ("a.py", '"""Set `anew`.\n\n>>> anew\n1\n"""\n'),
    ],
)
def test_code_is_not_checked(prose: types.ModuleType, tmp_path: Path, name: str, text: str) -> None:
    assert prose.check_files([write(tmp_path, name, text)]) == []


def test_raises_with_a_pronoun_is_found(prose: types.ModuleType, tmp_path: Path) -> None:
    text = '"""It is read.\n\nRaises:\n    FileError: {}\n"""\n'
    assert prose.check_files([write(tmp_path, "a.py", text.format("If the suffix is unknown."))]) == []
    (finding,) = prose.check_files([write(tmp_path, "a.py", text.format("It has not."))])
    assert (finding.line, finding.found) == (4, "FileError: It")


def test_an_exceeded_limit_fails(prose: types.ModuleType, tmp_path: Path) -> None:
    passages = [*prose.read_passages(write(tmp_path, "a.md", "A file which ends.\n" * 5))]
    assert [*prose.find_exceeded(passages, prose.read_rules(), 2000)] == []
    (message,) = prose.find_exceeded(passages, prose.read_rules(), 1000)
    assert '"which": 5 times in 1000 lines' in message
