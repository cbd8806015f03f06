"""The site has a page for what there is, and its checks find what is wrong."""

from __future__ import annotations

import importlib
import re
import types
from pathlib import Path

import pytest

import dvspipe
from dvspipe.cli.app import app
from dvspipe.config import Settings
from dvspipe.encoding import CODES, BinConfig
from dvspipe.events.filters import FilterConfig
from dvspipe.formats import written_suffixes
from dvspipe.report import PLOTS
from dvspipe.simulator.config import list_presets

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "docs" / "gallery"


def shown(section: str) -> set[str]:
    """Return the names that the docstrings of a section's scripts describe and that their code uses."""
    names = set()
    for path in (GALLERY / section).glob("plot_*.py"):
        _, docstring, code = path.read_text(encoding="utf-8").split('"""', 2)
        names |= {name for name in re.findall(r"^``(.+?)``", docstring, re.MULTILINE) if name in code}
    return names


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts" / "docs")
    return importlib.import_module("site_pages")


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts" / "docs")
    return importlib.import_module("site_check")


def test_the_gallery_shows_each_code_form_filter_preset_and_format() -> None:
    assert shown("1_encoders") == set(CODES)
    assert shown("2_filters") == {*FilterConfig.model_fields, "hot_pixels"}
    assert shown("3_representations") == {*BinConfig.model_fields["form"].annotation.__args__, *PLOTS}
    assert shown("4_presets") == set(list_presets())
    assert shown("5_formats") == set(written_suffixes()) - {".hdf5", ".bs2"}  # other names of .h5 and .bin


def test_the_pages_of_classifiers_are_their_cards(
    pages: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "GENERATED", tmp_path)
    pages.write_pages()
    for source, name in pages.CARDS.items():
        assert (tmp_path / f"{name}.md").read_text(encoding="utf-8") == (ROOT / source).read_text(encoding="utf-8")


def test_every_public_name_is_on_a_page(pages: types.ModuleType) -> None:
    assert {name for area in pages.AREAS.values() for name in area.names} >= set(dvspipe.__all__)  # type: ignore[attr-defined]


def test_every_command_is_on_the_page_of_commands(pages: types.ModuleType) -> None:
    text = pages.command_page()
    for command in app.registered_commands:
        assert f"## `dvspipe {command.name}`" in text


def test_every_setting_is_described(pages: types.ModuleType) -> None:
    rows = [line for line in pages.settings_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row for row in rows if row.rpartition(" | ")[2].strip(" |") == ""] == []


def test_the_type_of_a_setting_is_in_the_words_of_yaml(pages: types.ModuleType) -> None:
    class Group(Settings):
        """A group."""

        sizes: tuple[int, ...] | None = None
        """Sizes."""
        kind: str = "a|b"
        """A kind."""

    assert [pages._type(field.annotation) for field in Group.model_fields.values()] == ["list of int or null", "text"]


def test_links_of_files_become_links_of_pages(pages: types.ModuleType) -> None:
    text = "[a](docs/reference/formats.md#hints) [b](CONTRIBUTING.md) [c](https://example.org) [d](#here)"
    expected = "[a](/reference/formats.md#hints) [b](/generated/contributing.md) [c](https://example.org) [d](#here)"
    assert pages.change_links(text, ROOT) == expected


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<script src="https://cdn.example.org/a.js"></script>', "cdn.example.org"),
        ('<link rel="stylesheet" href="//fonts.example.org/a.css">', "fonts.example.org"),
        ('<p style="background: url(https://example.org/a.png)">', "example.org"),
        ('<a href="missing.html">a</a>', "missing.html"),
        ('<a href="#nowhere">a</a>', "#nowhere"),
        ('<img src="missing.png">', "missing.png"),
    ],
)
def test_what_is_wrong_with_a_page_is_found(check: types.ModuleType, tmp_path: Path, html: str, fault: str) -> None:
    (tmp_path / "index.html").write_text(f"<!doctype html><body>{html}</body>")
    (found,) = dict.fromkeys(check.find_faults(tmp_path))
    assert fault in found


def test_links_to_other_sites_and_to_places_are_right(check: types.ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.html").write_text('<h2 id="b c">b</h2><a href="../index.html#top">up</a>')
    (tmp_path / "index.html").write_text(
        '<h1 id="top">a</h1><a href="a/#b%20c">b</a><a href="https://example.org">c</a>'
    )
    assert list(check.find_faults(tmp_path)) == []


def test_a_style_that_loads_a_font_from_elsewhere_is_found(check: types.ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@font-face { src: url('https://fonts.example.org/a.woff2') }")
    (fault,) = check.find_faults(tmp_path)
    assert "fonts.example.org" in fault
