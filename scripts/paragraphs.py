"""Check that functions have paragraphs: blank lines, reasons in comments, and one assignment per thing.

Usage: python scripts/paragraphs.py [table]; the table has a row per room.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "dvspipe"
MAX_PACKED = 100
LONG_BODY = 20  # lines of a body that needs a break
LEAST_BLANK = 5.0  # per 100 lines of bodies
LEAST_COMMENTS = 2.0


@dataclass
class Figures:
    """Counts of a room or of the package.

    Attributes:
        lines: Lines of function bodies, without docstrings.
        blank: Blank lines among them.
        comments: Lines that are comments.
        packed: Assignments of several things to as many names in one statement.
        long: Bodies of at least `LONG_BODY` lines.
        unbroken: Long bodies without a blank line and a comment.
    """

    lines: int = 0
    blank: int = 0
    comments: int = 0
    packed: int = 0
    long: int = 0
    unbroken: int = 0

    def add(self, other: Figures) -> None:
        """Add the counts of another part."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def per_100(self, count: int) -> float:
        """Return a count per 100 lines of bodies."""
        return 100 * count / max(1, self.lines)


def measure(path: Path) -> tuple[Figures, list[str]]:
    """Return the figures of a file, and the places of its long bodies without a break."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    comments = set(_comment_lines(text))
    lines = text.splitlines()
    found = Figures(packed=sum(map(_is_packed, ast.walk(tree))))
    unbroken = []

    for function in _outer_functions(tree):
        body = function.body[1:] if ast.get_docstring(function) is not None else function.body
        if not body:
            continue
        numbers = range(body[0].lineno, (function.end_lineno or 0) + 1)
        blank = sum(not lines[number - 1].strip() for number in numbers)
        reasons = len(comments & {*numbers})
        found.add(Figures(lines=len(numbers), blank=blank, comments=reasons))

        if len(numbers) >= LONG_BODY:
            found.long += 1
            if not blank and not reasons:
                found.unbroken += 1
                unbroken.append(f"{path.relative_to(PACKAGE.parent)}:{function.lineno} {function.name}")

    return found, unbroken


def _comment_lines(text: str) -> Iterator[int]:
    """Yield the numbers of the lines that contain only a comment."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and token.line.lstrip().startswith("#"):
            yield token.start[0]


def _outer_functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """Yield functions and methods; inner functions belong to the body of the outer one."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield node
        else:
            yield from _outer_functions(node)


def _is_packed(node: ast.AST) -> bool:
    """Return whether a statement assigns a tuple of values to a tuple of names, and is no swap."""
    if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)):
        return False
    target = node.targets[0]
    if not isinstance(target, ast.Tuple):
        return False
    stored = {ast.unparse(each) for each in target.elts}
    return not stored & {ast.unparse(each) for each in node.value.elts}


def measure_rooms() -> tuple[dict[str, Figures], list[str]]:
    """Return the figures by room, and all long bodies without a break."""
    rooms: dict[str, Figures] = {}
    unbroken = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        found, places = measure(path)
        rooms.setdefault(room, Figures()).add(found)
        unbroken += places
    return rooms, unbroken


def main() -> int:
    """Print what is wrong, or a table; return 1 if something is wrong."""
    rooms, unbroken = measure_rooms()
    total = Figures()
    for figures in rooms.values():
        total.add(figures)

    if sys.argv[1:] == ["table"]:
        print(f"{'room':12} {'lines':>6} {'blank':>6} {'comm.':>6} {'packed':>6} {'long':>5} {'unbroken':>8}")
        for room, each in (*rooms.items(), ("all", total)):
            rates = f"{each.per_100(each.blank):6.1f} {each.per_100(each.comments):6.1f}"
            print(f"{room:12} {each.lines:6} {rates} {each.packed:6} {each.long:5} {each.unbroken:8}")

        return 0

    wrong = [f"{place}: {LONG_BODY} lines or more without a break" for place in unbroken]
    if total.packed > MAX_PACKED:
        wrong.append(f"dvspipe: packed assignments (found {total.packed}, expected at most {MAX_PACKED})")
    for room, each in rooms.items():
        if room.startswith("__"):  # single files
            continue
        blank = each.per_100(each.blank)
        comments = each.per_100(each.comments)
        if blank < LEAST_BLANK:
            wrong.append(f"dvspipe/{room}: blank lines per 100 (found {blank:.1f}, expected {LEAST_BLANK:g})")
        if comments < LEAST_COMMENTS:
            wrong.append(f"dvspipe/{room}: comments per 100 (found {comments:.1f}, expected {LEAST_COMMENTS:g})")

    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
