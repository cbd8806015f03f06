"""Size of the package, in tokens: blank lines, comments and line breaks cost nothing, and packing gains nothing."""

from __future__ import annotations

import io
import tokenize
from collections import Counter
from pathlib import Path

import yaml

PACKAGE = Path(__file__).parents[2] / "dvspipe"
RECORD = Path(__file__).with_name("tokens.yaml")
MAX_GROWTH = 1.01  # a larger change of a room writes its new size to tokens.yaml, in the same commit
MIN_ALLOWANCE = 100  # tokens; so a small room can change by a few lines
UNCOUNTED = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)


def count_tokens(text: str) -> int:
    """Number of names, numbers, texts and signs in Python code; a docstring is one."""
    return sum(token.type not in UNCOUNTED for token in tokenize.generate_tokens(io.StringIO(text).readline))


def measure_rooms() -> Counter[str]:
    """Tokens of each room; files beside the rooms are counted as `top`."""
    sizes: Counter[str] = Counter()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).parts
        sizes[parts[0] if len(parts) > 1 else "top"] += count_tokens(path.read_text(encoding="utf-8"))
    return sizes


def test_layout_does_not_change_the_number_of_tokens() -> None:
    packed = "def f(a):\n    b, c = a, 2; return b\n"
    spread = "def f(a):\n\n    # A reason.\n    b, c = a, 2;\n    return b\n"
    assert count_tokens(packed) == count_tokens(spread) == 16


def test_rooms_have_the_recorded_sizes() -> None:
    """A room that grew by more than 1 % says so: `python tests/project/test_tokens.py` writes the record."""
    recorded = yaml.safe_load(RECORD.read_text(encoding="utf-8"))
    sizes = measure_rooms()
    assert set(sizes) == set(recorded)
    for room, size in sizes.items():
        allowed = max(recorded[room] * MAX_GROWTH, recorded[room] + MIN_ALLOWANCE)
        assert size <= allowed, f"{room} has {size} tokens, recorded are {recorded[room]}"
    assert sizes.total() <= sum(recorded.values()) * MAX_GROWTH


if __name__ == "__main__":
    RECORD.write_text(yaml.safe_dump(dict(sorted(measure_rooms().items()))), encoding="utf-8")
    print(f"{RECORD}: {measure_rooms().total()} tokens")
