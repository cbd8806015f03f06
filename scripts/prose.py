"""Check prose against `scripts/prose.yaml`: `python scripts/prose.py`; exit code 1 if a rule is broken.

It reads documentation, model cards, comments, docstrings, and the texts that users see: string constants and help.
Spelling is the job of codespell.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import yaml
from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
RULES = ROOT / "scripts/prose.yaml"
TEXTS = ("*.md", "docs/**/*.md", "docs/**/*.rst", "dvspipe/checkpoints/*.md", "configs/**/*.yaml")
CODE = ("dvspipe/**/*.py", "scripts/**/*.py", "examples/*.py", "docs/guides/tutorials/*.py", "docs/gallery/**/*.py")
OWN = ("scripts/prose.py", "CHANGELOG.md")  # the changelog quotes old names
BUILT = {"_build", "generated"}  # folders that Sphinx fills

CODE_BLOCK = re.compile(r"^```.*?^```|^(?: {4}|\t)[^\n]*", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(`+)[^`].*?\1", re.DOTALL)
COMMENT = re.compile(r"(?<=\s)#\s.*")
EXAMPLE = re.compile(r"^ *>>>.*(?:\n *\S.*)*", re.MULTILINE)

Kind = Literal["text", "string", "docstring", "comment"]


class Limit(BaseModel, extra="forbid", frozen=True):
    """The greatest number of matches of a pattern, in total or for each 1,000 lines."""

    pattern: str
    max: int | None = None
    max_per_1000_lines: float | None = None

    def allowed(self, lines: int) -> float:
        """Return how many matches a text of that many lines may have."""
        return self.max if self.max is not None else (self.max_per_1000_lines or 0) * lines / 1000


class Rules(BaseModel, extra="forbid", frozen=True):
    """The rules of `prose.yaml`."""

    avoid: Mapping[str, str]
    limits: Sequence[Limit]
    comments: Mapping[str, str]
    raises: Mapping[str, str]


class Passage(NamedTuple):
    """A piece of prose: its file, the number of its first line (from 1), its kind and its text."""

    path: Path
    line: int
    kind: Kind
    text: str


class Finding(NamedTuple):
    """A match of a rule: file, number of the line (from 1), what was found, and what to write instead."""

    path: str
    line: int
    found: str
    better: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found} -> {self.better}"


def read_rules() -> Rules:
    """Return the rules of the project."""
    return Rules.model_validate(yaml.safe_load(RULES.read_text(encoding="utf-8")))


def read_passages(path: Path) -> Iterator[Passage]:
    """Yield the prose of a file, without its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from _read_strings(path, text)
        yield from _read_comments(path, text)
    else:
        yield Passage(path, 1, "text", _blank_code(text) if path.suffix == ".md" else text)


def _read_strings(path: Path, source: str) -> Iterator[Passage]:
    tree = ast.parse(source)
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.startswith("--"):
            is_docstring = node in docstrings
            text = _blank_inline(EXAMPLE.sub(_blank, node.value)) if is_docstring else node.value
            yield Passage(path, node.lineno, "docstring" if is_docstring else "string", text)


def _read_comments(path: Path, source: str) -> Iterator[Passage]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Passage(path, token.start[0], "comment", _blank_inline(token.string))


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _blank_inline(text: str) -> str:
    return INLINE_CODE.sub(_blank, text)


def _blank_code(markdown: str) -> str:
    """Replace the code of a Markdown text by blanks, except comments in blocks."""
    return _blank_inline(CODE_BLOCK.sub(_blank_except_comments, markdown))


def _blank_except_comments(block: re.Match[str]) -> str:
    lines = []
    for line in block[0].split("\n"):
        comment = COMMENT.search(line)
        start = comment.start() if comment else len(line)
        lines.append(" " * start + line[start:])
    return "\n".join(lines)


def match(pattern: str, passage: Passage, better: str) -> Iterator[Finding]:
    """Yield the matches of a pattern in a passage."""
    compiled = re.compile(rf"(?<![\w#]){pattern}(?!\w)".replace(" ", r"[\s#]+"), re.IGNORECASE)
    path = passage.path.relative_to(ROOT) if passage.path.is_relative_to(ROOT) else passage.path
    for found in compiled.finditer(passage.text):
        line = passage.line + passage.text.count("\n", 0, found.start())
        yield Finding(str(path), line, " ".join(found[0].split()), better)


def find_broken(passages: Sequence[Passage], rules: Rules) -> Iterator[Finding]:
    """Yield the places that break a rule without a limit."""
    for passage in passages:
        for pattern, better in rules.avoid.items():
            yield from match(pattern, passage, better)
        if passage.kind == "comment":
            for pattern, better in rules.comments.items():
                yield from match(pattern, passage, better)
        raises = passage.text.find("Raises:") if passage.kind == "docstring" else -1
        if raises >= 0:
            line = passage.line + passage.text.count("\n", 0, raises)
            for pattern, better in rules.raises.items():
                yield from match(pattern, Passage(passage.path, line, "docstring", passage.text[raises:]), better)


def list_files(patterns: Sequence[str]) -> list[Path]:
    """Return the files of the repository that match any of the patterns."""
    files = {path for pattern in patterns for path in ROOT.glob(pattern)}
    return sorted(path for path in files if str(path.relative_to(ROOT)) not in OWN and BUILT.isdisjoint(path.parts))


def find_exceeded(passages: Sequence[Passage], rules: Rules, lines: int) -> Iterator[str]:
    """Yield a line of text for each pattern that occurs more often than its limit allows."""
    for limit in rules.limits:
        files = Counter(each.path for passage in passages for each in match(limit.pattern, passage, ""))
        if files.total() > limit.allowed(lines):
            most = ", ".join(f"{name} {count}" for name, count in files.most_common(5))
            yield (
                f'"{limit.pattern}": {files.total()} times in {lines} lines '
                f"(expected at most {limit.allowed(lines):.0f}): {most}"
            )


def main() -> int:
    """Print what breaks the rules; return 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="files to check without limits (default: the project)")
    chosen = [path.resolve() for path in parser.parse_args().files]
    rules = read_rules()
    files = chosen or list_files((*TEXTS, *CODE))
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
    passages = [passage for path in files for passage in read_passages(path)]
    broken: list[object] = [*sorted(set(find_broken(passages, rules)))]
    if chosen:
        broken += [
            each for limit in rules.limits for passage in passages for each in match(limit.pattern, passage, "?")
        ]
    else:
        broken += find_exceeded(passages, rules, lines)
    for finding in broken:
        print(finding)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
