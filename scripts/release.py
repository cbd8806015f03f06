"""Check that version, changelog, citation and tag agree: `python scripts/release.py [TAG]`; exit code 1 if they do not.

A tag also needs the address of the repository, because README's links on PyPI begin with it.

A version that ends in .dev0 is between releases: the changelog starts with "Unreleased", and tags are not allowed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
HEADING = re.compile(r"^## \[(?P<name>[^\]]+)\](?: - (?P<date>\d{4}-\d\d-\d\d))?$", re.MULTILINE)


def find_faults(root: Path = ROOT, tag: str | None = None) -> Iterator[str]:
    """Yield a message for each disagreement with the version in pyproject.toml.

    Args:
        root: Folder of the repository.
        tag: Tag of the release, for example v0.2.0; None: compare only the files.
    """
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    version = str(project["version"])
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    top = HEADING.search((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    developed = version.endswith(".dev0")
    expected = "Unreleased" if developed else version

    if not top or top["name"] != expected:
        found = top["name"] if top else "none"
        yield f"CHANGELOG.md: wrong first section for version {version} (found {found}, expected {expected})"
    elif not developed and not top["date"]:
        yield f"CHANGELOG.md: section {top['name']} has no date (expected ## [{version}] - YYYY-MM-DD)"

    if str(citation["version"]) != version:
        yield f"CITATION.cff: wrong version (found {citation['version']}, expected {version})"
    if not developed and top and top["date"] and str(citation["date-released"]) != top["date"]:
        yield f"CITATION.cff: wrong date (found {citation['date-released']}, expected {top['date']} as in CHANGELOG.md)"
    if tag is not None and (developed or tag != f"v{version}"):
        expected = "no tag" if developed else f"v{version}"
        yield f"tag {tag}: does not match version {version} (expected {expected})"
    if tag is not None and ("Repository" not in project.get("urls", {}) or "OWNER" in text):
        yield "pyproject.toml: no address of the repository (expected Repository in [project.urls], and no OWNER)"


def main() -> int:
    """Print all disagreements; return 1 if there are any."""
    faults = list(find_faults(tag=sys.argv[1] if len(sys.argv) > 1 else None))
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
