"""Version, changelog, citation and tag agree, and disagreements are found."""

from __future__ import annotations

import importlib
import re
import tomllib
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("pyproject.toml", "CHANGELOG.md", "CITATION.cff")


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("release")


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """Folder with the files of release 0.2.0."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.2.0"\n[project.urls]\nRepository = "https://x"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [0.2.0] - 2026-12-01\n\n## 0.1.0\n")
    (tmp_path / "CITATION.cff").write_text("version: 0.2.0\ndate-released: 2026-12-01\n")
    return tmp_path


def test_workflows_scripts_and_make_run_existing_scripts() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    workflows = [*(ROOT / ".github" / "workflows").glob("*.yml")]
    scripts = [ROOT / "scripts" / name for name in ("check", "release_check", "docs/build")]
    for path in (*workflows, *scripts, ROOT / "Makefile", ROOT / ".ci" / "run"):
        text = path.read_text(encoding="utf-8")
        assert all((ROOT / found).is_file() for found in re.findall(r"\bscripts/[\w/.]+\b", text)), path
        assert path not in workflows or set(re.findall(r"run: make ([\w-]+)", text)) <= targets, path


def test_release_files_of_the_repository_agree(release: types.ModuleType) -> None:
    assert list(release.find_faults()) == []


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("CHANGELOG.md", "[0.2.0] - 2026-12-01", "[Unreleased]"),
        ("CHANGELOG.md", " - 2026-12-01", ""),
        ("CHANGELOG.md", "2026-12-01", "2026-12-02"),
        ("CITATION.cff", "0.2.0", "0.1.0"),
        ("CITATION.cff", "2026-12-01", "2026-11-01"),
        ("pyproject.toml", "https://x", "https://OWNER"),
    ],
)
def test_disagreement_of_a_release_is_found(
    release: types.ModuleType, released: Path, file: str, old: str, new: str
) -> None:
    assert list(release.find_faults(released, "v0.2.0")) == []
    assert len(list(release.find_faults(released, "v0.2.1"))) == 1
    text = (released / file).read_text()
    assert old in text
    (released / file).write_text(text.replace(old, new))
    assert len(list(release.find_faults(released, "v0.2.0"))) == 1


def test_readme_on_pypi_has_no_relative_links() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["metadata"]["hooks"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for change in tools["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)

    targets = re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", text)
    assert len(targets) > 20
    for link, picture in targets:
        assert (link or picture).startswith("https://"), link
        start, _, path = (link or picture).partition("/v$HFPR_VERSION/")
        assert start.endswith("blob" if link else "raw")
        assert (ROOT / path.partition("#")[0]).exists(), path
