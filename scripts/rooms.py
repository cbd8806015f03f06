"""Print the tests of a room and of the rooms that import it: `python scripts/rooms.py NAME`, one path per line."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dvspipe"
TESTS = ROOT / "tests"


def list_rooms() -> list[str]:
    """Return the names of the rooms: folders of the package, and single modules."""
    return sorted(
        path.stem for path in PACKAGE.iterdir() if path.is_dir() or (path.suffix == ".py" and path.stem[0] != "_")
    )


def find_imported(path: Path) -> set[str]:
    """Return the rooms that a file imports."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue

        # `from ..events.filters import X` in dvspipe/report/plots.py comes from dvspipe.events.filters
        home = ["dvspipe", *path.relative_to(PACKAGE).parts[:-1]]
        base = home[: len(home) - node.level + 1] if node.level else []
        names = [*base, *(node.module or "").split(".")]
        if names[0] == "dvspipe" and len(names) > 1:
            imported.add(names[1])

    return imported


def find_importers(room: str) -> list[str]:
    """Return the rooms with a file that imports from `room`, in alphabetical order."""
    importers = set()
    for name in list_rooms():
        place = PACKAGE / name
        files = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
        if any(room in find_imported(path) for path in files):
            importers.add(name)
    return sorted(importers - {room})


def list_tests(room: str) -> list[Path]:
    """Return the folder or module with the tests of a room, if there is one."""
    places = (TESTS / room, TESTS / f"test_{room}.py")
    return [place for place in places if place.exists()]


def main() -> None:
    """Print the tests; exit with code 2 if there is no such room."""
    room = sys.argv[1] if len(sys.argv) == 2 else ""
    if room not in list_rooms():
        sys.exit(f"rooms: no such room (found {room!r}, expected one of {', '.join(list_rooms())})")
    for name in [room, *find_importers(room)]:
        for place in list_tests(name):
            print(place.relative_to(ROOT))


if __name__ == "__main__":
    main()
