"""Check prose against the rules in `scripts/prose.yaml`: `python scripts/prose.py`; exit code 1 if a rule is broken.

Checks documentation, model cards, comments, docstrings and string constants (messages and help). codespell checks the
spelling. `python scripts/prose.py FILE ...` lists all matches in some files, without limits.
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
CODE = (
    "dvspipe/**/*.py",
    "scripts/**/*.py",
    "examples/*.py",
    "docs/conf.py",
    "docs/guides/tutorials/*.py",
    "docs/lessons/*.py",
    "docs/gallery/**/*.py",
)
EXCLUDED = ("scripts/prose.py", "CHANGELOG.md")  # the changelog quotes old names
BUILT = {"_build", "generated"}  # output folders of Sphinx

CODE_BLOCK = re.compile(r"^```.*?^```|^(?: {4}|\t)[^\n]*", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(`+)[^`].*?\1", re.DOTALL)
COMMENT = re.compile(r"(?<=\s)#\s.*")
EXAMPLE = re.compile(r"^ *>>>.*(?:\n *\S.*)*", re.MULTILINE)

Kind = Literal["text", "string", "docstring", "comment"]


class Limit(BaseModel, extra="forbid", frozen=True):
    """Maximum number of matches of a pattern, in total or per 1,000 lines."""

    pattern: str
    max: int | None = None
    max_per_1000_lines: float | None = None

    def allowed(self, lines: int) -> float:
        """Return the maximum number of matches in a text of `lines` lines."""
        return self.max if self.max is not None else (self.max_per_1000_lines or 0) * lines / 1000


class Rules(BaseModel, extra="forbid", frozen=True):
    """Contents of `prose.yaml`."""

    avoid: Mapping[str, str]
    limits: Sequence[Limit]
    comments: Mapping[str, str]
    raises: Mapping[str, str]


class Passage(NamedTuple):
    """Piece of prose: file, number of its first line (from 1), kind, and text without code."""

    path: Path
    line: int
    kind: Kind
    text: str


class Finding(NamedTuple):
    """Match of a rule: file, line number (from 1), matched text, and replacement."""

    path: str
    line: int
    found: str
    better: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found} -> {self.better}"


def read_rules() -> Rules:
    """Read the rules of the project."""
    return Rules.model_validate(yaml.safe_load(RULES.read_text(encoding="utf-8")))


def read_passages(path: Path) -> Iterator[Passage]:
    """Yield the passages of a Python, Markdown, reST or YAML file."""
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
    """Replace code in Markdown by blanks, except comments in code blocks."""
    return _blank_inline(CODE_BLOCK.sub(_blank_except_comments, markdown))


def _blank_except_comments(block: re.Match[str]) -> str:
    lines = []
    for line in block[0].split("\n"):
        comment = COMMENT.search(line)
        start = comment.start() if comment else len(line)
        lines.append(" " * start + line[start:])
    return "\n".join(lines)


def match(pattern: str, passage: Passage, better: str) -> Iterator[Finding]:
    """Yield the matches of a pattern in a passage; a space in the pattern matches any white space."""
    compiled = re.compile(rf"(?<![\w#]){pattern}(?!\w)".replace(" ", r"[\s#]+"), re.IGNORECASE)
    path = passage.path.relative_to(ROOT) if passage.path.is_relative_to(ROOT) else passage.path
    for found in compiled.finditer(passage.text):
        line = passage.line + passage.text.count("\n", 0, found.start())
        yield Finding(str(path), line, " ".join(found[0].split()), better)


def find_broken(passages: Sequence[Passage], rules: Rules) -> Iterator[Finding]:
    """Yield the matches of all rules without a limit."""
    for passage in passages:
        for pattern, better in rules.avoid.items():
            yield from match(pattern, passage, better)
        if passage.kind in ("comment", "text"):  # a text keeps the comments of its code
            for pattern, better in rules.comments.items():
                yield from match(pattern, passage, better)

        raises = passage.text.find("Raises:") if passage.kind == "docstring" else -1
        if raises >= 0:
            line = passage.line + passage.text.count("\n", 0, raises)
            for pattern, better in rules.raises.items():
                yield from match(pattern, Passage(passage.path, line, "docstring", passage.text[raises:]), better)


def list_files(patterns: Sequence[str]) -> list[Path]:
    """Return the files of the repository that match a pattern, except excluded and generated files."""
    files = {path for pattern in patterns for path in ROOT.glob(pattern)}
    return sorted(
        path for path in files if str(path.relative_to(ROOT)) not in EXCLUDED and BUILT.isdisjoint(path.parts)
    )


def check_files(files: Sequence[Path]) -> list[Finding]:
    """Return all matches in these files, including patterns below their limit."""
    rules = read_rules()
    passages = [passage for path in files for passage in read_passages(path)]
    found = [*find_broken(passages, rules)]
    found += [each for limit in rules.limits for passage in passages for each in match(limit.pattern, passage, "?")]
    return sorted(set(found))


def find_exceeded(passages: Sequence[Passage], rules: Rules, lines: int) -> Iterator[str]:
    """Yield a message for each pattern with more matches than its limit allows in `lines` lines."""
    for limit in rules.limits:
        files = Counter(each.path for passage in passages for each in match(limit.pattern, passage, ""))
        if files.total() > limit.allowed(lines):
            most = ", ".join(f"{name} {count}" for name, count in files.most_common(5))
            yield (
                f'"{limit.pattern}": {files.total()} times in {lines} lines '
                f"(expected at most {limit.allowed(lines):.0f}): {most}"
            )


def check_project() -> list[str]:
    """Return a message for each broken rule and each exceeded limit in the project."""
    rules = read_rules()
    files = list_files((*TEXTS, *CODE))
    passages = [passage for path in files for passage in read_passages(path)]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
    return [*map(str, sorted(set(find_broken(passages, rules)))), *find_exceeded(passages, rules, lines)]


def main() -> int:
    """Print all findings; return 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "files", nargs="*", type=Path, help="list all matches in these files (default: check the project)"
    )
    files = [path.resolve() for path in parser.parse_args().files]
    findings: Sequence[object] = check_files(files) if files else check_project()
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
