"""Files, commands, options, settings and Python names in the documentation exist; its words are those of the style."""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import importlib
import inspect
import itertools
import pkgutil
import re
import shlex
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml
from pydantic import BaseModel

import dvspipe
from dvspipe.checkpoints.checkpoint import SHIPPED
from dvspipe.cli.app import app
from dvspipe.config import Settings, build, find_kinds
from dvspipe.encoding import CODES
from dvspipe.formats import Hints
from dvspipe.inference import InferConfig
from dvspipe.recordings.settings import ConversionSettings
from dvspipe.report import PreviewSettings
from dvspipe.results import ShippedRecord
from dvspipe.training import TrainConfig

ROOT = Path(__file__).parents[2]
FOLDERS_OF_PAGES = ("start", "guides", "concepts", "reference")
PATTERNS = ("*.md", "docs/*.md", *(f"docs/{folder}/*.md" for folder in FOLDERS_OF_PAGES), "dvspipe/checkpoints/*.md")
PAGES = sorted({path for pattern in PATTERNS for path in ROOT.glob(pattern)})
BUILT = "generated/"  # pages that exist when the site is built, whose links scripts/docs/site_check.py checks
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
FOLDERS = tuple(f"{name}/" for name in ("configs", "docs", "dvspipe", "examples", "scripts", "tests"))
GROUPS = tuple(TrainConfig.model_fields)
TAKES_CONFIG = {"train", "eval", "data stats", "data check"}
SETTINGS_OF = {
    "adapt": (InferConfig,),
    "view": (PreviewSettings,),
    "convert": (ConversionSettings,),
    "encode": tuple(CODES.values()),
    "infer": (InferConfig,),
}
"""What `--set` changes."""
HELP = {"-h", "--help"}  # of every command
WIDEST_CODE = 120  # columns beside the menu at 1,280 px, docs/_static/site.css
PLACEHOLDER = re.compile(r"[A-Z_]+(=[A-Z_]+)?(\.\.\.)?|\.\.\.")


class Block(NamedTuple):
    """A block of code: its language and its text."""

    language: str
    text: str


class Command(NamedTuple):
    """A line of a page that begins with dvspipe: the name of the command, the command, and its arguments."""

    name: str
    command: Any
    arguments: list[str]


def test_the_figures_of_films_are_those_of_the_model_card() -> None:
    scores = {score.data: score for score in ShippedRecord.read(SHIPPED / "gesture-synthetic.json").scores}
    claps, waves, harmless, rendered = (
        next(score for data, score in scores.items() if words in data)
        for words in ("hand clapping", "hand wave", "without a certain wrong label", "synthetic films")
    )
    for page in ("README.md", "docs/start/five-minutes.md"):
        text = " ".join(read(ROOT / page).split())
        assert f"finds {claps.correct} of {claps.samples} claps and {waves.correct} of {waves.samples} waves" in text, (
            page
        )
        wrong = harmless.samples - harmless.correct
        assert f"{wrong} of {harmless.samples} films of other activities get a certain wrong label" in text, page
    share = f"{100 * rendered.correct / rendered.samples:.0f} %"
    assert re.search(rf"synthetic[^.]*{share} in films", " ".join(read(ROOT / "docs/start/five-minutes.md").split()))


def test_the_plain_installation_comes_before_that_of_another_index() -> None:
    for page in ("README.md", "docs/start/install.md"):
        first, *others = re.findall(r"pip install [^\n`]*", read(ROOT / page))
        assert first.split("  ")[0] == "pip install .", page
        assert any("--extra-index-url" in line for line in others), page


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.name == "CHANGELOG.md":  # lists names and commands that do not exist any more
        text = re.sub(r"^### Renamed$.*?(?=^##)", "", text, flags=re.MULTILINE | re.DOTALL)
    return text


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
        if found := re.search(r"(?:^|-m )(dvspipe (?![-+]).*)", line.partition("  #")[0]):
            yield found[1]


@functools.cache
def commands() -> dict[str, Any]:
    """Every command by its name; the options of dvspipe itself as that of the empty name."""
    top: Any = typer.main.get_command(app)
    found = {"": top}
    for name, command in top.commands.items():
        found[name] = command
        found |= {f"{name} {inner}": value for inner, value in getattr(command, "commands", {}).items()}
    return found


def parse(line: str) -> list[Command]:
    """The commands of a line: several if names are written as a|b."""
    _, *words = shlex.split(line)
    depth = 2 if words and hasattr(commands().get(words[0]), "commands") else 1
    found = []
    for names in itertools.product(*(word.split("|") for word in words[:depth])):
        name = " ".join(names)
        assert name in commands(), f"dvspipe {name}: no such command"
        found.append(Command(name, commands()[name], words[depth:]))
    return found


def options(command: Any) -> dict[str, Any]:
    return {name: one for one in command.params if one.param_type_name == "option" for name in one.opts}


def choices(annotation: Any) -> tuple[str, ...]:
    """What a closed option may be; empty if it is open."""
    if typing.get_origin(annotation) is typing.Literal:
        return typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return tuple(annotation)
    return tuple(itertools.chain.from_iterable(map(choices, typing.get_args(annotation))))


def setting_exists(model: type[BaseModel], key: str) -> bool:
    name, _, rest = key.partition(".")
    if name not in model.model_fields:
        return False
    annotation = model.model_fields[name].annotation
    if rest and typing.get_origin(annotation) is dict:
        return True  # its keys are checked by the code that uses them
    if not rest:
        return True
    if kinds := find_kinds(annotation):
        return any(setting_exists(kind, rest) for kind in kinds.values())
    if dataclasses.is_dataclass(annotation):
        return rest in {field.name for field in dataclasses.fields(annotation)}
    return isinstance(annotation, type) and issubclass(annotation, Settings) and setting_exists(annotation, rest)


def check_value(command: Command, option: str, value: str) -> None:
    """Check the value of an option, if it is one that the page spells out."""
    if PLACEHOLDER.fullmatch(value):
        return
    key = value.partition("=")[0]
    if option == "--set":
        assert any(setting_exists(model, key) for model in SETTINGS_OF[command.name]), f"{option} {value}"  # type: ignore[arg-type]
    elif option == "--hint":
        assert key in Hints.__dataclass_fields__, f"{option} {value}"
    else:
        callback = inspect.unwrap(command.command.callback)
        known = choices(typing.get_type_hints(callback)[options(command.command)[option].name])
        assert not known or set(value.split("|")) <= set(known), f"{option} {value}, expected one of {known}"


def check_arguments(command: Command) -> None:
    known = options(command.command)
    words = iter(command.arguments)
    for word in words:
        if word in HELP:
            continue
        if re.match(r"--?[a-z]", word):
            assert word in known, f"dvspipe {command.name}: no option {word}"
            if not known[word].is_flag and (value := next(words, None)) is not None:
                check_value(command, word, value)
        elif command.name in TAKES_CONFIG and "=" in word and not PLACEHOLDER.fullmatch(word):
            assert setting_exists(TrainConfig, word.partition("=")[0]), f"dvspipe {command.name}: no setting {word}"


@pytest.mark.parametrize("path", [*PAGES, *CONFIGS], ids=name_of)
def test_commands_options_and_settings_exist(path: Path) -> None:
    for line in lines_of_commands(path):
        for command in parse(line):
            check_arguments(command)


def test_the_pages_have_commands() -> None:
    found = [line for path in PAGES for line in lines_of_commands(path)]
    assert len(found) > 100
    assert {command.name for line in found for command in parse(line)} >= set(commands()) - {
        "",
        "data",
        "synth",
        "configs list",
    }


@pytest.mark.parametrize(
    "line",
    [
        "dvspipe look a.h5",
        "dvspipe data lose nmnist",
        "dvspipe view a.h5 --neuron",
        "dvspipe view a.h5 --mode film",
        "dvspipe convert a.mp4 -o a.h5 --set threshold=1",
        "dvspipe convert a.npy -o a.h5 --hint order=txyp",
        "dvspipe train nmnist data.rot=DIR",
    ],
)
def test_what_does_not_exist_is_found(line: str) -> None:
    with pytest.raises(AssertionError):
        for command in parse(line):
            check_arguments(command)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_options_and_settings_in_the_text_exist(path: Path) -> None:
    known = HELP.union(*map(options, commands().values()))
    for code in inline_code(read(path)):
        first, *_ = code.split()
        if re.fullmatch(r"--[a-z][\w-]*", first):
            assert first in known, code
        if re.fullmatch(r"\w+(\.\w+)+(=.*)?", code) and code.split(".")[0] in GROUPS:
            assert setting_exists(TrainConfig, code.partition("=")[0]), code


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", read(path)):
        if target.startswith("https://"):  # needs a network
            continue
        file, _, heading = target.partition("#")
        if BUILT in file:
            continue
        page = path.parent / file if file else path
        assert page.exists(), target
        titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE) if heading else []
        anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not heading or heading in anchors, target


@pytest.mark.parametrize("path", [*PAGES, *CONFIGS], ids=name_of)
def test_paths_of_the_repository_exist(path: Path) -> None:
    text = read(path)
    words = re.findall(r"(?<![\w./-])[\w./*<>-]+", " ".join(inline_code(text) + [block.text for block in blocks(text)]))
    for word in words:
        if word.startswith(FOLDERS) and "<" not in word and "_build" not in word:  # <module> stands for a name
            assert list(ROOT.glob(word.rstrip("."))), word


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_python_names_exist(path: Path) -> None:
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
                assert node.attr in dvspipe.__all__, ast.unparse(node)  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_configurations_are_valid(path: Path) -> None:
    for block in blocks(read(path)):
        if block.language == "yaml":
            build(TrainConfig, yaml.safe_load(block.text), path.name)


def test_architecture_lists_the_layers_in_their_order() -> None:
    from test_architecture import ORDER

    section = read(ROOT / "docs" / "concepts" / "architecture.md").partition("\n## Layers\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == ORDER


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("words")


def test_the_repository_has_no_words_to_avoid(words: types.ModuleType) -> None:
    assert [str(finding) for finding in words.check_repository()] == []


def test_words_are_found_in_text_but_not_in_its_code(words: types.ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "A whole number, `the whole`.\nIt was passed\nover, and the Whole is told.\n\n"
    page.write_text(f"{text}```\ndvspipe x --whole   # anew\n```\n")
    found = sorted((finding.line, finding.word) for finding in words.check_text(page))
    assert found == [(2, "passed over"), (3, "Whole"), (3, "told"), (6, "anew")]


def test_words_are_found_in_strings_of_code(words: types.ModuleType, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""Judges."""\nNAME = f"{1}: damaged"\n\n\ndef f():\n    """Told."""\n    return "behind"  # anew\n'
    )
    plain, complete = (
        [finding.word for finding in words.check_code(module, docstrings=docstrings)] for docstrings in (False, True)
    )
    assert sorted(plain) == ["behind", "damaged"]
    assert sorted(complete) == ["Judges", "Told", "behind", "damaged"]


def test_the_check_of_words_fails_with_a_finding(
    words: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("First.\nIt goes on.\n")
    monkeypatch.setattr(words, "ROOT", tmp_path)
    assert words.main() == 1
    assert capsys.readouterr().out == "README.md:2: goes on -> resume, continue\n"
    (tmp_path / "README.md").write_text("It resumes.\n")
    assert words.main() == 0
    assert "words" in sys.modules


@pytest.mark.parametrize("path", [*PAGES, *CONFIGS], ids=name_of)
def test_code_fits_on_a_page_of_the_site(path: Path) -> None:
    text = read(path)
    shown = [block.text for block in blocks(text)] if path.suffix == ".md" else [text]
    assert [line for code in shown for line in code.splitlines() if len(line) > WIDEST_CODE] == []
