"""Find words that the style of this project avoids: `python scripts/words.py`; exit code 1 if there are any.

It checks the documentation, model cards, comments in configurations, and the texts that users see: string constants in
the code, and the docstrings of commands, which are their help.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

WORDS: Mapping[str, str] = {
    r"ahead of": "before, previous",
    r"behind": "after, next",
    r"anew": "again, from scratch",
    r"(go|goes|going|went|gone) on": "resume, continue",
    r"learn(s|ed|ing)? on": "fine-tune, train on",
    r"learn(s|ed|ing)? from": "train on",
    r"pass(ed|es)? over": "skipped",
    r"(is|are) there already": "already exists",
    r"exists? already": "already exists",
    r"taken for": "confused with",
    r"judg(e|es|ed|ing|ement|ment)": "classify, prediction",
    r"what (a|the) network says": "prediction",
    r"rests? on": "depends on",
    r"told": "called with",
    r"tellers?": "callback",
    r"stands? in": "is in, is described in",
    r"(is|are) held by": "is tested in",
    r"whole(?! (numbers?|microseconds)\b)": "complete",
    r"in part": "partial",
    r"damage(s|d)?": "corrupted, truncated",
    r"made on the machine": "synthetic",
    r"but for": "except",
}
"""Regular expressions of words to avoid, and what to write. Words that are right in other meanings are not listed."""

TEXTS = (
    "*.md",
    "docs/*.md",
    *(f"docs/{folder}/*.md" for folder in ("start", "guides", "concepts", "reference")),
    "docs/guides/tutorials/*.py",
    "docs/gallery/*/*.py",
    "dvspipe/checkpoints/*.md",
    "configs/**/*.yaml",
)
"""Files whose text is checked."""
CODE = ("dvspipe/**/*.py",)
"""Modules whose string constants are checked, without docstrings."""
CODE_WITH_DOCSTRINGS = ("dvspipe/cli/*.py",)
"""Modules whose string constants are checked, with docstrings."""

PATTERNS = tuple(
    (re.compile(r"\b" + word.replace(" ", r"\s+") + r"\b", re.IGNORECASE), better) for word, better in WORDS.items()
)
CODE_BLOCK = re.compile(r"^```.*?^```|^(?: {4}|\t)[^\n]*", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(`+)[^`].*?\1", re.DOTALL)
COMMENT = re.compile(r"(?<=\s)#\s.*")


class Finding(NamedTuple):
    """A word to avoid.

    Args:
        path: The file, from the folder of the repository.
        line: Number of the line, from 1.
        word: What was found.
        better: What to write.
    """

    path: str
    line: int
    word: str
    better: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word} -> {self.better}"


def find_words(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the number of the line (from 0), the word, and what to write, of each word to avoid."""
    for pattern, better in PATTERNS:
        for match in pattern.finditer(text):
            yield text.count("\n", 0, match.start()), " ".join(match[0].split()), better


def blank_code(markdown: str) -> str:
    """Return a Markdown text with blanks in place of its code; comments in blocks of code remain."""
    text = CODE_BLOCK.sub(_blank_except_comments, markdown)
    return INLINE_CODE.sub(lambda match: _blank(match[0]), text)


def _blank(code: str) -> str:
    return re.sub(r"[^\n]", " ", code)


def _blank_except_comments(block: re.Match[str]) -> str:
    lines = []
    for line in block[0].split("\n"):
        comment = COMMENT.search(line)
        start = comment.start() if comment else len(line)
        lines.append(_blank(line[:start]) + line[start:])
    return "\n".join(lines)


def find_strings(source: str, *, docstrings: bool) -> Iterator[tuple[int, str]]:
    """Yield the first line (from 1) and the text of each string constant in code, except names of options."""
    tree = ast.parse(source)
    skipped = set() if docstrings else set(_docstrings(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or node in skipped:
            continue
        if not node.value.startswith("--"):
            yield node.lineno, node.value


def _docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield the constants that are statements: docstrings, and those of attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def check_text(path: Path) -> Iterator[Finding]:
    """Yield the findings in a file of documentation."""
    text = path.read_text(encoding="utf-8")
    for line, word, better in find_words(blank_code(text) if path.suffix == ".md" else text):
        yield Finding(_name(path), line + 1, word, better)


def check_code(path: Path, *, docstrings: bool) -> Iterator[Finding]:
    """Yield the findings in the strings of a module."""
    for first, text in find_strings(path.read_text(encoding="utf-8"), docstrings=docstrings):
        for line, word, better in find_words(text):
            yield Finding(_name(path), first + line, word, better)


def check_repository() -> list[Finding]:
    """Return all findings, by file and line."""
    found = [finding for path in list_files(TEXTS) for finding in check_text(path)]
    found += [finding for path in list_files(CODE) for finding in check_code(path, docstrings=False)]
    found += [finding for path in list_files(CODE_WITH_DOCSTRINGS) for finding in check_code(path, docstrings=True)]
    return sorted(set(found))


def list_files(patterns: tuple[str, ...]) -> list[Path]:
    """Return the files of the repository that match any of the patterns."""
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern)})


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def main() -> int:
    """Print all findings; return 1 if there are any."""
    found = check_repository()
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
