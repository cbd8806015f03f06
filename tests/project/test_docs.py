"""Files, commands, options, settings and Python names in the documentation exist."""

from __future__ import annotations

import ast
import enum
import functools
import importlib
import inspect
import itertools
import pkgutil
import re
import shlex
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from cyclopts.argument import Argument

import dvspipe
from dvspipe.cli.app import create_app, list_commands
from dvspipe.training import TrainConfig

ROOT = Path(__file__).parents[2]
FOLDERS_OF_PAGES = ("start", "guides", "concepts", "reference")
PATTERNS = ("*.md", "docs/*.md", *(f"docs/{folder}/*.md" for folder in FOLDERS_OF_PAGES), "dvspipe/checkpoints/*.md")
FOUND = {path for pattern in PATTERNS for path in ROOT.glob(pattern)}
PAGES = sorted(FOUND - {ROOT / "CHANGELOG.md"})  # the changelog names what is gone
BUILT = "generated/"  # pages written by the build, which checks their links
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
FOLDERS = tuple(f"{name}/" for name in ("configs", "docs", "dvspipe", "examples", "scripts", "tests"))
TAKES_CONFIG = {"train", "evaluate", "data stats"}
OF_EVERY_COMMAND = {"-h", "--help", "--json", "-q", "--quiet", "-v", "--verbose", "--version"}
PLACEHOLDER = re.compile(r"[A-Z_]+(=[A-Z_]+)?(\.\.\.)?|\.\.\.")


class Block(NamedTuple):
    """Code block: language and text."""

    language: str
    text: str


class Command(NamedTuple):
    """Line of a page that starts with dvspipe: name of the command, and arguments."""

    name: str
    arguments: list[str]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?<=\n\n)((?: {4}[^\n]*\n)+)", text)
    return [Block(*found) for found in fenced] + [Block("", inspect.cleandoc(found)) for found in indented]


def inline_code(text: str) -> list[str]:
    without_blocks = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", without_blocks)]


def lines_of_commands(path: Path) -> Iterator[str]:
    text = read(path)
    if path.suffix == ".yaml":
        yield from re.findall(r"^# +(dvspipe .*)$", text, re.MULTILINE)
        return
    unbroken = [block.text.replace("\\\n", " ") for block in blocks(text) if not block.language]
    lines = [line for block in unbroken for line in block.splitlines()]
    for line in (*lines, *inline_code(text)):
        command, _, remark = line.partition("  #")
        if re.fullmatch(r" dvspipe [\d.]+", remark):  # a command of an older version
            continue
        if found := re.search(r"(?:^|-m )(dvspipe (?![-+]).*)", command):
            yield found[1]


@functools.cache
def commands() -> tuple[str, ...]:
    """Names of all commands, and of families of commands; the empty name is dvspipe itself."""
    names = [command.name for command in list_commands()]
    return ("", *names, *{name.split()[0] for name in names})


def parse(line: str) -> list[Command]:
    """Commands of a line; names such as a|b give several commands."""
    _, *words = shlex.split(line)
    depth = 2 if len(words) > 1 and f"{words[0]} {words[1].split('|')[0]}" in commands() else 1
    found = []
    for names in itertools.product(*(word.split("|") for word in words[:depth])):
        name = " ".join(names)
        assert name in commands(), f"dvspipe {name}: no such command"
        found.append(Command(name, words[depth:]))
    return found


@functools.cache
def options(name: str) -> dict[str, Argument]:
    """Options of a command by name."""
    command = create_app(name.split())
    for word in name.split():
        command = command[word]
    own = [] if command.default_command is None else command.assemble_argument_collection(parse_docstring=False)
    return {option: argument for argument in own for option in argument.names}


def choices(annotation: Any) -> tuple[str, ...]:
    """Allowed values of an option; empty if any value is allowed."""
    if typing.get_origin(annotation) is typing.Literal:
        return typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return tuple(annotation)
    return tuple(itertools.chain.from_iterable(map(choices, typing.get_args(annotation))))


def check_arguments(command: Command) -> None:
    known = options(command.name)
    words = iter(command.arguments)
    for word in words:
        if word in OF_EVERY_COMMAND:
            continue
        if re.match(r"--?[a-z]", word):
            option, equals, value = word.partition("=")
            assert option in known, f"dvspipe {command.name}: no option {option}"
            if not equals and not known[option].is_flag():
                value = next(words, "")
            allowed = choices(known[option].hint)
            is_value = value and not PLACEHOLDER.fullmatch(value)
            if is_value and allowed and int not in typing.get_args(known[option].hint):
                assert set(value.split("|")) <= set(allowed), f"{option} {value}, expected one of {allowed}"
        elif command.name in TAKES_CONFIG and "=" in word and not PLACEHOLDER.fullmatch(word):
            assert word.partition("=")[0] in TrainConfig.model_fields, f"dvspipe {command.name}: no setting {word}"


def test_commands_options_and_settings_exist() -> None:
    found = [command for path in (*PAGES, *CONFIGS) for line in lines_of_commands(path) for command in parse(line)]
    assert len(found) > 100
    for command in found:
        check_arguments(command)


def test_options_and_settings_in_the_text_exist() -> None:
    known = OF_EVERY_COMMAND.union(*map(options, commands()))
    for path in PAGES:
        for code in inline_code(read(path)):
            first, *_ = code.split()
            if re.fullmatch(r"--[a-z][\w.-]*", first):
                group = first.partition(".")[0]  # an option for each name, such as --starts.wave
                assert first in known or group in known, (name_of(path), code)


def test_links_lead_to_files_and_headings() -> None:
    for path in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", read(path)):
            if target.startswith("https://"):  # needs a network
                continue
            file, _, heading = target.partition("#")
            if BUILT in file:
                continue
            page = path.parent / file if file else path
            assert page.exists(), (name_of(path), target)
            titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE) if heading else []
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert not heading or heading in anchors, (name_of(path), target)


def test_paths_of_the_repository_exist() -> None:
    for path in (*PAGES, *CONFIGS):
        text = read(path)
        words = re.findall(
            r"(?<![\w./-])[\w./*<>-]+", " ".join(inline_code(text) + [block.text for block in blocks(text)])
        )
        for word in words:
            if word.startswith(FOLDERS) and "<" not in word and "_build" not in word:  # <module> is a placeholder
                assert list(ROOT.glob(word.rstrip("."))), (name_of(path), word)


def test_python_names_exist() -> None:
    for path in PAGES:
        text = read(path)
        for code in inline_code(text):
            if re.fullmatch(r"dvspipe(\.[A-Za-z_]\w*)+", code):
                pkgutil.resolve_name(code)
        for block in blocks(text):
            if block.language != "python":
                continue
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom):
                    module = importlib.import_module(str(node.module))
                    assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "dvspipe":
                    assert node.attr in dir(dvspipe), ast.unparse(node)


def test_configurations_are_valid() -> None:
    for path in PAGES:
        for block in blocks(read(path)):
            if block.language == "yaml":
                TrainConfig.model_validate(yaml.safe_load(block.text))


def test_architecture_page_lists_the_layers_in_order() -> None:
    from test_architecture import ORDER

    section = read(ROOT / "docs" / "concepts" / "architecture.md").partition("\n## Layers\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == ORDER
